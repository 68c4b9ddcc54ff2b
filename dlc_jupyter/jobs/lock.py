"""One worker for a data folder: the lock that says so, and the names that follow from it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator

from dlc_jupyter.settings import Settings

#: How often a worker tries for the lock before it takes it for taken: a supervisor may just be looking at it.
TRIES = 4


@contextlib.contextmanager
def worker_lock(settings: Settings) -> Iterator[bool]:
    """Hold the lock of a data folder's worker. False: another process holds it. The kernel drops it at death."""
    file = _open(settings)
    try:
        taken = any(_try(file, pause) for pause in [0.0] + [0.1] * (TRIES - 1))
        if taken:
            os.ftruncate(file, 0)
            os.write(file, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        yield taken
    finally:
        os.close(file)


def has_worker(settings: Settings) -> bool:
    """Whether a worker, whoever's, is at work on the data folder."""
    file = _open(settings)
    try:
        return not _try(file)
    finally:
        os.close(file)


def worker_prefix(settings: Settings) -> str:
    """Return ``<host>/<data folder>/``, with which the names of this data folder's workers on this machine begin.

    Whoever holds the lock knows that all other workers with such a name are dead.
    """
    folder = hashlib.sha256(os.fsencode(settings.root.resolve())).hexdigest()[:12]
    return f"{socket.gethostname()}/{folder}/"


def _open(settings: Settings) -> int:
    settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(settings.root / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)


def _try(file: int, pause: float = 0.0) -> bool:
    time.sleep(pause)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
