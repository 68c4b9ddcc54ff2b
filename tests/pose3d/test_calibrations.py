"""`calibration.toml`, ours and Anipose's."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dlc_jupyter.pose.calibration_toml import summary
from dlc_jupyter.pose3d.calibrations import read, write_toml
from tests.pose3d import rigs
from tests.pose3d.calibrated import POINTS, assert_same, refusal


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
    found = read(path)
    assert (found.names, found.unit, found.error, found.source) == (("A", "B"), "", 0.25, "Anipose")
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
