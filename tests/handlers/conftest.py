"""The extension in a real Jupyter server, without a worker; every request goes over a real connection."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.httputil import url_concat

from dlc_jupyter.handlers.base import SERVICES, Services


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
def upload(api: Api) -> Callable[..., Awaitable[HTTPResponse]]:
    """Send bytes as the multipart field ``file``: ``await upload(b"…", "mouse.mp4")``."""

    async def send(content: bytes, filename: str = "mouse.mp4", content_type: str = "video/mp4") -> HTTPResponse:
        boundary = "----boundary-of-the-tests"
        disposition = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: {content_type}\r\n\r\n"
        return await api(
            "file",
            method="POST",
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            body=head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
        )

    return send
