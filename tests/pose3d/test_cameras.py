"""What is told of a scene's axes, and what is drawn upwards: only what somebody has said, or what the pictures show."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from dlc_jupyter.demo.stereo import RIG
from dlc_jupyter.pose3d.calibrations import stereo_parameters
from dlc_jupyter.pose3d.cameras import Camera, Rig
from tests.pose3d import rigs

AS_ITS_FILE = "those of the calibration, as its file has them"


def first_at(rotation: tuple[float, float, float], translation: tuple[float, float, float]) -> Rig:
    """A rig whose first camera is there and turned like this."""
    rig = rigs.rig(2)
    turned = cv2.Rodrigues(np.array(rotation))[0]
    first: Camera = replace(rig.cameras[0], rotation=turned, translation=np.array(translation))
    return replace(rig, cameras=(first, *rig.cameras[1:]))


def test_axes_of_the_first_camera_go_down_with_its_picture() -> None:
    assert rigs.rig(3).axes == ("-y", "those of camera-1: x right, y down, z into its picture")
    rig = rigs.rig(2)
    upright = stereo_parameters(rig)["R1"]
    up, told = rig.moved(upright.T, np.zeros(3)).axes
    assert (up, "rectified as DeepLabCut does" in told) == ("-y", True)


def test_a_first_camera_near_the_origin_as_anipose_leaves_it_does_not_make_z_go_up() -> None:
    assert first_at((0.001, 0.002, 0), (0.01, 0, 0)).axes == ("-y", AS_ITS_FILE)


def test_z_goes_up_where_it_does_so_in_the_pictures_but_nobody_has_said_it() -> None:
    assert replace(RIG, up="").axes == ("z", AS_ITS_FILE)
    standing = cv2.Rodrigues(np.array([np.pi / 2, 0, 0]))[0]
    assert rigs.rig(3).moved(standing, np.array([0.0, 5.0, 9.0])).axes == ("z", AS_ITS_FILE)


def test_what_was_said_is_told() -> None:
    assert RIG.axes == ("z", "those of the calibration, z up")
    assert replace(rigs.rig(2), up="z").axes[0] == "z"
