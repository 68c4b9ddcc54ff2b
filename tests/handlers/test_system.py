"""``GET /status`` and ``GET /schema``."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from dlc_jupyter import __version__
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.jobs import status as status_module
from dlc_jupyter.jobs.records import Request
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.jobs.status import AGING
from tests.handlers.connections import until


async def test_status_says_how_the_whole_is(api: Any, services: Services) -> None:
    services.records.create(Request("sleep", {"time": 1.0}), time.time())
    answer = await api("status")
    assert answer.code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    status = json.loads(answer.body)
    assert status["queue"] == {"queued": 1, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert status["disk"]["free"] > 0
    assert status["disk"]["used"] == 0
    assert status["disk"]["quota"] is None
    assert status["versions"]["dlc_jupyter"] == __version__
    assert status["versions"]["python"]


async def test_status_says_what_to_do_where_no_worker_runs(api: Any) -> None:
    worker = json.loads((await api("status")).body)["worker"]
    assert worker["alive"] is False
    assert "dlc-jupyter worker" in worker["message"]


async def test_status_shows_worker_engine_and_devices(api: Any, services: Services) -> None:
    doing = {"state": "working", "analysis_id": "a" * 40, "engine": {"state": "ready"}, "devices": [{"index": 0}]}
    Roster(services.database).show("worker-1", time.time(), doing)
    status = json.loads((await api("status")).body)
    assert status["worker"]["alive"] is True
    assert status["worker"]["name"] == "worker-1"
    assert status["worker"]["analysis_id"] == "a" * 40
    assert status["worker"]["message"] is None
    assert status["engine"] == {"state": "ready"}
    assert status["devices"] == [{"index": 0}]


async def test_a_worker_not_heard_of_any_more_is_not_alive(api: Any, services: Services) -> None:
    long_ago = time.time() - services.settings.lease_seconds - 1
    Roster(services.database).show("worker-1", long_ago, {"engine": {"state": "ready"}})
    status = json.loads((await api("status")).body)
    assert status["worker"]["alive"] is False
    assert status["engine"] is None


async def test_status_is_not_looked_at_anew_for_everyone_who_asks(
    api: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(services.board, "look", lambda: looks.append(time.monotonic()) or {})
    for _ in range(5):
        await api("status")
    assert len(looks) <= 1 + (looks[-1] - looks[0]) // AGING


async def test_who_asks_again_and_again_never_waits_for_a_look_at_a_busy_disk(
    api: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api("status")
    looking, done = threading.Event(), threading.Event()

    def look() -> dict[str, Any]:
        looking.set()
        assert done.wait(60)
        return {"disk": "seen again"}

    monkeypatch.setattr(services.board, "look", look)
    monkeypatch.setattr(status_module, "FRESH", 60.0)
    services.board._seen_at = time.monotonic() - AGING
    assert json.loads((await api("status")).body)["disk"] != "seen again"
    assert await asyncio.to_thread(looking.wait, 60)
    done.set()
    await until(lambda: services.board._next is not None and services.board._next.done())
    assert json.loads((await api("status")).body)["disk"] == "seen again"


async def test_schema_describes_every_analysis(api: Any) -> None:
    schema = json.loads((await api("schema")).body)
    assert {"sleep", "video", "label"} <= set(schema)
    sleep = schema["sleep"]
    assert sleep["summary"].startswith("Wait")
    assert sleep["inputs"] == {"at_least": 0, "at_most": None}
    assert sleep["model_kind"] is None
    assert sleep["parameters"]["properties"]["time"]["maximum"] == 86_400
    assert sleep["parameters"]["required"] == ["time"]
    assert schema["video"]["model_kind"] == "2d"
