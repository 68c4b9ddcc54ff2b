"""The pictures of a labelled video before they are encoded."""


def drawn_by_us(run, monkeypatch, *arguments, **keywords):
    """Label a video; return what ran, and the pictures that went to the encoder."""
    from dlc_jupyter.pose import render

    class Recorder(render.Encoder):
        def write(self, pictures):
            seen.extend(picture.copy() for picture in pictures)
            super().write(pictures)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(render, "Encoder", Recorder)
        return run("label", *arguments, **keywords), seen
