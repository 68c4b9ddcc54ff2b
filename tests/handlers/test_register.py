"""Files that lie under the server's root already: taken by their path, without a copy, and never from outside."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter.handlers.base import Services
from dlc_jupyter.storage import files as store_module
from tests.handlers.connections import until


@pytest.fixture
def root(jp_root_dir: Path) -> Path:
    (jp_root_dir / "videos").mkdir()
    (jp_root_dir / "videos" / "day1.mp4").write_bytes(b"my video")
    return jp_root_dir


async def refused(api: Any, path: str, code: int, reason: str) -> dict[str, Any]:
    answer = await api("file", json={"path": path})
    body: dict[str, Any] = json.loads(answer.body)
    assert (answer.code, body["reason"]) == (code, reason), body
    return body


async def test_a_file_on_the_server_becomes_a_file_here_without_a_copy(
    api: Any, root: Path, services: Services
) -> None:
    answer = await api("file", json={"path": "videos/day1.mp4"})
    assert answer.code == 200
    file = json.loads(answer.body)
    assert (file["filename"], file["size"], file["origin"]) == ("day1.mp4", 8, "path")
    assert file["content_type"] == "video/mp4"
    fetched = await api("file", file["file_id"])
    assert fetched.body == b"my video"
    assert 'filename="day1.mp4"' in fetched.headers["Content-Disposition"]
    assert services.files.used_bytes() == 0
    assert (root / "videos" / "day1.mp4").samefile(services.files.path(file["file_id"]))


async def test_the_path_may_come_in_every_form(api: Any, send: Any, root: Path, bytes_in_store: Any) -> None:
    path = "videos/day1.mp4"
    answers = [
        await api("file", json={"path": path}),
        await api("file", json={"path": "/" + path}),
        await api("file", form={"path": path}),
        await api(
            "file",
            body="path=videos%2Fday1.mp4",
            headers={"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"},
        ),
        await send(('name="path"', path.encode())),
    ]
    assert {answer.code for answer in answers} == {200}
    assert len({json.loads(answer.body)["file_id"] for answer in answers}) == 1
    await until(lambda: len(bytes_in_store()) == 1)


async def test_a_registered_and_a_sent_file_of_the_same_bytes_are_one(api: Any, upload: Any, root: Path) -> None:
    await upload(b"my video", "sent.mp4")
    file = json.loads((await api("file", json={"path": "videos/day1.mp4"})).body)
    assert file["names"] == ["day1.mp4", "sent.mp4"]
    assert len(json.loads((await api("file")).body)) == 1


async def test_names_of_all_kinds_become_harmless(api: Any, root: Path) -> None:
    for name in ("Maus_über.mp4", 'it\'s "here".mp4', "two\nlines.mp4", "100%.mp4"):
        (root / name).write_bytes(name.encode())
        file = json.loads((await api("file", json={"path": name})).body)
        assert file["filename"] == name.replace("\n", "")


async def test_a_link_that_stays_inside_is_followed(api: Any, root: Path) -> None:
    (root / "latest.mp4").symlink_to("videos/day1.mp4")
    assert json.loads((await api("file", json={"path": "latest.mp4"})).body)["filename"] == "day1.mp4"


# -- never from outside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../secret", "videos/../../secret", "..", "", "/", "a\0b"])
async def test_a_path_that_leaves_the_root_is_refused(api: Any, root: Path, store_is_empty: Any, path: str) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    body = await refused(api, path, 400, "bad-path")
    assert "relative to the server's root directory, such as videos/day1.mp4" in body["message"]
    await store_is_empty()


async def test_an_absolute_path_means_one_under_the_root(api: Any, root: Path, store_is_empty: Any) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    await refused(api, str(root.parent / "secret"), 404, "unknown-path")
    await refused(api, "/etc/passwd", 404, "unknown-path")
    await store_is_empty()


@pytest.mark.parametrize("target", ["../secret", "absolute", ".."])
async def test_a_link_that_leaves_the_root_is_refused(api: Any, root: Path, store_is_empty: Any, target: str) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(root.parent / "secret" if target == "absolute" else target)
    body = await refused(api, "link/secret" if target == ".." else "link", 404, "unknown-path")
    assert str(root.parent) not in json.dumps(body)
    await store_is_empty()


@pytest.mark.parametrize("path", [".ssh/key", "videos/.hidden.mp4"])
async def test_hidden_files_are_refused(api: Any, root: Path, store_is_empty: Any, path: str) -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(b"hidden")
    await refused(api, path, 404, "unknown-path")
    await store_is_empty()


async def test_hidden_files_are_taken_where_the_server_shows_them(api: Any, root: Path, jp_serverapp: Any) -> None:
    jp_serverapp.contents_manager.allow_hidden = True
    (root / ".hidden.mp4").write_bytes(b"hidden")
    assert (await api("file", json={"path": ".hidden.mp4"})).code == 200


@pytest.fixture
def inside(dlc_options: dict[str, Any], jp_root_dir: Path) -> Path:
    """The data folder lies under the server's root directory."""
    dlc_options["data_dir"] = str(jp_root_dir / "dlc")
    return jp_root_dir / "dlc"


async def test_nothing_is_taken_out_of_the_data_folder(inside: Path, api: Any, upload: Any) -> None:
    file_id = json.loads((await upload(b"a video")).body)["file_id"]
    assert (inside / "dlc.db").exists()
    for path in ("dlc/dlc.db", f"dlc/files/{file_id[:2]}/{file_id[2:]}", "dlc/files.lock"):
        await refused(api, path, 404, "unknown-path")
    assert len(json.loads((await api("file")).body)) == 1


# -- no file -----------------------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_not_found(api: Any, root: Path, store_is_empty: Any) -> None:
    for path in ("videos/day2.mp4", "videos/day1.mp4/x", "n" * 300, "\ud800", "dir/" * 2000):
        body = await refused(api, path, 404, "unknown-path")
        assert "under the server's root directory" in body["message"]
    await store_is_empty()


async def test_folders_and_pipes_are_refused_at_once(api: Any, root: Path, store_is_empty: Any) -> None:
    os.mkfifo(root / "pipe")
    for path in ("videos", "videos/", "pipe"):
        body = await refused(api, path, 400, "not-a-file")
        assert "must name a file" in body["message"]
    await store_is_empty()


async def test_an_empty_file_is_refused(api: Any, root: Path, store_is_empty: Any) -> None:
    (root / "empty.mp4").touch()
    body = await refused(api, "empty.mp4", 400, "empty-file")
    assert "Choose a file that holds something" in body["message"]
    await store_is_empty()


# -- later, meanwhile, too much ----------------------------------------------------------------------------------------


async def test_a_file_that_changes_after_it_was_registered_is_never_served_as_what_it_was(api: Any, root: Path) -> None:
    path = root / "videos" / "day1.mp4"
    file_id = json.loads((await api("file", json={"path": "videos/day1.mp4"})).body)["file_id"]
    path.write_bytes(b"another!")
    os.utime(path, ns=(1, 1))
    answer = await api("file", file_id)
    assert answer.code == 409
    body = json.loads(answer.body)
    assert body["reason"] == "file-changed"
    assert "Register it again" in body["message"]
    again = json.loads((await api("file", json={"path": "videos/day1.mp4"})).body)["file_id"]
    assert again != file_id
    assert (await api("file", again)).body == b"another!"


async def test_a_file_that_is_still_being_recorded_is_refused(
    api: Any, root: Path, store_is_empty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = store_module.pieces

    def pieces_of_what_grows(descriptor: int) -> Any:
        with (root / "videos" / "day1.mp4").open("ab") as recording:
            recording.write(b" and more")
        return pieces(descriptor)

    monkeypatch.setattr(store_module, "pieces", pieces_of_what_grows)
    body = await refused(api, "videos/day1.mp4", 409, "file-changed")
    assert "Try again when it is complete" in body["message"]
    await store_is_empty()


@pytest.mark.parametrize("dlc_options", [{"store_quota_bytes": 1000}], indirect=True)
async def test_a_copy_makes_room_as_an_upload_does(
    api: Any, upload: Any, root: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(store_module.Path, "hardlink_to", no_links)
    assert (await upload(bytes(900), "old.mp4")).code == 200
    (root / "new.mp4").write_bytes(b"n" * 900)
    await refused(api, "new.mp4", 507, "quota-exceeded")
    services.files.clock = lambda: 4e9  # years later
    assert (await api("file", json={"path": "new.mp4"})).code == 200
    assert [file.filename for file in services.files.page()] == ["new.mp4"]


async def test_what_takes_no_room_costs_nobody_a_file(api: Any, upload: Any, root: Path, services: Services) -> None:
    assert (await upload(bytes(900), "old.mp4")).code == 200
    services.files.clock = lambda: 4e9  # years later
    services.settings.store_quota_bytes = 500
    assert (await api("file", json={"path": "videos/day1.mp4"})).code == 200
    services.settings.min_free_bytes = 1 << 60
    assert (await api("file", json={"path": "videos/day1.mp4"})).code == 200
    assert [file.filename for file in services.files.page()] == ["day1.mp4", "old.mp4"]


async def test_reading_large_files_keeps_nobody_waiting(
    api: Any, connect: Any, root: Path, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, begun = store_module.pieces, threading.Event()

    def slow_pieces(descriptor: int) -> Any:
        begun.set()
        assert disk.wait(60)
        return pieces(descriptor)

    monkeypatch.setattr(store_module, "pieces", slow_pieces)
    body = b'{"path": "videos/day1.mp4"}'
    registering = [await connect() for _ in range(12)]
    for connection in registering:
        await connection.ask("POST", "file", {"Content-Type": "application/json", "Content-Length": len(body)}, body)
    await until(begun.is_set)
    for _ in range(5):
        assert json.loads((await api("file")).body) == []
    disk.set()
    for connection in registering:
        assert (await connection.answer()).code == 200
