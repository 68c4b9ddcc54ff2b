"""A real server with its worker, whose engine imports no DeepLabCut, and analyses that invent poses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter import demo
from dlc_jupyter.client import Client
from dlc_jupyter.commands.server import OwnServer

MIB = 1 << 20
PLUGIN = Path(__file__).parent / "plugin"


def until(condition: Callable[[], Any]) -> Any:
    """Return what a condition gives as soon as that is true."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


@contextmanager
def serving(folder: Path, **options: Any) -> Iterator[OwnServer]:
    """``jupyter dlc`` as a process of its own, ready at once."""
    options = {"data_dir": str(folder / "data"), "min_free_bytes": 0, "threads": 1} | options
    config = folder / "config.py"
    config.write_text("".join(f"c.DLCApp.{name} = {value!r}\n" for name, value in options.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_JUPYTER_PRELOAD", "")
        patch.setenv("PYTHONPATH", str(PLUGIN), prepend=os.pathsep)
        with OwnServer(config, folder) as server:
            yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    models = {demo.MODEL_NAME: str(demo.MODEL)}
    with serving(tmp_path_factory.mktemp("server"), max_upload_bytes=64 * MIB, models=models) as running:
        yield running


@pytest.fixture
def client(server: OwnServer) -> Client:
    return server.client


@pytest.fixture
def video(client: Client, tmp_path: Path) -> str:
    """The id of what passes for a video."""
    path = tmp_path / "mouse.mp4"
    path.write_bytes(b"video " + os.urandom(8))
    return client.upload(path)
