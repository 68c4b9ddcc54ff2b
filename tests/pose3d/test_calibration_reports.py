"""What a calibration leaves out, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dlc_jupyter.pose3d.board_views import CameraViews
from dlc_jupyter.pose3d.boards import Corners
from dlc_jupyter.pose3d.calibration import calibrate
from dlc_jupyter.pose3d.lenses import outstanding
from tests.pose3d import rigs
from tests.pose3d.seen_boards import BOARD, assert_right, shared, usual


def test_a_blurred_picture_is_left_out_with_its_error() -> None:
    truth, views = usual()
    bad = shared(views)[3]
    views[0].corners[bad].pixels[:] += np.random.default_rng(0).normal(0, 1.0, (54, 2))
    found = calibrate(BOARD, views)
    assert "pixels from where they should be" in found.cameras[0].left_out[bad]
    assert bad not in found.cameras[0].used
    assert bad in found.cameras[1].used
    assert_right(found, truth)
    listed = found.as_json()["cameras"][0]["left_out"]
    assert {"picture": f"picture-{bad}", "reason": found.cameras[0].left_out[bad]} in listed


def test_only_what_is_far_off_in_pixels_stands_out_however_good_the_others_are() -> None:
    good = np.random.default_rng(1).uniform(0.02, 0.04, 30)
    assert outstanding(np.append(good, 0.29), fewest=5) == []
    assert outstanding(np.append(good, 0.31), fewest=5) == [30]
    assert outstanding(np.append(10 * good, 0.31), fewest=5) == []


def test_a_board_that_faces_the_camera_is_the_floor_although_its_corners_are_a_tenth_of_a_pixel_off() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 30), noise=0.01)
    floor = shared(views)[3]
    for each in views:
        each.corners[floor].pixels[:] += np.random.default_rng(0).normal(0, 0.08, (54, 2))
    found = calibrate(BOARD, views, floor=floor)
    for report in found.cameras:
        assert np.median(list(report.used.values())) < 0.03
        assert 0.08 < report.used[floor] < 0.15
    assert found.floor == f"picture-{floor}"
    [apart], [expected] = found.rig.distances(), truth.distances()
    assert apart["distance"] == pytest.approx(expected["distance"], abs=1)


def test_a_picture_of_another_moment_is_left_out() -> None:
    """Its corners fit the lens; but not where the other camera saw the board."""
    truth, views = usual()
    first, second = shared(views)[2:4]
    views[1].corners[first], views[1].corners[second] = views[1].corners[second], views[1].corners[first]
    found = calibrate(BOARD, views)
    for number in (first, second):
        assert any(number in report.left_out for report in found.cameras)
    assert_right(found, truth)


def test_good_pictures_are_all_used() -> None:
    _, views = usual(3, 45)
    found = calibrate(BOARD, views)
    for report, each in zip(found.cameras, views, strict=True):
        assert set(report.used) == set(each.corners)
        assert set(report.left_out.values()) <= {"the board was not found"}


def test_distances_between_cameras_are_said_for_the_ruler() -> None:
    truth, views = usual()
    found = calibrate(BOARD, views)
    true = np.linalg.norm(truth.cameras[0].centre - truth.cameras[1].centre)
    (said,) = found.as_json()["distances"]
    assert said["cameras"] == ["camera-1", "camera-2"]
    assert said["unit"] == "mm"
    assert said["distance"] == pytest.approx(true, rel=1e-3)
    # A wrong square is not noticed otherwise: everything is as much larger.
    larger = calibrate(replace(BOARD, square=50), views)
    assert larger.as_json()["distances"][0]["distance"] == pytest.approx(2 * true, rel=1e-3)
    assert larger.rig.error == pytest.approx(found.rig.error, rel=1e-3)


def test_the_result_is_json() -> None:
    _, views = usual()
    found = calibrate(BOARD, views).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [camera["camera"] for camera in found["cameras"]] == ["camera-1", "camera-2"]
    assert len(found["cameras"][0]["focal_length"]) == 2
    assert found["unit"] == "mm"


def test_a_board_in_the_middle_only_is_warned_of() -> None:
    _, views = usual(count=60)
    for each in views:
        middle = np.array(each.size) / 2
        each.corners = {
            number: corners
            for number, corners in each.corners.items()
            if np.linalg.norm(corners.pixels - middle, axis=1).max() < 0.62 * np.linalg.norm(middle)
        }
    small = [replace_size(each, 2) for each in views]
    warnings = calibrate(BOARD, small).warnings
    assert any("in the middle of the picture only" in each for each in warnings)


def replace_size(views: CameraViews, times: int) -> CameraViews:
    """The same corners in the middle of a larger picture."""
    shift = np.array(views.size) * (times - 1) / 2
    corners = {
        number: Corners(each.numbers, each.pixels + shift, each.spacing) for number, each in views.corners.items()
    }
    size = views.size[0] * times, views.size[1] * times
    return CameraViews(views.camera, size, views.labels, corners, views.left_out)


def test_a_camera_that_was_moved_in_between_is_warned_of_or_refused() -> None:
    """The board stays, but half of one camera's pictures are from elsewhere."""
    truth = rigs.rig(3)
    placed = rigs.board_places(truth, BOARD, 45)
    turned = cv2.Rodrigues(np.array([0, 0.03, 0]))[0] @ truth.cameras[2].rotation
    moved = replace(truth.cameras[2], rotation=turned)
    views = rigs.board_views(truth, placed)
    for number in range(22):
        views[2].corners.pop(number, None)
        again = moved.project(BOARD.points @ placed.rotations[number].T + placed.translations[number])
        if np.isfinite(again).all():
            views[2].corners[number] = Corners(np.arange(54), again, 20.0)
    found = calibrate(BOARD, views)
    told = [each for each in found.warnings if each.startswith("camera-3: its corners are")]
    left = [reason for reason in found.cameras[2].left_out.values() if "not found" not in reason]
    assert told or len(left) > 5


def test_one_board_that_two_cameras_share_is_warned_of() -> None:
    truth, views = usual()
    for number in shared(views)[1:]:
        views[number % 2].corners.pop(number)
    found = calibrate(BOARD, views)
    assert "camera-1 and camera-2 agree on only 1 board. Show more to both." in found.warnings
    assert_right(found, truth, focal=0.01, place=20.0)
