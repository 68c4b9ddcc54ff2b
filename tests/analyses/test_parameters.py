"""What `video` and `label` take."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose.colour_names import NAMES
from dlc_jupyter.pose.projects import Model


@pytest.mark.parametrize(
    "cropping", [[20, 300, 10, 230], "20,300,10,230", "[20, 300, 10, 230]", ["20", "300", "10", "230"]]
)
def test_cropping_may_be_a_list_or_text(cropping):
    assert find_analysis("video").validate({"model": "mouse", "cropping": cropping}).cropping == [20, 300, 10, 230]


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({}, "model", "must be given"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"model": "m", "shuffle": -1}, "shuffle", "at least 0, not -1"),
        ({"model": "m", "shuffle": 1.5}, "shuffle", "A whole number is wanted, such as 5, not 1.5"),
        ({"model": "m", "shuffle": float("nan")}, "shuffle", "finite|whole"),
        ({"model": "m", "batch_size": 0}, "batch_size", "at least 1, not 0"),
        ({"model": "m", "batch_size": 4096}, "batch_size", "at most 1024, not 4096"),
        ({"model": "m", "device": "tpu"}, "device", "'tpu' is not possible. Where the network runs: cpu, cuda"),
        ({"model": "m", "device": "cuda:x"}, "device", "'cuda:x' is not possible"),
        ({"model": "m", "formats": ["nwb"]}, "session_start", "when the recording began, such as 2026-01-31T10"),
        ({"model": "m", "formats": ["csv"]}, "formats.0", "'csv' is not possible. There are: parquet, nwb."),
        ({"model": "m", "session_start": "2026-01-31T10:00:00"}, "session_start", "lacks its time zone"),
        ({"model": "m", "session_start": "2026-01-31"}, "session_start", "time zone, such as \\+01:00"),
        (
            {"model": "m", "session_start": "yesterday"},
            "session_start",
            "'yesterday' is no date with a time.* 2026-01-31T10",
        ),
        ({"model": "m", "save_as_csv": "perhaps"}, "save_as_csv", "true or false is wanted, not 'perhaps'"),
        ({"model": "m", "start": 9, "stop": 9}, "stop", "stop must be greater than start, which is 9."),
        ({"model": "m", "batchsize": 9}, "batchsize", "There is no such parameter. Did you mean batch_size?"),
        ({"model": "m", "cropping": [0, 10]}, "cropping", "Four numbers are wanted: x1, x2, y1, y2, not 2"),
        ({"model": "m", "cropping": [10, 0, 0, 10]}, "cropping", "x1 < x2 and y1 < y2, not 10, 0, 0, 10"),
        ({"model": "m", "cropping": [0, 10, 5, 5]}, "cropping", "x1 < x2 and y1 < y2"),
        ({"model": "m", "cropping": [-1, 10, 0, 10]}, "cropping.0", "at least 0"),
        ({"model": "m", "cropping": "all"}, "cropping.0", "A whole number is wanted, such as 5, not 'all'"),
        ({"model": "m", "colour": "red"}, "colour", "no such parameter"),
    ],
)
def test_wrong_values_are_refused_naming_the_field(values, field, says):
    with pytest.raises(BadRequest) as refused:
        find_analysis("video").validate(values)
    assert refused.value.reason == "bad-parameters"
    [error] = refused.value.fields["errors"]
    assert error["field"] == field
    assert re.search(says, error["message"])


@pytest.mark.parametrize(
    ("analysis", "values", "field", "says"),
    [
        ("sleep", {"time": "5min"}, "time", "A number is wanted, such as 2.5, not '5min'."),
        ("triangulate", {"model": "m", "cameras": "{camera-1:abc}"}, "cameras", 'JSON, such as {"camera-1": …}, not'),
        ("triangulate", {"model": "m", "frame_offset": "5"}, "frame_offset", 'JSON, such as {"camera-1": …}, not'),
        ("label_3d", {"model": "m", "view": "28"}, "view", "2 values are wanted at least, not 1. From where the scene"),
        ("filter", {"model": "m", "windowlength": 4}, "windowlength", "must be odd"),
        ("label", {"model": "m", "skeleton_color": "nocolour"}, "skeleton_color", "no colour called nocolour. Give a"),
        ("label", {"model": "m", "skeleton_color": "darkblu"}, "skeleton_color", "Did you mean darkblue?"),
        ("label_3d", {"model": "m", "skeleton_color": "muddy"}, "skeleton_color", "There is no colour called muddy."),
        ("calibrate", {}, "columns", "Say how many columns and rows"),
        (
            "superanimal",
            {"superanimal_name": "superanimal_bird", "model_name": "hrnet_w32"},
            "model_name",
            "There are: resnet_50.",
        ),
    ],
)
def test_what_would_be_right_is_said_in_sentences(analysis, values, field, says):
    with pytest.raises(BadRequest) as refused:
        find_analysis(analysis).validate(values)
    [error] = refused.value.fields["errors"]
    assert error["field"] == field
    assert says in error["message"]


@pytest.mark.parametrize(
    "values",
    [
        {"pcutoff": 1.5},
        {"pcutoff": "nan"},
        {"trailpoints": -1},
        {"dotsize": 0},
        {"colormap": "mud"},
        {"color_by": "mood"},
        {"skeleton_color": "rgb(1,2,3)"},
        {"save_as_csv": True},
    ],
)
def test_wrong_values_of_label_are_refused(values):
    with pytest.raises(BadRequest):
        find_analysis("label").validate({"model": "mouse", **values})


@pytest.mark.parametrize("name", ["label", "label_3d"])
@pytest.mark.parametrize("colour", ["white", "k", "rebeccapurple", "#a0B1c2"])
def test_colours_have_their_usual_names(name, colour):
    assert find_analysis(name).validate({"model": "m", "skeleton_color": colour}).skeleton_color == colour


def test_the_names_of_colours_are_those_of_matplotlib():
    from matplotlib.colors import BASE_COLORS, CSS4_COLORS

    assert {*BASE_COLORS, *CSS4_COLORS} == NAMES


MOUSE = Model("mouse", "2d", Path("mouse/config.yaml"))


@pytest.mark.parametrize(
    ("name", "own"),
    [("label", {"dotsize": 3, "pcutoff": 0.2}), ("plot", {"format": "png"}), ("filter", {"windowlength": 7})],
)
def test_what_starts_from_poses_wants_those_that_video_makes(name, own):
    video, other = find_analysis("video"), find_analysis(name)
    asked = {"model": "mouse", "shuffle": 2, "cropping": [0, 10, 0, 10], "batch_size": 4, "device": "cpu"}
    (made,) = video.poses(video.validate({**asked, "save_as_csv": False}), MOUSE)
    (wanted,) = other.poses(other.validate({**asked, **own}), MOUSE)
    assert replace(wanted, prefix="") == made
    assert wanted.prefix == ("unfiltered_" if name == "filter" else "")
    assert made.parameters() == {
        "shuffle": 2,
        "trainingsetindex": 0,
        "snapshot_index": None,
        "batch_size": 4,
        "detector_batch_size": None,
        "cropping": [0, 10, 0, 10],
        "device": "cpu",
    }
    assert other.starts_from_poses
    assert not video.starts_from_poses


def test_poses_with_frames_left_out_between_them_are_nothing_to_start_from():
    video = find_analysis("video")
    assert video.poses(video.validate({"model": "mouse", "step": 2}), MOUSE) == []


@pytest.mark.parametrize(("part", "frames"), [({}, None), ({"start": 1}, (1, None)), ({"stop": 5}, (0, 5))])
def test_poses_of_a_part_are_those_of_that_part(part, frames):
    video, label = find_analysis("video"), find_analysis("label")
    (made,) = video.poses(video.validate({"model": "mouse", **part}), MOUSE)
    assert made.frames == frames
    assert label.poses(label.validate({"model": "mouse", **part}), MOUSE) == [made]


@pytest.mark.parametrize("name", ["label", "plot", "filter"])
def test_marked_poses_are_others_and_what_starts_from_poses_may_want_them(name):
    video, other = find_analysis("video"), find_analysis(name)
    (whole,) = video.poses(video.validate({"model": "mouse"}), MOUSE)
    (marked,) = video.poses(video.validate({"model": "mouse", "on_bad_frame": "mark"}), MOUSE)
    (wanted,) = other.poses(other.validate({"model": "mouse", "on_bad_frame": "mark"}), MOUSE)
    assert whole != marked == replace(wanted, prefix="")


def test_every_parameter_is_described():
    for name in ("video", "label"):
        for parameter, schema in find_analysis(name).Parameters.model_json_schema()["properties"].items():
            assert schema.get("description"), f"{name}: {parameter}"
