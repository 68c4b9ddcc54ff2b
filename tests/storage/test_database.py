"""The database: made, opened again, refused when it is newer, and safe for any number of processes."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from dlc_jupyter.errors import NoSpace
from dlc_jupyter.storage import database as database_module
from dlc_jupyter.storage.database import (
    SCHEMA_VERSION,
    Database,
    analyses,
    database_url,
    file_names,
    files,
    poses,
    schema,
)

FILE = {"filename": "a", "content_type": "a/b", "size": 1, "created": 1.0, "used": 1.0, "origin": "upload"}


def count(database, table=files):
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def insert(database, file_id):
    with database.write() as connection:
        connection.execute(files.insert().values(file_id=file_id, **FILE))


@pytest.fixture
def url(root):
    return database_url(root, "")


def test_sqlite_in_the_data_folder_unless_another_is_configured(root):
    assert database_url(root, "") == f"sqlite:///{root}/dlc.db"
    assert database_url(root, "postgresql:///lab") == "postgresql:///lab"


def test_what_was_written_is_there_after_opening_it_again(url):
    database = Database(url)
    insert(database, "0" * 40)
    database.close()
    database = Database(url)
    assert count(database) == 1
    with database.read() as connection:
        assert connection.scalars(sa.select(schema.c.version)).all() == [SCHEMA_VERSION]
    database.close()


def test_a_database_from_before_there_were_poses_gets_their_table_and_keeps_all_else(url):
    database = Database(url)
    insert(database, "0" * 40)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE poses")
    database.close()
    database = Database(url)
    assert count(database) == 1
    assert count(database, poses) == 0
    database.close()


def test_poses_go_with_their_analysis(url):
    database = Database(url)
    analysis = {"analysis": "video", "parameters": {}, "state": "succeeded", "owner": "", "created": 1.0}
    with database.write() as connection:
        connection.execute(analyses.insert().values(analysis_id="a", **analysis))
        connection.execute(poses.insert().values(pose_key="k", analysis_id="a", prefix=""))
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.execute(poses.insert().values(pose_key="k", analysis_id="none", prefix=""))
    with database.write() as connection:
        connection.execute(analyses.delete())
    assert count(database, poses) == 0
    database.close()


@pytest.mark.parametrize(("shared_memory", "mode"), [(True, "wal"), (False, "delete")])
def test_on_a_network_file_system_no_memory_is_shared(url, shared_memory, mode):
    database = Database(url, shared_memory=shared_memory)
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(url, root):
    database = Database(url)
    with database.write() as connection:
        connection.execute(schema.update().values(version=SCHEMA_VERSION + 1))
        connection.exec_driver_sql("DROP TABLE workers")
    database.close()
    before = (root / "dlc.db").read_bytes()
    with pytest.raises(RuntimeError, match=r"written by a newer dlc_jupyter .*Upgrade"):
        Database(url)
    assert (root / "dlc.db").read_bytes() == before  # not even the missing table was made


def test_a_file_that_is_no_database_is_refused(url, root):
    (root / "dlc.db").write_text("no database, but long enough to be taken for one. " * 50)
    with pytest.raises(sa.exc.DatabaseError, match="not a database"):
        Database(url)


def test_servers_that_start_at_the_same_time_make_one_database(url):
    code = (
        "import sys; from dlc_jupyter.storage.database import Database\n"
        "print(flush=True); input(); Database(sys.argv[1]).close(); print('opened')"
    )
    servers = [
        subprocess.Popen([sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for server in servers:
        server.stdout.readline()
    for server in servers:
        server.stdin.write("\n")
        server.stdin.flush()
    assert [server.communicate()[0] for server in servers] == ["opened\n"] * 4
    database = Database(url)
    assert count(database, schema) == 1
    database.close()


@pytest.fixture
def another_server(root):
    """A server that has just begun to make the tables: at this moment SQLite refuses others without any waiting."""
    with contextlib.closing(sqlite3.connect(root / "dlc.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE workers (name)")
        yield connection


def test_a_server_waits_for_another_that_makes_the_tables(url, another_server, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _seconds: another_server.execute("ROLLBACK"))
    database = Database(url)
    assert count(database, schema) == 1
    database.close()


def test_a_server_does_not_wait_for_ever(url, another_server, monkeypatch):
    monkeypatch.setattr(database_module, "PATIENCE", 0.05)
    with pytest.raises(sa.exc.OperationalError, match="database is locked"):
        Database(url)


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_transaction_happens_wholly_or_not_at_all(database):
    row = files.insert().values(file_id="0" * 40, **FILE)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        [connection.execute(row) for _ in range(2)]
    assert count(database) == 0


def test_reading_sees_one_moment_and_waits_for_no_writer(database):
    insert(database, "0" * 40)
    with database.read() as reader:
        one = sa.select(sa.func.count()).select_from(files)
        assert reader.scalar(one) == 1
        insert(database, "1" * 40)
        assert reader.scalar(one) == 1
    assert count(database) == 2


def test_writers_wait_for_each_other_and_none_sees_what_another_is_about_to_change(database):
    insert(database, "0" * 40)

    def add_one():
        for _ in range(20):
            with database.write() as connection:
                size = connection.scalar(sa.select(files.c.size))
                connection.execute(files.update().values(size=size + 1))

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.scalar(sa.select(files.c.size)) == 81


def test_names_go_with_their_file(database):
    insert(database, "0" * 40)
    with database.write() as connection:
        connection.execute(file_names.insert().values(file_id="0" * 40, name="a", created=1.0))
    with database.write() as connection:
        connection.execute(files.delete())
    assert count(database, file_names) == 0


def test_a_name_without_a_file_is_refused(database):
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.execute(file_names.insert().values(file_id="0" * 40, name="a", created=1.0))


def test_a_database_that_may_not_grow_is_refused_as_a_full_disk(database):
    insert(database, "0" * 40)
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(NoSpace, match="Delete files"), database.write() as connection:
        connection.execute(files.insert().values(file_id="1" * 40, **FILE | {"filename": "x" * 100_000}))
    assert count(database) == 1


def test_a_full_disk_is_refused_in_words_and_what_is_there_can_still_be_read(small_disk):
    database = Database(database_url(small_disk, ""))
    insert(database, "0" * 40)
    filling = small_disk / "filling"
    with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(NoSpace, match="Delete files") as refused:
        insert(database, "1" * 40)
    assert refused.value.reason == "disk-full"
    assert count(database) == 1
    filling.unlink()
    insert(database, "1" * 40)
    assert count(database) == 2
    database.close()


# -- insert if new -----------------------------------------------------------------------------------------------------


def test_inserting_what_is_there_already_changes_nothing(database):
    first = {"file_id": "0" * 40, **FILE}
    with database.write() as connection:
        assert connection.execute(database.insert_if_new(files, first)).rowcount == 1
        assert connection.execute(database.insert_if_new(files, first | {"filename": "b"})).rowcount == 0
    with database.read() as connection:
        assert connection.scalars(sa.select(files.c.filename)).all() == ["a"]


def test_inserting_the_same_from_many_threads_inserts_it_once(database):
    inserted = []

    def insert():
        with database.write() as connection:
            values = {"file_id": "0" * 40, **FILE}
            inserted.append(connection.execute(database.insert_if_new(files, values)).rowcount)

    threads = [threading.Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inserted) == [0] * 7 + [1]


def test_json_comes_back_as_it_was_and_nothing_is_not_the_word_null(database):
    row = {"analysis": "video", "state": "queued", "owner": "", "created": 0.0}
    parameters = {"model": "Maus 🐭", "cropping": [0, 1.5], "device": None}
    with database.write() as connection:
        connection.execute(analyses.insert().values(analysis_id="a", parameters=parameters, result=None, **row))
    with database.read() as connection:
        (found,) = connection.execute(sa.select(analyses)).all()
        assert found.parameters == parameters
        assert connection.scalar(sa.select(sa.func.count()).where(analyses.c.result.is_(None))) == 1
