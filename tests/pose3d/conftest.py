"""Cameras that tests of calibration files begin with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlc_jupyter.pose3d.cameras import Rig
from tests.pose.conftest import model
from tests.pose3d import rigs

__all__ = ["model"]


@pytest.fixture
def rig() -> Rig:
    return replace(rigs.rig(3), error=0.0625, source="drawn")


@pytest.fixture
def pair(rig) -> Rig:
    return rig.chosen(["camera-1", "camera-3"])
