"""The server that commands start for themselves: it is there within the block, and nothing of it afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dlc_jupyter import demo
from dlc_jupyter.commands import server
from dlc_jupyter.commands.server import OwnServer, ServerFailed

Processes = Callable[[Path], list[psutil.Process]]


@pytest.fixture(autouse=True)
def quick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine imports no DeepLabCut."""
    monkeypatch.setenv("DLC_JUPYTER_PRELOAD", "")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lab.py"
    path.write_text(
        f"c.DLCApp.data_dir = {str(tmp_path / 'data')!r}\n"
        f"c.DLCApp.models = {{{demo.MODEL_NAME!r}: {str(demo.MODEL)!r}}}\n"
        "c.DLCApp.min_free_bytes = 0\n"
    )
    return path


def test_it_answers_and_is_gone_afterwards_with_its_worker_and_engine(
    config: Path, config_dir: Path, tmp_path: Path, command: Any, processes_of: Processes
) -> None:
    for name in ("jupyter_config", "jupyter_dlc_config"):  # the user's own, for the user's own servers
        (config_dir / f"{name}.py").write_text("c.ServerApp.base_url = '/mine'\nc.DLCApp.threads = 99\n")
    with OwnServer(config, tmp_path) as own:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", own.url)
        client = own.client
        assert client.wait(client.run("sleep", time=0), timeout=60)["sleep_time"] == 0
        assert client.models() == json.loads(command("models", "--json", f"--config={config}").out)
        there = processes_of(tmp_path)
        assert len(there) >= 3  # the server, its worker, the engine
        assert all(own.token not in " ".join(process.cmdline()) for process in there)
        client.run("sleep", time=600)
    assert processes_of(tmp_path) == []
    assert "Traceback" not in own.log.read_text()
    own.stop()  # again: nothing happens


def test_an_exception_in_the_block_ends_it_too(config: Path, tmp_path: Path, processes_of: Processes) -> None:
    with pytest.raises(KeyboardInterrupt), OwnServer(config, tmp_path):
        raise KeyboardInterrupt
    assert processes_of(tmp_path) == []


def test_what_a_killed_server_leaves_ends_by_itself(
    config: Path, tmp_path: Path, processes_of: Processes, wait_until: Callable[..., Any]
) -> None:
    with OwnServer(config, tmp_path) as own:
        client = own.client
        client.wait(client.run("sleep", time=0), timeout=60)
        assert own.process is not None
        os.kill(own.process.pid, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            client.server()
    wait_until(lambda: processes_of(tmp_path) == [])


def test_a_server_that_does_not_start_says_how_its_log_ends(
    config: Path, tmp_path: Path, processes_of: Processes
) -> None:
    config.write_text("c.ServerApp.root_dir = '/nowhere/at/all'\n")
    with pytest.raises(ServerFailed, match=r"ended at once, with status 1(.|\n)*No such directory: ''/nowhere/at/all"):
        OwnServer(config, tmp_path).__enter__()
    assert processes_of(tmp_path) == []


def test_a_server_that_cannot_work_says_why_at_once(config: Path, tmp_path: Path, processes_of: Processes) -> None:
    (tmp_path / "data").write_text("I am no folder.")
    with pytest.raises(ServerFailed, match=r"cannot use its data folder(.|\n)*log ends so:\n(.|\n)*data"):
        OwnServer(config, tmp_path).__enter__()
    assert processes_of(tmp_path) == []


def test_a_server_that_never_listens_is_given_up(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes_of: Processes
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'I take my time.'\nexec sleep 600\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(server, "START_SECONDS", 2.0)
    with pytest.raises(ServerFailed, match=r"did not answer within 2 s(.|\n)*I take my time\."):
        OwnServer(config, tmp_path).__enter__()
    assert processes_of(tmp_path) == []


def test_the_end_of_a_log_that_is_not_there_is_nothing(config: Path, tmp_path: Path) -> None:
    assert OwnServer(config, tmp_path).log_tail() == ""
