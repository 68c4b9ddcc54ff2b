"""Events of real servers: the worker is another process, and two servers on one data folder tell the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.system.servers import ALONE, EXTENSION, Server, Site, wait_until

pytestmark = pytest.mark.system


class Listener:
    """Follows the events of a server in a thread, and notes when each came: seconds since 1970."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.client.url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._connection.request("GET", f"{parts.path}events", headers={"Authorization": f"token {server.token}"})
        self.answer = self._connection.getresponse()
        assert self.answer.status == 200
        self.heard: list[tuple[str, dict[str, Any], float]] = []
        self.ended = threading.Event()
        threading.Thread(target=self._follow, args=[self.answer], daemon=True).start()
        wait_until(lambda: any(name == "hello" for name, _, _ in self.heard))

    def _follow(self, answer: HTTPResponse) -> None:
        name = ""
        while line := answer.readline().decode().rstrip("\n"):
            while line:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self.heard.append((name, json.loads(value), time.time()))
                line = answer.readline().decode().rstrip("\n")
        self.ended.set()

    def of(self, analysis_id: str) -> list[dict[str, Any]]:
        """What was heard of an analysis."""
        return [data for name, data, _ in self.heard if name == "analysis" and data["analysis_id"] == analysis_id]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("events"))
    yield site
    site.end()


def test_two_servers_tell_what_one_worker_does_and_their_streams_end_with_them(site, tmp_path):
    pair = [server.wait() for server in [site.begin(ALONE), site.begin(EXTENSION)]]
    listeners = [Listener(server) for server in pair]
    asked = [server.client.run("sleep", time=2.5) for server in pair]
    (tmp_path / "mouse.mp4").write_text("a mouse")
    file_id = pair[1].client.upload(tmp_path / "mouse.mp4")
    for listener in listeners:
        for analysis_id in map(str, asked):
            wait_until(lambda of=analysis_id, by=listener: by.of(of) and by.of(of)[-1]["state"] == "succeeded")
            told = listener.of(analysis_id)
            states = [each["state"] for each in told]
            assert states == sorted(states, key=["queued", "running", "succeeded"].index)
            done = [each["progress"]["done"] for each in told if each["progress"]]
            assert done == sorted(done)
            assert len(set(done)) >= 3  # a progress a second
        assert next(data["file_id"] for name, data, _ in listener.heard if name == "file") == file_id
    one, other = ([data for name, data, _ in each.heard if name == "file"] for each in listeners)
    assert {each["file_id"] for each in one} == {each["file_id"] for each in other}

    for server, listener in zip(pair, listeners, strict=True):
        server.stop()
        assert listener.ended.wait(5)
