"""One attempt at one analysis: from claimed to succeeded, failed, cancelled, or back in the queue."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.jobs.engine_process import Engine, EngineGone
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.record import Made, Record, iso
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Keys, Requests
from dlc_jupyter.jobs.scratch import Scratch, offered
from dlc_jupyter.jobs.watch import Watch
from dlc_jupyter.settings import Settings

log = logging.getLogger(__name__)

#: How long the engine may take to end a run. Then the engine itself is killed.
PATIENCE = 1.8

#: Signals by which a service manager or a shell ends all processes at once, the worker too.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


#: What is added to the hint of an error that came after the poses.
KEPT_POSES = "The 2D poses are kept: the next analysis of the same videos starts from them."

OWN_FAULT = {
    "type": "WorkerError",
    "message": "The worker met an error of its own, as often as the analysis was tried.",
    "hint": "The server's log says more.",
}


@dataclass(frozen=True)
class Place:
    """Where an attempt runs: `device` and `lock` as in `protocol.Order`, and processor `threads`."""

    device: str = "cpu"
    lock: str | None = None
    threads: int = 1


@dataclass
class Ending:
    """How a run ended: with a result, with an error, or by a signal (which may have hit the engine host)."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    exited: bool = False
    code: int | None = None
    killed_by: int | None = None
    notes: list[str] = field(default_factory=list)


class Attempt:
    """One attempt at one analysis that this worker has claimed.

    Parameters
    ----------
    settings, records, scratch, requests, engine
        What the worker works with.
    worker : str
        Its name.
    record : Record
        The analysis, running.
    stop : threading.Event
        Set when the worker is to stop; the analysis then goes back to the queue.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        scratch: Scratch,
        requests: Requests,
        engine: Engine,
        worker: str,
        record: Record,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._records = records
        self._scratch = scratch
        self._requests = requests
        self._engine = engine
        self._worker = worker
        self._record = record
        self._id = record.analysis_id
        self._stop = stop
        self._interrupted = threading.Event()
        self._keys = Keys()  # as the model stood when it was staged
        self._order: Order | None = None
        self._made: dict[str, Any] = {}  # the poses that are there already
        self._spared: Sequence[str] = ()  # the files that stay although it has not succeeded

    def perform(self, place: Place) -> None:
        """Run it, and write down what came of it. Whatever happens, nothing of the run is left behind."""
        lease = self._settings.lease_seconds
        with Watch(self._records, self._record, self._worker, lease, self._interrupted.set) as watch:
            try:
                self._begin_log(place)
                self._conclude(*self._run(place, watch), watch)
            except EngineGone:
                self._records.release(self._id, self._worker)
            except (AnalysisFailed, Refusal) as error:
                self.fail(explain_refusal(error))
            except OSError as error:
                log.exception("Analysis %s could not be prepared, or its outputs not be stored.", self._id)
                self.fail({"type": type(error).__name__, "message": _what_the_disk_said(error), "hint": ""})
            except Exception:
                log.exception("The worker met an error of its own over analysis %s.", self._id)
                self._retry(OWN_FAULT)
            finally:
                self._scratch.clear(self._id, self._spared)

    def fail(self, error: Mapping[str, Any]) -> None:
        """Finish it with an error. The poses that were there already stay for others."""
        if made := self._store_poses():
            error = {**error, "hint": f"{error['hint']} {KEPT_POSES}".strip()}
        if self._records.fail(self._id, self._worker, time.time(), error, made):
            self._spare(made)
            log.info("Analysis %s has failed: %s", self._id, error["message"])

    def _cancel(self) -> None:
        """Finish it because that was asked. The poses that were there already stay for others."""
        made = self._store_poses()
        if self._records.cancelled(self._id, self._worker, time.time(), made):
            self._spare(made)

    def _spare(self, made: Made | None) -> None:
        """See to it that the poses that it has found stay, whole or in part."""
        self._spared = made.file_ids if made else ()
        if self._order is None or self._keys_now() != self._keys:
            return
        try:
            self._scratch.leave(self._record, self._keys, made.poses if made else ())
        except OSError:  # the analysis has an end of its own to tell
            log.exception("What analysis %s has found could not be left to others.", self._id)

    def _begin_log(self, place: Place) -> None:
        with self._scratch.log(self._id).open("a") as file:
            device = place.device.partition(":")[0]
            file.write(
                f"--- {self._record.analysis}, attempt {self._record.attempt}, {iso(time.time())}, on {device} ---\n"
            )

    # -- while it runs -----------------------------------------------------------------------------------------------

    def _run(self, place: Place, watch: Watch) -> tuple[Order, Ending]:
        """Stage what it needs, have the engine run it, and follow it to its end."""
        order = replace(self._stage(), device=place.device, lock=place.lock, threads=place.threads)
        self._order = order
        ending = Ending()
        events = self._engine.run(order)
        try:
            self._follow(events, ending, watch)
        except BaseException:
            self._engine.kill()  # what it runs has nobody any more who listens
            raise
        return order, ending

    def _stage(self) -> Order:
        """Stage what it needs, and note what decides its result."""
        version = self._engine.versions.get("deeplabcut")
        order = self._scratch.prepare(self._record, version)
        self._keys = self._requests.keys(self._record, version)
        return order

    def _follow(self, events: SimpleQueue[dict[str, Any]], ending: Ending, watch: Watch) -> None:
        """Take what the engine tells until the run has ended, and end it where it is to stop."""
        asked: float | None = None
        while not ending.exited:
            if asked is None and (self._interrupted.is_set() or self._stop.is_set()):
                asked = time.monotonic()
                self._engine.stop_run()
            elif asked is not None and time.monotonic() - asked > PATIENCE:
                log.warning("The engine does not answer and is killed.")
                self._engine.kill()
                asked = float("inf")
            with contextlib.suppress(Empty):
                self._take(_next(events), ending, watch)

    def _take(self, event: dict[str, Any], ending: Ending, watch: Watch) -> None:
        match event:
            case {"event": "progress"}:
                watch.progress(event)
            case {"event": "note", "message": message}:
                ending.notes.append(message)
            case {"event": "media", "file_id": file_id, "facts": facts}:
                self._scratch.note_media(file_id, facts)
            case {"event": "made", "result": made}:
                self._made |= made
            case {"event": "result", "result": result}:
                ending.result = result
            case {"event": "failed", "error": error}:
                ending.error = error
            case {"event": "exited"}:
                ending.exited, ending.code, ending.killed_by = True, event.get("code"), event.get("signal")
            case {"event": "gone"}:
                ending.exited, ending.killed_by = True, signal.SIGKILL

    # -- when it has ended -------------------------------------------------------------------------------------------

    def _conclude(self, order: Order, ending: Ending, watch: Watch) -> None:
        """Write down what came of a run. Its processes are all gone."""
        if ending.killed_by in STOPPING:
            self._stop.wait(0.5)  # were we meant too?
        if watch.lost:
            log.warning("Analysis %s is no longer this worker's.", self._id)
        elif watch.cancelled:
            self._cancel()
        elif ending.result is not None:
            watch.write_progress()
            self._succeed(order, ending)
        elif self._stop.is_set():
            self._give_back()
        elif ending.error is not None:
            self.fail(ending.error)
        elif ending.killed_by is not None:
            log.warning("Analysis %s was killed by signal %d.", self._id, ending.killed_by)
            self._retry(killed(ending.killed_by, self._settings.max_attempts))
        else:
            self.fail(
                {
                    "type": "EngineError",
                    "message": f"The analysis ended by itself, without a result (exit code {ending.code}).",
                    "hint": "The log of the analysis says more.",
                }
            )

    def _succeed(self, order: Order, ending: Ending) -> None:
        assert ending.result is not None
        result, file_ids = self._scratch.store_outputs(order, ending.result)
        if ending.notes or "notes" in result:  # what should be known is read first
            result = {"notes": [*result.pop("notes", []), *ending.notes], **result}
        # Nobody else gets this result where the model or DeepLabCut was another one when it was asked for, and neither
        # poses nor result where the model has changed meanwhile.
        unchanged = self._keys_now() == self._keys
        reusable = unchanged and self._keys.request == self._record.request_key
        poses = offered(self._keys, result) if unchanged else {}
        now = time.time()
        if self._records.succeed(self._id, self._worker, now, result, file_ids, reusable=reusable, poses=poses):
            log.info("Analysis %s has succeeded.", self._id)
            return
        if self._records.asked_to_cancel(self._id, self._worker):
            self._cancel()
        else:
            self._scratch.discard_outputs(file_ids)

    def _store_poses(self) -> Made | None:
        """Store the poses that were there when it ended without a result: they may be the work of hours."""
        poses = offered(self._keys, self._made)
        if self._order is None or not poses or self._keys_now() != self._keys:
            return None
        try:
            result, file_ids = self._scratch.store_outputs(self._order, self._made)
        except Exception:  # the analysis has an error of its own to tell
            log.exception("The poses that analysis %s has found could not be stored.", self._id)
            return None
        return Made(result, file_ids, poses)

    def _keys_now(self) -> Keys | None:
        """Return what decides its result as the model stands now. None: it is gone, or broken."""
        try:
            return self._requests.keys(self._record, self._engine.versions.get("deeplabcut"))
        except Refusal:
            return None

    def _give_back(self) -> None:
        """Put it back into the queue, or cancel it where that was asked at the last moment."""
        if self._records.asked_to_cancel(self._id, self._worker):
            self._cancel()
        elif self._records.release(self._id, self._worker):
            log.info("Analysis %s goes back to the queue.", self._id)

    def _retry(self, error: Mapping[str, Any]) -> None:
        """Queue it again; finish it with an error where it was tried enough."""
        if self._record.attempt < self._settings.max_attempts:
            self._records.retry(self._id, self._worker, time.time(), self._settings.max_attempts, error)
        elif self._records.asked_to_cancel(self._id, self._worker):
            self._cancel()
        else:
            self.fail(error)


def explain_refusal(error: AnalysisFailed | Refusal) -> dict[str, str]:
    """Return the record's ``error`` for what could not be run, or not be finished."""
    if isinstance(error, AnalysisFailed):
        return error.as_json()
    return {"type": type(error).__name__, "message": error.message, "hint": ""}


def killed(number: int, attempts: int) -> dict[str, str]:
    """Return the record's ``error`` for an analysis whose process was killed each time."""
    times = {1: "", 2: " twice", 3: " three times"}.get(attempts, f" {attempts} times")
    hint = "The log of the analysis says more."
    if number == signal.SIGKILL:
        hint = "Most often the machine ran out of memory: try a smaller batch_size or a shorter video. " + hint
    return {
        "type": "Killed",
        "message": f"The process of the analysis was killed by signal {number}{times}.",
        "hint": hint,
    }


def _next(events: SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
    return events.get(timeout=0.1)


def _what_the_disk_said(error: OSError) -> str:
    return f"The server could not read or write a file: {(error.strerror or type(error).__name__).lower()}."
