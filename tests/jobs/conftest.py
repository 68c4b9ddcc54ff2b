"""A data folder with the table and the store, and real workers on it."""

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

from dlc_jupyter import demo
from dlc_jupyter.jobs import processes
from dlc_jupyter.jobs.lock import worker_prefix
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.queue import Doorbell
from dlc_jupyter.jobs.record import Record, Request, State
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.jobs.scratch import Scratch, offered
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore, StoredFile
from tests.stereo import make_known

PLUGIN = Path(__file__).parent / "plugin"


def wait_until(condition: Callable[[], Any], timeout: float = 20.0, every: float = 0.01) -> Any:
    """Return what `condition` returns as soon as that is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
    return found


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=str(tmp_path / "data"), device_lock_dir=str(tmp_path / "locks"), threads=1, min_free_bytes=0
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    settings.root.mkdir(parents=True, exist_ok=True)
    database = Database(database_url(settings.root, settings.database_url))
    yield database
    database.close()


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database)


@pytest.fixture
def files(settings: Settings, database: Database) -> FileStore:
    return FileStore(settings, database)


class Room:
    """The data folder of a test, as a server and as a worker see it."""

    def __init__(self, settings: Settings, records: Records, files: FileStore, environment: dict[str, str]) -> None:
        self.settings = settings
        self.records = records
        self.files = files
        self.environment = environment
        self.bell = Doorbell(settings)
        self.workers: list[subprocess.Popen[bytes]] = []

    def upload(self, content: bytes, filename: str) -> StoredFile:
        incoming = self.files.receive()
        incoming.append(content)
        return incoming.finish(filename)

    def ask(self, analysis: str, *file_ids: str, ring: bool = True, **parameters: Any) -> str:
        record = self.records.create(Request(analysis, parameters, file_ids=file_ids), time.time())
        if ring:
            self.bell.ring(record.analysis_id)
        return record.analysis_id

    def start_worker(self, ignored: tuple[signal.Signals, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a worker as a server does; its standard input stays open."""

        def set_signals() -> None:  # whatever the shell that runs the tests has set
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlc_jupyter.jobs.worker"],
            stdin=subprocess.PIPE,
            env=os.environ | self.environment,
            start_new_session=True,
            preexec_fn=set_signals,
        )
        assert worker.stdin is not None
        worker.stdin.write(self.settings.to_json().encode() + b"\n")
        worker.stdin.flush()
        self.workers.append(worker)
        return worker

    def record(self, analysis_id: str) -> Record:
        return self.records.find(analysis_id)

    def finished(self, analysis_id: str, timeout: float = 20.0) -> Record:
        wait_until(lambda: not self.record(analysis_id).state.active, timeout)
        return self.record(analysis_id)

    def running(self, analysis_id: str) -> int:
        """Wait until the process of an analysis runs, and return its id."""
        wait_until(lambda: self.record(analysis_id).state is State.RUNNING)
        return int(wait_until(lambda: processes.children(self.host_pid()))[0])

    def log(self, analysis_id: str) -> str:
        path = self.settings.root / "logs" / f"{analysis_id}.log"
        return path.read_text() if path.exists() else ""

    def printed_pids(self, analysis_id: str) -> list[int]:
        """Wait for the line ``pids …`` of the analysis `tree`."""
        line = wait_until(
            lambda: [each for each in self.log(analysis_id).splitlines() if each.startswith("pids ")], every=0.05
        )[-1]
        return [int(pid) for pid in line.split()[1:]]

    def engine_pids(self) -> list[int]:
        """Every process of the engine: the host, the analysis, and what it has started."""
        return processes.marked(worker_prefix(self.settings))

    def host_pid(self) -> int:
        """The engine host: the only child of the worker."""
        return wait_until(lambda: processes.children(self.workers[-1].pid))[0]

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            assert worker.stdin is not None
            worker.stdin.close()
        processes.end_marked(worker_prefix(self.settings))
        self.bell.close()


@pytest.fixture
def environment() -> dict[str, str]:
    """What workers see: trial analyses besides the real ones, and nothing imported in advance."""
    return {"PYTHONPATH": str(PLUGIN), "DLC_JUPYTER_PRELOAD": ""}


@pytest.fixture
def room(settings: Settings, records: Records, files: FileStore, environment: dict[str, str]) -> Iterator[Room]:
    room = Room(settings, records, files, environment)
    yield room
    room.end()


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(name="alive")
def alive_fixture() -> Callable[[int], bool]:
    return alive


# -- a scratch folder, without a worker -------------------------------------------------------------------------------

POSES = {"h5_file": b"poses", "meta_file": b"meta", "full_file": b"full"}
MODELS = {"mouse": str(demo.MODEL), "tray": str(demo.MODEL_3D)}


@pytest.fixture
def requests(settings):
    return Requests(settings, Models(MODELS, ""))


@pytest.fixture
def scratch(settings, files, records, requests):
    return Scratch(settings, files, records, Models(MODELS, ""), requests)


@pytest.fixture
def upload(files):
    def upload(content: bytes, filename: str) -> str:
        incoming = files.receive()
        incoming.append(content)
        return incoming.finish(filename).file_id

    return upload


@pytest.fixture
def ask(records, requests):
    def ask(analysis, file_ids=(), **values):
        return records.create(requests.prepare(analysis, values, file_ids), time.time())

    return ask


@pytest.fixture
def order(scratch, ask):
    return scratch.prepare(ask("sleep", time=0))


@pytest.fixture
def running(scratch, ask, records):
    """Have ``me`` claim a new analysis, and stage it."""

    def running() -> Order:
        ask("sleep", time=0)
        return scratch.prepare(records.claim("me", time.time(), 30))

    return running


def output(order: Order, name: str, content: str) -> str:
    (Path(order.scratch) / name).write_text(content)
    return name


@pytest.fixture
def make(files, records, requests, ask, tmp_path):
    """Have an analysis of a video succeed with files of these contents in its result; return its id and the ids."""

    def make(analysis, file_ids, contents, *, prefix="", provenance=None, rows=None, **values):
        asked = ask(analysis, file_ids, **values)
        while (record := records.claim("me", time.time(), 30)).analysis_id != asked.analysis_id:
            pass  # what was asked for before
        ids = {}
        for number, (field, content) in enumerate(contents.items()):
            path = tmp_path / f"{number}.bin"
            path.write_bytes(content)
            ids[prefix + field] = files.add(path, path.name, origin=record.analysis_id).file_id
        result = {**ids, "scorer": "DLC", "frames": 3, f"{prefix}frames": 7, "notes": ["Something else."]}
        result |= {"provenance": provenance} if provenance else {}
        result |= {"rows": rows} if rows else {}
        poses = offered(requests.keys(record, None), result)
        assert records.succeed(record.analysis_id, "me", time.time(), result, list(ids.values()), poses=poses)
        return record.analysis_id, ids

    return make


@pytest.fixture
def more(monkeypatch):
    """Let analyses of several cameras be known."""
    make_known(monkeypatch)
