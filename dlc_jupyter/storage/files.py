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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dlc_jupyter.amounts import readable
from dlc_jupyter.errors import BadRequest, Conflict, NoSpace, NotFound, TooLarge, Unavailable
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.catalogue import NewFile, StoredFile
from dlc_jupyter.storage.content import Content, is_whole, status_of
from dlc_jupyter.storage.database import Database
from dlc_jupyter.storage.disk import full_disk_refused, reflink, sync_folder
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


class FileStore(Content):
    """All stored files of one data folder.

    Parameters
    ----------
    settings : Settings
        `Settings.root` is where the store lies; its limits are in bytes.
    database, clock
        See `Catalogue`.
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(settings, database, clock=clock)
        self._closed = threading.Event()

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

        def check(size: int) -> None:
            self.check_size(size, limit=limit)

        self.check_size(expected, expected, limit=limit)
        return Incoming(self, check)

    def check_size(self, size: int, room_for: int = 0, *, limit: int) -> None:
        """Refuse a file of `size` bytes that is too large, or for which there is no room.

        Parameters
        ----------
        room_for : int
            Bytes of it that have yet to come.
        limit : int
            Most bytes; 0 for none.

        Raises
        ------
        TooLarge, NoSpace
            As it says.
        Unavailable
            The store is closed.
        """
        if limit and size > limit:
            raise TooLarge(f"The file is larger than {readable(limit)}, the most that may be sent.", limit=limit)
        self._check_open()
        self.check_room(room_for)

    def known(self, new: NewFile) -> StoredFile | None:
        """Note that stored bytes would have come again, under a name. None: they are not stored, or not whole."""
        row = self._row(new.file_id)
        if row is None or row.size != new.size:
            return None
        try:
            return self.adopt(new, _not_there)
        except NotFound:
            return None

    def recover(self, new: NewFile) -> bool:
        """Write the row of bytes whose writer was killed when they had their place. False: they are not there."""

        def place(target: Path) -> None:
            status = status_of(target)
            if status is None or status.st_size != new.size:
                _not_there(target)

        try:
            self.adopt(new, place)
        except NotFound:
            return False
        return True

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
            if known is None or linked is not None or not is_whole(known, status_of(target)):
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

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unavailable("The server is stopping. Try again when it has started.", reason="stopping")

    def _sha1(self, descriptor: int) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in pieces(descriptor):
            self._check_open()
            digest.update(piece)
        return digest.hexdigest()


def file_changed() -> Conflict:
    """Return the refusal of a file that somebody still writes to."""
    return Conflict("The file changed while it was read. Try again when it is complete.", reason="file-changed")


def _not_there(_target: Path) -> None:
    raise NotFound("These bytes are not stored.")


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
