"""The pictures of a video, in order, each once: decoded ahead of their use by a thread of its own.

OpenCV decodes, as it does for DeepLabCut, so the pictures are the same bytes. They are written straight into buffers
that are used again and again; nothing is copied or allocated for a frame. Where OpenCV gives up (it stops without a
word at the first packet that cannot be decoded), `Frames` says so, or goes on with PyAV and marks what is missing.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.clock import times_of
from dlc_jupyter.pose.media import REPAIR, Media, nearest, seconds
from dlc_jupyter.pose.memory import lacking, lacking_here, physical

Pictures = np.ndarray[Any, np.dtype[np.uint8]]


#: Bytes for which not more than one batch is decoded ahead.
_MUCH = 2 << 30
#: The part of the computer's memory that buffers may take.
_SHARE = 0.5


@dataclass
class Batch:
    """Some consecutive pictures.

    Attributes
    ----------
    numbers : range
        Which rows they are, counted from 0: the frames that can be decoded, or all that there are with `mark`.
    pictures : array of uint8, frames x height x width x 3
        In OpenCV's order of colours: blue, green, red. Yours until you `release` the batch.
    unreadable : list of int
        Positions in `pictures` without a picture (black), where the video is damaged.
    times : sequence of float, one for each picture
        When it is shown, in seconds after the first frame of the video, by the container.
    """

    numbers: range
    pictures: Pictures
    unreadable: list[int] = field(default_factory=list)
    times: Sequence[float] = ()
    _buffer: Pictures | None = None

    def __len__(self) -> int:
        return len(self.numbers)


class _Stopped(Exception):
    """The reader is not wanted any more."""


class _Buffers:
    """Memory that goes back and forth between the thread that decodes and whoever uses the pictures."""

    def __init__(self, made: Iterable[Pictures]) -> None:
        self._free: queue.SimpleQueue[Pictures | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[Batch | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        for buffer in made:
            self._free.put(buffer)

    def stop(self) -> None:
        """Have the thread that decodes end, also if it waits for memory."""
        self._stopped.set()
        self._free.put(None)

    def check_wanted(self) -> None:
        """Raise `_Stopped` where nobody wants more pictures."""
        if self._stopped.is_set():
            raise _Stopped

    def take(self) -> Pictures:
        """Wait for memory to fill."""
        buffer = self._free.get()
        self.check_wanted()
        if buffer is None:
            raise _Stopped
        return buffer

    def give_back(self, buffer: Pictures) -> None:
        """Let memory be filled again."""
        self._free.put(buffer)

    def hand_on(self, item: Batch | BaseException | None) -> None:
        """Give a batch to whoever uses it; or say why there is none, or that it was the last one (None)."""
        self._full.put(item)

    def batches(self) -> Iterator[Batch]:
        """Yield what is handed on; raise where it is an error."""
        while (item := self._full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item


class Frames:
    """Reads a video from its beginning, in a thread that runs while the ``with`` block lasts.

    Parameters
    ----------
    path : Path
        The video.
    media : Media
        What `inspect` says of it.
    size : int
        Pictures in a batch; the last one may be smaller.
    start, stop, step : int, optional
        Which frames: as in ``range``. A `stop` of None is the end of the video.
    crop : tuple of int, optional
        x1, x2, y1, y2 in pixels: only this part of each picture is kept.
    ahead : int
        Batches that may be decoded and not yet used; only one where all of them would take 2 GiB.
    mark : bool
        Go on behind a frame that cannot be decoded, see `Batch.unreadable`; where that can be: see `Media.markable`.
    allocate : callable, optional
        Returns an array of uint8 of the shape that it is given, such as one in page-locked memory.

    Raises
    ------
    AnalysisFailed
        The computer's memory does not suffice for the buffers (kind ``OutOfMemory``).
        While reading: OpenCV cannot open the video, or the size of the picture changes within it.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        *,
        size: int = 8,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        crop: tuple[int, int, int, int] | None = None,
        ahead: int = 3,
        mark: bool = False,
        allocate: Callable[[tuple[int, ...]], Pictures] | None = None,
    ) -> None:
        self.path, self.media, self.size = path, media, size
        self.start, self.stop, self.step = start, stop, step
        self._crop = crop
        self._mark = mark and media.markable
        #: When each frame read so far is shown by the word of the decoder, in seconds; skipped ones count.
        self.shown: array[float] = array("d")
        #: Numbers of the frames without a picture, so far.
        self.unreadable: list[int] = []
        x1, x2, y1, y2 = crop or (0, media.width, 0, media.height)
        shape = (size, y2 - y1, x2 - x1, 3)
        made = _buffers(shape, ahead, allocate or (lambda wanted: np.empty(wanted, np.uint8)))
        self._buffers = _Buffers(made)
        self._thread = threading.Thread(target=self._run, name="dlc-frames", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buffers.stop()
        self._thread.join()

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches in order. Each is yours until you give it to `release`."""
        return self._buffers.batches()

    def release(self, batch: Batch) -> None:
        """Let the batch's buffer be filled again."""
        buffer, batch._buffer = batch._buffer, None
        if buffer is not None:
            self._buffers.give_back(buffer)

    @property
    def read(self) -> int:
        """How many frames were read, those skipped included."""
        return len(self.shown)

    def name(self, number: int) -> str:
        """Return a frame's name for people, counted from 0."""
        return _name(self.media, number, self._mark)

    def account(self) -> list[str]:
        """Check, when all is read, that no frame is missing; return what the user should know. See `Media.account`."""
        if self._mark:
            return []  # a frame without a picture has its place
        return self.media.account(self.read, self.shown, self.stop)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.suppress(_Stopped):
                self._decode()
            self._buffers.hand_on(None)
        except BaseException as error:
            self._buffers.hand_on(error)

    def _decode(self) -> None:
        filling = _Filling(self.media, self._crop, self.size, self.step, self._mark, self._buffers)
        capture = cv2.VideoCapture(str(self.path))
        try:
            if not capture.isOpened():
                raise AnalysisFailed("OpenCV cannot open the video.", hint=REPAIR, kind="NotDecodable")
            # Without its first frames OpenCV's clock begins late: only PyAV can tell which ones they are.
            while not (self._mark and self.media.leading) and (self.stop is None or self.read < self.stop):
                self._buffers.check_wanted()
                if not capture.grab():
                    break
                number, time = self.read, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self._mark and self._is_late(number, time):
                    break  # it has left out frames without a word
                self.shown.append(time)
                if self._wanted(number):
                    filling.take(number, capture)
        finally:
            capture.release()
        if self._mark and self.read < min(self.media.frames, self.stop or self.media.frames):
            self._go_on(filling)
        filling.flush()

    def _is_late(self, number: int, time: float) -> bool:
        """Tell whether this is a later frame's picture: nearer to when that one is shown."""
        times = self.media.times
        if number >= len(times):
            return False
        gap = times[number + 1] - times[number] if number + 1 < len(times) else self.media.gap
        return time - times[number] > max(gap, 0.002) / 2

    def _wanted(self, number: int) -> bool:
        return number >= self.start and (number - self.start) % self.step == 0

    def _go_on(self, filling: _Filling) -> None:
        """Read on with PyAV from where OpenCV gave up, and mark the frames of which there is no picture."""
        times, end = self.media.times, min(self.media.frames, self.stop or self.media.frames)
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for picture in _pictures(container, stream):
                self._buffers.check_wanted()
                if picture.pts is None or picture.is_corrupt:
                    continue
                number = nearest(times, float(picture.pts * picture.time_base - self.media.origin))
                if number < self.read:
                    continue
                if number >= end:
                    break
                while self.read < number:
                    self._note_unreadable(filling)
                self.shown.append(times[number])
                if self._wanted(number):
                    filling.put(number, _turned(picture))
        while self.read < end:
            self._note_unreadable(filling)

    def _note_unreadable(self, filling: _Filling) -> None:
        number = self.read
        self.shown.append(self.media.times[number])
        if self._wanted(number):
            self.unreadable.append(number)
            filling.put(number, None)


class _Filling:
    """The batch that the thread is about to fill."""

    def __init__(
        self,
        media: Media,
        crop: tuple[int, int, int, int] | None,
        size: int,
        step: int,
        marked: bool,
        buffers: _Buffers,
    ) -> None:
        self._media, self._size, self._step, self._marked, self._buffers = media, size, step, marked, buffers
        self._crop = crop or (0, media.width, 0, media.height)
        self._whole = np.empty((media.height, media.width, 3), np.uint8) if crop else None
        self._buffer: Pictures | None = None
        self._count = 0
        self._first = 0
        self._unreadable: list[int] = []

    def take(self, number: int, capture: cv2.VideoCapture) -> None:
        """Add the picture that `capture` has grabbed."""
        slot = self._slot(number)
        into = slot if self._whole is None else self._whole
        found, picture = capture.retrieve(into)
        if not found or picture is None:
            raise AnalysisFailed(
                f"{_name(self._media, number, self._marked)} cannot be decoded.",
                hint=REPAIR,
                kind="VideoDamaged",
            )
        if picture is not into:
            self._check_size(picture, number)
        if self._whole is not None or picture is not slot:
            self._cut(picture, slot)
        self._added()

    def put(self, number: int, picture: Pictures | None) -> None:
        """Add a picture, or note that there is none."""
        slot = self._slot(number)
        if picture is None:
            slot.fill(0)
            self._unreadable.append(self._count)
        else:
            self._check_size(picture, number)
            self._cut(picture, slot)
        self._added()

    def flush(self) -> None:
        """Hand on what there is."""
        if self._buffer is None or not self._count:
            return
        numbers = range(self._first, self._first + self._count * self._step, self._step)
        times = times_of(self._media, numbers, marked=self._marked).tolist()
        pictures = self._buffer[: self._count]
        self._buffers.hand_on(Batch(numbers, pictures, self._unreadable, times, self._buffer))
        self._buffer, self._count, self._unreadable = None, 0, []

    def _slot(self, number: int) -> Pictures:
        if self._buffer is None:
            self._buffer = self._buffers.take()
            self._first = number
        slot: Pictures = self._buffer[self._count]
        return slot

    def _added(self) -> None:
        self._count += 1
        if self._count == self._size:
            self.flush()

    def _cut(self, picture: Pictures, slot: Pictures) -> None:
        x1, x2, y1, y2 = self._crop
        np.copyto(slot, picture[y1:y2, x1:x2])

    def _check_size(self, picture: Pictures, number: int) -> None:
        media = self._media
        if picture.shape != (media.height, media.width, 3):
            raise AnalysisFailed(
                f"{_name(media, number, self._marked)} has another size than those before it: "
                f"{picture.shape[1]} x {picture.shape[0]} pixels instead of {media.width} x {media.height}.",
                hint="Split the video there, or convert it to one size with ffmpeg.",
                kind="SizeChanges",
            )


def _name(media: Media, number: int, marked: bool) -> str:
    frame = number + media.first(marked=marked)
    shown = seconds(times_of(media, [number], marked=marked)[0])
    return f"Frame {frame} of the video (counted from 0; {shown})"


def _buffers(shape: tuple[int, ...], ahead: int, allocate: Callable[[tuple[int, ...]], Pictures]) -> Iterator[Pictures]:
    """Yield memory for the batches that are decoded ahead, and one more."""
    each = math.prod(shape)
    count = ahead + 1 if each * (ahead + 1) <= _MUCH else min(ahead, 1) + 1
    message = (
        f"The computer's memory is too small for batches of {shape[0]} pictures of {shape[2]} x {shape[1]} pixels: "
        f"{count} of them take {each * count / 2**30:.1f} GiB."
    )
    # A system promises more memory than it has, and kills whoever then uses it.
    enough = each * count <= _SHARE * physical()
    try:
        for _ in range(count if enough else 0):
            yield allocate(shape)
    except (MemoryError, RuntimeError) as error:
        # Page-locked memory is the computer's, but its want is told as if it were the GPU's.
        enough = not (lacking(error) or lacking_here(error))
        if enough:
            raise
    if not enough:
        raise AnalysisFailed(message, hint="Ask for a smaller batch_size, or crop the picture.", kind="OutOfMemory")


def _pictures(container: Any, stream: Any) -> Iterator[Any]:
    """Yield every picture that PyAV can decode, and go on behind what it cannot."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _turned(picture: Any) -> Pictures:
    """Return a picture as it is to be shown, as OpenCV turns it."""
    shown: Pictures = picture.to_ndarray(format="bgr24")
    if picture.rotation % 360:
        shown = np.ascontiguousarray(np.rot90(shown, picture.rotation // 90))
    return shown
