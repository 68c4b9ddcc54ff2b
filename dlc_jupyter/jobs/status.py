"""How the whole is: worker, engine, queue, devices, disk and versions, as `GET /status` shows them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dlc_jupyter._version import __version__
from dlc_jupyter.jobs.devices import Gpu
from dlc_jupyter.jobs.records import Records, State, iso
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database
from dlc_jupyter.storage.disk import free_bytes
from dlc_jupyter.storage.files import FileStore

#: How old an answer may be, in seconds, and from which age on the next is made ready.
FRESH = 1.0
AGING = 0.4


class StatusBoard:
    """Looks at everything about once a second, however many ask.

    It has a thread of its own, so that an answer never waits behind uploads and downloads. Who asks again and again
    does not even wait for a look, which takes its time while the disk is busy.

    Parameters
    ----------
    clock : callable, optional
        Returns the time: seconds since 1970 (UTC).
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        files: FileStore,
        records: Records,
        requests: Requests,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._roster = Roster(database)
        self._files = files
        self._records = records
        self._requests = requests
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dlc-status")
        self._seen: dict[str, Any] = {}
        self._seen_at = float("-inf")
        self._next: Future[dict[str, Any]] | None = None

    async def current(self) -> dict[str, Any]:
        """Return the status, not older than `FRESH`."""
        if not self._younger_than(FRESH):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        if not self._younger_than(AGING) and (self._next is None or self._next.done()):
            self._next = self._thread.submit(self._look)
        return self._seen

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _younger_than(self, seconds: float) -> bool:
        return time.monotonic() - self._seen_at < seconds

    def _look(self) -> dict[str, Any]:
        if not self._younger_than(AGING):  # somebody else who waited for the thread may have looked
            began = time.monotonic()
            self._seen, self._seen_at = self.look(), began
        return self._seen

    def look(self) -> dict[str, Any]:
        """Return the status as it is now."""
        worker, status = self._worker()
        counts = self._records.count()
        return {
            "worker": worker,
            "engine": status.get("engine"),
            "queue": {state.value: counts.get(state, 0) for state in State},
            "devices": status.get("devices"),
            "disk": {
                "free": free_bytes(self._settings.root),
                "used": self._files.used_bytes(),
                "quota": self._settings.store_quota_bytes or None,
                "reserve": self._settings.min_free_bytes,
            },
            "versions": {"dlc_jupyter": __version__, **self._requests.versions()},
        }

    def gpus(self) -> list[Gpu] | None:
        """Return the GPUs that the worker may use; None where no worker is alive that would know."""
        found = self._worker()[1].get("devices")
        return None if found is None else [Gpu(**each) for each in found]

    def _worker(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what there is to say of the worker that was seen last, and its own status while it is alive."""
        name, seen, status = self._roster.latest() or (None, None, {})
        alive = seen is not None and self._clock() - seen <= self._settings.lease_seconds
        status = status if alive else {}
        worker = {
            "alive": alive,
            "name": name,
            "seen": iso(seen),
            "state": status.get("state"),
            "analysis_id": status.get("analysis_id"),
            "message": None if alive else self._advice(),
        }
        return worker, status

    def _advice(self) -> str:
        if self._settings.start_worker:
            return (
                "No worker has been heard of lately. The server starts one by itself; its log says why there is none."
            )
        return "No worker is running, and this server is set up to start none. Start one with: dlc-jupyter worker"
