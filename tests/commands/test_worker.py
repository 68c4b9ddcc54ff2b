"""``dlc-jupyter worker``: it works on the queue of the data folder it is told, alone, until it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter.jobs import processes
from dlc_jupyter.jobs.lock import has_worker, worker_prefix
from dlc_jupyter.jobs.record import Request, State
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "dlc"))


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    settings.root.mkdir()
    database = Database(database_url(settings.root, ""))
    yield Records(database)
    database.close()


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command; its engine imports no DeepLabCut. It heeds Ctrl-C whatever the tests' own shell has set."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "dlc_jupyter.cli", "worker", f"--data-dir={settings.root}", *arguments],
                env=os.environ | {"DLC_JUPYTER_PRELOAD": ""},
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        )
        return started[-1]

    yield run
    for worker in started:
        worker.kill()
        worker.wait()
        assert worker.stderr is not None
        worker.stderr.close()
    processes.end_marked(worker_prefix(settings))


def test_it_works_until_ctrl_c_and_gives_back_what_it_has_not_finished(
    settings: Settings, records: Records, start: Callable[..., subprocess.Popen[str]], wait_until: Callable[..., Any]
) -> None:
    short = records.create(Request("sleep", {"time": 0.1}), time.time())
    long = records.create(Request("sleep", {"time": 600.0}), time.time())
    worker = start("--DLCApp.threads=1")
    wait_until(lambda: records.find(short.analysis_id).state is State.SUCCEEDED)
    wait_until(lambda: records.find(long.analysis_id).state is State.RUNNING)
    worker.send_signal(signal.SIGINT)
    said = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0
    assert "The worker is at work, with 1 processor threads" in said
    assert f"Analysis {short.analysis_id} has succeeded" in said
    assert "Traceback" not in said
    assert records.find(long.analysis_id).state is State.QUEUED
    assert processes.marked(worker_prefix(settings)) == []


def test_a_second_one_says_that_there_is_one_and_ends(
    settings: Settings, start: Callable[..., subprocess.Popen[str]], wait_until: Callable[..., Any]
) -> None:
    start()
    wait_until(lambda: has_worker(settings))
    second = start()
    said = second.communicate(timeout=30)[1]
    assert second.returncode == 75  # EX_TEMPFAIL: a service manager may try again
    assert "Another worker is at work on the data folder already." in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data-dir={file}/dlc"], "The data folder {file}/dlc cannot be used: Not a directory."),
        (["--data-dir={folder}"], "The database {folder}/dlc.db cannot be opened: file is not a database."),
        (["--DLCApp.database_url=nonsense"], "The database that database_url names cannot be opened: Could not parse"),
        (
            ["--DLCApp.database_url=sqlite+nothing://u:secret@h/d"],
            "The database sqlite+nothing://u:***@h/d cannot be opened: Can't load plugin",
        ),
    ],
)
def test_what_it_cannot_work_with_is_said_in_one_line(
    command: Any, tmp_path: Path, options: list[str], said: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dlc.db").write_bytes(b"This is no database. " * 1000)
    names = {"file": folder / "dlc.db", "folder": folder}
    ended = command("worker", *(option.format(**names) for option in options))
    assert ended.status == 2
    assert ended.err.startswith(f"dlc-jupyter worker: {said.format(**names)}")
    assert ended.err.count("\n") == 1
