"""The boxes of which MP4 and QuickTime files are made (ISO/IEC 14496-12), read one in another."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import BinaryIO

#: The largest table of contents that is read, in bytes; two hours at 60 frames a second have 4 MB.
_MOST_TABLE = 1 << 28


class Unclear(ValueError):
    """The file's table of contents cannot be read, or is of a kind that is not known here; a clause that says why."""


def places(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each outermost box, and where in the file its content begins and ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        begin = at + 8
        if length == 1:
            length, begin = struct.unpack_from(">Q", head, 8)[0], at + 16
        end = at + length if length else size
        if end < begin:
            return  # no box: the rest is damaged
        yield kind, begin, end
        at = end


def content(file: BinaryIO, begin: int, end: int) -> memoryview:
    """Return what lies between two places of a file.

    Raises
    ------
    Unclear
        It is not whole, or too large.
    """
    if end - begin > _MOST_TABLE:
        raise Unclear("its table of contents is too large")
    file.seek(begin)
    found = file.read(end - begin)
    if len(found) < end - begin:
        raise Unclear("its table of contents is cut off")
    return memoryview(found)


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the type and the content of each box in another one."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if length == 1:
            length, begin = struct.unpack_from(">Q", data, begin)[0], at + 16
        end = at + length if length else len(data)
        if not begin <= end <= len(data):
            raise Unclear("its table of contents is damaged")
        yield kind, data[begin:end]
        at = end


def inside(data: memoryview, *path: bytes) -> memoryview | None:
    """Return the content of a box in a box …; None where there is none."""
    for wanted in path:
        found = next((body for kind, body in boxes(data) if kind == wanted), None)
        if found is None:
            return None
        data = found
    return data


def needed(data: memoryview, *path: bytes) -> memoryview:
    """Return the content of a box in a box …; `Unclear` where there is none."""
    found = inside(data, *path)
    if found is None:
        raise Unclear("its table of contents is not complete")
    return found


def numbers(data: memoryview, code: str = "I") -> array[int]:
    """Return all big-endian numbers in some bytes: ``I`` 32 bits unsigned, ``i`` signed, ``H`` 16 bits."""
    found: array[int] = array(code)
    found.frombytes(data[: len(data) // found.itemsize * found.itemsize])
    if sys.byteorder == "little":
        found.byteswap()
    return found
