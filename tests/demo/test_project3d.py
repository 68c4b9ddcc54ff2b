"""The demo's 3D model: a DeepLabCut 3D project that lies anywhere, and a calibration that is exact."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.demo import boards
from dlc_jupyter.demo.scene import BODYPARTS, SKELETON
from dlc_jupyter.demo.stereo import RIG
from dlc_jupyter.pose.models import Models, read_model
from dlc_jupyter.pose.project_files import pickled_texts
from dlc_jupyter.pose3d.calibrations import read

FOLDER = demo.MODEL_3D.parent
PICKLE = FOLDER / "camera_matrix" / "stereo_params.pickle"


def contents(folder: Path) -> dict[str, str]:
    """The bytes of all files."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_can_be_used_and_has_the_2d_model_s_body_parts() -> None:
    model = read_model(demo.MODEL_3D_NAME, demo.MODEL_3D)
    assert model.problem is None
    assert model.kind == "3d"
    assert model.cameras == RIG.names
    assert tuple(model.bodyparts) == BODYPARTS
    assert tuple(tuple(bone) for bone in model.skeleton) == SKELETON
    assert len(model.snapshots) == 1


def test_it_names_nothing_of_the_machine_it_was_made_on() -> None:
    for path in (demo.MODEL_3D, demo.CALIBRATION):
        assert not [word for word in path.read_text().split() if word.startswith(("/", "~", "C:"))]
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 20_000


def test_it_runs_from_where_it_lies_and_is_never_rewritten(tmp_path: Path) -> None:
    before = contents(FOLDER)
    models = Models({demo.MODEL_3D_NAME: str(demo.MODEL_3D)}, "")
    staged = models.stage(models.find(demo.MODEL_3D_NAME, "3d"), tmp_path / "model")
    values = yaml.safe_load(staged.read_text())
    assert values["project_path"] == str(tmp_path / "model")
    for camera in RIG.names:
        part = Path(values[f"config_file_{camera}"])
        assert part.is_relative_to(tmp_path)
        assert yaml.safe_load(part.read_text())["bodyparts"] == list(BODYPARTS)
    assert contents(FOLDER) == before


def test_it_may_be_moved_together_with_the_2d_model_and_be_read_only(tmp_path: Path) -> None:
    for folder in (demo.MODEL.parent, FOLDER):
        shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    moved = tmp_path / "elsewhere" / FOLDER.name
    for path in [*moved.rglob("*"), moved]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        models = Models({"moved": str(moved)}, "")
        model = models.find("moved", "3d")
        assert models.stage(model, tmp_path / "staged").is_file()
        here = Models({"here": str(demo.MODEL_3D)}, "")
        assert models.fingerprint(model) == here.fingerprint(here.find("here"))
    finally:
        for path in [moved, *moved.rglob("*")]:
            path.chmod(0o755)


def test_the_calibration_is_that_of_the_cameras() -> None:
    rig = read(demo.CALIBRATION)
    assert rig.names == RIG.names
    assert rig.unit == "mm"
    for mine, theirs in zip(RIG.cameras, rig.cameras, strict=True):
        assert theirs.size == mine.size
        for field in ("matrix", "distortion", "rotation", "translation"):
            assert np.allclose(getattr(theirs, field), getattr(mine, field), rtol=0, atol=1e-9), field


def test_deeplabcut_s_file_says_the_same_of_both_cameras() -> None:
    """The scene of a DeepLabCut project is that of its rectified first camera, in squares of the board."""
    points = np.random.default_rng(0).uniform(-100, 100, (20, 3))
    rig = read(PICKLE)
    assert rig.unit == "squares"
    [apart], [expected] = rig.distances(), RIG.distances()
    assert apart["distance"] * boards.SQUARE == pytest.approx(expected["distance"], rel=1e-5)
    assert "unit" not in pickled_texts(PICKLE), "DeepLabCut writes none"
    assert np.allclose(rig.cameras[0].translation, 0)
    pixels = RIG.project(points)
    one, two = rig.poses
    first, second = rig.normalised(pixels)
    found = cv2.triangulatePoints(one, two, first.T, second.T)
    theirs = (found[:3] / found[3]).T
    between = np.linalg.norm(points[:, None] - points, axis=-1) / boards.SQUARE
    assert np.allclose(np.linalg.norm(theirs[:, None] - theirs, axis=-1), between, atol=1e-4)
    assert np.allclose(rig.project(theirs), pixels, atol=1e-4)


@pytest.mark.deeplabcut
def test_it_has_what_deeplabcut_writes_into_a_new_3d_project(tmp_path: Path) -> None:
    import deeplabcut

    made = deeplabcut.create_new_project_3d("mouse3d", "demo", 2, working_directory=str(tmp_path))
    assert list(yaml.safe_load(Path(made).read_text())) == list(yaml.safe_load(demo.MODEL_3D.read_text()))
