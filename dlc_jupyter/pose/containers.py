"""Whether a file ends inside something whose size it announced: what is left of a video when a copy was cut off.

Three containers write down how long their parts are, and only those headers are read here: MP4 and QuickTime (boxes,
ISO/IEC 14496-12), AVI (RIFF chunks), Matroska and WebM (EBML elements, RFC 8794 and RFC 9559).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_MOVIE_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"pnot")
#: Boxes without which frames are lost. What comes after them (an index of fragments, padding) may be missing.
_MOVIE_DATA = (b"moov", b"moof", b"mdat")


def is_torn(path: Path) -> bool | None:
    """Tell whether the file ends before the end that it announces. None: it announces none, or is another format."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if start[:4] == b"RIFF":
            return _riff(file, size)
        if start[4:8] in _MOVIE_BOXES:
            return _torn_boxes(file, size)
        if start[:4] == _EBML.to_bytes(4, "big"):
            return _matroska(file, size)
    return None


def _riff(file: BinaryIO, size: int) -> bool | None:
    """Walk the RIFF chunks: one, or several of about 1 GB each in an OpenDML file."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF":
            return False  # something was appended: what came before it is whole
        if length in (0, 0xFFFFFFFF):
            return None  # a recording that was never finished
        at += 8 + length + length % 2
    return at > size + 1


def boxes(path: Path) -> list[bytes]:
    """Return the types of an MP4 file's outermost boxes, in their order."""
    with path.open("rb") as file:
        return [kind for kind, _end in _walk_boxes(file, path.stat().st_size)]


def _walk_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield the type of each outermost box and where it ends; None: at the end of the file, wherever that is."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            yield kind, None
            return
        if length < 8:
            return  # no box: the rest is damaged
        at += length
        yield kind, at


def _torn_boxes(file: BinaryIO, size: int) -> bool | None:
    for kind, end in _walk_boxes(file, size):
        if end is None:
            return None
        if end > size:
            return kind in _MOVIE_DATA
    return False


def _matroska(file: BinaryIO, size: int) -> bool | None:
    """Walk the parts of the segment. Torn is a cluster that is not whole, or a segment that ends behind a whole one."""
    at, end, last = 0, None, 0
    while at < size:
        file.seek(at)
        kind, length, body = _element(file.read(12))
        if not kind:
            return None  # no element: the rest is damaged, or something was appended
        if kind == _SEGMENT:
            at += body
            end = None if length is None else at + length
            continue
        if length is None:
            return None if end is None else end > size  # a live recording's cluster: as long as it goes
        at, last = at + body + length, kind
        if end is not None and at >= end:
            return False
    if at > size:
        return last == _CLUSTER  # the index at the end is no loss
    return None if end is None else end > at and last == _CLUSTER


def _element(head: bytes) -> tuple[int, int | None, int]:
    """Return an element's id, the length of its content (None: unknown) and the length of this header."""
    if not head or head[0] < 0x10:
        return 0, None, 0
    id_length = 9 - head[0].bit_length()
    kind = int.from_bytes(head[:id_length], "big")
    if len(head) <= id_length or not head[id_length]:
        return 0, None, 0
    width = 9 - head[id_length].bit_length()
    value = int.from_bytes(head[id_length : id_length + width], "big") & ((1 << 7 * width) - 1)
    return kind, None if value == (1 << 7 * width) - 1 else value, id_length + width
