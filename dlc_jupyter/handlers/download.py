"""Sending stored bytes: ranges, what a browser may do with them, and reading ahead of the network."""

from __future__ import annotations

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from dlc_jupyter.errors import Refusal
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.storage.catalogue import StoredFile

#: 1300 MiB/s; with 256 KiB it is half of that.
PIECE = 1 << 20

#: Reading the disk has threads of its own: while a slow disk keeps them busy, everything else goes on.
READERS = ThreadPoolExecutor(8, thread_name_prefix="dlc-read")

#: What browsers only show. Everything else is offered for saving: HTML, SVG, XML and PDF could run what they carry.
_SHOWN = re.compile(r"(video|audio)/.*|image/(?!svg).*|text/(plain|csv)|application/json")

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class NoSuchRange(Refusal):
    """The range asked for lies outside the file."""

    status, reason = 416, "range-not-satisfiable"


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one behind the last that a ``Range`` header asks for (RFC 9110, section 14).

    None: all of the file. So it is for several ranges too, and for what is no range at all.

    Raises
    ------
    NoSuchRange
        It lies outside the file.
    """
    found = _RANGE.fullmatch((header or "").strip())
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= size or not end - start:
        raise NoSuchRange(f"The file has {size} bytes: ask for a range among them.", size=size)
    return start, end


def disposition(file: StoredFile) -> str:
    """Return the ``Content-Disposition``: whether to show or to save it, and under which name (RFC 6266)."""
    kind = "inline" if _SHOWN.fullmatch(file.content_type) else "attachment"
    plain = re.sub(r'[^ -~]|["\\%]', "_", file.filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.filename, safe='')}"


async def send(handler: DLCHandler, descriptor: int, start: int, end: int) -> None:
    """Write the bytes from `start` up to `end` of an open file, one piece being read while another is sent.

    Stops when the client goes away. The descriptor is closed, behind the last read.
    """
    loop = asyncio.get_running_loop()
    offset = start

    def read() -> asyncio.Future[bytes]:
        return loop.run_in_executor(READERS, os.pread, descriptor, min(PIECE, end - offset), offset)

    ahead = read()
    try:
        while offset < end:
            piece = await ahead
            if not piece:
                break  # it became shorter: tornado closes the connection, so that the client notices
            offset += len(piece)
            if offset < end:
                ahead = read()
            handler.write(piece)
            await handler.flush()
    except StreamClosedError:
        pass
    finally:
        await asyncio.gather(ahead, return_exceptions=True)
        await loop.run_in_executor(READERS, os.close, descriptor)  # slow where it was deleted meanwhile
