"""Poses in a compact form for programs that draw them: a header in JSON, then 32-bit floats, any range at a time.

It needs neither NumPy nor pandas to be read: a server hands on a range of frames straight from the disk, of a finished
result (`write` has made a file of it) as well as of records that are still being written (`dlc_jupyter.pose.rows`).

The layout, all little-endian, documented in docs/http_api.md for clients:

====== ======================================================================================
bytes  what
====== ======================================================================================
4      ``DLCP``
4      version of the layout: 1 or 2, unsigned
4      length of the header in bytes, unsigned; a multiple of 4
…      the header: a JSON object, padded with spaces
…      for each frame, for each point: x, y (pixels) and likelihood, float32; NaN where unknown
…      version 2 only, where the header has ``overview``: see `dlc_jupyter.pose.overview`
====== ======================================================================================

In version 2 the header may name other ``values`` of each point than those three: points in space have x, y, z and their
error. Files are written in version 2, and those of version 1 are read as well. The header has ``scorer``, ``points``,
``frames``, ``first`` and, where only a part of the picture was analysed, ``cropping``: what `Source` says of them. Who
draws on the video adds ``first`` to the numbers of frames, and on its whole picture cropping's x1 and y1 to the points.
An answer for a range of frames has ``start`` and ``count`` as well.
"""

from __future__ import annotations

import json
import os
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dlc_jupyter.errors import full_disk_explained

MAGIC, VERSIONS = b"DLCP", (1, 2)
#: What is known of each point: of a picture, and in space.
IN_PICTURE, IN_SPACE = ("x", "y", "likelihood"), ("x", "y", "z", "error")

_START = struct.Struct("<4sII")
#: Fields of the header that say something of the numbers, and not of whose they are.
_OWN = ("scorer", "points", "frames", "first", "cropping", "values", "overview")

_NOT_WRITTEN = "The poses could not be written."
_PIECE = 1 << 16  # points at a time

#: Most frames in one answer.
MOST_FRAMES = 10_000


@dataclass(frozen=True)
class Source:
    """Poses on the disk.

    Attributes
    ----------
    scorer : str
        DeepLabCut's name for the network.
    points : sequence of (str, str)
        The individual ("" for a single animal) and the body part of each point.
    frames : int
        How many frames have poses so far, from the one on that row 0 is.
    first : int or None
        Which frame of the video row 0 is: 0, but for the frames at its start that cannot be decoded and have no rows
        (`dlc_jupyter.pose.media.Media.first`). Files written before there was this do not say.
    cropping : sequence of int or None
        x1, x2, y1, y2 in pixels of the video's picture, where only that part of it was analysed: the points count from
        (x1, y1). None for the whole picture; files written before there was this do not say.
    values : sequence of str
        What each point's numbers are: `IN_PICTURE` or `IN_SPACE`.
    about : mapping
        What else the header says.
    """

    path: Path
    scorer: str
    points: Sequence[Sequence[str]]
    frames: int
    first: int | None
    cropping: Sequence[int] | None
    values: Sequence[str] = IN_PICTURE
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many bytes a frame has."""
        return 4 * len(self.values) * len(self.points)

    def read(self, start: int, stop: int) -> bytes:
        """Return the numbers of the frames from `start` up to `stop`: float32, `values` of each point of each frame."""
        raise NotImplementedError

    def likelihoods(self, start: int, stop: int) -> Sequence[Sequence[float]]:
        """Return the likelihoods of each point in the frames from `start` up to `stop` that were looked at."""
        raise NotImplementedError


@dataclass(frozen=True)
class Finished(Source):
    """A file that `write` or `write_space` has made.

    `begin` is where its numbers begin; `span` how many frames the rows of its overview are of, 0 where it has none.
    """

    begin: int = 0
    span: int = 0

    @classmethod
    def open(cls, path: Path) -> Finished:
        """Read the header.

        Raises
        ------
        ValueError
            It is no such file.
        """
        with path.open("rb") as file:
            start = file.read(_START.size)
            if len(start) < _START.size or start[:4] != MAGIC:
                raise ValueError("This file holds no compact poses.")
            _magic, version, length = _START.unpack(start)
            if version not in VERSIONS:
                raise ValueError(f"These compact poses are of a layout of version {version}, which is not known here.")
            header = json.loads(file.read(length))
        return cls(
            path,
            *(header["scorer"], header["points"], header["frames"], header.get("first"), header.get("cropping")),
            values=tuple(header.get("values", IN_PICTURE)),
            about={name: value for name, value in header.items() if name not in _OWN},
            begin=_START.size + length,
            span=header.get("overview", {}).get("span", 0),
        )

    def read(self, start: int, stop: int) -> bytes:
        """See `Source.read`."""
        return self._bytes(start * self.width, (stop - start) * self.width)

    def likelihoods(self, start: int, stop: int) -> Sequence[Sequence[float]]:
        """See `Source.likelihoods`."""
        numbers, width = array("f"), len(self.values)
        numbers.frombytes(self.read(start, stop))
        return [numbers[at :: width * len(self.points)] for at in range(2, width * len(self.points), width)]

    def overview(self) -> bytes:
        """Return the bytes behind the numbers."""
        return self._bytes(self.frames * self.width, self.path.stat().st_size)

    def _bytes(self, at: int, length: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), length, self.begin + at)


@dataclass(frozen=True)
class Growing(Source):
    """The records of an analysis that is running. Before they are made tracks of, animals may change places."""

    start: int = 0
    step: int = 1
    itemsize: int = 0
    fields: Sequence[Sequence[Any]] = ()
    animals: int = 1

    @classmethod
    def open(cls, folder: Path) -> Growing:
        """Look at the records in a folder of `dlc_jupyter.pose.rows`.

        Raises
        ------
        FileNotFoundError
            There are none yet.
        """
        described = json.loads((folder / "rows.json").read_text())
        about, path, fields, at = described["about"], folder / described["name"], [], 0
        for name, kind, shape in described["layout"]:
            count = 1
            for length in shape:
                count *= length
            fields.append((name, kind, shape, at))
            at += count * int(kind[2:])
        lines = path.with_suffix(".log").read_bytes().split(b"\n")[:-1]
        rows = json.loads(lines[-1])["rows"] if lines else 0
        start, step = about["span"]
        return cls(
            path.with_suffix(".bin"),
            about["scorer"],
            about["points"],
            start + (rows - 1) * step + 1 if rows else 0,
            about.get("first"),
            about.get("cropping"),
            start=start,
            step=step,
            itemsize=at,
            fields=[each for each in fields if each[0] in ("bodyparts", "unique_bodyparts")],
            animals=len({animal for animal, _part in about["points"]} - {"single"}),
        )

    def read(self, start: int, stop: int) -> bytes:
        """See `Source.read`. A frame that is not looked at is NaN."""
        missing = array("f", [float("nan")] * 3 * len(self.points)).tobytes()
        parts = []
        with self.path.open("rb") as file:
            for frame in range(start, stop):
                row, rest = divmod(frame - self.start, self.step)
                if rest or row < 0:
                    parts.append(missing)
                else:
                    parts.append(self._points(os.pread(file.fileno(), self.itemsize, row * self.itemsize)))
        return b"".join(parts)

    def likelihoods(self, start: int, stop: int) -> Sequence[Sequence[float]]:
        """See `Source.likelihoods`."""
        first, last = (max(0, -(-(frame - self.start) // self.step)) for frame in (start, stop))
        with self.path.open("rb") as file:
            records = os.pread(file.fileno(), (last - first) * self.itemsize, first * self.itemsize)
        found = self._likelihoods.iter_unpack(records[: len(records) // self.itemsize * self.itemsize])
        return list(zip(*found, strict=True)) or [()] * len(self.points)

    @cached_property
    def _likelihoods(self) -> struct.Struct:
        """What takes the likelihoods out of a record."""
        code, at = "<", 0
        for _name, kind, (animals, parts, values), begin in self.fields:
            size, letter = int(kind[2:]), "f" if kind == "<f4" else "d"
            count = min(animals, self.animals) * parts
            code += f"{begin - at}x" + f"{2 * size}x{letter}{(values - 3) * size}x" * count
            at = begin + count * values * size
        return struct.Struct(f"{code}{self.itemsize - at}x")

    def _points(self, record: bytes) -> bytes:
        made = array("f")
        for _name, kind, (animals, parts, values), at in self.fields:
            numbers = array("f" if kind == "<f4" else "d")
            count = min(animals, self.animals) * parts * values  # a network may look for more than have names
            numbers.frombytes(record[at : at + count * numbers.itemsize])
            for point in range(0, len(numbers), values):
                made.extend(array("f", numbers[point : point + 3]))
        return made.tobytes()


def answer(source: Source, start: int, stop: int, **more: Any) -> bytes:
    """Return the frames from `start` up to `stop`, as far as there are poses, in the compact form.

    Parameters
    ----------
    **more
        For the header, as JSON values.
    """
    stop = max(start, min(stop, source.frames, start + MOST_FRAMES))
    # A start far behind the end is no place in a file that the system would look at.
    numbers = source.read(start, stop) if start < stop else b""
    version = 1 if tuple(source.values) == IN_PICTURE else 2
    return head(source, version=version, start=start, count=stop - start, **more) + numbers


def head(source: Source, magic: bytes = MAGIC, version: int = 1, **more: Any) -> bytes:
    """Return what the compact form begins with; `more` is for the header, as JSON values."""
    header = {"scorer": source.scorer, "points": list(source.points), "frames": source.frames, **source.about, **more}
    if source.first is not None:
        header["first"] = source.first
    if source.cropping is not None:
        header["cropping"] = list(source.cropping)
    if tuple(source.values) != IN_PICTURE:
        header["values"] = list(source.values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return _START.pack(magic, version, len(text)) + text


def write(h5: Path, target: Path, frames: int, *, first: int = 0, cropping: Sequence[int] | None = None) -> None:
    """Write the poses of one of DeepLabCut's ``.h5`` files.

    Parameters
    ----------
    frames : int
        How many frames of the video the poses go through; where the table has no row for one, it is NaN.
    first, cropping : int and sequence of int, optional
        See `Source`.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    from dlc_jupyter.pose.overview import SPAN, Gathered
    from dlc_jupyter.pose.tables import PoseTable

    table = PoseTable(h5)
    source = Source(target, table.scorer, table.points, frames, first, cropping)
    gathered = Gathered(frames, len(table.points))
    with full_disk_explained(_NOT_WRITTEN), target.open("wb") as file:
        file.write(head(source, version=2, overview={"span": SPAN}))
        for numbers, values in table.pieces(range(frames)):
            file.write(_floats(values))
            gathered.add(numbers, values[:, 2::3])
        file.write(gathered.as_bytes())


def write_space(h5: Path, quality: Path, target: Path, frames: int, about: Mapping[str, Any]) -> None:
    """Write points in space: x, y, z and the reprojection error in pixels of each.

    Parameters
    ----------
    h5, quality : Path
        The tables that ``dlc_jupyter.pose3d.tracks`` has written.
    frames : int
        How many frames the scene has.
    about : mapping
        What else the header says, as JSON values.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    import numpy as np

    from dlc_jupyter.pose.tables import PoseTable

    places, errors = PoseTable(h5), PoseTable(quality)
    source = Source(target, places.scorer, places.points, frames, 0, None, IN_SPACE, about)
    size = max(1, _PIECE // len(places.points))
    pieces: Iterator[Any] = zip(places.pieces(range(frames), size), errors.pieces(range(frames), size), strict=True)
    with full_disk_explained(_NOT_WRITTEN), target.open("wb") as file:
        file.write(head(source, version=2))
        for (numbers, points), (_, quality_of) in pieces:
            point = points.reshape(len(numbers), -1, 3)
            error = quality_of.reshape(len(numbers), -1, 2)[..., :1]
            file.write(_floats(np.concatenate([point, error], axis=-1)))


def _floats(values: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(values, "<f4").data
