"""Clients of tus that others have written, directly and through JupyterHub's proxy."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient

from dlc_jupyter.handlers.base import Services
from tests.system.servers import wait_until

LAB = Path(__file__).parent.parent.parent / "labextension"
PROXY = LAB / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
SCRIPT = Path(__file__).parent / "tus_client.mjs"

MIB = 1 << 20
VIDEO = random.Random(5).randbytes(9 * MIB + 5)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "mäuse.mp4"
    path.write_bytes(VIDEO)
    return path


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if not found or not PROXY.exists():
        if os.environ.get("CI"):
            pytest.fail("Node or its packages are missing: make panels")
        pytest.skip("Node or its packages are missing: make panels")
    return found


@pytest.fixture(params=["directly", "through the proxy"])
def address(request: pytest.FixtureRequest, http_server: Any, jp_http_port: int) -> Iterator[str]:
    """Where files are sent to."""
    if request.param == "directly":
        yield f"http://127.0.0.1:{jp_http_port}/a%40b/dlc/upload"
        return
    port, for_hub = free_ports(2)
    proxy = subprocess.Popen(
        [
            *(request.getfixturevalue("node"), PROXY, "--ip=127.0.0.1", f"--port={port}", "--api-ip=127.0.0.1"),
            *(f"--api-port={for_hub}", f"--default-target=http://127.0.0.1:{jp_http_port}"),
        ],
        env=os.environ | {"CONFIGPROXY_AUTH_TOKEN": "proxy"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: proxy.poll() is not None or listens(port))
        assert proxy.poll() is None
        yield f"http://127.0.0.1:{port}/a%40b/dlc/upload"
    finally:
        proxy.kill()
        proxy.wait()


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def free_ports(number: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in opened]
    for each in opened:
        each.close()
    return ports


def stored(services: Services) -> list[str]:
    return [file.file_id for file in services.files.page()]


# -- tuspy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checked", [False, True], ids=["", "with checksums"])
async def test_tuspy_goes_on_where_it_stopped(
    address: str, video: Path, jp_auth_header: dict[str, str], services: Services, api: Any, checked: bool
) -> None:
    client = TusClient(address, headers=jp_auth_header)

    def send() -> tuple[int, int]:
        how = {"chunk_size": 2 * MIB, "metadata": {"filename": "mäuse.mp4"}, "upload_checksum": checked}
        first = client.uploader(str(video), **how)
        first.upload(stop_at=4 * MIB)
        second = client.uploader(str(video), url=first.url, chunk_size=2 * MIB, upload_checksum=checked)
        began = second.offset
        second.upload()
        return began, second.offset

    assert await asyncio.to_thread(send) == (4 * MIB, len(VIDEO))
    (file,) = json.loads((await api("file")).body)
    assert (file["file_id"], file["filename"]) == (hashlib.sha1(VIDEO).hexdigest(), "mäuse.mp4")
    assert (await api("file", file["file_id"])).body == VIDEO


# -- tus-js-client -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tus_js(node: str, address: str, video: Path, jp_auth_header: dict[str, str]) -> Any:
    """Send the video with tus-js-client, in one of the ways of ``tus_client.mjs``."""

    async def send(way: str, *more: str) -> dict[str, Any]:
        token = jp_auth_header["Authorization"].split()[-1]
        running = await asyncio.create_subprocess_exec(
            *(node, str(SCRIPT), str(LAB / "package.json"), address, token, str(video), way, *more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(running.communicate(), 120)
        assert running.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    return send


@pytest.mark.parametrize("way", ["stream", "chunks", "with the creation", "by POST", "broken off"])
async def test_tus_js_client_sends_a_file(tus_js: Any, services: Services, api: Any, way: str) -> None:
    sent = await tus_js(way)
    assert sent["fileId"] == hashlib.sha1(VIDEO).hexdigest()
    assert sent.get("sameUrl", True)
    (file,) = json.loads((await api("file")).body)
    assert (file["file_id"], file["filename"]) == (sent["fileId"], "mäuse.mp4")
    assert (await api("file", file["file_id"])).body == VIDEO


async def test_tus_js_client_is_told_that_a_file_is_there_already(tus_js: Any, upload: Any, services: Services) -> None:
    await upload(VIDEO, "day 1.mp4")
    file_id = hashlib.sha1(VIDEO).hexdigest()
    assert (await tus_js("known already", file_id))["fileId"] == file_id
    assert services.files.page()[0].names == ("mäuse.mp4", "day 1.mp4")


async def test_tus_js_client_gives_up(tus_js: Any, services: Services) -> None:
    await tus_js("given up")
    assert stored(services) == []
    assert list(services.files.unfinished.iterdir()) == []
