"""Pictures to an H.264 video that every browser plays, by ffmpeg; and whether a video is one."""

from __future__ import annotations

import contextlib
import fcntl
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import av
import numpy as np

from dlc_jupyter.errors import AnalysisFailed, without_paths
from dlc_jupyter.orphans import die_with_parent
from dlc_jupyter.pose.containers import boxes
from dlc_jupyter.pose.frames import Batch

# H.264 with a colour plane of half the size wants even sides. The colours are marked for what they are, for players
# that guess by the size of the picture otherwise.
_FILTER = "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix={}:out_range=tv,format=yuv420p"
_H264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
_H264 += ["-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv", "-an"]
#: How a video is marked in which a matrix has made bytes of colours.
_MARKS = {"bt709": "bt709", "bt601": "smpte170m"}

#: How much Linux lets a pipe hold for anybody (/proc/sys/fs/pipe-max-size), in bytes: about a picture.
_PIPE = 1 << 20
#: A disk with less room than this, in bytes, has none: ffmpeg's last words were not written either.
_FULL = 1 << 16


def find_ffmpeg() -> str:
    """Return ffmpeg's path: the system's, or the one that comes with DeepLabCut."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise AnalysisFailed(
            "This server has no ffmpeg, which writes labelled videos.",
            hint="Whoever runs the server can install it: apt-get install ffmpeg.",
            kind="NoFFmpeg",
        ) from None


class Encoder:
    """An H.264 video in the making: pictures go in one by one, at a constant rate, none dropped or doubled.

    Parameters
    ----------
    target : Path
        The MP4 file.
    fps : Fraction
        Frames per second.
    matrix : str, optional
        How colours become bytes: ``bt709``, or ``bt601``, which is what OpenCV takes all video for.
    more : sequence of str, optional
        Further options of ffmpeg for what it writes.
    what : str, optional
        What is written, as errors call it.
    """

    def __init__(
        self,
        target: Path,
        fps: Fraction,
        *,
        matrix: str = "bt709",
        more: Sequence[str] = (),
        what: str = "labelled video",
    ) -> None:
        self._target, self._fps, self._matrix, self._more, self._what = target, fps, matrix, more, what
        self._log = target.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.written = 0

    def start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        """Start ffmpeg, for pictures of this size. It ends with the thread that starts it."""
        command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        command += ["-f", "rawvideo", "-pix_fmt", "bgr24", "-video_size", f"{width}x{height}"]
        command += ["-framerate", str(self._fps), "-i", "pipe:0", *_coded(self._matrix)]
        command += [*self._more, str(self._target)]
        self._process = _popen(command, self._log, stdin=subprocess.PIPE, bufsize=0)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or the user's pipes hold too much already
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE)
        return self._process

    def write(self, pictures: np.ndarray[Any, Any]) -> None:
        """Append one picture, height x width x 3, or several, number x height x width x 3; uint8: blue, green, red.

        The first ones set the size, where `start` was not called.
        """
        pictures = np.ascontiguousarray(pictures)
        number = len(pictures) if pictures.ndim == 4 else 1
        process = self._process or self.start(pictures.shape[-2], pictures.shape[-3])
        assert process.stdin is not None
        rest = pictures.reshape(-1).data
        try:
            while rest:
                rest = rest[process.stdin.write(rest) :]
        except BrokenPipeError:
            raise self._failed() from None
        self.written += number

    def finish(self) -> None:
        """Complete the file."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait() != 0:
            raise self._failed()

    def abandon(self) -> None:
        """End ffmpeg, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _failed(self) -> AnalysisFailed:
        self.abandon()
        return _explain(self._log, f"it stopped at frame {self.written}", self._what)


class Writer:
    """Hands pictures to an encoder, in a thread that runs while the ``with`` block lasts, and gives their buffers back.

    Its end without an error waits until all are written. An error inside of the block ends ffmpeg at once.

    Parameters
    ----------
    encoder : Encoder
        It has been started: ffmpeg ends with the thread that starts it.
    release : callable
        Told of each batch when its pictures are not needed any more.
    """

    def __init__(self, encoder: Encoder, release: Callable[[Batch], None]) -> None:
        self._encoder, self._release = encoder, release
        self._waiting: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()  # no longer than there are buffers
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dlc-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._encoder.abandon()
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._check()

    def put(self, batch: Batch) -> None:
        """Have a batch written. Raises what made an earlier one fail."""
        self._check()
        self._waiting.put(batch)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None:
            try:
                if self._failure is None:
                    self._encoder.write(batch.pictures)
            except BaseException as error:
                self._failure = error
            finally:
                self._release(batch)  # also after a failure: whoever waits for a buffer must get on to hear of it


def _coded(matrix: str) -> list[str]:
    """Return the options by which ffmpeg writes H.264 of pictures of any form."""
    return ["-vf", _FILTER.format(matrix), *_H264, "-colorspace", _MARKS[matrix]]


def make_playable(source: Path, target: Path) -> None:
    """Write a video of another program's in the form that browsers play: encoded anew only where it must be.

    Raises
    ------
    AnalysisFailed
        It cannot be written.
    """
    with av.open(str(source)) as container:
        context = container.streams.video[0].codec_context
        as_it_is = (context.name, context.pix_fmt) == ("h264", "yuv420p")
    how = ["-c", "copy", "-movflags", "+faststart", "-an"] if as_it_is else _coded("bt709")
    command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", str(source), *how]
    log = target.with_suffix(".log")
    if _popen([*command, str(target)], log).wait() != 0:
        raise _explain(log, "it was to change its form")


def copy_pictures(source: Path, target: Path) -> None:
    """Write the pictures of a video into an MP4 file as they are, the first one at 0, and nothing else.

    Raises
    ------
    AnalysisFailed
        It cannot be written.
    """
    command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", str(source)]
    command += ["-map", "0:v:0", "-c", "copy", "-bsf:v", "setts=pts=PTS-STARTPTS:dts=DTS-STARTPTS"]
    log = target.with_suffix(".log")
    if _popen([*command, "-map_metadata", "-1", "-movflags", "+faststart", str(target)], log).wait() != 0:
        raise _explain(log, "it was to copy the pictures", "video")


def _popen(command: list[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    file: IO[bytes]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, preexec_fn=die_with_parent, **options)


def _explain(log: Path, where: str, what: str = "labelled video") -> AnalysisFailed:
    """Return why ffmpeg failed, by what it said."""
    said = log.read_text("utf-8", "replace").strip().splitlines()
    silenced = not said and shutil.disk_usage(log.parent).free < _FULL
    if silenced or any("No space left" in line for line in said):
        return AnalysisFailed(
            f"The disk is full: the {what} could not be written.",
            hint="Free some space and try again.",
            kind="NoSpace",
        )
    return AnalysisFailed(
        f"ffmpeg could not write the {what} ({where}).",
        hint=without_paths(said[-1], log.parent)[-200:] if said else "See the analysis's log.",
        kind="EncodingFailed",
    )


def check_playable(video: Path, frames: int, what: str = "labelled video") -> dict[str, Any]:
    """Check that a video that was made is whole and in a form that browsers play.

    Returns
    -------
    dict
        Its ``width``, ``height`` (pixels) and ``codec``.

    Raises
    ------
    AnalysisFailed
        It is not H.264 in yuv420p, has its table of contents at the end, has other than `frames` frames, or its first
        or last frame cannot be decoded.
    """
    kinds = boxes(video)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        held = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        first = _decode_from(container, stream, 0)
        last = _decode_from(container, stream, max(held, default=0))
        codec, form = stream.codec_context.name, stream.codec_context.pix_fmt
        width, height = stream.width, stream.height
    wrong = [
        text
        for text, bad in (
            (f"it has {len(held)} frames instead of {frames}", len(held) != frames),
            (f"it is {codec} in {form}", (codec, form) != ("h264", "yuv420p")),
            ("its table of contents comes last", b"moov" not in kinds or kinds.index(b"moov") > kinds.index(b"mdat")),
            ("its first frame cannot be decoded", not first),
            ("its last frame cannot be decoded", not last or last[-1] != max(held)),
        )
        if bad
    ]
    if wrong:
        raise AnalysisFailed(
            f"The {what} did not turn out right: {'; '.join(wrong)}.",
            hint="See the analysis's log.",
            kind="EncodingFailed",
        )
    return {"width": width, "height": height, "codec": codec}


def _decode_from(container: Any, stream: Any, pts: int) -> list[int]:
    """Return the times of the frames from the last key frame before `pts` on, as far as they can be decoded."""
    container.seek(pts, stream=stream)
    found: list[int] = []
    try:
        for frame in container.decode(stream):
            found.append(frame.pts)
            if pts == 0:
                break
    except av.FFmpegError:
        pass  # what is missing is told by what was found
    return found
