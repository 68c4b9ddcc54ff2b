"""``dlc-jupyter cleanup``: what it says, and that it does what it said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlc_jupyter.cli import main
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore

DAY = 86_400.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[FileStore]:
    """The store as it was forty days ago."""
    settings = Settings(data_dir=str(data), min_free_bytes=0)
    data.mkdir()
    database = Database(database_url(settings.root, ""))
    yield FileStore(settings, database, clock=lambda: time.time() - 40 * DAY)
    database.close()


def upload(store: FileStore, content: bytes, filename: str) -> str:
    incoming = store.receive()
    incoming.append(content)
    return incoming.finish(filename).file_id


def cleanup(data: Path, *arguments: str) -> int:
    return main(["cleanup", "--data-dir", str(data), "--DLCApp.min_free_bytes=0", *arguments])


def test_a_dry_run_says_what_would_go_and_why(data: Path, store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    file_id = upload(store, b"x" * 2048, "day 1.mp4")
    assert cleanup(data, "--dry-run") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "day 1.mp4" in line)
    assert line.split() == [
        *("file", file_id[:8], "day", "1.mp4", "2", "KiB"),
        *("not", "used", "for", "40", "days:", "files", "are", "kept", "for", "30", "days"),
    ]
    assert store.find(file_id)


def test_without_dry_run_it_goes(data: Path, store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    upload(store, b"x" * 2048, "day 1.mp4")
    assert cleanup(data) == 0
    assert capsys.readouterr().out.rstrip().endswith("1 thing gone, 2 KiB freed.")
    assert store.page() == []
    assert cleanup(data) == 0
    assert capsys.readouterr().out == "Nothing has to go.\n"


def test_the_ages_come_from_the_options(data: Path, store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    upload(store, b"x", "day 1.mp4")
    assert cleanup(data, "--DLCApp.expire_files_days=50", "-n") == 0
    assert capsys.readouterr().out == "Nothing has to go.\n"


def test_programs_get_json(data: Path, store: FileStore, capsys: pytest.CaptureFixture[str]) -> None:
    file_id = upload(store, b"x" * 7, "day 1.mp4")
    assert cleanup(data, "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dry_run"] is True
    assert [(each["kind"], each["id"], each["size"]) for each in said["removed"]] == [("file", file_id, 7)]


def test_too_little_room_all_the_same_is_told_and_shown_by_the_exit_status(
    data: Path, store: FileStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.clock = time.time
    file_id = upload(store, b"x" * 3072, "today.mp4")
    assert cleanup(data, "--DLCApp.store_quota_bytes=1024") == 1
    assert "Still 2 KiB too little room" in capsys.readouterr().err
    assert store.find(file_id)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cleanup(tmp_path / "nowhere") == 2
    assert "There is no data folder" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
