"""Panels for notebooks: upload, launch, follow and look, each an ordinary widget, and all of them in one.

Their other half, in the browser, is `labextension/`. Nothing here draws, and nothing here knows more than traits: the
page asks the server itself, or through the kernel where it cannot reach it.
"""

from dlc_jupyter.widgets.base import NotBuilt, Panel
from dlc_jupyter.widgets.launch import LaunchPanel
from dlc_jupyter.widgets.player import PosePlayer
from dlc_jupyter.widgets.queue import QueuePanel
from dlc_jupyter.widgets.result import ResultPanel
from dlc_jupyter.widgets.upload import UploadPanel
from dlc_jupyter.widgets.whole import WholePanel, panel

__all__ = [
    "LaunchPanel",
    "NotBuilt",
    "Panel",
    "PosePlayer",
    "QueuePanel",
    "ResultPanel",
    "UploadPanel",
    "WholePanel",
    "panel",
]
