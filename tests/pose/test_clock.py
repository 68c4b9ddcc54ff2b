"""Each row has the time of its own frame, whoever asks for it."""

from array import array
from fractions import Fraction

import numpy as np
import pytest

from dlc_jupyter.pose.clock import lacking_times, times_of
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.media import Media, inspect
from tests.pose.videos import WHOLE, cut_open, decode, ffmpeg


def media(times, container="mov", **more) -> Media:
    return Media(container, "h264", 64, 48, Fraction(10), array("d", times), 0.1, False, False, **more)


@pytest.mark.parametrize(
    ("leading", "rows", "marked", "times"),
    [
        (0, range(3), False, [0, 0.1, 0.4]),
        (0, range(0, 3, 2), False, [0, 0.4]),
        (0, range(2), False, [0, 0.1]),  # a part of the video: of its beginning
        (1, range(2), False, [0.1, 0.4]),
        (1, range(1), False, [0.1]),
        (1, range(3), True, [0, 0.1, 0.4]),
        (0, range(5), False, [0, 0.1, 0.4, 0.5, 0.6]),
        (1, range(3), False, [0.1, 0.4, 0.5]),
        (0, [], False, []),
    ],
)
def test_rows_have_the_times_of_their_frames(leading, rows, marked, times):
    video = media([0, 0.1, 0.4], leading=leading)
    assert times_of(video, rows, marked=marked).tolist() == pytest.approx(times)


@pytest.mark.parametrize("container", ["matroska", "mpegts", "avi"])
def test_where_frames_that_cannot_be_decoded_have_no_places_their_rows_are_not_there_whatever_is_wanted(container):
    video = media([0, 0.1, 0.4], container, leading=1)
    assert times_of(video, range(2), marked=True).tolist() == pytest.approx([0.1, 0.4])
    assert lacking_times(video, 2, marked=True) == ""
    assert lacking_times(video, 3, marked=True)


def test_rows_without_a_time_of_their_own_are_told_of():
    video = media([0, 0.1, 0.4], leading=1)
    assert lacking_times(video, 2) == lacking_times(video, 3, marked=True) == ""
    assert "3 times for 4 frames" in lacking_times(video, 3)
    assert "3 times for 5 frames" in lacking_times(video, 5, marked=True)


def batches(path, **options):
    with Frames(path, inspect(path), size=7, **options) as frames:
        for batch in frames:
            assert len(batch.times) == len(batch.numbers)
            yield from zip(batch.numbers, batch.times, strict=True)
            frames.release(batch)


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.endswith(".avi")])  # whose clock OpenCV shifts
def test_every_picture_has_its_number_and_its_time(video, name):
    numbers, times = zip(*batches(video(name)), strict=True)
    assert numbers == tuple(range(WHOLE[name][1]))
    np.testing.assert_allclose(times, decode(video(name)), atol=1e-6)


def test_it_has_in_a_part_of_the_video_too(video):
    found = list(batches(video("uneven.mp4"), start=3, stop=40, step=5))
    shown = decode(video("uneven.mp4"))
    assert found == [(number, pytest.approx(shown[number])) for number in range(3, 40, 5)]


def test_and_where_the_first_frames_cannot_be_decoded(tmp_path):
    path, leading, _source = cut_open(tmp_path / "cut.mp4")
    count = inspect(path).frames
    assert list(batches(path)) == [(row, pytest.approx((row + leading) / 30)) for row in range(count - leading)]
    assert list(batches(path, mark=True)) == [(row, pytest.approx(row / 30)) for row in range(count)]
    with Frames(path, inspect(path)) as frames:
        assert frames.name(0) == f"Frame {leading} of the video (counted from 0; {leading / 30:.2f} s)"


def test_and_where_these_cannot_be_marked(tmp_path):
    path, leading, _source = cut_open(tmp_path / "cut.mp4")
    matroska = ffmpeg(["-i", str(path), "-c", "copy", "-copyts"], tmp_path / "cut.mkv")
    found = inspect(matroska)
    assert (found.leading, found.markable) == (leading, False)
    rows = range(found.frames - leading)
    expected = [(row, pytest.approx((row + leading) / 30, abs=1e-3)) for row in rows]
    assert list(batches(matroska, mark=True)) == list(batches(matroska)) == expected
    assert times_of(found, rows, marked=True).tolist() == [time for _row, time in expected]
