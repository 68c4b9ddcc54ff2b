"""Calibration of synthetic cameras, of which everything is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose3d.board_views import look
from dlc_jupyter.pose3d.boards import Board, Corners
from dlc_jupyter.pose3d.calibration import calibrate
from dlc_jupyter.pose3d.calibration_pictures import draw
from tests.pose3d import rigs
from tests.pose3d.seen_boards import BOARD, assert_right, refusal, shared, usual

#: It looks the same when it is turned by 180 degrees.
SAME = Board(columns=8, rows=6, square=25, unit="mm")
#: … and when it is turned by 90 degrees.
SQUARE = Board(columns=6, rows=6, square=25, unit="mm")


# -- rendered pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [((320, 240), 18), ((1280, 960), 12)])
def test_rendered_checkerboards_give_the_focal_length_within_a_percent_and_errors_below_a_tenth_of_a_pixel(
    rendered, size, count
) -> None:
    truth, sources = rendered(2, size, count=count)
    found = calibrate(BOARD, look(BOARD, sources))
    assert_right(found, truth)
    assert found.rig.error is not None
    assert found.rig.error < 0.1
    assert all(report.error < 0.1 for report in found.cameras)
    assert found.warnings == ()


def test_rendered_charuco_boards_are_as_good(rendered) -> None:
    board = Board("charuco", columns=8, rows=6, square=35, unit="mm")
    truth, sources = rendered(2, (640, 480), board)
    found = calibrate(board, look(board, sources))
    assert_right(found, truth)
    assert found.rig.error < 0.15


def test_the_places_of_lens_and_pixels_are_those_of_the_truth(rendered) -> None:
    """What counts in the end: points in space are projected where they are seen."""
    truth, sources = rendered(2, (320, 240))
    found = calibrate(BOARD, look(BOARD, sources))
    points = rigs.motion(50, 5)
    assert np.abs(found.rig.project(points) - truth.project(points)).max() < 0.25


def test_the_picture_of_each_camera_is_drawn(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    views = look(BOARD, sources)
    found = calibrate(BOARD, views)
    for report, each in zip(found.cameras, views, strict=True):
        picture = cv2.imread(str(draw(report, each, BOARD, tmp_path / "picture.png")))
        assert picture.shape[1] == 1560
        # Green corners on a grey picture: nothing else there has that colour.
        blue, green, red = (picture[..., axis].astype(int) for axis in range(3))
        third = picture.shape[1] // 3
        corners = (green > 150) & (red < 60) & (blue > 120)
        assert corners[:, :third].sum() > 200
        assert corners[:, -third:].sum() > 50
        orange = (red > 200) & (abs(green - 139) < 40) & (blue < 130)
        assert orange[:, -third:].sum() > 50


# -- many cameras, known corners -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", [2, 3, 6])
@pytest.mark.parametrize("distorted", [True, False])
def test_cameras_that_never_see_all_boards_are_placed_through_each_other(cameras, distorted) -> None:
    truth = rigs.rig(cameras, distorted=distorted)
    placed = rigs.board_places(truth, BOARD, 15 * cameras, seed=1)
    assert cameras == 2 or not placed.seen.all()
    found = calibrate(BOARD, rigs.board_views(truth, placed))
    assert_right(found, truth)
    assert found.rig.error == pytest.approx(0.05 * np.sqrt(2), rel=0.1)  # the noise, in two coordinates
    assert not distorted or np.allclose(found.rig.cameras[0].distortion, truth.cameras[0].distortion, atol=0.02)


def test_first_and_last_camera_may_share_no_board() -> None:
    truth = rigs.rig(3)
    shown = np.ones((3, 40), bool)
    shown[0, 20:], shown[2, :20] = False, False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40, shown=shown))
    assert not set(views[0].corners) & set(views[2].corners)
    assert_right(calibrate(BOARD, views), truth)


@pytest.mark.parametrize("board", [SAME, SQUARE])
def test_boards_that_look_the_same_when_turned_are_turned_right(board) -> None:
    truth = rigs.rig(3)
    views = rigs.board_views(truth, rigs.board_places(truth, board, 40))
    random = np.random.default_rng(2)
    for each in views:
        for number, corners in each.corners.items():
            order = board.order(int(random.choice(board.turns)))
            each.corners[number] = Corners(corners.numbers, corners.pixels[order], corners.spacing)
    found = calibrate(board, views)
    assert_right(found, truth)
    assert found.rig.error < 0.1
    assert min(len(report.used) for report in found.cameras) > 10


def test_a_board_that_looks_the_same_when_turned_and_does_not_move_is_refused() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, SAME, 30))
    both = set(views[0].corners) & set(views[1].corners)
    for number in list(both)[1:]:  # one picture is left that both share
        views[number % 2].corners.pop(number)
    with pytest.raises(AnalysisFailed, match="looks the same when it is turned") as refused:
        calibrate(SAME, views)
    assert refused.value.kind == "BoardAmbiguous"
    assert "odd" in refused.value.hint


def test_the_board_on_the_floor_gives_the_axes() -> None:
    truth = rigs.rig(3)
    placed = rigs.board_places(truth, BOARD, 45)
    floor = int(np.flatnonzero(placed.seen.sum(axis=0) >= 2)[0])
    found = calibrate(BOARD, rigs.board_views(truth, placed), floor=floor)
    assert found.floor == f"picture-{floor}"
    told = found.as_json()
    assert (told["floor"], told["axes"]) == (f"picture-{floor}", "those of the calibration, z up")
    rotation, translation = found.boards[floor]
    on_floor = BOARD.points @ rotation.T + translation
    assert np.allclose(on_floor, BOARD.points * [1, -1, -1], atol=1e-6)
    assert all(camera.centre[2] > 100 for camera in found.rig.cameras)  # they look down on it
    seen = truth.project(BOARD.points @ placed.rotations[floor].T + placed.translations[floor])
    assert np.abs(found.rig.project(on_floor) - seen)[np.isfinite(seen)].max() < 0.2


def test_a_floor_that_was_not_seen_is_refused_with_the_reason() -> None:
    truth = rigs.rig(2)
    shown = np.ones((2, 30), bool)
    shown[:, 7] = False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 30, shown=shown))
    with pytest.raises(BadRequest, match="picture-7 cannot be the floor: camera-1: the board was not found"):
        calibrate(BOARD, views, floor=7)
    with pytest.raises(BadRequest, match="counted from 0 to 29"):
        calibrate(BOARD, views, floor=30)


def test_a_fisheye_lens() -> None:
    truth = rigs.rig(2)
    lens = np.array([0.05, -0.02, 0.008, -0.002])
    cameras = [
        replace(camera, distortion=lens, fisheye=True, matrix=camera.matrix * [[0.7, 1, 1], [1, 0.7, 1], [1, 1, 1]])
        for camera in truth.cameras
    ]
    truth = replace(truth, cameras=tuple(cameras))
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, 40)), fisheye=True)
    assert all(camera.fisheye for camera in found.rig.cameras)
    assert_right(found, truth, focal=0.005, place=3.0)
    assert found.rig.error < 0.1


def test_few_pictures_do_not_bend_the_lens() -> None:
    """With eight pictures a free third coefficient would reach tens; the edges would be bent back."""
    truth = rigs.rig(2)
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, 9, seed=5), noise=0.2))
    for camera, other in zip(found.rig.cameras, truth.cameras, strict=True):
        assert camera.distortion[4] == 0
        corners = np.array([[0.0, 0.0], [639, 0], [0, 479], [639, 479]])
        assert np.abs(camera.normalised(corners) - other.normalised(corners)).max() < 0.15


@pytest.mark.parametrize(("count", "third"), [(60, 0.35), (9, 0.0)])
def test_the_third_coefficient_is_looked_for_in_many_pictures_only(count, third) -> None:
    truth = rigs.rig(2)
    lens = np.array([-0.3, 0.1, 0, 0, 0.35])
    truth = replace(truth, cameras=tuple(replace(camera, distortion=lens) for camera in truth.cameras))
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, count), noise=0.02))
    for camera in found.rig.cameras:
        assert camera.distortion[4] == pytest.approx(third, abs=0.1 if third else 0)


def test_it_agrees_with_opencv_on_the_same_corners() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40))
    both = sorted(set(views[0].corners) & set(views[1].corners))
    for each in views:
        each.corners = {number: each.corners[number] for number in both}
    found = calibrate(BOARD, views)
    points = [BOARD.points.astype(np.float32)] * len(both)
    pixels = [[each.corners[number].pixels.astype(np.float32) for number in both] for each in views]
    lenses = []
    for seen in pixels:
        lenses += cv2.calibrateCamera(points, seen, (640, 480), None, None)[1:3]
    error, one, _, two, _, rotation, shift, _, _ = cv2.stereoCalibrate(
        points, *pixels, *lenses, (640, 480), flags=cv2.CALIB_USE_INTRINSIC_GUESS
    )
    assert found.rig.error == pytest.approx(error, rel=0.02)
    for camera, matrix in zip(found.rig.cameras, (one, two), strict=True):
        assert np.allclose(camera.matrix[:2, :2], matrix[:2, :2], atol=1.0)
    assert np.allclose(found.rig.cameras[1].translation, shift.ravel(), atol=1.0)
    assert np.allclose(found.rig.cameras[1].rotation, rotation, atol=2e-3)


# -- what cannot be done ---------------------------------------------------------------------------------------------


def test_groups_of_cameras_that_share_no_board_are_named() -> None:
    truth = rigs.rig(4)
    shown = np.ones((4, 60), bool)
    shown[:2, 30:], shown[2:, :30] = False, False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 60, shown=shown))
    said = refusal("CamerasApart", lambda: calibrate(BOARD, views))
    assert "camera-1 and camera-2; camera-3 and camera-4" in said


def test_boards_that_one_camera_sees_at_a_time() -> None:
    truth = rigs.rig(2)
    shown = np.zeros((2, 40), bool)
    shown[0, ::2], shown[1, 1::2] = True, True
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40, shown=shown))
    said = refusal("CamerasApart", lambda: calibrate(BOARD, views))
    assert "camera-1; camera-2" in said
    assert "at the same time" in said


def test_cameras_whose_pictures_are_never_of_the_same_moment() -> None:
    _, views = usual(count=40)
    both = shared(views)
    later = {number: views[1].corners[both[(at + 5) % len(both)]] for at, number in enumerate(both)}
    views[1].corners = later
    said = refusal("CamerasDisagree", lambda: calibrate(BOARD, views))
    assert "camera-1 and camera-2 agree on where the board is in only" in said
    assert "same moment" in said


def test_too_few_pictures() -> None:
    _, views = usual()
    views[1].corners = {number: views[1].corners[number] for number in shared(views)[:4]}
    said = refusal("TooFewPictures", lambda: calibrate(BOARD, views))
    assert "Only 4 of the 30 pictures of camera-2 can be used; 5 are needed" in said
    assert "Take 20 or more" in said


def test_noise_that_is_no_board_fits_no_lens() -> None:
    _, views = usual()
    random = np.random.default_rng(0)
    for each in views:
        for corners in each.corners.values():
            corners.pixels[:] = random.uniform(0, 400, corners.pixels.shape)
    with pytest.raises(AnalysisFailed) as refused:
        calibrate(BOARD, views)
    assert refused.value.kind == "NotCalibrated"
