"""Keeping a worker alive beside a server: started, started again when it dies, and ended with the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from dlc_jupyter.jobs.backoff import Backoff
from dlc_jupyter.jobs.lock import has_worker
from dlc_jupyter.jobs.worker import LOCK_TAKEN
from dlc_jupyter.settings import Settings

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
#: A worker that has lived so long was well; should it die, it is started again at once. In seconds.
WELL = 60.0
#: How often a server looks whether another one's worker is still there, in seconds.
STAND_BY = 1.0
#: How long a worker may take to stop, in seconds. Then it is killed. With twice `TIDY` it is less than 5 s in all.
PATIENCE = 3.0
#: How long the engine may take after that to end what it runs, and itself, in seconds.
TIDY = 0.8


class WorkerSupervisor:
    """A thread that sees to it that a worker is at work on the data folder.

    The worker ends when its standard input does: so it ends with the server, however the server ends.

    Parameters
    ----------
    settings : Settings
        What the worker is told.
    log : logging.Logger
        Where its log lines go.
    """

    def __init__(self, settings: Settings, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._settings = settings
        self._log = log
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="dlc-supervisor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def stop(self) -> None:
        """End the worker and all that it has started."""
        await asyncio.to_thread(self.stop_now)

    def stop_now(self) -> None:
        """Do what `stop` does, blocking."""
        self._stopping.set()
        with self._lock:
            worker = self._worker
        if worker is not None:
            with contextlib.suppress(OSError):
                assert worker.stdin is not None
                worker.stdin.close()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        if worker is not None and worker.poll() is None:
            self._log.warning("The worker did not stop and is killed.")
            worker.kill()
            self._thread.join(TIDY)
            _end_group(worker.pid)

    def _keep(self) -> None:
        backoff, standing_by = Backoff(FIRST_DELAY, LONGEST_DELAY), False
        while not self._stopping.is_set():
            if self._other_worker():
                if not standing_by:
                    self._log.info("Another server's worker is at work on the data folder; this one stands by.")
                standing_by = True
                self._stopping.wait(STAND_BY)
                continue
            standing_by, began = False, time.monotonic()
            code = self._live_once()
            if self._stopping.is_set() or code == LOCK_TAKEN:
                continue
            if time.monotonic() - began > WELL:
                backoff.reset()
            pause = backoff.pause()
            self._log.error("The worker has ended (exit code %s); it is started again in %g s.", code, pause)
            self._stopping.wait(pause)

    def _other_worker(self) -> bool:
        """Whether another server's worker is at work, or it cannot even be told."""
        try:
            return has_worker(self._settings)
        except OSError:
            self._log.exception("The data folder cannot be used; no worker is started.")
            return True

    def _live_once(self) -> int | None:
        """Start a worker, and pass its log on until it ends. Return its exit code."""
        # -P: nothing is imported from the folder in which the server happens to run.
        command = [sys.executable, "-P", "-m", "dlc_jupyter.jobs.worker"]
        try:
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError:
            self._log.exception("The worker cannot be started.")
            return None
        assert worker.stdin is not None
        assert worker.stderr is not None
        with self._lock, contextlib.suppress(OSError):
            self._worker = worker
            worker.stdin.write(self._settings.to_json().encode() + b"\n")
            worker.stdin.flush()
            if self._stopping.is_set():
                worker.stdin.close()
        with worker.stderr as lines:
            for line in lines:
                self._pass_on(line.decode(errors="replace").rstrip())
        return worker.wait()

    def _pass_on(self, line: str) -> None:
        """Log a line of the worker's, with the level that it begins with."""
        level, _, message = line.partition(" ")
        number = logging.getLevelNamesMapping().get(level)
        if number is None:
            self._log.warning("worker: %s", line)
        else:
            self._log.log(number, "worker: %s", message)


def _end_group(group: int) -> None:
    """Give the engine, which has noticed that its worker is gone, the time to tidy up; then kill it."""
    deadline = time.monotonic() + TIDY
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
