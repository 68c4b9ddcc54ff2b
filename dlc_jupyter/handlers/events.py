"""What changes, told as it happens: a stream of events over one connection for a whole page."""

from __future__ import annotations

import contextlib
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from dlc_jupyter.handlers import analyses, files, system
from dlc_jupyter.handlers.base import DLCHandler, whole_number
from dlc_jupyter.handlers.broadcast import OF_STATUS, Listener
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.jobs.changes import ANALYSIS, FILE

#: What a caller must be allowed to read to hear of its changes.
LISTS = {ANALYSIS: analyses.RESOURCE, FILE: files.RESOURCE}

#: A number that was never given.
UNKNOWN = -1


class EventsHandler(DLCHandler):
    """``events``."""

    auth_resource = system.RESOURCE

    _listener: Listener | None = None
    _gone = False

    def on_connection_close(self) -> None:
        """Stop listening."""
        self._gone = True
        if self._listener:
            self._listener.end()
        super().on_connection_close()

    @operation(
        answers={
            200: Answer(
                "Events for as long as the connection lasts.",
                {"type": "string"},
                "text/event-stream",
                example='id: 1795618151623\nevent: file\ndata: {"file_id": "3f1c…", "deleted": true}\n\n',
            )
        },
        takes=[
            Parameter("Last-Event-ID", "Where to go on: the last `id` that was received.", place="header"),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Follow what changes: server-sent events.

        `hello` (`{}`) comes first: whoever then loads the lists misses nothing. `analysis` has the record as GET
        /analysis/{analysis_id}/status shows it, `file` the file as GET /file shows it; of what was deleted, its id and
        `"deleted": true`. Several changes at a time of the same thing are one event, with what it is now. `status` is
        GET /status, without an id; it comes when more than times and free bytes have changed. `reset` (`{}`): load all
        lists anew, since the id is too old or unknown, or too much was not read in time. A comment comes every 15 s.
        With the last `id` as `Last-Event-ID` one goes on without missing or repeating anything. The `position` of a
        waiting analysis moves when others leave the queue: no event tells that.
        """
        self._transforms = []  # never compressed: a compressor would hold back what is small
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold it back, too
        broadcast = self.services.broadcast
        self._listener = listener = Listener(await self._kinds())
        try:
            await broadcast.join(listener, self._last())
            with contextlib.suppress(StreamClosedError):
                while (piece := await listener.next()) is not None:
                    self.write(piece)
                    await self.flush()  # waits for a slow reader
        finally:
            broadcast.leave(listener)
        if not self._gone:
            web.RequestHandler.finish(self)

    def _last(self) -> int | None:
        text = self.request.headers.get("Last-Event-ID", "").strip()
        if not text:
            return None
        number = whole_number(text)
        return UNKNOWN if number is None else number

    async def _kinds(self) -> list[str]:
        """Return of what the caller may hear: of the lists that would be shown to it."""
        permitted: Any = self.authorizer.is_authorized
        kinds = [OF_STATUS]
        for kind, resource in LISTS.items():
            if await ensure_async(permitted(self, self.current_user, "read", resource)):
                kinds.append(kind)
        return kinds


event_handlers: list[tuple[str, type[DLCHandler]]] = [(r"events", EventsHandler)]
