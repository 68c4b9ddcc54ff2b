"""Watching over a running analysis from the worker's side: its lease, its progress, and whether to cancel it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from dlc_jupyter.jobs.record import Record
from dlc_jupyter.jobs.records import Records

log = logging.getLogger(__name__)

LOOK = 0.25  # seconds between two looks whether a cancel was asked
BEAT = 2.0  # seconds between two renewals of the lease
WRITE = 1.0  # seconds between two writes of the progress
WINDOW = 10.0  # seconds over which the rate is taken


class Pace:
    """Progress with the rate of the last seconds, and the time that is left."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, float]] = deque()

    def update(self, done: float, total: float | None, unit: str, now: float) -> dict[str, Any]:
        """Return what users see of it: ``done, total, unit``, ``rate`` per second, and ``eta`` in seconds.

        Parameters
        ----------
        now : float
            Seconds on a clock that never goes back.
        """
        if self._past and done < self._past[-1][1]:  # another part of the work has begun
            self._past.clear()
        self._past.append((now, done))
        while len(self._past) > 2 and self._past[1][0] <= now - WINDOW:
            self._past.popleft()
        (began, before), rate = self._past[0], None
        if now > began:
            rate = (done - before) / (now - began)
        eta = (total - done) / rate if rate and total is not None else None
        return {
            "done": done,
            "total": total,
            "unit": unit,
            "rate": rate and round(rate, 3),
            "eta": None if eta is None else round(eta, 1),
        }


class Watch:
    """A thread that renews the lease of an analysis and writes its progress, for as long as the ``with`` block lasts.

    Parameters
    ----------
    records : Records
        The table.
    record : Record
        The analysis, claimed by `worker`.
    lease_seconds : float
        How long the lease lasts without being renewed.
    interrupt : callable
        Called once, from the thread, as soon as the analysis is to be ended: see `cancelled` and `lost`.
    """

    def __init__(
        self, records: Records, record: Record, worker: str, lease_seconds: float, interrupt: Callable[[], None]
    ) -> None:
        self._records = records
        self._record = record
        self._worker = worker
        self._lease = lease_seconds
        self._interrupt = interrupt
        self._pace = Pace()
        self._progress: Mapping[str, Any] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        #: Somebody asked to cancel it.
        self.cancelled = False
        #: It is another worker's now, or may be: the database was out of reach for as long as the lease.
        self.lost = False

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def progress(self, values: Mapping[str, Any]) -> None:
        """Take the progress that the engine told."""
        self._progress = self._pace.update(values["done"], values["total"], values["unit"], time.monotonic())

    def write_progress(self) -> None:
        """Write the last progress now, so that what has ended does not look half done."""
        if self._progress is not None:
            self._beat(self._progress)

    def _run(self) -> None:
        beaten = time.monotonic()
        written: Mapping[str, Any] | None = None
        while not self._done.wait(LOOK) and not self.cancelled and not self.lost:
            now = time.monotonic()
            progress = self._progress
            changed = progress is not written
            try:
                if now - beaten >= (WRITE if changed else BEAT):
                    asked = self._beat(progress if changed else None)
                    beaten, written = now, progress
                else:
                    asked = self._records.asked_to_cancel(self._record.analysis_id, self._worker)
            except Exception:
                log.warning("The database cannot be reached.", exc_info=True)
                self.lost = now - beaten > self._lease
            else:
                self.cancelled, self.lost = bool(asked), asked is None
            if self.cancelled or self.lost:
                self._interrupt()
        self._keep_lease(beaten)

    def _keep_lease(self, beaten: float) -> None:
        """Go on renewing the lease while the analysis is being ended."""
        while not self.lost and not self._done.wait(LOOK):
            if time.monotonic() - beaten >= BEAT:
                beaten = time.monotonic()
                try:
                    self._beat(None)
                except Exception:
                    log.warning("The database cannot be reached.", exc_info=True)

    def _beat(self, progress: Mapping[str, Any] | None) -> bool | None:
        return self._records.heartbeat(self._record.analysis_id, self._worker, time.time(), self._lease, progress)
