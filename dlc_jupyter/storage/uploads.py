"""Unfinished uploads: files that come in several requests, over broken connections and restarts of the server.

An upload is a row and a part file. How much of it has come is the size of that file, which outlives whoever writes it,
however that dies. One writer at a time: who has the part file's lock. When the last byte is there, the part file gets
its place in the store; the row is kept for a while, for a client that never heard the answer.
"""

from __future__ import annotations

import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.errors import BadRequest, Gone, Locked, NotFound
from dlc_jupyter.storage.catalogue import NewFile
from dlc_jupyter.storage.content import status_of
from dlc_jupyter.storage.database import uploads
from dlc_jupyter.storage.disk import full_disk_refused
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import Digest, create_locked, try_lock
from dlc_jupyter.storage.names import clean_filename
from dlc_jupyter.storage.upload_writer import Checksum, Upload, Writer

HOUR = 3_600.0

#: How long a finished upload is remembered where unfinished ones are kept for ever, in hours.
REMEMBERED_HOURS = 72.0

#: Of how many uploads the digest of what has come is kept in memory.
MOST_DIGESTS = 1000


class Uploads:
    """All uploads of one data folder that are not finished, and those that were lately.

    Parameters
    ----------
    files : FileStore
        Where they go when they are finished. Its limits, its database and its clock count here too.

    Notes
    -----
    An upload belongs to whom it was created for; for anybody else it is not there.
    """

    def __init__(self, files: FileStore) -> None:
        self.files = files
        self._database = files.database
        self._folder = files.unfinished
        self._digests: OrderedDict[str, tuple[int, Digest]] = OrderedDict()

    def clock(self) -> float:
        """Return the time: seconds since 1970 (UTC)."""
        return self.files.clock()

    @property
    def _hours(self) -> float:
        return self.files.settings.expire_uploads_hours

    # -- asked for ---------------------------------------------------------------------------------------------------

    def create(
        self,
        owner: str,
        filename: str,
        size: int,
        *,
        content_type: str | None = None,
        notes: str = "",
        sha1: str | None = None,
    ) -> Upload:
        """Get ready for a file of `size` bytes. Where one with this SHA-1 is stored, the upload is finished at once.

        Raises
        ------
        BadRequest
            It has no bytes, or no name.
        TooLarge, NoSpace
            They are too many, or would not fit.
        """
        if not size:
            raise BadRequest("The file is empty. Choose a file that holds something.", reason="empty-file")
        now, name = self.clock(), clean_filename(filename)
        self._forget_old(now)

        def upload(upload_id: str) -> Upload:
            return Upload(upload_id, owner, name, content_type, notes, size, sha1, now, None, None, None)

        if sha1 and self.files.known(NewFile(sha1, size, name, content_type, "upload")):
            known = replace(upload(secrets.token_hex(16)), file_id=sha1, finished=now, offset=size, stored=True)
            self._insert(known)
            return known
        self.check(size, room_for=size)
        with full_disk_refused():
            path, descriptor = create_locked(self._folder)  # as long as it has no row, the lock keeps it
        try:
            self._insert(upload(path.stem))
            os.utime(descriptor, (now, now))
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        return self.dated(upload(path.stem), now)

    def find(self, upload_id: str, owner: str) -> Upload:
        """Return an upload, with how much of it has come.

        Raises
        ------
        NotFound
            There is none, or it is somebody else's.
        Gone
            It has expired, or the file that it became was deleted.
        """
        status = status_of(self.path(upload_id))  # before the row: it goes when the row has said what it becomes
        row = self._row(upload_id)
        if row is None or row.owner != owner:
            raise NotFound("There is no such upload. Begin a new one with POST /upload.", reason="unknown-upload")
        if status is not None:
            return self._living(row, status)
        if not self._stored(row):
            raise Gone("The file that this upload became was removed. Send it again.", reason="upload-gone")
        return replace(row, offset=row.size, stored=True)

    def _stored(self, row: Upload) -> bool:
        if row.file_id is None:
            return False
        new = NewFile(row.file_id, row.size, row.filename, row.content_type, "upload")
        return self.files.holds(row.file_id) or self.files.recover(new)

    def _living(self, row: Upload, status: os.stat_result) -> Upload:
        offset = status.st_size if row.held is None else min(row.held, status.st_size)
        upload = self.dated(replace(row, offset=offset), status.st_mtime)
        if upload.expires is not None and upload.expires < self.clock():
            raise Gone(
                f"Nothing has come of this upload for {self._hours:g} hours: it has expired. Send the file again.",
                reason="upload-expired",
            )
        return upload

    def unfinished(self, owner: str) -> list[Upload]:
        """Return the uploads of `owner` that can be gone on with, oldest first."""
        found = []
        for row, status in self._parts():
            if row.owner == owner:
                with suppress(Gone):
                    found.append(self._living(row, status))
        return found

    # -- gone on with ------------------------------------------------------------------------------------------------

    def open(self, upload_id: str, owner: str, offset: int, length: int, checksum: Checksum | None = None) -> Writer:
        """Become the one writer of an upload.

        Parameters
        ----------
        offset, length
            See `Upload.admit`.
        checksum : Checksum, optional
            Of the bytes that will come.

        Raises
        ------
        NotFound, Gone
            As `find` does.
        Locked
            There is another writer.
        Conflict, TooLarge
            As `Upload.admit` does.
        NoSpace
            They would not fit.
        """
        self.find(upload_id, owner)
        descriptor = self._lock(upload_id)
        try:
            upload = self.find(upload_id, owner)
            upload.admit(offset, length)
            self.check(upload.size, length)
            os.ftruncate(descriptor, upload.offset)
            os.lseek(descriptor, upload.offset, os.SEEK_SET)
            held = upload.offset if checksum else None
            if held != upload.held:
                self.note(upload_id, held=held)
            return Writer(self, upload, descriptor, checksum)
        except BaseException:
            os.close(descriptor)
            raise

    def complete(self, upload: Upload) -> Upload:
        """Store a file of which every byte had come when its writer was cut off.

        Raises
        ------
        Locked
            Somebody is doing so.
        NoSpace, ChecksumMismatch
            As `Writer.commit` does.
        """
        return self.open(upload.upload_id, upload.owner, upload.size, length=0).commit()

    def delete(self, upload_id: str, owner: str) -> None:
        """Forget an upload, and what has come of it. A file that it became stays.

        Raises
        ------
        NotFound, Gone
            As `find` does.
        Locked
            There is a writer.
        """
        if self.find(upload_id, owner).stored:
            self.forget(upload_id)
            return
        with self._locked(upload_id):
            self.forget(upload_id)

    @contextmanager
    def _locked(self, upload_id: str) -> Iterator[int]:
        descriptor = self._lock(upload_id)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _lock(self, upload_id: str) -> int:
        """Return the part file, open and locked.

        Raises
        ------
        Locked
            Somebody else has it, or had it a moment ago and stored it.
        """
        path = self.path(upload_id)
        busy = Locked("Somebody is sending this upload at this moment. Try again soon.", reason="upload-locked")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise busy from None
        if try_lock(descriptor) and _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
        raise busy

    # -- cleaned up --------------------------------------------------------------------------------------------------

    def expired(self, now: float) -> list[Upload]:
        """Return the uploads of which nothing has come for `Settings.expire_uploads_hours`. `offset`: what goes."""
        if not self._hours:
            return []
        before = now - self._hours * HOUR
        parts = self._parts()
        return [
            replace(row, offset=each.st_size, changed=each.st_mtime) for row, each in parts if each.st_mtime < before
        ]

    def remove_expired(self, upload_id: str, now: float) -> bool:
        """Remove an upload that `expired` at a time. False: more has come since, or somebody is at it."""
        with suppress(Locked), self._locked(upload_id) as descriptor:
            if os.fstat(descriptor).st_mtime < now - self._hours * HOUR:
                self.forget(upload_id)
                return True
        return False

    def remains(self) -> list[tuple[str, os.stat_result]]:
        """Return the ids and sizes of part files that a crash has left: no row names them."""
        found = [(path.stem, status_of(path)) for path in sorted(self._folder.glob("*.part"))]
        return [(upload_id, status) for upload_id, status in found if status and self._row(upload_id) is None]

    def reclaim(self, upload_id: str) -> bool:
        """Remove such a part file. False: it has a row by now, or is gone."""
        with suppress(Locked), self._locked(upload_id):
            if self._row(upload_id) is None:
                self.path(upload_id).unlink()
                return True
        return False

    def _forget_old(self, now: float) -> None:
        """Forget what was finished long ago."""
        before = now - (self._hours or REMEMBERED_HOURS) * HOUR
        old = sa.select(uploads.c.upload_id).where(sa.func.coalesce(uploads.c.finished, uploads.c.created) < before)
        with self._database.read() as connection:
            found = list(connection.scalars(old))
        gone = [upload_id for upload_id in found if status_of(self.path(upload_id)) is None]
        if gone:
            with self._database.write() as connection:
                connection.execute(uploads.delete().where(uploads.c.upload_id.in_(gone[:500])))

    # -- rows, part files and digests --------------------------------------------------------------------------------

    def path(self, upload_id: str) -> Path:
        """Return where the part file lies, if there is one."""
        return self._folder / f"{upload_id}.part"

    def check(self, size: int, room_for: int = 0) -> None:
        """Refuse a file; see `FileStore.check_size`."""
        self.files.check_size(size, room_for, limit=self.files.settings.max_upload_bytes)

    def dated(self, upload: Upload, changed: float) -> Upload:
        """Return an upload of which the last bytes came at a time."""
        return replace(upload, changed=changed, expires=changed + self._hours * HOUR if self._hours else None)

    def note(self, upload_id: str, **values: Any) -> None:
        """Change columns of a row."""
        with self._database.write() as connection:
            connection.execute(uploads.update().where(uploads.c.upload_id == upload_id).values(values))

    def forget(self, upload_id: str) -> None:
        """Remove a part file, which the caller has locked, and then its row."""
        self.path(upload_id).unlink(missing_ok=True)
        self.drop_digest(upload_id)
        with self._database.write() as connection:
            connection.execute(uploads.delete().where(uploads.c.upload_id == upload_id))

    def take_digest(self, upload: Upload) -> tuple[int, Digest | None]:
        """Return the digest of the first bytes of an upload, and of how many of them; none of any: hash them again."""
        hashed, digest = self._digests.pop(upload.upload_id, (0, None))
        return (hashed, digest) if hashed <= upload.offset else (0, None)

    def keep_digest(self, upload_id: str, hashed: int, digest: Digest) -> None:
        """Remember the digest of the first bytes of an upload, for as long as this process lives."""
        self._digests[upload_id] = (hashed, digest)
        while len(self._digests) > MOST_DIGESTS:
            self._digests.popitem(last=False)

    def drop_digest(self, upload_id: str) -> None:
        """Forget it."""
        self._digests.pop(upload_id, None)

    def _insert(self, upload: Upload) -> None:
        values = {column.name: getattr(upload, column.name) for column in uploads.c}
        with self._database.write() as connection:
            connection.execute(uploads.insert().values(values))

    def _row(self, upload_id: str) -> Upload | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(uploads).where(uploads.c.upload_id == upload_id)).first()
        return None if row is None else Upload(**row._asdict())

    def _parts(self) -> Iterator[tuple[Upload, os.stat_result]]:
        """Yield every upload that has a part file, oldest first, with the file's size and times."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(uploads).order_by(uploads.c.created, uploads.c.upload_id)).all()
        for row in rows:
            status = status_of(self.path(row.upload_id))
            if status is not None:
                yield Upload(**row._asdict()), status


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still lies at a path: it may have been moved into the store, or removed."""
    status = status_of(path)
    return status is not None and os.path.samestat(status, os.fstat(descriptor))
