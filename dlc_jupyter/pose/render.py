"""Drawing poses on a video: ``deeplabcut.create_labeled_video`` draws, ffmpeg writes what every browser plays.

Left alone, DeepLabCut writes MPEG-4 part 2 through OpenCV: no browser plays it, a codec that cannot be opened is no
error, and frames beyond OpenCV's frame count are left out. So what reads and writes video for it is replaced
(`_replaced`): the frames go to ffmpeg as they are drawn, and every one of them is counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import yaml

from dlc_jupyter.errors import AnalysisFailed, without_paths
from dlc_jupyter.orphans import die_with_parent
from dlc_jupyter.pose.containers import boxes
from dlc_jupyter.pose.direct import Poses
from dlc_jupyter.pose.media import Media, seconds
from dlc_jupyter.pose.network import Network, explained
from dlc_jupyter.pose.projects import Model, read_yaml

# H.264 with a colour plane of half the size wants even sides. The colours are marked for what they are, for players
# that guess by the size of the picture otherwise.
_FILTER = "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
_H264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
_H264 += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv", "-an"]


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
    """An H.264 video in the making: RGB pictures go in one by one, at a constant rate, none dropped or doubled.

    Parameters
    ----------
    target : Path
        The MP4 file.
    fps : Fraction
        Frames per second.
    """

    def __init__(self, target: Path, fps: Fraction, threads: int = 0) -> None:
        self._target, self._fps, self._threads = target, fps, threads
        self._log = target.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.written = 0

    def write(self, picture: np.ndarray[Any, Any]) -> None:
        """Append a picture, height x width x 3, RGB, uint8. The first one sets the size."""
        process = self._process or self._start(picture.shape[1], picture.shape[0])
        assert process.stdin is not None
        try:
            process.stdin.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            raise self._failed() from None
        self.written += 1

    def finish(self) -> None:
        """Complete the file."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            raise self._failed() from None
        if self._process.wait() != 0:
            raise self._failed()

    def abandon(self) -> None:
        """End ffmpeg, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        command = [find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"]
        command += ["-framerate", str(self._fps), "-i", "pipe:0", "-vf", _FILTER, *_H264]
        command += ["-threads", str(self._threads), str(self._target)]
        log: IO[bytes]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        return self._process

    def _failed(self) -> AnalysisFailed:
        self.abandon()
        said = self._log.read_text("utf-8", "replace").strip().splitlines()
        no_space = any("No space left" in line for line in said)
        return AnalysisFailed(
            "The disk is full: the labelled video could not be written."
            if no_space
            else f"ffmpeg could not write the labelled video (it stopped at frame {self.written}).",
            hint="Free some space and try again."
            if no_space
            else (without_paths(said[-1], self._target.parent)[-200:] if said else "See the analysis's log."),
            kind="NoSpace" if no_space else "EncodingFailed",
        )


@dataclass(frozen=True)
class Style:
    """How poses are drawn: the arguments of ``create_labeled_video``, and what it reads from config.yaml instead.

    None stands for what the project's config.yaml says, and for all body parts.
    """

    pcutoff: float | None = None
    draw_skeleton: bool = False
    trailpoints: int = 0
    displayedbodyparts: Sequence[str] | None = None
    color_by: str = "bodypart"
    confidence_to_alpha: bool = False
    displaycropped: bool = False
    filtered: bool = False
    dotsize: int | None = None
    colormap: str | None = None
    skeleton_color: str | None = None

    def check(self, model: Model) -> list[str]:
        """Refuse body parts and colours that do not exist; return what the user should know."""
        from matplotlib.colors import is_color_like

        unknown = sorted(set(self.displayedbodyparts or ()) - set(model.bodyparts))
        if unknown or self.displayedbodyparts == []:
            wrong = f"The model has no body part {', '.join(unknown)}" if unknown else "No body part is to be drawn"
            raise AnalysisFailed(
                f"{wrong}. There are: {', '.join(model.bodyparts)}.",
                hint="Correct displayedbodyparts, or leave it out for all of them.",
                kind="UnknownBodyPart",
            )
        if self.skeleton_color is not None and not is_color_like(self.skeleton_color):
            raise AnalysisFailed(
                f"There is no colour called {self.skeleton_color}.",
                hint="Give skeleton_color as a common English name, such as white, or as #rrggbb.",
                kind="UnknownColor",
            )
        if self.draw_skeleton and not model.skeleton:
            return ["The project's config.yaml names no skeleton, so none is drawn."]
        return []

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``create_labeled_video``."""
        return {
            "pcutoff": self.pcutoff,
            "draw_skeleton": self.draw_skeleton,
            "trailpoints": self.trailpoints,
            "displayedbodyparts": "all" if self.displayedbodyparts is None else list(self.displayedbodyparts),
            "color_by": self.color_by,
            "confidence_to_alpha": self.confidence_to_alpha,
            "displaycropped": self.displaycropped,
            "filtered": self.filtered,
        }

    def write_to(self, config: Path) -> None:
        """Write into a private config.yaml what DeepLabCut takes from there, whatever its arguments say."""
        names = ("dotsize", "colormap", "skeleton_color")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if changes:
            values = read_yaml(config)
            config.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False, allow_unicode=True), "utf-8")


def draw(
    network: Network,
    poses: Poses,
    video: Path,
    media: Media,
    style: Style,
    target: Path,
    *,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Draw poses on a video, and check the outcome.

    Parameters
    ----------
    network : Network
        That which made the poses: DeepLabCut finds them by its name.
    target : Path
        The MP4 file to write, at a constant rate of ``media.fps``.
    progress : callable
        Told how many frames have been drawn.

    Returns
    -------
    dict
        ``frames``, ``fps``, and what `check_playable` returns.

    Raises
    ------
    AnalysisFailed
        It cannot be drawn or written, or is not whole.
    """
    import deeplabcut

    style.write_to(network.config)
    where: dict[str, Any] = {"destfolder": str(poses.folder), **network.chosen}
    encoder = Encoder(target, media.fps)
    try:
        with explained(network):
            if style.filtered:
                _filter(network, poses, video, where)
            with _replaced(encoder, poses.rows, media.fps, progress):
                made = deeplabcut.create_labeled_video(
                    str(network.config), [str(video)], fastmode=True, overwrite=True, **where, **style.arguments
                )
        if made != [True] or not encoder.written:
            raise AnalysisFailed(
                "DeepLabCut did not find the poses that it was to draw.", hint="See the analysis's log.", kind="NoPoses"
            )
        encoder.finish()
    finally:
        encoder.abandon()
    return {"frames": encoder.written, "fps": round(float(media.fps), 6), **check_playable(target, poses.rows)}


def _filter(network: Network, poses: Poses, video: Path, where: dict[str, Any]) -> None:
    import deeplabcut

    deeplabcut.filterpredictions(str(network.config), [str(video)], filtertype="median", save_as_csv=True, **where)
    if not poses.file(f"{poses.tracker}_filtered.h5").is_file():
        raise AnalysisFailed(
            "DeepLabCut ended without an error, but filtered no poses.", hint="See the analysis's log.", kind="NoPoses"
        )


@contextmanager
def _replaced(encoder: Encoder, frames: int, fps: Fraction, progress: Callable[[int], None]) -> Iterator[None]:
    """Have ``create_labeled_video`` read all `frames`, in this process, and write to `encoder`.

    Three names are replaced in ``deeplabcut.utils.make_labeled_video`` while the context lasts (DeepLabCut 3.0.0 to
    3.0.2): ``vp``, the class that reads and writes video; ``trange``, its progress bar; and ``get_start_method``, by
    which it decides whether to work in a pool of forks, which is no good after torch has started threads.
    """
    from deeplabcut.utils import make_labeled_video as module

    class Frames(module.vp):  # type: ignore[misc]
        def get_info(self) -> None:
            super().get_info()
            self.nframes, self.fps = frames, float(fps)

        def create_video(self) -> None:
            return None

        def load_frame(self) -> Any:
            frame = super().load_frame()
            if frame is None:
                where = f"Frame {self.i + 1} of the video ({seconds(self.i / float(fps))})"
                raise AnalysisFailed(f"{where} could not be decoded for drawing.", kind="VideoCutShort")
            return frame

        def save_frame(self, frame: Any) -> None:
            encoder.write(frame)
            progress(encoder.written)

    folder = Path.cwd()  # which it leaves for another, and does not come back when it fails
    names = {"vp": Frames, "trange": range, "get_start_method": lambda: "spawn"}
    originals = {name: getattr(module, name) for name in names}
    for name, value in names.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        os.chdir(folder)
        for name, value in originals.items():
            setattr(module, name, value)


def check_playable(video: Path, frames: int) -> dict[str, Any]:
    """Check that a labelled video is whole and in a form that browsers play.

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
            f"The labelled video did not turn out right: {'; '.join(wrong)}.",
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
