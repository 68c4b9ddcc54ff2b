"""Digests are those of the bytes that are there, and a file that has not changed is not read twice."""

import hashlib
import os
import threading

from dlc_jupyter.pose.digests import Digests, read_sha256, sha256


def test_the_digest_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "snapshot.pt"
    for content in (b"weights", b"other weights", b""):
        path.write_bytes(content)
        assert sha256(path) == read_sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path):
    read = []

    def counted(path):
        read.append(path)
        return read_sha256(path)

    digests, path = Digests(counted), tmp_path / "snapshot.pt"
    path.write_bytes(b"weights")
    first = digests.of(path)
    assert digests.of(path) == first
    assert len(read) == 1
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    assert digests.of(path) != first
    assert len(read) == 2


def test_who_asks_meanwhile_waits_and_reads_nothing(tmp_path):
    path, read, go_on = tmp_path / "snapshot.pt", [], threading.Event()
    path.write_bytes(b"weights")

    def slow(path):
        read.append(path)
        assert go_on.wait(30)
        return read_sha256(path)

    digests, found = Digests(slow), []
    threads = [threading.Thread(target=lambda: found.append(digests.of(path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert found == [hashlib.sha256(b"weights").hexdigest()] * 3
    assert len(read) == 1
