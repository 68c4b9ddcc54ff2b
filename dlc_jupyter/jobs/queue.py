"""The doorbell: huey over SQLite, woken through a FIFO. It carries the ids of analyses, and nothing depends on it.

The analyses table is the truth. A message that is lost costs nothing, because the worker also looks at the table from
time to time; one too many costs nothing, because claiming an analysis is one guarded UPDATE. So the file may be thrown
away at any moment, and it is never synced to the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import select
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import SqliteStorage

from dlc_jupyter.settings import Settings
from dlc_jupyter.storage import disk

log = logging.getLogger(__name__)

#: How long an idle worker waits for the bell before it looks into the queue unasked, in seconds.
POLL = 1.0
#: How long a ring waits for another process that is writing to the queue, in seconds.
BUSY = 5.0

_ANALYSIS_ID = re.compile(r"[0-9a-f]{40}")


class MessageSerializer(Serializer):  # type: ignore[misc]
    """Write a message as ``{"analysis_id": "…"}``, read nothing else, and never use pickle.

    Parameters
    ----------
    task : str
        Name of the one task there is; every message means it.
    """

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task

    def _serialize(self, data: Any) -> bytes:
        if not isinstance(data, Message) or data.name != self.task or data.kwargs or len(data.args) != 1:
            raise ValueError("Only the id of an analysis goes into the queue.")
        return json.dumps({"analysis_id": _checked(data.args[0])}).encode()

    def _deserialize(self, data: Any) -> Message:
        message = json.loads(bytes(data))
        if not isinstance(message, dict) or set(message) != {"analysis_id"}:
            raise ValueError("This is no message of ours.")
        analysis_id = _checked(message["analysis_id"])
        return Message(id=analysis_id, name=self.task, retries=0, retry_delay=0, args=(analysis_id,), kwargs={})


def _checked(analysis_id: Any) -> str:
    if not isinstance(analysis_id, str) or not _ANALYSIS_ID.fullmatch(analysis_id):
        raise ValueError("This is not the id of an analysis.")
    return analysis_id


class DoorbellStorage(SqliteStorage):  # type: ignore[misc]
    """huey's SQLite storage, whose consumer sleeps on a FIFO beside the file instead of polling it."""

    blocking = True  # the consumer need not sleep between two looks: dequeue does

    def __init__(self, name: str, filename: str, **options: Any) -> None:
        self.bell = Path(filename).with_name("doorbell")
        self._listening: int | None = None
        super().__init__(name, filename=filename, **options)

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Write a message down, and ring."""
        super().enqueue(data, priority)
        self.ring()

    def dequeue(self) -> bytes | None:
        """Return the next message; wait for the bell, but no longer than `POLL`, where there is none."""
        found: bytes | None = super().dequeue()
        if found is None and self._wait():
            found = super().dequeue()
        return found

    def ring(self) -> None:
        """Wake the consumer, if there is one. A bell that is already ringing (a full FIFO) is as good."""
        with contextlib.suppress(OSError):  # ENXIO: nobody listens; ENOENT: nobody ever did; EAGAIN: full
            bell = os.open(self.bell, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(bell, b"\n")
            finally:
                os.close(bell)

    def listen(self) -> None:
        """Open the FIFO for the consumer, so that no ring from now on is missed."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.bell, 0o600)
        # Opened for writing too, the FIFO never reports that its last writer has gone.
        self._listening = os.open(self.bell, os.O_RDWR | os.O_NONBLOCK)

    def _wait(self) -> bool:
        """Sleep until the bell rings or `POLL` has passed. False where nobody has called `listen`."""
        if self._listening is None:
            return False
        if select.select([self._listening], [], [], POLL)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._listening, 1 << 16)
        return True

    def close(self) -> Any:
        """Close the connection and the FIFO."""
        if self._listening is not None:
            os.close(self._listening)
            self._listening = None
        return super().close()


class DoorbellHuey(SqliteHuey):  # type: ignore[misc]
    """huey with `DoorbellStorage` and one task, `analyse`: call it with an analysis id to wake the worker.

    Parameters
    ----------
    filename : pathlib.Path
        The queue file.
    work : callable, optional
        What the worker does for a message, with the analysis id. The server only sends, and gives none.
    """

    storage_class = DoorbellStorage

    def __init__(self, filename: Path, work: Callable[[str], None] | None) -> None:
        def analyse(analysis_id: str) -> None:
            if work is not None:
                work(analysis_id)

        # huey names a task by its module and its function: this is the same in the server and in the worker.
        serializer = MessageSerializer(f"{__name__}.{analyse.__name__}")
        # Never synced: the file is disposable.
        super().__init__("dlc", filename=str(filename), serializer=serializer, results=False, fsync=False, timeout=BUSY)
        self.analyse = self.task()(analyse)


def make_huey(settings: Settings, work: Callable[[str], None] | None = None) -> DoorbellHuey:
    """Return the queue of a data folder. See `DoorbellHuey`."""
    folder = queue_folder(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DoorbellHuey(folder / "queue.db", work)


def remake_huey(settings: Settings, work: Callable[[str], None]) -> DoorbellHuey:
    """Return the worker's queue, emptied: whatever is to be done is in the table. A damaged file is made anew."""
    try:
        huey = make_huey(settings, work)
        huey.flush()
        return huey
    except sqlite3.OperationalError:  # locked for seconds, or the disk is full: the file itself is well
        raise
    except sqlite3.DatabaseError:
        log.warning("The queue file was damaged and is made anew; it holds nothing that is not in the database.")
        for damaged in queue_folder(settings).glob("queue.db*"):
            damaged.unlink(missing_ok=True)
        return make_huey(settings, work)


def queue_folder(settings: Settings) -> Path:
    """Return where the queue file and the doorbell lie: the data folder, or a local one where that is on a network.

    SQLite's write-ahead log and a FIFO both need every process on one machine, and a file system that knows it.
    """
    if not disk.is_network(settings.root):
        return settings.root
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) / "dlc-jupyter" if runtime else Path(tempfile.gettempdir()) / f"dlc-jupyter-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise RuntimeError(f"{base} is not your own folder. Remove it, or set XDG_RUNTIME_DIR to a folder of yours.")
    return base / hashlib.sha256(os.fsencode(settings.root)).hexdigest()[:16]


class Doorbell:
    """The server's side of the queue: say that an analysis waits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._huey: DoorbellHuey | None = None

    def ring(self, analysis_id: str) -> None:
        """Wake the worker for a queued analysis. Never raises: the worker finds it a little later all the same."""
        try:
            with self._lock:
                self._huey = self._huey or make_huey(self._settings)
                huey = self._huey
            huey.analyse(analysis_id)
        except Exception:
            log.warning("The worker could not be woken; it looks by itself within seconds.", exc_info=True)
            self.close()  # the file may have been made anew

    def close(self) -> None:
        """Close the queue file."""
        with self._lock:
            huey, self._huey = self._huey, None
        if huey is not None:
            with contextlib.suppress(Exception):
                huey.storage.close()
