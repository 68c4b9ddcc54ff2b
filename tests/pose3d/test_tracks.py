"""2D poses on disk become 3D poses on disk: every frame, every body part, every animal, and how good they are."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.tables import PoseTable
from dlc_jupyter.pose3d import tracks as tracks3d
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.multiview import MultiView, check_rates, common_frames
from dlc_jupyter.pose3d.triangulation import Method
from tests.pose3d import rigs

PARTS = ["snout", "body", "tail"]


def write_2d(
    path: Path,
    pixels: Array,
    parts: Sequence[str] = PARTS,
    individuals: Sequence[str] = (),
    unique: Sequence[str] = (),
    likelihood: Array | float = 1.0,
    scorer: str = "net",
    kind: type = np.float64,
) -> Path:
    """Write pixels, shape (frames, points, 2), as DeepLabCut does."""
    points = [(name, part) for name in individuals or [""] for part in parts] + [("single", part) for part in unique]
    coords = ("x", "y", "likelihood")
    if individuals:
        names = ["scorer", "individuals", "bodyparts", "coords"]
        columns = [(scorer, *point, coord) for point in points for coord in coords]
    else:
        names = ["scorer", "bodyparts", "coords"]
        columns = [(scorer, point[1], coord) for point in points for coord in coords]
    values = np.concatenate([pixels, np.broadcast_to(likelihood, pixels.shape[:-1])[..., None]], -1)
    frame = pd.DataFrame(
        values.reshape(len(pixels), -1).astype(kind), columns=pd.MultiIndex.from_tuples(columns, names=names)
    )
    frame.to_hdf(path, key="df_with_missing", format="table", mode="w")
    return path


def single(
    folder: Path, cameras: int = 3, frames: int = 300, noise: float = 0.5, **options
) -> tuple[Rig, Array, list[Path]]:
    """Write the poses of one animal; return the rig, the truth and the files."""
    rig = rigs.rig(cameras)
    truth = rigs.motion(frames, len(PARTS))
    pixels = rig.project(truth)
    pixels += np.random.default_rng(0).normal(size=pixels.shape) * noise
    return (
        rig,
        truth,
        [write_2d(folder / f"{name}.h5", each, **options) for name, each in zip(rig.names, pixels, strict=True)],
    )


def test_every_frame_and_body_part_is_written_with_its_quality(tmp_path: Path) -> None:
    rig, truth, paths = single(tmp_path)
    shares: list[float] = []
    made = tracks3d.make(
        rig, MultiView(paths, rig.names), 300, tmp_path, "walk", save_as_csv=True, progress=shares.append
    )
    assert {path.name for path in made.files.values()} == {
        f"walk_DLC_3D{ending}" for ending in (".h5", ".csv", "_quality.h5", "_quality.csv", "_meta.pickle")
    }
    poses = pd.read_hdf(made.files[".h5"], "df_with_missing")
    assert poses.columns.names == ["scorer", "bodyparts", "coords"]
    assert poses.columns.tolist() == [("DLC_3D", part, coord) for part in PARTS for coord in "xyz"]
    assert (poses.index == np.arange(300)).all()
    assert poses.dtypes.unique().tolist() == [np.float64]
    assert np.linalg.norm(poses.to_numpy().reshape(truth.shape) - truth, axis=-1).max() < 5
    quality = pd.read_hdf(made.files["_quality.h5"])
    assert quality.columns.tolist() == [("DLC_3D", part, name) for part in PARTS for name in ("error", "cameras")]
    assert (quality.xs("cameras", axis=1, level="coords") == 3).all(axis=None)
    errors = quality.xs("error", axis=1, level="coords").to_numpy()
    assert made.summary["error"]["median"] == pytest.approx(np.median(errors), rel=0.01)
    assert made.summary["error"]["p95"] == pytest.approx(np.percentile(errors, 95), rel=0.01)
    assert made.summary["unit"] == "mm"
    assert (made.summary["found"], made.summary["frames"], made.summary["behind"]) == (1.0, 300, 0.0)
    assert list(made.summary["bodyparts"]) == PARTS
    assert made.summary["bodyparts"]["body"]["error"]["median"] == pytest.approx(np.median(errors[:, 1]), rel=0.01)
    assert list(made.summary["cameras"]) == list(rig.names)
    assert "individuals" not in made.summary
    assert made.findings == []
    assert shares == sorted(shares)
    assert shares[-1] == 1
    with pd.HDFStore(made.files[".h5"], "r") as store:
        assert store.get_storer("df_with_missing").attrs.unit == "mm"
    for kind in ("", "_quality"):
        table, text = pd.read_hdf(made.files[f"{kind}.h5"]), made.files[f"{kind}.csv"].read_text()
        assert text == table.to_csv(lineterminator="\n")
    assert pickle.loads(made.files["_meta.pickle"].read_bytes()) == {
        "stereo_matrix": {},
        "stereo_matrix_file": "",
        "scorer_name": dict.fromkeys(rig.names, "net"),
    }


def test_pieces_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, _, paths = single(tmp_path, noise=2.0)
    views = MultiView(paths, rig.names)
    whole = tracks3d.make(rig, views, 300, tmp_path, "whole", save_as_csv=True)
    monkeypatch.setattr("dlc_jupyter.pose3d.multiview._POINTS", 7 * len(PARTS))
    pieces = tracks3d.make(rig, views, 300, tmp_path, "pieces", save_as_csv=True)
    pd.testing.assert_frame_equal(*(pd.read_hdf(each.files[".h5"]) for each in (whole, pieces)), rtol=1e-12)
    assert pieces.summary == whole.summary


def test_several_animals_have_one_name_in_all_views(tmp_path: Path) -> None:
    rig = rigs.rig(3)
    truth = np.stack([rigs.motion(200, 3, seed) for seed in range(2)], axis=1)
    door = np.broadcast_to(np.array([[30.0, 20.0, 640.0]]), (200, 1, 3))
    pixels = np.concatenate([rig.project(truth).reshape(3, 200, -1, 2), rig.project(door)], axis=2)
    swapped = [3, 4, 5, 0, 1, 2, 6]
    options = {"individuals": ["a", "b"], "unique": ["door"]}
    paths = [write_2d(tmp_path / "1.h5", pixels[0], **options)]
    paths.append(write_2d(tmp_path / "2.h5", pixels[1][:, swapped], **options))
    # The third network has its own names, and its body parts in another order.
    other = [5, 4, 3, 2, 1, 0, 6]
    options["individuals"] = ["x", "y"]
    paths.append(write_2d(tmp_path / "3.h5", pixels[2][:, other], parts=PARTS[::-1], **options))
    made = tracks3d.make(rig, MultiView(paths, rig.names), 200, tmp_path, "two")
    assert made.order == [[0, 1], [1, 0], [1, 0]]
    poses = pd.read_hdf(made.files[".h5"])
    assert poses.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    named = [("a", part) for part in PARTS] + [("b", part) for part in PARTS] + [("single", "door")]
    assert poses.columns.tolist() == [("DLC_3D", *point, coord) for point in named for coord in "xyz"]
    expected = np.concatenate([truth.reshape(200, -1, 3), door], axis=1)
    np.testing.assert_allclose(poses.to_numpy().reshape(expected.shape), expected, atol=1e-6)
    assert list(made.summary["individuals"]) == ["a", "b", "single"]
    assert list(made.summary["bodyparts"]) == [*PARTS, "door"]
    assert made.summary["cameras"]["camera-2"]["used"] == 1


def test_a_frame_offset_reads_a_video_later_or_earlier(tmp_path: Path) -> None:
    rig = rigs.rig(3)
    truth = rigs.motion(200, 3)
    pixels = rig.project(truth)
    starts = [0, 4, 3]  # the second camera was switched on 4 frames after the first one
    paths = [
        write_2d(tmp_path / f"{name}.h5", pixels[index, start:])
        for index, (name, start) in enumerate(zip(rig.names, starts, strict=True))
    ]
    offsets = [0, -4, -3]
    frames = common_frames(rig.names, [200, 196, 197], offsets, truncate=True)
    assert frames == 200
    made = tracks3d.make(rig, MultiView(paths, rig.names, offsets), frames, tmp_path, "late")
    poses = pd.read_hdf(made.files[".h5"]).to_numpy().reshape(truth.shape)
    assert np.isnan(poses[:3]).all()
    np.testing.assert_allclose(poses[3:], truth[3:], atol=1e-6)
    quality = pd.read_hdf(made.files["_quality.h5"]).xs("cameras", axis=1, level="coords")
    assert quality.iloc[:5, 0].tolist() == [0, 0, 0, 2, 3]
    assert made.findings == []
    for given in (0, 6):
        wrong = tracks3d.make(rig, MultiView(paths, rig.names, [0, given, -3]), 190, tmp_path, "wrong")
        [finding] = wrong.findings
        assert (finding.kind, finding.cameras, finding.frames) == ("out-of-sync", ("camera-2",), -4)
        assert f"by about {given + 4} frames: with a frame_offset of -4" in finding.message


def test_points_of_a_part_are_those_of_the_whole_in_their_rows(tmp_path: Path, monkeypatch) -> None:
    rig, truth, _ = single(tmp_path)
    pixels = rig.project(truth)
    paths = [write_2d(tmp_path / f"{name}.h5", pixels[at, at:]) for at, name in enumerate(rig.names)]
    offsets = [-at for at in range(len(rig))]
    monkeypatch.setattr(tracks3d, "_ROWS", 40)  # in several pieces
    shares: list[float] = []
    whole, part = (
        tracks3d.make(
            rig, MultiView(paths, rig.names, offsets), stop, tmp_path, stem, start=start, progress=shares.append
        )
        for stem, start, stop in (("whole", 0, 290), ("part", 100, 130))
    )
    assert shares[-1] == 1
    for ending in (".h5", "_quality.h5"):
        expected, found = (pd.read_hdf(each.files[ending]) for each in (whole, part))
        assert found.index.tolist() == list(range(130))
        pd.testing.assert_frame_equal(found.loc[100:], expected.loc[100:129])
        assert (found.loc[:99].fillna(0) == 0).all(axis=None)
    assert part.summary["found"] == 1, "of the part"
    assert part.findings == []


def test_unlikely_poses_are_not_used(tmp_path: Path) -> None:
    rig, truth, _ = single(tmp_path)
    pixels = rig.project(truth)
    likelihood = np.ones(pixels.shape[:-1])
    likelihood[0, ::2], pixels[0, ::2] = 0.5, 3.0
    paths = [
        write_2d(tmp_path / f"{name}.h5", pixels[index], likelihood=likelihood[index])
        for index, name in enumerate(rig.names)
    ]
    made = tracks3d.make(rig, MultiView(paths, rig.names), 300, tmp_path, "sure", Method(pcutoff=0.6))
    poses = pd.read_hdf(made.files[".h5"]).to_numpy().reshape(truth.shape)
    np.testing.assert_allclose(poses, truth, atol=1e-6)
    assert (
        pd.read_hdf(made.files["_quality.h5"]).xs("cameras", axis=1, level="coords").iloc[:, 0] == [2, 3] * 150
    ).all()


def test_the_table_of_poses_is_read_in_pieces_like_any_other(tmp_path: Path) -> None:
    rig, truth, paths = single(tmp_path, noise=0)
    made = tracks3d.make(rig, MultiView(paths, rig.names), 300, tmp_path, "walk")
    read = [values for _, values in PoseTable(made.files[".h5"]).pieces(range(300), 100)]
    np.testing.assert_allclose(np.concatenate(read).reshape(truth.shape), truth, atol=1e-6)


# -- what cannot be done -----------------------------------------------------------------------------------------------


def test_an_animal_that_is_there_for_a_moment_is_found(tmp_path: Path) -> None:
    rig = rigs.rig(2)
    truth = rigs.motion(5000, 3)
    pixels = rig.project(truth)
    pixels[:, :1003], pixels[:, 1005:] = np.nan, np.nan
    paths = [write_2d(tmp_path / f"{name}.h5", each) for name, each in zip(rig.names, pixels, strict=True)]
    made = tracks3d.make(rig, MultiView(paths, rig.names), 5000, tmp_path, "short")
    poses = pd.read_hdf(made.files[".h5"]).to_numpy().reshape(truth.shape)
    np.testing.assert_allclose(poses[1003:1005], truth[1003:1005], atol=1e-6)
    assert made.summary["found"] == 0.0004


def test_poses_that_are_nan_throughout_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    rig = rigs.rig(2)
    nothing = np.full((50, 3, 2), np.nan)
    paths = [write_2d(tmp_path / f"{name}.h5", nothing) for name in rig.names]
    with pytest.raises(AnalysisFailed) as refused:
        tracks3d.make(rig, MultiView(paths, rig.names), 50, tmp_path, "none")
    assert refused.value.kind == "NoPoses"
    assert "camera-1 and camera-2" in refused.value.message
    assert {path.name for path in tmp_path.iterdir()} == {"camera-1.h5", "camera-2.h5"}


def test_one_camera_and_one_video_twice_are_refused(tmp_path: Path) -> None:
    rig, _, paths = single(tmp_path, 2)
    with pytest.raises(AnalysisFailed) as refused:
        tracks3d.make(Rig(rig.cameras[:1]), MultiView(paths[:1], rig.names[:1]), 300, tmp_path, "one")
    assert refused.value.kind == "OneCamera"
    with pytest.raises(AnalysisFailed) as refused:
        tracks3d.make(rig, MultiView([paths[0], paths[0]], rig.names), 300, tmp_path, "twice")
    assert refused.value.kind == "SamePoses"


def test_different_body_parts_or_animals_are_refused(tmp_path: Path) -> None:
    rig, _, paths = single(tmp_path, 2)
    pixels = np.zeros((10, 3, 2))
    other = write_2d(tmp_path / "other.h5", pixels, parts=["snout", "body", "ear"])
    with pytest.raises(AnalysisFailed, match="tail only in camera-1 and ear only in camera-2") as refused:
        MultiView([paths[0], other], rig.names)
    assert refused.value.kind == "DifferentBodyparts"
    two = write_2d(tmp_path / "two.h5", np.zeros((10, 6, 2)), individuals=["a", "b"])
    with pytest.raises(AnalysisFailed, match="are of a single animal, those of camera-2 of 2 animals") as refused:
        MultiView([paths[0], two], rig.names)
    assert refused.value.kind == "DifferentIndividuals"


def test_lengths_must_be_equal_unless_said_otherwise() -> None:
    names = ["left", "right"]
    assert common_frames(names, [100, 100]) == 100
    assert common_frames(names, [100, 100], [0, 3]) == 97
    assert common_frames(names, [100, 100], [0, -3]) == 100
    with pytest.raises(AnalysisFailed, match="left has 100 frames, right has 90") as refused:
        common_frames(names, [100, 90])
    assert refused.value.kind == "LengthMismatch"
    assert "on_length_mismatch=truncate" in refused.value.hint
    assert common_frames(names, [100, 90], truncate=True) == 90
    # Where it is said that they began at different moments, they need not be of one length.
    assert common_frames(names, [100, 90], [0, -10]) == 100
    assert common_frames(names, [100, 90], [0, 3]) == 87
    assert common_frames(names, [100, 90], [5, -5], truncate=True) == 95
    with pytest.raises(AnalysisFailed) as refused:
        common_frames(names, [100, 100], [0, 100])
    assert refused.value.kind == "NoCommonFrames"
    with pytest.raises(AnalysisFailed):
        common_frames(names, [100, 100], [0, -100])


def test_frame_rates_must_be_equal_but_for_what_containers_round() -> None:
    check_rates(["left", "right"], [30.0, 30.003])
    with pytest.raises(AnalysisFailed, match=r"left has 30 frames a second, right has 29\.97") as refused:
        check_rates(["left", "right"], [30.0, 29.97])
    assert refused.value.kind == "RateMismatch"


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    rig, _, paths = single(tmp_path)
    before = set(tmp_path.iterdir())

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracks3d.make(rig, MultiView(paths, rig.names), 300, tmp_path, "walk", save_as_csv=True, progress=stop)
    assert set(tmp_path.iterdir()) == before
