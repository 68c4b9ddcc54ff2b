"""Commands as they are typed, with no configuration but what a test writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from dlc_jupyter.cli import main


@pytest.fixture(autouse=True)
def config_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Jupyter looks for a user's configuration files; nothing of this machine's own is found."""
    folder = tmp_path_factory.mktemp("jupyter")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    for paths in ("SYSTEM_CONFIG_PATH", "ENV_CONFIG_PATH"):
        monkeypatch.setattr(f"jupyter_core.paths.{paths}", [])
    monkeypatch.setenv("COLUMNS", "100")
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``dlc-jupyter`` with these arguments."""

    def run(*arguments: object) -> Ended:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse's way
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return Ended(status, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """Return what the condition returns as soon as that is true; fail after `timeout` seconds."""

    def wait(condition: Callable[[], Any], timeout: float = 60.0) -> Any:
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)
        return found

    return wait


@pytest.fixture(scope="session")
def processes_of() -> Callable[[Path], list[psutil.Process]]:
    """Find a command's server and whatever that has started: they all know the command's runtime folder."""

    def find(folder: Path) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                runtime = process.environ().get("JUPYTER_RUNTIME_DIR", "")
            except psutil.Error:
                continue
            if runtime == str(folder / "runtime") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    return find
