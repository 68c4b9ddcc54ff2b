"""`label_3d`: every frame of the demo's stereo recording beside the scene, from points that are there or are made."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.demo.project3d import write_project
from dlc_jupyter.demo.stereo import RIG
from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose.projects import read_model
from tests.analyses.recordings import CAMERAS, FRAMES, exact, given, truth
from tests.pose.networks import project
from tests.pose.videos import probe

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def found(run_several, walk, tmp_path):
    """What triangulate has found of exact poses."""
    return run_several("triangulate", walk, poses=exact(tmp_path / "given"), filterpredictions=False)


@pytest.fixture
def draw(run_several, walk, found):
    return lambda **parameters: run_several(
        "label_3d", walk, **{"earlier": found, "filterpredictions": False, **parameters}
    )


def pictures(path: Path) -> list[np.ndarray]:
    capture, read = cv2.VideoCapture(str(path)), []
    while (each := capture.read())[0]:
        read.append(each[1])
    return read


def test_points_that_were_found_earlier_are_drawn_in_every_frame(draw, found) -> None:
    ran = draw()
    result = ran.result
    assert probe(result["video_file"]) == {
        "codec_name": "h264",
        "pix_fmt": "yuv420p",
        "width": "1920",
        "height": "1080",
        "nb_read_frames": str(FRAMES),
        "r_frame_rate": "30/1",
    }
    assert (result["frames"], result["scene_frames"], result["fps"]) == (FRAMES, FRAMES, 30.0)
    assert result["points_from"] == "an-earlier-one"
    assert "h5_file" not in result
    assert "camera-1_h5_file" not in result
    assert result["space_file"].read_bytes() == found.result["space_file"].read_bytes()
    assert result["reprojection_error"] == found.result["reprojection_error"]
    assert {each["total"] for each in ran.progress} == {FRAMES}
    space = truth()[:FRAMES].reshape(-1, 3)
    for axis, (low, high) in enumerate(result["limits"].values()):
        assert low <= np.percentile(space[:, axis], 1) < np.percentile(space[:, axis], 99) <= high


def test_every_field_of_the_result_is_described(draw) -> None:
    described = {name for names in find_analysis("label_3d").results for name in names.split(", ")}
    assert set(draw(end=2).result) - described == set()


def test_points_are_found_first_where_there_are_none(run_several, walk, draw, tmp_path) -> None:
    ran = run_several("label_3d", walk, poses=exact(tmp_path / "more"), filterpredictions=False)
    result = ran.result
    assert result["points_from"] is None
    assert result["h5_file"].is_file()
    assert result["camera-2_h5_file"].is_file()
    assert {each["total"] for each in ran.progress} == {2 * FRAMES}
    done = [each["done"] for each in ran.progress]
    assert done == sorted(done)
    assert done.count(2 * FRAMES) == 1
    first, second = pictures(result["video_file"]), pictures(draw().result["video_file"])
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_cameras_that_are_called_as_fields_begin_take_none_from_the_result(run_several, walk, tmp_path) -> None:
    names = ("frame", "individual")
    rig = replace(RIG, cameras=tuple(replace(each, name=name) for each, name in zip(RIG.cameras, names, strict=True)))
    config = write_project(tmp_path / "space", rig)
    values = yaml.safe_load(config.read_text()) | {f"config_file_{name}": str(demo.MODEL) for name in names}
    config.write_text(yaml.safe_dump(values))
    files = dict(zip(names, walk.values(), strict=True))
    found = run_several("triangulate", files, model=config, poses=exact(tmp_path / "given"), filterpredictions=False)
    drawn = run_several("label_3d", files, model=config, earlier=found, filterpredictions=False, end=2).result
    assert drawn["frame_offset"] == {"frame": 0, "individual": 0}
    assert drawn["individual_order"] == found.result["individual_order"]
    assert {name for name in drawn if name.endswith("_file")} == {"video_file", "space_file"}
    assert "frame_frames" in found.result
    assert "frame_frames" not in drawn


def test_points_of_which_a_file_is_gone_are_found_anew(run_several, walk, found, tmp_path) -> None:
    found.result["quality_file"] = None
    ran = run_several("label_3d", walk, earlier=found, poses=exact(tmp_path / "more"), filterpredictions=False, end=3)
    assert ran.result["points_from"] is None


@pytest.mark.parametrize(
    "look",
    [
        {"trailpoints": 8},
        {"draw_skeleton": False},
        {"skeleton_color": "#ff00ff"},
        {"displayedbodyparts": ["snout", "tailtip"]},
        {"colormap": "viridis"},
        {"dotsize": 20},
        {"view": [60, 10]},
        {"xlim": [-400, 400]},
        {"up": "-y"},
        {"turn": 90.0},
    ],
    ids=lambda look: ",".join(look),
)
def test_every_choice_changes_the_picture(draw, look) -> None:
    frames = {"start": 10, "end": 13, "width": 960}
    usual, other = (pictures(draw(**frames, **each).result["video_file"])[-1] for each in ({}, look))
    assert np.abs(usual.astype(int) - other).max() > 60


def test_a_part_of_the_frames_is_drawn(draw) -> None:
    whole = pictures(draw(width=640).result["video_file"])
    part = draw(start=5, end=9, width=640)
    assert (part.result["frames"], part.result["scene_frames"]) == (4, FRAMES)
    shown = pictures(part.result["video_file"])
    # The views on the left are of the same frames; limits, and so the scene, follow from those that are drawn.
    assert np.abs(whole[5].astype(int) - shown[0])[:, :200].mean() < 3
    with pytest.raises(AnalysisFailed, match="start is 24, but the scene has 24 frames, counted from 0"):
        draw(start=FRAMES)


def test_a_guess_of_what_goes_up_is_told(run_several, walk, draw, tmp_path) -> None:
    assert draw().notes == []  # the demo's calibration says it
    write_project(tmp_path / "own" / "model3d", replace(RIG, up=""))
    (tmp_path / "own" / "model").symlink_to(demo.MODEL.parent)
    options = {"model": tmp_path / "own" / "model3d" / "config.yaml", "poses": exact(tmp_path / "again"), "end": 5}
    ran = run_several("label_3d", walk, filterpredictions=False, **options)
    assert ran.notes == [
        "z is taken to go up in the scene, as it does so in most of the cameras' pictures. Where it stands askew, "
        "calibrate with floor, or say up=-y."
    ]
    # DeepLabCut's own calibration: nothing is guessed from pictures, its axes are those of a camera.
    (tmp_path / "own" / "model3d" / "calibration.toml").unlink()
    ran = run_several("label_3d", walk, filterpredictions=False, **options)
    assert ran.notes == [
        "-y is taken to go up in the scene, as its axes are those of camera-1, rectified as DeepLabCut does: x right, "
        "y down, z into its picture. Where it stands askew, calibrate with floor, or say up=z."
    ]
    for up in ("-y", "z"):
        assert run_several("label_3d", walk, filterpredictions=False, up=up, **options).notes == []


def test_deeplabcut_draws_it_too(draw) -> None:
    ran = draw(renderer="deeplabcut", start=2, end=5, width=1000, view=[-60, -90])
    assert probe(ran.result["video_file"])["nb_read_frames"] == "3"
    assert (ran.result["width"], ran.result["height"], ran.result["frames"]) == (1000, 400, 3)
    done = [each["done"] for each in ran.progress]
    assert done == sorted(done)


def test_animals_are_matched_and_drawn_by_their_colours(deeplabcut, run_several, walk, clip, tmp_path) -> None:
    config = write_project(tmp_path / "space", RIG)
    (tmp_path / "two").mkdir()
    two = project(tmp_path / "two", clip, "several")
    model = read_model("", two)
    values = yaml.safe_load(config.read_text())
    values |= {f"config_file_{camera}": str(two) for camera in CAMERAS}
    config.write_text(yaml.safe_dump(values))
    parts = len(model.bodyparts)
    space = truth()[:FRAMES, :parts]
    both = np.concatenate([space, space + np.array([60.0, 40.0, 0.0])], axis=1)
    pixels = RIG.project(both)
    pixels[1] = np.concatenate([pixels[1][:, parts:], pixels[1][:, :parts]], axis=1)
    poses = [
        given(tmp_path, number, pixels[number], bodyparts=model.bodyparts, individuals=model.individuals)
        for number in range(2)
    ]
    options = {"model": config, "filterpredictions": False, "width": 640}
    ran = run_several("label_3d", walk, poses=poses, color_by="individual", **options)
    assert ran.result["individual_order"] == [[0, 1], [1, 0]]
    assert ran.result["individuals"] == list(model.individuals)
    assert ran.result["reprojection_error"]["p95"] < 0.1
    by_part = run_several("label_3d", walk, poses=poses, color_by="bodypart", **options)
    found = run_several("triangulate", walk, model=config, poses=poses, filterpredictions=False)
    later = run_several("label_3d", walk, earlier=found, color_by="individual", **options)
    one, other, same = (pictures(each.result["video_file"])[3] for each in (ran, by_part, later))
    assert np.abs(one.astype(int) - other).max() > 60
    np.testing.assert_array_equal(one, same)


def test_it_starts_from_what_triangulate_makes_when_asked_for_the_same() -> None:
    label, triangulate = find_analysis("label_3d"), find_analysis("triangulate")
    cameras = {"camera-1": ["a"], "camera-2": ["b"]}
    both = {"model": "rig", "pcutoff": 0.5, "frame_offset": {"camera-1": 2}, "cameras": cameras}
    name, values = label.starts_from(label.validate({**both, "trailpoints": 3, "start": 5}))
    assert name == "triangulate"
    assert triangulate.validate(values) == triangulate.validate(both)


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"start": 9, "end": 9}, "end", "end must be greater than start, which is 9."),
        ({"view": [1]}, "view", "2 values are wanted at least"),
        ({"xlim": [3, 1]}, "xlim", "less than the second, not 3, 1"),
        ({"zlim": "1,1"}, "zlim", "less than the second"),
        ({"width": 4000}, "width", "1920"),
        ({"colormap": "mud"}, "colormap", "rainbow"),
        ({"renderer": "deeplabcut", "trailpoints": 5}, "renderer", "knows no trailpoints"),
        ({"renderer": "deeplabcut", "frame_offset": {"camera-1": 1}}, "renderer", "knows no frame_offset"),
        ({"renderer": "deeplabcut", "draw_skeleton": "false"}, "renderer", "knows no draw_skeleton=false"),
        ({"save_as_csv": True}, "save_as_csv", "no such parameter"),
    ],
)
def test_wrong_parameters_are_refused_naming_the_field(values, field, says) -> None:
    with pytest.raises(BadRequest) as refused:
        find_analysis("label_3d").validate({"model": "rig", **values})
    [error] = refused.value.fields["errors"]
    assert error["field"] == field
    assert re.search(says, error["message"])


def test_what_does_not_fit_the_model_is_refused_when_it_is_asked_for(tmp_path) -> None:
    cls, model = find_analysis("label_3d"), read_model("", demo.MODEL_3D)

    def wrong(model: Any = model, **values: Any) -> list[tuple[str, str]]:
        return list(cls.misfits(cls.validate({"model": "rig", **values}), model))

    [(field, message)] = wrong(displayedbodyparts=["snout", "wing"])
    assert (field, message[:29]) == ("displayedbodyparts", "The model has no body part wi")
    three = replace(model, cameras=("a", "b", "c"))
    assert wrong(three, renderer="deeplabcut") == [("renderer", "DeepLabCut draws two cameras, and the model has 3.")]
    assert wrong(renderer="deeplabcut") == wrong() == []
    other = tmp_path / "config.yaml"
    other.write_text(yaml.safe_dump(yaml.safe_load(demo.MODEL.read_text()) | {"skeleton": []}))
    first = replace(model.camera_models[0], config=other)
    none = replace(model, skeleton=(("nose", "foot"),), camera_models=(first, *model.camera_models[1:]))
    [(field, message)] = wrong(none, renderer="deeplabcut")
    assert (field, "the model has none of its body parts: snout" in message) == ("renderer", True)
    assert wrong(none) == []
