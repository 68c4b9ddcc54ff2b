"""Bundle adjustment, against numerical derivatives and OpenCV's own optimum."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from dlc_jupyter.pose3d.boards import Board
from dlc_jupyter.pose3d.bundle import Scene, View, adjust
from dlc_jupyter.pose3d.cameras import Camera, Rig
from tests.pose3d import rigs

BOARD = Board(columns=9, rows=6, square=25)
LENS = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0], bool)


def scene_of(rig: Rig, boards: int, seed: int = 0) -> Scene:
    placed = rigs.board_places(rig, BOARD, boards, seed)
    return Scene(rig.cameras, placed.rotations, placed.translations)


def seen(truth: Scene, noise: float, seed: int = 0) -> list[View]:
    random = np.random.default_rng(seed)
    views = []
    for camera in range(len(truth.cameras)):
        for board in range(len(truth.rotations)):
            pixels = truth.expected(View(camera, board, BOARD.points, np.zeros((54, 2))))
            views.append(View(camera, board, BOARD.points, pixels + random.normal(0, noise, pixels.shape)))
    return [view for view in views if np.isfinite(view.pixels).all()]


def disturbed(scene: Scene, seed: int = 0) -> Scene:
    random = np.random.default_rng(seed)
    cameras = []
    for number, camera in enumerate(scene.cameras):
        turn = cv2.Rodrigues(random.normal(0, 0.02, 3))[0] if number else np.eye(3)
        cameras.append(
            replace(
                camera,
                matrix=camera.matrix * np.array([[1.03, 1, 1.02], [1, 1.03, 0.99], [1, 1, 1]]),
                distortion=np.zeros_like(camera.distortion),
                rotation=turn @ camera.rotation,
                translation=camera.translation + random.normal(0, 5, 3) * (number > 0),
            )
        )
    return replace(scene, cameras=tuple(cameras))


def total(scene: Scene, views: list[View]) -> float:
    return float(sum(np.sum(scene.distances(view) ** 2) for view in views))


@pytest.mark.parametrize("cameras", [2, 6])
def test_without_noise_the_truth_is_found(cameras) -> None:
    truth = scene_of(rigs.rig(cameras), 12)
    views = seen(truth, 0)
    found = adjust(disturbed(truth), views, [LENS] * cameras)
    for one, other in zip(found.cameras, truth.cameras, strict=True):
        assert np.allclose(one.matrix, other.matrix, atol=1e-3)
        assert np.allclose(one.centre, other.centre, atol=1e-3)
        assert np.allclose(one.distortion, other.distortion, atol=1e-5)


def test_it_is_the_optimum_that_scipy_finds() -> None:
    truth = scene_of(rigs.rig(2), 4)
    views = seen(truth, 0.2)
    found = adjust(truth, views, [LENS] * 2, rounds=100)

    def scene(values: np.ndarray) -> Scene:
        cameras = []
        for number, camera in enumerate(truth.cameras):
            own = values[number * 8 :][:8]
            lens = np.append(own[4:8], 0.0)
            matrix = np.array([[own[0], 0, own[2]], [0, own[1], own[3]], [0, 0, 1.0]])
            place = (np.eye(3), np.zeros(3)) if not number else (cv2.Rodrigues(values[16:19])[0], values[19:22])
            cameras.append(Camera(camera.name, camera.size, matrix, lens, *place))
        boards = values[22:].reshape(-1, 6)
        return Scene(tuple(cameras), np.stack([cv2.Rodrigues(each[:3])[0] for each in boards]), boards[:, 3:])

    start = []
    for camera in truth.cameras:
        start += [*camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]], *camera.distortion[:4]]
    start += [*cv2.Rodrigues(truth.cameras[1].rotation)[0].ravel(), *truth.cameras[1].translation]
    for rotation, translation in zip(truth.rotations, truth.translations, strict=True):
        start += [*cv2.Rodrigues(rotation)[0].ravel(), *translation]

    def apart(values: np.ndarray) -> np.ndarray:
        here = scene(values)
        return np.concatenate([(here.expected(view) - view.pixels).ravel() for view in views])

    theirs = least_squares(apart, np.array(start), x_scale="jac", xtol=1e-14, ftol=1e-14, max_nfev=200)
    assert total(found, views) == pytest.approx(2 * theirs.cost, rel=1e-6)
    other = scene(theirs.x)
    assert np.allclose(found.cameras[1].centre, other.cameras[1].centre, atol=2e-2)
    assert np.allclose(found.cameras[0].matrix, other.cameras[0].matrix, atol=2e-2)


def test_it_is_not_worse_than_opencvs_stereo_calibration() -> None:
    truth = scene_of(rigs.rig(2), 12, seed=4)
    views = seen(truth, 0.2)
    both = {view.board for view in views if view.camera == 0} & {view.board for view in views if view.camera == 1}
    views = [view for view in views if view.board in both]
    found = adjust(disturbed(truth), views, [np.ones(9, bool)] * 2, rounds=100)
    points = [BOARD.points.astype(np.float32)] * len(both)
    pixels = [[view.pixels.astype(np.float32) for view in views if view.camera == camera] for camera in (0, 1)]
    lenses = [value for camera in truth.cameras for value in (camera.matrix, camera.distortion)]
    precise = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 500, 1e-12)
    error, matrix, _, _, _, rotation, translation, _, _ = cv2.stereoCalibrate(
        points, *pixels, *lenses, (640, 480), flags=cv2.CALIB_USE_INTRINSIC_GUESS, criteria=precise
    )
    ours = np.sqrt(total(found, views) / sum(len(view.pixels) for view in views))
    assert ours == pytest.approx(error, rel=1e-4)
    assert np.allclose(found.cameras[1].rotation, rotation, atol=1e-4)
    assert np.allclose(found.cameras[1].translation, translation.ravel(), atol=0.05)
    assert np.allclose(found.cameras[0].matrix, matrix, atol=0.3)


def test_a_fisheye_is_adjusted_too() -> None:
    rig = rigs.rig(2)
    lens = np.array([0.08, -0.03, 0.01, -0.004])
    rig = replace(rig, cameras=tuple(replace(camera, distortion=lens, fisheye=True) for camera in rig.cameras))
    truth = scene_of(rig, 12)
    found = adjust(disturbed(truth), seen(truth, 0), [np.ones(8, bool)] * 2)
    for one, other in zip(found.cameras, truth.cameras, strict=True):
        assert np.allclose(one.matrix, other.matrix, atol=0.05)
        assert np.allclose(one.centre, other.centre, atol=0.05)


def test_gross_errors_hardly_move_it() -> None:
    truth = scene_of(rigs.rig(2), 12)
    views = seen(truth, 0.05)
    random = np.random.default_rng(1)
    for view in views:
        view.pixels[random.integers(0, 54, 2)] += random.choice([-1, 1], (2, 2)) * 8.0
    plain = adjust(truth, views, [LENS] * 2)
    robust = adjust(truth, views, [LENS] * 2, far=0.15)
    away = [abs(found.cameras[1].matrix[0, 0] - truth.cameras[1].matrix[0, 0]) for found in (plain, robust)]
    assert away[1] < 0.2 < away[0]


def test_what_the_check_raises_ends_it() -> None:
    truth = scene_of(rigs.rig(2), 4)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adjust(disturbed(truth), seen(truth, 0.1), [LENS] * 2, check=stop)
