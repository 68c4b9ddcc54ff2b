"""Processes of the engine: finding them, and ending what a crash left behind.

Every process that a worker's engine starts carries the worker's name in its environment (`MARK`), and so do all that it
starts in turn, whatever group or session they move to. That is how they are found after the worker itself was killed.
Linux only: elsewhere nothing is found here, and the engine host alone sees to its children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Environment variable that holds the name of the worker to which a process belongs.
MARK = "DLC_JUPYTER_WORKER"


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`, dead ones that nobody has waited for included."""
    return [each for each in _all() if (fields := _stat(each)) and int(fields[1]) == pid]


def marked(prefix: str) -> list[int]:
    """Return this user's living processes, but for the caller, that belong to a worker whose name begins so."""
    wanted = f"{MARK}={prefix}".encode()
    return [pid for pid in _all() if pid != os.getpid() and any(each.startswith(wanted) for each in _environment(pid))]


def end_marked(prefix: str, timeout: float = 2.0) -> int:
    """Kill every process that belongs to a worker whose name begins with `prefix`, and return how many there were."""
    return end_all(lambda: marked(prefix), timeout)


def end_all(find: Callable[[], list[int]], timeout: float = 2.0) -> int:
    """Kill what `find` returns until it returns nothing, or `timeout` seconds have passed."""
    ended: set[int] = set()
    deadline = time.monotonic() + timeout
    while pids := find():
        ended.update(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return len(ended)


def _all() -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        yield from (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat behind the command's name: state, parent, group …; start time is [19]."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []
