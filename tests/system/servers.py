"""A data folder with real servers on it: started as users start them, watched from outside, killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from dlc_jupyter import demo
from dlc_jupyter.client import Client
from dlc_jupyter.jobs import processes
from dlc_jupyter.jobs.devices import DeviceLock
from dlc_jupyter.jobs.lock import worker_prefix
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url

PLUGIN = Path(__file__).parent / "plugin"

#: ``jupyter dlc``, and the extension in an ordinary server.
ALONE = ("-m", "dlc_jupyter.app")
EXTENSION = ("-m", "jupyter_server")

#: What the documentation promises: cancelled, or stopped, everything is gone within so many seconds.
PROMISED = 5.0
#: Ample time for anything else, on a machine that is busy with other things.
LONG = 120.0

#: A stand-in for nvidia-smi, so that analyses wait for a GPU and lock it where there is none.
NVIDIA_SMI = '#!/bin/sh\necho "0, GPU-trial, NVIDIA Trial, 1000"\n'


def wait_until(condition: Callable[[], Any], timeout: float = LONG, every: float = 0.02) -> Any:
    """Return what `condition` returns as soon as that is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
    return found


def alive(process: psutil.Process) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Family(NamedTuple):
    """The four processes of which each is the child of the next."""

    analysis: psutil.Process
    engine: psutil.Process
    worker: psutil.Process
    server: psutil.Process

    @classmethod
    def of(cls, analysis_pid: int) -> Family:
        """Find them from the process that runs an analysis."""
        analysis = psutil.Process(analysis_pid)
        engine = analysis.parent()
        worker = engine.parent()
        return cls(analysis, engine, worker, worker.parent())

    def until(self, victim: str) -> tuple[psutil.Process, ...]:
        """Return the process of that name and all below it: none of them may outlive it."""
        return self[: self._fields.index(victim) + 1]


class Entry(NamedTuple):
    """A line of the diary of ``plugin/system_trials.py``."""

    event: str
    analysis_id: str
    pid: int


class Server:
    """A server as a process.

    Parameters
    ----------
    site : Site
        Its data folder and configuration.
    command : sequence of str
        `ALONE` or `EXTENSION`.
    """

    def __init__(self, site: Site, command: tuple[str, ...] = ALONE) -> None:
        self.site = site
        self.token = secrets.token_hex(16)
        self._log = site.folder / f"server-{len(site.servers) + 1}.log"
        with self._log.open("wb") as log:
            self.process = psutil.Popen(
                [sys.executable, *command, "--port=0", "--ip=127.0.0.1", "--no-browser", "--allow-root"],
                env=os.environ | site.environment | {"JUPYTER_TOKEN": self.token},
                cwd=site.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._about = site.folder / "runtime" / f"jpserver-{self.process.pid}.json"

    def wait(self) -> Server:
        """Wait until it answers."""

        def client() -> Client | None:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(FileNotFoundError, ValueError, ConnectionError):  # not there, not whole, not heard
                found = Client(json.loads(self._about.read_text())["url"], self.token)
                found.server()
                return found
            return None

        self.client: Client = wait_until(client)
        self.url = self.client.url.removesuffix("dlc/")
        return self

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """Return the workers that it has started and that live."""
        return [each for each in self.process.children() if alive(each) and "dlc_jupyter.jobs.worker" in _line(each)]

    def succeed(self, analysis_id: str) -> dict[str, Any]:
        """Wait for the end of an analysis, which must have succeeded, and return its record."""
        self.client.wait(analysis_id, timeout=LONG)
        return self.client.status(analysis_id)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as a service manager does, and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LONG)


def _line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


class Site:
    """A data folder, a configuration that names it, and the servers that have been started on it.

    Parameters
    ----------
    folder : Path
        Of which everything lies inside.
    deeplabcut : bool
        Whether the engines load DeepLabCut. Those that do not start at once, and can run what needs none.
    **options
        Of ``DLCApp``.
    """

    def __init__(self, folder: Path, *, deeplabcut: bool = False, **options: Any) -> None:
        self.folder = folder
        self.options = {
            "data_dir": str(folder / "dlc"),
            "models": {demo.MODEL_NAME: str(demo.MODEL), demo.MODEL_3D_NAME: str(demo.MODEL_3D)},
            "device_lock_dir": str(folder / "locks"),
            "min_free_bytes": 0,
            "threads": 1,
            **options,
        }
        self.environment = {
            **{f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")},
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")])),
            "TRIAL_DIARY": str(folder / "diary"),
            "DLC_JUPYTER_PRELOAD": "deeplabcut" if deeplabcut else "",
        }
        self.servers: list[Server] = []
        for name in ("config", "data", "runtime"):
            (folder / name).mkdir()

    @property
    def settings(self) -> Settings:
        return Settings(**self.options)

    def add_gpu(self) -> None:
        """Let the machine look as if it had a GPU."""
        command = self.folder / "bin" / "nvidia-smi"
        command.parent.mkdir()
        command.write_text(NVIDIA_SMI)
        command.chmod(0o755)
        self.environment["PATH"] = f"{command.parent}:{os.environ['PATH']}"

    def gpu_is_free(self) -> bool:
        """Whether somebody else gets the GPU at once."""
        asked = iter((False, True))
        ticket = DeviceLock(self.settings.device_lock_dir, ["GPU-trial"]).acquire(lambda: next(asked))
        if ticket is not None:
            ticket.release()
        return ticket is not None

    def begin(self, command: tuple[str, ...] = ALONE) -> Server:
        """Start one more server, and do not wait for it."""
        config = {"ServerApp": {"root_dir": str(self.folder)}, "DLCApp": self.options}
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        self.servers.append(Server(self, command))
        return self.servers[-1]

    def start(self, command: tuple[str, ...] = ALONE) -> Server:
        """Start one more server."""
        return self.begin(command).wait()

    def running(self) -> Server:
        """Return a server with an empty queue: the one that runs, should a test have left it so, or a new one."""
        if not self.servers or not alive(self.servers[-1].process):
            return self.start()
        client = self.servers[-1].client
        for record in client.analyses():
            if record["state"] in ("queued", "running"):
                client.cancel(record["analysis_id"])
        wait_until(lambda: {record["state"] for record in client.analyses()}.isdisjoint(("queued", "running")))
        return self.servers[-1]

    def engine_pids(self) -> list[int]:
        """Return every process that any engine of this data folder has started."""
        return processes.marked(worker_prefix(self.settings))

    def record(self, analysis_id: str) -> Record:
        """Read an analysis from the table, where no server is there to be asked."""
        with contextlib.closing(Database(database_url(self.settings.root, ""))) as database:
            return Records(database).find(analysis_id)

    def diary(self) -> list[Entry]:
        """Return what the analyses of ``plugin/system_trials.py`` have done so far."""
        path = Path(self.environment["TRIAL_DIARY"])
        lines = path.read_text().splitlines() if path.exists() else []
        return [Entry(event, analysis_id, int(pid)) for event, analysis_id, pid in map(str.split, lines)]

    def events(self, *analysis_ids: str) -> list[tuple[str, str]]:
        """Return what these analyses did, in the order in which they did it, and which of them it was."""
        return [each[:2] for each in self.diary() if each.analysis_id in analysis_ids]

    def wait_for(self, event: str, analysis_id: str) -> int:
        """Wait until an analysis has done something, and return its process."""
        found = wait_until(lambda: [each for each in self.diary() if each[:2] == (event, analysis_id)])
        return int(found[-1].pid)

    def end(self) -> None:
        """Leave nothing running."""
        for server in self.servers:
            family = [server.process, *server.process.children(recursive=True)] if alive(server.process) else []
            for each in family:
                if alive(each):
                    each.kill()
            server.process.wait()
        processes.end_marked(worker_prefix(self.settings))
