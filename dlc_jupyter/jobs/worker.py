"""The worker: takes one analysis after another from the table and has the engine run it.

huey's consumer wakes it; what is to be done is in the table. One worker serves a data folder: it holds ``worker.lock``
for as long as it lives. ``python -m dlc_jupyter.jobs.worker`` is how a server starts it: with its settings as a line of
JSON on standard input, whose end means that the server is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from huey.consumer import Consumer

from dlc_jupyter.analyses.base import find_analysis
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.jobs import devices, processes
from dlc_jupyter.jobs.attempt import Attempt, Place, explain_refusal
from dlc_jupyter.jobs.chore import Chore
from dlc_jupyter.jobs.cleanup import CleanUp
from dlc_jupyter.jobs.engine_process import Engine
from dlc_jupyter.jobs.lock import worker_lock, worker_prefix
from dlc_jupyter.jobs.queue import remake_huey
from dlc_jupyter.jobs.record import Record, iso
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Requests, models_of
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.jobs.scratch import Scratch
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage import disk
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore

log = logging.getLogger(__name__)

#: Exit code of a worker that finds another one at work on the same data folder.
LOCK_TAKEN = 75
#: How often the worker looks for what nobody told it, in seconds.
SWEEP = 2.0
#: How often it shows that it is alive at least, in seconds.
SHOW = 10.0
#: How soon after its start it cleans up for the first time, in seconds: a crash may have left something.
CLEAN_UP_AFTER = 5.0
#: How often it looks which GPUs there are, in seconds.
LOOK_FOR_GPUS = 600.0
#: How long the main thread waits for the working thread when it stops, in seconds.
STOPPING = 4.0

LOST = {
    "type": "WorkerLost",
    "message": "The worker that ran the analysis was lost, as often as it was tried.",
    "hint": "If the machine ran out of memory, try a smaller batch_size or a shorter video.",
}


def main() -> None:
    """Be the worker of the server at the other end of standard input."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    settings = Settings.from_json(sys.stdin.readline())
    sys.exit(run_worker(settings, parent=sys.stdin.fileno()))


def run_worker(settings: Settings, parent: int | None = None) -> int:
    """Work on the queue of a data folder until told to stop by SIGTERM, SIGINT or SIGHUP, or by the end of `parent`.

    Parameters
    ----------
    settings : Settings
        Name the data folder.
    parent : int, optional
        File descriptor whose end of file means that whoever started the worker is gone.

    Returns
    -------
    int
        The exit code: 0, or `LOCK_TAKEN`.
    """
    logging.getLogger("huey").setLevel(logging.WARNING)
    with _wakeup() as wake, worker_lock(settings) as ours:
        if not ours:
            log.error("Another worker is at work on the data folder already.")
            return LOCK_TAKEN
        worker = Worker(settings)
        try:
            worker.start()
            _wait_for_the_end(wake, parent, worker)
        finally:
            worker.close()
    return 0


@contextlib.contextmanager
def _wakeup() -> Iterator[int]:
    """A pipe that becomes readable when a signal to stop has arrived, the first or any later one."""
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, lambda *_: None)
    before = signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(before)
        os.close(wake)
        os.close(wake_end)


def _wait_for_the_end(wake: int, parent: int | None, worker: Worker) -> None:
    watched = [wake] if parent is None else [wake, parent]
    while True:
        ready = select.select(watched, [], [], 10.0)[0]
        if wake in ready:
            log.info("The worker stops: it was told to.")
            return
        if parent in ready and not os.read(parent, 4096):
            log.info("The worker stops: the server that started it does, or is gone.")
            return
        worker.check()


class QuietConsumer(Consumer):  # type: ignore[misc]
    """huey's consumer, which leaves the signals to `run_worker`."""

    def _set_signal_handlers(self) -> None:
        pass


class Worker:
    """Everything that a worker has open, and its threads.

    Parameters
    ----------
    settings : Settings
        Of the data folder, whose lock the caller holds.

    Attributes
    ----------
    name : str
        `lock.worker_prefix` and some characters of its own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._prefix = worker_prefix(settings)
        self.name = self._prefix + secrets.token_hex(4)
        local = not disk.is_network(settings.root)
        self.database = Database(database_url(settings.root, settings.database_url), shared_memory=local)
        self.records = Records(self.database)
        self.roster = Roster(self.database)
        self.files = FileStore(settings, self.database)
        models = models_of(settings)
        self.requests = Requests(settings, models)
        self.scratch = Scratch(settings, self.files, self.records, models, self.requests)
        self.threads = settings.threads or devices.processor_threads()
        self.engine = Engine(settings, self.name, self.threads)
        self.huey = remake_huey(settings, self.work)
        self._consumer = QuietConsumer(self.huey, workers=1, periodic=False, scheduler_interval=60)
        self._stop = threading.Event()
        self._gpus = devices.visible_gpus()
        self._began = time.time()
        self._idle_since = time.monotonic()
        self._doing: tuple[str, str | None] = ("idle", None)  # and with which analysis
        self._shown: tuple[float, dict[str, Any]] = (0.0, {})
        self._chores = [
            Chore("sweep", SWEEP, self.sweep, self._stop),
            Chore("clean-up", settings.cleanup_hours * 3600, self._clean_up, self._stop, first=CLEAN_UP_AFTER),
            Chore("look for GPUs", LOOK_FOR_GPUS, self._look_for_gpus, self._stop),
        ]

    def start(self) -> None:
        """Recover what a predecessor has left, and begin to work."""
        self._recover_predecessor()
        self.engine.start()
        self.huey.storage.listen()
        self._consumer.start()
        self._ring()
        self._show()
        for chore in self._chores:
            chore.start()
        log.info("The worker is at work, with %d processor threads and %d GPUs.", self.threads, len(self._gpus))

    def check(self) -> None:
        """Replace huey's thread, should it ever die."""
        self._consumer.check_worker_health()

    def close(self) -> None:
        """Stop: the running analysis goes back to the queue, and every process of the engine ends."""
        self._stop.set()
        self._consumer.stop_flag.set()
        self.huey.storage.ring()
        for _, thread in self._consumer.worker_threads:
            if thread.ident is not None:
                thread.join(STOPPING)
        self.engine.close()
        with contextlib.suppress(Exception):
            self.roster.leave(self.name, time.time())
        self.huey.storage.close()

    # -- one after another -------------------------------------------------------------------------------------------

    def work(self, _analysis_id: str) -> None:
        """Work until nothing is queued. This is what a message of the queue means, whichever analysis it names."""
        try:
            while not self._stop.is_set() and (waiting := self.records.next_queued()) is not None:
                self._serve(waiting)
        finally:
            self._idle_since = time.monotonic()
            self._do("idle")

    def _serve(self, waiting: Record) -> None:
        """See to it that the first in the queue has what it needs, claim it, and run it."""
        if not self._engine_is_up(waiting):
            return
        try:
            with self._place_for(waiting) as place:
                attempt = self._claim(waiting) if place is not None else None
                if attempt is not None and place is not None:
                    self._do("running", waiting)
                    attempt.perform(place)
        except (Refusal, AnalysisFailed) as refused:
            attempt = self._claim(waiting)
            if attempt is not None:
                attempt.fail(explain_refusal(refused))
                self.engine.try_again()  # for the next one: nothing fails without a try of its own

    def _engine_is_up(self, waiting: Record) -> bool:
        """Wait until the engine is ready, or known to be broken. False: the worker stops."""
        self.engine.want()
        while not self.engine.wait(0.0):
            self._do("waiting for the engine", waiting)
            self.engine.wait(0.2)
            if self._stop.is_set():
                return False
        return True

    @contextlib.contextmanager
    def _place_for(self, record: Record) -> Iterator[Place | None]:
        """Where an analysis is to run, its GPU locked. None: it need not run any more, or the worker stops.

        Raises
        ------
        Refusal, AnalysisFailed
            It cannot run here.
        """
        analysis = find_analysis(record.analysis)
        problem = self.engine.broken or (self.engine.without_models if analysis.model_kind else None)
        if problem:
            raise AnalysisFailed(problem, hint="dlc-jupyter check says what is missing.", kind="EngineUnavailable")
        wanted = record.parameters.get("device") or self.settings.device
        gpus = devices.choose(str(wanted), self._gpus) if analysis.uses_device else []
        if not gpus:
            yield Place(threads=self.threads)
            return
        self._do("waiting for a GPU", record)
        lock = devices.DeviceLock(self.settings.device_lock_dir, [gpu.uuid for gpu in gpus])
        ticket = lock.acquire(lambda: self._stop.is_set() or self.records.next_queued() != record)
        if ticket is None:
            yield None
            return
        try:
            yield Place(device=f"cuda:{ticket.name}", lock=str(ticket.path), threads=self.threads)
        finally:
            ticket.release()

    def _claim(self, waiting: Record) -> Attempt | None:
        """Claim the first in the queue, if it is still the one that was looked at."""
        record = self.records.claim(self.name, time.time(), self.settings.lease_seconds)
        if record is None:
            return None
        if record.analysis_id != waiting.analysis_id:  # that one was cancelled; look again
            self.records.release(record.analysis_id, self.name)
            return None
        return Attempt(
            self.settings, self.records, self.scratch, self.requests, self.engine, self.name, record, self._stop
        )

    # -- and on the side ---------------------------------------------------------------------------------------------

    def _recover_predecessor(self) -> None:
        """End what dead workers of this data folder have left running, and take their analyses back into the queue."""
        ended = processes.end_marked(self._prefix)
        now = time.time()
        lost = self.records.recover(now, self.settings.max_attempts, LOST, worker_prefix=self._prefix)
        if ended or lost:
            log.warning("Recovered %d analyses and ended %d processes of an earlier worker.", len(lost), ended)
        self.scratch.clear_all()
        self.roster.leave(self._prefix, now)

    def sweep(self) -> None:
        """Look for what nobody told: queued analyses, leases that have run out, an engine that is not needed."""
        if self._doing[0] == "idle":
            # Only when idle: a laptop that has slept wakes up with the lease of its own analysis run out.
            for record in self.records.recover(time.time(), self.settings.max_attempts, LOST):
                log.warning("Analysis %s was taken back from a worker not heard of any more.", record.analysis_id)
                if record.worker and record.worker != self.name:
                    processes.end_marked(record.worker)
            self._ring()
            if self.engine.outdated(self.requests.versions()) and self._doing[0] == "idle":
                log.info("Another version was installed: the engine is started anew.")
                self.engine.kill()
            rest = self.settings.engine_idle_minutes * 60
            if rest and time.monotonic() - self._idle_since > rest and self._doing[0] == "idle":
                self.engine.rest()
        self._show()

    def _ring(self) -> None:
        waiting = self.records.next_queued()
        if waiting is not None:
            self.huey.analyse(waiting.analysis_id)

    def _clean_up(self) -> None:
        for removal in CleanUp(self.settings, self.files, self.records).run(time.time()):
            log.info("Removed %s %s (%s): %s.", removal.kind, removal.id[:8], removal.name, removal.reason)

    def _look_for_gpus(self) -> None:
        self._gpus = devices.visible_gpus()

    def _do(self, what: str, record: Record | None = None) -> None:
        self._doing = (what, record.analysis_id if record else None)

    def _show(self) -> None:
        """Show that this worker is alive, and what it is doing, where that is news."""
        now = time.time()
        state, analysis_id = self._doing
        status = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": iso(self._began),
            "state": state,
            "analysis_id": analysis_id,
            "threads": self.threads,
            "engine": self.engine.status(),
            "devices": [asdict(gpu) for gpu in self._gpus],
        }
        then, shown = self._shown
        if status != shown or now - then >= min(SHOW, self.settings.lease_seconds / 3):
            self.roster.show(self.name, now, status)
            self._shown = now, status


if __name__ == "__main__":
    main()
