"""How a video is said to be played: what was measured in a browser, as rules."""

from array import array

import numpy as np
import pytest

from dlc_jupyter.pose.playback import Timing, look, table
from tests.pose import videos

ALL = [
    ("plain.mp4", "direct", None),
    ("plain.mov", "direct", None),
    ("turned.mov", "direct", None),
    ("stretched.mp4", "direct", None),
    ("trimmed.mp4", "direct", None),
    ("jitter.mp4", "direct", None),
    ("5994.mp4", "direct", None),
    ("vp9.mp4", "direct", None),
    ("one.mp4", "direct", None),
    ("444.mp4", "direct", "colours"),
    ("10-bit.mp4", "direct", "colours"),
    ("late.mp4", "remux", "at 1.500 s"),
    ("no-edits.mp4", "remux", "at 0.067 s"),
    ("fragments.mp4", "remux", "spread over"),
    ("fragments-0.mp4", "remux", "spread over"),
    ("plain.mkv", "remux", "Matroska"),
    ("pairs.mp4", "proxy", "same time"),
    ("hevc.mp4", "proxy", "HEVC"),
    ("part-2.mp4", "proxy", "MP4V"),
    ("motion.avi", "proxy", "AVI"),
    ("h264.avi", "proxy", "AVI"),
    ("vp8.webm", "proxy", "VP8"),
    ("plain.mpg", "proxy", "kind"),
    ("plain.ts", "proxy", "kind"),
]


@pytest.mark.parametrize(("name", "play", "why"), ALL)
def test_how_a_video_is_played_and_why_not_better(movie, name, play, why):
    found = look(movie(name))
    assert found.play == play
    assert found.why is None if why is None else why in found.why
    assert found.why is None or found.why.endswith(".")


def test_frames_behind_the_announced_end_are_reached_by_a_copy(movie, tmp_path):
    data = bytearray(movie("plain.mp4").read_bytes())
    at = data.index(b"mdhd") + 4 + 16
    data[at : at + 4] = (119 * 512).to_bytes(4, "big")
    (tmp_path / "short.mp4").write_bytes(data)
    found = look(tmp_path / "short.mp4")
    assert (found.play, found.frames) == ("remux", 120)
    assert "behind the end" in found.why


def test_pictures_that_may_be_lost_are_encoded_anew_and_not_counted(tmp_path):
    found = look(videos.cut_open(tmp_path / "open.mp4")[0])
    assert (found.play, found.frames, found.timing) == ("proxy", None, None)
    assert (found.width, found.height) == (160, 120)


def test_size_as_opencv_sees_it(movie):
    for name, size in (("turned.mov", (120, 160)), ("stretched.mp4", (160, 120)), ("turned-180.mp4", (160, 120))):
        found = look(movie(name))
        assert (found.width, found.height) == size, name


def test_what_is_no_video(movie, tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n")
    assert look(tmp_path / "table.csv", "text/csv") is None
    assert look(videos.ffmpeg(["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"], tmp_path / "sound.mp4")) is None


def test_what_an_analysis_has_found_is_believed_where_the_container_does_not_tell(movie):
    facts = {"container": "avi", "codec": "mjpeg", "width": 160, "height": 120, "fps": 30.0, "frames": 120}
    told = look(movie("motion.avi"), "", facts).as_json()
    assert {name: told[name] for name in facts} == facts


def test_times_at_one_distance_are_three_numbers_exact_to_the_tick():
    regular = Timing.of(array("q", range(1001, 100_000, 1001)), 100_100, 30_000)
    assert regular.as_json("there") == {"regular": {"start": 1001, "step": 1001, "timescale": 30_000}}
    times = array("q", range(1001, 100_000, 1001))
    times[50] += 1
    odd = Timing.of(times, 100_100, 30_000)
    assert odd.as_json("there") == {"times": "there"}
    for timing in (regular, odd):
        assert np.array_equal(np.frombuffer(timing.table(), "<f8"), np.array([*timing.times, 100_100]) / 30_000)
    assert regular.fps == pytest.approx(30_000 / 1001)
    assert odd.least_gap == pytest.approx(1000 / 30_000)


def test_a_table_is_64_bit_floats():
    assert np.frombuffer(table([0.0, 0.1, 1e9]), "<f8").tolist() == [0.0, 0.1, 1e9]
