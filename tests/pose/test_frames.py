"""Pictures come as OpenCV decodes them, each once and in order, and what is missing is said or marked."""

import subprocess
import time

import numpy as np
import pytest
import torch

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.memory import physical
from dlc_jupyter.pose.network import explained
from tests.pose.videos import SOURCE, UNEVEN, WHOLE, blank, cut, cut_open, ffmpeg, pack, reserve, spoil
from tests.pose.videos import decode_pictures as decoded


def read(path, **options):
    """All pictures by `Frames`, their numbers, those that are unreadable, and the reader."""
    pictures, numbers, unreadable = [], [], []
    with Frames(path, inspect(path), **options) as frames:
        for batch in frames:
            assert len(batch) == len(batch.pictures)
            pictures.append(batch.pictures.copy())
            numbers += batch.numbers
            unreadable += [batch.numbers[each] for each in batch.unreadable]
            assert set(unreadable) <= set(frames.unreadable)
            frames.release(batch)
    assert unreadable == frames.unreadable
    return np.concatenate(pictures), numbers, unreadable, frames


@pytest.mark.parametrize("name", WHOLE)
def test_every_picture_is_the_one_that_opencv_decodes(video, name):
    wanted = decoded(video(name))
    pictures, numbers, unreadable, frames = read(video(name), size=7)
    assert np.array_equal(pictures, wanted)
    assert numbers == list(range(len(wanted)))
    assert unreadable == []
    frames.account()


@pytest.mark.parametrize("name", ["plain.mp4", "turned.mov", "motion.avi", "clusters.mkv"])
def test_a_part_of_the_frames_and_of_the_picture(video, name):
    wanted = decoded(video(name))[3:51:5, 4:61, 8:77]
    pictures, numbers, _, frames = read(video(name), size=4, start=3, stop=51, step=5, crop=(8, 77, 4, 61))
    assert np.array_equal(pictures, wanted)
    assert numbers == list(range(3, 51, 5))
    assert frames.account() == []
    assert frames.read == 51


def test_only_as_many_batches_are_decoded_ahead_as_was_asked_for(video):
    path = video("plain.mp4")
    with Frames(path, inspect(path), size=5, ahead=2) as frames:
        batches = iter(frames)
        first = next(batches)
        time.sleep(0.5)
        assert frames.read <= 5 * 3 + 1  # three buffers, one of them ours, and the frame that waits for a free one
        kept = first.pictures.copy()
        time.sleep(0.1)
        assert np.array_equal(first.pictures, kept)


def test_a_reader_that_is_left_in_the_middle_ends(video):
    path = video("plain.mp4")
    with Frames(path, inspect(path), size=2, ahead=1) as frames:
        next(iter(frames))
    assert not frames._thread.is_alive()


def test_pictures_go_where_the_caller_wants_them(video):
    path, made = video("plain.mp4"), []

    def allocate(shape):
        made.append(np.empty(shape, np.uint8))
        return made[-1]

    with Frames(path, inspect(path), size=5, ahead=2, allocate=allocate) as frames:
        batch = next(iter(frames))
        assert any(np.shares_memory(batch.pictures, each) for each in made)
    assert [each.shape for each in made] == [(5, 120, 160, 3)] * 3


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out"), RuntimeError("CUDA error: out of memory"), MemoryError("no memory")]
)
def test_where_there_is_no_memory_for_the_buffers_it_is_not_put_down_to_the_gpu(video, error):
    path = video("plain.mp4")

    def allocate(shape):
        raise error

    with (
        pytest.raises(AnalysisFailed, match=r"The computer.s .* batches of 1024 pictures of 160 x 120") as failed,
        explained(),
    ):
        Frames(path, inspect(path), size=1024, allocate=allocate)
    assert failed.value.kind == "OutOfMemory"
    assert "batch_size" in failed.value.hint


def test_an_error_of_another_kind_stays_what_it_is(video):
    def allocate(shape):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        Frames(video("plain.mp4"), inspect(video("plain.mp4")), allocate=allocate)


def test_batches_that_the_computer_has_no_room_for_are_refused_before_it_tries(video, monkeypatch):
    path, made = video("plain.mp4"), []
    size = 1 + int(0.5 * physical()) // (2 * 160 * 120 * 3)

    def allocate(shape):
        made.append(shape)
        return np.empty((1, *shape[1:]), np.uint8)

    with pytest.raises(AnalysisFailed, match="The computer's memory is too small"):
        Frames(path, inspect(path), size=size, allocate=allocate)
    assert made == []
    monkeypatch.setattr("dlc_jupyter.pose.frames.physical", lambda: float("inf"))
    Frames(path, inspect(path), size=size, allocate=allocate)
    assert len(made) == 2  # one of them ahead, where three would be too much


@pytest.fixture(scope="module")
def damaged(video, tmp_path_factory):
    """An MP4 whose middle cannot be decoded, and how many frames OpenCV makes of it."""
    path = blank(video("plain.mp4"), 0.5, 3000, tmp_path_factory.mktemp("damaged") / "damaged.mp4")
    return path, len(decoded(path))


def test_a_frame_that_cannot_be_decoded_ends_the_reading_and_is_named(damaged):
    path, readable = damaged
    pictures, _, _, frames = read(path)
    assert len(pictures) == readable < 120
    with pytest.raises(
        AnalysisFailed, match=rf"stopped at frame {readable}, counted from 0 .* the video goes on to frame 119 \("
    ) as failed:
        frames.account()
    assert failed.value.kind == "VideoCutShort"


def test_reading_goes_on_behind_such_a_frame_where_that_is_wanted(damaged, video):
    path, readable = damaged
    whole = decoded(video("plain.mp4"))
    pictures, numbers, unreadable, frames = read(path, size=7, mark=True)
    assert numbers == list(range(120))
    assert unreadable
    assert readable <= min(unreadable)
    assert max(unreadable) < 90  # the next key frame
    assert not pictures[unreadable].any()
    assert np.array_equal(pictures[:readable], whole[:readable])
    assert np.array_equal(pictures[90:], whole[90:])
    assert frames.account() == []


def test_marked_frames_keep_their_places_in_a_part_of_the_video(damaged):
    path, _ = damaged
    every = read(path, size=7, mark=True)[2]
    _, numbers, unreadable, _ = read(path, size=4, start=31, stop=101, step=2, mark=True)
    assert numbers == list(range(31, 101, 2))
    assert unreadable == [number for number in every if number in numbers]


@pytest.mark.parametrize("coding", [["libx265", "-x265-params", "log-level=none"], ["libaom-av1", "-cpu-used", "8"]])
def test_where_opencv_leaves_frames_out_without_a_word_the_others_keep_their_places(tmp_path, coding):
    whole = ffmpeg([*SOURCE, "-t", "2", "-c:v", *coding, "-g", "12"], tmp_path / "whole.mp4")
    wanted = decoded(whole)
    for number in (5, 17, 30):
        path = spoil(whole, [number], tmp_path / f"spoiled-{number}.mp4")
        pictures, numbers, unreadable, frames = read(path, mark=True)
        assert numbers == list(range(60))
        assert unreadable
        rest = [each for each in numbers if each not in range(number // 12 * 12, number // 12 * 12 + 13)]
        assert np.array_equal(pictures[rest], wanted[rest])
        assert list(frames.shown) == pytest.approx([each / 30 for each in range(60)], abs=0.001)


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """An MP4 of which OpenCV leaves frames out without a word, and all pictures before that was done to it."""
    folder = tmp_path_factory.mktemp("skipping")
    coding = ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=3", "-g", "12"]
    whole = ffmpeg([*SOURCE, "-t", "2", *coding], folder / "whole.mp4")
    path = reserve(whole, 24, folder / "skipping.mp4")
    inspect(path).check_whole()
    return path, decoded(whole)


def test_frames_that_are_left_out_before_the_stop_are_counted(skipping):
    path, whole = skipping
    pictures, _, _, frames = read(path, stop=45)
    assert frames.read == 45
    assert not np.array_equal(pictures[44], whole[44])  # it is a later frame's
    with pytest.raises(AnalysisFailed, match=r"12 frames of 60 could not be decoded, the first at 0\.80 s") as failed:
        frames.account()
    assert failed.value.kind == "VideoDamaged"
    with pytest.raises(AnalysisFailed, match="12 frames of 60 could not be decoded"):
        read(path)[3].account()


@pytest.mark.parametrize("stop", [20, 24])
def test_frames_that_are_left_out_behind_the_stop_are_no_loss(skipping, stop):
    path, whole = skipping
    pictures, _, _, frames = read(path, stop=stop)
    assert np.array_equal(pictures, whole[:stop])
    assert frames.account() == []


@pytest.mark.parametrize("stop", [None, 45])
def test_a_frame_that_is_left_out_of_a_variable_rate_is_counted_or_marked(tmp_path, stop):
    coding = ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=0", "-g", "1"]
    whole = ffmpeg([*SOURCE, *UNEVEN, *coding], tmp_path / "whole.mp4")
    path = reserve(whole, 4, tmp_path / "skipping.mp4")  # where frames are nearest to each other
    media = inspect(path)
    assert media.times[5] - media.times[3] < 1.5 * media.gap
    with pytest.raises(AnalysisFailed, match=r"1 frame of 60 could not be decoded, .* \(frame 4, counted"):
        read(path, stop=stop)[3].account()
    pictures, _, unreadable, _ = read(path, stop=stop, mark=True)
    assert unreadable == [4]
    rest = [each for each in range(len(pictures)) if each != 4]
    assert np.array_equal(pictures[rest], decoded(whole)[rest])


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("stop", [1, 30, 51])
def test_a_part_of_a_whole_video_passes(video, name, stop):
    assert read(video(name), stop=stop)[3].account() == []


@pytest.mark.parametrize("stop", [1, 50, 119])
def test_a_part_of_packed_b_frames_passes(video, tmp_path, stop):
    assert read(pack(video("b-frames.avi"), tmp_path / "packed.avi"), stop=stop)[3].account() == []


@pytest.mark.parametrize("mark", [False, True])
@pytest.mark.parametrize("name", ["plain.mp4", "clusters.mkv", "b-frames.avi"])
def test_of_a_video_that_is_cut_off_the_frames_that_are_there_are_read(video, tmp_path, name, mark):
    path = cut(video(name), 0.6, tmp_path / name)
    there = inspect(path).decodable
    pictures, numbers, unreadable, frames = read(path, start=5, stop=there, mark=mark)
    assert np.array_equal(pictures, decoded(video(name))[5:there])
    assert numbers == list(range(5, there))
    assert (unreadable, frames.account()) == ([], [])


def test_frames_whose_predecessors_were_cut_away_are_marked_where_they_are(tmp_path):
    path, leading, source = cut_open(tmp_path / "cut.mp4")
    wanted = decoded(source)
    pictures, numbers, unreadable, frames = read(path, mark=True)
    assert leading > 0
    assert unreadable == list(range(leading))
    assert numbers == list(range(len(wanted) - 12 + leading))
    assert np.array_equal(pictures[leading:], wanted[12:])
    note = (
        f"The first {leading} frames cannot be decoded without what was cut away before them: "
        f"row 0 is the frame at {leading / 30:.2f} s."
    )
    for stop in (None, 1, 20, len(wanted) - 12, len(wanted) - 12 + leading):
        pictures, _, _, frames = read(path, stop=stop)
        assert np.array_equal(pictures, wanted[12:][:stop])
        assert frames.account() == [note]


def test_a_reader_that_skips_frames_ends_at_once_too(tmp_path):
    path = ffmpeg(
        [*SOURCE[:3], "testsrc2=s=640x480:r=30:d=60", "-c:v", "libx264", "-preset", "ultrafast"], tmp_path / "long.mp4"
    )
    with Frames(path, inspect(path), step=10**6, size=1) as frames:
        next(iter(frames))
    assert frames.read < 1800


def test_turned_pictures_are_turned_behind_a_damage_too(video, tmp_path):
    path = blank(video("turned.mov"), 0.5, 3000, tmp_path / "damaged.mov")
    pictures, _, unreadable, _ = read(path, mark=True)
    assert unreadable
    assert np.array_equal(pictures[95:], decoded(video("turned.mov"))[95:])


def test_pictures_that_change_their_size_come_as_opencv_scales_them(tmp_path):
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    for size, path in (("160x120", small), ("320x240", large)):
        source = [SOURCE[0], SOURCE[1], "-i", f"testsrc2=s={size}:r=30:d=1"]
        subprocess.run(["ffmpeg", "-loglevel", "error", *source, "-c:v", "libx264", str(path)], check=True)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    assert np.array_equal(read(both)[0], decoded(both))


def test_what_cannot_be_opened_is_refused(video, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with (
        Frames(path, inspect(video("plain.mp4"))) as frames,
        pytest.raises(AnalysisFailed, match="OpenCV cannot open the video"),
    ):
        next(iter(frames))
