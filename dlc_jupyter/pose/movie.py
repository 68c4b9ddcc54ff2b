"""What the table of contents of an MP4 or QuickTime file says of its pictures, and when each is shown.

Pure Python: a server reads it without NumPy or FFmpeg, the tables of two hours at 60 frames a second in a quarter of a
second. Boxes are those of ISO/IEC 14496-12 and of Apple's QuickTime File Format; edit lists are applied as FFmpeg does
(``mov_fix_index`` in libavformat/mov.c), through which OpenCV and Chromium read: a first picture that an edit begins
before is shown at the edit's beginning, and the end of an edit is rounded to the track's clock.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice, repeat
from operator import add
from pathlib import Path
from typing import BinaryIO

from dlc_jupyter.pose.containers import is_torn
from dlc_jupyter.pose.movie_boxes import Unclear, boxes, content, inside, needed, numbers, places

#: Most pictures: two days at 100 frames a second.
_MOST_FRAMES = 20_000_000

#: How a picture is turned to be shown, in degrees clockwise, by a, b, c, d of the matrix in its track's header.
_TURNS: dict[tuple[float, ...], int] = {
    (1, 0, 0, 1): 0,
    (0, 1, -1, 0): 90,
    (-1, 0, 0, -1): 180,
    (0, -1, 1, 0): 270,
}


class NoPictures(Unclear):
    """The file has other things than pictures."""


@dataclass(frozen=True)
class Movie:
    """The pictures of an MP4 or QuickTime file.

    Attributes
    ----------
    codec : str
        The four characters by which the container calls it, such as ``avc1``.
    profile : int or None
        Of H.264: the number of its profile.
    width, height : int
        Of the stored pictures, in pixels: neither turned nor stretched.
    rotation : int or None
        By how many degrees they are turned clockwise to be shown: 0, 90, 180 or 270. None: mirrored, or something else.
    pixel_aspect : (int, int)
        Width and height of a pixel.
    timescale : int
        Units a second of all times.
    times : array of int
        When each picture is shown, in order, by the clock that browsers call ``mediaTime``.
    end : int
        When the last one ends.
    duration : int
        How long all pictures last by the track's header, hidden ones too.
    fragmented : bool
        Whether the table is spread over the file.
    doubt : str
        Why other pictures than these may be decoded, as a clause; "" where nothing speaks for that.
    """

    codec: str
    profile: int | None
    width: int
    height: int
    rotation: int | None
    pixel_aspect: tuple[int, int]
    timescale: int
    times: array[int] = field(repr=False)
    end: int
    duration: int
    fragmented: bool
    doubt: str = ""


def read_movie(path: Path) -> Movie:
    """Read the table of contents of an MP4 or QuickTime file.

    Raises
    ------
    NoPictures
        It lists no track of pictures.
    Unclear
        It has none, or is damaged.
    OSError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except (struct.error, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise Unclear("its table of contents is damaged") from error


def _read(file: BinaryIO, path: Path) -> Movie:
    outer = list(places(file, path.stat().st_size))
    tables = [(begin, end) for kind, begin, end in outer if kind == b"moov"]
    if not tables:
        raise Unclear("it has no table of contents")
    movie = content(file, *tables[0])
    head, track, extends = None, None, None
    for kind, body in boxes(movie):
        if kind == b"mvhd":
            head = body
        elif kind == b"trak" and track is None and _is_video(body):
            track = _Track(body)
        elif kind == b"mvex":
            extends = dict(_trex(each) for name, each in boxes(body) if name == b"trex")
        elif kind == b"cmov":
            raise Unclear("its table of contents is compressed")
    if head is None or track is None:
        raise NoPictures("there are no pictures in its table of contents")
    moved = track.samples()
    if extends is not None:
        fragments = ((begin, end) for kind, begin, end in outer if kind == b"moof")
        moved.extend(_Fragments(track.number, extends, moved.end).read(content(file, *each) for each in fragments))
        if any(kind == b"sidx" for kind, *_place in outer):
            track.doubts.append("it is a stream's recording, whose index has times of its own")
    if is_torn(path):
        track.doubts.append("the end of the file is missing")
    return _described(track, head, moved, fragmented=extends is not None)


def _described(track: _Track, head: memoryview, samples: _Samples, *, fragmented: bool) -> Movie:
    if not samples.times:
        raise Unclear("its table of contents lists no pictures")
    first = samples.times[0]
    times = array("q", sorted(samples.times))
    empty, edit = track.edits(struct.unpack_from(">I", head, 20 if head[0] else 12)[0])
    end = times[-1] + samples.last
    if fragmented:
        start = (edit[0] if edit else 0) - empty
        if times[0] < start:
            track.doubts.append("an edit list hides pictures of a fragmented file")
        shown, shift = times, -start
    elif edit:
        start, stop = edit
        shown = times[bisect_left(times, start) : bisect_left(times, stop)]
        if not shown:
            raise Unclear("its edit list hides all pictures")
        end = max(min(end, stop), shown[-1] + 1)
        shift = empty - shown[0]
    else:
        shown, shift = times, empty
    if shown[0] < first:
        track.doubts.append("its first pictures may have been predicted from others that were cut away")
    if shift:
        shown = array("q", map(add, shown, repeat(shift)))
    matrix = _times(_matrix(track.head, 52 if track.head[0] else 40), _matrix(head, 48 if head[0] else 36))
    return Movie(
        codec=track.codec,
        profile=track.profile,
        width=track.width,
        height=track.height,
        rotation=_TURNS.get(matrix),
        pixel_aspect=track.pixel_aspect,
        timescale=track.timescale,
        times=shown,
        end=end + shift,
        duration=track.duration,
        fragmented=fragmented,
        doubt=track.doubts[0] if track.doubts else "",
    )


# -- what is shown how -------------------------------------------------------------------------------------------------


def _is_video(track: memoryview) -> bool:
    handler = inside(track, b"mdia", b"hdlr")
    return handler is not None and bytes(handler[8:12]) == b"vide"


def _matrix(data: memoryview, at: int) -> tuple[float, float, float, float]:
    a, b, _u, c, d = struct.unpack_from(">5i", data, at)
    return a / 65536, b / 65536, c / 65536, d / 65536


def _times(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    (a, b, c, d), (e, f, g, h) = one, other
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


# -- a track -----------------------------------------------------------------------------------------------------------


@dataclass
class _Samples:
    """When pictures are shown, in the order of decoding, by the track's clock.

    `end` is when the next one is to be decoded, `last` how long the last one lasts.
    """

    times: array[int]
    end: int = 0
    last: int = 0

    def extend(self, more: _Samples) -> None:
        """Add those that follow in the file."""
        self.times.extend(more.times)
        self.end, self.last = more.end, more.last


class _Track:
    """The box ``trak`` of the pictures. Its `doubts` say, as clauses, why others may be decoded than are listed."""

    def __init__(self, body: memoryview) -> None:
        self.head = needed(body, b"tkhd")
        self.number = struct.unpack_from(">I", self.head, 20 if self.head[0] else 12)[0]
        media = needed(body, b"mdia", b"mdhd")
        self.timescale, self.duration = struct.unpack_from(">IQ" if media[0] else ">II", media, 20 if media[0] else 12)
        if not self.timescale:
            raise Unclear("its clock does not run")
        self._table = needed(body, b"mdia", b"minf", b"stbl")
        self._edits = inside(body, b"edts", b"elst")
        entries = needed(self._table, b"stsd")
        kinds = struct.unpack_from(">I", entries, 4)[0]
        length, code = struct.unpack_from(">I4s", entries, 8)
        self.codec = code.decode("latin-1")
        entry = entries[8 : 8 + length]
        self.width, self.height = struct.unpack_from(">HH", entry, 32)
        self.profile: int | None = None
        self.pixel_aspect = (1, 1)
        self._more(entry[86:])
        self.doubts = [*(["its pictures are of several kinds"] if kinds != 1 else []), *self._gaps()]

    def _more(self, within: memoryview) -> None:
        try:
            for kind, body in boxes(within):
                if kind == b"avcC":
                    self.profile = body[1]
                elif kind == b"pasp":
                    across, down = struct.unpack_from(">II", body)
                    self.pixel_aspect = (across, down) if across and down else (1, 1)
        except (Unclear, struct.error, IndexError):
            return  # QuickTime has other things there, too

    def _gaps(self) -> Iterator[str]:
        keys = inside(self._table, b"stss")
        if keys is not None and len(keys) >= 12 and struct.unpack_from(">I", keys, 8)[0] != 1:
            yield "it does not begin with a picture that can be decoded by itself"
        sizes = inside(self._table, b"stsz")
        if sizes is not None and not struct.unpack_from(">I", sizes, 4)[0] and 0 in numbers(sizes[12:]):
            yield "some of its pictures are empty"

    def samples(self) -> _Samples:
        """Return the pictures of the table of contents itself."""
        counted = inside(self._table, b"stsz")
        if counted is None:
            counted = needed(self._table, b"stz2")
        number = struct.unpack_from(">I", counted, 8)[0]
        if number > _MOST_FRAMES:
            raise Unclear("it lists too many pictures")
        steps = numbers(needed(self._table, b"stts")[8:])
        counts, deltas = steps[0::2], steps[1::2]
        if sum(counts) != number or any(delta > 1 << 31 for delta in deltas):
            raise Unclear("it does not say when each picture is shown")
        if not number:
            return _Samples(array("q"))
        if len(deltas) == 1:
            decoded: Iterable[int] = range(0, number * deltas[0], deltas[0]) if deltas[0] else repeat(0, number)
        else:
            decoded = accumulate(chain([0], islice(_expanded(deltas, counts), number - 1)))
        last, end = deltas[-1], sum(count * delta for count, delta in zip(counts, deltas, strict=True))
        offsets = inside(self._table, b"ctts")
        if offsets is None:
            return _Samples(array("q", decoded), end, last)
        # The offsets are signed, whatever the version of the box says: so does FFmpeg take them.
        pairs = numbers(offsets[8:], "i")
        counts, moved = pairs[0::2], pairs[1::2]
        if sum(counts) < number or min(counts) < 0:
            raise Unclear("it does not say when each picture is shown")
        each = moved if max(counts) == 1 else _expanded(moved, counts)
        return _Samples(array("q", map(add, decoded, islice(each, number))), end, last)

    def edits(self, clock: int) -> tuple[int, tuple[int, int] | None]:
        """Return how long nothing is shown at first, and from when till when pictures are (None: from first to last).

        Parameters
        ----------
        clock : int
            Units a second of the whole file's times.
        """
        if self._edits is None:
            return 0, None
        form = struct.Struct(">Qqi" if self._edits[0] else ">Iii")
        count = struct.unpack_from(">I", self._edits, 4)[0]
        edits = list(islice(form.iter_unpack(self._edits[8 : 8 + count * form.size]), count))
        empty, found = 0, None
        for length, begin, rate in edits:
            long = (length * self.timescale + clock // 2) // clock if clock else 0
            if begin == -1 and found is None:
                empty += long
            elif found is None and begin >= 0:
                found = begin, begin + long
                if rate != 1 << 16:
                    self.doubts.append("an edit list changes its speed")
            else:
                self.doubts.append("an edit list puts it together of several parts")
        if found is None and edits:
            self.doubts.append("an edit list shows none of its pictures")
        return empty, found


def _expanded(values: Iterable[int], counts: Iterable[int]) -> Iterator[int]:
    return chain.from_iterable(map(repeat, values, counts))


# -- fragments ---------------------------------------------------------------------------------------------------------


def _trex(body: memoryview) -> tuple[int, int]:
    """Return a track's number, and how long its pictures last unless a fragment says otherwise."""
    number, _kind, duration = struct.unpack_from(">III", body, 4)
    return number, duration


class _Fragments:
    """The pictures that are listed in fragments, behind those of the table of contents.

    Parameters
    ----------
    track : int
        The number of the track.
    durations : mapping
        What `_trex` says, by the number of the track.
    end : int
        When the first one is to be decoded where no fragment says it.
    """

    def __init__(self, track: int, durations: Mapping[int, int], end: int) -> None:
        self._track, self._default = track, durations.get(track, 0)
        self._made = _Samples(array("q"), end)

    def read(self, fragments: Iterable[memoryview]) -> _Samples:
        """Return all of them."""
        for fragment in fragments:
            for kind, body in boxes(fragment):
                if kind == b"traf":
                    self._add(body)
            if len(self._made.times) > _MOST_FRAMES:
                raise Unclear("it lists too many pictures")
        return self._made

    def _add(self, body: memoryview) -> None:
        head = needed(body, b"tfhd")
        flags, track = struct.unpack_from(">II", head)
        if track != self._track:
            return
        at = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
        default = struct.unpack_from(">I", head, at)[0] if flags & 8 else self._default
        begun = inside(body, b"tfdt")
        if begun is not None:
            self._made.end = struct.unpack_from(">Q" if begun[0] else ">I", begun, 4)[0]
        for kind, run in boxes(body):
            if kind == b"trun":
                self._add_run(run, default)

    def _add_run(self, run: memoryview, default: int) -> None:
        flags, count = struct.unpack_from(">II", run)
        at = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
        fields = [bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800)]  # duration, size, flags, offset
        width = sum(fields)
        if count > _MOST_FRAMES or len(run) - at < 4 * width * count:
            raise Unclear("its table of contents is damaged")
        values = numbers(run[at : at + 4 * width * count], "i")
        lengths: Iterable[int] = values[0::width] if fields[0] else repeat(default, count)
        decoded = array("q", accumulate(chain([self._made.end], lengths)))
        end = decoded.pop()
        shown = array("q", map(add, decoded, values[width - 1 :: width])) if fields[3] else decoded
        if decoded:
            self._made.last = end - decoded[-1]
        self._made.times.extend(shown)
        self._made.end = end
