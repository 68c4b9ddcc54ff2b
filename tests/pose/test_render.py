"""Every picture is drawn on and written once; what fails in one stage ends all; other videos are refused."""

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.drawing import Look, Painter
from dlc_jupyter.pose.encoding import Encoder, check_playable
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.render import render
from tests.pose.videos import SOURCE, cut, cut_open, decode_pictures, ffmpeg, reserve


def encode(target, pictures, fps=Fraction(30)):
    encoder = Encoder(target, fps)
    for picture in pictures:
        encoder.write(picture)
    encoder.finish()
    return encoder


@pytest.mark.parametrize(
    "fps", [Fraction(30), Fraction(30000, 1001), Fraction(25, 3), Fraction(1000), Fraction(206, 7)]
)
def test_every_picture_is_written_once_at_the_rate_asked_for(tmp_path, fps):
    shades = [np.full((48, 64, 3), 5 * shade, np.uint8) for shade in range(50)]
    encode(tmp_path / "out.mp4", shades, fps)
    assert check_playable(tmp_path / "out.mp4", 50) == {"width": 64, "height": 48, "codec": "h264"}
    media = inspect(tmp_path / "out.mp4")
    assert float(media.fps) == pytest.approx(float(fps), rel=1e-3)
    assert not media.variable_rate


def test_the_ffmpeg_that_comes_with_deeplabcut_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    encode(tmp_path / "out.mp4", np.zeros((4, 48, 64, 3), np.uint8))
    assert check_playable(tmp_path / "out.mp4", 4) == {"width": 64, "height": 48, "codec": "h264"}


def test_what_ffmpeg_says_names_no_folder_of_the_server(tmp_path):
    folder = tmp_path / "Jane Doe" / "dlc data"
    folder.mkdir(parents=True)
    (folder / "out.mp4").mkdir()  # ffmpeg cannot write there
    with pytest.raises(AnalysisFailed) as failed:
        encode(folder / "out.mp4", np.zeros((400, 480, 640, 3), np.uint8))
    assert failed.value.kind == "EncodingFailed"
    assert "out.mp4" in (folder / "out.log").read_text()
    assert "Jane" not in failed.value.hint
    assert "dlc data" not in failed.value.hint


def test_odd_sizes_and_parts_of_pictures_are_taken(tmp_path):
    whole = np.zeros((60, 80, 3), np.uint8)
    encode(tmp_path / "out.mp4", [whole[3:36, 5:46]] * 3)
    assert check_playable(tmp_path / "out.mp4", 3) == {"width": 42, "height": 34, "codec": "h264"}


def test_colours_come_out_as_they_went_in(tmp_path):
    import av

    colours = np.array([[230, 30, 30], [30, 200, 30], [40, 40, 230], [240, 240, 240]], np.uint8)
    picture = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)
    encode(tmp_path / "out.mp4", [picture[..., ::-1]] * 5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 1  # BT.709, and marked as such
        seen = frame.to_ndarray(format="rgb24", src_colorspace="ITU709")
    assert np.abs(seen[16::32, 16::32].reshape(4, 3).astype(int) - colours).max() < 12


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*SOURCE, "-frames:v", "9", "-c:v", "mpeg4"], "it is mpeg4"),
        ([*SOURCE, "-frames:v", "9", "-c:v", "libx264", "-pix_fmt", "yuv444p"], "yuv444p"),
        ([*SOURCE, "-frames:v", "9", "-c:v", "libx264", "-pix_fmt", "yuv420p"], "table of contents comes last"),
        ([*SOURCE, "-frames:v", "8", "-c:v", "libx264", "-movflags", "+faststart"], "8 frames instead of 9"),
    ],
)
def test_a_video_that_does_not_play_everywhere_is_refused(tmp_path, arguments, says):
    path = ffmpeg(arguments, tmp_path / "out.mp4")
    with pytest.raises(AnalysisFailed, match=says):
        check_playable(path, 9)


def test_a_labelled_video_that_was_cut_is_refused(tmp_path):
    encode(tmp_path / "out.mp4", np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8))
    with pytest.raises(AnalysisFailed, match=r"cannot be decoded|instead of"):
        check_playable(cut(tmp_path / "out.mp4", 0.8, tmp_path / "cut.mp4"), 30)


CHILD = """
import sys, time
from fractions import Fraction
from pathlib import Path
import numpy as np
from dlc_jupyter.pose.encoding import Encoder
encoder = Encoder(Path(sys.argv[1]), Fraction(30))
encoder.write(np.zeros((48, 64, 3), np.uint8))
print(encoder._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part in it is Linux's")
def test_ffmpeg_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "out.mp4")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    encoder = psutil.Process(int(child.stdout.readline()))
    os.kill(child.pid, signal.SIGSTOP)  # its end of the pipe stays open: only the kernel can end ffmpeg
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 5
    while encoder.is_running() and encoder.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "ffmpeg is still there"
        time.sleep(0.01)


def test_an_abandoned_encoder_leaves_no_process(tmp_path):
    encoder = Encoder(tmp_path / "out.mp4", Fraction(30))
    encoder.write(np.zeros((48, 64, 3), np.uint8))
    process = encoder._process
    assert process is not None
    encoder.abandon()
    assert process.poll() is not None


def test_pictures_go_in_by_ones_and_by_several(tmp_path):
    pictures = np.zeros((7, 48, 64, 3), np.uint8)
    pictures[:, :, :] = np.arange(7).reshape(-1, 1, 1, 1) * 30
    encoder = Encoder(tmp_path / "out.mp4", Fraction(30))
    encoder.write(pictures[:4])
    encoder.write(pictures[4])
    encoder.write(pictures[5:])
    encoder.finish()
    assert encoder.written == 7
    check_playable(tmp_path / "out.mp4", 7)
    assert decode_pictures(tmp_path / "out.mp4")[:, 20, 20, 0] == pytest.approx(pictures[:, 20, 20, 0], abs=4)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_disk_that_is_full_is_no_success(tmp_path):
    (tmp_path / "out.mp4").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (90, 240, 320, 3), np.uint8)
    with pytest.raises(AnalysisFailed, match="disk is full") as failed:
        encode(tmp_path / "out.mp4", noise)
    assert failed.value.kind == "NoSpace"


# -- decoding, drawing and encoding at once ----------------------------------------------------------------------------

FRAMES = 60
GREEN = (0, 255, 0)


class Marker(Painter):
    """Draws a green bar whose length is the frame's number, and nothing else."""

    def __init__(self, width, height, *, fails_at=None):
        levels = pd.MultiIndex.from_product([["s"], ["a"], ["x", "y", "likelihood"]])
        levels.names = ["scorer", "bodyparts", "coords"]
        nothing = pd.DataFrame(np.zeros((FRAMES, 3)), columns=levels)
        super().__init__(nothing, Look([]), (width, height), (0, width, 0, height))
        self._fails_at = fails_at

    def draw(self, picture, index):
        if index == self._fails_at:
            raise ArithmeticError("The drawing failed.")
        picture[:16] = 0
        picture[:16, : 2 * index] = GREEN


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    return ffmpeg([*SOURCE, "-frames:v", str(FRAMES), "-c:v", "libx264", "-g", "10"], path)


@pytest.fixture
def draw(source, tmp_path):
    """Render the source with a `Marker`; whatever happens, no thread and no process may be left."""
    media = inspect(source)

    def start(rows=FRAMES, progress=lambda done: None, video=source, **options):
        try:
            painter = Marker(media.width, media.height, **options)
            render(video, media, painter, rows, tmp_path / "out.mp4", progress=progress)
        finally:
            assert not [thread for thread in threading.enumerate() if thread.name in ("dlc-frames", "dlc-writer")]
            assert not encoders()
        return tmp_path / "out.mp4"

    return start


def encoders():
    return [each for each in psutil.Process().children() if "ffmpeg" in each.name()]


@pytest.mark.parametrize("rows", [1, 9, FRAMES])
@pytest.mark.parametrize("at_once", [1, 1 << 22])
def test_every_frame_is_drawn_on_with_its_own_number(draw, monkeypatch, rows, at_once):
    import av

    monkeypatch.setattr("dlc_jupyter.pose.render._AT_ONCE", at_once)
    told = []
    path = draw(rows, told.append)
    check_playable(path, rows)
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24", src_colorspace="ITU709") for frame in container.decode(video=0)]
    lengths = [(picture[8, :, 1] > 128).sum() / 2 for picture in pictures]
    assert lengths == pytest.approx(range(rows), abs=1.1)
    assert told == sorted(told)
    assert told[-1] == rows


class Witness(Marker):
    """Keeps the pictures that it was to draw on."""

    def draw(self, picture, index):
        self.seen = [*getattr(self, "seen", []), picture.copy()]
        assert len(self.seen) == index + 1


def test_where_the_first_frames_cannot_be_decoded_each_row_is_drawn_on_its_own_picture(tmp_path):
    path, leading, _source = cut_open(tmp_path / "cut.mp4")
    media, pictures = inspect(path), decode_pictures(path)  # as the network sees them: a row for each
    assert len(pictures) == media.frames - leading < media.frames
    painter = Witness(media.width, media.height)
    render(path, media, painter, len(pictures), tmp_path / "out.mp4", progress=lambda done: None)
    assert np.array_equal(painter.seen, pictures)
    check_playable(tmp_path / "out.mp4", len(pictures))


def test_frames_that_are_left_out_end_all_although_there_are_enough(tmp_path):
    coding = ["-c:v", "libx265", "-x265-params", "log-level=none", "-g", "12"]
    whole = ffmpeg([*SOURCE, "-t", "2", *coding], tmp_path / "whole.mp4")
    path = reserve(whole, 24, tmp_path / "skipping.mp4")
    media = inspect(path)
    with pytest.raises(AnalysisFailed, match="12 frames of 60 could not be decoded"):
        render(path, media, Marker(media.width, media.height), 45, tmp_path / "out.mp4", progress=lambda done: None)


def test_a_frame_that_is_missing_is_named(draw):
    with pytest.raises(AnalysisFailed, match=f"Frame {FRAMES} of the video") as failed:
        draw(FRAMES + 1)
    assert failed.value.kind == "VideoCutShort"


def test_a_video_that_cannot_be_decoded_ends_all(draw, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(AnalysisFailed) as failed:
        draw(video=tmp_path / "text.mp4")
    assert failed.value.kind == "NotDecodable"


def test_a_drawing_that_fails_ends_all(draw):
    with pytest.raises(ArithmeticError):
        draw(fails_at=30)


def test_whoever_is_told_of_the_progress_can_end_all(draw):
    def enough(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(progress=enough)


def test_an_ffmpeg_that_dies_ends_all(draw, monkeypatch):
    monkeypatch.setattr("dlc_jupyter.pose.render._AT_ONCE", 1)

    def kill(done):
        for each in encoders():
            each.kill()

    with pytest.raises(AnalysisFailed) as failed:
        draw(progress=kill)
    assert failed.value.kind == "EncodingFailed"


def test_an_ffmpeg_that_does_not_start_ends_all(draw, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ffmpeg").write_text("#!/bin/sh\necho no such encoder >&2\nexit 1\n")
    (tmp_path / "bin/ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(AnalysisFailed) as failed:
        draw()
    assert failed.value.hint == "no such encoder"


RENDER = """
import sys
from pathlib import Path
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.render import render
from tests.pose.test_render import Marker, encoders
source = Path(sys.argv[1])
media = inspect(source)
painter = Marker(media.width, media.height)
def stop(done):
    print(encoders()[0].pid, flush=True)
    sys.stdin.read()
render(source, media, painter, media.frames, Path(sys.argv[2]), progress=stop)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part in it is Linux's")
def test_killing_the_process_in_the_middle_leaves_no_ffmpeg(source, tmp_path):
    command = [sys.executable, "-c", RENDER, str(source), str(tmp_path / "out.mp4")]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    encoder = psutil.Process(int(child.stdout.readline()))
    child.kill()
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 5
    while encoder.is_running() and encoder.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "ffmpeg is still there"
        time.sleep(0.01)
