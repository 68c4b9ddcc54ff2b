"""The store: immutable files named by the SHA-1 of their bytes, and a row for each.

The bytes come first, then the row: a crash leaves at most bytes that no row names, which a sweep takes away. Adding and
removing hold one lock file, so that any number of threads, servers and workers may use one store at a time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.errors import BadRequest, Conflict, NoSpace, NotFound, Refusal, TooLarge, Unavailable
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.catalogue import Catalogue, NewFile, StoredFile, active_users, is_output
from dlc_jupyter.storage.database import BROUGHT, Database, analysis_files, files
from dlc_jupyter.storage.disk import disk_full, free_bytes, full_disk_refused, locked, readable, reflink, sync_folder
from dlc_jupyter.storage.incoming import PartFile, pieces
from dlc_jupyter.storage.names import clean_filename


class Incoming(PartFile):
    """A file on its way into the store. See `FileStore.receive`."""

    def __init__(self, store: FileStore, check: Callable[[int], None]) -> None:
        super().__init__(store.incoming, check)
        self._store = store

    def finish(self, filename: str, content_type: str | None = None, *, origin: str = "upload") -> StoredFile:
        """Give it its place in the store. Whatever happens, the part file is gone afterwards.

        Raises
        ------
        BadRequest
            No byte has come, or the name is none.
        NoSpace
            The disk or the quota is full.
        """
        try:
            if not self.size:
                raise BadRequest("The file is empty. Choose a file that holds something.", reason="empty-file")
            new = NewFile(self.seal(), self.size, filename, content_type, origin)
            return self._store.adopt(new, lambda target: _move(self.path, target))
        finally:
            self.discard()


class FileStore(Catalogue):
    """All stored files of one data folder.

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
        self._closed = threading.Event()
        self.root = settings.root
        self.content = self.root / "files"
        self.incoming = self.root / "incoming"
        for folder in (self.root, self.content, self.incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def close(self) -> None:
        """Stop taking files in: who reads a large one at this moment, in another thread, gets `Unavailable`."""
        self._closed.set()

    # -- files in ----------------------------------------------------------------------------------------------------

    def receive(self, expected: int = 0, *, limit: int | None = None) -> Incoming:
        """Open a part file for bytes to come, about `expected` of them.

        Parameters
        ----------
        expected : int
            Number of bytes, as far as it is known.
        limit : int, optional
            Most bytes; `Settings.max_upload_bytes` when left out, 0 for none.

        Raises
        ------
        TooLarge, NoSpace
            They are too many, or would not fit.
        """
        limit = self.settings.max_upload_bytes if limit is None else limit

        def check(size: int, room_for: int = 0) -> None:
            if limit and size > limit:
                raise TooLarge(f"The file is larger than {readable(limit)}, the most that may be sent.", limit=limit)
            self._check_open()
            self.check_room(room_for)

        check(expected, expected)
        return Incoming(self, check)

    def add(self, path: Path, filename: str, *, origin: str, content_type: str | None = None) -> StoredFile:
        """Take over a finished file, which is gone from its place afterwards.

        Parameters
        ----------
        path : Path
            A file that nobody writes to any more, such as an output in the scratch folder.
        origin : str
            The id of the analysis that made it. While that is running, the file is one of its outputs from this moment
            on: it stays when another analysis goes that made the same bytes. See `discard_outputs`.
        """
        with _opened(path) as descriptor:
            status = os.fstat(descriptor)
            if path.is_symlink() or status.st_nlink > 1 or status.st_dev != self.content.stat().st_dev:
                stored = self._copy(descriptor, filename, content_type, origin)
            else:
                os.fsync(descriptor)
                new = NewFile(self._sha1(descriptor), status.st_size, filename, content_type, origin)
                stored = self.adopt(new, lambda target: _move(path, target))
        path.unlink(missing_ok=True)
        return stored

    def register(self, path: Path, filename: str, *, descriptor: int | None = None) -> StoredFile:
        """Make a user's own file a stored one, without a copy where the file system can avoid it.

        Parameters
        ----------
        path : Path
            The file. The caller has made sure that the user may see it.
        descriptor : int, optional
            The same file, open for reading, where the caller had to make sure that `path` does not lead elsewhere.

        Raises
        ------
        BadRequest
            It is no regular file, or is empty.
        Conflict
            It changed meanwhile.
        """
        with _opened(path, descriptor) as source:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise BadRequest("This path is no file that could be read.", reason="not-a-file")
            part = Incoming(self, lambda _size: self._check_open())  # neither shared bytes nor a link take any room
            try:
                if self._over_quota(status.st_size) <= 0 and reflink(source, part.descriptor):
                    part.rehash()
                    return part.finish(filename, origin="path")
            finally:
                part.discard()
            return self._link(path, source, filename) or self._copy(source, filename, None, "path")

    def _copy(self, source: int, filename: str, content_type: str | None, origin: str) -> StoredFile:
        before = os.fstat(source)
        part = self.receive(before.st_size, limit=0)
        try:
            for piece in pieces(source):
                part.append(piece)
            if not _same(os.fstat(source), before):
                raise file_changed()
            return part.finish(filename, content_type, origin=origin)
        finally:
            part.discard()

    def _link(self, path: Path, source: int, filename: str) -> StoredFile | None:
        """Store a hard link to the open file `source`. None: the file system cannot."""
        before = os.fstat(source)
        if not before.st_size:
            raise BadRequest("The file is empty. Choose a file that holds something.", reason="empty-file")
        if before.st_dev != self.content.stat().st_dev:
            return None

        def place(target: Path) -> int:
            link = target.with_name(target.name + ".new")  # left by a crash, it is among `nameless`
            link.unlink(missing_ok=True)
            link.hardlink_to(path)
            try:
                linked = link.lstat()
                if not _same(linked, before) or not _same(os.fstat(source), before):
                    raise file_changed()
                link.replace(target)
            finally:
                link.unlink(missing_ok=True)  # replacing a link to the same file changes nothing
            return linked.st_mtime_ns

        try:
            return self.adopt(NewFile(self._sha1(source), before.st_size, filename, None, "path"), place)
        except OSError:
            return None

    def adopt(self, new: NewFile, place: Callable[[Path], int | None]) -> StoredFile:
        """Give new bytes their place, unless they are there already, and write their row.

        Parameters
        ----------
        place : callable
            Puts the file at the path it is given, replacing what lies there. Returns its time of change when it is a
            link to a user's own file, which may still change.
        """
        name = clean_filename(new.filename)
        target = self._path(new.file_id)
        with self._locked():
            known = self._row(new.file_id)
            linked = known.linked_mtime_ns if known else None
            if known is None or linked is not None or not _is_whole(known, _status(target)):
                with full_disk_refused():
                    target.parent.mkdir(mode=0o700, exist_ok=True)
                    linked = place(target)
                if linked is None:
                    target.chmod(0o400)  # stored bytes never change
                sync_folder(target.parent)
                sync_folder(self.content)
            try:
                self._write_row(new, name, linked)
            except NoSpace:
                if known is None:
                    target.unlink()
                raise
            return self.find(new.file_id)

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
        if not _is_whole(file, status):
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
        status = _status(path)
        if not _is_whole(file, status):
            raise _not_whole(file, status)
        return path

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

    def discard_outputs(self, analysis_id: str) -> None:
        """Forget what an analysis has stored, as `discard` does, unless it runs or has succeeded."""
        self.discard(self._unlink_outputs(analysis_id))

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
            lying = {folder.name + path.name: _status(path) for path in folder.iterdir()}
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
        coming = (_status(path) for path in self.incoming.glob("*.part"))
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

    # -- places and bytes --------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unavailable("The server is stopping. Try again when it has started.", reason="stopping")

    def _sha1(self, descriptor: int) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in pieces(descriptor):
            self._check_open()
            digest.update(piece)
        return digest.hexdigest()

    def _path(self, file_id: str) -> Path:
        return self.content / file_id[:2] / file_id[2:]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.root / "files.lock"):
            yield


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_whole(file: StoredFile, status: os.stat_result | None) -> bool:
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


def file_changed() -> Conflict:
    """Return the refusal of a file that somebody still writes to."""
    return Conflict("The file changed while it was read. Try again when it is complete.", reason="file-changed")


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return all(getattr(one, of) == getattr(other, of) for of in ("st_dev", "st_ino", "st_size", "st_mtime_ns"))


@contextmanager
def _opened(path: Path, descriptor: int | None = None) -> Iterator[int]:
    """Open a file for reading, without waiting where it is a pipe. A `descriptor` that is given stays open."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if descriptor is None else descriptor
    try:
        yield opened
    finally:
        if descriptor is None:
            os.close(opened)
