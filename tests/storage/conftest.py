"""A store on a real disk with a real database; its clock stands still until it is moved."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.catalogue import StoredFile
from dlc_jupyter.storage.database import Database, analyses, analysis_files, database_url
from dlc_jupyter.storage.files import FileStore


class Clock:
    """Moves on only when it is told to."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def settings(root: Path) -> Settings:
    return Settings(data_dir=str(root), min_free_bytes=0)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(database_url(settings.root, settings.database_url))
    yield database
    database.close()


@pytest.fixture
def store(settings: Settings, database: Database, clock: Clock) -> FileStore:
    return FileStore(settings, database, clock=clock)


@pytest.fixture
def put(store: FileStore) -> Callable[..., StoredFile]:
    """Store bytes as an upload: ``put(b"…", "mouse.mp4")``."""

    def put(content: bytes, filename: str = "mouse.mp4", **how: Any) -> StoredFile:
        incoming = store.receive()
        incoming.append(content)
        return incoming.finish(filename, **how)

    return put


@pytest.fixture
def own_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file as a user has it, outside of the store."""

    def own_file(content: bytes, name: str = "own.mp4") -> Path:
        path = tmp_path / "users" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return own_file


@pytest.fixture
def taken_by(database: Database) -> Callable[..., None]:
    """Write down an analysis that takes, or has made, files."""

    def taken_by(analysis_id: str, state: str, *file_ids: str, role: str = "input") -> None:
        row = {"analysis": "video", "parameters": {}, "owner": "", "created": 0.0, "attempt": 0, "state": state}
        with database.write() as connection:
            connection.execute(analyses.insert().values(analysis_id=analysis_id, cancel_requested=False, **row))
            for position, file_id in enumerate(file_ids):
                link = {"analysis_id": analysis_id, "role": role, "position": position, "file_id": file_id}
                connection.execute(analysis_files.insert().values(link))

    return taken_by


@pytest.fixture
def ended(database: Database) -> Callable[[str], None]:
    """Let an analysis succeed."""

    def ended(analysis_id: str) -> None:
        with database.write() as connection:
            this = analyses.c.analysis_id == analysis_id
            connection.execute(sa.update(analyses).where(this).values(state="succeeded"))

    return ended


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture(name="sha1")
def sha1_fixture() -> Callable[[bytes], str]:
    return sha1


def bytes_in(store: FileStore) -> dict[str, int]:
    """Every file that takes room in the store: its path in the data folder, and its size."""
    found = [path for folder in (store.content, store.incoming) for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(store.root)): path.stat().st_size for path in found}


@pytest.fixture(name="bytes_in")
def bytes_in_fixture() -> Callable[[FileStore], dict[str, int]]:
    return bytes_in


def wait_until(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """Return what `condition` returns as soon as that is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return found


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def another_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on another file system than the store, to which nothing can be linked."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and memory.stat().st_dev != tmp_path.stat().st_dev:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            yield Path(folder)
    else:
        yield request.getfixturevalue("small_disk")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB. Only root can mount one."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", folder], capture_output=True, check=False
        )
        if not mounted or mounted.returncode:
            pytest.skip("only root can mount a small file system")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
