"""What has changed since: every change of what users see, once, in order, by whichever process it was made."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from dlc_jupyter.jobs.changes import Change, Changes
from dlc_jupyter.jobs.record import Request
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import KEPT_CHANGES, Database, changes, database_url, schema
from dlc_jupyter.storage.files import FileStore

WORKER = "host-1:0"
ERROR = {"type": "A", "message": "b.", "hint": ""}


@pytest.fixture
def log(database: Database) -> Changes:
    return Changes(database)


class Reader:
    """Goes on from what it saw last."""

    def __init__(self, log: Changes) -> None:
        self.log = log
        self.seq = log.latest()

    def read(self, limit: int = 100) -> list[Change]:
        found = self.log.since(self.seq, limit)
        assert found is not None
        assert [each.seq for each in found] == sorted({each.seq for each in found})
        if found:
            assert found[0].seq > self.seq
            self.seq = found[-1].seq
        return found

    def bodies(self) -> list[Any]:
        return [each.body for each in self.read()]


@pytest.fixture
def reader(log: Changes) -> Reader:
    return Reader(log)


def ask(records: Records, *file_ids: str, owner: str = "") -> str:
    return records.create(Request("sleep", {"time": 1.0}, file_ids, owner=owner), time.time()).analysis_id


def upload(files: FileStore, content: bytes, name: str = "mouse.mp4") -> str:
    incoming = files.receive(len(content))
    incoming.append(content)
    return incoming.finish(name).file_id


# -- what is told ------------------------------------------------------------------------------------------------------


def test_every_transition_of_an_analysis_is_told_with_the_record_as_it_is(records: Records, reader: Reader) -> None:
    def told() -> dict[str, Any]:
        (change,) = reader.read()
        assert (change.kind, change.id, change.owner) == ("analysis", analysis_id, "ada")
        assert change.body == records.find(analysis_id).as_json()
        return dict(change.body)

    analysis_id = ask(records, owner="ada")
    assert told()["state"] == "queued"
    records.claim(WORKER, time.time(), 30)
    assert told()["state"] == "running"
    records.heartbeat(analysis_id, WORKER, time.time(), 30, {"done": 1, "total": 2, "unit": "s"})
    assert told()["progress"]["done"] == 1
    records.release(analysis_id, WORKER)
    assert told()["state"] == "queued"
    records.claim(WORKER, time.time(), 30)
    assert told()["attempt"] == 1
    records.retry(analysis_id, WORKER, time.time(), 3, ERROR)
    assert told()["state"] == "queued"
    records.claim(WORKER, time.time(), 30)
    assert told()["attempt"] == 2
    records.fail(analysis_id, WORKER, time.time(), ERROR)
    assert told()["state"] == "failed"


def test_what_nobody_is_shown_is_no_change(records: Records, files: FileStore, reader: Reader) -> None:
    file_id = upload(files, b"video")
    analysis_id = ask(records, file_id)
    records.claim(WORKER, time.time(), 30)
    assert len(reader.read()) == 2
    records.heartbeat(analysis_id, WORKER, time.time(), 30)  # the lease alone
    records.cancel(analysis_id, time.time())  # the worker is asked to
    assert reader.read() == []
    ask(records, file_id)  # the file was used again, which no list shows
    assert [each.kind for each in reader.read()] == ["analysis"]


def test_a_file_is_told_when_it_comes_by_each_name_and_when_its_container_is_known(
    files: FileStore, reader: Reader
) -> None:
    file_id = upload(files, b"video")
    assert reader.bodies() == [files.find(file_id).as_json()]
    upload(files, b"video", "again.mp4")
    (body,) = reader.bodies()
    assert body["names"] == ["again.mp4", "mouse.mp4"]
    for frames in (1, 2):
        files.note_media(file_id, {"frames": frames})
        (body,) = reader.bodies()
        assert body["media"] == {"frames": frames}


def test_what_is_deleted_is_told_by_its_id(records: Records, files: FileStore, reader: Reader) -> None:
    file_id = upload(files, b"video")
    files.note_media(file_id, {"frames": 1})
    analysis_id = ask(records, file_id, owner="ada")
    records.cancel(analysis_id, time.time())
    reader.read()
    records.delete(analysis_id)
    files.delete(file_id)
    told = reader.read()
    assert [each.body for each in told] == [
        {"analysis_id": analysis_id, "deleted": True},
        {"file_id": file_id, "deleted": True},
    ]
    assert told[0].owner == "ada"


def test_several_changes_between_two_looks_are_one(records: Records, reader: Reader) -> None:
    first, second = ask(records), ask(records)
    for done in range(5):
        records.claim(WORKER, time.time(), 30)
        records.heartbeat(first, WORKER, time.time(), 30, {"done": done, "total": 5, "unit": "s"})
    told = reader.read()
    assert [each.id for each in told] == [second, first]  # in the order of their last changes
    assert told[1].body["progress"]["done"] == 4


def test_what_a_transaction_took_back_is_not_told(database: Database, records: Records, reader: Reader) -> None:
    analysis_id = ask(records)
    reader.read()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE analyses SET state = 'failed'")
        connection.rollback()
    assert reader.read() == []
    records.cancel(analysis_id, time.time())
    assert len(reader.read()) == 1


# -- going on ----------------------------------------------------------------------------------------------------------


def test_readers_cut_off_at_random_miss_nothing_and_are_told_nothing_twice(
    records: Records, files: FileStore, log: Changes
) -> None:
    chance, reader = random.Random(5), Reader(log)
    end, met = threading.Event(), list[tuple[str, str, int]]()
    known: dict[str, Any] = {}

    def live() -> None:
        for number in range(60):
            analysis_id = ask(records, upload(files, b"%d" % number))
            if chance.random() < 0.5:
                records.cancel(analysis_id, time.time())
            if chance.random() < 0.3 and records.find(analysis_id).state.value == "cancelled":
                records.delete(analysis_id)
        end.set()

    writer = threading.Thread(target=live)
    writer.start()
    while not end.is_set() or reader.seq < log.latest():
        whole = log.since(reader.seq, 1000) or []
        for change in whole[: chance.randint(0, len(whole))]:  # the connection breaks behind this one
            met.append((change.kind, change.id, change.seq))
            known[change.id] = change.body
            reader.seq = change.seq
    writer.join()
    assert len(met) == len(set(met))
    left = {record.analysis_id: record.as_json() for record in records.page(1000)}
    left |= {file.file_id: file.as_json() for file in files.page()}
    told = {key: body for key, body in known.items() if not body.get("deleted")}
    places = {"position": None}  # moves with the others, which is no change of its own
    assert {key: {**body, **places} for key, body in told.items()} == {
        key: {**body, **places} for key, body in left.items()
    }


def test_a_page_ends_where_the_next_one_begins(records: Records, reader: Reader) -> None:
    asked = [ask(records) for _ in range(7)]
    pages = [[each.id for each in reader.read(3)] for _ in range(4)]
    assert pages == [asked[:3], asked[3:6], asked[6:], []]


def test_numbers_too_old_or_never_given_are_unknown(database: Database, records: Records, log: Changes) -> None:
    began = log.latest()
    assert log.since(began + 1, 10) is None
    assert log.since(began - KEPT_CHANGES - 1, 10) is None
    assert log.since(began, 10) == []
    analysis_id = ask(records)
    with database.write() as connection:
        connection.execute(changes.update().values(seq=changes.c.seq + KEPT_CHANGES))
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = seq + ?", (KEPT_CHANGES,))
    assert log.since(began, 10) is None
    found = log.since(began + 1, 10)
    assert found is not None
    assert [each.id for each in found] == [analysis_id]


def test_the_log_stays_small(database: Database, records: Records, log: Changes) -> None:
    def rows() -> int:
        with database.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(changes)) or 0

    first = ask(records)
    for _ in range(20):
        records.claim(WORKER, time.time(), 30)
        records.release(first, WORKER)
    assert rows() == 2  # the beginning, and the last of each analysis
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = seq + ?", (KEPT_CHANGES,))
    ask(records)
    assert rows() == 1
    assert log.since(log.latest() - KEPT_CHANGES, 10) is not None


# -- databases ---------------------------------------------------------------------------------------------------------


def test_a_database_from_before_changes_were_noted_notes_them_from_now_on(settings: Settings) -> None:
    settings.root.mkdir(parents=True)
    url = database_url(settings.root, "")
    database = Database(url)
    records = Records(database)
    analysis_id = ask(records)
    with database.write() as connection:
        triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
        for name in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("DROP TABLE changes")
        assert connection.scalar(sa.select(schema.c.version)) == 1
    records.claim(WORKER, time.time(), 30)
    database.close()

    for _ in range(2):  # opened again, it is left as it is
        database = Database(url)
        reader, records = Reader(Changes(database)), Records(database)
        records.heartbeat(analysis_id, WORKER, time.time(), 30, {"done": time.time(), "total": None, "unit": "s"})
        assert [each.id for each in reader.read()] == [analysis_id]
        with database.read() as connection:
            found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            assert sorted(found.scalars()) == sorted(triggers)
        database.close()


def test_numbers_of_a_database_that_lay_here_before_are_too_old(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.root.mkdir(parents=True)
    url = database_url(settings.root, "")

    def live(database: Database) -> int:
        for _ in range(5):
            ask(Records(database))
        return Changes(database).latest()

    database = Database(url)
    before = live(database)
    database.close()
    (settings.root / "dlc.db").unlink()
    a_minute_later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: a_minute_later)
    database = Database(url)
    assert live(database) > before
    assert Changes(database).since(before, 10) is None
    database.close()


def test_looking_tells_what_any_process_has_committed_and_nothing_else(
    database: Database, records: Records, settings: Settings
) -> None:
    lookout = database.lookout()
    lookout.changed()
    assert not lookout.changed()
    ask(records)
    assert lookout.changed()
    assert not lookout.changed()
    code = (
        "import sys, time; from dlc_jupyter.storage.database import Database\n"
        "from dlc_jupyter.jobs.records import Records, Request\n"
        "Records(Database(sys.argv[1])).create(Request('sleep', {}), time.time())"
    )
    subprocess.run([sys.executable, "-c", code, database_url(settings.root, "")], check=True)
    assert lookout.changed()
    assert not lookout.changed()
    lookout.close()
