"""`triangulate`: the body parts of the demo's stereo recording in space, and how good that is said to be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import POSE_FILES, Poses, find_analysis
from dlc_jupyter.analyses.provenance import in_result
from dlc_jupyter.demo.scene import BODYPARTS
from dlc_jupyter.demo.stereo import RIG
from dlc_jupyter.demo.views import looking
from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose.camera_names import CAMERA_FIELDS
from dlc_jupyter.pose.compact import Finished
from dlc_jupyter.pose.models import Models
from dlc_jupyter.pose.projects import read_model
from dlc_jupyter.pose3d import deeplabcut as deeplabcut3d
from dlc_jupyter.pose3d import triangulation
from dlc_jupyter.pose3d.calibrations import stereo_parameters, write_toml
from dlc_jupyter.pose3d.cameras import Camera, Rig
from tests.analyses.recordings import CAMERAS, DISTANCE, FRAMES, clips, exact, fails, given, points, project_3d, truth

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def made(run_several, walk):
    """With the demo's real network."""
    return run_several("triangulate", walk)


# -- the result --------------------------------------------------------------------------------------------------------


def test_the_body_parts_are_found_in_space_and_the_result_says_how_well(made) -> None:
    result = made.result
    error = np.linalg.norm(points(result["h5_file"]) - truth()[:FRAMES], axis=-1)
    assert np.median(error) < 0.005 * DISTANCE
    assert (result["frames"], result["unit"], result["found"]) == (FRAMES, "mm", 1.0)
    told = result["reprojection_error"]
    assert 0 < told["median"] < told["p95"] < 3
    assert list(told["bodyparts"]) == list(BODYPARTS) == result["bodyparts"]
    assert list(told["cameras"]) == list(CAMERAS) == result["cameras"]
    assert told["bodyparts"]["snout"].keys() == {"median", "p95", "found"}
    assert told["cameras"]["camera-1"].keys() == {"median", "p95", "used"}
    assert (result["warnings"], made.notes) == ([], [])
    table = pd.read_hdf(result["h5_file"])
    assert result["csv_file"].read_text() == table.to_csv(lineterminator="\n")
    assert table.columns.get_level_values(0).unique().tolist() == [result["scorer"]] == ["DLC_3D"]
    quality = pd.read_hdf(result["quality_file"])
    assert quality.columns.get_level_values("coords").unique().tolist() == ["error", "cameras"]
    assert np.median(quality.xs("error", axis=1, level="coords")) == pytest.approx(told["median"], rel=0.02)
    assert result["calibration"] == {"error": 0.0, "unit": "mm", "source": "the demo's own cameras, exactly known"}


def test_the_points_are_there_in_the_compact_form_too(made) -> None:
    source = Finished.open(made.result["space_file"])
    numbers = np.frombuffer(source.read(0, FRAMES), "<f4").reshape(FRAMES, -1, 4)
    assert (source.frames, source.first, source.values) == (FRAMES, 0, ("x", "y", "z", "error"))
    assert [part for _, part in source.points] == list(BODYPARTS)
    assert np.array_equal(numbers[..., :3], points(made.result["h5_file"]).astype(np.float32), equal_nan=True)
    error = pd.read_hdf(made.result["quality_file"]).xs("error", axis=1, level="coords").to_numpy(np.float32)
    assert np.array_equal(numbers[..., 3], error, equal_nan=True)
    about = {name: made.result[name] for name in ("bodyparts", "individuals", "unit", "fps")}
    skeleton = [list(pair) for pair in read_model("", demo.MODEL_3D).skeleton]
    assert skeleton
    assert source.about == {**about, "up": "z", "skeleton": skeleton}


def test_every_field_of_the_result_is_described(made) -> None:
    described = {name for names in find_analysis("triangulate").results for name in names.split(", ")}
    for camera in CAMERAS:
        described |= {name.replace("<camera>", camera) for name in described}
        described |= {f"{camera}_{name}" for name in ("scorer", "frames")}
    assert set(made.result) - described == set()


def test_what_is_null_is_said_to_be_so_where_it_is_described(quick) -> None:
    described = {}
    for names, meaning in find_analysis("triangulate").results.items():
        described |= dict.fromkeys(names.split(", "), meaning)
    result = quick(save_as_csv=False).result
    empty = {name for name, value in result.items() if value is None}
    assert {"csv_file", "quality_csv_file", "camera-1_csv_file", "camera-2_poses_file"} <= empty
    for name in empty:
        for camera in CAMERAS:
            name = name.replace(f"{camera}_", "<camera>_")
        assert "null" in described[name], name


def test_names_of_cameras_are_held_against_all_that_a_result_says_of_each(run_several, walk) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    result = run_several("triangulate", walk, told=told).result
    offered = {name for kind, each in told if kind == "made" for name in each["result"]}
    for camera in CAMERAS:
        fields = {name for name in offered | set(result) if name.startswith(f"{camera}_")}
        assert fields == {f"{camera}_{name}" for name in CAMERA_FIELDS}


def test_the_2d_poses_are_in_the_result_as_video_makes_them(made, run, walk) -> None:
    alone = run("video", walk["camera-2"])
    mine = pd.read_hdf(made.result["camera-2_h5_file"])
    pd.testing.assert_frame_equal(mine, pd.read_hdf(alone.result["h5_file"]))
    assert made.result["camera-2_csv_file"].is_file()
    smoothed = pd.read_hdf(made.result["camera-2_filtered_h5_file"])
    assert not smoothed.equals(mine)


def test_how_good_it_is_comes_first_and_what_all_cameras_share_is_said_once(made, run, walk) -> None:
    names = list(made.result)
    assert names[:2] == ["warnings", "reprojection_error"]
    assert names[-1] == "provenance"
    assert [name for name in names if name.endswith("_provenance")] == []
    told = made.result["provenance"]
    assert list(told["cameras"]) == list(CAMERAS)
    for number, each in enumerate(told["cameras"].values(), start=1):
        assert each.keys() == {"video", "poses_from"}
        assert (each["video"]["filename"], each["poses_from"]) == (f"walk_{number}.mp4", None)
    alone = run("video", walk["camera-2"]).result["provenance"]
    whole = in_result(made.result, "camera-2_")
    assert whole.keys() == alone.keys()
    for name in alone.keys() - {"video", "parameters"}:  # the video has another name there; those of video are more
        assert whole[name] == alone[name], name


def test_one_progress_bar_goes_through_poses_smoothing_and_points(made) -> None:
    done = [each["done"] for each in made.progress]
    assert done == sorted(done)
    assert {each["total"] for each in made.progress} == {5 * FRAMES}
    assert done.count(5 * FRAMES) == 1
    assert done[-1] == 5 * FRAMES


def test_an_attempt_goes_on_with_the_poses_of_the_one_before(run_several, walk, made, monkeypatch, tmp_path) -> None:
    from dlc_jupyter.analyses import points as module

    def stop(*_arguments, **_keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_order", stop)  # all 2D poses are there
        with pytest.raises(KeyboardInterrupt):
            run_several("triangulate", walk)
    kept = sorted(tmp_path.glob("scratch-several-*"))[-1] / "kept"
    again = run_several("triangulate", walk, kept=kept)
    assert again.progress[0]["done"] >= FRAMES - 1, "the first camera's poses were there at once"
    pd.testing.assert_frame_equal(*(pd.read_hdf(each.result["h5_file"]) for each in (made, again)))


def test_the_2d_poses_outlive_an_error_of_what_comes_after_them(run_several, walk) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    assert fails(run_several, "triangulate", walk, pcutoff=1, told=told).kind == "NoPoses"
    offered = {name: value for kind, each in told if kind == "made" for name, value in each["result"].items()}
    assert offered["cameras"] == list(CAMERAS)
    assert Path(offered["camera-2_poses_file"]).is_file(), "for GET /file/<id>/poses"
    poses = [
        Poses(
            "the-failed-one",
            {name: Path(offered[f"{camera}_{name}"]) for name in POSE_FILES},
            {name: offered[f"{camera}_{name}"] for name in ("scorer", "frames", "provenance")},
        )
        for camera in CAMERAS
    ]
    again = run_several("triangulate", walk, poses=poses)
    assert {each["total"] for each in again.progress} == {3 * FRAMES}, "smoothed, and no network has looked"
    assert again.result["found"] == 1.0
    assert again.result["camera-2_h5_file"] == poses[1].files["h5_file"], "itself: it keeps its name"


def test_poses_that_exist_are_used(quick) -> None:
    ran = quick()
    np.testing.assert_allclose(points(ran.result["h5_file"]), truth()[:FRAMES], atol=1e-3)
    assert {each["total"] for each in ran.progress} == {FRAMES}
    origins = ran.result["provenance"]["cameras"]
    assert [origins[camera]["poses_from"] for camera in CAMERAS] == ["poses-1", "poses-2"]
    assert ran.result["camera-1_meta_file"] is None, "they are offered by the analysis that has made them"
    assert len(pd.read_hdf(ran.result["camera-1_h5_file"])) == FRAMES


def test_a_deeplabcut_project_gives_the_numbers_of_deeplabcut_triangulate(
    deeplabcut, run_several, walk, tmp_path
) -> None:
    project = shutil.copytree(demo.MODEL_3D.parent, tmp_path / "project" / "model3d")
    shutil.copytree(demo.MODEL.parent, tmp_path / "project" / "model")
    (project / "calibration.toml").unlink()
    ours = run_several("triangulate", walk, model=project / "config.yaml").result
    assert (ours["method"], ours["unit"]) == ("deeplabcut", "squares")
    models = Models({"rig": str(project / "config.yaml")}, "")
    config = models.stage(models.find("rig"), tmp_path / "staged" / "model")
    folder = tmp_path / "theirs"
    folder.mkdir()
    videos = [shutil.copy(path, folder / f"walk_{camera}.mp4") for camera, path in walk.items()]
    with deeplabcut3d.readable_projects():
        deeplabcut.triangulate(str(config), [list(map(str, videos))], filterpredictions=True, save_as_csv=True)
    theirs = pd.read_hdf(folder / "walk_DLC_3D.h5")
    mine = pd.read_hdf(ours["h5_file"])
    pd.testing.assert_index_equal(mine.columns, theirs.columns)
    np.testing.assert_array_equal(mine.to_numpy(), theirs.to_numpy())


# -- what the user may say ---------------------------------------------------------------------------------------------


def test_unlikely_positions_are_left_out_as_the_project_or_the_user_says(quick, tmp_path) -> None:
    unsure = exact(tmp_path / "unsure", likelihood=0.5)
    assert quick(poses=unsure).result["found"] == 1.0  # the project says 0.4
    assert quick(poses=unsure, pcutoff=0.45).result["pcutoff"] == 0.45
    failed = fails(quick, poses=unsure, pcutoff=0.6)
    assert (failed.kind, "camera-1 and camera-2" in failed.message) == ("NoPoses", True)


def test_poses_of_a_part_of_the_picture_count_from_its_corner(quick, tmp_path) -> None:
    ran = quick(poses=exact(tmp_path / "part", cropped_at=(32, 20)))
    np.testing.assert_allclose(points(ran.result["h5_file"]), truth()[:FRAMES], atol=1e-3)
    assert ran.result["analysed_parts"]["camera-1"] == (32, 640, 20, 480)


@pytest.mark.parametrize(("late", "corner", "apart"), [(24, (0, 0), 60), (0, (0, 60), 120), (0, (0, 0), 120)])
def test_animals_are_matched_in_the_frames_and_pixels_that_belong_together(
    run_several, tmp_path, late, corner, apart
) -> None:
    frames, first = 40, 24
    way = truth()[first : first + frames + late]
    two = np.concatenate([way, way + np.array([apart, 0, 0])], axis=1)
    pixels = RIG.project(two)
    names, part = ("one", "other"), (corner[0], 640, corner[1], 480)
    poses = [
        given(tmp_path, 0, pixels[0, :frames], individuals=names),
        given(tmp_path, 1, pixels[1, late : late + frames] - corner, individuals=names, part=part),
    ]
    known = stereo_parameters(RIG)
    by_itself = deeplabcut3d.individual_order([each.files["h5_file"] for each in poses], known, 0.4)
    elsewhere = bool(late or any(corner))
    assert by_itself.tolist() == ([[0, 1], [1, 0]] if elsewhere else [[0, 1], [0, 1]])
    videos = dict(zip(CAMERAS, clips(tmp_path, frames), strict=True))
    options = {"method": "deeplabcut", "filterpredictions": False, "frame_offset": {"camera-2": -late}}
    ran = run_several("triangulate", videos, poses=poses, **options)
    assert ran.result["individual_order"] == [[0, 1], [0, 1]]
    told = [note for note in ran.notes if not note.startswith(f"There are no points before frame {late} ")]
    assert [note.startswith("Which animal is which was found by the cameras' geometry") for note in told] == (
        [True] if elsewhere else []
    )
    found = pd.read_hdf(ran.result["h5_file"]).to_numpy().reshape(frames, -1, 3)
    np.testing.assert_allclose(found[late:], two[late:frames], atol=1e-2)


@pytest.mark.parametrize("threads", [1, 3])
def test_points_are_found_with_as_many_threads_as_the_analysis_may_use(quick, monkeypatch, threads) -> None:
    pools: list[int] = []

    class Pool(triangulation.ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            pools.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(triangulation, "ThreadPoolExecutor", Pool)
    ran = quick(threads=threads)
    assert set(pools) == {threads}
    np.testing.assert_allclose(points(ran.result["h5_file"]), truth()[:FRAMES], atol=1e-3)


def test_linear_and_refined_points_are_those_of_exact_poses_too(quick) -> None:
    for parameters in ({"method": "linear"}, {"refine": True}, {"method": "deeplabcut"}, {"max_error": 2.0}):
        ran = quick(**parameters)
        np.testing.assert_allclose(points(ran.result["h5_file"]), truth()[:FRAMES], atol=0.01)


def test_a_video_of_few_frames_is_not_smoothed_and_that_is_said(run_several, tmp_path) -> None:
    videos = dict(zip(CAMERAS, clips(tmp_path, frames=3), strict=True))
    ran = run_several("triangulate", videos, poses=exact(tmp_path / "given", (3, 3)))
    assert ran.notes == [f"{camera}: It has 3 frames, too few to be smoothed." for camera in CAMERAS]


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"min_cameras": 3}, "min_cameras", "has 2 cameras"),
        ({"frame_offset": {"camera-3": 1}}, "frame_offset", "no camera camera-3. There are: camera-1, camera-2"),
        ({"snapshot_index": 7}, "snapshot_index", "camera-1: There is no snapshot 7"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_when_it_is_asked_for(values, field, says) -> None:
    cls, model = find_analysis("triangulate"), read_model("", demo.MODEL_3D)
    [(name, message)] = cls.misfits(cls.validate({"model": "rig", **values}), model)
    assert name == field
    assert says in message
    assert list(cls.misfits(cls.validate({"model": "rig"}), model)) == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"min_cameras": 1}, "min_cameras"),
        ({"max_error": 0}, "max_error"),
        ({"method": "guess"}, "method"),
        ({"method": "deeplabcut", "refine": True}, "refine"),
        ({"frame_offset": "3"}, "frame_offset"),
        ({"frame_offset": {"camera-1": 0.5}}, "frame_offset.camera-1"),
        ({"filtertype": "mean"}, "filtertype"),
        ({"shuffle": 1}, "shuffle"),
    ],
)
def test_wrong_parameters_are_refused_naming_the_field(values, field) -> None:
    with pytest.raises(BadRequest) as refused:
        find_analysis("triangulate").validate({"model": "rig", **values})
    assert [error["field"] for error in refused.value.fields["errors"]] == [field]


def test_an_offset_may_be_given_as_text() -> None:
    found = find_analysis("triangulate").validate({"model": "rig", "frame_offset": '{"camera-2": "-3"}'})
    assert found.frame_offset == {"camera-2": -3}


def three_cameras(tmp_path: Path, third: Camera) -> tuple[Path, Rig]:
    """config.yaml of a project with the demo's cameras and another one, and those cameras."""
    rig = Rig((*RIG.cameras, third), unit="mm")
    config, name = project_3d(tmp_path), third.name
    values = yaml.safe_load(config.read_text()) | {"camera_names": list(rig.names), "num_cameras": 3}
    values |= {f"config_file_{name}": values["config_file_camera-1"]}
    values |= {f"shuffle_{name}": 1, f"trainingsetindex_{name}": 0}
    config.write_text(yaml.safe_dump(values))
    write_toml(rig, config.parent / "calibration.toml")
    return config, rig


def test_of_three_cameras_one_that_disagrees_is_left_out(run_several, walk, tmp_path) -> None:
    third = looking("top", np.array([10.0, -20.0, 900.0]), np.zeros(3), 800.0, (320.0, 240.0), np.zeros(5))
    config, rig = three_cameras(tmp_path, third)
    pixels = rig.project(truth()[:FRAMES])
    pixels[1, 5:9, 0] += 80.0  # the second camera takes something else for the snout
    pixels[2, 12:, 2] = np.nan
    poses = [given(tmp_path, number, each) for number, each in enumerate(pixels)]
    videos = {**walk, "top": walk["camera-1"]}
    options = {"model": config, "poses": poses, "filterpredictions": False}
    result = run_several("triangulate", videos, **options).result
    np.testing.assert_allclose(points(result["h5_file"]), truth()[:FRAMES], atol=0.01)
    counts = pd.read_hdf(result["quality_file"]).xs("cameras", axis=1, level="coords").to_numpy()
    assert (counts[5:9, 0] == 2).all()
    assert (counts[12:, 2] == 2).all()
    assert (counts[:5] == 3).all()
    used = [result["reprojection_error"]["cameras"][name]["used"] for name in rig.names]
    assert used[1] < 1 == used[0] == used[2]
    assert result["method"] == "consensus"
    all_of_them = run_several("triangulate", videos, min_cameras=3, **options).result
    assert np.isnan(points(all_of_them["h5_file"])[12:, 2]).all()
    # One that began later is not missed by the others.
    late = {**options, "frame_offset": {"top": -3}, "poses": [*poses[:2], given(tmp_path, 3, pixels[2, 3:])]}
    assert run_several("triangulate", videos, **late).notes == []
    [note] = run_several("triangulate", videos, min_cameras=3, **late).notes
    assert "no points before frame 3 of the scene: with this frame_offset fewer than 3 videos" in note
    linear = points(run_several("triangulate", videos, method="linear", **options).result["h5_file"])
    assert np.linalg.norm(linear[5:9, 0] - truth()[5:9, 0], axis=-1).min() > 5


def test_of_three_cameras_one_that_was_moved_is_named(run_several, walk, tmp_path) -> None:
    third = looking("side", np.array([500.0, -600.0, 400.0]), np.zeros(3), 800.0, (320.0, 240.0), np.zeros(5))
    config, rig = three_cameras(tmp_path, third)
    pixels = rig.project(truth()[:FRAMES])
    rotation = cv2.Rodrigues(np.deg2rad([3.0, 2.0, 0.0]))[0] @ third.rotation  # on its stand
    moved = replace(third, rotation=rotation, translation=-rotation @ third.centre)
    write_toml(Rig((*RIG.cameras, moved), unit="mm"), config.parent / "calibration.toml")
    poses = [given(tmp_path, number, each) for number, each in enumerate(pixels)]
    videos = {**walk, "side": walk["camera-1"]}
    ran = run_several("triangulate", videos, model=config, poses=poses, filterpredictions=False)
    [warning] = ran.result["warnings"]
    assert (warning["kind"], warning["cameras"]) == ("camera-moved", ("side",))
    assert ran.notes == [warning["message"]]
    assert ran.notes[0].startswith("side seems to be wrongly calibrated")


# -- a part of the scene -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothed", [True, False])
def test_a_part_of_the_scene_has_the_points_of_the_whole(run_several, walk, made, smoothed) -> None:
    whole = made if smoothed else run_several("triangulate", walk, filterpredictions=False)
    options = {"start": 9, "stop": 15, "filterpredictions": smoothed}
    ran = run_several("triangulate", walk, **options)
    expected, found = (pd.read_hdf(each.result["h5_file"]) for each in (whole, ran))
    assert ran.result["frames"] == 15
    assert found.index.tolist() == list(range(15)), "row i is frame i"
    pd.testing.assert_frame_equal(found.loc[9:], expected.loc[9:14])
    assert found.loc[:8].isna().all(axis=None)
    assert (ran.result["found"], ran.notes) == (1.0, [])
    around = 2 if smoothed else 0
    poses = pd.read_hdf(ran.result["camera-2_h5_file"]).notna().all(axis=1)
    assert poses[poses].index.tolist() == list(range(9 - around, 15 + around))
    done = [each["done"] for each in ran.progress]
    assert done == sorted(done)
    assert {each["total"] for each in ran.progress} == {(6 + 2 * around) * 2 * (1 + smoothed) + 6}
    assert done[-1] == ran.progress[0]["total"]
    poses = [
        Poses(
            "of-the-whole",
            {name: whole.result[f"{camera}_{name}"] for name in POSE_FILES},
            {name: whole.result[f"{camera}_{name}"] for name in ("scorer", "frames")},
        )
        for camera in CAMERAS
    ]
    from_whole = run_several("triangulate", walk, poses=poses, **options)
    pd.testing.assert_frame_equal(pd.read_hdf(from_whole.result["h5_file"]), found)
    assert from_whole.notes == []


def test_a_part_of_the_scene_is_another_part_of_a_video_that_is_read_later() -> None:
    cls, model = find_analysis("triangulate"), read_model("", demo.MODEL_3D)

    def looked_at(**values: Any) -> list[Any]:
        return [each.frames for each in cls.poses(cls.validate({"model": "rig", **values}), model)]

    plain = {"filterpredictions": False}
    late = {"frame_offset": {"camera-2": -8}}
    assert looked_at() == looked_at(start=5, filtertype="arima") == [None, None]
    assert looked_at(start=5, stop=20, **plain) == [(5, 20), (5, 20)]
    assert looked_at(start=5, stop=20) == [(3, 22), (3, 22)]
    assert looked_at(start=12, stop=20, **late, **plain) == [(12, 20), (4, 12)]
    assert looked_at(start=6, **late) == [(4, None), None]
    assert looked_at(stop=3, **late) == [(0, 5), (0, 5)], "a window at least, also of what begins later"


def test_a_part_behind_the_scene_is_refused_and_one_that_reaches_beyond_it_mentioned(quick) -> None:
    assert fails(quick, start=FRAMES).kind == "NoFrames"
    ran = quick(start=20, stop=50)
    assert ran.notes == [f"stop=50 is beyond the scene's end: it has {FRAMES} frames."]
    assert np.isfinite(points(ran.result["h5_file"])[20:]).all()
    with pytest.raises(BadRequest) as refused:
        find_analysis("triangulate").validate({"model": "rig", "start": 5, "stop": 5})
    assert [each["field"] for each in refused.value.fields["errors"]] == ["stop"]
