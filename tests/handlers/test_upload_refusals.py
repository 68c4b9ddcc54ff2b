"""Uploads that cannot be taken: a status, a stable reason, a sentence that says what to do, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer

from dlc_jupyter.handlers import files as files_module
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.storage import incoming
from tests.handlers.connections import BOUNDARY, FORM, multipart, until

FILE = 'name="file"; filename="mouse.mp4"'
WHOLE = multipart((FILE, b"a video"))
END = f"--{BOUNDARY}--\r\n".encode()


def refusal(answer: Any, code: int, reason: str, message: str) -> dict[str, Any]:
    """Check a refusal, and return its body."""
    body: dict[str, Any] = json.loads(answer.body)
    assert (answer.code, body["reason"]) == (code, reason), body
    assert message in body["message"]
    assert answer.headers["Content-Type"] == "application/json"
    return body


# -- forms -------------------------------------------------------------------------------------------------------------

REFUSED_FORMS = {
    "an empty form": (END, "no-file-field", "curl: -F file=@"),
    "only other fields": (multipart(('name="comment"', b"hello")), "no-file-field", "as the field 'file'"),
    "the file in another field": (
        multipart(('name="video"; filename="mouse.mp4"', b"a video")),
        "no-file-field",
        "in the field 'file', not in 'video'",
    ),
    "an empty name": (multipart(('name="file"; filename=""', b"a video")), "no-file-name", "has no name"),
    "no name": (multipart(('name="file"', b"a video")), "no-file-name", "has no name"),
    "a name of spaces": (multipart(('name="file"; filename="  "', b"a video")), "no-file-name", "has no name"),
    "a name that is a folder": (multipart(('name="file"; filename="../.."', b"a")), "no-file-name", "has no name"),
    "a name of newlines": (multipart(('name="file"; filename="%0D%0A"', b"a")), "no-file-name", "has no name"),
    "an empty file": (multipart((FILE, b"")), "empty-file", "is empty"),
    "two files": (multipart((FILE, b"one"), (FILE, b"two")), "second-file", "Send each file in a request of its own"),
    "a file and a text of the same name": (
        multipart((FILE, b"one"), ('name="file"', b"two")),
        "second-file",
        "a second field 'file'",
    ),
    "a form that ends in the middle": (WHOLE[:-30], "broken-multipart", "complete"),
    "a form without its last dashes": (WHOLE[:-4], "broken-multipart", "complete"),
    "another boundary": (WHOLE.replace(b"tests", b"other"), "broken-multipart", "with a boundary"),
    "no form at all": (b'{"path": "mouse.mp4"}', "broken-multipart", "must be multipart/form-data"),
    "nothing": (b"", "broken-multipart", "must be multipart/form-data"),
    "a part without a name": (multipart(('filename="a"', b"a")), "broken-multipart", "The form is broken"),
    "a part without headers": (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, "broken-multipart", "The form is broken"),
    "a header that is none": (WHOLE.replace(b"Content-Disposition", b"Content Disp\0"), "broken-multipart", "broken"),
    "a header without end": (WHOLE.replace(b"mouse", b"m" * 20_000), "broken-multipart", "The form is broken"),
    "too many fields": (multipart(*[('name="a"', b"1")] * 101), "too-many-fields", "more than 100 fields"),
    "too much text": (multipart(('name="a"', b"1" * 70_000), (FILE, b"a")), "field-too-long", "too long"),
}


@pytest.mark.parametrize("what", REFUSED_FORMS)
async def test_a_form_that_cannot_be_taken_is_refused(api: Any, store_is_empty: Any, what: str) -> None:
    body, reason, message = REFUSED_FORMS[what]
    refusal(await api("file", method="POST", headers=FORM, body=body), 400, reason, message)
    await store_is_empty()


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 300,
        "Multipart/Form-Data;charset=utf-8",
    ],
)
async def test_a_form_without_a_proper_boundary_is_refused(api: Any, store_is_empty: Any, kind: str) -> None:
    answer = await api("file", method="POST", headers={"Content-Type": kind}, body=WHOLE)
    refusal(answer, 400, "broken-multipart", "with a boundary")
    await store_is_empty()


# -- bodies that are no forms ------------------------------------------------------------------------------------------

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
REFUSED_BODIES = {
    "nothing": (None, b"", 400, "no-file-field", "curl: -F file=@"),
    "JSON without a path": (JSON, b"{}", 400, "no-file-field", "'path'"),
    "JSON that is none": (JSON, b"{", 400, "bad-json", "not valid JSON"),
    "JSON in no known letters": (JSON, b'{"path": "\xff"}', 400, "bad-json", "not valid JSON"),
    "JSON of brackets": (JSON, b'{"path": ' + b"[" * 60_000, 400, "bad-json", "not valid JSON"),
    "a list": (JSON, b'["mouse.mp4"]', 400, "bad-json", "must be a JSON object"),
    "a number for a path": (JSON, b'{"path": 1}', 400, "bad-path", "'path' must be one text"),
    "two paths": (URLENCODED, b"path=a&path=b", 400, "bad-path", "'path' must be one text"),
    "a form without a path": (URLENCODED, b"file=mouse.mp4", 400, "no-file-field", "as the field 'file'"),
    "bare bytes": ("video/mp4", b"a video", 400, "unknown-content-type", "multipart/form-data"),
    "many bare bytes": ("video/mp4", bytes(1 << 17), 413, "too-large", "as the field 'file' of a multipart form"),
    "much JSON": (JSON, b" " * (1 << 17), 413, "too-large", "at most 64 KiB"),
}


@pytest.mark.parametrize("what", REFUSED_BODIES)
async def test_a_body_that_holds_neither_a_file_nor_a_path_is_refused(api: Any, store_is_empty: Any, what: str) -> None:
    kind, body, code, reason, message = REFUSED_BODIES[what]
    answer = await api("file", method="POST", headers={"Content-Type": kind} if kind else {}, body=body)
    refusal(answer, code, reason, message)
    await store_is_empty()


async def test_a_file_sent_with_the_wrong_verb_is_refused_before_it_is_read(connect: Any, store_is_empty: Any) -> None:
    connection = await connect()
    await connection.ask("PUT", "file", FORM | {"Content-Length": 1 << 40}, WHOLE)
    answer = await connection.answer()
    assert answer.code == 405
    assert answer.headers["Allow"] == "GET, POST"
    await store_is_empty()


# -- too large ---------------------------------------------------------------------------------------------------------

LIMITED = pytest.mark.parametrize("dlc_options", [{"max_upload_bytes": 1 << 20}], indirect=True)


@LIMITED
async def test_exactly_the_limit_is_taken_and_a_byte_more_is_refused(
    api: Any, upload: Any, services: Services, bytes_in_store: Any
) -> None:
    assert (await upload(bytes(1 << 20))).code == 200
    body = refusal(await upload(bytes((1 << 20) + 1)), 413, "too-large", "larger than 1 MiB, the most that may be sent")
    assert body["limit"] == 1 << 20
    await until(lambda: list(bytes_in_store().values()) == [1 << 20])
    assert len(services.files.page()) == 1


@LIMITED
async def test_a_length_over_the_limit_is_refused_before_a_byte_of_it_is_sent(
    connect: Any, store_is_empty: Any
) -> None:
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Content-Length": 5 << 30})
    answer = await connection.answer()
    refusal(answer, 413, "too-large", "larger than 1 MiB")
    assert answer.headers["Connection"] == "close"
    await store_is_empty()


@LIMITED
async def test_without_a_length_the_limit_counts_all_the_same(connect: Any, store_is_empty: Any) -> None:
    connection = await connect()
    head, tail = multipart((FILE, b"|")).split(b"|")
    await connection.ask("POST", "file", FORM | {"Transfer-Encoding": "chunked"})
    for piece in (head, *[bytes(1 << 18)] * 5, tail):
        await connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
    await connection.send(b"0\r\n\r\n")
    refusal(await connection.answer(), 413, "too-large", "larger than 1 MiB")
    await store_is_empty()


@LIMITED
async def test_a_stream_without_end_is_refused_while_it_is_still_coming(
    connect: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "CHECK_EVERY", 1 << 20)
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Transfer-Encoding": "chunked"})
    piece = multipart((FILE, b"|")).partition(b"|")[0]
    sending = asyncio.ensure_future(send_for_ever(connection, piece))
    refusal(await connection.answer(), 413, "too-large", "larger than 1 MiB")
    assert not sending.done()
    sending.cancel()
    await store_is_empty()


async def send_for_ever(connection: Any, piece: bytes) -> None:
    while True:
        await connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        piece = bytes(1 << 16)


# -- no room -----------------------------------------------------------------------------------------------------------


async def test_a_disk_that_is_full_in_the_middle_of_an_upload(upload: Any, store_is_empty: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))  # the system takes no more of a file than that
    try:
        refusal(await upload(bytes(8 << 20)), 507, "disk-full", "Delete files that are no longer needed")
        await store_is_empty()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (await upload(bytes(8 << 20))).code == 200


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[None]:
    """A data folder on a disk of 8 MiB. Only root can mount one."""
    data_dir.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(data_dir)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("only root can mount a small file system")
    yield
    subprocess.run(["umount", "--lazy", str(data_dir)], check=True)


async def test_a_file_that_is_larger_than_the_disk(
    small_disk: None, upload: Any, send: Any, store_is_empty: Any
) -> None:
    refusal(await upload(bytes(9 << 20)), 507, "disk-full", "Delete files that are no longer needed")
    await store_is_empty()
    assert (await upload(bytes(3 << 20))).code == 200


async def test_a_disk_without_room_for_a_row_is_full_and_keeps_no_bytes(
    small_disk: None, upload: Any, api: Any, store_is_empty: Any, data_dir: Path
) -> None:
    with tempfile.NamedTemporaryFile(dir=data_dir) as filling:
        os.posix_fallocate(filling.fileno(), 0, os.statvfs(data_dir).f_bavail * os.statvfs(data_dir).f_frsize - 8192)
        refusal(await upload(b"a video"), 507, "disk-full", "Delete files that are no longer needed")
        await store_is_empty()
        assert json.loads((await api("file")).body) == []
    assert (await upload(b"a video")).code == 200


@pytest.mark.parametrize("dlc_options", [{"min_free_bytes": 1 << 60}], indirect=True)
async def test_an_upload_that_would_leave_too_little_room_is_refused(upload: Any, store_is_empty: Any) -> None:
    refusal(await upload(b"a video"), 507, "disk-full", "Delete files that are no longer needed")
    await store_is_empty()


QUOTA = pytest.mark.parametrize("dlc_options", [{"store_quota_bytes": 1 << 20}], indirect=True)


@QUOTA
async def test_more_than_the_quota_is_refused(upload: Any, services: Services, bytes_in_store: Any) -> None:
    assert (await upload(bytes(1 << 19))).code == 200
    refusal(await upload(b"x" * (1 << 20)), 507, "quota-exceeded", "may take 1 MiB together")
    await until(lambda: list(bytes_in_store().values()) == [1 << 19])
    assert len(services.files.page()) == 1


@QUOTA
async def test_a_length_over_the_quota_is_refused_before_a_byte_of_it_is_sent(
    connect: Any, store_is_empty: Any
) -> None:
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Content-Length": 5 << 30})
    refusal(await connection.answer(), 507, "quota-exceeded", "Delete files that are no longer needed")
    await store_is_empty()


@QUOTA
async def test_uploads_that_nobody_used_make_room_for_a_new_one(
    upload: Any, services: Services, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "FORM_OVERHEAD", 0)
    old = json.loads((await upload(bytes(1 << 19))).body)["file_id"]
    refusal(await upload(bytes(1 << 20)[:-1000]), 507, "quota-exceeded", "may take 1 MiB together")
    services.files.clock = lambda: 4e9  # years later
    new = await upload(bytes(1 << 20)[:-1000])
    assert new.code == 200
    assert [file.file_id for file in services.files.page()] == [json.loads(new.body)["file_id"]] != [old]


# -- strangers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "token wrong"])
async def test_a_stranger_s_file_is_refused_before_it_is_read(
    connect: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch, authorization: str | None
) -> None:
    monkeypatch.setattr(files_module, "FormReader", None)  # it would not even be looked into
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Content-Length": 1 << 30, "Authorization": authorization}, WHOLE)
    says = "This is not the server's token" if authorization else "Give the server's token"
    refusal(await connection.answer(), 403, "authentication-required", says)
    await store_is_empty()


class ReadersOnly(Authorizer):
    """Lets everybody look, and nobody send anything."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"


async def test_the_file_of_one_who_may_only_read_is_refused_before_it_is_read(
    connect: Any, jp_serverapp: Any, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jp_serverapp.web_app.settings["authorizer"] = ReadersOnly(parent=jp_serverapp)
    monkeypatch.setattr(files_module, "FormReader", None)
    connection = await connect()
    await connection.ask("POST", "file", FORM | {"Content-Length": 1 << 30}, WHOLE)
    refusal(await connection.answer(), 403, "forbidden", "not authorized to write")
    connection = await connect()
    await connection.ask("GET", "file")
    assert (await connection.answer()).code == 200
    await store_is_empty()


async def test_a_browser_s_cross_site_post_of_a_file_leaves_nothing(
    connect: Any, jp_serverapp: Any, store_is_empty: Any
) -> None:
    connection = await connect()
    token = jp_serverapp.identity_provider.token
    await connection.ask("GET", f"status?token={token}", {"Authorization": None})
    cookies = (await connection.answer()).headers.get_all("Set-Cookie", [])
    cookie = "; ".join(each.partition(";")[0] for each in cookies)
    headers = FORM | {"Authorization": None, "Cookie": cookie, "Origin": "https://elsewhere.example"}
    await connection.ask("POST", "file", headers | {"Content-Length": len(WHOLE)}, WHOLE)
    answer = await connection.answer()
    assert answer.code in (403, 404)
    assert json.loads(answer.body)["message"]
    await store_is_empty()
