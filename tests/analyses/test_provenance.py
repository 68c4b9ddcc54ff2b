"""Where the poses of several cameras come from is said once where it is the same, and found again for each camera."""

from __future__ import annotations

import pytest

from dlc_jupyter.analyses.provenance import in_result, of_cameras

SAME = {"versions": {"torch": "2.9"}, "notes": []}


def video(name: str) -> dict[str, object]:
    return {"file_id": name * 40, "filename": f"{name}.mp4"}


def test_what_is_the_same_for_all_cameras_is_said_once() -> None:
    told = of_cameras(
        {
            "left": {**SAME, "video": video("a"), "fallbacks": [], "poses_from": None},
            "right": {**SAME, "video": video("b"), "fallbacks": ["Slowly."], "poses_from": None},
            "top": {**SAME, "video": video("c"), "fallbacks": [], "batch_sizes": {"batch_size": 8}, "poses_from": None},
        }
    )
    assert told == {
        **SAME,
        "cameras": {
            "left": {"video": video("a"), "fallbacks": [], "poses_from": None},
            "right": {"video": video("b"), "fallbacks": ["Slowly."], "poses_from": None},
            "top": {"video": video("c"), "fallbacks": [], "batch_sizes": {"batch_size": 8}, "poses_from": None},
        },
    }


def test_that_of_each_camera_is_found_again() -> None:
    left, right = {**SAME, "video": video("a"), "device": "cpu"}, {**SAME, "video": video("b"), "device": "a GPU"}
    origins = {"left": {**left, "poses_from": "1"}, "right": {**right, "poses_from": None}}
    result = {"provenance": {**of_cameras(origins), "afterwards": {"versions": {"torch": "2.10"}}}}
    assert in_result(result, "left_") == left
    assert in_result(result, "right_") == right


@pytest.mark.parametrize("prefix", ["", "unfiltered_"])
def test_that_of_a_result_with_one_video_is_that_of_its_poses(prefix: str) -> None:
    assert in_result({"provenance": SAME}, prefix) == SAME
    assert in_result({}, prefix) is None


def test_poses_that_were_kept_of_a_failed_analysis_have_their_own() -> None:
    assert in_result({"left_provenance": SAME, "cameras": ["left", "right"]}, "left_") == SAME
