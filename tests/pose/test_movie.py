"""What is read of MP4 and QuickTime files is what FFmpeg reads, in the order in which OpenCV shows it."""

import random
import struct
from pathlib import Path
from time import process_time

import av
import cv2
import numpy as np
import pytest

from dlc_jupyter.pose.movie import NoPictures, read_movie
from dlc_jupyter.pose.movie_boxes import Unclear
from tests.pose import videos
from tests.pose.movies import MORE, X264

MOVIES = [*MORE, *(name for name in videos.WHOLE if name.endswith((".mp4", ".mov")))]


def demuxed(path):
    """When FFmpeg says that each picture is shown, in order, in units of the clock; and the clock."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        assert stream.time_base.numerator == 1
        return sorted(packet.pts for packet in packets), stream.time_base.denominator


def test_videos_are_as_various_as_they_are_meant_to_be(movie):
    read = {name: read_movie(movie(name)) for name in MOVIES}
    late = {"late.mp4", "late-turned.mp4", "late-stretched.mp4"}
    begun = {"fragments-based.mp4", "hybrid.mp4", "fragments.mp4"}
    assert {name for name, each in read.items() if each.times[0]} == {*late, *begun, "no-edits.mp4"}
    assert {name for name, each in read.items() if each.fragmented} == {*begun, "fragments-0.mp4"}
    assert len(set(read["pairs.mp4"].times)) < len(read["pairs.mp4"].times)
    assert {each.rotation for each in read.values()} == {0, 90, 180, 270}
    assert read["stretched.mp4"].pixel_aspect == (2, 1)
    assert {(read[name].width, read[name].height) for name in ("odd-444.mp4", "odd-part-2.mp4")} == {(161, 121)}
    assert (read["444.mp4"].profile, read["10-bit.mp4"].profile, read["hevc.mp4"].profile) == (244, 110, None)


@pytest.mark.parametrize("name", MOVIES)
def test_every_frame_has_the_time_that_ffmpeg_gives_it_and_there_are_as_many_as_opencv_shows(movie, name):
    path = movie(name)
    found = read_movie(path)
    assert (list(found.times), found.timescale) == demuxed(path)
    pictures = videos.decode_pictures(path)
    assert (len(found.times), found.doubt) == (len(pictures), "")
    height, width = pictures.shape[1:3]
    size = (found.width, found.height) if found.rotation in (0, 180) else (found.height, found.width)
    assert abs(np.subtract(size, (width, height))).max() == 0
    assert found.times[-1] < found.end <= found.times[-1] + 2 * found.timescale


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_rotation_is_the_one_by_which_opencv_turns_clockwise(movie, degrees):
    path = movie(f"turned-{degrees}.mp4")
    capture = cv2.VideoCapture(str(path))
    shown = capture.read()[1]
    capture.release()
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    stored = capture.read()[1]
    capture.release()
    assert np.array_equal(np.rot90(stored, -read_movie(path).rotation // 90), shown)


def test_pictures_that_cannot_be_decoded_without_what_was_cut_away_are_doubted(tmp_path):
    path, leading, _ = videos.cut_open(tmp_path / "open.mp4")
    assert leading
    found = read_movie(path)
    assert "predicted" in found.doubt
    assert len(found.times) == len(videos.decode(path)) + leading


def test_a_file_that_is_cut_off_is_doubted_or_not_read(movie, tmp_path):
    assert "missing" in read_movie(videos.cut(movie("plain.mp4"), 0.7, tmp_path / "cut.mp4")).doubt
    with pytest.raises(Unclear, match="no table"):
        read_movie(videos.cut(movie("last-table.mp4"), 0.7, tmp_path / "lost.mp4"))


def test_a_recording_of_a_stream_is_doubted(tmp_path):
    path = videos.ffmpeg([*videos.SOURCE, *X264, "-bf", "3", "-movflags", "+dash"], tmp_path / "dash.mp4")
    assert "stream" in read_movie(path).doubt


def test_sound_alone_has_no_pictures(tmp_path):
    with pytest.raises(NoPictures):
        read_movie(videos.ffmpeg(["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"], tmp_path / "sound.mp4"))


def _box(data, name, within=None):
    """Where the content of a box begins."""
    at = data.index(name, data.index(within) if within else 0)
    return at + 4


def _changed(path, target, *changes):
    data = bytearray(path.read_bytes())
    for name, offset, value in changes:
        struct.pack_into(">I", data, _box(data, name) + offset, value)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ((b"elst", 16, 2 << 16), "speed"),  # the rate of the first edit
        ((b"stss", 8, 2), "by itself"),
        ((b"stsz", 12, 0), "empty"),
    ],
)
def test_what_is_not_known_to_be_read_alike_is_doubted(movie, tmp_path, change, what):
    assert what in read_movie(_changed(movie("plain.mp4"), tmp_path / "odd.mp4", change)).doubt


def test_a_mirrored_picture_has_no_rotation(movie, tmp_path):
    mirrored = _changed(movie("plain.mp4"), tmp_path / "mirrored.mp4", (b"tkhd", 40, 0xFFFF0000))
    assert read_movie(mirrored).rotation is None


@pytest.mark.parametrize(
    "change",
    [
        (b"stts", 8, 0xFFFFFFFF),  # four thousand million pictures
        (b"stsz", 8, 0xFFFFFFFF),
        (b"ctts", 8, 0xFFFFFFFF),
        (b"mdhd", 12, 0),
        (b"moov", 0, 0x7FFFFFFF),
        (b"stbl", 0, 0),
        (b"stsd", 8, 3),
    ],
)
def test_numbers_that_cannot_be_are_told_and_take_no_memory(movie, tmp_path, change):
    with pytest.raises(Unclear):
        read_movie(_changed(movie("plain.mp4"), tmp_path / "wrong.mp4", change))


@pytest.mark.parametrize("name", ["plain.mp4", "trimmed.mp4", "fragments.mp4", "hybrid.mp4"])
def test_whatever_is_damaged_nothing_but_that_is_said(movie, tmp_path, name):
    data, draw = movie(name).read_bytes(), random.Random(name)
    tables = [at for at in range(len(data) - 4) if data[at : at + 4] in (b"moov", b"moof")]
    target = tmp_path / "damaged.mp4"
    outcomes = set()
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            damaged[min(draw.choice(tables) + draw.randint(-4, 1200), len(data) - 1)] = draw.choice([0, 1, 255, 128])
        target.write_bytes(damaged)
        try:
            outcomes.add(bool(read_movie(target).times))
        except Unclear:
            outcomes.add(None)
    assert outcomes == {True, None}


def test_the_table_of_two_hours_at_60_frames_a_second_takes_a_moment(tmp_path):
    frames = 432_000
    path = _long(tmp_path / "long.mp4", frames)
    begun = process_time()
    found = read_movie(path)
    assert process_time() - begun < 0.3
    assert len(found.times) == frames
    assert list(found.times[:5]) == [0, 256, 512, 768, 1024]


def _long(target: Path, frames: int) -> Path:
    """Make a file of so many pictures without content, every second one shown before the one that precedes it."""

    def box(kind, *parts):
        body = b"".join(parts)
        return struct.pack(">I4s", 8 + len(body), kind) + body

    def numbers(*values):
        return struct.pack(f">{len(values)}I", *values)

    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    entry = bytes(24) + struct.pack(">HH", 64, 48) + bytes(50)
    moved = np.array([256, *[512, 0] * (frames // 2 - 1), 256])
    offsets = np.stack([np.ones(frames), moved], 1).astype(">u4").tobytes()
    table = box(
        b"stbl",
        box(b"stsd", numbers(0, 1), box(b"avc1", entry)),
        box(b"stts", numbers(0, 1, frames, 256)),
        box(b"ctts", numbers(0, frames), offsets),
        box(b"stsz", numbers(0, 0, frames), np.ones(frames, ">u4").tobytes()),
    )
    media = box(
        b"mdia",
        box(b"mdhd", numbers(0, 0, 0, 15360, frames * 256, 0)),
        box(b"hdlr", numbers(0, 0), b"vide", bytes(13)),
        box(b"minf", table),
    )
    edits = box(b"edts", box(b"elst", numbers(0, 1, frames * 1000 // 60, 256, 1 << 16)))
    track = box(b"trak", box(b"tkhd", numbers(0, 0, 0, 1), bytes(24), identity, bytes(8)), edits, media)
    movie = box(b"moov", box(b"mvhd", numbers(0, 0, 0, 1000, 0), bytes(16), identity, bytes(28)), track)
    target.write_bytes(box(b"ftyp", b"isom", bytes(4)) + movie + box(b"mdat", bytes(frames)))
    return target
