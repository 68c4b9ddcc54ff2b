"""What is asked of the database could be asked of PostgreSQL: every statement of a whole life, in its words."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from dlc_jupyter.errors import Conflict
from dlc_jupyter.jobs.changes import Changes
from dlc_jupyter.jobs.cleanup import CleanUp, forget
from dlc_jupyter.jobs.listing import Listing
from dlc_jupyter.jobs.record import Request
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.catalogue import Catalogue
from dlc_jupyter.storage.content import Content
from dlc_jupyter.storage.database import Database, metadata
from dlc_jupyter.storage.files import FileStore

ERROR = {"type": "A", "message": "b.", "hint": ""}


POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def said(statement: Any) -> str:
    """A statement in PostgreSQL's words."""
    return str(statement.compile(dialect=POSTGRESQL))


@pytest.fixture
def asked(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every statement, and each text that reached the driver by another way."""
    asked: list[Any] = []
    ours = SimpleNamespace(engine=database.engine)
    theirs = SimpleNamespace(engine=SimpleNamespace(dialect=POSTGRESQL))
    twins: list[Any] = []

    def insert_if_new(*what: Any) -> Any:
        asked.append(Database.insert_if_new(theirs, *what))  # type: ignore[arg-type]
        twins.append(Database.insert_if_new(ours, *what))  # type: ignore[arg-type]
        return twins[-1]

    monkeypatch.setattr(database, "insert_if_new", insert_if_new)

    @sa.event.listens_for(database.engine, "before_execute")
    def statement(connection: Any, clause: Any, *_rest: Any) -> None:
        if connection.get_execution_options().get("read_only"):
            assert " FOR " not in said(clause), "PostgreSQL locks no row in a transaction that only reads"
        if not any(clause is twin for twin in twins):
            asked.append(clause)

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def text(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        if context.compiled is None:
            asked.append(statement)

    return asked


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the methods that were called, of all that talk to the database."""
    called: set[str] = set()

    def noticed(method: Any) -> Any:
        @wraps(method)
        def wrapped(*values: Any, **how: Any) -> Any:
            called.add(method.__qualname__)
            return method(*values, **how)

        return wrapped

    for method in methods():
        owner, name = {each.__name__: each for each in TALKING}[method.__qualname__.split(".")[0]], method.__name__
        monkeypatch.setattr(owner, name, noticed(method))
    return called


TALKING: list[type] = [Listing, Records, Changes, Roster, Catalogue, Content, FileStore]


def methods() -> Iterator[Any]:
    for owner in TALKING:
        yield from (each for each in vars(owner).values() if inspect.isfunction(each) and "with self." in source(each))


def source(method: Any) -> str:
    return inspect.getsource(method).replace("with self._database.", "with self.database.")


def live(settings: Settings, files: FileStore, records: Records, database: Database, tmp_path: Path) -> None:
    """Do with files and analyses what can be done with them."""
    began = Changes(database).latest()
    roster = Roster(database)
    roster.show("host-1:0", time.time(), {"state": "idle"})
    assert roster.latest() is not None

    def upload(content: bytes) -> str:
        incoming = files.receive(len(content))
        incoming.append(content)
        return incoming.finish("mouse.mp4").file_id

    def ask(**how: Any) -> str:
        return records.create(Request("video", {}, **how), time.time()).analysis_id

    def claim() -> str:
        record = records.claim("host-1:0", time.time(), 30)
        assert record is not None
        return record.analysis_id

    video = upload(b"video")
    assert upload(b"video") == video
    assert files.holds(video)
    own = tmp_path / "own.mp4"
    own.write_bytes(b"own")
    files.delete(files.register(own, own.name).file_id)
    files.page(1, after=video)
    files.path(video)

    for frames in (1, 2):
        files.note_media(video, {"frames": frames})

    first = ask(file_ids=[video], request_key="same", idempotency_key="one")
    assert ask(file_ids=[video], request_key="same", idempotency_key="one") == first
    records.replayed("one", lambda record: True)
    records.next_queued()
    with pytest.raises(Conflict):
        files.delete(video)
    assert claim() == first
    records.heartbeat(first, "host-1:0", time.time(), 30, {"done": 1, "total": 2, "unit": "frames"})
    records.asked_to_cancel(first, "host-1:0")
    (tmp_path / "poses.csv").write_bytes(b"poses")
    poses = files.add(tmp_path / "poses.csv", "poses.csv", origin=first).file_id
    assert records.active_with_model("mouse") == []
    assert records.succeed(first, "host-1:0", time.time(), {"csv_file": poses}, [poses], poses={"key": ""})
    assert records.succeeded("same") is not None
    again = ask(file_ids=[video], request_key="same")
    assert [record.analysis_id for record, _ in records.poses("key")] == [again, first]
    assert records.outputs(again) == [poses]
    assert records.looking_at(video)
    records.page(1, after=again)
    records.count()
    records.states([first, again])
    changes = Changes(database)
    assert changes.since(changes.latest(), 10) == []
    assert {change.kind for change in changes.since(began, 10) or []} == {"analysis", "file"}

    for end in ("release", "retry", "cancel", "fail", "recover"):
        if records.next_queued() is None:
            ask(file_ids=[video])
        this = claim()
        if end == "release":
            records.release(this, "host-1:0")
        elif end == "retry":
            records.retry(this, "host-1:0", time.time(), 2, ERROR)
        elif end == "cancel":
            records.cancel(this, time.time())
            records.cancelled(this, "host-1:0", time.time())
        elif end == "fail":
            records.fail(this, "host-1:0", time.time(), ERROR)
        else:
            records.recover(time.time() + 60, 1, ERROR, worker_prefix="host-1:")
            records.recover(time.time() + 60, 1, ERROR)
        files.discard_outputs(this)
    forget(files, records, first)
    settings.store_quota_bytes = 1
    clean_up = CleanUp(settings, files, records)
    (files.content / "00").mkdir()
    (files.content / "00" / ("0" * 38)).touch()
    a_year_later = time.time() + 365 * 86_400
    assert {removal.kind for removal in clean_up.plan(a_year_later)} >= {"analysis", "file", "remains"}
    assert {removal.kind for removal in clean_up.run(a_year_later)} >= {"analysis", "file", "remains"}
    assert files.page() == []
    roster.leave("host-1:", time.time())


def test_every_statement_can_be_said_to_postgresql(
    settings: Settings,
    files: FileStore,
    records: Records,
    database: Database,
    tmp_path: Path,
    asked: list[Any],
    called: set[str],
) -> None:
    settings.min_free_bytes = 0
    live(settings, files, records, database, tmp_path)
    assert {text for text in asked if isinstance(text, str)} == {"BEGIN", "BEGIN IMMEDIATE"}
    for statement in asked:
        if not isinstance(statement, str):
            assert said(statement)
    assert {method.__qualname__ for method in methods()} - called == set()  # the run has met them all


def test_the_tables_can_be_made_in_postgresql() -> None:
    asked: list[str] = []
    engine: Any = sa.create_mock_engine("postgresql://", lambda clause, *_: asked.append(said(clause)))
    metadata.create_all(engine, checkfirst=False)
    assert sum("CREATE TABLE" in each for each in asked) == len(metadata.tables)
    triggers = [each for each in asked if "CREATE CONSTRAINT TRIGGER" in each]
    assert len(triggers) == len({"analyses", "files", "file_names", "media"})
    assert all("DEFERRABLE INITIALLY DEFERRED" in each for each in triggers)  # noted in the order of the commits
    assert asked.index(triggers[0]) > max(asked.index(each) for each in asked if "CREATE TABLE" in each)
