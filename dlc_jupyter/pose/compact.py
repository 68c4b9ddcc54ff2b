"""Poses in a compact form for programs that draw them: a header in JSON, then 32-bit floats, any range at a time.

It needs neither NumPy nor pandas to be read: a server hands on a range of frames straight from the disk, of a finished
result (`write` has made a file of it) as well as of records that are still being written (`dlc_jupyter.pose.rows`).

The layout, all little-endian, documented in docs/http_api.md for clients:

====== ======================================================================================
bytes  what
====== ======================================================================================
4      ``DLCP``
4      version of the layout: 1, unsigned
4      length of the header in bytes, unsigned; a multiple of 4
…      the header: a JSON object, padded with spaces
…      for each frame, for each point: x, y (pixels) and likelihood, float32; NaN where unknown
====== ======================================================================================

The header has ``scorer``, ``points``, ``frames``, ``first`` and, where only a part of the picture was analysed,
``cropping``: what `Source` says of them. Who draws on the video adds ``first`` to the numbers of frames, and on its
whole picture cropping's x1 and y1 to the points. An answer for a range of frames has ``start`` and ``count`` as well.
"""

from __future__ import annotations

import json
import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc_jupyter.errors import full_disk_explained

MAGIC, VERSION = b"DLCP", 1
_START = struct.Struct("<4sII")
_POINT = 12  # bytes

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
    """

    path: Path
    scorer: str
    points: Sequence[Sequence[str]]
    frames: int
    first: int | None
    cropping: Sequence[int] | None

    def read(self, start: int, stop: int) -> bytes:
        """Return the numbers of the frames from `start` up to `stop`: 12 bytes for each point of each frame."""
        raise NotImplementedError


@dataclass(frozen=True)
class Finished(Source):
    """A file that `write` has made."""

    begin: int = 0

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
            _magic, _version, length = _START.unpack(start)
            header = json.loads(file.read(length))
        begin = _START.size + length
        about = (header["scorer"], header["points"], header["frames"], header.get("first"), header.get("cropping"))
        return cls(path, *about, begin)

    def read(self, start: int, stop: int) -> bytes:
        """See `Source.read`."""
        width = len(self.points) * _POINT
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), (stop - start) * width, self.begin + start * width)


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
            start,
            step,
            at,
            [each for each in fields if each[0] in ("bodyparts", "unique_bodyparts")],
            len({animal for animal, _part in about["points"]} - {"single"}),
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
    return _head(source, start=start, count=stop - start, **more) + numbers


def _head(source: Source, **more: Any) -> bytes:
    header = {"scorer": source.scorer, "points": list(source.points), "frames": source.frames, **more}
    if source.first is not None:
        header["first"] = source.first
    if source.cropping is not None:
        header["cropping"] = list(source.cropping)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return _START.pack(MAGIC, VERSION, len(text)) + text


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
    import numpy as np

    from dlc_jupyter.pose.tables import PoseTable

    table = PoseTable(h5)
    source = Source(target, table.scorer, table.points, frames, first, cropping)
    with full_disk_explained("The poses could not be written."), target.open("wb") as file:
        file.write(_head(source))
        for _, values in table.pieces(range(frames)):
            file.write(np.ascontiguousarray(values, "<f4").data)
