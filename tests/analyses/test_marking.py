"""Frames that cannot be decoded: rows of NaN in their places, with all analyses of poses, where a video has places."""

from array import array
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.analyses.marking import NO_MARK, marking_mentioned, unreadable_frames
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import plots
from dlc_jupyter.pose.compact import Finished
from dlc_jupyter.pose.media import Media, inspect
from tests.pose.videos import blank, cut_open, decode_pictures, ffmpeg

MOUSE = ["-i", str(demo.VIDEO), "-frames:v", "42", "-vf", "crop=320:240:270:70"]


@pytest.fixture
def drawn(monkeypatch):
    """What `plot` hands on to be drawn."""
    seen, original = [], plots.draw_all

    def watch(shown, *arguments, **keywords):
        seen.append(shown)
        return original(shown, *arguments, **keywords)

    monkeypatch.setattr(plots, "draw_all", watch)
    return seen


@pytest.fixture(params=["hole", "beginning"])
def damaged(request, clip, tmp_path):
    """A video, and the numbers of its frames that cannot be decoded; None where they are not known beforehand."""
    if request.param == "beginning":
        path, leading, _ = cut_open(tmp_path / "open.mp4", MOUSE)
        return path, list(range(leading))
    path = blank(clip, 0.7, 6000, tmp_path / "zeros.mp4")
    return path, None


@pytest.mark.deeplabcut
def test_marked_poses_are_drawn_plotted_and_smoothed_in_their_places(run, damaged, drawn):
    path, bad = damaged
    media = inspect(path)
    poses = run("video", path, on_bad_frame="mark")
    found = pd.read_hdf(poses.result["h5_file"])
    assert len(found) == media.frames
    empty = np.flatnonzero(found.isna().all(axis=1)).tolist()
    assert poses.result["unreadable_frames"] == empty == (bad or empty) != []
    assert [note for note in poses.notes if f"(counted from 0): {empty[0]}" in note]
    assert Finished.open(poses.result["poses_file"]).first == 0
    assert poses.result["provenance"]["every_frame_decoded"] is False
    poses.result["provenance"]["notes"] = poses.notes
    for given in (poses, None):
        for name, check in (("label", check_label), ("plot", check_plot), ("filter", check_filter)):
            ran = run(name, path, on_bad_frame="mark", poses=given)
            assert ran.result["poses_from"] == ("an-earlier-one" if given else None)
            assert ran.result["frames"] == media.frames
            assert [note for note in ran.notes if f"(counted from 0): {empty[0]}" in note]
            check(ran.result, found, empty, drawn)


def check_label(result, _found, empty, _drawn):
    pictures = decode_pictures(result["video_file"])
    assert [number for number, each in enumerate(pictures) if each.max() < 40] == empty


def check_plot(_result, found, empty, drawn):
    snout = next(each for each in drawn[-1].keypoints if each.bodypart == "snout")
    np.testing.assert_allclose(drawn[-1].times, np.arange(len(found)) / 30, atol=1e-3)
    np.testing.assert_array_equal(snout.x, found.xs(("snout", "x"), axis=1, level=(1, 2)).to_numpy().ravel())
    assert np.isnan(snout.x[empty]).all()


def check_filter(result, found, empty, _drawn):
    smoothed = pd.read_hdf(result["h5_file"])
    assert smoothed.index.tolist() == list(range(len(found)))
    far = [row for row in range(2, len(found) - 2) if not {*range(row - 2, row + 3)} & set(empty)]
    assert len(far) > 5
    before, after = (each.xs(("snout", "x"), axis=1, level=(1, 2)).to_numpy().ravel() for each in (found, smoothed))
    np.testing.assert_allclose(after[far], [np.median(before[row - 2 : row + 3]) for row in far], rtol=1e-6)


@pytest.mark.deeplabcut
def test_where_a_container_has_no_places_for_them_rows_begin_with_the_first_frame_that_is_decoded(run, tmp_path, drawn):
    path, leading, _ = cut_open(tmp_path / "open.mp4", MOUSE)
    matroska = ffmpeg(["-i", str(path), "-c", "copy", "-copyts"], tmp_path / "open.mkv")
    assert inspect(matroska).leading == leading > 0
    ran = run("video", matroska, on_bad_frame="mark", formats=["parquet"])
    assert NO_MARK in ran.notes
    assert ran.result["unreadable_frames"] == []
    assert ran.result["provenance"]["every_frame_decoded"] is False
    assert pd.read_parquet(ran.result["parquet_file"])["time"].min() == pytest.approx(leading / 30, abs=1e-3)
    assert Finished.open(ran.result["poses_file"]).first == leading
    again = run("plot", matroska, on_bad_frame="mark", poses=ran)
    assert NO_MARK in again.notes
    assert drawn[-1].times[0] == pytest.approx(leading / 30, abs=1e-3)
    assert len(drawn[-1].times) == ran.result["frames"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], []),
        ([7], ["1 frame could not be decoded and has a row of NaN (counted from 0): 7."]),
        ([7, 8], ["2 frames could not be decoded and have rows of NaN (counted from 0): 7, 8."]),
        (
            range(100, 112),
            [
                "12 frames could not be decoded and have rows of NaN (counted from 0): "
                "100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 2 more."
            ],
        ),
    ],
)
def test_what_is_said_of_frames_that_were_marked(numbers, said):
    assert list(unreadable_frames(numbers)) == said


@pytest.mark.deeplabcut
def test_who_is_refused_for_such_a_frame_hears_of_marking_it(run, fails, clip, tmp_path):
    path = blank(clip, 0.7, 6000, tmp_path / "zeros.mp4")
    for name in ("video", "label", "plot", "filter"):
        failed = fails(name, path)
        assert "stopped at frame" in failed.message
        assert failed.hint.endswith("on_bad_frame=mark: such frames have rows of NaN then.")
    matroska = ffmpeg(["-i", str(path), "-c", "copy"], tmp_path / "zeros.mkv")
    failed = fails("video", matroska, on_bad_frame="mark")
    assert "stopped at frame" in failed.message
    assert failed.hint.endswith(NO_MARK)


@pytest.mark.deeplabcut
@pytest.mark.parametrize(
    ("analysis", "wanted", "container", "kind", "said"),
    [
        ("video", {}, "mov", "VideoCutShort", "on_bad_frame=mark: such frames have rows of NaN"),
        ("plot", {}, "mov", "VideoDamaged", "on_bad_frame=mark: such frames have rows of NaN"),
        ("video", {}, "mov", "OutOfMemory", ""),
        ("video", {}, "matroska", "VideoCutShort", ""),
        ("label", {"on_bad_frame": "mark"}, "matroska", "VideoCutShort", NO_MARK),
        ("label", {"on_bad_frame": "mark"}, "mov", "VideoCutShort", ""),
        ("triangulate", {}, "mov", "VideoCutShort", ""),
        ("label_3d", {}, "mov", "VideoDamaged", ""),
    ],
)
def test_marking_is_only_advised_where_it_can_be_asked_for_and_helps(
    deeplabcut, analysis, wanted, container, kind, said
):
    parameters = find_analysis(analysis).validate({"model": "mouse", **wanted})
    media = Media(container, "h264", 64, 48, Fraction(30), array("d", [0, 0.1]), 0.1, False, False)
    with pytest.raises(AnalysisFailed) as failed, marking_mentioned(parameters, media):
        raise AnalysisFailed("Frame 7 could not be decoded.", hint="Repair it.", kind=kind)
    assert failed.value.hint.startswith("Repair it.")
    assert ("on_bad_frame" in failed.value.hint) == bool(said)
    assert said in failed.value.hint
