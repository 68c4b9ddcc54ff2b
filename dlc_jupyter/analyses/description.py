"""What the results of analyses of one video say of the video, the model and the programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc_jupyter.analyses.poses import Recording

#: What `describe` returns.
DESCRIPTION = {
    "fps": "Frames per second of the video; the mean where the rate varies.",
    "width, height": "Of its picture, in pixels.",
    "duration": "Of the video, in seconds.",
    "codec": "In which the video is coded, such as h264.",
    "variable_rate": "Whether the time between its frames varies.",
    "model": "The model's name.",
    "scorer": "DeepLabCut's name for the network: the first level of the columns in its files.",
    "bodyparts, individuals": "Their names; individuals is empty for a single animal.",
    "device": "cpu, or cuda:0 for a GPU.",
    "deeplabcut_version, torch_version": "Of the programs that made it.",
    "notes": "What you should know, as sentences; left out where there is nothing.",
}


def describe(recording: Recording, scorer: str) -> dict[str, Any]:
    """Return what a result says of the video, the model and the software."""
    import deeplabcut
    import torch

    media, model = recording.media, recording.model
    return {
        "fps": round(float(media.fps), 6),
        "width": media.width,
        "height": media.height,
        "duration": round(media.duration, 3),
        "codec": media.codec,
        "variable_rate": media.variable_rate,
        "model": recording.job.parameters.model,
        "scorer": scorer,
        "bodyparts": list(model.bodyparts),
        "individuals": list(model.individuals),
        "device": recording.job.device,
        "deeplabcut_version": deeplabcut.__version__,
        "torch_version": torch.__version__,
    }
