"""``dlc-jupyter check``: what it finds of the data folder, its disk, its database and its worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dlc_jupyter.commands import findings
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage import disk
from dlc_jupyter.storage.database import Database, database_url


def test_a_data_folder_on_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"1 0 0:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:2 / {tmp_path} rw,relatime - nfs4 nas:/lab rw,vers=4.2\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    folder, room = findings.data_folder(Settings(data_dir=str(tmp_path / "dlc"), min_free_bytes=0))
    assert (folder.state, room.state) == ("warning", "ok")
    assert "network file system (nfs4)" in folder.text
    assert "data_dir" in folder.advice


def test_a_data_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    folder, _ = findings.data_folder(Settings(data_dir=str(tmp_path / "a" / "b"), min_free_bytes=0))
    assert folder.text == f"{tmp_path / 'a' / 'b'} (it will be made), on a local disk"
    assert not (tmp_path / "a").exists()


def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = findings.data_folder(Settings(data_dir=str(tmp_path / "file" / "dlc")))
    assert (finding.subject, finding.state) == ("Data folder", "missing")
    assert "cannot be written" in finding.text


def test_a_data_folder_of_somebody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write everywhere
    (finding,) = findings.data_folder(Settings(data_dir=str(tmp_path / "dlc")))
    assert finding.state == "missing"
    assert "owner" in finding.advice


def test_a_full_disk(tmp_path: Path) -> None:
    _, room = findings.data_folder(Settings(data_dir=str(tmp_path), min_free_bytes=1 << 60))
    assert (room.subject, room.state) == ("Disk", "missing")
    assert "uploads stop at 1,048,576 TiB (min_free_bytes)" in room.text
    assert "dlc-jupyter cleanup --dry-run" in room.advice


def heard_of_a_worker(settings: Settings, seconds_ago: float) -> None:
    settings.root.mkdir()
    database = Database(database_url(settings.root, ""))
    Roster(database).show("here/1/a", time.time() - seconds_ago, {})
    database.close()


def test_a_worker_that_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "dlc"))
    heard_of_a_worker(settings, 7)
    finding = findings.worker(settings)
    assert (finding.state, finding.text) == ("ok", "running, heard of 7 s ago")


@pytest.mark.parametrize("seconds_ago", [None, 3600])
def test_a_worker_that_does_not_run(tmp_path: Path, seconds_ago: float | None) -> None:
    settings = Settings(data_dir=str(tmp_path / "dlc"))
    if seconds_ago:
        heard_of_a_worker(settings, seconds_ago)
    assert findings.worker(settings).state == "ok"  # the server will start one
    settings.start_worker = False
    finding = findings.worker(settings)
    assert finding.state == "warning"
    assert "dlc-jupyter worker" in finding.advice


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "dlc.db").write_bytes(b"This is no database. " * 1000)
    finding = findings.worker(Settings(data_dir=str(tmp_path)))
    assert (finding.subject, finding.state) == ("Database", "missing")
    assert f"{tmp_path / 'dlc.db'} cannot be opened: file is not a database" in finding.text
