"""DeepLabCut as a service inside Jupyter: videos in, poses and labelled videos out, by HTTP or in a notebook."""

from typing import TYPE_CHECKING, Any

from dlc_jupyter._version import __version__

if TYPE_CHECKING:
    from dlc_jupyter.client import Client

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Client` when it is asked for: the engine imports this package and needs no HTTP."""
    if name == "Client":
        from dlc_jupyter.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter which application this extension is. Imported late: the engine needs none of it."""
    from dlc_jupyter.app import DLCApp

    return [{"module": "dlc_jupyter", "app": DLCApp}]
