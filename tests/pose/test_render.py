"""The encoder writes every picture once, and ends with the process that started it; other videos are refused."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import psutil
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.encoding import Encoder, check_playable
from dlc_jupyter.pose.media import inspect
from tests.pose.videos import SOURCE, cut, ffmpeg


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
    encode(tmp_path / "out.mp4", [picture] * 5)
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
