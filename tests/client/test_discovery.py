"""How a client finds its server: by what the kernel was started with, by what the hub says, by the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dlc_jupyter.client import Client, NoServer
from dlc_jupyter.client.discovery import Found, find_server
from dlc_jupyter.commands.server import OwnServer

#: A process that there is.
ALIVE = os.getppid()
KERNEL = {"JPY_PARENT_PID": "4194305"}  # of no process


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Let there be a Jupyter server, as far as its runtime file goes."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))

    def running(port: int, root: Path, pid: int = ALIVE, **more: object) -> str:
        url = f"http://127.0.0.1:{port}/"
        about = {"url": url, "token": f"token-{port}", "root_dir": str(root), "pid": pid, "base_url": "/", "sock": ""}
        (runtime / f"jpserver-{port}.json").write_text(json.dumps(about | more))
        return url

    return running


def test_the_environment_names_it_anywhere() -> None:
    named = {"DLC_JUPYTER_URL": "http://lab:8888/", "DLC_JUPYTER_TOKEN": "secret"}
    assert find_server(named) == ("http://lab:8888/", "secret")
    assert find_server({**named, **KERNEL}) == ("http://lab:8888/", "secret")
    assert find_server({"DLC_JUPYTER_URL": "http://lab:8888/?token=x"}).token == ""  # Client takes it from there


def test_a_kernel_belongs_to_the_server_that_started_it(running: Callable[..., str], tmp_path: Path) -> None:
    running(8001, tmp_path, pid=os.getpid())
    url = running(8002, Path("/nowhere"))
    assert find_server({"JPY_PARENT_PID": str(ALIVE)}) == Found(url, "token-8002")


def test_otherwise_the_notebooks_folder_tells_it(running: Callable[..., str], tmp_path: Path) -> None:
    running(8001, tmp_path)
    inner = running(8002, tmp_path / "lab")
    running(8003, tmp_path / "other")
    for name in ("lab/day.ipynb", "lab/deep/er/day.ipynb"):
        assert find_server({**KERNEL, "JPY_SESSION_NAME": str(tmp_path / name)}).url == inner
    assert find_server({**KERNEL, "JPY_SESSION_NAME": str(tmp_path / "day.ipynb")}).token == "token-8001"


def test_a_kernel_that_knows_no_notebook_goes_by_its_working_directory(
    running: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = running(8001, tmp_path)
    monkeypatch.chdir(tmp_path)
    for session in ({}, {"JPY_SESSION_NAME": "7f2c-a-name-of-a-session"}):
        assert find_server({**KERNEL, **session}).url == url


def test_two_servers_of_the_same_folder_are_both_named(running: Callable[..., str], tmp_path: Path) -> None:
    urls = [running(8001, tmp_path), running(8002, tmp_path)]
    with pytest.raises(NoServer) as several:
        find_server({**KERNEL, "JPY_SESSION_NAME": str(tmp_path / "day.ipynb")})
    assert all(url in str(several.value) for url in urls)


def test_files_of_servers_that_are_gone_count_for_nothing(
    running: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    running(8001, tmp_path, pid=4194305)
    running(8002, tmp_path, sock="/run/jupyter.sock")
    (tmp_path / "runtime" / "jpserver-8003.json").write_text('{"url": "http://')
    (tmp_path / "runtime" / "jpserver-8004.json").write_text("[]")
    with pytest.raises(NoServer, match=r"jupyter lab.*DLC_JUPYTER_URL"):
        find_server(KERNEL)


def test_outside_of_a_notebook_nothing_is_guessed(running: Callable[..., str], tmp_path: Path) -> None:
    running(8001, tmp_path)
    look = "import os; os.environ.pop('JPY_PARENT_PID', None); from dlc_jupyter import Client; Client()"
    ran = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Outside of a notebook" in ran.stderr
    assert 'Client("http://127.0.0.1:8888", token="…")' in ran.stderr


# -- JupyterHub --------------------------------------------------------------------------------------------------------

HUB = {
    **KERNEL,
    "JUPYTERHUB_API_TOKEN": "hub-token",
    "JUPYTERHUB_SERVICE_PREFIX": "/hub-base/user/ana/",
    "JUPYTERHUB_BASE_URL": "/hub-base/",
}


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "[::]", "*", ""])
def test_on_a_hub_it_is_the_users_own_server(host: str, running: Callable[..., str]) -> None:
    environment = {**HUB, "JUPYTERHUB_SERVICE_URL": f"http://{host}:8888/hub-base/user/ana/"}
    assert find_server(environment) == ("http://127.0.0.1:8888/hub-base/user/ana/", "hub-token")


def test_a_users_server_that_is_found_has_the_hubs_token(running: Callable[..., str], tmp_path: Path) -> None:
    running(8001, tmp_path, token="", base_url="/hub-base/user/ana/")
    assert find_server({**HUB, "JPY_PARENT_PID": str(ALIVE)}).token == "hub-token"


def test_a_hubs_token_is_told_to_the_hubs_services_alone() -> None:
    service = "http://hub/hub-base/services/dlc/"
    assert find_server({**HUB, "DLC_JUPYTER_URL": service}).token == "hub-token"
    assert find_server({**HUB, "DLC_JUPYTER_URL": service.rstrip("/")}).token == "hub-token"
    assert find_server({**HUB, "DLC_JUPYTER_URL": service, "DLC_JUPYTER_TOKEN": "own"}).token == "own"
    assert find_server({**HUB, "DLC_JUPYTER_URL": "http://elsewhere/hub-base/user/bob/"}).token == ""


# -- a real one --------------------------------------------------------------------------------------------------------


def test_what_a_real_server_writes_down_is_understood(server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.process is not None
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
    monkeypatch.setenv("JPY_PARENT_PID", str(server.process.pid))
    assert Client().models()[0]["name"] == "demo-mouse"
