"""Starting the peers, each for as long as a ``with`` block lasts, on this machine only."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import SCRATCH
from dlc_jupyter.jobs.devices import processor_threads

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
START_SECONDS = 30.0

APPLICATION = "benchmarks.peers.flask_celery"


@contextlib.contextmanager
def flask_celery(folder: Path) -> Iterator[str]:
    """`flask_celery.py` under gunicorn, its Celery worker, and Redis. Gives its address; ``folder/store`` is its store.

    Workers are as many as gunicorn's documentation recommends, and may take longer than its 30 seconds.
    """
    programs = _environment()
    store, temporary = folder / "store", folder / "tmp"  # a form's file goes to the same disk as the store
    for each in (folder, store, temporary):
        each.mkdir(exist_ok=True)
    redis_port, port = _free_port(), _free_port()
    environment = {
        "PEER_STORE": str(store),
        "PEER_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "TMPDIR": str(temporary),
    }
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--dir", str(folder)]
    celery = [str(programs / "celery"), f"--app={APPLICATION}", "worker", "--loglevel=warning"]
    gunicorn = [str(programs / "gunicorn"), f"--bind=127.0.0.1:{port}", "--timeout=600", f"{APPLICATION}:app"]
    workers = 2 * (os.cpu_count() or 1) + 1
    with (
        _running(redis, folder / "redis.log", port=redis_port),
        _running(celery, folder / "celery.log", environment),
        _running([*gunicorn, f"--workers={workers}"], folder / "gunicorn.log", environment, port=port),
    ):
        yield f"http://127.0.0.1:{port}/"


def _environment() -> Path:
    """Make the peers' own environment, unless it is there, and return where its programs are."""
    folder, wanted = SCRATCH / "peer-venv", HERE / "requirements.txt"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        print(f"Making {folder.name}, the peers' own environment", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
        stamp.write_text(wanted.read_text())
    return folder / "bin"


NGINX = """\
daemon off;
user {user};
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, root: Path) -> Iterator[str]:
    """Nginx as Debian sets it up (sendfile), serving the folder `root`. Gives its address."""
    folder.mkdir(exist_ok=True)
    port, config = _free_port(), folder / "nginx.conf"
    config.write_text(NGINX.format(user=getpass.getuser(), folder=folder, port=port, root=root))
    with _running(["nginx", "-c", config, "-e", folder / "nginx.log"], folder / "output.log", port=port):
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def huey_consumer(folder: Path) -> Iterator[Callable[[], float]]:
    """Run huey's own consumer with its default options. Gives a function that sends a task: how long until it runs."""
    os.environ["PEER_QUEUE"] = str(folder / "huey.db")
    from benchmarks.peers import huey_sqlite

    def seconds_until_begun() -> float:
        result = huey_sqlite.began()
        sent = time.time()
        return float(result.get(blocking=True, timeout=60)) - sent

    consumer = Path(sys.executable).with_name("huey_consumer")
    with _running([consumer, "benchmarks.peers.huey_sqlite.huey"], folder / "huey.log"):
        yield seconds_until_begun


@contextlib.contextmanager
def direct_deeplabcut(folder: Path, config: Path, video: Path) -> Iterator[Callable[[], float]]:
    """Run `direct.py` on a copy of a project. Gives a function that has it make one call, and returns its seconds."""
    project = folder / "project"
    shutil.copytree(config.parent, project)
    threads = str(processor_threads())  # as many as the engine gives an analysis
    with (folder / "direct.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.direct", project / config.name, video],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers, calls = process.stdin, process.stdout, itertools.count(1)

    def seconds_of_a_call() -> float:
        print(folder / f"poses-{next(calls)}", file=orders, flush=True)
        return float(answers.readline())

    try:
        yield seconds_of_a_call
    finally:
        orders.close()
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[None]:
    """Run a command in the repository, wait until it listens on `port`, and end it at the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if port is not None:
            _wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} does not listen. Its log:\n{log.read_text(errors='replace')}")
