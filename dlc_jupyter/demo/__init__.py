"""The demo: a small trained DeepLabCut project and the video it is shown with.

Both are drawn and trained by ``python -m dlc_jupyter.demo.make``. DeepLabCut rewrites a project's config.yaml when it
opens the project at another place than the one written in it, so open a copy of :data:`MODEL`'s folder.
"""

from pathlib import Path

_HERE = Path(__file__).parent

MODEL_NAME = "demo-mouse"
"""The name under which the demo model is registered."""

MODEL = _HERE / "model" / "config.yaml"
"""config.yaml of the demo project (body parts in ``dlc_jupyter.demo.scene.BODYPARTS``)."""

VIDEO = _HERE / "openfield.mp4"
"""Twenty seconds of a mouse in an open field: 600 frames of 640x480 pixels at 30 frames/s, H.264."""

TRUTH = _HERE / "openfield_truth.csv"
"""Where the body parts really are in :data:`VIDEO`, in pixels; one row a frame."""
