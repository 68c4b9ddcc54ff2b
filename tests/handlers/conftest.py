"""The extension in a real Jupyter server, without a worker; every request goes over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.httputil import url_concat

from dlc_jupyter.handlers.base import SERVICES, Services
from tests.handlers.connections import FORM, Connection, multipart, until


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "dlc"


@pytest.fixture
def dlc_options(request: pytest.FixtureRequest, data_dir: Path) -> dict[str, Any]:
    """Options of the extension. Change some with ``@pytest.mark.parametrize("dlc_options", [{…}], indirect=True)``."""
    return {"data_dir": str(data_dir), "start_worker": False, "min_free_bytes": 0} | getattr(request, "param", {})


@pytest.fixture
def jp_server_config(dlc_options: dict[str, Any]) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"dlc_jupyter": True},
            "reraise_server_extension_failures": True,
            "allow_unauthenticated_access": False,
        },
        "DLCApp": dlc_options,
    }


@pytest.fixture
def services(jp_serverapp: Any) -> Services:
    """What the handlers of the running server work with."""
    found: Services = jp_serverapp.web_app.settings[SERVICES]
    return found


Api = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def api(jp_fetch: Any) -> Api:
    """Ask the extension: ``await api("file", id, method="DELETE")``. A refusal is an answer, not an exception.

    ``json=`` sends a JSON body and ``form=`` the parameters as curl's ``-d`` does; values may be lists.
    """

    async def ask(*parts: str, json: Any = None, form: dict[str, Any] | None = None, **options: Any) -> HTTPResponse:
        headers = dict(options.pop("headers", {}))
        if json is not None:
            options["body"] = dumps(json)
            headers.setdefault("Content-Type", "application/json")
        if form is not None:
            pairs = [(name, str(each)) for name, value in form.items() for each in as_list(value)]
            options["body"] = url_concat("", pairs).removeprefix("?")
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if options.get("body") is not None:
            options.setdefault("method", "POST")
        answer: HTTPResponse = await jp_fetch("dlc", *parts, headers=headers, raise_error=False, **options)
        return answer

    return ask


def dumps(value: Any) -> str:
    return json.dumps(value)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture
def send(api: Api) -> Callable[..., Awaitable[HTTPResponse]]:
    """Send parts as one form: ``await send(('name="file"; filename="mouse.mp4"', b"…"))``."""

    async def send(*parts: tuple[str, bytes], **options: Any) -> HTTPResponse:
        return await api("file", method="POST", headers=FORM, body=multipart(*parts), **options)

    return send


@pytest.fixture
def upload(send: Any) -> Callable[..., Awaitable[HTTPResponse]]:
    """Send bytes as the multipart field ``file``: ``await upload(b"…", "mouse.mp4")``."""

    async def upload(content: bytes, filename: str = "mouse.mp4", content_type: str = "video/mp4") -> HTTPResponse:
        answer: HTTPResponse = await send(
            (f'name="file"; filename="{filename}"\r\nContent-Type: {content_type}', content)
        )
        return answer

    return upload


@pytest.fixture
def connect(http_server: Any, jp_http_port: int, jp_auth_header: Any) -> Callable[..., Awaitable[Connection]]:
    """Open a raw connection to the server; one with a small `buffer` lets little be under way."""

    async def connect(buffer: int | None = None) -> Connection:
        opened = socket.socket()
        opened.setblocking(False)
        if buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", jp_http_port))
        reader, writer = await asyncio.open_connection(sock=opened)
        return Connection(reader, writer, jp_auth_header["Authorization"])

    return connect


@pytest.fixture
def disk() -> Iterator[threading.Event]:
    """What a slow disk waits for, until the test is over at the latest."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def bytes_in_store(services: Services) -> Callable[[], dict[str, int]]:
    """Return every file that takes room in the store: its path in the data folder, and its size."""

    def bytes_in_store() -> dict[str, int]:
        store = services.files
        found = {}
        for path in [*store.content.glob("*/*"), *store.incoming.iterdir()]:
            with contextlib.suppress(FileNotFoundError):  # just removed
                found[str(path.relative_to(store.root))] = path.stat().st_size
        return found

    return bytes_in_store


@pytest.fixture
def store_is_empty(services: Services, bytes_in_store: Any) -> Callable[[], Awaitable[None]]:
    """Assert that the store holds nothing at all; part files may take a moment to go."""

    async def store_is_empty() -> None:
        assert services.files.page() == []
        await until(lambda: not bytes_in_store())

    return store_is_empty
