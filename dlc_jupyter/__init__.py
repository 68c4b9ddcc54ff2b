"""DeepLabCut as a service inside Jupyter: videos in, poses and labelled videos out, by HTTP or in a notebook."""

from typing import Any

from dlc_jupyter._version import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter which application this extension is. Imported late: the engine needs none of it."""
    from dlc_jupyter.app import DLCApp

    return [{"module": "dlc_jupyter", "app": DLCApp}]
