"""`label` of a part of a video: those frames of the whole one, with no more poses than they need."""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.conftest import FRAMES
from tests.analyses.drawn import drawn_by_us
from tests.pose.videos import cut

pytestmark = pytest.mark.deeplabcut


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"trailpoints": 6, "draw_skeleton": True},
        {"filtered": True, "trailpoints": 3},
        {"cropping": [21, 300, 10, 231], "displaycropped": True},
        {"fastmode": False, "trailpoints": 3},
    ],
    ids=lambda style: ",".join(style) or "plain",
)
def test_a_part_is_those_frames_of_the_whole_whoever_has_made_its_poses(run, clip, monkeypatch, style):
    style = {"pcutoff": 0.2, **style}
    shown = {"start": 11, "stop": 17, **style}
    cropping = {name: style[name] for name in style if name == "cropping"}
    whole, of_whole = pictures_of(run, monkeypatch, clip, **style)
    poses = run("video", clip, **cropping)
    given, from_whole = pictures_of(run, monkeypatch, clip, poses=poses, **shown)
    made, from_part = pictures_of(run, monkeypatch, clip, **shown)
    for ran, found in ((given, from_whole), (made, from_part)):
        assert (ran.result["frames"], ran.result["fps"]) == (len(found), 30.0) == (6, 30.0)
        assert all(np.array_equal(one, other) for one, other in zip(found, of_whole[11:17], strict=True))
        assert ran.progress[-1]["done"] == ran.progress[-1]["total"]
        assert [each["done"] for each in ran.progress] == sorted(each["done"] for each in ran.progress)
        assert ran.notes == []
    assert {each["total"] for each in given.progress} == {6}
    assert "rows" not in given.result
    around = 2 if "filtered" in style else 0
    first, rows = 11 - around - style.get("trailpoints", 0), 17 + around
    looked_at = pd.read_hdf(made.result["h5_file"]).notna().any(axis=1)
    assert (made.result["rows"], looked_at[looked_at].index.tolist()) == (rows, list(range(first, rows)))
    assert {each["total"] for each in made.progress} == {rows - first + 6}
    told = made.result["provenance"]
    assert (told["parameters"]["start"], told["parameters"]["stop"]) == (first, rows)
    assert (told["afterwards"]["parameters"]["start"], told["afterwards"]["parameters"]["stop"]) == (11, 17)
    assert whole.result["rows"] == FRAMES


def pictures_of(run, monkeypatch, clip, **options):
    """Label a video; return what ran, and its pictures: before they were encoded, where they are our own."""
    if options.get("fastmode", True):
        return drawn_by_us(run, monkeypatch, clip, **options)
    import matplotlib.animation

    class Recorder(matplotlib.animation.FFMpegWriter):
        def grab_frame(self, **how):
            self.fig.canvas.draw()
            seen.append(np.asarray(self.fig.canvas.buffer_rgba()).copy())
            super().grab_frame(**how)

    from deeplabcut.utils import make_labeled_video as module

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "FFMpegWriter", Recorder)
        return run("label", clip, **options), seen


def test_the_next_label_of_a_part_starts_from_its_poses(run, clip, monkeypatch):
    made, first = drawn_by_us(run, monkeypatch, clip, start=11, stop=17)
    made.result["frames"] = made.result["rows"]  # as the worker stages it
    again, second = drawn_by_us(run, monkeypatch, clip, start=11, stop=17, poses=made)
    assert again.result["poses_from"] == "an-earlier-one"
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_part_that_reaches_beyond_the_video_is_mentioned_and_one_behind_it_refused(run, fails, clip, labelled):
    ran = run("label", clip, start=25, stop=40, poses=labelled)
    assert (ran.result["frames"], ran.notes) == (5, ["stop=40 is beyond the video's end: it has 30 frames."])
    assert run("label", clip, start=28, poses=labelled).result["frames"] == 2
    assert fails("label", clip, start=30).kind == "BadSpan"


def test_boxes_of_a_detector_are_drawn_on_a_part_whose_first_frames_were_not_looked_at(run, clip, monkeypatch):
    import pickle

    poses = run("label", clip, start=3, stop=6)
    poses.result["frames"] = poses.result["rows"]
    full = pickle.loads(poses.result["full_file"].read_bytes())
    for name in sorted(name for name in full if name.startswith("frame"))[3:]:
        full[name]["bboxes"] = np.array([[40, 30, 90, 70]], np.float32)
        full[name]["bbox_scores"] = np.array([0.9], np.float32)
    poses.result["full_file"].write_bytes(pickle.dumps(full))
    seen = drawn_by_us(run, monkeypatch, clip, start=3, stop=6, poses=poses)[1]
    assert [bool((each[30 - 1, 40 : 40 + 90] == (0, 0, 255)).all()) for each in seen] == [True] * 3


def test_a_part_of_a_video_that_is_cut_off_can_be_labelled(run, fails, clip, tmp_path):
    short = cut(clip, 0.8, tmp_path / "short.mp4")
    assert fails("label", short).kind == "VideoCutShort"
    ran = run("label", short, start=2, stop=8)
    assert ran.result["frames"] == 6
    assert [note for note in ran.notes if "cut off" in note]
