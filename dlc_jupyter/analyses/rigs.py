"""What a 3D model says besides its networks: its calibrated cameras, and which of its body parts lines join."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc_jupyter.pose.project_files import CALIBRATION
from dlc_jupyter.pose.projects import Model, read_model

if TYPE_CHECKING:  # the server imports this module, and has no numpy
    from dlc_jupyter.pose3d.cameras import Rig


def rig_of(model: Model) -> Rig:
    """Return the calibrated cameras of a 3D model, in its order."""
    from dlc_jupyter.pose3d import calibrations

    folder = model.config.parent
    if (folder / CALIBRATION).is_file():
        return calibrations.read(folder / CALIBRATION).chosen(model.cameras)
    return calibrations.read(folder, names=model.cameras)


def skeleton_of(model: Model) -> list[tuple[str, str]]:
    """Return the lines between body parts that there are: the 3D project's, or else those of its first 2D project.

    DeepLabCut puts other body parts' names into the config.yaml of every new 3D project.
    """
    for skeleton in (model.skeleton, read_model("", model.camera_models[0].config).skeleton):
        known = [pair for pair in skeleton if set(pair) <= set(model.bodyparts)]
        if known:
            return known
    return []
