"""What a video holds, and whether every frame of it was seen.

OpenCV, through which DeepLabCut reads video, stops without a word where a file ends early or is damaged, and its frame
count is only what a header claims. So `inspect` reads the container once without decoding: when each frame is to be
shown, edit lists applied, and what the container promises. `Media.check_whole` refuses a file of which a part is
missing; after the analysis `Media.account` holds the rows against the frames.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.containers import is_torn
from dlc_jupyter.pose.promises import Contents, hole

AGAIN = "Copy or record it again, or upload it again if the upload was cut off."
REPAIR = "Repair it with ffmpeg (ffmpeg -i video.mp4 -c:v libx264 -crf 17 repaired.mp4) and analyse the new file."

#: Containers that list every frame, so that one that cannot be decoded still has its place: MP4 and MOV.
_MARKABLE = ("mov",)

#: How much two decoders' pictures of one frame may differ on average, of 255. Rounding makes less than 2.
INTERLACED_DIFFERENCE = 12
#: Two times that differ by less, in seconds, may be one: some containers count in milliseconds.
_TICKS = 0.002

Times = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Media:
    """A video file, as its container describes it.

    Attributes
    ----------
    width, height : int
        Of the picture as it is shown, in pixels.
    fps : Fraction
        Frames per second; the mean where the rate varies.
    times : array of float
        When each frame is shown, in seconds after the first one, in order.
    gap : float
        The usual time from one frame to the next, in seconds.
    promised : float or None
        How long the pictures last by what the container says, in seconds; None where it does not say.
    origin : Fraction
        When the first frame is shown by the container's own clock, in seconds.
    leading : int
        How many frames at the start cannot be decoded: what they were predicted from was cut away.
    cut : bool
        Whether frames are missing at the end.
    damage : str
        Where frames are missing in between, in words; "" where none are.
    placeholders : bool
        Whether some packets stand for a frame that came with another packet.
    notes : tuple of str
        What the user should know.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: Fraction
    times: array[float] = field(repr=False)
    gap: float
    variable_rate: bool
    sound: bool
    promised: float | None = None
    origin: Fraction = Fraction(0)
    leading: int = 0
    cut: bool = False
    damage: str = ""
    placeholders: bool = False
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames there are to be seen."""
        return len(self.times)

    @property
    def decodable(self) -> int:
        """How many of them a decoder shows at least, if none is lost."""
        return self.frames - self.leading - self.placeholders

    @property
    def markable(self) -> bool:
        """Whether frames that cannot be decoded can have rows: the container says where their places are."""
        return self.container in _MARKABLE

    def first(self, *, marked: bool) -> int:
        """Return which frame row 0 is, counted from 0.

        Parameters
        ----------
        marked : bool
            Whether frames that cannot be decoded are to have rows. Where the video is not `markable` they have none.
        """
        return 0 if marked and self.markable else self.leading

    @property
    def duration(self) -> float:
        """From the first frame to the end of the last one, in seconds."""
        return self.times[-1] + self.gap

    def as_json(self) -> dict[str, Any]:
        """Return the facts, without the list of times."""
        return {
            "container": self.container,
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "fps": round(float(self.fps), 6),
            "frames": self.frames,
            "duration": round(self.duration, 3),
            "variable_rate": self.variable_rate,
            "sound": self.sound,
            "missing": self.missing,
            "notes": list(self.notes),
        }

    @property
    def missing(self) -> str | None:
        """What of the video is missing, in words; None where nothing is."""
        if self.cut:
            return f"everything after frame {self.frames - 1}, counted from 0 ({seconds(self.times[-1])})"
        return self.damage or None

    def check_whole(self, stop: int | None = None, *, marked: bool = False) -> list[str]:
        """Refuse a file of which a part is missing that is wanted: frames of it have no chance of a row.

        Parameters
        ----------
        stop : int, optional
            How many rows are wanted. Those of all frames, if left out.
        marked : bool
            Whether frames that cannot be decoded are to have rows.

        Returns
        -------
        list of str
            What the user should know: that the file ends too early, where that is behind `stop`.
        """
        there = self.frames if marked and self.markable else self.decodable
        notes = []
        if self.cut:
            should = "it breaks off within a frame"
            if self.promised:
                should = f"it should last {seconds(self.promised)}, about {round(self.promised / self.gap)} frames"
            message = (
                f"The video is cut off: it ends with frame {self.frames - 1}, counted from 0, at "
                f"{seconds(self.times[-1])}, but {should}."
            )
            if stop is None or stop > there:
                part = (
                    f" Or ask for the frames that are there: stop={there}, or less (video, label)." if there > 0 else ""
                )
                raise AnalysisFailed(message, hint=AGAIN + part, kind="VideoCutShort")
            notes.append(f"{message} What was asked for, up to stop={stop}, is there.")
        if self.damage:
            raise AnalysisFailed(f"The video is damaged: {self.damage}.", hint=REPAIR, kind="VideoDamaged")
        return notes

    def account(self, rows: int, shown: Sequence[float], stop: int | None = None) -> list[str]:
        """Check that every frame has its row.

        Parameters
        ----------
        rows : int
            How many frames were decoded.
        shown : sequence of float
            When each of them is shown by the word of the decoder, in seconds after the start of the video.
        stop : int, optional
            How many were wanted: after so many nobody has looked further. All that there are, if left out.

        Returns
        -------
        list of str
            What the user should know.

        Raises
        ------
        AnalysisFailed
            Frames have no row. Names the frame and time where the decoding stopped, and where it should have.
        """
        if rows >= self.frames - self.placeholders:
            return []
        if stop is not None and rows >= stop:
            return self._account_inside(shown)
        if self.leading and rows >= self.decodable:
            return [_cut_away(self.leading, self.times[self.leading])]
        # OpenCV's times of an AVI file are shifted, and 0 for the last frames; there the rows can only be counted.
        timed = self.container != "avi" and all(a < b for a, b in pairwise(shown))
        reached = self._clock(shown)[-1] if timed and shown else self.times[rows - 1] if rows else 0.0
        last = self.times[-1] - self.times[-2] if self.frames > 1 else self.gap
        if self.times[-1] - reached > min(last, self.gap) / 2:
            # What comes behind it was not looked at, and may be good.
            at = min(nearest(self.times, reached) + 1, self.frames - 1) if rows else self.leading
            raise AnalysisFailed(
                f"The analysis stopped at frame {at}, counted from 0 ({seconds(self.times[at])}): it, or one that is "
                "decoded with it, is damaged; the video goes on to frame "
                f"{self.frames - 1} ({seconds(self.times[-1])}).",
                hint=REPAIR,
                kind="VideoCutShort",
            )
        return self._account_inside(shown)

    def _clock(self, shown: Sequence[float]) -> Times:
        """Return a decoder's times by this video's clock, as far as they are of use: as long as they ascend.

        OpenCV's clock begins with the first frame that it can decode, and late in AVI files.
        """
        times = np.asarray(shown, float)
        falls = np.flatnonzero(np.diff(times) <= 0)
        times = times[: falls[0] + 1] if len(falls) else times
        if len(times) and (self.leading or self.container == "avi"):
            times = times + (self.times[self.leading] - times[0])
        return times

    def _account_inside(self, shown: Sequence[float]) -> list[str]:
        """Check the frames without a row before and between those that have one."""
        seen = self._clock(shown)
        if not len(seen):
            return []
        times = np.asarray(self.times)
        # Of a variable rate the nearest neighbour says what a hole is; clocks are right to a millisecond.
        steps = np.diff(times, prepend=-np.inf, append=np.inf)
        near = np.maximum(np.minimum(steps[:-1], steps[1:]), _TICKS)
        at = np.searchsorted(seen, times)
        earlier, later = seen[np.maximum(at - 1, 0)], seen[np.minimum(at, len(seen) - 1)]
        missing = np.minimum(abs(times - earlier), abs(later - times)) > 0.3 * near
        between = (at > 0) & (at < len(seen))
        lost = np.flatnonzero(missing & between & (later - earlier > 1.5 * near))
        if len(lost):
            raise AnalysisFailed(
                f"{_count(len(lost))} of {self.frames} could not be decoded, the first at "
                f"{seconds(times[lost[0]])} (frame {lost[0]}, counted from 0): all rows after it would belong to other "
                "frames.",
                hint=REPAIR,
                kind="VideoDamaged",
            )
        before = int(np.count_nonzero(missing & (at == 0)))
        return [_cut_away(before, seen[0])] if before else []


def _cut_away(frames: int, time: float) -> str:
    return (
        f"The first {_count(frames)} cannot be decoded without what was cut away before them: "
        f"row 0 is the frame at {seconds(time)}."
    )


def inspect(path: Path) -> Media:
    """Read a video's container, without decoding it.

    Raises
    ------
    AnalysisFailed
        It is no video, or has no frames (kinds ``NotAVideo``, ``VideoEmpty``).
    """
    try:
        with _complaints() as complaints, av.open(str(path), metadata_errors="replace") as container:
            return _inspect(path, container, complaints)
    except (OSError, ValueError, av.FFmpegError):
        if is_torn(path):
            message = "The video is cut off before its table of contents, so nothing of it can be read."
            raise AnalysisFailed(message, hint=AGAIN, kind="VideoCutShort") from None
        raise AnalysisFailed(
            "This file is not a video that can be read.",
            hint="Give a video such as MP4, AVI, MOV, MKV or WebM.",
            kind="NotAVideo",
        ) from None


def _inspect(path: Path, container: Any, logs: Sequence[tuple[int, str, str]]) -> Media:
    stream = _stream(container)
    held = Contents(path, container, stream)
    if not held.times:
        if held.torn:
            raise _cut_at_once()
        raise AnalysisFailed("The video has no frames.", hint="Record or convert it again.", kind="VideoEmpty")
    codec = stream.codec_context.name if stream.codec_context else "unknown"
    width, height, first = _begin(path, codec)
    times = array("d", (float((time - held.times[0]) * stream.time_base) for time in held.times))
    gaps = _gaps(times)
    gap = median(gaps) if gaps else float(1 / (stream.average_rate or 25))
    avi = held.form == "avi"
    leading = 0 if first is None or avi else nearest(times, float(first - held.begin))
    # Only what the container's own reader says counts: a parser of one codec or another has always something to say.
    complaints = [message for _level, speaker, message in logs if speaker == container.format.name]
    cut = held.is_cut(gap) or any("prematurely" in complaint for complaint in complaints)
    if cut:  # from the first missing frame on, pictures would get the numbers of others
        times = times[: held.unbroken]
        gaps = _gaps(times)
        if not times:
            raise _cut_at_once()
    regular = _is_regular(gaps, gap, held.form)
    end = times[-1] if complaints and not cut and held.ends_early(gap) else None
    return Media(
        container=held.form,
        codec=codec,
        width=width,
        height=height,
        fps=_rate(gap if avi or not gaps else times[-1] / len(gaps), stream),
        times=times,
        gap=gap,
        variable_rate=not regular,
        sound=bool(container.streams.audio),
        promised=held.promised,
        origin=held.begin,
        leading=leading,
        cut=cut,
        damage=_damage(held.lost, hole(complaints, times, gap), end),
        placeholders=bool(held.tiny) and avi,
        notes=tuple(_notes(held, cut, regular)),
    )


def _cut_at_once() -> AnalysisFailed:
    return AnalysisFailed("The video is cut off within its first frames.", hint=AGAIN, kind="VideoCutShort")


def _gaps(times: Sequence[float]) -> list[float]:
    return [b - a for a, b in pairwise(times) if b > a]


def _stream(container: Any) -> Any:
    """Return the stream of a video with the pictures."""
    form = container.format.name.split(",")[0]
    if container.streams.video and not form.endswith("_pipe") and form != "image2":
        return container.streams.video[0]
    what = "This file is a picture, not a video." if container.streams.video else "There are no pictures in this file."
    raise AnalysisFailed(what, hint="Give a video such as MP4, AVI, MOV, MKV or WebM.", kind="NotAVideo")


def _is_regular(gaps: Sequence[float], gap: float, form: str) -> bool:
    """Tell whether frames follow each other at one distance. AVI knows no times: the first and last are guesses."""
    odd = sum(abs(each - gap) > max(0.002, gap / 10) for each in gaps)
    return odd <= (2 if form == "avi" else 0)


def _begin(path: Path, codec: str) -> tuple[int, int, Fraction | None]:
    """Return the first picture's width and height as DeepLabCut sees it (turned as it is to be shown), and its time.

    The time is by the container's own clock, in seconds; None where it is not known.
    """
    video = cv2.VideoCapture(str(path))
    try:
        found, picture = video.read() if video.isOpened() else (False, None)
    finally:
        video.release()
    if not found or picture is None:
        raise AnalysisFailed(
            f"The video's first frame cannot be decoded (its codec is {codec}).", hint=REPAIR, kind="NotDecodable"
        )
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0), None)
    if frame is None:
        return picture.shape[1], picture.shape[0], None
    _check_interlaced(frame, picture)
    shown = None if frame.pts is None else Fraction(frame.pts * frame.time_base)
    return picture.shape[1], picture.shape[0], shown


def _check_interlaced(frame: Any, picture: Any) -> None:
    """Refuse interlaced video where OpenCV hands out black pictures for it without a word, as 4.14.0 does."""
    if not frame.interlaced_frame:
        return
    wanted = frame.to_ndarray(format="bgr24")
    if wanted.shape == picture.shape and cv2.norm(wanted, picture, cv2.NORM_L1) / wanted.size > INTERLACED_DIFFERENCE:
        raise AnalysisFailed(
            "The video is interlaced, and the OpenCV through which DeepLabCut reads video makes black pictures of it.",
            hint="Deinterlace it with ffmpeg (ffmpeg -i video.avi -vf yadif -c:v libx264 -crf 17 progressive.mp4) "
            "and analyse the new file.",
            kind="NotDecodable",
        )


def _damage(lost: int, between: tuple[float, float] | None, end: float | None) -> str:
    if lost:
        return f"{_count(lost)} that its index lists cannot be found in it"
    if between is not None:
        return f"nothing of it can be read between {seconds(between[0])} and {seconds(between[1])}"
    if end is not None:
        return f"nothing of it can be read behind {seconds(end)}"
    return ""


def _notes(held: Contents, cut: bool, regular: bool) -> Iterator[str]:
    if held.torn is None and held.promised is None:
        yield "This file does not say how long it is, so that a missing end could not be noticed."
    if held.torn and not cut:
        yield "The end of the file is missing, but none of its frames."
    if not regular:
        yield "The time between frames varies; fps is the mean."


def _rate(spacing: float, stream: Any) -> Fraction:
    """Return the frames per second: the container's own figure where it is true, else the one measured."""
    for nominal in (stream.base_rate, stream.average_rate):
        if nominal and (not spacing or abs(float(nominal) * spacing - 1) < 0.002):
            return Fraction(nominal)
    return Fraction(1 / spacing if spacing else 25.0).limit_denominator(1001)


@contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """Collect what FFmpeg complains of, as level, speaker and message."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as logs:
            yield logs
    finally:
        av.logging.set_level(before)


def nearest(values: Sequence[float], wanted: float) -> int:
    """Return the position of the value that is nearest to `wanted`, of values in ascending order."""
    at = bisect_left(values, wanted)
    nearer = [index for index in (at - 1, at) if 0 <= index < len(values)]
    return min(nearer, key=lambda index: abs(values[index] - wanted))


def _count(frames: int) -> str:
    return "1 frame" if frames == 1 else f"{frames} frames"


def seconds(time: float) -> str:
    """Write a time in a video for people: ``4.80 s``, or ``1:02:03.40``."""
    minutes, rest = divmod(time, 60)
    if not minutes:
        return f"{rest:.2f} s"
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02}:{rest:05.2f}"
