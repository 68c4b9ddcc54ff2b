"""Uploads byte by byte: cut off, slow, refused in the middle, waiting for permission, one after another."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from typing import Any

import pytest

from dlc_jupyter.handlers import streaming
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.handlers.files import FilesHandler
from dlc_jupyter.handlers.streaming import PIECE, Pipeline
from dlc_jupyter.storage.incoming import PartFile
from tests.handlers.connections import FORM, multipart, until

MIB = 1 << 20


def form(content: bytes, parameter: str = 'filename="mouse.mp4"') -> bytes:
    return multipart((f'name="file"; {parameter}', content))


def announced(body: bytes, **more: Any) -> dict[str, Any]:
    """Headers of a request with this body."""
    return FORM | {"Content-Length": len(body)} | more


async def stored(connection: Any, content: bytes) -> None:
    answer = await connection.answer()
    assert answer.code == 200, answer.body
    assert json.loads(answer.body)["file_id"] == hashlib.sha1(content).hexdigest()


@pytest.fixture
def in_use(bytes_in_store: Any) -> Any:
    """Return how many bytes of unfinished uploads there are."""
    return lambda: sum(size for path, size in bytes_in_store().items() if path.startswith("incoming"))


# -- cut off -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["closed", "reset"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
async def test_an_upload_cut_off_in_the_middle_leaves_nothing(
    connect: Any, store_is_empty: Any, bytes_in_store: Any, in_use: Any, share: float, way: str
) -> None:
    body = form(bytes(3 * MIB))
    connection = await connect()
    await connection.ask("POST", "file", announced(body), body[: int(len(body) * share)])
    await until(lambda: bytes_in_store() and in_use() >= int(3 * MIB * share) - MIB)
    if way == "closed":
        connection.writer.close()
    else:
        connection.reset()
    await store_is_empty()


async def test_a_chunked_upload_cut_off_in_the_middle_leaves_nothing(
    connect: Any, store_is_empty: Any, in_use: Any
) -> None:
    connection = await connect()
    body = form(bytes(2 * MIB))[:-MIB]
    await connection.ask("POST", "file", FORM | {"Transfer-Encoding": "chunked"}, b"%x\r\n" % len(body) + body)
    await until(in_use)
    connection.writer.close()
    await store_is_empty()


async def test_a_client_that_leaves_without_waiting_for_the_answer_is_no_error(
    connect: Any,
    store_is_empty: Any,
    disk: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write = PartFile.write
    ended, execute = asyncio.Event(), FilesHandler._execute

    def write_slowly(self: PartFile, piece: bytes) -> None:
        assert disk.wait(60)
        write(self, piece)

    async def noticed(self: FilesHandler, *args: Any) -> None:
        await execute(self, *args)
        ended.set()

    monkeypatch.setattr(PartFile, "write", write_slowly)
    monkeypatch.setattr(FilesHandler, "_execute", noticed)
    connection, body = await connect(), form(b"a video")
    received = wait_for_call(monkeypatch, FilesHandler, "received")
    await connection.ask("POST", "file", announced(body), body)
    await received
    gone = wait_for_call(monkeypatch, Pipeline, "close")
    connection.reset()
    await asyncio.wait_for(gone, 20)
    disk.set()
    await asyncio.wait_for(ended.wait(), 20)
    await store_is_empty()
    assert "Traceback" not in caplog.text


def wait_for_call(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> asyncio.Future[None]:
    """Return a future that is done when a method has been called."""
    called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    method = getattr(where, name)

    def noticed(*args: Any) -> Any:
        if not called.done():
            called.set_result(None)
        return method(*args)

    monkeypatch.setattr(where, name, noticed)
    return called


async def test_a_client_that_falls_silent_is_taken_for_gone(
    connect: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE", 0.2)
    body = form(bytes(2 * MIB))
    for beginning in (b"", body[:MIB]):
        connection = await connect()
        await connection.ask("POST", "file", announced(body), beginning)
        assert await connection.is_closed()
        await store_is_empty()


# -- slow, chunked, one after another ----------------------------------------------------------------------------------


async def test_a_slow_client_is_waited_for(connect: Any) -> None:
    body = form(b"a video of a mouse")
    connection = await connect()
    await connection.ask("POST", "file", announced(body))
    for place in range(len(body)):
        await connection.send(body[place : place + 1])
        await asyncio.sleep(0)
    await stored(connection, b"a video of a mouse")


async def test_an_upload_of_unknown_length(connect: Any) -> None:
    content = bytes(range(256)) * 10_000
    body = form(content)
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Transfer-Encoding": "chunked"})
    for start in range(0, len(body), 100_003):
        piece = body[start : start + 100_003]
        await connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
    await connection.send(b"0\r\n\r\n")
    await stored(connection, content)


async def test_jupyter_s_own_limit_of_a_body_does_not_count(http_server: Any, connect: Any) -> None:
    http_server.conn_params.max_body_size = MIB
    for content, headers in ((bytes(3 * MIB), {}), (b"x" * 2 * MIB, {"Expect": "100-continue"})):
        body, connection = form(content), await connect()
        await connection.ask("POST", "file", announced(body, **headers))
        if headers:
            assert (await connection.answer()).code == 100
        await connection.send(body)
        await stored(connection, content)


async def test_one_connection_takes_one_upload_after_another(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    prepare = FilesHandler.prepare

    async def noticed(self: FilesHandler) -> None:
        sizes.append(self.request.connection.stream.read_chunk_size)
        await prepare(self)

    monkeypatch.setattr(FilesHandler, "prepare", noticed)
    connection = await connect()
    for content in (b"first", bytes(2 * MIB), b"third"):
        body = form(content)
        await connection.ask("POST", "file", announced(body), body)
        await stored(connection, content)
    await connection.ask("POST", "file", announced(b""))
    refused = await connection.answer()
    assert (refused.code, json.loads(refused.body)["reason"]) == (400, "broken-multipart")
    await connection.ask("GET", "file")
    assert len(json.loads((await connection.answer()).body)) == 3
    assert len(set(sizes)) == 1  # large pieces are read of an upload only


async def test_many_uploads_at_the_same_time(connect: Any, services: Services, in_use: Any) -> None:
    async def send(number: int) -> None:
        content = bytes([number]) * (2 * MIB + number)
        body = form(content)
        connection = await connect()
        await connection.ask("POST", "file", announced(body), body[:MIB])
        await connection.send(body[MIB:])
        await stored(connection, content)

    await asyncio.gather(*(send(number) for number in range(6)))
    assert len(services.files.page()) == 6
    assert in_use() == 0


# -- waiting for permission --------------------------------------------------------------------------------------------


async def test_a_client_that_asks_first_is_told_to_go_on(connect: Any) -> None:
    body = form(b"a video")
    connection = await connect()
    await connection.ask("POST", "file", announced(body, Expect="100-continue"))
    assert (await connection.answer()).code == 100
    await connection.send(body)
    await stored(connection, b"a video")


@pytest.mark.parametrize("dlc_options", [{"max_upload_bytes": MIB}], indirect=True)
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Length": 5 << 30}, 413),
        ({"Authorization": None}, 403),
        ({"Content-Type": "multipart/form-data"}, 400),
    ],
)
async def test_a_client_that_asks_first_is_refused_without_sending_a_byte(
    connect: Any, store_is_empty: Any, headers: dict[str, Any], code: int
) -> None:
    connection = await connect()
    await connection.ask("POST", "file", announced(b"x" * 99, Expect="100-continue") | headers)
    answer = await connection.answer()
    assert answer.code == code
    assert answer.headers["Connection"] == "close"
    assert await connection.is_closed()
    await store_is_empty()


# -- refused while it is still coming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("expects", [False, True], ids=["at once", "after asking"])
async def test_a_refusal_is_readable_while_the_client_still_sends_and_the_rest_is_let_pass(
    connect: Any, store_is_empty: Any, expects: bool
) -> None:
    body = form(bytes(30 * MIB), 'filename=""')
    connection = await connect()
    await connection.ask("POST", "file", announced(body) | ({"Expect": "100-continue"} if expects else {}))
    if expects:
        assert (await connection.answer()).code == 100
    await connection.send(body[:200])
    answer = await connection.answer()
    assert (answer.code, json.loads(answer.body)["reason"]) == (400, "no-file-name")
    assert answer.headers["Connection"] == "close"
    await connection.send(body[200:])  # a client that reads only when it has sent all is not broken off
    await store_is_empty()


async def test_a_client_that_goes_on_and_on_is_hung_up_on(
    connect: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LINGER", 0.2)
    monkeypatch.setattr("dlc_jupyter.storage.content.free_bytes", lambda path: 1 << 40)  # more than is announced
    body = form(b"", 'filename=""')[:200]
    connection = await connect()
    await connection.ask("POST", "file", announced(b"", **{"Content-Length": 1 << 36}), body)
    assert (await connection.answer()).code == 400
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_for_ever(connection), 20)
    await store_is_empty()


async def send_for_ever(connection: Any) -> None:
    while True:
        await connection.send(bytes(MIB))


async def test_a_refused_client_that_leaves_is_let_go(
    connect: Any, store_is_empty: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = wait_for_call(monkeypatch, FilesHandler, "on_connection_close")
    body = form(bytes(3 * MIB), 'filename=""')
    connection = await connect()
    await connection.ask("POST", "file", announced(body), body[:MIB])
    assert (await connection.answer()).code == 400
    connection.writer.close()
    await asyncio.wait_for(gone, 20)
    await store_is_empty()
    assert "Traceback" not in caplog.text


# -- what a slow disk does ---------------------------------------------------------------------------------------------


async def test_while_a_slow_disk_holds_an_upload_up_memory_stays_flat_and_others_are_answered(
    connect: Any, api: Any, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, put, taken = PartFile.write, Pipeline.put, []

    def write_slowly(self: PartFile, piece: memoryview) -> None:
        assert disk.wait(60)
        write(self, piece)

    async def noticed(self: Pipeline, piece: memoryview) -> None:
        taken.append(len(piece))
        await put(self, piece)

    monkeypatch.setattr(PartFile, "write", write_slowly)
    monkeypatch.setattr(Pipeline, "put", noticed)
    content = random.Random(1).randbytes(64 * MIB)  # no two pieces alike: none may be overwritten before it is written
    body, connection = form(content), await connect()
    sending = asyncio.ensure_future(connection.ask("POST", "file", announced(body), body))
    await until(lambda: len(taken) > Pipeline.IN_FLIGHT)
    for _ in range(20):
        assert (await api("status")).code == 200
    assert len(taken) == Pipeline.IN_FLIGHT + 1
    assert sum(taken) <= (Pipeline.IN_FLIGHT + 1) * PIECE
    assert not sending.done()
    disk.set()
    await sending
    await stored(connection, content)


async def test_a_disk_that_fails_is_our_own_error_and_says_nothing_of_the_server(
    upload: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: PartFile, piece: bytes) -> None:
        raise OSError(5, "Input/output error", str(self.path))

    monkeypatch.setattr(PartFile, "write", fail)
    answer = await upload(bytes(8 * MIB))
    assert answer.code == 500
    assert json.loads(answer.body)["reason"] == "internal-error"
    assert b"incoming" not in answer.body
    await store_is_empty()
