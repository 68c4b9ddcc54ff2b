"""Killed with -9 at every point: nothing half is ever served, nobody has to wait, and every byte can be reclaimed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from dlc_jupyter.errors import NotFound
from dlc_jupyter.storage import files as files_module
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import PartFile, abandoned, remove_abandoned

VIDEO = bytes(range(256)) * 4096

#: Where a writer dies: what it is about to do for the n-th time.
WRITING = {
    "in the middle of the bytes": (PartFile, "write", 2),
    "before they are safe on the disk": (PartFile, "seal", 1),
    "before they have their place": (files_module, "_move", 1),
    "between their place and their row": (FileStore, "_write_row", 1),
    "in the middle of the transaction": (Database, "insert_if_new", 2),
}


@pytest.fixture
def killed(settings):
    """Do something to the store in another process, which dies just before it calls a function for the n-th time."""

    def killed(where, name, time, work) -> None:
        function = getattr(where, name)
        calls = []

        def deadly(*args, **kwargs):
            calls.append(name)
            if len(calls) == time:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        def run():
            setattr(where, name, deadly)
            work(FileStore(settings, Database(database_url(settings.root, ""))))

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    return killed


@pytest.fixture
def swept(store):
    """Do what clean-up does, and return how many bytes it found that nobody needs."""

    def swept() -> int:
        left = abandoned(store.incoming)
        size = sum(status.st_size for _path, status in left)
        assert all(remove_abandoned(path) for path, _status in left)
        nameless = store.nameless()
        size += sum(status.st_size for _file_id, status in nameless)
        assert all(store.reclaim(file_id) for file_id, _status in nameless)
        return size

    return swept


def upload(store) -> None:
    incoming = store.receive()
    for start in range(0, len(VIDEO), 1 << 18):
        incoming.append(VIDEO[start : start + (1 << 18)])
    incoming.finish("mouse.mp4")


@pytest.mark.parametrize("moment", WRITING)
def test_a_writer_that_was_killed_leaves_no_half_file_and_its_bytes_are_reclaimed(
    store, killed, swept, bytes_in, sha1, moment
):
    killed(*WRITING[moment], upload)
    assert store.page() == []
    for ask in (store.find, store.open, store.path):
        with pytest.raises(NotFound):
            ask(sha1(VIDEO))
    assert sum(bytes_in(store).values()) == swept() > 0
    assert bytes_in(store) == {}


@pytest.mark.parametrize("moment", WRITING)
def test_after_a_crash_the_same_file_can_be_sent_at_once(store, killed, put, moment):
    killed(*WRITING[moment], upload)
    file, descriptor = store.open(put(VIDEO).file_id)
    assert os.pread(descriptor, file.size + 1, 0) == VIDEO
    os.close(descriptor)
    assert store.nameless() == []


def test_a_crash_while_a_file_is_deleted_leaves_bytes_that_are_reclaimed(store, put, killed, swept, bytes_in):
    file = put(VIDEO)
    killed(Path, "unlink", 1, lambda store: store.delete(file.file_id))
    with pytest.raises(NotFound):
        store.open(file.file_id)
    assert swept() == len(VIDEO)
    assert bytes_in(store) == {}


def test_a_crash_while_a_file_is_registered_leaves_the_user_s_file_and_nothing_in_the_way(
    store, own_file, killed, swept, bytes_in
):
    path = own_file(VIDEO)
    killed(Path, "replace", 1, lambda store: store.register(path, "day1.mp4"))
    assert store.page() == []
    store.register(path, "day1.mp4")
    killed(Path, "replace", 1, lambda store: store.register(path, "day1.mp4"))
    swept()
    (file,) = store.page()
    assert len(bytes_in(store)) == 1
    store.delete(file.file_id)
    assert path.stat().st_nlink == 1
    assert path.read_bytes() == VIDEO


def test_names_survive_the_crash_of_whoever_sends_the_bytes_again(store, put, killed):
    put(VIDEO, "mouse.mp4")
    killed(Database, "insert_if_new", 2, upload)
    (file,) = store.page()
    assert file.names == ("mouse.mp4",)
    os.close(store.open(file.file_id)[1])
