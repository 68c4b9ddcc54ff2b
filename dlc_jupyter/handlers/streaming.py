"""Requests whose bodies are too large to be held: read in large pieces, written in threads, refused early."""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
import re
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, Protocol, TypeVar

from tornado import httputil, iostream, web

from dlc_jupyter.errors import NoSpace, Refusal
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.storage.incoming import Piece
from dlc_jupyter.storage.retention import make_room

R = TypeVar("R")

#: Most that is read at a time. Tornado's 64 KiB, awaited one by one, make 120 MiB/s; 1 MiB makes 900, 2 MiB 1000.
PIECE = 2 << 20

#: How long a client that was refused may go on sending before the connection is closed, in seconds. Closing it at once
#: would reset it, and the client would never read why.
LINGER = 5.0

#: A client from which nothing comes for this long, in seconds, is taken for gone: a computer that sleeps, or whose
#: network is lost, never says good-bye.
SILENCE = 300.0


class Sink(Protocol):
    """A file that is hashed in one thread while it is written in another."""

    def hash(self, piece: Piece) -> None:
        """Add a piece to the digest."""

    def write(self, piece: Piece) -> None:
        """Add a piece to the file."""

    def discard(self) -> None:
        """Let go of the file, unless that was done."""


class Pipeline:
    """Hashes and writes pieces in two threads of its own, a few pieces at a time.

    Parameters
    ----------
    part : Sink
        The file that the pieces make up; `close` discards it.
    """

    IN_FLIGHT = 2

    def __init__(self, part: Sink) -> None:
        self.part = part
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="dlc-hash")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="dlc-write")
        self._pending: deque[Future[Any]] = deque()
        #: Since `close`: done when the part is discarded and no piece is read from any more.
        self.discarded: Future[None] | None = None

    @property
    def _closed(self) -> bool:
        return self.discarded is not None

    async def put(self, piece: Piece) -> None:
        """Add a piece; waits while enough others are on their way. Raises what writing an earlier one raised.

        When it returns, at most `IN_FLIGHT` pieces are still read from: the last ones.
        """
        if self._closed:
            return
        self._pending.append(self._hasher.submit(self.part.hash, piece))
        self._pending.append(self._writer.submit(self.part.write, piece))
        while len(self._pending) > 2 * self.IN_FLIGHT:
            await _ended(self._pending.popleft())

    async def finish(self, function: Callable[[], R]) -> R:
        """Wait for all pieces, then return what `function` does, in the thread that wrote them."""
        while self._pending:
            await _ended(self._pending.popleft())
        if self._closed:
            raise web.Finish  # the client is gone: there is nobody to answer
        return await asyncio.get_running_loop().run_in_executor(self._writer, function)

    def close(self) -> None:
        """Discard the part, behind what is still being hashed and written, and end the threads."""
        if self._closed:
            return
        hashed = self._hasher.submit(lambda: None)

        def discard() -> None:
            hashed.result()
            self.part.discard()

        self.discarded = self._writer.submit(discard)
        self._hasher.shutdown(wait=False)
        self._writer.shutdown(wait=False)

    async def closed(self) -> None:
        """Wait, after `close`, until the part is discarded."""
        if self.discarded:
            await asyncio.wait([asyncio.wrap_future(self.discarded)])


async def _ended(work: Future[Any]) -> None:
    """Wait for the end of what a thread does, and raise what it raised. Costs nothing where it has ended."""
    if work.done():
        work.result()
    else:
        await asyncio.wrap_future(work)


async def _read_fixed_body(connection: Any, length: int, delegate: Any) -> None:
    """Read a body of `length` bytes in place of tornado's method of this name, which copies every byte twice.

    The pieces are read into a few buffers in turn: enough for a `Pipeline` to be done with the one that is used again.
    """
    buffers = deque(bytearray(min(length, PIECE)) for _ in range(Pipeline.IN_FLIGHT + 1))
    while length > 0:
        buffers.rotate()
        wanted = memoryview(buffers[0])[:length]
        filled = await connection.stream.read_into(wanted, partial=True)
        length -= filled
        await connection._deliver_body(delegate, buffers[0] if filled == len(buffers[0]) else bytes(wanted[:filled]))


async def _read_chunked_body(connection: Any, delegate: Any) -> None:
    """Read a body of unknown length in place of tornado's method, which loses what came just before a connection broke.

    As there, small chunks are put together as long as nothing has to be waited for.
    """
    stream, pending = connection.stream, bytearray()

    async def deliver() -> None:
        piece = bytes(pending)
        pending.clear()
        if piece:
            await connection._deliver_body(delegate, piece)

    async def read(coming: Any) -> bytes:
        if not coming.done():
            await deliver()
        return bytes(await coming)

    try:
        for number in itertools.count(1):
            left = size = _chunk_size(await read(stream.read_until(b"\r\n", max_bytes=64)))
            while left:
                chunk = await read(stream.read_bytes(min(left, PIECE), partial=True))
                left -= len(chunk)
                pending += chunk
                if len(pending) >= PIECE:
                    await deliver()
            if await read(stream.read_bytes(2)) != b"\r\n":
                raise httputil.HTTPInputError("improperly terminated chunked request")
            if not size:
                return await deliver()
            if not number % 1000:
                await asyncio.sleep(0)  # thousands may lie in the stream's buffer
    except iostream.StreamClosedError:
        await deliver()
        raise


def _chunk_size(line: bytes) -> int:
    digits = line.removesuffix(b"\r\n")
    if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", digits):
        raise httputil.HTTPInputError("invalid chunk size")
    return int(digits, 16)


class StreamingHandler(DLCHandler):
    """Base of handlers that take a large body. Mark subclasses with `tornado.web.stream_request_body`.

    `begin` is called when the client is known and before any byte of the body is read, `receive` for each piece, and
    then the verb's method. Whatever `begin` or `receive` raises is answered at once, while the client may still be
    sending.
    """

    #: The method that comes with the body.
    streamed: ClassVar[str] = "POST"

    _pipeline: Pipeline | None = None
    _refused = False  # an error was met; the rest of the body is thrown away
    _unread = False  # there is a body, and not all of it has come
    _asking = False  # the client waits to be asked for it (``Expect``)
    _answered = False  # the answer is sent, though the body is still coming
    _hanging_up: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """Get ready for the body."""

    async def receive(self, chunk: bytes | bytearray) -> None:
        """Take the next bytes of the body. They change after this and the next `Pipeline.IN_FLIGHT - 1` calls."""

    def abandon(self) -> None:
        """Let go of what was received: it is stored, or an error was met, or the client is gone. May be repeated."""
        if self._pipeline:
            self._pipeline.close()

    def with_room(self, size: int, function: Callable[[], R]) -> R:
        """Do what needs `size` bytes of room, and once more where removing unused files has made it. Blocks."""
        try:
            return function()
        except NoSpace:
            if not make_room(self.services.files, size):
                raise
            return function()

    @property
    def length(self) -> int:
        """Number of bytes that the client says the body has; 0 where it does not say."""
        text = self.request.headers.get("Content-Length", "")
        return int(text[:18]) if text.isascii() and text.isdigit() else 0

    # -- tornado's way through a request -----------------------------------------------------------------------------

    async def prepare(self) -> None:  # type: ignore[override]
        """Authenticate and `begin`."""
        self._transforms = []  # an answer that is sent before the end of the request must not be compressed
        self._unread = self.length > 0 or "Transfer-Encoding" in self.request.headers
        self._asking = "Expect" in self.request.headers
        connection: Any = self.request.connection
        connection.set_max_body_size(sys.maxsize)  # `Settings.max_upload_bytes` counts, and its refusal is readable
        try:
            await super().prepare()
            if self.request.method == self.streamed:
                self._read_large_pieces(connection)
                await self.begin()
                self._await_more()
            elif str(self.request.method).lower() not in (*self.verbs(), "options"):
                raise web.HTTPError(405)  # before gigabytes have come with the wrong verb
        except Exception as error:
            self._refuse(error)

    def _read_large_pieces(self, connection: Any) -> None:
        connection.params = copy.copy(connection.params)
        connection.params.chunk_size = PIECE
        self._stream = connection.stream
        self._usual_chunk_size = self._stream.read_chunk_size
        self._stream.read_chunk_size = PIECE
        connection._read_fixed_body = functools.partial(_read_fixed_body, connection)
        connection._read_chunked_body = functools.partial(_read_chunked_body, connection)

    async def data_received(self, chunk: bytes | bytearray) -> None:
        """Hand on what came, as long as all is well."""
        if self._refused or self.request.method != self.streamed:
            return
        self._asking = False
        self._stop_waiting()
        try:
            await self.receive(chunk)
            async with self.services.turn:
                await asyncio.sleep(0)
            self._await_more()
        except Exception as error:
            self._refuse(error)

    def received(self) -> bool:
        """Note that the whole body has come. True: it was refused, and nothing is left to do for the verb's method."""
        self._unread = False
        self._stop_waiting()
        if self._answered:
            self._hang_up()
        return self._refused

    def on_connection_close(self) -> None:
        """Leave nothing behind when the client goes."""
        super().on_connection_close()
        self._refused = True
        self._stop_waiting()
        self.abandon()

    def on_finish(self) -> None:
        """Leave the connection as it was, for the next request."""
        self._stop_waiting()
        self.abandon()
        if hasattr(self, "_stream"):
            self._stream.read_chunk_size = self._usual_chunk_size
        super().on_finish()

    # -- waiting for the client --------------------------------------------------------------------------------------

    def _await_more(self) -> None:
        self._hanging_up = asyncio.get_running_loop().call_later(SILENCE, self._stream.close)

    def _stop_waiting(self) -> None:
        if self._hanging_up:
            self._hanging_up.cancel()

    def _hang_up(self) -> None:
        if not self._finished:
            web.RequestHandler.finish(self)

    # -- refusing ----------------------------------------------------------------------------------------------------

    def _refuse(self, error: Exception) -> None:
        self._refused = True
        self.abandon()
        self.log_exception(type(error), error, error.__traceback__)
        status = error.status if isinstance(error, Refusal) else getattr(error, "status_code", 500)
        self.send_error(status, exc_info=(type(error), error, error.__traceback__))

    def finish(self, chunk: Any = None, **kwargs: Any) -> Any:
        """Finish; after a refusal while the body is still coming, answer and let the client go on for a while."""
        if not (self._refused and self._unread):
            return super().finish(chunk, **kwargs)
        if self._answered:
            return None
        self.set_header("Connection", "close")
        if self._asking:
            return super().finish(chunk, **kwargs)
        self._answered = True
        if chunk is not None:
            self.write(chunk)
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", sum(len(each) for each in self._write_buffer))
        self._hanging_up = asyncio.get_running_loop().call_later(LINGER, self._hang_up)
        return self.flush()
