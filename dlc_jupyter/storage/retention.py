"""Which stored files may go: those that nobody has used for long and, when room runs out, the longest unused first.

Never one that a queued or running analysis needs, and never one that an analysis which is still listed has made. The
store looks again (`FileStore.delete`) in the transaction that removes a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import sqlalchemy as sa

from dlc_jupyter.errors import Conflict, NotFound
from dlc_jupyter.storage.database import Database, analyses, analysis_files, files
from dlc_jupyter.storage.files import FileStore

DAY = 86_400.0
HOUR = 3_600.0

#: Of a file: ``file_id, filename, size, used``, and ``linked_mtime_ns`` where it is a link to a user's own file.
Unused: TypeAlias = sa.Row[Any]


@dataclass(frozen=True)
class Removal:
    """Something that may go.

    Attributes
    ----------
    kind : str
        ``analysis``, ``file``, ``upload`` (never finished), ``remains`` (what a crash has left), ``poses`` (found in
        part), or ``log``.
    id : str
        The whole id.
    name : str
        What people know it by: a file's name, or what an analysis is called.
    size : int
        Bytes that it frees.
    reason : str
        Why it may go.
    remove : callable
        Removes it. False: it may not go any more, or has gone already.
    """

    kind: str
    id: str
    name: str
    size: int
    reason: str
    remove: Callable[[], bool]


def expired_files(store: FileStore, now: float) -> list[Removal]:
    """Return the files that were not used for `Settings.expire_files_days`."""
    days = store.settings.expire_files_days
    if not days:
        return []
    limit = f"files are kept for {days:g} days"
    return [_removal(store, row, now, limit, now - days * DAY) for row in _unused(store.database, now - days * DAY)]


def evicted_files(store: FileStore, now: float, lacking: int, besides: Collection[str] = frozenset()) -> list[Removal]:
    """Return the files that have to go so that `lacking` bytes become free, besides those that go anyway.

    They are those unused for `Settings.evict_unused_hours`, the longest unused first. None at all where even all of
    them together would not do.
    """
    hours = store.settings.evict_unused_hours
    if not hours or lacking <= 0:
        return []
    chosen: list[Removal] = []
    for row in _unused(store.database, now - hours * HOUR):
        if lacking <= 0:
            break
        # A link to a user's own file takes no room.
        if row.linked_mtime_ns is None and row.file_id not in besides:
            chosen.append(_removal(store, row, now, "the disk or the quota is full", now - hours * HOUR))
            lacking -= row.size
    return [] if lacking > 0 else chosen


def make_room(store: FileStore, extra: int) -> bool:
    """Remove unused uploads so that `extra` more bytes fit. Return whether they do now."""
    for removal in evicted_files(store, store.clock(), store.lacking_bytes(extra)):
        removal.remove()
    return store.lacking_bytes(extra) == 0


def _unused(database: Database, before: float) -> list[Unused]:
    """Return the files that may go and were last used before a time, the longest unused first."""
    of_this = analysis_files.c.file_id == files.c.file_id
    made = sa.exists().where(of_this, analysis_files.c.role == "output")
    active = analyses.c.state.in_(("queued", "running"))
    needed = sa.exists().where(of_this, analysis_files.c.analysis_id == analyses.c.analysis_id, active)
    query = sa.select(files.c.file_id, files.c.filename, files.c.size, files.c.used, files.c.linked_mtime_ns)
    with database.read() as connection:
        return list(connection.execute(query.where(files.c.used < before, ~made, ~needed).order_by(files.c.used)))


def _removal(store: FileStore, row: Unused, now: float, why: str, before: float) -> Removal:
    freed = 0 if row.linked_mtime_ns is not None else row.size
    remove = partial(_delete, store, row.file_id, before)
    return Removal("file", row.file_id, row.filename, freed, f"not used for {ago(now - row.used)}: {why}", remove)


def _delete(store: FileStore, file_id: str, before: float) -> bool:
    with contextlib.suppress(Conflict, NotFound):
        store.delete(file_id, unused_since=before)
        return True
    return False


def ago(seconds: float) -> str:
    """Return a long span of time for people: ``5 hours``, ``31 days``."""
    number, unit = (seconds / DAY, "day") if seconds >= 2 * DAY else (seconds / HOUR, "hour")
    return f"{number:.0f} {unit}" + ("" if round(number) == 1 else "s")
