"""The slow way to the server, for pages that cannot reach it (VS Code, Colab): requests as messages to the kernel.

A page sends ``{kind: "ask", id, path, method, json, headers}``, or ``{kind: "piece", id, path, method, headers}`` with
bytes as its only buffer: at most 4 MiB, since kernels drop messages above 10 MiB without a word. Both are answered with
``{kind: "answer", id, status, headers}`` and the body as the only buffer; how much of an upload has arrived says the
header ``upload-offset``.

The request is made in a thread, so that a slow server holds up nothing. The answer is sent from the loop that the
question came by: what a kernel notes of the message that it answers is bound to it, and its session is not made for
many threads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from dlc_jupyter.client.connection import Connection
from dlc_jupyter.errors import BadRequest, Refusal, TooLarge

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
#: What the relay says itself.
OWN_HEADERS = ("authorization", "cookie", "host", "content-length", "connection")
#: Most bytes of an answer that go through the kernel; what is larger is fetched in ranges, or by the client.
MOST = 32 << 20

_threads = ThreadPoolExecutor(4, thread_name_prefix="dlc_jupyter relay")


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Widget(Protocol):
    """What sends messages to the page."""

    def send(self, content: Mapping[str, Any], buffers: Sequence[bytes] | None = None) -> None:
        """Send one."""


class Relay:
    """Answers a panel's messages with what the server says.

    Parameters
    ----------
    server : Connection
        Whose token stays here.
    """

    def __init__(self, server: Connection) -> None:
        self.server = server

    def __call__(self, widget: Widget, content: Any, buffers: Sequence[Any]) -> None:
        """Hear a message; those of other kinds are somebody else's."""
        if not isinstance(content, Mapping) or content.get("kind") not in ("ask", "piece"):
            return
        number = content.get("id")
        body = bytes(buffers[0]) if content["kind"] == "piece" and buffers else _json(content.get("json"))

        def tell(answer: Answer) -> None:
            about = {"kind": "answer", "id": number, "status": answer.status, "headers": answer.headers}
            widget.send(about, [answer.body])

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel that this was written for: then it takes as long as it takes
            tell(self.answer(content, body))
            return

        def told(done: Future[Answer]) -> None:
            tell(done.result())

        loop.run_in_executor(_threads, self.answer, content, body).add_done_callback(told)  # type: ignore[arg-type]

    def answer(self, asked: Mapping[str, Any], body: bytes | None) -> Answer:
        """Pass a request on. Whatever goes wrong is an answer too: a sentence, as the server's own refusals are."""
        try:
            return self._passed_on(asked, body)
        except Refusal as refusal:
            return _refused(refusal.status, refusal.as_json())
        except ConnectionError as error:
            return _refused(503, {"message": str(error), "reason": "unreachable"})

    def _passed_on(self, asked: Mapping[str, Any], body: bytes | None) -> Answer:
        method, path = asked.get("method") or "GET", asked.get("path")
        if method not in METHODS or not isinstance(path, str) or not _below(path):
            raise BadRequest("Only calls of dlc_jupyter go through the kernel.", reason="not-passed-on")
        given = asked.get("headers") or {}
        headers = {str(name): str(value) for name, value in given.items() if name.lower() not in OWN_HEADERS}
        if asked["kind"] == "ask" and body is not None:
            headers["Content-Type"] = "application/json"
        if body is None and method in ("POST", "PATCH"):
            body = b""
        with self.server.open(method, path, body=body, headers=headers) as answer:
            if method != "HEAD" and int(answer.headers.get("Content-Length") or 0) > MOST:
                raise TooLarge(
                    "This is too large to go through the notebook's kernel. Fetch it in a cell: "
                    "Client().download(file_id, path).",
                    limit=MOST,
                )
            told = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, told, self.server.read(answer))


def _json(value: Any) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


def _below(path: str) -> bool:
    """Whether a path stays below ``…/dlc/``."""
    steps = path.partition("?")[0].replace("%2e", ".").replace("%2E", ".").split("/")
    return bool(steps[0]) and not {".", ".."} & set(steps) and path.isprintable() and " " not in path


def _refused(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())
