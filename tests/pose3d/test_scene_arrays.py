"""The arrays that a 3D video is drawn from are the tables, by individual, body part and frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlc_jupyter.pose3d import scene_arrays
from dlc_jupyter.pose3d import tracks as tracks3d
from dlc_jupyter.pose3d.multiview import MultiView
from tests.pose3d import rigs
from tests.pose3d.test_tracks import PARTS, write_2d

FRAMES = 90


@pytest.fixture
def scene(tmp_path: Path):
    """Two animals, and a door that there is once; the second video is read four frames later."""
    rig = rigs.rig(2)
    truth = np.stack([rigs.motion(FRAMES, 3, seed) for seed in range(2)], axis=1)
    door = np.broadcast_to(np.array([[30.0, 20.0, 640.0]]), (FRAMES, 1, 3))
    pixels = rig.project(np.concatenate([truth.reshape(FRAMES, -1, 3), door], axis=1))
    late = np.concatenate([np.zeros((4, *pixels.shape[2:])), pixels[1]])
    options = {"individuals": ["a", "b"], "unique": ["door"], "likelihood": 0.75}
    paths = [
        write_2d(tmp_path / f"{number}.h5", each, **options) for number, each in enumerate((pixels[0], late), start=1)
    ]
    views = MultiView(paths, rig.names, [0, 4])
    made = tracks3d.make(rig, views, FRAMES, tmp_path, "scene")
    found = scene_arrays.write(views, made.files[".h5"], made.files["_quality.h5"], FRAMES, tmp_path / "arrays")
    return found, truth, pixels


def test_individuals_and_body_parts_have_their_places_and_what_there_is_once_its_own(scene) -> None:
    found, truth, pixels = scene
    assert found.individuals == ("a", "b", "single")
    assert found.bodyparts == (*PARTS, "door")
    np.testing.assert_allclose(found.points[:, :2, :3], truth, atol=1e-6)
    np.testing.assert_allclose(found.points[:, 2, 3], np.broadcast_to([30.0, 20.0, 640.0], (FRAMES, 3)), atol=1e-6)
    assert np.isnan(found.points[:, :2, 3]).all()
    assert np.isnan(found.points[:, 2, :3]).all()
    assert found.error.shape == found.points.shape[:-1]
    assert np.nanmax(found.error) < 1e-6
    np.testing.assert_allclose(found.pixels[0](0, FRAMES)[:, 0, :3], pixels[0][:, :3], rtol=1e-6)


def test_pixels_are_read_by_the_frames_of_their_own_video(scene) -> None:
    found, _, pixels = scene
    read = found.pixels[1](-2, 10)
    assert np.isnan(read[:6]).all()  # two before the video, four before the scene
    np.testing.assert_allclose(read[6:, 0, :3], pixels[1][:6, :3], rtol=1e-6)
    assert found.likelihood[1](4, 5)[0, 0, 0] == 0.75
    assert np.isnan(found.likelihood[1](FRAMES + 4, FRAMES + 6)).all()
    assert len(found.pixels[0](50, 60)) == 10


def test_pieces_are_those_of_the_whole(scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = scene
    monkeypatch.setattr(scene_arrays, "_POINTS", 50)
    monkeypatch.setattr("dlc_jupyter.pose3d.multiview._POINTS", 50)
    paths = [tmp_path / "1.h5", tmp_path / "2.h5"]
    views = MultiView(paths, ["camera-1", "camera-2"], [0, 4])
    poses = tmp_path / "scene_DLC_3D.h5"
    again = scene_arrays.write(views, poses, tmp_path / "scene_DLC_3D_quality.h5", FRAMES, tmp_path / "pieces")
    np.testing.assert_array_equal(again.points, found.points)
    np.testing.assert_array_equal(again.pixels[1](0, FRAMES), found.pixels[1](0, FRAMES))
