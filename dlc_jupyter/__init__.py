"""DeepLabCut as a service inside Jupyter: videos in, poses and labelled videos out, by HTTP or in a notebook."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlc_jupyter._version import __version__

if TYPE_CHECKING:
    from dlc_jupyter.client import Analysis, Batch, Client
    from dlc_jupyter.widgets import LaunchPanel, PosePlayer, QueuePanel, ResultPanel, UploadPanel, panel

__all__ = [
    "Analysis",
    "Batch",
    "Client",
    "LaunchPanel",
    "PosePlayer",
    "QueuePanel",
    "ResultPanel",
    "UploadPanel",
    "__version__",
    "panel",
]

_IN_CLIENT = ("Analysis", "Batch", "Client")


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: the engine imports this package and needs neither HTTP nor widgets."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "client" if name in _IN_CLIENT else "widgets"
    return getattr(import_module(f"dlc_jupyter.{room}"), name)


def __dir__() -> list[str]:
    return __all__


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter which application this extension is. Imported late: the engine needs none of it."""
    from dlc_jupyter.app import DLCApp

    return [{"module": "dlc_jupyter", "app": DLCApp}]
