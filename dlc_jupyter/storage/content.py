"""The bytes of the stored files: where they lie, how they are read and removed, and how much room is left for more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.amounts import readable
from dlc_jupyter.errors import Conflict, NoSpace, NotFound, Refusal
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.catalogue import Catalogue, StoredFile, active_users, is_output
from dlc_jupyter.storage.database import BROUGHT, Database, analysis_files, files
from dlc_jupyter.storage.disk import disk_full, free_bytes, locked


class Content(Catalogue):
    """The stored files of one data folder; `dlc_jupyter.storage.files.FileStore` adds how they come in.

    Parameters
    ----------
    settings : Settings
        `Settings.root` is where the store lies; its limits are in bytes.
    database, clock
        See `Catalogue`.
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, clock=clock)
        self.settings = settings
        self.root = settings.root
        self.content = self.root / "files"
        self.incoming = self.root / "incoming"
        self.unfinished = self.root / "uploads"  # see `dlc_jupyter.storage.uploads`
        for folder in (self.root, self.content, self.incoming, self.unfinished):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, file_id: str) -> Path:
        return self.content / file_id[:2] / file_id[2:]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.root / "files.lock"):
            yield

    # -- bytes out ---------------------------------------------------------------------------------------------------

    def open(self, prefix: str) -> tuple[StoredFile, int]:
        """Return the file whose id begins with `prefix`, and an open descriptor, for the caller to read and to close.

        Raises
        ------
        NotFound
            There is no such file, or its bytes are lost (``file-lost``).
        Ambiguous
            More than one begins so.
        Conflict
            It is a link to a user's own file, which has changed since (``file-changed``).
        """
        file = self.find(prefix)
        try:
            descriptor = os.open(self._path(file.file_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _not_whole(file, None) from None
        status = os.fstat(descriptor)
        if not is_whole(file, status):
            os.close(descriptor)
            raise _not_whole(file, status)
        return file, descriptor

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a file lie; they are for reading only.

        Raises
        ------
        NotFound, Conflict
            As `open` does.
        """
        file = self._row(file_id)
        if file is None:
            raise NotFound(f"There is no file {file_id[:80]!r}.", reason="unknown-file")
        path = self._path(file_id)
        status = status_of(path)
        if not is_whole(file, status):
            raise _not_whole(file, status)
        return path

    def holds(self, file_id: str) -> bool:
        """Whether there is such a file, with all its bytes. Waits for whoever is just adding or removing one."""
        with self._locked():
            file = self._row(file_id)
            return file is not None and is_whole(file, status_of(self._path(file_id)))

    def stage(self, file_id: str, target: Path) -> None:
        """Make the bytes of a file readable at `target` too: a hard link, or else a symbolic one.

        Raises
        ------
        NotFound, Conflict
            As `path` does.
        FileNotFoundError
            The file was deleted at this very moment.
        """
        source = self.path(file_id)
        try:
            target.hardlink_to(source)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:
            target.symlink_to(source)

    # -- files gone --------------------------------------------------------------------------------------------------

    def delete(self, file_id: str, *, unused_since: float | None = None) -> None:
        """Forget a file.

        Parameters
        ----------
        unused_since : float, optional
            Only if it was not used after this time, in seconds since 1970, and no analysis that is listed has made it.

        Raises
        ------
        NotFound
            There is no such file.
        Conflict
            A queued or running analysis needs it (``file-in-use``, with ``analyses``), or it was used meanwhile.
        """

        def allowed(connection: sa.Connection, row: sa.Row[Any]) -> None:
            users = active_users(connection, file_id)
            if users:
                raise Conflict(
                    "An analysis that is queued or running needs this file. Cancel it, or wait for its end.",
                    reason="file-in-use",
                    analyses=users,
                )
            if unused_since is not None and (row.used > unused_since or is_output(connection, file_id)):
                raise Conflict("The file was used meanwhile.", reason="file-in-use")

        if not self._remove(file_id, allowed):
            raise NotFound(f"There is no file {file_id[:80]!r}.", reason="unknown-file")

    def discard(self, file_ids: Iterable[str]) -> None:
        """Forget those outputs of a deleted analysis that nobody brought and no other analysis names."""

        def allowed(connection: sa.Connection, row: sa.Row[Any]) -> None:
            named = sa.select(analysis_files.c.file_id).where(analysis_files.c.file_id == row.file_id)
            if row.origin in BROUGHT or connection.execute(named.limit(1)).first():
                raise Conflict("Something else uses this file.", reason="file-in-use")

        for file_id in file_ids:
            try:
                self._remove(file_id, allowed)
            except Conflict:
                continue

    def discard_outputs(self, analysis_id: str, besides: Collection[str] = ()) -> None:
        """Forget what an analysis has stored, as `discard` does, unless it runs or has succeeded; spare some."""
        self.discard(self._unlink_outputs(analysis_id, besides))

    def _remove(self, file_id: str, allowed: Callable[[sa.Connection, sa.Row[Any]], None]) -> bool:
        """Remove the row, then the bytes."""
        with self._locked():
            removed = self._remove_row(file_id, allowed)
            if removed:
                self._path(file_id).unlink(missing_ok=True)
        return removed

    def nameless(self) -> list[tuple[str, os.stat_result]]:
        """Return the ids of stored bytes that no row names."""
        found = []
        for folder in sorted(self.content.iterdir()):
            within = sa.and_(files.c.file_id >= folder.name, files.c.file_id < folder.name + "g")
            lying = {folder.name + path.name: status_of(path) for path in folder.iterdir()}
            with self.database.read() as connection:
                named = set(connection.scalars(sa.select(files.c.file_id).where(within)))
            found += [(file_id, status) for file_id, status in sorted(lying.items()) if status and file_id not in named]
        return found

    def reclaim(self, file_id: str) -> bool:
        """Remove stored bytes that no row names. False: one does by now."""
        with self._locked():
            if self._row(file_id) is not None:
                return False
            self._path(file_id).unlink(missing_ok=True)
            return True

    # -- room --------------------------------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Return how many bytes the stored files and those on their way take. Links to users' own files take none."""
        query = sa.select(sa.func.coalesce(sa.func.sum(files.c.size), 0)).where(files.c.linked_mtime_ns.is_(None))
        with self.database.read() as connection:
            stored = int(connection.scalar(query) or 0)
        coming = (status_of(path) for folder in (self.incoming, self.unfinished) for path in folder.glob("*.part"))
        return stored + sum(status.st_size for status in coming if status)

    def lacking_bytes(self, extra: int = 0) -> int:
        """Return how many bytes would have to go so that `extra` more fit on the disk and into the quota."""
        return max(0, *(lacking for lacking, _refusal in self._lacking(extra)))

    def check_room(self, extra: int = 0) -> None:
        """Refuse `extra` more bytes if they do not fit.

        Raises
        ------
        NoSpace
            ``disk-full`` or ``quota-exceeded``.
        """
        for lacking, refusal in self._lacking(extra):
            if lacking > 0:
                raise refusal

    def _lacking(self, extra: int) -> Iterator[tuple[int, NoSpace]]:
        yield extra + self.settings.min_free_bytes - free_bytes(self.root), disk_full()
        quota = self.settings.store_quota_bytes
        if quota:
            yield (
                self._over_quota(extra),
                NoSpace(
                    f"The stored files may take {readable(quota)} together, and this one would be too much. "
                    "Delete files that are no longer needed.",
                    reason="quota-exceeded",
                ),
            )

    def _over_quota(self, extra: int) -> int:
        quota = self.settings.store_quota_bytes
        return self.used_bytes() + extra - quota if quota else 0


def status_of(path: Path) -> os.stat_result | None:
    """Return size, time and kind of a file, not followed where it is a link; None where there is none."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def is_whole(file: StoredFile, status: os.stat_result | None) -> bool:
    """Whether the bytes are there; of a link to a user's own file, whether they are still the same."""
    if status is None:
        return False
    return status.st_size == file.size and file.linked_mtime_ns in (None, status.st_mtime_ns)


def _not_whole(file: StoredFile, status: os.stat_result | None) -> Refusal:
    """Say why a file cannot be read that `_is_whole` does not find whole."""
    if file.linked_mtime_ns is not None and status is not None:
        return Conflict(
            f"{file.filename} was changed on the server's disk after it was registered. Register it again.",
            reason="file-changed",
        )
    return NotFound(
        f"The bytes of {file.filename} are gone from the server's disk. Send the file again.", reason="file-lost"
    )
