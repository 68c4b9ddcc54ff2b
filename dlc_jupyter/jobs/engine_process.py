"""The worker's end of the engine: starts the host, starts it again when it dies, and sends it one run at a time."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import dlc_jupyter
from dlc_jupyter.errors import without_paths
from dlc_jupyter.jobs import bootstrap, processes, protocol
from dlc_jupyter.jobs.backoff import Backoff
from dlc_jupyter.jobs.scratch import log_folder
from dlc_jupyter.settings import Settings

log = logging.getLogger(__name__)

#: Modules that the engine imports before its first run, separated by spaces. Tests of the queue want none.
PRELOAD = "DLC_JUPYTER_PRELOAD"

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
#: An engine that has died so often before it was ready is broken; what waits for it is told so.
TRIES = 3


class EngineGone(Exception):
    """The engine host has died before it could take the order."""


class Engine:
    """An engine host that is kept running by a thread of its own.

    Parameters
    ----------
    settings : Settings
        Which Python, how many threads, where the log is.
    mark : str
        The worker's name, which every process of the engine carries (`processes.MARK`).
    threads : int
        Processor threads that an analysis may use.
    """

    def __init__(self, settings: Settings, mark: str, threads: int) -> None:
        self._settings = settings
        self._mark = mark
        self._threads = threads
        self._changed = threading.Condition()
        self._wanted = False
        self._closing = threading.Event()
        self._host: subprocess.Popen[bytes] | None = None
        self._events: SimpleQueue[dict[str, Any]] | None = None
        self._state = "stopped"
        self._was_ready = False  # this host, or the last one
        self._failures = 0
        self._thread = threading.Thread(target=self._keep, name="engine", daemon=True)
        self.versions: dict[str, Any] = {}
        #: Why the engine cannot run at all, or None.
        self.broken: str | None = None
        #: Why it cannot run models, or None.
        self.without_models: str | None = None

    # -- used by the worker ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the host, and keep it running from now on."""
        self._thread.start()
        self.want()

    def want(self) -> None:
        """Have the host running, should `rest` have stopped it."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def rest(self) -> None:
        """Stop the idle host until it is wanted again, to free its memory."""
        with self._changed:
            self._wanted = False
            self._leave()

    def wait(self, seconds: float) -> bool:
        """Wait until the host is ready for a run, or is known to be broken. False: neither, so far."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state == "ready" or self.broken is not None, seconds)

    def run(self, order: protocol.Order) -> SimpleQueue[dict[str, Any]]:
        """Have an analysis run, and return where its events arrive; the last is ``exited`` or ``gone``.

        Raises
        ------
        EngineGone
            The host has just died; nothing was run.
        """
        with self._changed:
            if self._state != "ready" or self._host is None:
                raise EngineGone
            events = self._events = SimpleQueue()
            self._send(self._host, protocol.run_line(order))
            return events

    def stop_run(self) -> None:
        """Ask the host to end the run: first kindly, a second later not."""
        with self._changed:
            if self._host is not None:
                try:
                    self._send(self._host, protocol.line({"stop": True}))
                except EngineGone:
                    return  # then the run has ended too

    def kill(self) -> None:
        """Kill the host, and with it what it runs. A new one is started."""
        with self._changed:
            self._leave()

    def try_again(self) -> None:
        """Begin anew after an analysis was told that the engine cannot run: what was missing may be there by now."""
        with self._changed:
            if self.broken is not None:
                self.broken, self._failures = None, TRIES - 1
            elif self.without_models is not None:
                self._leave()

    def outdated(self, installed: Mapping[str, str | None]) -> bool:
        """Whether other versions are installed than the host has loaded."""
        with self._changed:
            return self._state == "ready" and any(
                version is not None and name in self.versions and self.versions[name] != version
                for name, version in installed.items()
            )

    def close(self, timeout: float = 3.0) -> None:
        """End the host and everything that it has started."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            if self._host is not None and self._host.stdin is not None:
                with contextlib.suppress(OSError):
                    self._host.stdin.close()  # a host that is ready ends by itself, tidily
            if self._state != "ready":
                self._kill()
        if self._thread.is_alive():
            self._thread.join(timeout)
        with self._changed:
            self._kill()
        processes.end_marked(self._mark)

    def status(self) -> dict[str, Any]:
        """Return what `GET /status` shows of the engine."""
        with self._changed:
            pid = self._host.pid if self._host else None
            problem = self.broken or self.without_models
            return {"state": self._state, "pid": pid, "versions": self.versions, "problem": problem}

    # -- its thread --------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
        while self._wait_until_wanted():
            try:
                ready = self._live_once()
            except Exception:
                log.exception("The engine could not be watched.")
                ready = False
            if not self._wanted:
                continue
            if ready:
                backoff.reset()
            pause = backoff.pause()
            if not self._closing.is_set():
                log.warning("The engine has ended; it is started again in %g s.", pause)
            self._closing.wait(pause)

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closing.is_set())
            return not self._closing.is_set()

    def _live_once(self) -> bool:
        """Start a host and follow it until it ends. Return whether it was ever ready."""
        host = self._spawn()
        if host is None:
            return False
        for text in self._lines(host):
            event = protocol.parse(text)
            if event is not None:
                self._take(event)
        code = host.wait()
        processes.end_marked(self._mark)
        with self._changed:
            ready, self._state, self._host = self._was_ready, "stopped", None
            if self._events is not None:
                self._events.put(dict(protocol.GONE))
            if not ready and self._wanted and not self._closing.is_set():
                self._failed(f"The engine ended while it was starting ({_ending(code)}); its log engine.log says more.")
        return ready

    def _lines(self, host: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """Yield what the host says, line by line, until it has gone."""
        assert host.stdout is not None
        with host.stdout as pipe:
            unread = b""
            while True:
                if not select.select([pipe], [], [], 0.5)[0]:
                    if host.poll() is not None:  # some fork of what it ran still holds the pipe
                        processes.end_marked(self._mark)
                    continue
                received = os.read(pipe.fileno(), 1 << 16)
                if not received:
                    return
                *lines, unread = (unread + received).split(b"\n")
                yield from lines

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        package = Path(dlc_jupyter.__file__).parent
        code = Path(bootstrap.__file__).read_text()
        modules = os.environ.get(PRELOAD, "deeplabcut").split()
        command = [self._settings.engine_python, "-c", code, str(package), "--preload", *modules]
        with self._changed:
            self._state, self._was_ready = "starting", False
        try:
            with self._new_log().open("wb") as output:
                host = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, env=self._environment()
                )
        except OSError as error:
            with self._changed:
                self._state, self._failures = "stopped", TRIES
                self._failed(f"The engine's Python cannot be started ({error.strerror}). Set DLCApp.engine_python.")
            return None
        with self._changed:
            self._host = host
            if self._closing.is_set():
                self._kill()
        return host

    def _new_log(self) -> Path:
        """Return where the host's log is to be written; that of its predecessor is kept beside it."""
        log_file = log_folder(self._settings.root) / "engine.log"
        with contextlib.suppress(FileNotFoundError):
            log_file.replace(log_file.with_name("engine-before.log"))
        return log_file

    def _environment(self) -> dict[str, str]:
        """Return the environment of the host, in which torch will find its number of threads."""
        threads = str(self._threads)
        pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        at_import = ("OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")  # they start their threads then, before the fork
        keep = str(1 << 30)
        return {
            "HF_HUB_OFFLINE": "1",
            # The network's large tensors are taken from memory that was used before, not asked of the kernel and given
            # back for every batch: on the processor that takes a third of the time away.
            "MALLOC_TRIM_THRESHOLD_": keep,
            "MALLOC_MMAP_THRESHOLD_": keep,
            **os.environ,
            **dict.fromkeys(pools, threads),
            **dict.fromkeys(at_import, "1"),
            "MPLBACKEND": "Agg",
            # pandas loads pyarrow where that is installed, whose allocator would start a thread of its own.
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
            # To look for GPUs without CUDA, which must not be initialised before the fork.
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
            processes.MARK: self._mark,
        }

    def _take(self, event: dict[str, Any]) -> None:
        with self._changed:
            if event["event"] == "ready":
                self._state, self._was_ready, self._failures, self.broken = "ready", True, 0, None
                self.versions, self.without_models = event["versions"], event["problem"]
                self._changed.notify_all()
                log.info("The engine is ready.")
                if self.without_models:
                    log.warning("%s", self.without_models)
            elif event["event"] == "broken":
                self._failures = TRIES
                self.broken = without_paths(event["problem"])
            elif self._events is not None:
                self._events.put(event)

    def _failed(self, problem: str) -> None:
        """Count a start that failed; after some, whatever waits for the engine is told."""
        self._failures += 1
        log.warning("%s", problem)
        if self._failures >= TRIES:
            self.broken = self.broken or problem
            self._changed.notify_all()

    def _send(self, host: subprocess.Popen[bytes], text: bytes) -> None:
        assert host.stdin is not None
        try:
            host.stdin.write(text)
            host.stdin.flush()
        except (OSError, ValueError):
            self._leave()
            raise EngineGone from None

    def _leave(self) -> None:
        """Kill a host that is not to be used any more, before its own thread sees that it has gone."""
        self._state = "stopping"
        self._kill()

    def _kill(self) -> None:
        if self._host is not None:
            self._host.kill()


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
