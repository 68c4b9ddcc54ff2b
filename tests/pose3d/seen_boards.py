"""Boards that cameras have seen of which everything is known, and how calibrations of those must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.board_views import CameraViews
from dlc_jupyter.pose3d.boards import Board
from dlc_jupyter.pose3d.calibration import Calibration
from dlc_jupyter.pose3d.cameras import Rig
from tests.pose3d import rigs

BOARD = Board(columns=9, rows=6, square=25, unit="mm")


def assert_right(found: Calibration, truth: Rig, *, focal: float = 0.003, place: float = 1.0) -> None:
    """The focal lengths within a share, and the cameras within some millimetres of 600."""
    assert found.rig.names == truth.names
    for one, other in zip(found.rig.cameras, truth.cameras, strict=True):
        assert one.matrix[0, 0] == pytest.approx(other.matrix[0, 0], rel=focal)
        assert one.matrix[1, 1] == pytest.approx(other.matrix[1, 1], rel=focal)
        assert np.linalg.norm(one.centre - other.centre) < place


def usual(cameras: int = 2, count: int = 30) -> tuple[Rig, list[CameraViews]]:
    truth = rigs.rig(cameras)
    return truth, rigs.board_views(truth, rigs.board_places(truth, BOARD, count))


def shared(views: list[CameraViews]) -> list[int]:
    return sorted(set.intersection(*(set(each.corners) for each in views)))


def refusal(kind: str, call: Callable[[], object]) -> str:
    with pytest.raises(AnalysisFailed) as refused:
        call()
    assert refused.value.kind == kind
    return str(refused.value)
