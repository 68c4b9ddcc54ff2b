"""DeepLabCut's `stereo_params.pickle` of two cameras: written, read, and what it must have."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose.project_files import pickled_texts, stereo_unit
from dlc_jupyter.pose3d.calibrations import read, read_stereo, stereo_parameters, write_stereo_pickle, write_toml
from tests.pose3d import rigs
from tests.pose3d.calibrated import POINTS, assert_same, refusal


def test_two_cameras_come_back_from_deeplabcuts_file_along_its_own_axes(pair, tmp_path) -> None:
    path = write_stereo_pickle(pair, tmp_path / "stereo_params.pickle")
    found = read(path)
    assert (found.names, found.unit, found.source) == (("camera-1", "camera-3"), "mm", "DeepLabCut")
    upright = stereo_parameters(pair)["R1"]
    assert_same(found, pair, POINTS @ upright.T)
    assert np.allclose(found.cameras[0].rotation, upright.T)
    # The same from the folder, and from the project with it.
    folder = tmp_path / "project" / "camera_matrix"
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    for place in (folder, folder.parent):
        assert_same(read(place), pair, POINTS @ upright.T)


@pytest.mark.parametrize("unit", ["mm", "", "squares", "Maßstäbe"])
def test_our_file_says_its_unit_also_where_nobody_knows_it(pair, tmp_path, unit) -> None:
    path = write_stereo_pickle(replace(pair, unit=unit), tmp_path / "stereo_params.pickle")
    assert read(path).unit == unit
    assert stereo_unit(dict(pairwise(pickled_texts(path))).get("unit")) == unit, "as a server reads it"


@pytest.mark.parametrize("unit", [None, 30, "\ud800", "mm\n[cam_9]", "x" * 21, ["mm"]])
def test_what_is_no_unit_is_not_taken_from_a_file(pair, tmp_path, unit) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(pickle.dumps({"left-right": stereo_parameters(pair) | {"unit": unit}}))
    found = read(path)
    assert found.unit == "squares"
    assert read(write_toml(found, tmp_path / "calibration.toml")).unit == "squares"


def test_opencv_triangulates_with_that_file_as_deeplabcut_does(pair) -> None:
    """What `deeplabcut.triangulate` does with it: undistort with R and P, then cv2.triangulatePoints."""
    values = stereo_parameters(pair)
    flat = [
        cv2.undistortPoints(
            pair.cameras[number - 1].project(POINTS).reshape(-1, 1, 2),
            values[f"cameraMatrix{number}"],
            values[f"distCoeffs{number}"],
            P=values[f"P{number}"],
            R=values[f"R{number}"],
        )
        for number in (1, 2)
    ]
    found = cv2.triangulatePoints(values["P1"], values["P2"], flat[0].reshape(-1, 2).T, flat[1].reshape(-1, 2).T)
    points = (found[:3] / found[3]).T @ values["R1"]
    assert np.abs(points.reshape(POINTS.shape) - POINTS).max() < 1e-2  # of 600


def test_its_values_are_those_that_opencv_calculates(pair) -> None:
    board = rigs.Board(columns=9, rows=6, square=25)
    placed = rigs.board_places(pair, board, 20)
    numbers = np.flatnonzero(placed.seen.all(axis=0))
    values = stereo_parameters(pair)
    lenses = [values[name] for name in ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2")]
    seen = [placed.corners[camera, numbers].astype(np.float32) for camera in (0, 1)]
    points = [board.points.astype(np.float32)] * len(numbers)
    made = cv2.stereoCalibrate(points, *seen, *lenses, (640, 480), flags=cv2.CALIB_FIX_INTRINSIC)
    for name, theirs in zip(("R", "T", "E", "F"), made[5:], strict=True):
        scale = np.abs(theirs).max()
        assert np.allclose(values[name] / scale, theirs / scale, atol=1e-4), name
    assert set(values) >= {"R1", "R2", "P1", "P2", "Q", "roi1", "roi2", "image_shape"}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_of_any_age_are_read(pair, tmp_path, protocol) -> None:
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"camera-1-camera-3": stereo_parameters(pair)}, protocol=protocol))
    assert_same(read(path), pair, POINTS @ stereo_parameters(pair)["R1"].T)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    if protocol < 4:  # as numpy 1 wrote it; later protocols say how long the name is
        assert_same(read(path), pair, POINTS @ stereo_parameters(pair)["R1"].T)


def test_deeplabcuts_file_of_more_cameras_or_of_a_fisheye_is_not_written(rig, pair, tmp_path) -> None:
    assert "two cameras" in refusal(lambda: write_stereo_pickle(rig, tmp_path / "p"))
    wide = replace(pair.cameras[0], distortion=np.zeros(4), fisheye=True)
    refusal(lambda: write_stereo_pickle(replace(pair, cameras=(wide, pair.cameras[1])), tmp_path / "p"))
    assert not (tmp_path / "p").exists()


@pytest.mark.deeplabcut
def test_deeplabcut_reads_it_and_finds_the_points(deeplabcut, pair, tmp_path) -> None:
    """By its own functions, in the order in which `deeplabcut.triangulate` calls them."""
    from deeplabcut.pose_estimation_3d.triangulation import _undistort_views
    from deeplabcut.utils import auxiliaryfunctions, auxiliaryfunctions_3d

    path = write_stereo_pickle(pair, tmp_path / "stereo_params.pickle")
    values = auxiliaryfunctions.read_pickle(str(path))
    likely = np.ones((*POINTS.shape[:2], 1))
    poses = [
        pd.DataFrame(np.concatenate([camera.project(POINTS), likely], axis=-1).reshape(len(POINTS), -1))
        for camera in pair.cameras
    ]
    flat = [view.to_numpy().reshape(-1, 3)[:, :2] for view in _undistort_views([poses], values)[0]]
    matrices = values["camera-1-camera-3"]
    found = auxiliaryfunctions_3d.triangulatePoints(matrices["P1"], matrices["P2"], flat[0].T, flat[1].T)[:3].T
    expected = POINTS.reshape(-1, 3) @ matrices["R1"].T
    assert np.abs(found - expected).max() < 0.01  # of 600; DeepLabCut undistorts with 24 bits
    assert np.abs(read(path).project(found) - pair.project(POINTS.reshape(-1, 3))).max() < 0.01


def lenses(pair, folder) -> list[Path]:
    """Write the files of single lenses as DeepLabCut does: that of the second camera has both."""
    values, paths = {}, []
    for camera in pair.cameras:
        values[camera.name] = {
            "mtx": camera.matrix,
            "dist": camera.distortion[None],
            "objpoints": [np.zeros((54, 3), np.float32)] * 300,  # more numbers than a calibration has
            "imgpoints": [np.zeros((54, 1, 2), np.float32)] * 300,
        }
        paths.append(folder / f"{camera.name}_intrinsic_params.pickle")
        paths[-1].write_bytes(pickle.dumps(values))
    return paths


def test_all_files_of_camera_matrix_are_read_as_that_of_both_cameras(pair, tmp_path) -> None:
    both = write_stereo_pickle(pair, tmp_path / "stereo_params.pickle")
    expected = read(both)
    for paths in ([both, *lenses(pair, tmp_path)], [*lenses(pair, tmp_path), both]):
        found = read(paths)
        assert found.names == expected.names
        assert_same(found, expected, POINTS)
    assert read([*lenses(pair, tmp_path), both], names=["left", "right"]).names == ("left", "right")
    other = both.with_name("other.pickle")
    other.write_bytes(both.read_bytes())
    assert "2 of the pickles are no calibrations of a single lens" in refusal(lambda: read([both, other]))


def test_lenses_alone_are_named(pair, tmp_path) -> None:
    one, two = lenses(pair, tmp_path)
    for paths in (one, two, [one, two]):
        assert "calibration of a single lens" in refusal(lambda paths=paths: read(paths))


def test_a_project_takes_the_calibration_of_its_own_cameras_in_their_order_only(pair, tmp_path) -> None:
    write_stereo_pickle(pair, tmp_path / "stereo_params.pickle")
    for load in (lambda names: read(tmp_path, names=names), lambda names: read_stereo(tmp_path, names)):
        load(pair.names)
        for names in (pair.names[::-1], ("left", "right")):
            said = refusal(lambda load=load, names=names: load(names))
            assert f"of the cameras camera-1-camera-3, but the project has {'-'.join(names)}" in said
    assert read(tmp_path / "stereo_params.pickle", names=["left", "right"]).names == ("left", "right")


def test_of_several_pairs_none_is_taken_for_the_one_that_is_meant(pair, tmp_path) -> None:
    path, values = tmp_path / "stereo_params.pickle", stereo_parameters(pair)
    path.write_bytes(pickle.dumps({"a-b": values, "b-c": values}))
    assert "several pairs of cameras: a-b, b-c" in refusal(lambda: read(path))
    assert "several pairs" in refusal(lambda: read(path, names=["left", "right"]))
    assert read(path, names=["b", "c"]).names == ("b", "c")


@pytest.mark.parametrize("lacking", ["P1", "R2"])
def test_a_pickle_without_what_deeplabcut_triangulates_with(pair, tmp_path, lacking) -> None:
    path, values = tmp_path / "stereo_params.pickle", stereo_parameters(pair)
    for there in ({}, {lacking: np.eye(2)}, {lacking: np.full_like(values[lacking], np.nan)}):
        rest = {name: each for name, each in values.items() if name != lacking} | there
        path.write_bytes(pickle.dumps({"camera-1-camera-3": rest}))
        assert f"has no {lacking} of" in refusal(lambda: read_stereo(tmp_path, pair.names))


def test_a_name_that_is_no_text_is_told_all_the_same(pair, tmp_path) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(pickle.dumps({"a\ud800-b": stereo_parameters(pair)}))
    assert "a\\ud800-b" in refusal(lambda: read(tmp_path, names=["a", "b"]))


def test_a_folder_without_calibration(tmp_path) -> None:
    assert "calibrate_cameras" in refusal(lambda: read(tmp_path))
    assert "no file missing.toml" in refusal(lambda: read(tmp_path / "missing.toml"))
