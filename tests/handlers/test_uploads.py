"""Resumable uploads: the rules of tus 1.0.0 as one table, cuts at any byte, and two writers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_server.auth import User
from jupyter_server.auth.identity import IdentityProvider

from dlc_jupyter.handlers import streaming, tus
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.handlers.tus import BYTES
from dlc_jupyter.handlers.uploads import UploadHandler
from dlc_jupyter.storage.upload_writer import Writer
from tests.handlers.connections import Connection, RawAnswer, until

MIB = 1 << 20
VIDEO = random.Random(2).randbytes(5 * MIB + 11)
TUS = {"Tus-Resumable": "1.0.0"}

Tus = Callable[..., Awaitable[RawAnswer]]


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def notes(**values: str) -> str:
    """Upload-Metadata."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    """Upload-Checksum of a content."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def reason(answer: RawAnswer) -> str:
    return str(json.loads(answer.body)["reason"])


async def answer_to(connection: Connection, verb: str) -> RawAnswer:
    """Read an answer; that to HEAD tells the length of a body that does not come."""
    if verb != "HEAD":
        return await connection.answer()
    head = (await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1")
    fields = re.sub("(?mi)^content-length:.*\r\n", "", head)
    connection.reader._buffer[:0] = fields.encode()  # type: ignore[attr-defined]
    return await connection.answer()


@pytest.fixture
def ask(connect: Any) -> Tus:
    """Ask on a connection of its own: ``await ask("PATCH", address, {header: value}, body)``; None drops a header."""

    async def ask(verb: str, address: str, headers: dict[str, Any] | None = None, body: bytes = b"") -> RawAnswer:
        connection = await connect()
        sent = TUS | ({"Content-Length": len(body)} if verb in ("POST", "PATCH") else {}) | (headers or {})
        await connection.ask(verb, address, sent, body)
        answer = await answer_to(connection, verb)
        connection.writer.close()
        return answer

    return ask


@pytest.fixture
def begin(ask: Tus) -> Callable[..., Awaitable[str]]:
    """Begin an upload, and return its address below ``dlc/``."""

    async def begin(size: int = len(VIDEO), **values: str) -> str:
        said = {"Upload-Length": size, "Upload-Metadata": notes(**{"filename": "mouse.mp4"} | values)}
        answer = await ask("POST", "upload", said)
        assert answer.code == 201, answer.body
        return address_of(answer)

    return begin


def address_of(answer: RawAnswer) -> str:
    """The address that an answer gives, as it must be: absolute, without host, below the server's base."""
    found = re.fullmatch("/a%40b/dlc/(upload/[0-9a-f]{32})", answer.headers["Location"])
    assert found, answer.headers["Location"]
    return found[1]


def patch(offset: int, **more: Any) -> dict[str, Any]:
    """Headers of a PATCH."""
    return {"Content-Type": BYTES, "Upload-Offset": offset} | more


async def offset(ask: Tus, address: str) -> int:
    answer = await ask("HEAD", address)
    assert answer.code == 200
    return int(answer.headers["Upload-Offset"])


# -- the rules ---------------------------------------------------------------------------------------------------------


@dataclass
class Rule:
    """One rule of the protocol: what is asked, and what must be answered.

    The upload has 100 bytes, of which 10 have come. `headers` and `answered`: None for one that must not be there.
    """

    says: str
    verb: str
    code: int
    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    at: str = "upload"  # what is asked: "uploads", "upload", "finished", "nothing"
    answered: dict[str, str | None] = field(default_factory=dict)
    reason: str | None = None
    comes_to: int = 10  # bytes that have come afterwards


TEN = bytes(range(10))
CREATE = {"Upload-Length": 100, "Upload-Metadata": notes(filename="mouse.mp4")}
RULES = [
    # core
    Rule("HEAD tells the offset and the length", "HEAD", 200, answered={"Upload-Offset": "10", "Upload-Length": "100"}),
    Rule("HEAD must not be cached", "HEAD", 200, answered={"Cache-Control": "no-store", "Etag": None}),
    Rule("HEAD repeats the metadata", "HEAD", 200, answered={"Upload-Metadata": notes(filename="mouse.mp4")}),
    Rule("of what is not there HEAD tells no offset", "HEAD", 404, at="nothing", answered={"Upload-Offset": None}),
    Rule("PATCH adds bytes", "PATCH", 204, patch(10), TEN, answered={"Upload-Offset": "20"}, comes_to=20),
    Rule("PATCH may be empty", "PATCH", 204, patch(10), answered={"Upload-Offset": "10"}),
    Rule("PATCH has its own type", "PATCH", 415, patch(10) | {"Content-Type": "application/json"}, TEN),
    Rule("PATCH has a type", "PATCH", 415, patch(10) | {"Content-Type": None}, TEN),
    Rule("the offsets must agree: too low", "PATCH", 409, patch(9), TEN, reason="wrong-offset"),
    Rule("the offsets must agree: too high", "PATCH", 409, patch(11), TEN, reason="wrong-offset"),
    Rule("PATCH says its offset", "PATCH", 400, patch(10) | {"Upload-Offset": None}, TEN, reason="bad-upload-offset"),
    Rule("an offset is a number", "PATCH", 400, patch(10) | {"Upload-Offset": "-1"}, TEN, reason="bad-upload-offset"),
    Rule("what is not there cannot be added to", "PATCH", 404, patch(10), TEN, at="nothing", reason="unknown-upload"),
    Rule("no more than was announced", "PATCH", 413, patch(10), bytes(91), reason="too-many-bytes"),
    Rule("the version must be known: PATCH", "PATCH", 412, patch(10) | {"Tus-Resumable": "0.2.2"}, TEN),
    Rule("the version must be known: HEAD", "HEAD", 412, {"Tus-Resumable": "2.0"}, answered={"Tus-Version": "1.0.0"}),
    Rule("the version must be told: HEAD", "HEAD", 412, {"Tus-Resumable": None}),
    Rule("the version must be told: DELETE", "DELETE", 412, {"Tus-Resumable": None}, reason="tus-version"),
    Rule("the version must be told: POST", "POST", 412, CREATE | {"Tus-Resumable": None}, at="uploads"),
    Rule(
        "OPTIONS needs no version, and tells what there is",
        "OPTIONS",
        204,
        {"Tus-Resumable": None},
        at="uploads",
        answered={
            "Tus-Version": "1.0.0",
            "Tus-Extension": "creation,creation-with-upload,checksum,expiration,termination",
            "Tus-Checksum-Algorithm": "sha1,sha256",
            "Tus-Max-Size": "100000000",
        },
    ),
    Rule("OPTIONS takes any version", "OPTIONS", 204, {"Tus-Resumable": "9"}, answered={"Tus-Version": "1.0.0"}),
    Rule("OPTIONS needs no token", "OPTIONS", 204, {"Authorization": None}),
    Rule(
        "the method may be overridden",
        "POST",
        204,
        patch(10) | {"X-HTTP-Method-Override": "PATCH"},
        TEN,
        answered={"Upload-Offset": "20"},
        comes_to=20,
    ),
    Rule("DELETE may be said so too", "POST", 204, {"X-HTTP-Method-Override": "delete"}, comes_to=-1),
    Rule("other methods are none", "PUT", 405, {"Content-Length": 10}, TEN),
    Rule("other overrides are none", "POST", 405, {"X-HTTP-Method-Override": "PUT"}, TEN),
    Rule("POST is not for one upload", "POST", 405, CREATE),
    Rule("a finished one takes nothing", "PATCH", 413, patch(100), TEN, at="finished", reason="too-many-bytes"),
    Rule("a finished one is at its end", "PATCH", 409, patch(0), TEN, at="finished", reason="wrong-offset"),
    Rule(
        "a finished one says which file it is",
        "HEAD",
        200,
        at="finished",
        answered={"Upload-Offset": "100", "Upload-Expires": None, "Dlc-File-Id": sha1(bytes(100))},
    ),
    Rule(
        "the last request may be repeated without bytes",
        "PATCH",
        204,
        patch(100),
        at="finished",
        answered={"Upload-Offset": "100", "Dlc-File-Id": sha1(bytes(100))},
    ),
    # creation
    Rule("POST makes one", "POST", 201, CREATE, at="uploads", answered={"Upload-Offset": "0", "Dlc-File-Id": None}),
    Rule(
        "POST says the length", "POST", 400, CREATE | {"Upload-Length": None}, at="uploads", reason="bad-upload-length"
    ),
    Rule(
        "a length is a number", "POST", 400, CREATE | {"Upload-Length": "1e3"}, at="uploads", reason="bad-upload-length"
    ),
    Rule(
        "not more than Tus-Max-Size",
        "POST",
        413,
        CREATE | {"Upload-Length": 10**8 + 1},
        at="uploads",
        reason="too-large",
    ),
    Rule("an empty file is none", "POST", 400, CREATE | {"Upload-Length": 0}, at="uploads", reason="empty-file"),
    Rule(
        "the length must be known",
        "POST",
        400,
        CREATE | {"Upload-Length": None, "Upload-Defer-Length": 1},
        at="uploads",
        reason="unknown-extension",
    ),
    Rule(
        "pieces are not put together",
        "POST",
        400,
        CREATE | {"Upload-Concat": "partial"},
        at="uploads",
        reason="unknown-extension",
    ),
    Rule("a file has a name", "POST", 400, CREATE | {"Upload-Metadata": None}, at="uploads", reason="no-file-name"),
    *(
        Rule(
            f"metadata: {wrong!r}",
            "POST",
            400,
            CREATE | {"Upload-Metadata": wrong},
            at="uploads",
            reason="bad-upload-metadata",
        )
        for wrong in (
            "filename mouse",
            "filename /w==",
            "filename bQ==,filename bQ==",
            "f\u00e4 bQ==",
            f"filename bQ==,x {'YWJj' * 1100}",
            notes(filename="m", sha1="abc"),
        )
    ),
    *(
        Rule(f"metadata: {right!r}", "POST", 201, CREATE | {"Upload-Metadata": right}, at="uploads")
        for right in (
            "filename bQ==,relativePath bnVsbA==",
            "empty,filename bQ==",
            " filename bQ== , empty ,",
            "name bQ==",
        )
    ),
    # creation-with-upload
    Rule(
        "POST may bring bytes", "POST", 201, CREATE | {"Content-Type": BYTES}, TEN, "uploads", {"Upload-Offset": "10"}
    ),
    Rule(
        "POST may bring all bytes",
        "POST",
        201,
        CREATE | {"Content-Type": BYTES},
        bytes(100),
        "uploads",
        {"Upload-Offset": "100", "Dlc-File-Id": sha1(bytes(100)), "Upload-Expires": None},
    ),
    Rule("bytes have their type", "POST", 415, CREATE | {"Content-Type": "video/mp4"}, TEN, "uploads"),
    Rule("not more bytes than announced", "POST", 413, CREATE | {"Content-Type": BYTES}, bytes(101), "uploads"),
    Rule(
        "a checksum counts there too",
        "POST",
        460,
        CREATE | {"Content-Type": BYTES, "Upload-Checksum": checksum(b"other")},
        TEN,
        "uploads",
        reason="checksum-mismatch",
    ),
    # checksum
    *(
        Rule(
            f"{algorithm} is understood",
            "PATCH",
            204,
            patch(10) | {"Upload-Checksum": checksum(TEN, algorithm)},
            TEN,
            answered={"Upload-Offset": "20"},
            comes_to=20,
        )
        for algorithm in ("sha1", "sha256")
    ),
    *(
        Rule(
            f"a wrong {algorithm} throws the bytes away",
            "PATCH",
            460,
            patch(10) | {"Upload-Checksum": checksum(b"other", algorithm)},
            TEN,
            reason="checksum-mismatch",
        )
        for algorithm in ("sha1", "sha256")
    ),
    Rule(
        "other algorithms are not",
        "PATCH",
        400,
        patch(10) | {"Upload-Checksum": "crc32 AAAA"},
        TEN,
        reason="unknown-checksum-algorithm",
    ),
    Rule(
        "a checksum is base64",
        "PATCH",
        400,
        patch(10) | {"Upload-Checksum": "sha1 %%"},
        TEN,
        reason="bad-upload-checksum",
    ),
    # termination
    Rule("DELETE ends it", "DELETE", 204, comes_to=-1),
    Rule("what is not there cannot be ended", "DELETE", 404, at="nothing"),
    Rule("a finished one is forgotten", "DELETE", 204, at="finished"),
]


@pytest.mark.parametrize("dlc_options", [{"max_upload_bytes": 100_000_000}], indirect=True)
async def test_the_rules_of_the_protocol(ask: Tus, begin: Any, subtests: Any) -> None:
    for rule in RULES:
        with subtests.test(rule.says):
            await hold(rule, ask, begin)


async def hold(rule: Rule, ask: Tus, begin: Any) -> None:
    address, finished = await begin(100), await begin(100)
    await ask("PATCH", address, patch(0), bytes(10))
    await ask("PATCH", finished, patch(0), bytes(100))
    asked = {"uploads": "upload", "upload": address, "finished": finished, "nothing": "upload/" + "0" * 32}[rule.at]
    answer = await ask(rule.verb, asked, rule.headers, rule.body)
    assert answer.code == rule.code, answer.body
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    for name, value in rule.answered.items():
        assert answer.headers[name] == value, name
    if answer.code == 412:
        assert answer.headers["Tus-Version"] == "1.0.0"
    if answer.code == 201:
        address_of(answer)
    if answer.code >= 400 and rule.verb != "HEAD":
        assert set(json.loads(answer.body)) >= {"message", "reason"}
        assert rule.reason in (None, reason(answer))
    elif rule.verb != "HEAD":
        assert answer.body == b""
    if rule.comes_to < 0:
        assert (await ask("HEAD", address)).code == 404
    else:
        assert await offset(ask, address) == rule.comes_to


# -- expiration --------------------------------------------------------------------------------------------------------


async def test_every_answer_says_when_the_upload_expires_and_then_it_is_gone(
    ask: Tus, begin: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(services.files, "clock", lambda: now)
    created = await ask("POST", "upload", CREATE)
    address = address_of(created)
    now += 3600
    patched = await ask("PATCH", address, patch(0), TEN)
    asked = await ask("HEAD", address)
    assert created.headers["Upload-Expires"] == "Mon, 18 Jan 2027 08:00:00 GMT"
    assert patched.headers["Upload-Expires"] == asked.headers["Upload-Expires"] == "Mon, 18 Jan 2027 09:00:00 GMT"
    ((listed),) = json.loads((await ask("GET", "upload")).body)
    assert listed == {
        "upload_id": address.partition("/")[2],
        "filename": "mouse.mp4",
        "size": 100,
        "offset": 10,
        "created": "2027-01-15T08:00:00.000+00:00",
        "expires": "2027-01-18T09:00:00.000+00:00",
    }
    now += 73 * 3600
    for verb, headers in (("HEAD", {}), ("PATCH", patch(10)), ("DELETE", {})):
        assert (await ask(verb, address, headers)).code == 410
    assert json.loads((await ask("GET", "upload")).body) == []


# -- a file as any other -----------------------------------------------------------------------------------------------


async def test_a_finished_upload_is_a_file_as_any_other(ask: Tus, begin: Any, api: Any) -> None:
    address = await begin(filename="../Tag 1 – Maus.MP4", filetype="video/x-mouse")
    for at in range(0, len(VIDEO), 2 * MIB):
        answer = await ask("PATCH", address, patch(at), VIDEO[at : at + 2 * MIB])
        assert answer.code == 204
    file_id = answer.headers["Dlc-File-Id"]
    assert file_id == sha1(VIDEO)
    (file,) = json.loads((await api("file")).body)
    assert (file["file_id"], file["filename"], file["origin"]) == (file_id, "Tag 1 – Maus.MP4", "upload")
    assert (await api("file", file_id)).body == VIDEO
    assert (await api("file", file_id)).headers["Content-Type"] == "video/x-mouse"
    await api("file", file_id, method="DELETE")
    gone = await ask("PATCH", address, patch(len(VIDEO)))
    assert (gone.code, reason(gone)) == (410, "upload-gone")


async def test_a_file_that_is_here_is_not_sent_again(ask: Tus, begin: Any, upload: Any, api: Any) -> None:
    await upload(VIDEO, "day 1.mp4")
    said = CREATE | {
        "Upload-Length": len(VIDEO),
        "Upload-Metadata": notes(filename="again.mp4", sha1=sha1(VIDEO).upper()),
    }
    for body, headers in ((b"", {}), (TEN, {"Content-Type": BYTES})):  # bytes that come nevertheless are let pass
        answer = await ask("POST", "upload", said | headers, body)
        assert (answer.code, answer.headers["Upload-Offset"]) == (201, str(len(VIDEO)))
        assert answer.headers["Dlc-File-Id"] == sha1(VIDEO)
        assert (await ask("HEAD", address_of(answer))).headers["Dlc-File-Id"] == sha1(VIDEO)
    (file,) = json.loads((await api("file")).body)
    assert file["names"] == ["again.mp4", "day 1.mp4"]
    assert json.loads((await ask("GET", "upload")).body) == []


async def test_a_file_that_is_another_one_than_was_announced_is_refused(ask: Tus, begin: Any, api: Any) -> None:
    address = await begin(sha1=sha1(b"another"))
    answer = await ask("PATCH", address, patch(0), VIDEO)
    assert (answer.code, reason(answer)) == (460, "file-differs")
    assert (await ask("HEAD", address)).code == 404
    assert json.loads((await api("file")).body) == []


@pytest.mark.parametrize("dlc_options", [{"store_quota_bytes": 6 * MIB}], indirect=True)
async def test_unused_files_make_room_when_an_upload_is_begun(
    ask: Tus, begin: Any, upload: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(bytes(2 * MIB))
    said = CREATE | {"Upload-Length": len(VIDEO)}
    answer = await ask("POST", "upload", said)
    assert (answer.code, reason(answer)) == (507, "quota-exceeded")
    now = services.files.clock() + 25 * 3600
    monkeypatch.setattr(services.files, "clock", lambda: now)
    address = address_of(await ask("POST", "upload", said))
    assert services.files.page() == []
    assert (await ask("PATCH", address, patch(0), VIDEO)).headers["Dlc-File-Id"] == sha1(VIDEO)


@pytest.mark.parametrize("dlc_options", [{"store_quota_bytes": 6 * MIB, "evict_unused_hours": 0}], indirect=True)
async def test_an_upload_for_which_there_is_no_room_any_more_waits(
    ask: Tus, begin: Any, upload: Any, services: Services
) -> None:
    address = await begin()
    assert (await ask("PATCH", address, patch(0), VIDEO[: 3 * MIB])).code == 204
    await upload(bytes(2 * MIB))
    answer = await ask("PATCH", address, patch(3 * MIB), VIDEO[3 * MIB :])
    assert (answer.code, reason(answer)) == (507, "quota-exceeded")
    services.files.delete(services.files.page()[0].file_id)
    assert await offset(ask, address) == 3 * MIB
    assert (await ask("PATCH", address, patch(3 * MIB), VIDEO[3 * MIB :])).code == 204


async def test_files_are_found_by_their_size(upload: Any, api: Any) -> None:
    for content in (b"12345", b"1234", b"54321"):
        await upload(content)
    found = json.loads((await api("file", params={"size": "5"})).body)
    assert [file["file_id"] for file in found] == [sha1(b"54321"), sha1(b"12345")]
    assert json.loads((await api("file", params={"size": "6"})).body) == []
    page = await api("file", params={"size": "5", "limit": "1"})
    assert f"size=5&after={sha1(b'54321')}" in page.headers["Link"]
    refused = await api("file", params={"size": "-5"})
    assert (refused.code, json.loads(refused.body)["reason"]) == (400, "bad-size")


# -- who may -----------------------------------------------------------------------------------------------------------


async def test_strangers_get_nothing_but_options(ask: Tus, begin: Any) -> None:
    address = await begin()
    for verb, at, headers in (
        ("POST", "upload", CREATE),
        ("GET", "upload", {}),
        ("HEAD", address, {}),
        ("PATCH", address, patch(0)),
        ("DELETE", address, {}),
    ):
        assert (await ask(verb, at, headers | {"Authorization": None})).code == 403
    assert await offset(ask, address) == 0


async def test_where_users_are_known_each_has_uploads_of_his_own(
    ask: Tus, begin: Any, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(type(jp_serverapp.identity_provider)):  # type: ignore[misc]
        def get_user(self, handler: Any) -> User:
            return User(handler.request.headers["X-User"])

        def is_token_authenticated(self, handler: Any) -> bool:
            return True

    monkeypatch.setitem(jp_serverapp.web_app.settings, "identity_provider", Named(parent=jp_serverapp))
    anna, otto = {"X-User": "anna"}, {"X-User": "otto"}
    address = address_of(await ask("POST", "upload", CREATE | anna))
    assert [len(json.loads((await ask("GET", "upload", who)).body)) for who in (anna, otto)] == [1, 0]
    for verb, headers in (("HEAD", {}), ("PATCH", patch(0)), ("DELETE", {})):
        assert (await ask(verb, address, headers | otto)).code == 404
    assert (await ask("PATCH", address, patch(0) | anna, TEN)).code == 204


async def test_where_one_token_is_for_all_everybody_goes_on(ask: Tus, begin: Any, jp_serverapp: Any) -> None:
    """Jupyter makes up another name at every request: the one who comes back would not be the one who began."""
    assert type(jp_serverapp.identity_provider).__module__ == IdentityProvider.__module__
    address = await begin(10)
    assert len(json.loads((await ask("GET", "upload")).body)) == 1
    assert (await ask("PATCH", address, patch(0), TEN)).code == 204


async def test_pages_of_other_origins_are_told_what_they_may_send_and_see(ask: Tus) -> None:
    wanted = {"Origin": "https://lab.example", "Access-Control-Request-Method": "PATCH", "Authorization": None}
    answer = await ask("OPTIONS", "upload", wanted)
    allowed = {each.strip().lower() for each in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "tus-resumable", "upload-length", "upload-offset", "upload-metadata"} <= allowed
    assert {"Location", "Upload-Offset", "Dlc-File-Id"} <= set(
        re.split(", ?", answer.headers["Access-Control-Expose-Headers"])
    )


# -- cut off -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "chunked"])
@pytest.mark.parametrize("seed", range(4))
async def test_cut_at_any_byte_nothing_that_came_is_lost(
    ask: Tus, begin: Any, connect: Any, api: Any, seed: int, chunked: bool
) -> None:
    chance, address, at = random.Random(seed), await begin(), 0
    while at < len(VIDEO):
        end = min(len(VIDEO), at + chance.choice([1, 700, 65_536, MIB, 3 * MIB]) + chance.randrange(100))
        connection, rest = await connect(), VIDEO[at:end]
        how = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(VIDEO) - at}
        await connection.ask("PATCH", address, TUS | patch(at) | how)
        while rest:
            piece = rest[: chance.choice([1, 100, 50_000, len(rest)])]
            rest = rest[len(piece) :]
            await connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n" if chunked else piece)
        connection.writer.close()
        at = end
        await until_offset(ask, address, at)
    head = await ask("HEAD", address)
    assert head.headers["Dlc-File-Id"] == sha1(VIDEO)
    assert (await api("file", sha1(VIDEO))).body == VIDEO


async def until_offset(ask: Tus, address: str, expected: int) -> None:
    """Wait until so many bytes have come; there are never more."""
    for _ in range(4000):
        answer = await ask("HEAD", address)
        came = int(answer.headers["Upload-Offset"]) if answer.code == 200 else -1  # 423: it is just being stored
        assert came <= expected
        if came == expected and (await ask("PATCH", address, patch(came))).code == 204:  # and nobody holds it
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come in time")


async def test_a_first_request_that_is_cut_off_is_found_in_the_list(ask: Tus, connect: Any) -> None:
    """The client has not even heard the address of its upload."""
    connection = await connect()
    said = CREATE | {"Upload-Length": len(VIDEO), "Content-Type": BYTES, "Content-Length": len(VIDEO)}
    await connection.ask("POST", "upload", TUS | said, VIDEO[: 2 * MIB])
    connection.writer.close()
    found: list[dict[str, Any]] = []
    while not found:
        found = json.loads((await ask("GET", "upload")).body)
    address = f"upload/{found[0]['upload_id']}"
    await until_offset(ask, address, 2 * MIB)
    answer = await ask("PATCH", address, patch(2 * MIB), VIDEO[2 * MIB :])
    assert answer.headers["Dlc-File-Id"] == sha1(VIDEO)


async def test_a_client_that_leaves_before_the_answer_has_its_file_stored(
    begin: Any, connect: Any, services: Services, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, gone = Writer.write, UploadHandler.on_connection_close
    noticed = asyncio.Event()

    def write_slowly(self: Writer, piece: bytes) -> None:
        assert disk.wait(60)
        write(self, piece)

    def notice(self: UploadHandler) -> None:
        gone(self)
        noticed.set()

    monkeypatch.setattr(Writer, "write", write_slowly)
    monkeypatch.setattr(UploadHandler, "on_connection_close", notice)
    address, connection = await begin(10), await connect()
    await connection.ask("PATCH", address, TUS | patch(0, **{"Content-Length": 10}), TEN)
    await until(lambda: any(handler._came == 10 for handler in tus.TusHandler._writing.values()))
    connection.reset()
    await asyncio.wait_for(noticed.wait(), 20)
    disk.set()
    await until(services.files.page)
    assert services.files.page()[0].file_id == sha1(TEN)


async def test_a_client_that_falls_silent_is_taken_for_gone_and_what_came_is_kept(
    ask: Tus, begin: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE", 0.2)
    address, connection = await begin(), await connect()
    await connection.ask("PATCH", address, TUS | patch(0, **{"Content-Length": len(VIDEO)}), VIDEO[:MIB])
    assert await connection.is_closed()
    await until_offset(ask, address, MIB)


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "chunked"])
async def test_a_request_with_a_checksum_that_is_cut_off_leaves_nothing(
    ask: Tus, begin: Any, connect: Any, chunked: bool
) -> None:
    address, connection = await begin(), await connect()
    how = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(VIDEO)}
    await connection.ask("PATCH", address, TUS | patch(0) | how | {"Upload-Checksum": checksum(VIDEO)})
    await connection.send(b"%x\r\n" % MIB + VIDEO[:MIB] if chunked else VIDEO[:MIB])
    connection.writer.close()
    await until_offset(ask, address, 0)


async def test_more_than_was_announced_is_refused_on_the_way_and_the_rest_let_pass(
    ask: Tus, begin: Any, connect: Any
) -> None:
    address, connection = await begin(4 * MIB), await connect()
    await connection.ask("PATCH", address, TUS | patch(0, **{"Transfer-Encoding": "chunked"}))
    for start in range(0, len(VIDEO), MIB):
        piece = VIDEO[start : start + MIB]
        await connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
    answer = await connection.answer()
    assert (answer.code, reason(answer)) == (413, "too-many-bytes")
    came = await settled(ask, address)
    assert 0 < came <= 4 * MIB
    answer = await ask("PATCH", address, patch(came), VIDEO[came : 4 * MIB])
    assert answer.headers["Dlc-File-Id"] == sha1(VIDEO[: 4 * MIB])


async def settled(ask: Tus, address: str) -> int:
    """Wait until nobody writes to an upload, and return how far it has come."""
    for _ in range(4000):
        came = await offset(ask, address)
        if (await ask("PATCH", address, patch(came))).code == 204:
            return came
        await asyncio.sleep(0.005)
    pytest.fail("somebody goes on writing")


async def test_a_disk_that_fills_up_on_the_way_keeps_what_came(
    ask: Tus, begin: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is let pass into the same buffers: nothing of it may be written in the place of what came before."""
    write, calls = Writer.write, []

    def full(self: Writer, piece: bytes) -> None:
        calls.append(len(piece))
        if len(calls) == 2:
            monkeypatch.setattr("dlc_jupyter.storage.incoming.os.write", no_room)
        write(self, piece)

    def no_room(*_args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "write", full)
    content = random.Random(3).randbytes(24 * MIB)
    address, connection = await begin(len(content)), await connect()
    await connection.ask("PATCH", address, TUS | patch(0, **{"Content-Length": len(content)}), content)
    answer = await connection.answer()
    assert (answer.code, reason(answer)) == (507, "disk-full")
    monkeypatch.undo()
    came = await settled(ask, address)
    assert came == calls[0]
    answer = await ask("PATCH", address, patch(came), content[came:])
    assert answer.headers["Dlc-File-Id"] == sha1(content)


async def test_a_file_that_could_not_be_stored_at_its_end_is_stored_when_somebody_asks(
    ask: Tus, begin: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: Any) -> None:
        raise OSError(5, "Input/output error")

    address = await begin()
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "seal", fails)
        answer = await ask("PATCH", address, patch(0), VIDEO)
        assert (answer.code, reason(answer)) == (500, "internal-error")
        assert b"uploads" not in answer.body
    (listed,) = json.loads((await ask("GET", "upload")).body)
    assert listed["offset"] == listed["size"]
    assert services.files.page() == []
    assert (await ask("HEAD", address)).headers["Dlc-File-Id"] == sha1(VIDEO)
    assert services.files.page()[0].file_id == sha1(VIDEO)


# -- two writers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def writing(begin: Any, connect: Any) -> Any:
    """A client that has sent 1 MiB of an upload, and goes on: its connection, and the upload's address."""

    async def writing() -> tuple[Connection, str]:
        address, connection = await begin(), await connect()
        await connection.ask("PATCH", address, TUS | patch(0, **{"Content-Length": len(VIDEO)}), VIDEO[:MIB])
        await until(lambda: any(handler._came == MIB for handler in tus.TusHandler._writing.values()))
        return connection, address

    return writing


async def test_there_is_one_writer_at_a_time(ask: Tus, writing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tus, "STALE", 1e9)
    connection, address = await writing()
    for at in (0, MIB):
        answer = await ask("PATCH", address, patch(at), TEN)
        assert (answer.code, reason(answer)) == (423, "upload-locked")
    await until_came(ask, address, MIB)
    await connection.send(VIDEO[MIB:])
    answer = await connection.answer()
    assert (answer.code, answer.headers["Dlc-File-Id"]) == (204, sha1(VIDEO))


async def until_came(ask: Tus, address: str, expected: int) -> None:
    for _ in range(4000):
        if await offset(ask, address) == expected:
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come in time")


async def test_a_writer_that_is_silent_makes_room_for_another_one(
    ask: Tus, writing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer that slept comes back by another connection; the first one would look alive for minutes."""
    monkeypatch.setattr(tus, "STALE", 0.0)
    connection, address = await writing()
    await until_came(ask, address, MIB)
    answer = await ask("PATCH", address, patch(MIB), VIDEO[MIB:])
    assert (answer.code, answer.headers["Dlc-File-Id"]) == (204, sha1(VIDEO))
    assert await connection.is_closed()


async def test_a_writer_that_waits_for_the_disk_is_not_silent(
    ask: Tus, begin: Any, connect: Any, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tus, "STALE", 1e-9)
    write = Writer.write

    def write_slowly(self: Writer, piece: bytes) -> None:
        assert disk.wait(60)
        write(self, piece)

    monkeypatch.setattr(Writer, "write", write_slowly)
    content = random.Random(4).randbytes(24 * MIB)
    address, connection = await begin(len(content)), await connect()
    headers = TUS | patch(0, **{"Content-Length": len(content)})
    sending = asyncio.ensure_future(connection.ask("PATCH", address, headers, content))
    await until(lambda: any(handler._taking for handler in tus.TusHandler._writing.values()))
    assert (await ask("PATCH", address, patch(0), TEN)).code == 423
    disk.set()
    await sending
    assert (await connection.answer()).headers["Dlc-File-Id"] == sha1(content)


async def test_giving_up_does_not_wait_for_the_writer(ask: Tus, writing: Any, services: Services) -> None:
    """A browser that breaks off sends DELETE before the server has noticed that the connection is gone."""
    connection, address = await writing()
    assert (await ask("DELETE", address)).code == 204
    assert await connection.is_closed()
    assert (await ask("HEAD", address)).code == 404
    assert list(services.files.unfinished.iterdir()) == []


async def test_many_uploads_at_the_same_time(ask: Tus, begin: Any, services: Services) -> None:
    async def send(number: int) -> None:
        content = bytes([number]) * (2 * MIB + number)
        address = await begin(len(content))
        await ask("PATCH", address, patch(0), content[:MIB])
        answer = await ask("PATCH", address, patch(MIB), content[MIB:])
        assert answer.headers["Dlc-File-Id"] == sha1(content)

    await asyncio.gather(*(send(number) for number in range(6)))
    assert len(services.files.page()) == 6
    await until(lambda: not tus.TusHandler._writing)
    assert list(services.files.unfinished.iterdir()) == []


async def test_one_connection_takes_one_piece_after_another(begin: Any, connect: Any) -> None:
    address, connection = await begin(), await connect()
    for at in range(0, len(VIDEO), MIB):
        piece = VIDEO[at : at + MIB]
        await connection.ask("PATCH", address, TUS | patch(at, **{"Content-Length": len(piece)}), piece)
        answer = await connection.answer()
        assert (answer.code, answer.headers["Upload-Offset"]) == (204, str(at + len(piece)))
    assert answer.headers["Dlc-File-Id"] == sha1(VIDEO)


async def test_large_pieces_are_read_as_of_any_upload(ask: Tus, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, receive = [], UploadHandler.receive

    async def noticed(self: UploadHandler, chunk: bytes) -> None:
        sizes.append(len(chunk))
        await receive(self, chunk)

    monkeypatch.setattr(UploadHandler, "receive", noticed)
    await ask("PATCH", await begin(), patch(0), VIDEO)
    assert max(sizes) > 256 << 10
