"""Calibrations in OpenCV's YAML and XML; and files that are neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dlc_jupyter.pose3d.calibrations import read, stereo_parameters
from tests.pose3d.calibrated import assert_same, refusal


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
    found = read(two, size=(640, 480), names=["left", "right"])
    assert_same(found, pair)
    assert (found.names, found.unit, found.source) == (("left", "right"), "", "OpenCV")
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
