"""The doorbell wakes, loses nothing that matters, and believes nobody."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import threading
import time

import pytest
from huey.registry import Message

from dlc_jupyter.jobs import queue
from dlc_jupyter.jobs.queue import Doorbell, MessageSerializer, make_huey, queue_folder, remake_huey
from dlc_jupyter.storage import disk

ID = "0123456789abcdef0123456789abcdef01234567"
TASK = "dlc_jupyter.jobs.queue.analyse"


class Boom:
    """Unpickled, it says so."""

    done = False

    def __reduce__(self):
        return (setattr, (Boom, "done", True))


# -- what is in a message ----------------------------------------------------------------------------------------------


def test_a_message_is_the_id_as_json_and_nothing_else():
    serializer = MessageSerializer(TASK)
    raw = serializer.serialize(Message("x", TASK, args=(ID,), kwargs={}))
    assert raw == b'{"analysis_id": "%s"}' % ID.encode()
    message = serializer.deserialize(memoryview(raw))
    assert (message.name, message.args, message.kwargs) == (TASK, (ID,), {})


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps(Message("x", TASK, args=(ID,), kwargs={})),
        pickle.dumps(Boom()),
        b"",
        b"{",
        b"null",
        b"[]",
        b'"%s"' % ID.encode(),
        b'{"analysis_id": 7}',
        b'{"analysis_id": "../../etc/passwd"}',
        b'{"analysis_id": "%s\\n"}' % ID.encode(),
        b'{"analysis_id": "%s", "name": "os.system"}' % ID.encode(),
        b'{"id": "x", "name": "os.system", "args": ["true"]}',
        b"\xff\xfe",
    ],
)
def test_a_hostile_message_is_refused_unread(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own errors are among them
        MessageSerializer(TASK).deserialize(raw)
    assert not Boom.done


@pytest.mark.parametrize(
    "data",
    [
        {"analysis_id": ID},
        Boom(),
        Message("x", "os.system", args=(ID,), kwargs={}),
        Message("x", TASK, args=("not an id",), kwargs={}),
        Message("x", TASK, args=(ID, ID), kwargs={}),
        Message("x", TASK, args=(ID,), kwargs={"shell": True}),
    ],
)
def test_nothing_else_can_be_sent(data):
    with pytest.raises(ValueError, match="analysis"):
        MessageSerializer(TASK).serialize(data)


# -- the bell ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def heard(settings):
    """A consumer of one's own: what it hears, and when."""
    heard: list[tuple[str, float]] = []
    huey = remake_huey(settings, lambda analysis_id: heard.append((analysis_id, time.monotonic())))
    huey.storage.listen()
    done = threading.Event()

    def consume() -> None:
        while not done.is_set():
            try:
                task = huey.dequeue()
            except ValueError:
                continue
            if task is not None:
                huey.execute(task)

    thread = threading.Thread(target=consume)
    thread.start()
    yield heard
    done.set()
    huey.storage.ring()
    thread.join()
    huey.storage.close()


@pytest.fixture
def no_poll(monkeypatch):
    """Nothing but the bell wakes a consumer."""
    monkeypatch.setattr(queue, "POLL", 60.0)


@pytest.mark.usefixtures("no_poll")
def test_a_ring_wakes_an_idle_consumer_at_once(settings, heard, wait_until):
    bell = Doorbell(settings)
    waits = []
    for number in range(1, 8):
        rung = time.monotonic()
        bell.ring(ID)
        wait_until(lambda number=number: len(heard) == number, every=0.001)
        waits.append(heard[-1][1] - rung)
    bell.close()
    assert {each for each, _ in heard} == {ID}
    assert sorted(waits)[3] < 0.05, waits


def test_messages_are_found_without_a_bell_too(settings, heard, wait_until, monkeypatch):
    monkeypatch.setattr(queue.DoorbellStorage, "ring", lambda self: None)
    bell = Doorbell(settings)
    bell.ring(ID)
    wait_until(lambda: heard, timeout=5)
    bell.close()


def test_many_rings_at_once_are_all_heard(settings, heard, wait_until):
    def ring() -> None:
        bell = Doorbell(settings)
        for _ in range(25):
            bell.ring(ID)
        bell.close()

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(heard) == 100)


def test_ringing_where_nobody_listens_is_no_error_and_not_forgotten(settings):
    bell = Doorbell(settings)
    bell.ring(ID)
    bell.close()
    huey = make_huey(settings)
    assert huey.pending_count() == 1
    huey.storage.close()


def test_ringing_never_raises(settings, caplog):
    settings.root.mkdir(parents=True)
    (settings.root / "queue.db").mkdir()
    bell = Doorbell(settings)
    bell.ring(ID)
    bell.close()
    assert "could not be woken" in caplog.text


def test_a_full_bell_rings_all_the_same(settings):
    huey = make_huey(settings)
    huey.storage.listen()
    for _ in range(70_000):  # a FIFO holds 64 KiB
        huey.storage.ring()
    huey.analyse(ID)
    assert huey.dequeue().args == (ID,)
    huey.storage.close()


def test_only_the_user_can_ring_or_listen(settings):
    huey = make_huey(settings)
    huey.storage.listen()
    status = (settings.root / "doorbell").stat()
    assert stat.S_ISFIFO(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert stat.S_IMODE(settings.root.stat().st_mode) == 0o700
    huey.storage.close()


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_worker_begins_with_an_empty_queue(settings):
    bell = Doorbell(settings)
    bell.ring(ID)
    huey = remake_huey(settings, lambda _: None)
    assert huey.pending_count() == 0
    huey.storage.close()
    bell.close()


def test_a_damaged_file_is_made_anew(settings):
    settings.root.mkdir(parents=True)
    (settings.root / "queue.db").write_bytes(os.urandom(20_000))
    huey = remake_huey(settings, lambda _: None)
    huey.analyse(ID)
    assert huey.pending_count() == 1
    huey.storage.close()


def test_a_file_that_is_only_locked_is_left_alone(settings, monkeypatch):
    monkeypatch.setattr(queue, "BUSY", 0.05)
    make_huey(settings).storage.close()
    with sqlite3.connect(settings.root / "queue.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            remake_huey(settings, lambda _: None)
        other.execute("rollback")
    assert (settings.root / "queue.db").exists()


def test_on_a_network_file_system_the_queue_lies_elsewhere(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(disk, "is_network", lambda path: True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = queue_folder(settings)
    assert folder.parent == tmp_path / "dlc-jupyter"
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert queue_folder(settings) == folder
    make_huey(settings).storage.close()
    assert (folder / "queue.db").exists()


def test_a_local_folder_that_is_a_link_is_not_trusted(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(disk, "is_network", lambda path: True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "dlc-jupyter").symlink_to(tmp_path / "somewhere")
    with pytest.raises(RuntimeError, match="not your own folder"):
        queue_folder(settings)
