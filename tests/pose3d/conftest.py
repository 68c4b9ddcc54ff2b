"""Cameras that tests of calibrations begin with, and pictures that cameras took of a board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dlc_jupyter.pose3d.board_views import Source
from dlc_jupyter.pose3d.boards import Board
from dlc_jupyter.pose3d.cameras import Rig
from tests.pose.conftest import model
from tests.pose3d import rigs
from tests.pose3d.seen_boards import BOARD

__all__ = ["model"]


@pytest.fixture
def rig() -> Rig:
    return replace(rigs.rig(3), error=0.0625, source="drawn")


@pytest.fixture
def pair(rig) -> Rig:
    return rig.chosen(["camera-1", "camera-3"])


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Callable[..., tuple[Rig, list[Source]]]:
    """Cameras and the pictures that they took of a board, each rendered once."""
    made: dict[str, tuple[Rig, list[Source]]] = {}

    def find(cameras: int, size: tuple[int, int], board: Board = BOARD, count: int = 18) -> tuple[Rig, list[Source]]:
        key = f"{cameras}-{size[0]}-{board.kind}-{board.columns}"
        if key not in made:
            truth = rigs.rig(cameras, size)
            drawn = rigs.board_pictures(truth, board, count, seed=3)
            made[key] = truth, rigs.sources(truth, drawn, tmp_path_factory.mktemp(key))
        return made[key]

    return find
