"""Logs: what the engine printed while it worked on an analysis, as it stands or as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from dlc_jupyter.errors import BadRequest, NotFound
from dlc_jupyter.handlers.analyses import RESOURCE, UNKNOWN
from dlc_jupyter.handlers.base import DLCHandler, flag
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.jobs.records import Record
from dlc_jupyter.jobs.scratch import log_path


class LogHandler(DLCHandler):
    """``analysis/<id>/log``."""

    auth_resource = RESOURCE

    PIECE = 1 << 18
    CONTENT_TYPE = "text/plain; charset=utf-8"
    #: How often a log that is followed is looked at, and its analysis's state, in seconds.
    LOOK, ASK = 0.25, 1.0

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Prepare to notice that the client leaves."""
        super().initialize(*args, **kwargs)
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        """Stop following."""
        self._gone.set()
        super().on_connection_close()

    @operation(
        answers={200: Answer("The text; empty while nothing was printed.", {"type": "string"}, "text/plain")},
        refuses={**UNKNOWN, 400: "`tail` is no number, or `follow` is neither true nor false."},
        takes=[
            Parameter("follow", "Stream until the analysis ends.", {"enum": ["0", "1", "false", "true"]}),
            Parameter("tail", "Only the last lines, about so many bytes.", {"type": "integer", "minimum": 0}),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self, analysis_id: str) -> None:
        """Return what the engine printed while it worked on an analysis."""
        follow = flag({"follow": self.get_query_argument("follow", "0")}, "follow")
        tail = self._tail()
        record = await self.call(self.services.records.find, analysis_id)
        self.set_header("Content-Type", self.CONTENT_TYPE)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold back what is followed
        log = GrowingFile(log_path(self.services.settings.root, record.analysis_id), tail)
        with contextlib.suppress(StreamClosedError), contextlib.closing(log):
            await self._send(log)
            if follow:
                await self._follow(log, record)
        if not self._gone.is_set():
            self.finish(set_content_type=self.CONTENT_TYPE)

    def _tail(self) -> int | None:
        text = self.get_query_argument("tail", None)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise BadRequest("tail must be a whole number of bytes.", reason="bad-tail")
        return int(text)

    async def _send(self, log: GrowingFile) -> None:
        """Send what is there."""
        while not self._gone.is_set() and (piece := await self.call(log.read, self.PIECE)):
            self.write(piece)
            await self.flush()

    async def _follow(self, log: GrowingFile, record: Record) -> None:
        """Send what comes, until the analysis has ended or the client has left. No thread waits meanwhile."""
        await self.flush()  # the headers, so that the client knows that it is connected
        asked = -self.ASK
        while record.state.active and not await self._leaves():
            await self._send(log)
            if time.monotonic() - asked >= self.ASK:
                asked = time.monotonic()
                try:
                    record = await self.call(self.services.records.find, record.analysis_id)
                except NotFound:
                    return
        await self._send(log)

    async def _leaves(self) -> bool:
        """Wait a moment. Whether the client left in it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), self.LOOK)
        return self._gone.is_set()


class GrowingFile:
    """A file that somebody else appends to, and that may not be there yet. Its methods block.

    Parameters
    ----------
    path : Path
    tail : int, optional
        Begin with the first whole line of the last `tail` bytes.
    """

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self._path = path
        self._tail = tail
        self._file: Any = None

    def read(self, size: int) -> bytes:
        """Return what follows, at most `size` bytes; none where the end is reached for now."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
            self._skip()
        piece: bytes = self._file.read(size)
        return piece

    def _skip(self) -> None:
        length = self._path.stat().st_size
        if self._tail is not None and length > self._tail:
            self._file.seek(length - self._tail - 1)
            self._file.readline(self._tail + 1)
            if self._file.tell() >= length:  # the last line alone is longer than that
                self._file.seek(length - self._tail)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()


log_handlers: list[tuple[str, type[DLCHandler]]] = [(r"analysis/([^/]+)/log", LogHandler)]
