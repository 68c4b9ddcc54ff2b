"""The panel that takes files: many, large, and through cuts and reloads."""

from __future__ import annotations

from traitlets import HasTraits, List, Unicode

from dlc_jupyter.widgets.base import Panel


class UploadTraits(HasTraits):
    """What was sent."""

    files = List(Unicode(), help="Ids of the files that were sent with this panel, the newest last.").tag(sync=True)


class UploadPanel(UploadTraits, Panel):
    """Drop videos on it; ``files`` are the ids of those that have arrived."""

    _panel = Unicode("upload").tag(sync=True)
