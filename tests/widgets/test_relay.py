"""Requests through the kernel: what a page asks is answered with what the server says, in a real kernel too."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_client
import pytest

from dlc_jupyter.client import Client
from dlc_jupyter.client.connection import Connection
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.widgets import relay
from dlc_jupyter.widgets.relay import Relay

PIECE = 4 << 20
TUS = {"Tus-Resumable": "1.0.0"}


class Page:
    """The other half of a widget: what it is sent is kept."""

    def __init__(self, server: Connection) -> None:
        self.relay = Relay(server)
        self.sent: list[tuple[dict[str, Any], bytes]] = []

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append((dict(content), bytes(buffers[0])))

    def ask(self, **message: Any) -> tuple[int, dict[str, str], Any]:
        """Ask, and return status, headers and the body: of JSON what it says."""
        buffers = message.pop("buffers", [])
        self.relay(self, {"kind": "ask", "id": len(self.sent), **message}, buffers)
        about, body = self.sent[-1]
        assert (about["kind"], about["id"]) == ("answer", len(self.sent) - 1)
        is_json = "json" in about["headers"].get("content-type", "") and body
        return about["status"], about["headers"], json.loads(body) if is_json else body


@pytest.fixture
def page(client: Client) -> Page:
    return Page(client.http)


def test_a_page_asks_what_the_client_could(page: Page, client: Client) -> None:
    status, _, body = page.ask(path="model")
    assert (status, body) == (200, client.models())
    status, _, made = page.ask(path="analysis", method="POST", json={"analysis": "sleep", "time": 0})
    assert status in (200, 201, 202)
    client.wait(made["analysis_id"], timeout=60)
    status, _, body = page.ask(path=f"analysis/{made['analysis_id']}/status", method="GET")
    assert body["state"] == "succeeded"
    assert page.ask(path=f"analysis/{made['analysis_id']}", method="DELETE", json=None)[0] == 204


def test_bytes_come_whole_and_ranges_are_passed_on(page: Page, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(os.urandom(100_000))
    file_id = client.upload(path)
    assert page.ask(path=f"file/{file_id}")[2] == path.read_bytes()
    status, headers, body = page.ask(path=f"file/{file_id}", headers={"Range": "bytes=10-19"})
    assert (status, body) == (206, path.read_bytes()[10:20])
    assert headers["content-range"] == "bytes 10-19/100000"
    status, headers, body = page.ask(path=f"file/{file_id}", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "100000", b"")


def test_refusals_are_passed_on_as_they_are(page: Page) -> None:
    status, _, body = page.ask(path="analysis", method="POST", json={"analysis": "sleep", "time": -1})
    assert (status, body["reason"]) == (400, "bad-parameters")
    assert body["errors"][0]["field"] == "time"
    assert page.ask(path="file/abcdef")[0] == 404


def test_a_server_that_is_gone_is_an_answer_too() -> None:
    status, _, body = Page(Connection("http://127.0.0.1:9/")).ask(path="status")
    assert (status, body["reason"]) == (503, "unreachable")
    assert "No server listens" in body["message"]


@pytest.mark.parametrize(
    "path",
    [
        "../api/kernels",
        "/api/kernels",
        "file/../../api",
        "file/%2e%2e/%2E./api",
        "http://x/",
        "",
        ".",
        "a b",
        "a\r\nX: y",
        7,
    ],
)
def test_nothing_but_the_api_is_reached(page: Page, path: Any) -> None:
    status, _, body = page.ask(path=path)
    assert (status, body["reason"]) in ((400, "not-passed-on"), (404, "no-such-route"))
    assert path not in ("", ".", 7) or status == 400


def test_other_methods_and_messages_are_not_passed_on(page: Page) -> None:
    assert page.ask(path="status", method="TRACE")[0] == 400
    for message in ({"kind": "custom"}, "hello", None, {}):
        page.relay(page, message, [])
    assert len(page.sent) == 1


def test_a_page_cannot_pass_for_somebody_else(server: OwnServer) -> None:
    page = Page(Client(server.url, "wrong").http)
    assert page.ask(path="status", headers={"Authorization": f"token {server.token}"})[0] == 403


def test_what_is_too_large_is_refused_with_a_way_out(
    page: Page, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MOST", 1000)
    path = tmp_path / "x.bin"
    path.write_bytes(os.urandom(1001))
    status, _, body = page.ask(path=f"file/{client.upload(path)}")
    assert status == 413
    assert "download(file_id, path)" in body["message"]


def upload(ask: Any, content: bytes, name: str) -> dict[str, str]:
    """Send a file in pieces as a page does, and return the headers of the last answer."""
    encoded = {"a.mp4": "YS5tcDQ=", "b.mp4": "Yi5tcDQ="}[name]
    headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {encoded}"}
    status, told, _ = ask(path="upload", method="POST", headers=headers)
    assert status == 201
    path = f"upload/{told['location'].rpartition('/')[2]}"
    offset = 0
    while offset < len(content):
        headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        piece = content[offset : offset + PIECE]
        status, told, _ = ask(kind="piece", path=path, method="PATCH", headers=headers, buffers=[memoryview(piece)])
        assert status == 204
        assert int(told["upload-offset"]) == offset + len(piece)
        offset = int(told["upload-offset"])
    return told


def test_a_file_goes_up_in_acknowledged_pieces(page: Page) -> None:
    content = os.urandom(2 * PIECE + 77)
    assert upload(page.ask, content, "a.mp4")["dlc-file-id"] == hashlib.sha1(content).hexdigest()


def test_a_slow_server_holds_up_nothing_and_the_loop_it_came_by_answers(client: Client) -> None:
    """The log of an analysis that runs is followed until it ends; meanwhile other things are answered."""
    analysis = client.run("sleep", time=1)
    page = Page(client.http)
    threads: set[int] = set()

    async def both() -> list[int]:
        send = page.send

        def sent(content: Any, buffers: Any = None) -> None:
            threads.add(id(asyncio.get_running_loop()))
            send(content, buffers)

        page.send = sent  # type: ignore[method-assign]
        page.relay(page, {"kind": "ask", "id": 1, "path": f"analysis/{analysis}/log?follow=1"}, [])
        page.relay(page, {"kind": "ask", "id": 2, "path": "status"}, [])
        while len(page.sent) < 2:
            await asyncio.sleep(0.01)
        assert threads == {id(asyncio.get_running_loop())}
        return [about["id"] for about, _ in page.sent]

    assert asyncio.run(both()) == [2, 1]


# -- a real kernel -----------------------------------------------------------------------------------------------------


class Frontend:
    """A page without a page: it speaks with a widget in a kernel as JupyterLab does."""

    def __init__(self, kernel: Any, comm_id: str) -> None:
        self.kernel, self.comm_id, self.number = kernel, comm_id, 0

    def ask(self, **message: Any) -> tuple[int, dict[str, str], Any]:
        self.number += 1
        buffers = message.pop("buffers", [])
        content = {"method": "custom", "content": {"kind": "ask", "id": self.number, **message}}
        session, channel = self.kernel.session, self.kernel.shell_channel
        asked = session.msg("comm_msg", {"comm_id": self.comm_id, "data": content})
        session.send(channel.socket, asked, buffers=buffers)
        while True:
            heard = self.kernel.get_iopub_msg(timeout=60)
            data = heard["content"].get("data", {})
            about = data.get("content", {}) if heard["msg_type"] == "comm_msg" else {}
            if about.get("kind") == "answer" and about["id"] == self.number:
                return about["status"], about["headers"], bytes(heard["buffers"][0])


@pytest.fixture
def frontend(server: OwnServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Frontend]:
    """A kernel that belongs to the server, with a panel in it."""
    assert server.process is not None
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel(
        cwd=str(tmp_path), env={**os.environ, "DLC_JUPYTER_URL": server.url, "DLC_JUPYTER_TOKEN": server.token}
    )
    kernel = manager.blocking_client()
    kernel.start_channels()
    try:
        kernel.wait_for_ready(timeout=60)
        kernel.execute("import dlc_jupyter; panel = dlc_jupyter.UploadPanel()")
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline
            heard = kernel.get_iopub_msg(timeout=60)
            assert heard["msg_type"] != "error", heard["content"]
            opened = heard["content"].get("data", {}).get("state", {}) if heard["msg_type"] == "comm_open" else {}
            if opened.get("_panel") == "upload":
                assert server.token not in json.dumps(opened)
                assert opened["_kernel_has_server"] is True
                yield Frontend(kernel, heard["content"]["comm_id"])
                return
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def test_in_a_real_kernel_a_page_asks_and_sends(frontend: Frontend, client: Client) -> None:
    status, _, body = frontend.ask(path="model")
    assert (status, json.loads(body)) == (200, client.models())
    content = os.urandom(2 * PIECE + 5)
    assert upload(frontend.ask, content, "b.mp4")["dlc-file-id"] == hashlib.sha1(content).hexdigest()
