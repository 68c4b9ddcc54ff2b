"""kill -9 of the server in the middle of a resumable upload: every byte that it had written is still there."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from dlc_jupyter.handlers.streaming import PIECE
from dlc_jupyter.handlers.tus import BYTES
from tests.system.servers import Server, Site, wait_until

pytestmark = pytest.mark.system

CONTENT = random.Random(6).randbytes(24 << 20)
TUS = {"Tus-Resumable": "1.0.0"}


def ask(server: Server, verb: str, path: str, headers: dict[str, Any], body: bytes = b"") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    sent = {name: str(value) for name, value in (TUS | headers).items()}
    connection.request(verb, path, body, {"Authorization": f"token {server.token}"} | sent)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def came(server: Server, path: str) -> int:
    return int(ask(server, "HEAD", path, {}).headers["Upload-Offset"])


def send(server: Server, path: str, offset: int, content: bytes) -> socket.socket:
    """Send the first bytes of the rest of `CONTENT`; the connection stays open."""
    address = urlsplit(server.url)
    lines = [
        f"PATCH {path} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: token {server.token}",
        "Tus-Resumable: 1.0.0",
        f"Upload-Offset: {offset}",
        f"Content-Type: {BYTES}",
        f"Content-Length: {len(CONTENT) - offset}",
    ]
    connection = socket.create_connection((address.hostname, address.port))
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
    return connection


def test_kill_9_in_the_middle_of_a_resumable_upload_loses_nothing_that_was_written(site: Site) -> None:
    chance, server = random.Random(7), site.start()
    said = {"Upload-Length": len(CONTENT), "Upload-Metadata": f"filename {base64.b64encode(b'mouse.mp4').decode()}"}
    path = str(ask(server, "POST", "/upload", said).headers["Location"])
    at = 0
    for _ in range(2):
        sent = at + chance.randrange(2 * PIECE, 8 << 20)
        with send(server, path, at, CONTENT[at:sent]):
            wait_until(lambda server=server, at=at: came(server, path) > at)
            told = came(server, path)
            server.kill()
        (part,) = (site.settings.root / "uploads").iterdir()
        written = part.read_bytes()
        assert written == CONTENT[: len(written)]
        server = site.start()
        at = came(server, path)
        assert told <= at == len(written) <= sent
    answer = ask(server, "PATCH", path, {"Upload-Offset": at, "Content-Type": BYTES}, CONTENT[at:])
    assert answer.headers["Dlc-File-Id"] == hashlib.sha1(CONTENT).hexdigest()
    assert [file["filename"] for file in server.client.files()] == ["mouse.mp4"]
