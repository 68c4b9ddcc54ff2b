"""The power fails in the middle of an upload."""

from __future__ import annotations

import hashlib
import socket
from urllib.parse import urlsplit

import pytest

from dlc_jupyter.errors import NotFound
from dlc_jupyter.handlers.streaming import PIECE
from tests.system.servers import Server, Site, wait_until

pytestmark = pytest.mark.system

SIZE = 8 << 20
CONTENT = bytes(range(256)) * (SIZE // 256)
HALF = SIZE // 2


def send_half(server: Server) -> socket.socket:
    """Begin to upload `CONTENT`, and stop in the middle; the connection stays open."""
    head = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="mouse.mp4"\r\n'
        b"Content-Type: video/mp4\r\n\r\n"
    )
    tail = b"\r\n--edge--\r\n"
    address = urlsplit(server.url)
    lines = [
        "POST /file HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: token {server.token}",
        "Content-Type: multipart/form-data; boundary=edge",
        f"Content-Length: {len(head) + SIZE + len(tail)}",
    ]
    connection = socket.create_connection((address.hostname, address.port))
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + head + CONTENT[:HALF])
    return connection


def parts(site: Site) -> list[int]:
    """Return the sizes of the files that are on their way."""
    return [path.stat().st_size for path in (site.settings.root / "incoming").iterdir()]


def test_kill_9_in_the_middle_of_an_upload_leaves_no_half_file_and_no_bytes(site, tmp_path):
    server = site.start()
    with send_half(server):
        wait_until(lambda: sum(parts(site)) > HALF - 2 * PIECE)
        assert server.client.files() == []
        server.kill()
    left = parts(site)
    assert len(left) == 1

    server = site.start()
    assert server.client.files() == []
    for sent in (CONTENT, CONTENT[:HALF], CONTENT[: left[0]]):
        with pytest.raises(NotFound):
            server.client.download(hashlib.sha1(sent).hexdigest(), tmp_path / "got")
    wait_until(lambda: parts(site) == [])
    wait_until(lambda: server.client.server()["disk"]["used"] == 0, every=0.1)

    (tmp_path / "mouse.mp4").write_bytes(CONTENT)
    assert server.client.upload(tmp_path / "mouse.mp4") == hashlib.sha1(CONTENT).hexdigest()
