"""The demo: a small trained DeepLabCut project and the videos it is shown with, in two dimensions and in three.

All are drawn and trained by ``python -m dlc_jupyter.demo.make``. DeepLabCut rewrites a project's config.yaml when it
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

MODEL_3D_NAME = "demo-mouse-3d"
"""The name under which the demo's 3D model is registered."""

MODEL_3D = _HERE / "model3d" / "config.yaml"
"""config.yaml of the demo's 3D project: two cameras, calibrated, both with :data:`MODEL`."""

CALIBRATION = _HERE / "model3d" / "calibration.toml"
"""The calibration of the two cameras as Anipose writes it, in mm; the axes are those of :data:`TRUTH_3D`."""

VIDEOS_3D = (_HERE / "tray_camera-1.mp4", _HERE / "tray_camera-2.mp4")
"""Eight seconds of a mouse on a tray that rises and tilts, seen by both cameras: 240 frames each."""

TRUTH_3D = _HERE / "tray_truth.csv"
"""Where the body parts really are in :data:`VIDEOS_3D`, in mm; one row a frame."""
