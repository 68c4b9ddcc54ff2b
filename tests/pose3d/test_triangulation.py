"""Points found from pixels of which the truth is known, beside OpenCV's and SciPy's own functions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.optimize import least_squares

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.calibrations import stereo_parameters
from dlc_jupyter.pose3d.cameras import Camera, Rig
from dlc_jupyter.pose3d.least_squares import refined
from dlc_jupyter.pose3d.triangulation import Method, Triangulated, subsets, triangulate
from tests.pose3d import rigs

LINEAR = Method(reject=False, weighted=False)


def seen(cameras: int, frames: int = 200, noise: float = 0.0, bodyparts: int = 5, seed: int = 0):
    """Return a rig, what is true and what is seen of it."""
    rig = rigs.rig(cameras, seed=seed)
    truth = rigs.motion(frames, bodyparts, seed=seed)
    pixels = rig.project(truth)
    return rig, truth, pixels + np.random.default_rng(seed).normal(size=pixels.shape) * noise


def away(found: Triangulated, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found.points - truth, axis=-1)


@pytest.mark.parametrize("size", [4, 5, 8, 12, 14])
def test_the_lens_is_that_of_opencv(size: int) -> None:
    random = np.random.default_rng(size)
    distortion = random.normal(size=size) * 0.02
    matrix = np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]])
    points = random.uniform((-1, -1, 3), (1, 1, 5), (500, 3))
    expected = cv2.projectPoints(points[:, None], np.zeros(3), np.zeros(3), matrix, distortion)[0][:, 0]
    camera = Camera("a", (640, 480), matrix, distortion, np.eye(3), np.zeros(3))
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)


def test_the_fisheye_is_that_of_opencv() -> None:
    distortion = np.array([0.02, -0.01, 0.003, -0.001])
    matrix = np.array([[300.0, 0, 320], [0, 310, 240], [0, 0, 1]])
    points = np.random.default_rng(0).uniform((-2, -2, 1), (2, 2, 5), (500, 3))
    points[0] = [0, 0, 1]
    expected = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), matrix, distortion)[0][:, 0]
    camera = Camera("a", (640, 480), matrix, distortion, np.eye(3), np.zeros(3), fisheye=True)
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)
    np.testing.assert_allclose(camera.project(np.array([[0, 0, -1.0], [np.nan] * 3])), np.nan)


@pytest.mark.parametrize("cameras", [2, 3, 6])
@pytest.mark.parametrize("method", [Method(), Method(refine=True), LINEAR])
def test_exact_pixels_give_the_points(cameras: int, method: Method) -> None:
    rig, truth, pixels = seen(cameras)
    found = triangulate(rig, pixels, method=method)
    assert away(found, truth).max() < 1e-9 * 300  # of the scene's size, in mm
    assert found.error.max() < 1e-6
    assert (found.cameras == cameras).all()
    assert found.used.all()
    assert not found.behind.any()


def test_a_scene_far_from_its_origin_is_as_exact() -> None:
    rig, truth, pixels = seen(4)
    far = np.array([1e6, -2e6, 3e6])
    found = triangulate(rig.moved(np.eye(3), -far), pixels)
    assert away(found, truth + far).max() < 1e-6


def test_two_cameras_are_opencv_s_triangulation_of_the_rectified_pictures() -> None:
    rig, _, pixels = seen(2, noise=2.0)
    first, second = rig.cameras
    turn = second.rotation @ first.rotation.T
    shift = second.translation - turn @ first.translation
    lenses = first.matrix, first.distortion, second.matrix, second.distortion
    turn1, turn2, pose1, pose2, *_ = cv2.stereoRectify(*lenses, first.size, turn, shift, alpha=0.9)
    exactly = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-12)
    flat = pixels.reshape(2, -1, 1, 2)
    a = cv2.undistortPointsIter(flat[0], *lenses[:2], turn1, pose1, exactly)[:, 0].T
    b = cv2.undistortPointsIter(flat[1], *lenses[2:], turn2, pose2, exactly)[:, 0].T
    expected = cv2.triangulatePoints(pose1, pose2, a, b)
    expected = (expected[:3] / expected[3]).T @ turn1  # the first camera's axes are the scene's
    np.testing.assert_allclose(triangulate(rig, pixels).points.reshape(-1, 3), expected, atol=1e-6)


def test_deeplabcut_s_own_arithmetic_is_nearly_as_exact() -> None:
    rig, truth, pixels = seen(2)
    method = Method(as_deeplabcut=stereo_parameters(rig))
    exact, rounded = (triangulate(rig, each, method=method) for each in (pixels, pixels.astype(np.float32)))
    assert 1e-7 < away(exact, truth).max() < 1e-2
    assert 1e-5 < away(rounded, truth).max() < 1e-2
    assert rounded.points.dtype == np.float64


def test_several_cameras_are_the_least_squares_of_the_linear_equations() -> None:
    rig, truth, pixels = seen(4, frames=4, noise=2.0)
    likelihood = np.random.default_rng(1).uniform(0.5, 1, pixels.shape[:-1])
    found = triangulate(rig, pixels, likelihood, Method(reject=False))
    rays = rig.normalised(pixels)
    for place in np.ndindex(truth.shape[:2]):
        rows, sides = [], []
        here = (slice(None), *place)
        for pose, ray, weight in zip(rig.poses, rays[here], likelihood[here], strict=True):
            for axis in (0, 1):
                row = weight * (ray[axis] * pose[2] - pose[axis])
                rows.append(row[:3])
                sides.append(-row[3])
        expected = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0]
        np.testing.assert_allclose(found.points[place], expected, rtol=1e-8)


@pytest.mark.parametrize("cameras", [2, 4])
def test_refined_points_have_the_least_distances_in_pixels(cameras: int) -> None:
    rig, truth, pixels = seen(cameras, frames=6, noise=2.0)
    found = triangulate(rig, pixels, method=Method(refine=True, reject=False, loss_scale=1e9))
    for place in np.ndindex(truth.shape[:2]):
        mine = pixels[(slice(None), *place)]

        def distances(point: np.ndarray, mine: np.ndarray = mine) -> np.ndarray:
            return (rig.project(point) - mine).ravel()

        best = least_squares(distances, truth[place], x_scale=10.0, xtol=1e-14, ftol=1e-14, gtol=1e-14)
        np.testing.assert_allclose(found.points[place], best.x, atol=1e-3)
        assert found.error[place] == pytest.approx(np.sqrt(2 * best.cost / cameras), rel=1e-6)


def test_refinement_lets_large_distances_count_less() -> None:
    rig, truth, pixels = seen(6, noise=0.5)
    pixels[2] += 7.0  # less than the threshold: it is not left out
    as_they_are = away(triangulate(rig, pixels, method=Method(reject=False)), truth)
    robust = away(triangulate(rig, pixels, method=Method(refine=True, reject=False, loss_scale=1.0)), truth)
    assert np.median(robust) < 0.5 * np.median(as_they_are)


def test_refinement_comes_from_afar_and_never_makes_worse() -> None:
    rig, truth, pixels = seen(2, noise=1.0)
    flat, goal = pixels.reshape(2, -1, 2), truth.reshape(-1, 3).T
    start = goal + np.random.default_rng(1).normal(size=goal.shape) * 300  # half of the way to the cameras
    weights, scales = np.ones(flat.shape[:-1]), np.full(2, 1e9)
    there = refined(rig, start, flat, weights, scales)
    # Without damping 64 % get there.
    assert (np.linalg.norm(there - goal, axis=0) < 15).mean() > 0.75
    before, after = (np.linalg.norm(rig.project(each.T) - flat, axis=-1) for each in (start, there))
    assert (np.nan_to_num((after**2).sum(0), nan=np.inf) <= np.nan_to_num((before**2).sum(0), nan=np.inf)).all()


# -- what is left out --------------------------------------------------------------------------------------------------


def test_what_is_missing_or_unlikely_is_left_out_camera_by_camera() -> None:
    rig, truth, pixels = seen(3)
    likelihood = np.ones(pixels.shape[:-1])
    likelihood[0, :50] = 0.39
    pixels[0, :50] += 100
    pixels[1, 50:100] = np.nan
    likelihood[2, 50:60] = 0.0
    likelihood[2, 60:70] = np.nan  # nothing is said against it
    found = triangulate(rig, pixels, likelihood)
    assert (found.cameras[:50] == 2).all()
    assert not found.used[0, :50].any()
    assert np.isnan(found.points[50:60]).all()
    assert np.isnan(found.error[50:60]).all()
    assert (found.cameras[50:60] == 0).all()
    assert (found.cameras[60:100] == 2).all()
    kept = np.r_[0:50, 60:200]
    assert away(found, truth)[kept].max() < 1e-6
    fewer = triangulate(rig, pixels, likelihood, Method(min_cameras=3))
    assert np.isnan(fewer.points[:100]).all()
    assert away(fewer, truth)[100:].max() < 1e-6


def test_a_likely_camera_counts_more() -> None:
    rig, truth, pixels = seen(4, noise=0.5)
    pixels[3] += 6
    likelihood = np.ones(pixels.shape[:-1])
    likelihood[3] = 0.5
    weighted, plain = (
        away(triangulate(rig, pixels, likelihood, Method(reject=False, weighted=weighted)), truth)
        for weighted in (True, False)
    )
    assert np.median(weighted) < 0.6 * np.median(plain)


@pytest.mark.parametrize("refine", [False, True])
def test_gross_outliers_cost_little(refine: bool) -> None:
    rig, truth, pixels = seen(6, frames=400, noise=1.0, bodyparts=6)
    random = np.random.default_rng(3)
    wrong = random.random(pixels.shape[:-1]) < 0.1
    pixels[wrong] = random.uniform((0, 0), (640, 480), (wrong.sum(), 2))
    found = triangulate(rig, pixels, method=Method(refine=refine))
    linear = triangulate(rig, pixels, method=LINEAR)
    # Of six cameras none is wrong in 53 % of the points; there nothing can be better than the linear solution.
    assert np.median(away(found, truth)) < np.median(away(linear, truth)) * 0.6
    hit = wrong.any(0)
    assert np.median(away(found, truth)[hit]) < np.median(away(linear, truth)[hit]) / 50
    assert np.percentile(away(found, truth), 95) < np.percentile(away(linear, truth), 95) / 20
    assert (found.used & wrong).sum() < 0.01 * wrong.sum()
    assert np.median(found.error) < 2
    assert (found.errors[wrong & np.isfinite(found.errors)] > 6.4).mean() > 0.98


def test_three_cameras_know_which_one_is_wrong() -> None:
    rig, truth, pixels = seen(3, noise=0.5)
    pixels[1, ::2] += [60, -45]
    found = triangulate(rig, pixels)
    assert (found.used[1] == (np.arange(200) % 2 == 1)[:, None]).all()
    assert away(found, truth).max() < 20


def test_where_no_two_cameras_agree_there_is_no_point() -> None:
    rig, _, pixels = seen(3)
    pixels[1] += [0, 60]
    pixels[2] -= [0, 60]
    found = triangulate(rig, pixels)
    assert np.isnan(found.points).all()
    assert (found.cameras == 0).all()


def test_what_would_be_behind_a_camera_is_no_point() -> None:
    rig = rigs.rig(2, distorted=False)
    pixels = rig.project(rigs.motion(100, 5))
    pixels[1, 50:, :, 0] += 500  # the rays go apart
    found = triangulate(rig, pixels)
    assert (found.behind == (np.arange(100) >= 50)[:, None]).all()
    assert (np.isnan(found.points).all(-1) == found.behind).all()
    assert (found.cameras == np.where(found.behind, 0, 2)).all()
    kept = triangulate(rig, pixels, method=Method(as_deeplabcut=stereo_parameters(rig)))
    assert np.isfinite(kept.points).all()
    assert np.isnan(kept.error[50:]).all()


def test_cameras_that_agree_on_what_is_behind_them_do_not_agree() -> None:
    rig = rigs.rig(6, distorted=False)
    truth = rigs.motion(50, 3)
    pixels = rig.project(truth)
    middle = np.mean([camera.centre for camera in rig.cameras], axis=0)
    behind = rigs.CENTRE + 6 * (middle - rigs.CENTRE)
    for index, camera in enumerate(rig.cameras[2:], 2):  # four against two
        x, y, depth = camera.seen(behind)
        assert depth < 0
        pixels[index] = camera.pixels(np.array([x, y]) / depth)
    found = triangulate(rig, pixels)
    assert away(found, truth).max() < 1e-6
    assert (found.cameras == 2).all()


def test_the_numbers_depend_neither_on_threads_nor_on_what_else_is_asked() -> None:
    rig, _, pixels = seen(4, frames=4000, noise=3.0)
    pixels[1, ::3] += 50
    shares: list[float] = []
    all_of_them = triangulate(rig, pixels, threads=3, progress=shares.append)
    alone = triangulate(rig, pixels, threads=1)
    np.testing.assert_array_equal(all_of_them.points, alone.points)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    some = triangulate(rig, pixels[:, 3000:3100])
    np.testing.assert_allclose(some.points, all_of_them.points[3000:3100], rtol=1e-12)


def test_progress_can_end_it() -> None:
    rig, _, pixels = seen(3, frames=4000)

    def stop(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        triangulate(rig, pixels, progress=stop)


def test_any_shape_and_no_points_at_all() -> None:
    rig, truth, pixels = seen(3)
    found = triangulate(rig, pixels.reshape(3, 20, 10, 5, 2))
    assert found.points.shape == (20, 10, 5, 3)
    assert found.errors.shape == (3, 20, 10, 5)
    assert away(found, truth.reshape(20, 10, 5, 3)).max() < 1e-6
    assert triangulate(rig, pixels[:, :0]).points.shape == (0, 5, 3)


def test_one_camera_is_refused() -> None:
    rig = rigs.rig(2)
    with pytest.raises(AnalysisFailed, match="one camera") as refused:
        triangulate(Rig(rig.cameras[:1]), np.zeros((1, 4, 2)))
    assert refused.value.kind == "OneCamera"
    with pytest.raises(ValueError, match="2 cameras"):
        triangulate(rig, np.zeros((3, 4, 2)))
    with pytest.raises(ValueError, match="two cameras"):
        Method(min_cameras=1)
    with pytest.raises(ValueError, match="above 0"):
        Method(threshold=0)


def test_subsets_are_bounded_and_reach_every_camera() -> None:
    assert subsets(3) == [(0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert len(subsets(6)) == 15 + 20
    for cameras in (7, 12, 30):
        chosen = subsets(cameras)
        assert len(chosen) <= 64
        assert {each for subset in chosen for each in subset} == set(range(cameras))


# -- beside Anipose --------------------------------------------------------------------------------------------------


def test_anipose_finds_the_same_points_and_errors() -> None:
    cameras = pytest.importorskip("aniposelib.cameras", reason="aniposelib is not installed")
    rig, truth, exact = seen(4, frames=20)
    group = cameras.CameraGroup(
        [
            cameras.Camera(
                name=each.name,
                size=each.size,
                matrix=each.matrix,
                dist=each.distortion,
                rvec=cv2.Rodrigues(each.rotation)[0].ravel(),
                tvec=each.translation,
            )
            for each in rig.cameras
        ]
    )
    for noise, least in ((0.0, 1e-3), (1.0, 0.05)):
        pixels = exact + np.random.default_rng(0).normal(size=exact.shape) * noise
        found = triangulate(rig, pixels, method=LINEAR)
        theirs = group.triangulate(pixels.reshape(4, -1, 2)).reshape(truth.shape)
        # It weighs the equations otherwise: what differs is small beside the error itself.
        assert np.abs(found.points - theirs).max() < least
        apart = group.reprojection_error(found.points.reshape(-1, 3), pixels.reshape(4, -1, 2))
        errors = np.linalg.norm(apart, axis=-1).reshape(found.errors.shape)
        np.testing.assert_allclose(found.errors, errors, atol=1e-6)
