"""The server that a command has for itself, as ``dlc-jupyter demo`` does."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from dlc_jupyter.commands.server import OwnServer, ServerFailed
from tests.system.servers import alive, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLC_JUPYTER_PRELOAD", "")
    path = tmp_path / "config.py"
    path.write_text(f"c.DLCApp.data_dir = {str(tmp_path / 'data')!r}\n")
    return path


def test_it_is_there_for_as_long_as_it_is_needed_and_leaves_nothing(config, tmp_path):
    with OwnServer(config, tmp_path / "run") as server:
        analysis_id = server.client.run("sleep", time=600)
        wait_until(lambda: server.client.status(analysis_id)["progress"])
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 3, "a worker, an engine, an analysis"
    assert not any(map(alive, family))
    with pytest.raises(ConnectionError):
        server.client.server()


def test_one_that_cannot_start_says_why_and_leaves_nothing(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = OwnServer(config, tmp_path / "run", ["--DLCApp.device=abacus"])
    with pytest.raises(ServerFailed, match="device must be auto, cpu, cuda or cuda:<number>, not 'abacus'"), own:
        pass
    assert own.process is None
    assert "Traceback" not in own.log_tail(1000)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.py", "run"]
