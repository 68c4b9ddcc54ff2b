"""The store: immutable files named by the SHA-1 of their bytes, and a row for each.

The bytes come first, then the row: a crash leaves at most bytes that no row names, which a sweep takes away. Adding and
removing hold one lock file, so that any number of threads, servers and workers may use one store at a time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.errors import Ambiguous, BadRequest, Conflict, NoSpace, NotFound, TooLarge
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import BROUGHT, Database, analyses, analysis_files, file_names, files
from dlc_jupyter.storage.disk import free_bytes, locked, reflink, sync_folder
from dlc_jupyter.storage.incoming import PartFile, disk_full
from dlc_jupyter.storage.names import clean_filename, content_type

PIECE = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """One row: `filename` is the name it came under last, `names` are all of them, newest first.

    Times are seconds since 1970 (UTC), sizes are bytes.
    """

    file_id: str
    filename: str
    names: tuple[str, ...]
    content_type: str
    size: int
    created: float
    used: float
    origin: str
    linked_mtime_ns: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the file as `GET /file` lists it."""
        return {
            "file_id": self.file_id,
            "filename": self.filename,
            "names": list(self.names),
            "content_type": self.content_type,
            "size": self.size,
            "created": datetime.fromtimestamp(self.created, UTC).isoformat(timespec="milliseconds"),
            "origin": self.origin,
        }


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
            new = _New(self.seal(), self.size, filename, content_type, origin)
            return self._store.adopt(new, lambda target: _move(self.path, target))
        finally:
            self.discard()


@dataclass(frozen=True)
class _New:
    """What is known of a file that is about to get its place."""

    file_id: str
    size: int
    filename: str
    content_type: str | None
    origin: str


class FileStore:
    """All stored files of one data folder.

    Parameters
    ----------
    settings : Settings
        `Settings.root` is where the store lies; its limits are in bytes.
    database : Database
        Shared with the analyses, so that a file and what needs it are seen in one transaction.
    clock : callable, optional
        Returns the time: seconds since 1970 (UTC).
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock
        self.root = settings.root
        self.content = self.root / "files"
        self.incoming = self.root / "incoming"
        for folder in (self.root, self.content, self.incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

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
            The id of the analysis that made it.
        """
        with _opened(path) as descriptor:
            status = os.fstat(descriptor)
            if path.is_symlink() or status.st_nlink > 1 or status.st_dev != self.content.stat().st_dev:
                stored = self._copy(descriptor, filename, content_type, origin)
            else:
                os.fsync(descriptor)
                new = _New(_sha1(descriptor), status.st_size, filename, content_type, origin)
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
            part = self.receive(limit=0)
            try:
                if reflink(source, part.descriptor):
                    part.rehash()
                    return part.finish(filename, origin="path")
            finally:
                part.discard()
            return self._link(path, source, filename) or self._copy(source, filename, None, "path")

    def _copy(self, source: int, filename: str, content_type: str | None, origin: str) -> StoredFile:
        part = self.receive(limit=0)
        try:
            self.check_room(os.fstat(source).st_size)
            for piece in _pieces(source):
                part.append(piece)
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
            target.unlink(missing_ok=True)
            target.hardlink_to(path)
            linked = target.lstat()
            if _same(linked, before) and _same(os.fstat(source), before):
                return linked.st_mtime_ns
            target.unlink()
            raise Conflict("The file changed while it was read. Try again when it is complete.", reason="file-changed")

        try:
            return self.adopt(_New(_sha1(source), before.st_size, filename, None, "path"), place)
        except OSError:
            return None

    def adopt(self, new: _New, place: Callable[[Path], int | None]) -> StoredFile:
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
            if known is None or linked is not None or not _is_whole(target, known):
                target.parent.mkdir(mode=0o700, exist_ok=True)
                linked = place(target)
                if linked is None:
                    target.chmod(0o400)  # stored bytes never change
                sync_folder(target.parent)
                sync_folder(self.content)
            self._write_row(new, name, linked)
            return self.find(new.file_id)

    def _write_row(self, new: _New, name: str, linked: int | None) -> None:
        now = self.clock()
        latest = {
            "filename": name,
            "content_type": content_type(name, new.content_type),
            "used": now,
            "linked_mtime_ns": linked,
        }
        first = {"file_id": new.file_id, "size": new.size, "created": now, "origin": new.origin}
        this = files.c.file_id == new.file_id
        named = {"file_id": new.file_id, "name": name, "created": now}
        with self.database.write() as connection:
            if not connection.execute(self.database.insert_if_new(files, first | latest)).rowcount:
                connection.execute(files.update().where(this).values(latest))
                if new.origin in BROUGHT:  # what somebody brought is kept when the analysis that made it too goes
                    connection.execute(
                        files.update().where(this, files.c.origin.not_in(BROUGHT)).values(origin=new.origin)
                    )
            if not connection.execute(self.database.insert_if_new(file_names, named)).rowcount:
                same = sa.and_(file_names.c.file_id == new.file_id, file_names.c.name == name)
                connection.execute(file_names.update().where(same).values(created=now))

    # -- files found -------------------------------------------------------------------------------------------------

    def find(self, prefix: str) -> StoredFile:
        """Return the file whose id begins with `prefix`.

        Raises
        ------
        NotFound
            None does, or `prefix` is no hexadecimal text.
        Ambiguous
            More than one does; ``matches`` names up to ten.
        """
        prefix = prefix.lower()
        unknown = NotFound(f"There is no file {prefix[:80]!r}.", reason="unknown-file")
        if not prefix or len(prefix) > 40 or not set(prefix) <= set("0123456789abcdef"):
            raise unknown
        within = sa.and_(files.c.file_id >= prefix, files.c.file_id < prefix + "g")
        found = self._select(sa.select(files).where(within).order_by(files.c.file_id).limit(10))
        if not found:
            raise unknown
        if len(found) > 1:
            raise Ambiguous(
                f"{len(found)} files begin with {prefix}: give more characters.",
                matches=[each.file_id for each in found],
            )
        return found[0]

    def page(self, limit: int = 1000, after: str | None = None) -> list[StoredFile]:
        """Return up to `limit` files, newest first, beginning behind the file `after`.

        Raises
        ------
        NotFound
            There is no file `after`.
        """
        query = sa.select(files).order_by(files.c.seq.desc()).limit(limit)
        if after:
            last = sa.select(files.c.seq).where(files.c.file_id == self.find(after).file_id)
            query = query.where(files.c.seq < last.scalar_subquery())
        return self._select(query)

    def _row(self, file_id: str) -> StoredFile | None:
        return next(iter(self._select(sa.select(files).where(files.c.file_id == file_id))), None)

    def _select(self, query: sa.Select[Any]) -> list[StoredFile]:
        with self.database.read() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            names: dict[str, list[str]] = {row["file_id"]: [] for row in rows}
            named = sa.select(file_names).where(file_names.c.file_id.in_(list(names)))
            for file_id, name, _created in connection.execute(
                named.order_by(file_names.c.created.desc(), file_names.c.name)
            ):
                names[file_id].append(name)
        for row in rows:
            del row["seq"]
        return [StoredFile(**row, names=tuple(names[row["file_id"]])) for row in rows]

    # -- bytes out ---------------------------------------------------------------------------------------------------

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a file lie; they are for reading only.

        Raises
        ------
        NotFound
            There is no such file, or its bytes are lost (``file-lost``).
        Conflict
            It is a link to a user's own file, which has changed since (``file-changed``).
        """
        row = self._row(file_id)
        if row is None:
            raise NotFound(f"There is no file {file_id[:80]!r}.", reason="unknown-file")
        path = self._path(file_id)
        if _is_whole(path, row):
            return path
        if row.linked_mtime_ns is not None and path.exists():
            raise Conflict(
                f"{row.filename} was changed on the server's disk after it was registered. Register it again.",
                reason="file-changed",
            )
        raise NotFound(
            f"The bytes of {row.filename} are gone from the server's disk. Send the file again.", reason="file-lost"
        )

    def stage(self, file_id: str, target: Path) -> None:
        """Make the bytes of a file readable at `target` too: a hard link, or else a symbolic one.

        Raises
        ------
        NotFound, Conflict
            As `path` does.
        """
        source = self.path(file_id)
        try:
            target.hardlink_to(source)
        except FileExistsError:
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
            users = _active_users(connection, file_id)
            if users:
                raise Conflict(
                    "An analysis that is queued or running needs this file. Cancel it, or wait for its end.",
                    reason="file-in-use",
                    analyses=users,
                )
            if unused_since is not None and (row.used > unused_since or _is_output(connection, file_id)):
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

    def _remove(self, file_id: str, allowed: Callable[[sa.Connection, sa.Row[Any]], None]) -> bool:
        """Remove the row, then the bytes. `allowed` refuses by raising, in the same transaction."""
        this = files.c.file_id == file_id
        with self._locked():
            with self.database.write() as connection:
                row = connection.execute(sa.select(files).where(this).with_for_update()).first()
                if row is None:
                    return False
                allowed(connection, row)
                connection.execute(file_names.delete().where(file_names.c.file_id == file_id))
                connection.execute(files.delete().where(this))
            self._path(file_id).unlink(missing_ok=True)
        return True

    def nameless(self) -> list[tuple[str, os.stat_result]]:
        """Return the ids of stored bytes that no row names."""
        found = []
        for folder in sorted(self.content.iterdir()):
            within = sa.and_(files.c.file_id >= folder.name, files.c.file_id < folder.name + "g")
            lying = {folder.name + path.name: path.lstat() for path in folder.iterdir()}
            with self.database.read() as connection:
                named = set(connection.scalars(sa.select(files.c.file_id).where(within)))
            found += [(file_id, status) for file_id, status in sorted(lying.items()) if file_id not in named]
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
        return stored + sum(_size(path) for path in self.incoming.glob("*.part"))

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
                self.used_bytes() + extra - quota,
                NoSpace(
                    f"The stored files may take {readable(quota)} together, and this one would be too much. "
                    "Delete files that are no longer needed.",
                    reason="quota-exceeded",
                ),
            )

    # -- places ------------------------------------------------------------------------------------------------------

    def _path(self, file_id: str) -> Path:
        return self.content / file_id[:2] / file_id[2:]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.root / "files.lock"):
            yield


def readable(size: float) -> str:
    """Return a number of bytes as people write it, such as ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.1f}".removesuffix(".0") + f" {unit}"


def _active_users(connection: sa.Connection, file_id: str) -> list[str]:
    """Return the ids of queued and running analyses that take the file, ten at most."""
    query = (
        sa.select(analyses.c.analysis_id)
        .join(analysis_files, analysis_files.c.analysis_id == analyses.c.analysis_id)
        .where(analysis_files.c.file_id == file_id, analyses.c.state.in_(("queued", "running")))
    )
    return list(connection.scalars(query.limit(10)))


def _is_output(connection: sa.Connection, file_id: str) -> bool:
    """Whether an analysis that is listed has made the file."""
    made = sa.and_(analysis_files.c.file_id == file_id, analysis_files.c.role == "output")
    return connection.execute(sa.select(analysis_files.c.file_id).where(made).limit(1)).first() is not None


def _is_whole(path: Path, row: StoredFile) -> bool:
    """Whether the bytes are there; of a link to a user's own file, whether they are still the same."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_size == row.size and row.linked_mtime_ns in (None, status.st_mtime_ns)


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return all(getattr(one, of) == getattr(other, of) for of in ("st_dev", "st_ino", "st_size", "st_mtime_ns"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # finished meanwhile
        return 0


@contextmanager
def _opened(path: Path, descriptor: int | None = None) -> Iterator[int]:
    """Open a file for reading, without waiting where it is a pipe. A `descriptor` that is given stays open."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if descriptor is None else descriptor
    try:
        yield opened
    finally:
        if descriptor is None:
            os.close(opened)


def _pieces(descriptor: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(descriptor, PIECE, offset):
        offset += len(piece)
        yield piece


def _sha1(descriptor: int) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for piece in _pieces(descriptor):
        digest.update(piece)
    return digest.hexdigest()
