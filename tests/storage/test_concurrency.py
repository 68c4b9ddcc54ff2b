"""Several threads and processes with one store: each finds it as if it were alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable

import pytest

from dlc_jupyter.errors import NotFound
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import abandoned, remove_abandoned

FORK = multiprocessing.get_context("fork")


def at_once(*works: Callable[[], object]) -> None:
    """Do all of it at the same time, in a thread each, and raise what one of them has raised."""
    start = threading.Barrier(len(works))
    errors = []

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


@pytest.fixture
def in_processes(settings):
    """Do something to the store in several processes at the same time."""

    def in_processes(*works: Callable[[FileStore], object]) -> None:
        start = FORK.Barrier(len(works))

        def run(work):
            database = Database(database_url(settings.root, ""))
            store = FileStore(settings, database)
            start.wait()
            work(store)
            database.close()

        processes = [FORK.Process(target=run, args=(work,)) for work in works]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * len(works)

    return in_processes


def add(store, content: bytes, filename: str = "mouse.mp4"):
    incoming = store.receive()
    incoming.append(content)
    return incoming.finish(filename)


@pytest.fixture
def consistent(store, bytes_in):
    """Afterwards every row has its bytes, and all bytes have their row."""
    yield
    for file in store.page():
        found, descriptor = store.open(file.file_id)
        assert os.fstat(descriptor).st_size == found.size
        os.close(descriptor)
    assert store.nameless() == []
    assert len(bytes_in(store)) == len(store.page())


def test_the_same_bytes_from_many_threads_are_stored_once_under_every_name(store, consistent):
    at_once(*(lambda name=f"{number}.mp4": add(store, b"a video", name) for number in range(8)))
    (file,) = store.page()
    assert sorted(file.names) == [f"{number}.mp4" for number in range(8)]


def test_different_bytes_from_many_threads_are_all_there(store, consistent):
    at_once(
        *(lambda start=start: [add(store, b"%d" % n) for n in range(start, start + 5)] for start in range(0, 40, 5))
    )
    assert len(store.page()) == 40


def test_the_same_bytes_from_several_processes_are_stored_once_under_every_name(store, in_processes, consistent):
    def adding(name):
        return lambda store: [add(store, b"%d" % number, name) for number in range(5)]

    in_processes(*(adding(f"{process}.mp4") for process in range(4)))
    assert [len(file.names) for file in store.page()] == [4] * 5


def test_a_file_that_is_sent_while_it_is_deleted_is_wholly_there_or_wholly_gone(store, in_processes, consistent):
    def adding(store):
        for _ in range(25):
            assert add(store, b"a video").file_id

    def deleting(store):
        for _ in range(50):
            with contextlib.suppress(NotFound):
                store.delete("76de79eb37427557387833ddef31fd3381a97a7e")

    def reading(store):
        for _ in range(100):
            with contextlib.suppress(NotFound):
                file, descriptor = store.open("76de79")
                assert os.read(descriptor, 100) == b"a video"
                os.close(descriptor)
                assert file.names == ("mouse.mp4",)

    in_processes(adding, deleting, adding, reading)


def test_sweeping_takes_nothing_from_those_who_write(store, in_processes, consistent):
    def writing(store):
        for number in range(20):
            add(store, b"%d of %d" % (number, os.getpid()))

    def sweeping(store):
        for _ in range(40):
            for path, _status in abandoned(store.incoming):
                remove_abandoned(path)
            for file_id, _status in store.nameless():
                store.reclaim(file_id)

    in_processes(writing, sweeping, writing)
    assert len(store.page()) == 40


def test_registering_and_sending_the_same_bytes_at_the_same_time(store, own_file, consistent):
    path = own_file(b"a video")
    at_once(
        *[lambda: store.register(path, "mine.mp4")] * 3,
        *[lambda: add(store, b"a video", "sent.mp4")] * 3,
    )
    (file,) = store.page()
    assert sorted(file.names) == ["mine.mp4", "sent.mp4"]
    path.write_bytes(b"changed")
    os.close(store.open(file.file_id)[1])  # who has sent the bytes can rely on them
