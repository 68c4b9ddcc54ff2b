"""Files sent, listed, looked up by their first characters, and deleted, over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from typing import Any
from urllib.parse import urlsplit

import pytest

from dlc_jupyter.handlers.base import Services
from dlc_jupyter.jobs.records import Request
from tests.handlers.connections import BOUNDARY, multipart


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


async def listed(api: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await api("file", params=query)
    assert answer.code == 200, answer.body
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


# -- sent --------------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_sent_gets_its_sha1_as_its_id(api: Any, upload: Any) -> None:
    answer = await upload(b"a video", "mouse.mp4")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "application/json"
    file = json.loads(answer.body)
    assert file.pop("created").endswith("+00:00")
    assert file == {
        "file_id": sha1(b"a video"),
        "filename": "mouse.mp4",
        "names": ["mouse.mp4"],
        "content_type": "video/mp4",
        "size": 7,
        "origin": "upload",
        "media": None,
    }
    assert (await api("file", file["file_id"])).body == b"a video"


async def test_the_same_bytes_under_two_names_are_stored_once_and_keep_both_names(
    api: Any, upload: Any, bytes_in_store: Any
) -> None:
    first, second = await upload(b"a video", "mouse.mp4"), await upload(b"a video", "day 1.mp4")
    assert json.loads(first.body)["file_id"] == json.loads(second.body)["file_id"]
    (file,) = await listed(api)
    assert (file["filename"], file["names"]) == ("day 1.mp4", ["day 1.mp4", "mouse.mp4"])
    assert sum(bytes_in_store().values()) == 7


async def test_the_same_bytes_at_the_same_time_are_one_file(api: Any, upload: Any, bytes_in_store: Any) -> None:
    answers = await asyncio.gather(*(upload(b"a video", f"{number}.mp4") for number in range(5)))
    assert {json.loads(answer.body)["file_id"] for answer in answers} == {sha1(b"a video")}
    (file,) = await listed(api)
    assert sorted(file["names"]) == [f"{number}.mp4" for number in range(5)]
    assert list(bytes_in_store().values()) == [7]


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ('filename="day 1.mp4"', "day 1.mp4"),
        ("filename=mouse.mp4", "mouse.mp4"),
        ('FileName="mouse.mp4"', "mouse.mp4"),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename="/etc/passwd"', "passwd"),
        (r'filename="C:\\Users\\anna\\mouse.mp4"', "mouse.mp4"),
        (r'filename="C:\Users\anna\mouse.mp4"', "mouse.mp4"),
        ('filename="Maus_über_Käfig 🐭.mp4"', "Maus_über_Käfig 🐭.mp4"),
        (r'filename="say \"cheese\".mp4"', 'say "cheese".mp4'),  # curl up to 7.80
        ('filename="say %22cheese%22.mp4"', 'say "cheese".mp4'),  # browsers, requests, newer curl
        ('filename="it\'s; a=b.mp4"', "it's; a=b.mp4"),
        ('filename="two%0D%0Alines.mp4"', "twolines.mp4"),
        ('filename="100%.mp4"', "100%.mp4"),
        ("filename=\"a.mp4\"; filename*=UTF-8''Maus%20%C3%BCber.mp4", "Maus über.mp4"),
        ("filename*=iso-8859-1'de'Maus%FCber.mp4; filename=\"a.mp4\"", "Mausüber.mp4"),
        ("filename=\"a.mp4\"; filename*=undefined''b.mp4", "a.mp4"),
        ("filename=\"a.mp4\"; filename*=UTF-8''%FF%FF.mp4", "a.mp4"),
        ("filename=\"x; filename*=UTF-8''evil.mp4\"", "x; filename*=UTF-8''evil.mp4"),
        ('filename="\u202egpj.mp4"', "gpj.mp4"),
        (f'filename="{"n" * 300}.mp4"', "n" * 251 + ".mp4"),
        (f'filename="{"🐭" * 300}.mp4"', "🐭" * 62 + ".mp4"),
        (f"filename=\"{'🐭' * 300}.mp4\"; filename*=UTF-8''{'%F0%9F%90%AD' * 300}.mp4", "🐭" * 62 + ".mp4"),
    ],
    ids=lambda text: text[:30],
)
async def test_whatever_a_file_is_called_its_name_becomes_harmless_and_comes_back(
    api: Any, send: Any, parameter: str, name: str
) -> None:
    answer = await send((f'name="file"; {parameter}', b"a video"))
    assert answer.code == 200, answer.body
    assert json.loads(answer.body)["filename"] == name
    assert json.loads(answer.body)["content_type"] == (
        "video/mp4" if name.endswith(".mp4") else "application/octet-stream"
    )
    assert [file["names"] for file in await listed(api)] == [[name]]


async def test_a_name_that_is_no_utf8_is_read_as_latin_1(api: Any) -> None:
    body = multipart(('name="file"; filename="Maus_ü.mp4"', b"a video")).replace("ü".encode(), b"\xfc")
    headers = {"Content-Type": f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY}"'}
    answer = await api("file", method="POST", headers=headers, body=body)
    assert json.loads(answer.body)["filename"] == "Maus_ü.mp4"


async def test_other_fields_around_the_file_do_no_harm(send: Any) -> None:
    file = ('name="file"; filename="mouse.mp4"', b"a video")
    answer = await send(
        ('name="comment"', b"before"), file, ('name="other"; filename=""', b""), ('name="b"', b"x" * 999)
    )
    assert answer.code == 200
    assert json.loads(answer.body)["file_id"] == sha1(b"a video")


async def test_a_field_without_a_type_has_that_of_its_name(send: Any, upload: Any) -> None:
    assert json.loads((await send(('name="file"; filename="a.csv"', b"1"))).body)["content_type"] == "text/csv"
    answer = await upload(b"2", "b.mkv", "application/octet-stream")
    assert json.loads(answer.body)["content_type"] == "video/x-matroska"


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n",
        b"\r\n--",
        f"\r\n--{BOUNDARY}".encode() + b"x",
        f"--{BOUNDARY}--\r\n".encode() + b"x",
        f"\r\n--{BOUNDARY[:-1]}\r\n\r\n--{BOUNDARY}x\r\n".encode(),
        b"\r" * 5000 + b"\n" * 5000,
        bytes(range(256)) * 5000,
        random.Random(0).randbytes((3 << 20) + 17),
    ],
    ids=["newline", "dashes", "boundary", "end", "nearly", "returns", "every byte", "3 MiB"],
)
async def test_every_byte_is_kept(api: Any, upload: Any, content: bytes) -> None:
    file_id = json.loads((await upload(content)).body)["file_id"]
    assert file_id == sha1(content)
    assert (await api("file", file_id)).body == content


# -- listed ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(services: Services) -> Any:
    def store(content: bytes, filename: str = "mouse.mp4") -> str:
        incoming = services.files.receive()
        incoming.append(content)
        return incoming.finish(filename).file_id

    return store


async def test_without_files_the_list_is_empty(api: Any) -> None:
    assert await listed(api) == []


async def test_the_list_is_newest_first_and_goes_on_behind_each_page(api: Any, store: Any) -> None:
    ids = [store(b"%d" % number) for number in range(5)][::-1]
    assert [file["file_id"] for file in await listed(api)] == ids
    found, query = [], "limit=2"
    for _ in range(3):
        answer = await api("file", params=dict(pair.split("=") for pair in query.split("&")))
        found.append([file["file_id"] for file in json.loads(answer.body)])
        link = answer.headers.get("Link")
        if link:
            address, _, rel = link.partition("; ")
            assert rel == 'rel="next"'
            assert urlsplit(address.strip("<>")).path == "/a%40b/dlc/file"
            query = urlsplit(address.strip("<>")).query
    assert found == [ids[:2], ids[2:4], ids[4:]]
    assert link is None


async def test_a_page_that_holds_all_there_is_has_no_next(api: Any, store: Any) -> None:
    for number in range(2):
        store(b"%d" % number)
    answer = await api("file", params={"limit": 2})
    assert len(json.loads(answer.body)) == 2
    assert "Link" not in answer.headers


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "1.5", "", "٣", "000000001999999999999999999999"])
async def test_a_limit_that_is_none_is_refused(api: Any, limit: str) -> None:
    answer = await api("file", params={"limit": limit})
    assert answer.code == 400
    assert json.loads(answer.body)["reason"] == "bad-limit"
    assert "from 1 to 1000" in json.loads(answer.body)["message"]


async def test_a_page_behind_a_file_that_is_not_there_is_refused(api: Any, store: Any) -> None:
    store(b"a video")
    answer = await api("file", params={"after": "0" * 40})
    assert answer.code == 404
    assert json.loads(answer.body)["reason"] == "unknown-file"


# -- looked up ---------------------------------------------------------------------------------------------------------

NO_IDS = ["0" * 41, "g" * 40, "mouse.mp4", "%25", "_", "%25%25", "____", "..", "%2e%2e", "..%2F..%2Fdlc.db", "%00", "'"]


async def ask_raw(connect: Any, verb: str, path: str) -> Any:
    """Ask for a path as it is written here; client libraries would tidy it."""
    connection = await connect()
    await connection.ask(verb, path, {"Connection": "close"})
    return await connection.answer()


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_what_is_no_id_is_not_found(connect: Any, store: Any, services: Services, verb: str) -> None:
    store(b"a video")
    for no_id in NO_IDS:
        answer = await ask_raw(connect, verb, f"file/{no_id}")
        assert answer.code == 404, no_id
        body = json.loads(answer.body)
        assert body["reason"] in ("unknown-file", "no-such-route")
        assert "There is no" in body["message"]
    assert len(services.files.page()) == 1


async def test_an_id_in_no_known_letters_is_refused(connect: Any) -> None:
    answer = await ask_raw(connect, "GET", "file/%ff%fe")
    assert answer.code == 400
    assert json.loads(answer.body)["message"].startswith("The request cannot be read")


@pytest.fixture
def alike(store: Any) -> list[str]:
    """Ids of two files that begin with the same four characters."""
    seen: dict[str, bytes] = {}
    for number in range(100_000):
        content = b"%d" % number
        other = seen.setdefault(sha1(content)[:4], content)
        if other is not content:
            return sorted([store(other), store(content)])
    raise AssertionError("no two are alike")


async def test_first_characters_that_fit_two_files_are_refused_naming_both(
    api: Any, alike: list[str], services: Services
) -> None:
    for verb in ("GET", "DELETE"):
        answer = await api("file", alike[0][:4], method=verb)
        assert answer.code == 409
        body = json.loads(answer.body)
        assert (body["reason"], body["matches"]) == ("ambiguous-id", alike)
        assert "give more characters" in body["message"]
    assert (await api("file", alike[0][:4], method="HEAD")).code == 409
    assert len(services.files.page()) == 2
    for length in range(5, 41):
        if alike[0][:length] != alike[1][:length]:
            assert (await api("file", alike[0][:length])).code == 200
            break


# -- deleted -----------------------------------------------------------------------------------------------------------


async def test_a_deleted_file_is_gone(api: Any, upload: Any, store_is_empty: Any) -> None:
    file_id = json.loads((await upload(b"a video")).body)["file_id"]
    answer = await api("file", file_id[:10], method="DELETE")
    assert (answer.code, answer.body) == (204, b"")
    assert "Content-Type" not in answer.headers
    await store_is_empty()
    for verb in ("GET", "HEAD", "DELETE"):
        assert (await api("file", file_id, method=verb)).code == 404


async def test_a_file_that_a_queued_or_running_analysis_needs_stays(api: Any, store: Any, services: Services) -> None:
    file_id = store(b"a video")
    request = Request("sleep", {"time": 1}, file_ids=(file_id,))
    queued = services.records.create(request, 1.0).analysis_id
    for _ in range(2):
        answer = await api("file", file_id, method="DELETE")
        assert answer.code == 409
        body = json.loads(answer.body)
        assert (body["reason"], body["analyses"]) == ("file-in-use", [queued])
        assert "Cancel it, or wait for its end" in body["message"]
        assert (await api("file", file_id)).body == b"a video"
        services.records.claim("worker", 2.0, 30)
    services.records.fail(queued, "worker", 3.0, {"type": "Lost", "message": "It was lost.", "hint": ""})
    assert (await api("file", file_id, method="DELETE")).code == 204
