"""The engine host: imports DeepLabCut once, then forks a process of its own for every analysis.

It runs in whatever Python has DeepLabCut (`Settings.engine_python`) and speaks the lines of `jobs.protocol`. The host
itself computes nothing: it has one thread, and must never touch CUDA or start a thread pool, or its forks could not.
It ends when its worker does, and takes everything that an analysis has started with it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import platform
import select
import signal
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dlc_jupyter import __version__
from dlc_jupyter.analyses.base import registry
from dlc_jupyter.errors import without_paths
from dlc_jupyter.jobs import processes, protocol
from dlc_jupyter.jobs.engine_child import be_child
from dlc_jupyter.orphans import adopt_orphans, die_with_parent

#: How long an analysis that is to stop may take to end by itself, in seconds. Then it is killed.
GRACE = 1.0
#: What analyses import besides DeepLabCut and what that brings, and what to install for it.
BESIDES = {"av": "av>=18,<19"}


def main(arguments: list[str] | None = None) -> None:
    """Serve the worker at the other end of standard input and output until it goes."""
    parser = argparse.ArgumentParser(prog="python -m dlc_jupyter.jobs.engine", description=__doc__)
    parser.add_argument("--preload", nargs="*", default=["deeplabcut"], help="modules to import before the first run")
    options = parser.parse_args(arguments)
    commands, events = _take_pipes()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they mean the worker, which tells us
        signal.signal(ignored, signal.SIG_IGN)
    adopt_orphans()
    die_with_parent()
    problem = _preload(options.preload)
    die_with_parent(0)  # from here on the end of the commands is noticed at once, and leaves nothing behind
    host = Host(commands, events)
    host.tell({"event": "ready", "pid": os.getpid(), "versions": versions(), "problem": problem})
    host.serve()


def _take_pipes() -> tuple[int, int]:
    """Keep the pipes to the worker for ourselves, so that nothing printed or read by a library gets into them."""
    commands, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, events


def _preload(modules: list[str]) -> str | None:
    """Import what the analyses will need. Return why that failed, in a sentence, or None."""
    registry()
    for name in [*modules, *(BESIDES if "deeplabcut" in modules else ())]:
        try:
            importlib.import_module(name)
        except Exception as error:
            traceback.print_exc()
            reason = " ".join(f"{type(error).__name__}: {without_paths(str(error))}".split())[:300]
            return (
                f"{name} cannot be imported in the engine's Python {platform.python_version()} ({reason}). "
                f"Install it there with pip install '{BESIDES.get(name, 'dlc-jupyter[deeplabcut]')}', or set "
                "DLCApp.engine_python to the Python that has it; dlc-jupyter check says more."
            )
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        print("Something initialised CUDA while it was imported: analyses will not be able to use the GPU.", flush=True)
    gc.collect()
    gc.freeze()  # so that a child's garbage collection does not copy the host's memory
    return None


def versions() -> dict[str, str | None]:
    """Return what the results depend on, by name; None for what is not installed."""
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "dlc_jupyter": __version__,
        "deeplabcut": _version("deeplabcut"),
        "torch": _version("torch"),
        "cuda": getattr(getattr(torch, "version", None), "cuda", None),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Host:
    """The loop of the engine host: orders in, a process for each, and its end told.

    Parameters
    ----------
    commands, events : int
        The pipes from and to the worker.
    """

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._unread = b""
        self._child: int | None = None
        self._kill_at: float | None = None  # when the child that was asked to end is killed
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a line to the worker. It may be gone; then the end of the commands says so."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._events, protocol.line(message))

    def serve(self) -> None:
        """Do what the worker says until it is gone."""
        while True:
            patience = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
            ready = select.select([self._commands, self._wake], [], [], patience)[0]
            if self._wake in ready:
                os.read(self._wake, 512)
            if self._commands in ready and not self._read():
                break
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = None
            self._reap()
        self._signal(signal.SIGKILL)
        self._end_leftovers()

    def _read(self) -> bool:
        """Take what the worker sends. False: it is gone."""
        received = os.read(self._commands, 1 << 16)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for text in lines:
            command = protocol.parse(text) or {}
            if "run" in command:
                self._start(protocol.Order(**command["run"]))
            elif "stop" in command and self._child is not None and self._kill_at is None:
                self._signal(signal.SIGTERM)
                self._kill_at = time.monotonic() + GRACE
        return bool(received)

    def _start(self, order: protocol.Order) -> None:
        assert self._child is None, "one analysis at a time"
        sys.stdout.flush()
        sys.stderr.flush()
        host = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(self._commands)
            be_child(order, self._events, host)
        self._child = child

    def _reap(self) -> None:
        """Wait for whatever has ended; when it was the child, end what it left and say how it ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._signal(signal.SIGKILL)  # the rest of its group
                self._child = self._kill_at = None
                self._end_leftovers()
                code = os.waitstatus_to_exitcode(status)
                self.tell({"event": "exited", "signal": -code} if code < 0 else {"event": "exited", "code": code})

    def _signal(self, number: int) -> None:
        """Send a signal to the child and all of its process group."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child, number)
            with contextlib.suppress(ProcessLookupError):  # it may not have a group of its own yet
                os.kill(self._child, number)

    def _end_leftovers(self) -> None:
        """Kill what the child has started and left: its orphans have become ours."""

        def reaped() -> list[int]:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                return processes.children(os.getpid())
            return []

        processes.end_all(reaped)


if __name__ == "__main__":
    main()
