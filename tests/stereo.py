"""Analyses of several cameras that compute nothing: what the queue and the API do for such ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter.analyses import base
from dlc_jupyter.analyses.base import Analysis, Inputs, Job, PosesOf, registry
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.cameras import Cameras
from dlc_jupyter.analyses.poses import poses_by
from dlc_jupyter.pose.projects import Model


class Stereo(Analysis):
    """What takes a video of each camera of a 3D model, and its poses."""

    name = "stereo"
    inputs = Inputs(at_least=2, at_most=None)
    model_kind = "3d"
    by_camera = True
    starts_from_poses = True

    class Parameters(BaseParameters):
        model: str
        cameras: Cameras = None
        size: int = 1

    @classmethod
    def poses(cls, parameters: Any, model: Model) -> list[PosesOf]:
        """Those of each camera."""
        return poses_by(parameters, model)


class AfterStereo(Stereo):
    """What starts from the whole result of `Stereo`."""

    name = "after-stereo"

    @classmethod
    def starts_from(cls, parameters: Any) -> tuple[str, dict[str, Any]]:
        """Of the same cameras and size."""
        return "stereo", parameters.model_dump()


class Boards(Analysis):
    """What takes pictures of any cameras."""

    name = "boards"
    inputs = Inputs(at_least=1, at_most=None)
    by_camera = True

    class Parameters(BaseParameters):
        cameras: Cameras = None

    def run(self, job: Job[Any]) -> dict[str, Any]:
        """Say which picture is whose."""
        return {"seen": [[each.camera, each.path.name, each.file_id] for each in job.inputs]}


def make_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these analyses be known besides the real ones."""
    known = {**registry(), **{each.name: each for each in (Stereo, AfterStereo, Boards)}}
    monkeypatch.setattr(base, "registry", lambda: known)


CALIBRATION = """\
[cam_0]
name = "{0}"
size = [640, 480]
matrix = [[800.0, 0.0, 320.0], [0.0, 800.0, 240.0], [0.0, 0.0, 1.0]]
distortions = [0.0, 0.0, 0.0, 0.0, 0.0]
rotation = [0.0, 0.0, 0.0]
translation = [0.0, 0.0, 0.0]

[cam_1]
name = "{1}"
size = [640, 480]
matrix = [[800.0, 0.0, 320.0], [0.0, 800.0, 240.0], [0.0, 0.0, 1.0]]
distortions = [0.0, 0.0, 0.0, 0.0, 0.0]
rotation = [0.0, 0.5, 0.0]
translation = [-100.0, 0.0, 0.0]

[metadata]
adjusted = false
error = 0.25
unit = "mm"
source = "calibrate"
"""


def calibration(cameras: Sequence[str] = ("left", "right")) -> str:
    """Return the text of a ``calibration.toml`` of two cameras, or more that are where the second one is."""
    text = CALIBRATION.format(*cameras)
    second = text[text.index("[cam_1]") : text.index("[metadata]")]
    more = "".join(
        second.replace("cam_1", f"cam_{number}").replace(f'"{cameras[1]}"', f'"{name}"')
        for number, name in enumerate(cameras[2:], start=2)
    )
    return text.replace("[metadata]", f"{more}[metadata]")


def write_calibration(path: Path, cameras: Sequence[str] = ("left", "right")) -> Path:
    """Write a ``calibration.toml``."""
    path.write_text(calibration(cameras))
    return path
