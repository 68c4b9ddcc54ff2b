"""Large files through cut connections: what has arrived is never sent again, and what is stored is the file."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dlc_jupyter.client import Client, resumable
from dlc_jupyter.client import client as client_module
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.errors import TooLarge
from tests.client.conftest import MIB, until

SIZE = 8 * MIB


class Wire:
    """A way to the server that can be cut, and counts the bytes that go to it.

    Attributes
    ----------
    cuts : list of int
        After how many bytes of its own each further connection that sends a body is cut; behind them none is.
    away : int
        How many further connections are closed before a byte comes.
    closed_to : str
        What requests begin with that are answered with 404.
    """

    def __init__(self, server: OwnServer) -> None:
        self.address = ("127.0.0.1", urlsplit(server.url).port)
        self.token = server.token
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.cuts: list[int] = []
        self.away, self.sent, self.closed_to = 0, 0, ""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.listener.getsockname()[1]}/", self.token, timeout=20)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._carry, args=(self.listener.accept()[0],), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near:
            head = near.recv(1 << 16)
            if self.away:
                self.away -= 1
                return
            if self.closed_to and head.split(b" ")[1].startswith(self.closed_to.encode()):
                near.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with socket.create_connection(self.address) as far:
                back = threading.Thread(target=self._back, args=(far, near), daemon=True)
                back.start()
                most = self.cuts.pop(0) if self.cuts and head.startswith(b"PATCH") else None
                carried, piece = 0, head
                with suppress(OSError):
                    while piece:
                        if most is not None:
                            piece = piece[: most - carried]
                        far.sendall(piece)
                        carried += len(piece)
                        self.sent += len(piece)
                        if carried == most:
                            break
                        piece = near.recv(1 << 16)
                with suppress(OSError):  # the near end has hung up, or this is the cut
                    far.shutdown(socket.SHUT_RDWR)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while piece := far.recv(1 << 16):
                near.sendall(piece)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr(client_module, "RESUMABLE", MIB)
    monkeypatch.setattr(resumable, "PAUSES", (0.2,) * 60)
    wire = Wire(server)
    yield wire
    wire.listener.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Make a file of its own, under a name that no other test has."""
    made = 0

    def make(name: str = "", size: int = SIZE) -> Path:
        nonlocal made
        made += 1
        path = tmp_path / str(made) / (name or f"{tmp_path.name}.mp4")
        path.parent.mkdir()
        path.write_bytes(random.Random(f"{tmp_path} {made}").randbytes(size))
        return path

    return make


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def names(client: Client) -> dict[str, str]:
    return {each["file_id"]: each["filename"] for each in client.files()}


def unfinished(client: Client, path: Path) -> dict[str, Any]:
    [found] = [each for each in client.http.json("GET", "upload") if each["filename"] == path.name]
    return dict(found)


def test_a_large_file_arrives_with_its_name_and_progress(wire: Wire, make: Callable[..., Path]) -> None:
    path, told = make("Maus größer.mp4"), []
    file_id = wire.client.upload(path, lambda *each: told.append(each))
    assert file_id == sha1(path)
    assert names(wire.client)[file_id] == "Maus größer.mp4"
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)
    assert "Maus größer.mp4" not in [each["filename"] for each in wire.client.http.json("GET", "upload")]


@pytest.mark.parametrize("seed", range(5))
def test_cut_at_random_places_it_arrives_and_little_is_sent_twice(
    wire: Wire, make: Callable[..., Path], seed: int
) -> None:
    chance = random.Random(seed)
    wire.cuts = [chance.randrange(1, SIZE // 4) for _ in range(4)]
    path = make()
    assert wire.client.upload(path) == sha1(path)
    assert wire.cuts == []
    assert wire.sent < 1.5 * SIZE  # what was under way when it was cut is lost


def test_a_server_that_is_away_is_waited_for(wire: Wire, make: Callable[..., Path]) -> None:
    path = make()
    wire.cuts = [SIZE // 2]

    def away(done: int, total: int) -> None:
        if done == SIZE // 2:
            wire.away = 4  # asked how much has come, and sent to, twice

    assert wire.client.upload(path, away) == sha1(path)
    assert wire.away == 0


def test_a_later_call_goes_on_where_an_interrupted_one_stopped(wire: Wire, make: Callable[..., Path]) -> None:
    path = make()

    def interrupt(done: int, total: int) -> None:
        if done >= SIZE // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wire.client.upload(path, interrupt)
    until(lambda: SIZE // 4 < unfinished(wire.client, path)["offset"] < SIZE)
    before = wire.sent
    assert wire.client.upload(path) == sha1(path)
    assert wire.sent - before < 0.8 * SIZE


def test_what_waits_under_the_same_name_may_be_of_another_file(wire: Wire, make: Callable[..., Path]) -> None:
    first, second = make(), make()

    def interrupt(done: int, total: int) -> None:
        if done >= SIZE // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wire.client.upload(first, interrupt)
    before = set(names(wire.client))
    assert wire.client.upload(second) == sha1(second)
    assert set(names(wire.client)) - before == {sha1(second)}  # and no mixture of the two


def test_a_file_that_is_stored_already_is_not_sent(wire: Wire, make: Callable[..., Path], tmp_path: Path) -> None:
    path = make()
    file_id = wire.client.upload(path)
    other, before = path.with_name("another name.mp4"), wire.sent
    path.rename(other)
    assert wire.client.upload(other) == file_id
    assert wire.sent - before < 4_000
    assert names(wire.client)[file_id] == "another name.mp4"


def test_of_two_files_of_the_same_size_each_is_stored(wire: Wire, make: Callable[..., Path]) -> None:
    first, second = make(), make()
    assert [wire.client.upload(each) for each in (first, second)] == [sha1(first), sha1(second)]


def test_an_upload_that_was_removed_meanwhile_begins_anew(wire: Wire, make: Callable[..., Path]) -> None:
    path = make()
    wire.cuts = [SIZE // 2]
    removed: list[str] = []

    def remove(done: int, total: int) -> None:
        if done >= SIZE // 4 and not removed:
            removed.append(unfinished(wire.client, path)["upload_id"])
            wire.cuts = [0]

    original = resumable._Upload._look

    def look(upload: resumable._Upload) -> None:
        if removed and upload.id == removed[0]:
            with wire.client.http.open("DELETE", f"upload/{upload.id}", body=b"", headers=resumable.VERSION):
                pass
        original(upload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumable._Upload, "_look", look)
        assert wire.client.upload(path, remove) == sha1(path)
    assert removed


def test_where_another_writer_went_on_it_is_not_trusted(wire: Wire, make: Callable[..., Path]) -> None:
    path, other = make(), make("other.mp4")
    wire.cuts = [SIZE // 4]
    original = resumable._Upload._look
    done: list[str] = []

    def look(upload: resumable._Upload) -> None:
        original(upload)
        if not done:
            done.append(upload.id)
            headers = {**resumable.VERSION, "Upload-Offset": str(upload.offset)}
            headers["Content-Type"] = "application/offset+octet-stream"
            body = other.read_bytes()[upload.offset : SIZE - 5]
            with wire.client.http.open("PATCH", f"upload/{upload.id}", body=body, headers=headers):
                pass
            original(upload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumable._Upload, "_look", look)
        assert wire.client.upload(path) == sha1(path)
    assert done


def test_what_the_server_refuses_is_raised_at_once(wire: Wire, make: Callable[..., Path]) -> None:
    path = make()
    with path.open("ab") as sparse:
        sparse.truncate(65 * MIB)
    with pytest.raises(TooLarge):
        wire.client.upload(path)
    assert wire.sent < 4_000


def test_a_connection_that_stays_broken_is_given_up_and_nothing_is_lost(
    wire: Wire, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "PAUSES", (0.0,) * 2)
    path = make()
    wire.cuts = [SIZE // 2, *[100] * 50]
    with pytest.raises(ConnectionError):
        wire.client.upload(path)
    until(lambda: unfinished(wire.client, path)["offset"] > SIZE // 4)
    wire.cuts = []
    assert wire.client.upload(path) == sha1(path)


def test_a_server_that_knows_no_resumable_uploads_gets_it_in_one_request(wire: Wire, make: Callable[..., Path]) -> None:
    wire.closed_to = "/dlc/upload"
    path = make()
    assert wire.client.upload(path) == sha1(path)


def test_an_empty_file_and_one_that_changes_are_refused(wire: Wire, make: Callable[..., Path]) -> None:
    path = make()
    wire.cuts = [SIZE // 2]

    def shorten(done: int, total: int) -> None:
        if done >= SIZE // 2:
            with path.open("r+b") as file:
                file.truncate(SIZE - 1)

    with pytest.raises(EOFError):
        wire.client.upload(path, shorten)
