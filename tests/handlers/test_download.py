"""Files fetched: whole or in part, never run by a browser, never out of date, whatever the disk and the client do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tornado.web import GZipContentEncoding

from dlc_jupyter.handlers import download
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.handlers.download import NoSuchRange, byte_range
from tests.handlers.connections import until

MIB = 1 << 20
LONG = random.Random(1).randbytes(3 * MIB + 12_345)


@pytest.fixture
def store(services: Services) -> Any:
    def store(content: bytes, filename: str = "mouse.mp4", content_type: str | None = None) -> str:
        incoming = services.files.receive()
        incoming.append(content)
        return incoming.finish(filename, content_type).file_id

    return store


@pytest.fixture
def where(services: Services) -> Any:
    """Return where the bytes of a file lie."""
    return lambda file_id: services.files.content / file_id[:2] / file_id[2:]


def open_descriptors(path: Path) -> int:
    """How often this process has a file open, even one that is deleted."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith(str(path))
    return found


# -- whole -------------------------------------------------------------------------------------------------------------


async def test_a_file_comes_back_as_it_was_sent(api: Any, store: Any) -> None:
    file_id = store(LONG, "day 1.mp4")
    answer = await api("file", file_id)
    assert answer.code == 200
    assert answer.body == LONG
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(LONG))
    assert answer.headers["Content-Disposition"] == "inline; filename=\"day 1.mp4\"; filename*=UTF-8''day%201.mp4"
    assert answer.headers["ETag"] == f'"{file_id}"'
    assert answer.headers["Accept-Ranges"] == "bytes"


async def test_the_first_characters_of_the_id_will_do(api: Any, store: Any) -> None:
    file_id = store(b"a video")
    for prefix in (file_id[:1], file_id[:12], file_id[:12].upper()):
        answer = await api("file", prefix)
        assert (answer.code, answer.body) == (200, b"a video")
        assert answer.headers["ETag"] == f'"{file_id}"'


async def test_head_says_what_get_would_without_the_bytes(api: Any, store: Any) -> None:
    file_id = store(LONG)
    get, head = await api("file", file_id), await api("file", file_id, method="HEAD")
    assert (head.code, head.body) == (200, b"")
    ours = ("Content-", "Etag", "Accept", "Cache", "X-Content")
    assert {name: head.headers[name] for name in get.headers if name.startswith(ours)} == {
        name: get.headers[name] for name in get.headers if name.startswith(ours)
    }


async def test_several_requests_over_one_connection(connect: Any, store: Any) -> None:
    file_id = store(LONG)
    connection = await connect()
    for headers, expected in (({}, LONG), ({"Range": "bytes=5-9"}, LONG[5:10]), ({}, LONG)):
        await connection.ask("GET", f"file/{file_id}", headers)
        assert (await connection.answer()).body == expected


async def test_bytes_are_sent_as_they_are_even_where_the_server_packs_its_answers(
    connect: Any, store: Any, jp_serverapp: Any
) -> None:
    jp_serverapp.web_app.transforms.append(GZipContentEncoding)
    content = b"frame,x,y\n" * 10_000
    connection = await connect()
    await connection.ask("GET", "schema", {"Accept-Encoding": "gzip"})
    assert (await connection.answer()).headers["Content-Encoding"] == "gzip"
    await connection.ask("GET", f"file/{store(content, 'poses.csv')}", {"Accept-Encoding": "gzip"})
    answer = await connection.answer()
    assert "Content-Encoding" not in answer.headers
    assert answer.body == content


# -- what a browser may do with it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "kind", "shown"),
    [
        ("page.html", "text/html", False),
        ("drawing.svg", "image/svg+xml", False),
        ("feed.xml", "text/xml", False),
        ("paper.pdf", "application/pdf", False),
        ("poses.h5", "application/x-hdf5", False),
        ("unknown", "application/octet-stream", False),
        ("mouse.mp4", "video/mp4", True),
        ("mouse.png", "image/png", True),
        ("poses.csv", "text/csv", True),
        ("notes.txt", "text/plain", True),
        ("result.json", "application/json", True),
    ],
)
async def test_what_a_browser_would_run_is_never_run(
    api: Any, store: Any, filename: str, kind: str, shown: bool
) -> None:
    file_id = store(b"<script>alert(1)</script>", filename)
    for verb in ("GET", "HEAD"):
        headers = (await api("file", file_id, method=verb)).headers
        assert headers["Content-Type"].partition(";")[0] == kind
        assert headers["Content-Disposition"].startswith("inline;" if shown else "attachment;")
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("claimed", ["text/html", "image/svg+xml", "TEXT/HTML; charset=utf-8", "text/javascript"])
async def test_a_claimed_type_makes_nothing_run_either(api: Any, store: Any, claimed: str) -> None:
    headers = (await api("file", store(b"<script>", "mouse.mp4", claimed))).headers
    assert headers["Content-Disposition"].startswith("attachment;")
    assert headers["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("Maus_über.mp4", "filename=\"Maus__ber.mp4\"; filename*=UTF-8''Maus_%C3%BCber.mp4"),
        ("マウス.mp4", "filename=\"___.mp4\"; filename*=UTF-8''%E3%83%9E%E3%82%A6%E3%82%B9.mp4"),
        ('say "cheese".mp4', "filename=\"say _cheese_.mp4\"; filename*=UTF-8''say%20%22cheese%22.mp4"),
        ("it's; a=b%41.mp4", "filename=\"it's; a=b_41.mp4\"; filename*=UTF-8''it%27s%3B%20a%3Db%2541.mp4"),
        ("a\r\nX-Evil: 1.mp4", "filename=\"aX-Evil: 1.mp4\"; filename*=UTF-8''aX-Evil%3A%201.mp4"),
    ],
)
async def test_the_file_s_own_name_in_every_language(api: Any, store: Any, filename: str, header: str) -> None:
    answer = await api("file", store(b"a video", filename))
    assert answer.headers["Content-Disposition"] == "inline; " + header
    assert "X-Evil" not in answer.headers


# -- what the client has already ---------------------------------------------------------------------------------------


async def test_what_the_client_has_already_is_not_sent_again(connect: Any, store: Any) -> None:
    file_id = store(b"a video")
    connection = await connect()
    for verb in ("GET", "HEAD"):
        for held in (f'"{file_id}"', f'W/"{file_id}"', f'"other", "{file_id}"', "*"):
            await connection.ask(verb, f"file/{file_id}", {"If-None-Match": held})
            answer = await connection.answer()
            assert answer.code == 304, held
            assert answer.headers["ETag"] == f'"{file_id}"'
            assert "Content-Type" not in answer.headers
            assert not answer.headers.get("Content-Length", "").strip("0")
    await connection.ask("GET", f"file/{file_id}", {"If-None-Match": '"other"'})
    assert (await connection.answer()).body == b"a video"


async def test_bytes_never_change_so_they_may_be_kept_but_what_a_prefix_means_may(api: Any, store: Any) -> None:
    file_id = store(b"a video")
    assert (await api("file", file_id)).headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert (await api("file", file_id[:39])).headers["Cache-Control"] == "private, no-cache"


# -- in part -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=3-", 10, (3, 10)),
        ("bytes=9-9", 10, (9, 10)),
        ("bytes=5-100", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-100", 10, (0, 10)),
        (" Bytes = 1-2 ", 10, (1, 3)),
        ("bytes=5-4", 10, None),
        ("bytes=-", 10, None),
        ("bytes=", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("frames=0-1", 10, None),
        ("bytes=--1", 10, None),
        ("bytes=²-³", 10, None),
        ("nonsense", 10, None),
        ("bytes=10-", 10, NoSuchRange),
        ("bytes=10-20", 10, NoSuchRange),
        ("bytes=999999999999999-", 10, NoSuchRange),
        ("bytes=-0", 10, NoSuchRange),
        ("bytes=0-", 0, NoSuchRange),
        ("bytes=-5", 0, NoSuchRange),
    ],
)
def test_ranges(header: str | None, size: int, expected: Any) -> None:
    if expected is NoSuchRange:
        with pytest.raises(NoSuchRange, match=f"has {size} bytes"):
            byte_range(header, size)
    else:
        assert byte_range(header, size) == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, MIB), (MIB - 1, MIB + 1), (MIB, 2 * MIB), (7, 3 * MIB), (len(LONG) - 1, len(LONG)), (0, len(LONG))],
)
async def test_a_range_is_those_bytes_and_no_others(api: Any, store: Any, start: int, end: int) -> None:
    answer = await api("file", store(LONG), headers={"Range": f"bytes={start}-{end - 1}"})
    assert answer.code == 206
    assert answer.body == LONG[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(LONG)}"
    assert answer.headers["Content-Length"] == str(end - start)


async def test_what_is_no_single_range_gets_the_whole_file(api: Any, store: Any) -> None:
    answer = await api("file", store(b"a video"), headers={"Range": "bytes=0-1,3-4"})
    assert (answer.code, answer.body) == (200, b"a video")
    assert "Content-Range" not in answer.headers


async def test_a_range_outside_the_file_is_refused_and_the_size_told(api: Any, store: Any) -> None:
    answer = await api("file", store(b"a video"), headers={"Range": "bytes=7-"})
    assert answer.code == 416
    assert answer.headers["Content-Range"] == "bytes */7"
    assert answer.headers["Content-Type"] == "application/json"
    body = json.loads(answer.body)
    assert (body["reason"], body["size"]) == ("range-not-satisfiable", 7)
    assert "ask for a range among them" in body["message"]


async def test_a_range_counts_only_while_the_file_is_the_one_the_client_means(api: Any, store: Any) -> None:
    file_id = store(b"a video")
    for if_range, code in ((f'"{file_id}"', 206), ('"other"', 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)):
        answer = await api("file", file_id, headers={"Range": "bytes=0-0", "If-Range": if_range})
        assert answer.code == code
        assert answer.body == (b"a" if code == 206 else b"a video")


async def test_head_takes_no_range(api: Any, store: Any) -> None:
    for ask in ("bytes=0-1", "bytes=100-"):
        answer = await api("file", store(b"a video"), method="HEAD", headers={"Range": ask})
        assert answer.code == 200
        assert answer.headers["Content-Length"] == "7"
        assert "Content-Range" not in answer.headers


# -- lost, changed, gone -----------------------------------------------------------------------------------------------


async def test_a_file_whose_bytes_are_lost(api: Any, store: Any, where: Any) -> None:
    file_id = store(b"a video")
    where(file_id).unlink()
    answer = await api("file", file_id)
    assert answer.code == 404
    assert json.loads(answer.body)["reason"] == "file-lost"
    assert "Send the file again" in json.loads(answer.body)["message"]
    assert (await api("file", file_id, method="HEAD")).code == 404


async def test_a_file_that_is_deleted_while_it_is_fetched_comes_whole(
    api: Any, connect: Any, store: Any, where: Any
) -> None:
    content = bytes(32 * MIB)
    file_id = store(content)
    connection = await connect()
    await connection.ask("GET", f"file/{file_id}")
    await connection.reader.readuntil(b"\r\n\r\n")
    assert (await api("file", file_id, method="DELETE")).code == 204
    assert not where(file_id).exists()
    assert hashlib.sha1(await connection.reader.readexactly(len(content))).hexdigest() == file_id
    await until(lambda: not open_descriptors(where(file_id)))


async def test_a_file_that_becomes_shorter_while_it_is_fetched_is_seen_to_be_cut(
    connect: Any, store: Any, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = store(bytes(3 * MIB))
    pread = os.pread

    def shorter(descriptor: int, size: int, offset: int) -> bytes:
        return b"" if offset >= 2 * MIB else pread(descriptor, size, offset)

    monkeypatch.setattr(download.os, "pread", shorter)
    connection = await connect()
    await connection.ask("GET", f"file/{file_id}")
    with pytest.raises(asyncio.IncompleteReadError) as cut:
        await connection.answer()
    assert len(cut.value.partial) == 2 * MIB
    await until(lambda: not open_descriptors(where(file_id)))


@pytest.mark.parametrize("way", ["closed", "reset"])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing_open(
    connect: Any, store: Any, where: Any, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    file_id = store(bytes(32 * MIB))
    connection = await connect()
    await connection.ask("GET", f"file/{file_id}")
    await connection.reader.readexactly(MIB)
    assert open_descriptors(where(file_id)) == 1
    if way == "closed":
        connection.writer.close()
    else:
        connection.reset()
    await until(lambda: not open_descriptors(where(file_id)))
    assert "Traceback" not in caplog.text


async def test_nothing_stays_open_after_any_answer(api: Any, store: Any, where: Any) -> None:
    file_id = store(b"a video")
    for headers in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=99-"}, {"If-None-Match": "*"}):
        for verb in ("GET", "HEAD"):
            await api("file", file_id, method=verb, headers=headers)
    await until(lambda: not open_descriptors(where(file_id)))


# -- slow --------------------------------------------------------------------------------------------------------------


async def test_a_slow_client_gets_everything_and_no_more_than_it_takes_is_read(
    connect: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(2).randbytes(32 * MIB)
    file_id = store(content)
    offsets = []
    pread = os.pread

    def noticed(descriptor: int, size: int, offset: int) -> bytes:
        offsets.append(offset)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(download.os, "pread", noticed)
    connection = await connect(buffer=1 << 16)
    await connection.ask("GET", f"file/{file_id}")
    await connection.reader.readuntil(b"\r\n\r\n")
    taken = await connection.reader.readexactly(1)
    await connection.ask("GET", "status")  # it waits behind the file; others do not
    other = await connect()
    for _ in range(20):
        await other.ask("GET", "status")
        assert (await other.answer()).code == 200
    assert max(offsets) < 24 * MIB  # the rest stays on the disk, not in memory
    taken += await connection.reader.readexactly(len(content) - 1)
    assert taken == content
    assert (await connection.answer()).code == 200


async def test_while_a_slow_disk_keeps_downloads_waiting_others_are_answered(
    api: Any, store: Any, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id, pread = store(b"a video"), os.pread

    def slow(descriptor: int, size: int, offset: int) -> bytes:
        assert disk.wait(60)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(download.os, "pread", slow)
    waiting = [asyncio.ensure_future(api("file", file_id)) for _ in range(9)]
    for _ in range(5):
        assert (await api("status")).code == 200
        assert (await api("file", file_id, method="HEAD")).code == 200
    assert not any(each.done() for each in waiting)
    disk.set()
    assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"a video"}
