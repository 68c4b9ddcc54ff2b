"""Write the demo's 3D project, as `deeplabcut.create_new_project_3d` and `calibrate_cameras` leave it behind.

It names the demo's 2D project by a relative path, so that both may lie anywhere together. The calibrations are written
from the cameras themselves: they are exact. DeepLabCut's is in squares of the demo's board, as it calibrates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dlc_jupyter.demo import CALIBRATION, MODEL, MODEL_3D, boards
from dlc_jupyter.demo.scene import SKELETON
from dlc_jupyter.pose.project_files import SQUARES
from dlc_jupyter.pose3d.calibrations import in_unit, write_stereo_pickle, write_toml
from dlc_jupyter.pose3d.cameras import Rig

TASK, SCORER, DATE = "mouse3d", "demo", "Nov25"


def write_project(folder: Path, rig: Rig) -> Path:
    """Write the project of a rig of two cameras, in mm, into a folder, and return its config.yaml."""
    config = folder / MODEL_3D.name
    (folder / "camera_matrix").mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(_config(rig), sort_keys=False), "utf-8")
    as_deeplabcut = in_unit(rig, SQUARES, 1 / boards.SQUARE)
    write_stereo_pickle(as_deeplabcut, folder / "camera_matrix" / "stereo_params.pickle")
    write_toml(rig, folder / CALIBRATION.name)
    return config


def _config(rig: Rig) -> dict[str, Any]:
    """The values of its config.yaml, in DeepLabCut's order."""
    names = list(rig.names)
    return {
        "Task": TASK,
        "scorer": SCORER,
        "date": DATE,
        "project_path": f"{TASK}-{SCORER}",
        "skeleton": [list(bone) for bone in SKELETON],
        "skeleton_color": "black",
        "pcutoff": 0.4,
        "colormap": "jet",
        "dotsize": 15,
        "alphaValue": 0.8,
        "markerType": "*",
        "markerColor": "r",
        "num_cameras": len(names),
        "camera_names": names,
        "scorername_3d": "DLC_3D",
        **{f"config_file_{name}": f"../{MODEL.parent.name}/{MODEL.name}" for name in names},
        **{f"{key}_{name}": value for name in names for key, value in (("shuffle", 1), ("trainingsetindex", 0))},
    }
