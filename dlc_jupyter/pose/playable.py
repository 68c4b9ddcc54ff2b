"""A video that every browser plays and stops at every frame of, made of another one; proven, frame for frame, to be it.

Either its pictures are copied, without loss, into an MP4 file in which the first one is shown at 0; that is proven by
their bytes. Or OpenCV decodes it, as it does for DeepLabCut, and its pictures are encoded anew: frame k is shown at
k / fps, whatever the container said, so that missing, equal and odd times, rotation, stretched pixels and edit lists do
not matter any more, and there is a key frame every 12 frames. That is proven by decoding it: every picture must be
nearer to the one that it was made of than to those before and behind it (`_Comparison`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed, full_disk_explained
from dlc_jupyter.pose.encoding import Encoder, Writer, check_playable, copy_pictures
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.playback import look

#: Ticks a second of the clock of what is encoded, and frames from one key frame to the next.
CLOCK, GOP = 90_000, 12
#: Frames per second: at least, and at most. A slower or faster recording is shown faster or slower than it was.
LEAST_FPS, MOST_FPS = 1, 60

_SCRUBBED = ["-g", str(GOP), "-keyint_min", str(GOP), "-sc_threshold", "0", "-bf", "0", "-video_track_timescale"]
_SCRUBBED += [str(CLOCK), "-map_metadata", "-1"]

#: Up to so many frames every one is looked at; of more, so many windows of so many frames.
_ALL, _WINDOWS, _WINDOW = 20_000, 100, 200
#: Size of the grey pictures that are compared, in pixels, and by how much neighbours must differ, of 255 on average.
_SMALL, _DIFFERENT = (160, 120), 0.2
#: The share of wrong frames that coding noise explains where hardly anything moves.
_NOISE = 0.001
#: How many frames are compared together, and how many at least say what coding does to what stands still.
_TOGETHER, _FEWEST = 48, 4

_WHAT = "playable video"
Picture = np.ndarray[Any, np.dtype[np.uint8]]
Shades = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes
    ----------
    frames : int
        How many it has.
    fps : Fraction
        At which they are shown; the mean where the rate varies.
    checked : int
        How many were held against the frames that they were made of.
    notes : tuple of str
        What the user should know.
    """

    frames: int
    fps: Fraction
    checked: int
    notes: tuple[str, ...] = ()


class NotTheSame(Exception):
    """A copy that is not known to have just the frames of its source, or that browsers do not play either."""


# -- copied ------------------------------------------------------------------------------------------------------------


def copied(source: Path, media: Media, target: Path, progress: Callable[[int], None]) -> Made:
    """Copy the pictures into an MP4 file.

    Parameters
    ----------
    progress : callable
        Told how many frames are done.

    Raises
    ------
    NotTheSame
        That will not do for this video: it must be encoded anew.
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    if media.leading or media.placeholders or media.missing:
        raise NotTheSame("Not all of its frames can be decoded.")
    try:
        copy_pictures(source, target)
    except AnalysisFailed as error:
        if error.kind == "NoSpace":
            raise
        raise NotTheSame(error.message) from error
    for one, other in _pairs(_packets(source), _packets(target)):
        if one is None or other is None or one[1] != other[1] or abs(one[0] - other[0]) > other[2]:
            raise NotTheSame("Its pictures, or their times, are not those of the source.")
    found = look(target)
    timing = found and found.timing
    if not found or found.play != "direct" or not timing or timing.frames != media.frames:
        raise NotTheSame(found.why if found and found.why else "It does not have the frames of the source.")
    if not np.array_equal(_first(source), _first(target)):
        raise NotTheSame("Its pictures are not turned as those of the source.")
    wanted = min(media.frames, _ALL)
    if _decodable(target, wanted, progress) != wanted:
        raise NotTheSame("Not all of its frames can be decoded.")
    progress(media.frames)
    return Made(media.frames, Fraction(timing.fps).limit_denominator(1001), media.frames)


def _packets(video: Path) -> Iterator[tuple[Fraction, tuple[int, int], Fraction]]:
    """Yield of each picture when it is shown after the first one, the size and the sum of its bytes, and a tick."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        first: int | None = None
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_discard or packet.is_corrupt:
                raise NotTheSame("Some of its pictures have no time, or are hidden.")
            first = packet.pts if first is None else first
            content = (packet.size, zlib.crc32(bytes(packet)))
            yield (packet.pts - first) * stream.time_base, content, stream.time_base


def _pairs(one: Iterator[Any], other: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    while True:
        pair = next(one, None), next(other, None)
        if pair == (None, None):
            return
        yield pair


def _first(video: Path) -> Picture:
    capture = cv2.VideoCapture(str(video))
    try:
        return np.asarray(capture.read()[1])
    finally:
        capture.release()


def _decodable(video: Path, most: int, progress: Callable[[int], None]) -> int:
    capture, count = cv2.VideoCapture(str(video)), 0
    try:
        while count < most and capture.grab():
            count += 1
            progress(count)
    finally:
        capture.release()
    return count


# -- encoded anew ------------------------------------------------------------------------------------------------------


def encoded(source: Path, media: Media, target: Path, scratch: Path, progress: Callable[[int], None]) -> Made:
    """Decode a video as DeepLabCut sees it, and encode every frame anew.

    Frames that cannot be decoded are black; so every frame keeps its number.

    Parameters
    ----------
    scratch : Path
        A folder for what is compared.
    progress : callable
        Told how many frames are done: each is done twice, encoded and checked.

    Raises
    ------
    AnalysisFailed
        The video cannot be decoded, what was made cannot be written (kinds ``EncodingFailed``, ``NoSpace``), or does
        not have just its frames (``NotTheSame``).
    """
    step = round(CLOCK / min(max(float(media.fps), LEAST_FPS), MOST_FPS))
    fps = Fraction(CLOCK, step)
    small = _Small(scratch / "small.raw", media.frames)
    with small:
        frames, dark = _encode(
            source, media, Encoder(target, fps, matrix="bt601", more=_SCRUBBED, what=_WHAT), small, progress
        )
    check_playable(target, frames, _WHAT)
    found = look(target)
    if not found or not found.timing or found.timing.times != range(0, frames * step, step):
        raise _not_the_same("its frames are not shown one after the other at one distance")
    checked = _check(target, frames, (media.width, media.height), small, lambda done: progress(frames + done))
    small.path.unlink()
    return Made(frames, fps, checked, tuple(_notes(media, fps, dark)))


def _encode(
    source: Path, media: Media, encoder: Encoder, small: _Small, progress: Callable[[int], None]
) -> tuple[int, int]:
    """Write every frame; return how many there are, and how many of them are black because they cannot be decoded."""
    encoder.start(media.width, media.height)  # by this thread and before there are others
    mark = media.markable
    before = media.first(marked=mark)
    done = before
    try:
        for number in range(before):
            black = np.zeros((media.height, media.width, 3), np.uint8)
            encoder.write(black)
            small.add(number, black)
        with (
            Frames(source, media, mark=mark) as frames,
            Writer(encoder, frames.release) as writer,
        ):
            for batch in frames:
                for number, picture in zip(batch.numbers, batch.pictures, strict=True):
                    small.add(before + number, picture)
                done += len(batch)
                writer.put(batch)
                progress(done)
            frames.account()
            dark = before + len(frames.unreadable)
        encoder.finish()
    finally:
        encoder.abandon()
    return done, dark


def _notes(media: Media, fps: Fraction, dark: int) -> Iterator[str]:
    if dark:
        yield f"{dark} frame{'s' * (dark > 1)} of the video cannot be decoded and {'are' if dark > 1 else 'is'} black."
    if media.cut:
        yield f"The video is cut off: {media.missing} is missing."
    if abs(float(media.fps / fps) - 1) > 0.01:
        yield f"It is shown at {float(fps):g} frames a second; the video has {float(media.fps):g}."
    elif media.variable_rate:
        yield "It shows every frame for the same time; the time between the video's frames varies."


class _Small:
    """Small grey pictures of the frames that are to be compared, kept on the disk. Use it in a ``with`` block to write.

    Parameters
    ----------
    frames : int
        About how many there are.
    """

    def __init__(self, path: Path, frames: int) -> None:
        self.path = path
        self._every = 0 if frames <= _ALL else -(-frames // _WINDOWS)
        self._places: dict[int, int] = {}

    def __enter__(self) -> _Small:
        self._file = self.path.open("wb")
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def wants(self, number: int) -> bool:
        """Whether a frame is compared."""
        return not self._every or number % self._every < _WINDOW

    def add(self, number: int, picture: Picture) -> None:
        """Keep a frame, if it is to be compared."""
        if self.wants(number):
            self._places[number] = len(self._places)
            with full_disk_explained("What the frames are held against could not be written."):
                self._file.write(shrunk(picture).data)

    def read(self) -> Callable[[int], Picture | None]:
        """Return what returns the small picture of a frame; None where there is none."""
        width, height = _SMALL
        kept = np.memmap(self.path, np.uint8, "r", shape=(len(self._places), height, width))
        return lambda number: kept[self._places[number]] if number in self._places else None


def shrunk(picture: Picture) -> Picture:
    """Return a picture small and grey."""
    small: Picture = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), _SMALL, interpolation=cv2.INTER_AREA)
    return small


def _check(video: Path, frames: int, size: tuple[int, int], small: _Small, progress: Callable[[int], None]) -> int:
    """Hold what was encoded against what it was made of; return how many frames were looked at."""
    comparison, capture, read = _Comparison(small), cv2.VideoCapture(str(video)), 0
    width, height = size
    try:
        while capture.grab():
            number, read = read, read + 1
            progress(read)
            if small.wants(number):
                found, picture = capture.retrieve()
                if not found:
                    break
                comparison.add(number, shrunk(picture[:height, :width]))
    finally:
        capture.release()
    if read != frames:
        raise _not_the_same(f"{read} of its {frames} frames can be decoded")
    comparison.conclude()
    return comparison.checked


class _Comparison:
    """Tells which frame of the source each frame is, by how it differs from its own.

    What coding does to a picture that stands still is the same from frame to frame, and may be more than what moves: it
    is left out, as the mean difference of some frames that follow each other. Of what is left, the part that lies
    towards a neighbour of the own frame says which of both it is: 0 the own one, 1 the neighbour.

    Attributes
    ----------
    checked : int
        How many frames were looked at.
    """

    def __init__(self, small: _Small) -> None:
        self._of_source = small.read()
        self._pending: list[tuple[int, Shades]] = []
        self._still: Shades | float = 0.0
        self._told = self._wrong = self.checked = 0
        self._first_wrong: int | None = None

    def add(self, number: int, made: Picture) -> None:
        """Take a frame that was encoded."""
        own = self._of_source(number)
        if own is None:
            raise _not_the_same(f"it has a frame {number} more")
        if self._pending and self._pending[-1][0] != number - 1:
            self._compare()
            self._still = 0.0
        self._pending.append((number, made.astype(np.float32) - own))
        self.checked += 1
        if len(self._pending) == _TOGETHER:
            self._compare()

    def conclude(self) -> None:
        """Refuse, when all were taken, what is not just the source's frames."""
        self._compare()
        if self._wrong > max(1, self._told * _NOISE):
            which = f"{self._wrong} of {self._told} frames are others, the first one frame {self._first_wrong}"
            raise _not_the_same(which)

    def _compare(self) -> None:
        if len(self._pending) >= _FEWEST:
            self._still = np.mean([difference for _, difference in self._pending], axis=0)
        for number, difference in self._pending:
            towards = list(self._towards_neighbours(number))
            if towards and min(float(abs(each).mean()) for each in towards) > _DIFFERENT:
                self._told += 1
                moved = difference - self._still
                if max(float((moved * each).sum() / (each * each).sum()) for each in towards) >= 0.5:
                    self._wrong += 1
                    self._first_wrong = number if self._first_wrong is None else self._first_wrong
        self._pending.clear()

    def _towards_neighbours(self, number: int) -> Iterator[Shades]:
        own = self._of_source(number)
        for neighbour in (number - 1, number + 1):
            other = self._of_source(neighbour)
            if own is not None and other is not None:
                yield other.astype(np.float32) - own


def _not_the_same(why: str) -> AnalysisFailed:
    return AnalysisFailed(
        f"The playable video does not have just the frames of the video: {why}.",
        hint="It is not stored, since poses would be drawn on other frames than theirs. Convert the video with ffmpeg "
        "(ffmpeg -i video.avi -c:v libx264 -crf 17 converted.mp4) and analyse the new file.",
        kind="NotTheSame",
    )
