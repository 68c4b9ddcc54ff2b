"""Cameras as they must come back from calibration files, and how files that hold none are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.cameras import Rig
from tests.pose3d import rigs

POINTS = rigs.motion(20, 4)


def assert_same(found: Rig, truth: Rig, points: rigs.Array = POINTS) -> None:
    assert np.abs(found.project(points) - truth.project(POINTS)).max() < 1e-6
    assert [camera.size for camera in found.cameras] == [camera.size for camera in truth.cameras]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(AnalysisFailed) as refused:
        call()
    assert refused.value.kind == "CalibrationUnreadable"
    return str(refused.value)
