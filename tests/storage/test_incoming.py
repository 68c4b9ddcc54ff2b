"""Part files: locked while their writer lives, and free to be swept away when it is dead, however it died."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from dlc_jupyter.errors import NoSpace, TooLarge
from dlc_jupyter.storage import incoming
from dlc_jupyter.storage.disk import disk_full
from dlc_jupyter.storage.incoming import CHECK_EVERY, PartFile, abandoned, remove_abandoned


def all_is_well(size):
    pass


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def part(folder):
    part = PartFile(folder, all_is_well)
    yield part
    part.discard()


@pytest.fixture
def dead_writer(folder):
    """Leave a part file of 3 MiB, whose writer was killed in the middle of it."""

    def dead_writer():
        code = (
            "import sys; from pathlib import Path; from dlc_jupyter.storage.incoming import PartFile\n"
            "part = PartFile(Path(sys.argv[1]), lambda size: None)\n"
            "part.append(bytes(3 << 20)); print(part.path, flush=True); input()"
        )
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        path = folder / writer.stdout.readline().strip()
        assert abandoned(folder) == []  # it lives
        assert not remove_abandoned(path)
        assert path.exists()
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        return path

    return dead_writer


def test_what_was_appended_is_there_with_its_size_and_sha1(part, sha1):
    for piece in (b"mouse", bytearray(b" in an "), memoryview(b"open arena")[:10]):
        part.append(piece)
    assert part.path.read_bytes() == b"mouse in an open arena"
    assert part.size == 22
    assert part.seal() == sha1(b"mouse in an open arena")


def test_nobody_else_may_read_it(part):
    assert part.path.stat().st_mode & 0o777 == 0o600


def test_hashing_and_writing_may_take_two_threads(part, sha1):
    pieces = [bytes([number]) * (1 << 18) for number in range(16)]
    threads = [
        threading.Thread(target=lambda: [part.hash(piece) for piece in pieces]),
        threading.Thread(target=lambda: [part.write(piece) for piece in pieces]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert part.seal() == sha1(b"".join(pieces))
    assert part.path.read_bytes() == b"".join(pieces)


def test_bytes_that_came_another_way_are_hashed_afterwards(part, sha1):
    content = os.urandom((1 << 20) + 7)
    os.pwrite(part.descriptor, content, 0)
    part.rehash()
    assert (part.size, part.seal()) == (len(content), sha1(content))


def test_discarding_leaves_nothing_and_may_be_repeated(folder, part):
    part.append(b"bytes")
    part.discard()
    part.discard()
    assert list(folder.iterdir()) == []


def test_a_file_that_has_its_place_is_not_discarded(folder, part):
    part.append(b"bytes")
    part.path.rename(folder / "place")
    part.close()
    part.discard()
    assert (folder / "place").read_bytes() == b"bytes"


# -- refused in the middle ---------------------------------------------------------------------------------------------


def test_the_room_is_looked_at_now_and_then_and_at_the_end(folder):
    looks = []
    part = PartFile(folder, looks.append)
    piece = bytes(CHECK_EVERY // 4)
    for _ in range(9):
        part.write(piece)
    assert looks == [CHECK_EVERY, 2 * CHECK_EVERY]
    part.seal()
    assert looks[-1] == part.size
    part.discard()


def test_what_refuses_stops_the_writing_before_the_bytes_are_on_the_disk(folder):
    def refuse(size):
        raise TooLarge("too large")

    part = PartFile(folder, refuse)
    part.append(b"a little is not looked at")
    with pytest.raises(TooLarge):
        part.write(bytes(CHECK_EVERY))
    assert part.path.stat().st_size < CHECK_EVERY
    with pytest.raises(TooLarge):
        part.seal()
    part.discard()


def test_a_file_system_that_takes_no_more_is_a_full_disk(part):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(NoSpace, match="Delete files") as refused:
            part.append(bytes(2 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.reason == "disk-full"
    assert part.path.stat().st_size == 1 << 20


def test_a_full_disk_is_a_full_disk(small_disk):
    part = PartFile(small_disk, all_is_well)
    with pytest.raises(NoSpace):
        part.append(bytes(5 << 20))
    part.discard()
    assert list(small_disk.iterdir()) == []
    part = PartFile(small_disk, all_is_well)  # there is room again
    part.append(bytes(3 << 20))
    part.discard()


def test_a_full_disk_that_is_found_only_at_the_end_counts_too(part, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    part.append(b"bytes")
    monkeypatch.setattr(incoming.os, "fsync", full)
    with pytest.raises(NoSpace) as refused:
        part.seal()
    assert refused.value.message == disk_full().message


# -- left behind -------------------------------------------------------------------------------------------------------


def test_a_writer_that_was_killed_leaves_what_can_be_swept_away(folder, dead_writer):
    path = dead_writer()
    ((found, status),) = abandoned(folder)
    assert found == path
    assert status.st_size == 3 << 20
    assert remove_abandoned(path)
    assert list(folder.iterdir()) == []
    assert not remove_abandoned(path)
    assert abandoned(folder) == []


def test_what_is_being_written_is_never_swept_away(folder, part):
    part.append(b"bytes")
    assert abandoned(folder) == []
    assert not remove_abandoned(part.path)
    part.append(b" and more")
    assert part.path.read_bytes() == b"bytes and more"


def test_looking_for_abandoned_files_lets_go_of_them(folder, dead_writer):
    path = dead_writer()
    assert len(abandoned(folder)) == len(abandoned(folder)) == 1
    assert remove_abandoned(path)


def test_a_sweep_between_creating_and_locking_a_part_file_costs_nothing(folder, monkeypatch):
    lock = incoming.fcntl.flock
    swept = []

    def sweep_first(descriptor, operation):
        if not swept:
            swept.append(True)
            monkeypatch.setattr(incoming.fcntl, "flock", lock)
            (path,) = folder.iterdir()
            assert remove_abandoned(path)
        lock(descriptor, operation)

    monkeypatch.setattr(incoming.fcntl, "flock", sweep_first)
    part = PartFile(folder, all_is_well)
    part.append(b"bytes")
    assert swept
    assert part.path.read_bytes() == b"bytes"
    part.discard()
