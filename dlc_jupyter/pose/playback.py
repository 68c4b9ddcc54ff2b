"""How browsers can play a video so that every frame is reached: as it is, in another container, or encoded anew.

Read from the container alone, in a moment and without FFmpeg, so that a server can tell. What it rests on was measured
in Chromium with videos whose every frame carries its number: sent to the middle of a frame's time a browser shows that
frame, unless the first one is shown later than at 0, frames lie behind the end that the file announces, two are shown
at one time, or the table of contents is spread over the file.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import sub, truediv
from pathlib import Path
from typing import Any, Literal

from dlc_jupyter.pose.movie import Movie, NoPictures, read_movie
from dlc_jupyter.pose.movie_boxes import Unclear

Play = Literal["direct", "remux", "proxy"]

#: Names of codecs by what MP4 and Matroska call them.
_CODECS = {
    "avc1": "h264", "avc3": "h264", "hvc1": "hevc", "hev1": "hevc", "vp08": "vp8", "vp09": "vp9", "av01": "av1",
    "jpeg": "mjpeg", "mjpa": "mjpeg", "mjpg": "mjpeg",
    "V_MPEG4/ISO/AVC": "h264", "V_MPEGH/ISO/HEVC": "hevc", "V_VP8": "vp8", "V_VP9": "vp9", "V_AV1": "av1",
    "V_MPEG4/ISO/ASP": "mpeg4", "V_MJPEG": "mjpeg",
}  # fmt: skip
#: Those that browsers decode, and that MP4 files can hold.
PLAYED = ("h264", "vp9", "av1")
#: Profiles of H.264 that every browser decodes: Baseline, Main, Extended and High.
_PROFILES = (66, 77, 88, 100)
#: Frames that follow each other in less, in seconds, are not told apart.
_LEAST_GAP = 0.001

_ANEW = "it must be encoded anew to be played"
_COPIED = "its pictures must be copied into a new MP4 file to be played"


@dataclass(frozen=True)
class Timing:
    """When each frame of a video is shown, by the clock that browsers call ``mediaTime``.

    Attributes
    ----------
    times : range or array of int
        Of each frame, in order. A range, where they follow each other at one distance to the tick.
    end : int
        When the last one ends.
    timescale : int
        Units a second.
    """

    times: range | array[int]
    end: int
    timescale: int

    @classmethod
    def of(cls, times: array[int], end: int, timescale: int) -> Timing:
        """Take times in order, none of them missing, and find out whether they are regular."""
        step = times[1] - times[0] if len(times) > 1 else end - times[0]
        even = range(times[0], times[0] + len(times) * step, step) if step > 0 else range(0)
        if times[-1] == (even[-1] if even else None) and times == array("q", even):
            return cls(even, even.stop, timescale)
        return cls(times, end, timescale)

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.times)

    @property
    def least_gap(self) -> float:
        """The least time from one frame to the next, in seconds."""
        if isinstance(self.times, range):
            return self.times.step / self.timescale
        return float(min(map(sub, self.times[1:], self.times)) / self.timescale)

    @property
    def fps(self) -> float:
        """Frames per second; the mean where the rate varies."""
        spread = self.times[-1] - self.times[0]
        if not spread:
            return float(self.timescale / max(1, self.end - self.times[0]))
        return float((self.frames - 1) * self.timescale / spread)

    def as_json(self, table: str) -> dict[str, Any]:
        """Return what tells a player the times: three numbers, or where the `table` is."""
        if isinstance(self.times, range):
            regular = {"start": self.times.start, "step": self.times.step, "timescale": self.timescale}
            return {"regular": regular}
        return {"times": table}

    def table(self) -> bytes:
        """Return when each frame begins and the last one ends, in seconds: 64-bit floats, little-endian."""
        return table([*map(truediv, self.times, repeat(self.timescale)), self.end / self.timescale])


def table(seconds: Sequence[float]) -> bytes:
    """Return times as the bytes of a table: 64-bit floats, little-endian."""
    values = array("d", seconds)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


@dataclass(frozen=True)
class Playback:
    """What a container says of how a video can be played; None where it is not known without decoding.

    Attributes
    ----------
    play : str
        ``direct``: as it is. ``remux``: its pictures copied into another file. ``proxy``: encoded anew.
    why : str or None
        Why not as it is, as a sentence; of one that is played as it is: what not every browser can.
    frames, width, height : int or None
        As OpenCV sees them: the picture is turned as it is to be shown, and its pixels are not stretched.
    rotation : int or None
        By how many degrees clockwise the stored picture is turned.
    pixel_aspect : (int, int) or None
        Width and height of a pixel: browsers stretch the picture accordingly, OpenCV does not.
    """

    play: Play
    why: str | None
    container: str
    codec: str | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    rotation: int | None = None
    pixel_aspect: tuple[int, int] | None = None
    timing: Timing | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it but for the timing, with which `Timing.as_json` helps."""
        return {
            "play": self.play,
            "why": self.why,
            "container": self.container,
            "codec": self.codec,
            "frames": self.frames,
            "width": self.width,
            "height": self.height,
            "fps": None if self.fps is None else round(self.fps, 6),
            "rotation": self.rotation,
            "pixel_aspect": self.pixel_aspect and list(self.pixel_aspect),
        }


def look(path: Path, content_type: str = "", facts: Mapping[str, Any] | None = None) -> Playback | None:
    """Read a video's container.

    Parameters
    ----------
    path : Path
        The file.
    content_type : str, optional
        What it is said to be.
    facts : mapping, optional
        What an analysis has found in it before (`dlc_jupyter.pose.media.Media.as_json`).

    Returns
    -------
    Playback or None
        None: it is no video.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(1 << 16)
    facts = facts or {}
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"):
        return _of_movie(path, facts)
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return _told("proxy", f"It is an AVI file, which no browser plays: {_ANEW}.", "avi", facts.get("codec"), facts)
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return _of_matroska(start, facts)
    if facts or content_type.startswith("video/") or _is_other_video(start):
        name = str(facts.get("container", "unknown"))
        return _told("proxy", f"It is a file of a kind that browsers do not play: {_ANEW}.", name, None, facts)
    return None


def _is_other_video(start: bytes) -> bool:
    """Whether a file begins as an MPEG program or transport stream, a Flash video or a Windows Media file."""
    return start[:4] in (b"\x00\x00\x01\xba", b"FLV\x01", b"\x30\x26\xb2\x75") or (
        len(start) > 376 and start[0:377:188] == b"GGG"
    )


def _told(play: Play, why: str, container: str, codec: str | None, facts: Mapping[str, Any]) -> Playback:
    known = {name: facts.get(name) for name in ("frames", "width", "height", "fps")}
    return Playback(play, why, container, codec or facts.get("codec"), **known)


def _of_matroska(start: bytes, facts: Mapping[str, Any]) -> Playback:
    # Its header comes first and names the codec; the times of its frames are spread over the file.
    found = re.search(rb"V_[A-Z0-9]+(?:/[A-Z0-9]+)*", start)
    name = found[0].decode() if found else ""
    codec = _CODECS.get(name) or facts.get("codec")
    kind = "WebM" if b"webm" in start[:64] else "Matroska"
    if codec is not None and codec not in PLAYED:
        why = f"It is a {kind} file with pictures in {codec.upper()}, which cannot be copied into one that all browsers"
        return _told("proxy", f"{why} play: {_ANEW}.", "matroska", codec, facts)
    why = f"It is a {kind} file, whose frames not every browser can stop at: {_COPIED}."
    return _told("remux", why, "matroska", codec, facts)


def _of_movie(path: Path, facts: Mapping[str, Any]) -> Playback | None:
    try:
        movie = read_movie(path)
    except NoPictures:
        return None
    except Unclear as doubt:
        return _told("proxy", f"{_sentence(str(doubt))}: {_ANEW}.", "mov", None, facts)
    turned = movie.rotation in (90, 270)
    size = (movie.height, movie.width) if turned else (movie.width, movie.height)
    timing = Timing.of(movie.times, movie.end, movie.timescale)
    play, why = _verdict(movie, timing)
    codec = _CODECS.get(movie.codec, facts.get("codec") or movie.codec.strip())
    known: dict[str, Any] = {"frames": facts.get("frames"), "fps": facts.get("fps")}
    if not movie.doubt:
        known = {"frames": timing.frames, "fps": timing.fps, "timing": timing}
    return Playback(
        play,
        why,
        "mov",
        codec,
        width=facts.get("width") or size[0],
        height=facts.get("height") or size[1],
        rotation=movie.rotation,
        pixel_aspect=movie.pixel_aspect,
        **known,
    )


def _verdict(movie: Movie, timing: Timing) -> tuple[Play, str | None]:
    """Return how it can be played, and why not better."""
    codec = _CODECS.get(movie.codec)
    if codec not in PLAYED:
        name = (codec or movie.codec.strip() or "an unknown codec").upper()
        return "proxy", f"Its pictures are in {name}, which not every browser plays: {_ANEW}."
    if movie.rotation is None:
        return "proxy", f"Its pictures are mirrored, which OpenCV and browsers show differently: {_ANEW}."
    if movie.doubt and not movie.fragmented:
        return "proxy", f"{_sentence(movie.doubt)}: {_ANEW}."
    if timing.frames > 1 and timing.least_gap <= _LEAST_GAP:
        return "proxy", f"Some of its frames are shown at the same time, or within a millisecond: {_ANEW}."
    if movie.fragmented:
        return "remux", f"Its table of contents is spread over the file, so that not all frames are found: {_COPIED}."
    first = timing.times[0] / timing.timescale
    if first >= timing.least_gap / 2 if timing.frames > 1 else first > 0:
        return (
            "remux",
            f"Its first frame is shown at {first:.3f} s, so that browsers do not find all frames: {_COPIED}.",
        )
    if movie.duration and timing.times[-1] >= movie.duration:
        return "remux", f"Its last frames are shown behind the end that it announces: {_COPIED}."
    if codec == "h264" and movie.profile is not None and movie.profile not in _PROFILES:
        return "direct", "It has more colours, or finer ones, than every browser can show: some will not play it."
    return "direct", None


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
