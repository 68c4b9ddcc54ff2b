"""Events: what changes is told to all who may see it, once, in order, and nobody holds up anybody else."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from jupyter_server.auth.authorizer import Authorizer
from tornado.web import GZipContentEncoding

from dlc_jupyter.handlers import broadcast
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.jobs.changes import Changes
from dlc_jupyter.jobs.record import Request
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.storage.database import KEPT_CHANGES
from tests.handlers.connections import Connection, until

WORKER = "host-1:0"


@dataclass
class Event:
    """One that was received; `id` is None where it has none."""

    id: int | None
    name: str
    data: Any


class Stream:
    """Events as they come over a raw connection; `comments` counts the lines that are none."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.headers: dict[str, str] = {}
        self.comments = 0
        self._events = self._read()

    async def open(self, last: object = None, **headers: str) -> Stream:
        asked = headers | ({} if last is None else {"Last-Event-ID": str(last)})
        await self.connection.ask("GET", "events", asked)
        head = await asyncio.wait_for(self.connection.reader.readuntil(b"\r\n\r\n"), 20)
        status, *lines = head.decode().splitlines()
        assert status.split()[1] == "200", head
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self

    async def next(self, *names: str) -> Event:
        """Return the next event, of these names where any are given."""
        while True:
            event = await asyncio.wait_for(anext(self._events), 20)
            if not names or event.name in names:
                return event

    async def change(self) -> Event:
        return await self.next("analysis", "file", "reset")

    async def ends(self) -> bool:
        """Read to the end. Whether it is a clean one."""
        async for _event in self._events:
            pass
        return True

    async def _read(self) -> AsyncIterator[Event]:
        text = b""
        while True:
            size = int(await self.connection.reader.readuntil(b"\r\n"), 16)
            text += await self.connection.reader.readexactly(size)
            await self.connection.reader.readexactly(2)
            if not size:
                return
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
                if "event" in fields:
                    number = fields.get("id")
                    yield Event(number and int(number), fields["event"], json.loads(fields["data"]))
                else:
                    self.comments += 1


Listen = Callable[..., Awaitable[Stream]]


@pytest.fixture
def listen(connect: Any) -> Listen:
    async def listen(last: object = None, buffer: int | None = None, **headers: str) -> Stream:
        return await Stream(await connect(buffer)).open(last, **headers)

    return listen


@pytest.fixture
def ask(services: Services) -> Callable[..., str]:
    """Ask for an analysis, as somebody else does."""

    def ask(**parameters: Any) -> str:
        return services.records.create(Request("sleep", {"time": 1.0, **parameters}), time.time()).analysis_id

    return ask


# -- what is told ------------------------------------------------------------------------------------------------------


async def test_hello_comes_first_then_how_everything_is(listen: Listen, api: Any, jp_serverapp: Any) -> None:
    jp_serverapp.web_app.transforms.append(GZipContentEncoding)  # as with tornado's option compress_response
    assert (await api("status", headers={"Accept-Encoding": "gzip"})).headers["Vary"] == "Accept-Encoding"
    stream = await listen(**{"Accept-Encoding": "gzip"})
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store"
    assert stream.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in stream.headers
    hello = await stream.next()
    assert (hello.name, hello.data) == ("hello", {})
    status = await stream.next()
    assert (status.id, status.name) == (None, "status")
    assert status.data.keys() == json.loads((await api("status")).body).keys()


async def test_changes_are_told_as_the_lists_show_them(listen: Listen, api: Any, upload: Any) -> None:
    stream = await listen()
    hello = await stream.next()
    file_id = json.loads((await upload(b"a video")).body)["file_id"]
    file = await stream.change()
    assert [file.data] == json.loads((await api("file")).body)
    analysis_id = json.loads((await api("analysis", json={"analysis": "sleep", "time": 1})).body)["analysis_id"]
    analysis = await stream.change()
    assert analysis.data == json.loads((await api("analysis", analysis_id, "status")).body)
    await api("analysis", analysis_id, "cancel", method="POST", body="")
    cancelled = await stream.change()
    assert cancelled.data["state"] == "cancelled"
    await api("analysis", analysis_id, method="DELETE")
    forgotten = await stream.change()
    assert (forgotten.name, forgotten.data) == ("analysis", {"analysis_id": analysis_id, "deleted": True})
    await api("file", file_id, method="DELETE")
    deleted = await stream.change()
    assert (deleted.name, deleted.data) == ("file", {"file_id": file_id, "deleted": True})
    numbers = [each.id for each in (hello, file, analysis, cancelled, forgotten, deleted)]
    assert numbers == sorted(set(numbers))


async def test_progress_is_heard_within_half_a_second(listen: Listen, services: Services, ask: Any) -> None:
    analysis_id = ask()
    services.records.claim(WORKER, time.time(), 60)
    stream = await listen()
    await stream.next("hello")
    delays = []
    for done in range(5):
        await asyncio.sleep(0.05 * done)
        written = time.perf_counter()
        services.records.heartbeat(analysis_id, WORKER, time.time(), 60, {"done": done, "total": 5, "unit": "s"})
        heard = await stream.change()
        delays.append(time.perf_counter() - written)
        assert heard.data["progress"]["done"] == done
    assert statistics.median(delays) < 0.5


async def test_how_everything_is_is_told_when_it_changes_and_not_when_only_time_has_passed(
    listen: Listen, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "STATUS", 0.05)
    stream = await listen()
    assert not (await stream.next("status")).data["worker"]["alive"]
    roster = Roster(services.database)
    roster.show(WORKER, time.time(), {"state": "idle"})
    told = await stream.next("status")
    assert (told.data["worker"]["alive"], told.data["worker"]["state"]) == (True, "idle")
    roster.show(WORKER, time.time(), {"state": "idle"})
    await asyncio.sleep(1.5)
    roster.show(WORKER, time.time(), {"state": "busy"})
    assert (await stream.next("status")).data["worker"]["state"] == "busy"


async def test_who_may_not_see_a_list_hears_nothing_of_it(
    listen: Listen, jp_serverapp: Any, upload: Any, ask: Any
) -> None:
    class NoFiles(Authorizer):
        def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
            return (action, resource) != ("read", "dlc.file")

    one = await listen()
    jp_serverapp.web_app.settings["authorizer"] = NoFiles(parent=jp_serverapp)
    other = await listen()
    await upload(b"a video")
    ask()
    assert [(await one.change()).name, (await one.change()).name] == ["file", "analysis"]
    assert (await other.change()).name == "analysis"


# -- going on ----------------------------------------------------------------------------------------------------------


async def test_who_is_cut_off_at_random_goes_on_without_missing_or_repeating_anything(
    listen: Listen, services: Services, ask: Any
) -> None:
    chance = random.Random(7)
    whole = await listen()
    last = (await whole.next("hello")).id
    written = threading.Event()

    def live() -> None:
        for _ in range(80):
            analysis_id = ask()
            if chance.random() < 0.5:
                services.records.cancel(analysis_id, time.time())
                if chance.random() < 0.5:
                    services.records.delete(analysis_id)
            time.sleep(chance.random() * 0.02)
        written.set()

    writer = threading.Thread(target=live)
    writer.start()
    known: dict[str, Any] = {}
    numbers: list[int | None] = []
    cuts = 0
    while not written.is_set() or last != Changes(services.database).latest():
        stream = await listen(last)
        hello = await stream.next()
        assert (hello.name, hello.id) == ("hello", last)
        for _ in range(chance.randint(0, 6)):
            if written.is_set() and last == Changes(services.database).latest():
                break
            event = await stream.change()
            assert event.name == "analysis"
            last = event.id
            numbers.append(last)
            known[event.data["analysis_id"]] = event.data
        stream.connection.reset()
        cuts += 1
    writer.join()
    assert cuts > 10
    assert numbers == sorted(set(numbers))  # nothing twice
    there = {record.analysis_id: json.loads(json.dumps(record.as_json())) for record in services.records.page(1000)}
    assert {key for key, data in known.items() if data.get("deleted")}.isdisjoint(there)
    told = {key: data["state"] for key, data in known.items() if not data.get("deleted")}
    assert told == {key: data["state"] for key, data in there.items()}  # nothing missed


@pytest.mark.parametrize("last", [0, "some text", "9" * 18, "9" * 40, -5, "\u00b2"])
async def test_numbers_that_are_too_old_or_unknown_let_the_lists_be_loaded_anew(
    listen: Listen, ask: Any, last: object
) -> None:
    ask()
    stream = await listen(last)
    hello, reset = await stream.next(), await stream.next()
    assert (hello.name, hello.id) == ("hello", None)  # cut off here, it would be told again
    assert (reset.name, reset.data) == ("reset", {})
    again = await listen(reset.id)
    assert (await again.next()).id == reset.id
    analysis_id = ask()
    for each in (stream, again):
        assert (await each.change()).data["analysis_id"] == analysis_id


async def test_a_number_that_was_pruned_is_too_old(listen: Listen, services: Services, ask: Any) -> None:
    stream = await listen()
    hello = await stream.next()
    stream.connection.reset()
    with services.database.write() as connection:
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = seq + ?", (KEPT_CHANGES,))
    ask()
    assert (await (await listen(hello.id)).change()).name == "reset"


async def test_too_much_at_once_lets_the_lists_be_loaded_anew(
    listen: Listen, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "MOST", 5)
    first = await listen()
    last = (await first.next()).id
    asked = [ask() for _ in range(5)]
    assert [(await first.change()).data["analysis_id"] for _ in asked] == asked  # it has listened all the time
    second = await listen(last)
    assert [(await second.change()).data["analysis_id"] for _ in asked] == asked
    asked.append(ask())
    third = await listen(last)
    assert (await third.change()).name == "reset"


# -- many, and slow ones -----------------------------------------------------------------------------------------------


async def test_many_listeners_hear_the_same_with_one_thread_and_are_gone_when_they_leave(
    listen: Listen, services: Services, ask: Any
) -> None:
    first = await listen()
    await first.next()
    threads, pool = threading.active_count(), services.database.engine.pool
    held = pool.checkedout()  # type: ignore[attr-defined]
    streams = [first] + [await listen() for _ in range(60)]
    assert services.broadcast.listening == 61
    asked = [ask() for _ in range(3)]
    heard = [[(await stream.change()).data["analysis_id"] for _ in asked] for stream in streams]
    assert heard == [asked] * 61
    assert threading.active_count() <= threads + 1  # a thread of the server's pool
    assert pool.checkedout() <= held  # type: ignore[attr-defined]
    for stream in streams:
        stream.connection.reset()
    await until(lambda: services.broadcast.listening == 0)
    assert services.broadcast._task is None  # nobody looks any more
    last = await listen()
    await last.next()
    ask()
    assert (await last.change()).name == "analysis"


async def test_who_does_not_read_is_told_to_load_the_lists_anew_and_holds_up_nobody(
    listen: Listen, services: Services, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "MOST_WAITING", 20)
    monkeypatch.setattr(broadcast, "LOOK", 0.01)
    slow, quick = await listen(buffer=4096), await listen()
    await slow.next("hello")
    asked = []
    for _ in range(150):
        asked.append(ask(text="x" * 100_000))
        assert (await quick.change()).data["analysis_id"] == asked[-1]
    waiting = max(len(each._waiting) for each in services.broadcast._listeners)
    assert waiting <= 22
    heard = []
    while True:
        event = await slow.change()
        if event.name == "reset":
            break
        heard.append(event.data["analysis_id"])
    assert heard == asked[: len(heard)]
    assert len(heard) < len(asked)
    at_reset = Changes(services.database).since(event.id or 0, 1000) or []
    rest = [(await slow.change()).data["analysis_id"] for _ in at_reset]
    assert rest == [each.id for each in at_reset]  # and nothing is missed after it
    asked.append(ask())
    assert (await slow.change()).data["analysis_id"] == asked[-1]


async def test_changes_of_one_analysis_that_were_not_read_become_one(
    listen: Listen, services: Services, ask: Any
) -> None:
    listener = broadcast.Listener(["analysis"])
    for seq in range(1, 6):
        for name in ("a", "b"):
            listener.tell(("analysis", name), f"{name}{seq} ".encode(), seq)
    assert await listener.next() == b"a5 b5 "


# -- for a long time ---------------------------------------------------------------------------------------------------


async def test_a_comment_comes_again_and_again(listen: Listen, monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    monkeypatch.setattr(broadcast, "BEAT", 0.05)
    stream = await listen()
    await stream.next("status")
    await asyncio.sleep(0.5)
    ask()
    await stream.change()
    assert stream.comments >= 3


async def test_listening_is_no_activity(listen: Listen, jp_serverapp: Any, ask: Any) -> None:
    stream = await listen()
    ask()
    await stream.change()
    assert "api_last_activity" not in jp_serverapp.web_app.settings
    stream.connection.reset()
    await asyncio.sleep(0.1)
    assert "api_last_activity" not in jp_serverapp.web_app.settings


async def test_a_database_out_of_reach_for_a_time_costs_no_event(
    listen: Listen, ask: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broadcast, "TROUBLE", 0.01)
    stream = await listen()
    await stream.next("status")
    troubles = [sa.exc.OperationalError("", {}, Exception("database is locked"))] * 3
    since = Changes.since

    def troubled(*values: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return since(*values)

    monkeypatch.setattr(Changes, "since", troubled)
    analysis_id = ask()
    assert (await stream.change()).data["analysis_id"] == analysis_id
    assert troubles == []
    assert "Could not look for changes" in caplog.text


async def test_when_the_server_stops_streams_end(listen: Listen, services: Services, connect: Any) -> None:
    streams = [await listen() for _ in range(3)]
    for stream in streams:
        await stream.next("status")
    services.broadcast.close()
    assert [await stream.ends() for stream in streams] == [True] * 3
    late = await connect()
    await late.ask("GET", "events")
    refused = await late.answer()
    assert (refused.code, json.loads(refused.body)["reason"]) == (503, "stopping")
