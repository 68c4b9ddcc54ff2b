"""Calibrations in other people's files; and files that are none."""

from __future__ import annotations

import os
import pickle
import random
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.calibration_toml import summary
from dlc_jupyter.pose3d import pickles
from dlc_jupyter.pose3d.calibrations import read, read_stereo, stereo_parameters, write_stereo_pickle, write_toml
from dlc_jupyter.pose3d.cameras import Rig
from tests.pose3d import rigs

POINTS = rigs.motion(20, 4)


@pytest.fixture
def rig() -> Rig:
    return replace(rigs.rig(3), error=0.0625, source="drawn")


@pytest.fixture
def pair(rig) -> Rig:
    return rig.chosen(["camera-1", "camera-3"])


def assert_same(found: Rig, truth: Rig, points: rigs.Array = POINTS) -> None:
    assert np.abs(found.project(points) - truth.project(POINTS)).max() < 1e-6
    assert [camera.size for camera in found.cameras] == [camera.size for camera in truth.cameras]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(AnalysisFailed) as refused:
        call()
    assert refused.value.kind == "CalibrationUnreadable"
    return str(refused.value)


# -- calibration.toml ------------------------------------------------------------------------------------------------


def test_a_toml_comes_back_as_it_was(rig, tmp_path) -> None:
    names = ["left ä", 'right "2"', "top\\3"]
    named = replace(rig, cameras=tuple(replace(c, name=n) for c, n in zip(rig.cameras, names, strict=True)))
    found = read(write_toml(named, tmp_path / "calibration.toml"))
    assert_same(found, rig)
    assert found.names == tuple(names)
    assert (found.unit, found.error, found.source) == ("mm", 0.0625, "drawn")


def test_a_fisheye_stays_one(rig, tmp_path) -> None:
    camera = replace(rig.cameras[0], distortion=np.array([0.1, 0.01, 0, 0]), fisheye=True)
    wide = replace(rig, cameras=(camera, *rig.cameras[1:]))
    found = read(write_toml(wide, tmp_path / "calibration.toml"))
    assert [each.fisheye for each in found.cameras] == [True, False, False]
    assert_same(found, wide)


def test_what_goes_up_is_said_where_a_board_lay_on_the_floor(rig, tmp_path) -> None:
    path = write_toml(rig, tmp_path / "calibration.toml")
    assert read(path).up == ""
    assert read(write_toml(replace(rig, up="z"), path)).up == "z"
    assert "up" not in write_toml(rig, path).read_text()
    path.write_text(path.read_text() + 'up = "sideways"\n')
    assert read(path).up == ""


def test_more_than_ten_cameras_keep_their_order(tmp_path) -> None:
    many = rigs.rig(12)
    assert read(write_toml(many, tmp_path / "calibration.toml")).names == many.names
    text = (tmp_path / "calibration.toml").read_text()
    (tmp_path / "anipose.toml").write_text(
        text.replace("[cam_0", "[cam_")
    )  # cam_2 behind cam_11, were they sorted as text
    assert read(tmp_path / "anipose.toml").names == many.names


ANIPOSE = """
[cam_0]
name = "A"
size = [ 640, 480,]
matrix = [ [ 600.0, 0.0, 320.0,], [ 0.0, 600.0, 240.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.1, 0.0, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.0, 0.0,]
translation = [ 0.0, 0.0, 0.0,]

[cam_1]
name = "B"
size = [ 640, 480,]
matrix = [ [ 600.0, 0.0, 320.0,], [ 0.0, 600.0, 240.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.1, 0.0, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.5, 0.0,]
translation = [ -200.0, 0.0, 50.0,]

[metadata]
adjusted = false
error = 0.25
"""


def test_a_file_of_anipose_is_read(tmp_path) -> None:
    """As ``toml.dump`` writes it: with a comma behind the last number."""
    path = tmp_path / "anything"
    path.write_text(ANIPOSE)
    found = read(path, unit="mm")
    assert (found.names, found.unit, found.error, found.source) == (("A", "B"), "mm", 0.25, "Anipose")
    assert np.allclose(found.cameras[1].rotation, cv2.Rodrigues(np.array([0, 0.5, 0]))[0])
    assert read(path, names=["links", "rechts"]).names == ("links", "rechts")
    assert "2 cameras (A, B), but 3 names" in refusal(lambda: read(path, names=["a", "b", "c"]))


def test_a_summary_needs_neither_numpy_nor_opencv(rig, tmp_path) -> None:
    path = write_toml(rig, tmp_path / "calibration.toml")
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['cv2'] = None;"
        "from pathlib import Path; from dlc_jupyter.pose.calibration_toml import summary;"
        f"print(summary(Path({str(path)!r})))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert (
        eval(said)
        == summary(path)
        == {
            "cameras": ["camera-1", "camera-2", "camera-3"],
            "error": 0.0625,
            "unit": "mm",
            "source": "drawn",
        }
    )


def test_anipose_reads_ours_and_we_read_its(rig, tmp_path) -> None:
    """Where aniposelib is installed; it is in no requirement."""
    anipose = pytest.importorskip("aniposelib.cameras")
    group = anipose.CameraGroup.load(str(write_toml(rig, tmp_path / "ours.toml")))
    assert group.get_names() == list(rig.names)
    pixels = rig.project(POINTS)
    assert np.abs(group.project(POINTS.reshape(-1, 3)).reshape(pixels.shape) - pixels).max() < 1e-3
    found = group.triangulate(pixels.reshape(len(rig), -1, 2), undistort=True)
    assert np.abs(found - POINTS.reshape(-1, 3)).max() < 1e-2
    group.dump(str(tmp_path / "its.toml"))
    assert_same(read(tmp_path / "its.toml"), rig)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("600.0, 0.0, 320.0", "nan, 0.0, 320.0"), "no number"),
        (("-0.1, 0.0, 0.0, 0.0, 0.0", "inf, 0.0, 0.0, 0.0, 0.0"), "no number"),
        (("600.0, 0.0, 320.0", "-600.0, 0.0, 320.0"), "larger than 0"),
        (("0.0, 0.0, 1.0", "0.0, 1.0"), "impossible"),
        (("-0.1, 0.0, 0.0, 0.0, 0.0", "-0.1, 0.0, 0.0, 0.0, 0.0, 0.0"), "has 6 coefficients"),
        (('name = "B"', 'name = "A"'), "Two cameras have the same name: A, A"),
        (("translation", "place"), "has no translation"),
        (("size = [ 640, 480,]", "size = [ 640,]"), "impossible"),
        (("size = [ 640, 480,]", "size = 'wide'"), "something else than numbers"),
        (("rotation = [ 0.0, 0.5, 0.0,]", "rotation = [ 0.0, 0.5,]"), "neither a matrix"),
        (("[cam_1]", "[cam_0]"), "no TOML that can be read"),
        (("[cam_1]", "[cam_1"), "no TOML that can be read"),
        ((ANIPOSE[ANIPOSE.index("[cam_1]") : ANIPOSE.index("[metadata]")], ""), "one camera only (A)"),
        (("[metadata]", "[[metadata]]"), "no calibration"),
    ],
)
def test_a_toml_with_something_wrong_is_refused_for_it(tmp_path, change, said) -> None:
    path = tmp_path / "calibration.toml"
    assert change[0] in ANIPOSE
    path.write_text(ANIPOSE.replace(*change))
    assert said in refusal(lambda: read(path))


# -- DeepLabCut ------------------------------------------------------------------------------------------------------


def test_two_cameras_come_back_from_deeplabcuts_file_along_its_own_axes(pair, tmp_path) -> None:
    path = write_stereo_pickle(pair, tmp_path / "stereo_params.pickle")
    found = read(path)
    assert (found.names, found.unit, found.source) == (("camera-1", "camera-3"), "mm", "DeepLabCut")
    # DeepLabCut itself writes no unit.
    assert read(write_stereo_pickle(replace(pair, unit=""), tmp_path / "theirs.pickle")).unit == "squares"
    upright = stereo_parameters(pair)["R1"]
    assert_same(found, pair, POINTS @ upright.T)
    assert np.allclose(found.cameras[0].rotation, upright.T)
    # The same from the folder, and from the project with it.
    folder = tmp_path / "project" / "camera_matrix"
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    for place in (folder, folder.parent):
        assert_same(read(place), pair, POINTS @ upright.T)


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


def test_a_pickle_of_one_lens_is_named(tmp_path) -> None:
    path = tmp_path / "camera-1_intrinsic_params.pickle"
    path.write_bytes(pickle.dumps({"camera-1": {"mtx": np.eye(3), "dist": np.zeros((1, 5)), "objpoints": []}}))
    assert "calibration of a single lens" in refusal(lambda: read(path))


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


# -- pickles that are none -------------------------------------------------------------------------------------------


class Runs:
    """Its pickle makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self._command = f"touch {path}"

    def __reduce__(self) -> Any:
        return os.system, (self._command,)


def test_a_pickle_cannot_run_code(pair, tmp_path) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "stereo_params.pickle"
    hidden = {**stereo_parameters(pair), "Q": Runs(mark)}
    holder = np.array([Runs(mark), None], object)
    for evil in (Runs(mark), {"camera-1-camera-2": hidden}, holder, {"a": [holder]}):
        for protocol in range(6):
            path.write_bytes(b"\x80" * (protocol < 2) + pickle.dumps(evil, protocol=protocol))
            refusal(lambda: read(path))
            assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))  # the real thing would
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04cbuiltins\ngetattr\n(c_codecs\nencode\nS'__globals__'\ntR.",
        b"\x80\x02(inumpy\nndarray\n.",  # INST
        b"\x80\x04\x82\x01.",  # EXT1
        b"\x80\x04Pname\n.",  # PERSID
        b"\x80\x04cnumpy\nndarray\n(I100000000000\ntR.",  # much memory
        b"\x80\x04cnumpy\ndtype\nS'O'\n\x85R.",
        b"\x80\x04c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"\x80\x04c_codecs\nencode\n}S'_call'\nNsb.",  # a change of what it may call
        b"\x80\x04.",
        b"\x80\x04",
        b"\x80",
        b"\x80\x09N.",
    ],
)
def test_pickles_made_by_hand_are_refused(tmp_path, content) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(content)
    refusal(lambda: read(path))


def test_a_pickle_cannot_ask_for_much_memory(tmp_path) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(b"\x80\x04Nr\xff\xff\xff\x7f.")  # remember something at place 2 147 483 647
    assert "a place in memory that nothing needs" in refusal(lambda: read(path))
    many = 1 << 40
    for kind in (b"\x96", b"\x8e"):  # an array of bytes, and bytes, of a terabyte
        path.write_bytes(b"\x80\x05" + kind + struct.pack("<Q", many) + b"x.")
        assert "cut off" in refusal(lambda: read(path))


def doubled(times: int) -> list[Any]:
    found: list[Any] = [1.0]
    for _ in range(times):
        found = [found, found]
    return found


def endless() -> list[Any]:
    found: list[Any] = []
    found += [found, found]
    return found


@pytest.mark.parametrize(
    "bomb",
    [
        doubled(40),
        endless(),
        [[[1.0] * 1000] * 1000] * 1000,
        [np.zeros(1000)] * 10**6,
        np.zeros(20_000),
    ],
    ids=["doubled", "endless", "wide", "arrays", "long"],
)
def test_lists_that_would_fill_the_memory_are_not_multiplied_out(pair, tmp_path, bomb) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(pickle.dumps({"camera-1-camera-3": {**stereo_parameters(pair), "R": bomb}}))
    assert "far more numbers than cameras have" in refusal(lambda: read(path))
    with pytest.raises(AnalysisFailed, match="far more numbers"):
        read_stereo(tmp_path, pair.names)


def test_the_same_bytes_again_and_again_need_no_memory(tmp_path) -> None:
    size, times = 1 << 20, 4_000
    text = b"X" + struct.pack("<I", size) + b"a" * size + b"q\x000"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    (tmp_path / "texts").write_bytes(b"\x80\x02" + text + b"](" + again * times + b"e.")
    assert "more than the file's own size" in refusal(lambda: read(tmp_path / "texts"))
    array = pickle.dumps(np.zeros(size // 8), protocol=5).replace(b"\x94", b"")  # nothing else is remembered
    at = array.index(b"\x96")
    begin, end = array[2 + 9 : at], array[at + 9 + size + 9 : -1]  # without protocol, frames, and STOP
    content = b"\x96" + struct.pack("<Q", size) + b"\0" * size + b"q\x000]"
    content += (begin + b"h\x00" + end + b"a") * times
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(pickles.loads(b"\x80\x05" + content + b".")) == times
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # of 4 000 000


def test_a_pickle_with_bytes_changed_at_random_is_read_or_refused(pair, tmp_path) -> None:
    draw, path = random.Random(1), tmp_path / "stereo_params.pickle"
    refused, kinds = 0, set()
    for protocol in (2, 4, 5):
        whole = pickle.dumps({"camera-1-camera-3": stereo_parameters(pair)}, protocol=protocol)
        for _ in range(150):
            content = bytearray(whole)
            for _ in range(draw.choice([1, 1, 2, 8])):
                content[draw.randrange(1, len(content))] = draw.randrange(256)
            if draw.random() < 0.2:
                del content[draw.randrange(len(content)) :]
            path.write_bytes(bytes(content))
            try:
                read(path)
            except AnalysisFailed as error:
                kinds.add(error.kind)
                refused += 1
    assert kinds == {"CalibrationUnreadable"}
    assert refused > 100


def test_a_huge_file_is_not_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "stereo_params.pickle"
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        file.truncate(pickles.MOST_BYTES + 10)
    assert "too large" in refusal(lambda: read(path))
    with path.open("wb") as file:
        file.truncate(pickles.MOST_BYTES + 10)
    assert "too large" in refusal(lambda: read(path))


def test_numbers_come_back_exactly(tmp_path) -> None:
    values = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(1.5), 2], "c": np.asfortranarray(np.eye(3)[:2])}
    for protocol in range(2, 6):
        found = pickles.loads(pickle.dumps(values, protocol=protocol))
        assert np.array_equal(pickles.array(found["a"]), values["a"])
        assert np.array_equal(pickles.array(found["c"]), values["c"])
        assert found["b"] == [1.5, 2]
    big = pickles.loads(pickle.dumps(np.arange(3, dtype=">i4")))
    assert np.array_equal(pickles.array(big), [0, 1, 2])


# -- OpenCV ----------------------------------------------------------------------------------------------------------


def storage(path: Path, **values: Any) -> Path:
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in values.items():
        file.write(name, value)
    file.release()
    return path


FORMS = pytest.mark.parametrize("form", ["yml", "xml"])


@FORMS
def test_a_stereo_pair_of_opencv(pair, tmp_path, form) -> None:
    values = stereo_parameters(pair)
    lenses = {
        "M1": values["cameraMatrix1"], "D1": values["distCoeffs1"],
        "M2": values["cameraMatrix2"], "D2": values["distCoeffs2"],
    }  # fmt: skip
    place = {"R": values["R"], "T": values["T"], "R1": values["R1"], "P1": values["P1"]}
    both = storage(tmp_path / f"stereo.{form}", **lenses, **place, image_width=640, image_height=480)
    assert_same(read(both), pair)
    two = [storage(tmp_path / f"intrinsics.{form}", **lenses), storage(tmp_path / f"extrinsics.{form}", **place)]
    found = read(two, size=(640, 480), names=["left", "right"], unit="cm")
    assert_same(found, pair)
    assert (found.names, found.unit, found.source) == (("left", "right"), "cm", "OpenCV")
    assert "size of the pictures" in refusal(lambda: read(two))
    assert "give both" in refusal(lambda: read(two[0], size=(640, 480)))


@FORMS
def test_many_cameras_of_opencv(rig, tmp_path, form) -> None:
    """As its sample multiview_calibration.py writes them."""
    path = storage(
        tmp_path / f"many.{form}",
        Ks=np.stack([camera.matrix for camera in rig.cameras]),
        distortions=np.stack([camera.distortion[None] for camera in rig.cameras]),
        rvecs=np.stack([cv2.Rodrigues(camera.rotation)[0] for camera in rig.cameras]),
        Ts=np.stack([camera.translation[:, None] for camera in rig.cameras]),
        image_sizes=np.array([camera.size for camera in rig.cameras]),
        is_fisheye=np.zeros(3, int),
        cam_ids="a,b,c",
    )
    found = read(path)
    assert_same(found, rig)
    assert found.names == ("a", "b", "c")


@FORMS
def test_a_file_for_each_camera(rig, tmp_path, form) -> None:
    paths = [
        storage(
            tmp_path / f"{camera.name}.{form}",
            camera_matrix=camera.matrix,
            distortion_coefficients=camera.distortion,
            rotation=cv2.Rodrigues(camera.rotation)[0],
            translation=camera.translation,
            image_width=camera.size[0],
            image_height=camera.size[1],
        )
        for camera in rig.cameras
    ]
    assert_same(read(paths, names=rig.names), rig)
    alone = storage(tmp_path / f"alone.{form}", camera_matrix=np.eye(3), distortion_coefficients=np.zeros(5))
    assert "nothing of where it stands" in refusal(lambda: read([alone, paths[0]]))


YAML_BOMB = "a0: &a0 [1.0, 1.0]\n" + "".join(
    f"a{each}: &a{each} [{', '.join([f'*a{each - 1}'] * 10)}]\n" for each in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no calibration"),
        (b"\x00\x01\x02", "no calibration"),
        (b"\xff\xfe\xfa", "no calibration"),
        (b"hello", "no calibration"),
        (b"[1, 2]", "no calibration"),
        (b"a = 1", "no names"),
        (b"%YAML:1.0\n---\nM1: !!python/object/apply:os.system ['true']", "neither as OpenCV's YAML"),
        (b"%YAML:1.0\n---\nM1: [1, 2", "neither as OpenCV's YAML"),
        (b"%YAML:1.0\n---\nM1: !!opencv-matrix 5\n", "neither as OpenCV's YAML"),
        (b"%YAML:1.0\n---\nM1: !!bool maybe\n", "neither as OpenCV's YAML"),
        (b"a: &a [*a, *a]\n", "other parts of itself"),
        (YAML_BOMB.encode(), "other parts of itself"),
        (f"<o><a>{'<_>' * 40}1{'</_>' * 40}</a></o>".encode(), "deeper than OpenCV"),
        (f"<o><a>{'<_>' * 10**5}1{'</_>' * 10**5}</a></o>".encode(), "deeper than OpenCV"),
        (b"%YAML:1.0\n---\nfoo: 1", "no camera matrix"),
        (b"<?xml version='1.0'?><opencv_storage><M1>", "neither as OpenCV's YAML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "declarations"),
        (b"%YAML:1.0\n---\nKs: 1", "Ks, distortions, rvecs and Ts"),
        (b"%YAML:1.0\n---\nM1: 1\nM2: 1\nR: [1, 2]\nT: 0", "neither a matrix"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path, content, said) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert said in refusal(lambda: read(path))
