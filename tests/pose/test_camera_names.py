"""Names of cameras: every field of a result is of one camera, or of none."""

import pytest

from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.pose.camera_names import CAMERA_FIELDS, unclear_names, wrong_names


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        (["a", "a_filtered"], "both would have a_filtered_h5_file"),
        (["side_filtered", "b", "side"], "side_filtered and side"),
        (["quality", "a"], "cannot be called quality"),
        (["a", "scene"], "cannot be called scene"),
    ],
)
def test_names_of_which_results_would_have_the_same_fields_are_refused(cameras, says):
    assert says in unclear_names(cameras)


def test_other_names_are_clear():
    assert wrong_names(["frame", "individual", "analysed", "h5", "filtered", "a", "a_h5", "a_file"]) == ""


@pytest.mark.parametrize("name", ["", "a/b", "-a", " a", "x" * 51, "lef\ud800t", 'left "1"', "a\n"])
def test_names_that_are_no_part_of_a_file_name_are_refused_readably(name):
    said = wrong_names(["left", name])
    assert repr(name[:50]) in said
    assert said.isprintable()


@pytest.mark.parametrize("analysis", ["calibrate", "triangulate", "label_3d"])
def test_no_camera_has_a_name_that_fields_of_the_scene_begin_with(analysis):
    documented = [name for names in find_analysis(analysis).results for name in names.split(", ")]
    for field in (name for name in documented if not name.startswith("<camera>")):
        for ending in CAMERA_FIELDS:
            camera = field.removesuffix(f"_{ending}")
            assert camera == field or unclear_names([camera]), field
