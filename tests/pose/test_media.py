"""Whole videos pass, whatever their headers say; what has lost frames does not, and the message names which."""

import re
import shutil
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.media import INTERLACED_DIFFERENCE, inspect, seconds
from tests.pose import videos
from tests.pose.videos import H264, SOURCE, WHOLE, blank, cut, decode, decode_pictures, ffmpeg, pack


def account(path):
    """Judge a video as an analysis does: before it is read, and after OpenCV has come to its end."""
    media = inspect(path)
    media.check_whole()
    shown = decode(path)
    return media, media.account(len(shown), shown)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_video_passes(video, name):
    media, notes = account(video(name))
    assert media.frames == WHOLE[name][1]
    assert notes == []


def test_the_frame_count_of_a_trim_is_what_is_shown_not_what_its_header_counts(video):
    path = video("trim.mp4")
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 90
    assert inspect(path).frames == 69 == len(decode(path))


def test_packed_b_frames_are_whole(video, tmp_path):
    path = pack(video("b-frames.avi"), tmp_path / "packed.avi")
    media, notes = account(path)
    assert media.placeholders
    assert media.frames == 120
    assert notes == []


def test_the_facts_of_a_video(video):
    media = inspect(video("long-sound.mp4"))
    assert media.as_json() == {
        "container": "mov",
        "codec": "h264",
        "width": 160,
        "height": 120,
        "fps": 30.0,
        "frames": 120,
        "duration": 4.0,
        "variable_rate": False,
        "sound": True,
        "missing": None,
        "notes": [],
    }


def test_a_turned_video_has_the_size_that_is_shown(video):
    media = inspect(video("turned.mov"))
    assert (media.width, media.height) == (120, 160)


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_the_rate_of_an_uneven_video_is_the_mean(video, name):
    media = inspect(video(name))
    assert media.variable_rate
    assert float(media.fps) == pytest.approx((media.frames - 1) / media.times[-1], rel=1e-3)
    assert "varies" in media.notes[0]


CUT = ["plain.mp4", "fragments.mp4", "plain.mkv", "vp8.webm", "uneven.mkv", "mpeg4.avi", "motion.avi"]


@pytest.mark.parametrize(
    ("name", "part"),
    [(name, part) for name in CUT for part in (0.3, 0.6, 0.9, 0.98)]
    + [("long-sound.mp4", part) for part in (0.3, 0.6)],
)
def test_a_cut_video_is_refused_before_any_work(video, tmp_path, name, part):
    path = cut(video(name), part, tmp_path / name)
    media = inspect(path)
    with pytest.raises(AnalysisFailed) as failed:
        media.check_whole()
    assert failed.value.kind == "VideoCutShort"
    assert f"frame {media.frames - 1}, counted from 0, at {seconds(media.times[-1])}" in failed.value.message
    assert "it should last" in failed.value.message


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", [*CUT, "clusters.mkv", "h264.avi", "b-frames.avi"])
def test_of_a_cut_video_the_frames_before_the_first_missing_one_can_be_had(video, tmp_path, name, part):
    path = cut(video(name), part, tmp_path / name)
    media, pictures = inspect(path), decode_pictures(path)
    there = media.decodable
    # Behind them pictures are there too, but others are missing between them.
    assert len(pictures) - 18 <= there <= len(pictures)
    assert np.array_equal(pictures[:there], decode_pictures(video(name))[:there])
    [note] = media.check_whole(there)
    assert note.startswith(f"The video is cut off: it ends with frame {media.frames - 1}, counted from 0, at ")
    assert note.endswith(f" What was asked for, up to stop={there}, is there.")
    assert media.account(there, decode(path)[:there], there) == []
    for wanted in (there + 1, None):
        with pytest.raises(AnalysisFailed) as failed:
            media.check_whole(wanted)
        assert failed.value.kind == "VideoCutShort"
        assert f"stop={there}, or less" in failed.value.hint


def test_a_cut_video_has_the_rate_of_the_whole_one(tmp_path):
    """Pictures that others were predicted from are there, and those are not: that is no varying rate."""
    coding = [*H264, "-x264-params", "bframes=6:b-adapt=0:scenecut=0"]
    whole = ffmpeg([*SOURCE, *coding, "-movflags", "+faststart"], tmp_path / "whole.mp4")
    with av.open(str(whole)) as container:
        ahead = [each for each in container.demux(video=0) if each.size and each.pts - each.dts > 5 * each.duration]
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: ahead[6].pos + ahead[6].size])
    media = inspect(path)
    assert media.cut
    assert (media.fps, media.variable_rate, media.notes) == (30, False, ())
    pictures = decode_pictures(path)
    assert media.frames < len(pictures)
    assert not np.array_equal(pictures, decode_pictures(whole)[: len(pictures)])
    assert np.array_equal(pictures[: media.frames], decode_pictures(whole)[: media.frames])


def test_damage_before_the_end_of_a_cut_video_is_not_passed_over(video):
    media = replace(inspect(video("plain.mkv")), cut=True, damage="nothing of it can be read between 1 and 2 s")
    with pytest.raises(AnalysisFailed, match="The video is damaged"):
        media.check_whole(30)


def test_a_video_that_lost_only_the_end_of_its_sound_is_whole(video, tmp_path):
    media, notes = account(cut(video("long-sound.mp4"), 0.98, tmp_path / "cut.mp4"))
    assert media.notes == ("The end of the file is missing, but none of its frames.",)
    assert notes == []


def test_a_video_that_lost_its_last_frame_only_is_refused(video, tmp_path):
    source = video("mpeg4.avi")
    data = source.read_bytes()
    last = data.rindex(b"00dc", 0, data.rindex(b"idx1"))
    path = tmp_path / "cut.avi"
    path.write_bytes(data[:last])
    with pytest.raises(AnalysisFailed, match=r"frame 118, counted from 0, at .* last 4.00 s, about 120 frames"):
        inspect(path).check_whole()


def test_an_avi_that_lost_only_its_index_is_whole(video, tmp_path):
    data = video("mpeg4.avi").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(data[: data.rindex(b"idx1")])
    media, _notes = account(path)
    assert media.frames == 120


def test_a_piped_video_that_breaks_off_within_a_frame_is_refused(video, tmp_path):
    path = cut(video("piped.mkv"), 0.6, tmp_path / "piped.mkv")
    with pytest.raises(AnalysisFailed, match="it breaks off within a frame"):
        inspect(path).check_whole()


def test_a_piped_video_says_that_a_missing_end_would_not_be_noticed(video):
    assert "does not say how long it is" in inspect(video("piped.mkv")).notes[0]


def test_zeros_that_stop_the_decoder_are_named_with_the_frames(video, tmp_path):
    path = blank(video("plain.mp4"), 0.5, 4000, tmp_path / "zeros.mp4")
    media = inspect(path)
    media.check_whole()  # its table of contents is whole
    shown = decode(path)
    assert len(shown) < 120
    with pytest.raises(AnalysisFailed) as failed:
        media.account(len(shown), shown)
    # Row i is frame i: the frames that were seen are 0 up to this one.
    stopped = f"stopped at frame {len(shown)}, counted from 0 ({seconds(media.times[len(shown)])})"
    assert stopped in failed.value.message
    assert "it, or one that is decoded with it, is damaged" in failed.value.message  # decoders hold pictures back
    assert "goes on to frame 119 (3.97 s)" in failed.value.message


@pytest.mark.parametrize(
    ("name", "markable"), [("plain.mp4", True), ("plain.mov", True), ("mpeg4.avi", False), ("plain.mkv", False)]
)
def test_only_some_containers_say_where_the_places_of_bad_frames_are(video, name, markable):
    assert inspect(video(name)).markable == markable


def test_zeros_that_swallow_frames_of_an_avi_are_counted(video, tmp_path):
    path = blank(video("mpeg4.avi"), 0.5, 20_000, tmp_path / "zeros.avi")
    with pytest.raises(AnalysisFailed, match=r"damaged: \d+ frames? that its index lists"):
        inspect(path).check_whole()


def test_zeros_that_swallow_frames_of_a_mkv_are_located(video, tmp_path):
    path = blank(video("clusters.mkv"), 0.5, 6000, tmp_path / "zeros.mkv")
    with pytest.raises(AnalysisFailed, match=r"between (\S+) s and (\S+) s") as failed:
        inspect(path).check_whole()
    start, end = map(float, re.findall(r"([\d.]+) s", failed.value.message))
    shown = decode(path)
    assert start in [pytest.approx(time, abs=0.02) for time in shown]
    assert not [time for time in shown if start + 0.02 < time < end - 0.02]


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_zeros_behind_which_nothing_of_a_webm_can_be_read_are_located(video, tmp_path, part):
    path = blank(video("vp8.webm"), part, 3000, tmp_path / "zeros.webm")
    media = inspect(path)
    assert media.frames == len(decode(path)) < 115
    with pytest.raises(AnalysisFailed, match="damaged: nothing of it can be read behind") as failed:
        media.check_whole()
    assert f"behind {seconds(media.times[-1])}." in failed.value.message


def test_frames_that_were_not_decoded_in_between_are_counted(video):
    media = inspect(video("plain.mp4"))
    shown = [time for time in media.times if not 1.99 < time < 2.08]
    with pytest.raises(AnalysisFailed, match=r"3 frames of 120 .* the first at 2.00 s \(frame 60, counted from 0\)"):
        media.account(len(shown), shown)


def test_frames_before_the_first_key_frame_are_no_loss(video):
    media = inspect(video("plain.mp4"))
    notes = media.account(118, media.times[2:])
    assert notes == [
        "The first 2 frames cannot be decoded without what was cut away before them: row 0 is the frame at 0.07 s."
    ]


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda path, video: path.write_text("hello"), "NotAVideo", "not a video that can be read"),
        (lambda path, video: path.write_bytes(b""), "NotAVideo", "not a video that can be read"),
        (lambda path, video: path.write_bytes(bytes(range(256)) * 80), "NotAVideo", "not a video that can be read"),
        (lambda path, video: cv2.imwrite(str(path) + ".png", np.zeros((9, 9, 3), np.uint8)), "NotAVideo", "a picture"),
        (lambda path, video: cut(video("last-table.mp4"), 0.7, path), "VideoCutShort", "table of contents"),
        (lambda path, video: ffmpeg([*videos.SOURCE, "-frames:v", "0"], path), "NotAVideo", "no pictures"),
        (lambda path, video: ffmpeg(["-f", "lavfi", "-i", "sine=d=1"], path), "NotAVideo", "no pictures"),
    ],
    ids=["text", "empty", "bytes", "image", "no-table", "no-frames", "sound-only"],
)  # fmt: skip
def test_what_is_no_video_is_refused(video, tmp_path, make, kind, says):
    path = tmp_path / "video.mp4"
    make(path, video)
    if not path.exists():
        shutil.move(f"{path}.png", path)
    with pytest.raises(AnalysisFailed, match=says) as failed:
        inspect(path)
    assert failed.value.kind == kind
    assert str(tmp_path) not in failed.value.message


def test_a_video_that_is_cut_off_within_its_first_frame_is_refused(video, tmp_path):
    data = video("mpeg4.avi").read_bytes()
    path = tmp_path / "video.avi"
    path.write_bytes(data[: data.index(b"movi") + 60])
    with pytest.raises(AnalysisFailed, match="within its first frame") as failed:
        inspect(path)
    assert failed.value.kind == "VideoCutShort"


def test_a_video_without_frames_is_refused(video, tmp_path):
    data = bytearray(video("mpeg4.avi").read_bytes())
    end = data.index(b"movi") + 4
    data[4:8] = (end - 8).to_bytes(4, "little")
    data[end - 8 : end - 4] = (4).to_bytes(4, "little")
    path = tmp_path / "video.avi"
    path.write_bytes(data[:end])
    with pytest.raises(AnalysisFailed, match="The video has no frames") as failed:
        inspect(path)
    assert failed.value.kind == "VideoEmpty"


def test_interlaced_video_is_refused_where_opencv_cannot_convert_it(tmp_path):
    # Size and picture are those of no other test: where OpenCV fails, it shows the memory of an earlier picture.
    source = ["-f", "lavfi", "-i", "mandelbrot=s=192x96:r=30", "-frames:v", "9"]
    interlaced = ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", "interlaced=1"]
    path = ffmpeg([*source, *interlaced], tmp_path / "interlaced.mp4")
    with av.open(str(path)) as container:
        wanted = next(container.decode(video=0)).to_ndarray(format="bgr24")
    _found, picture = cv2.VideoCapture(str(path)).read()
    if np.abs(wanted.astype(int) - picture).mean() < INTERLACED_DIFFERENCE:
        assert account(path)[0].frames == 9
        return
    with pytest.raises(AnalysisFailed, match="interlaced") as failed:
        inspect(path)
    assert "yadif" in failed.value.hint


def test_times_are_written_for_people():
    assert [seconds(time) for time in (4.8, 65.25, 3725.5)] == ["4.80 s", "01:05.25", "1:02:05.50"]
