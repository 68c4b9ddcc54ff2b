"""One upload that comes in several requests: how far it has come, and whoever is adding to it."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc_jupyter.errors import ChecksumMismatch, Conflict, TooLarge
from dlc_jupyter.storage.catalogue import NewFile
from dlc_jupyter.storage.content import status_of
from dlc_jupyter.storage.incoming import CHECK_EVERY, PIECE, Digest, GrowingFile, Piece

if TYPE_CHECKING:
    from dlc_jupyter.storage.uploads import Uploads

#: How many bytes of what came before are hashed for each byte that comes, until all are.
CATCH_UP = 8


@dataclass(frozen=True)
class Checksum:
    """The digest that the bytes of one request must have.

    Parameters
    ----------
    digest : Digest
        New: it has seen nothing.
    expected : bytes
        What it must come to.
    """

    digest: Digest
    expected: bytes

    def matches(self) -> bool:
        """Whether the bytes so far are those that were announced."""
        return hmac.compare_digest(self.digest.digest(), self.expected)


@dataclass(frozen=True)
class Upload:
    """One upload: a row, and how far it has come.

    Times are seconds since 1970 (UTC), sizes are bytes. `offset` is how many bytes have safely come, `changed` when the
    last of them did, `expires` when it goes unless more come (None: never, or it is finished).
    """

    upload_id: str
    owner: str
    filename: str
    content_type: str | None
    notes: str
    size: int
    sha1: str | None
    created: float
    held: int | None
    file_id: str | None
    finished: float | None
    offset: int = 0
    changed: float = 0.0
    expires: float | None = None
    stored: bool = False

    @property
    def complete(self) -> bool:
        """Whether all bytes have come, though they may not be stored yet."""
        return self.offset == self.size

    def admit(self, offset: int, length: int) -> None:
        """Refuse bytes that do not follow those that have come.

        Parameters
        ----------
        offset : int
            Where the client takes itself to be.
        length : int
            How many bytes it sends, as far as that is known.

        Raises
        ------
        Conflict
            It is not there (``wrong-offset``).
        TooLarge
            The upload would have more bytes than were announced (``too-many-bytes``).
        """
        if offset != self.offset:
            raise Conflict(
                f"{self.offset} bytes of this upload have come, not {offset}. Ask with HEAD, and go on from there.",
                reason="wrong-offset",
            )
        if offset + length > self.size:
            raise too_many_bytes(self.size)

    def as_json(self) -> dict[str, Any]:
        """Return the upload as `GET /upload` lists it."""
        return {
            "upload_id": self.upload_id,
            "filename": self.filename,
            "size": self.size,
            "offset": self.offset,
            "created": _moment(self.created),
            "expires": None if self.expires is None else _moment(self.expires),
        }


class Writer(GrowingFile):
    """The one that adds to an upload. See `Uploads.open`.

    Parameters
    ----------
    upload : Upload
        As it is now that the lock is held.
    descriptor : int
        Its part file, open and locked.
    checksum : Checksum, optional
        Of the bytes that will come. Without it they count as soon as they are written, with it when all have come.
    """

    def __init__(self, store: Uploads, upload: Upload, descriptor: int, checksum: Checksum | None) -> None:
        super().__init__(store.path(upload.upload_id), descriptor, store.check, upload.offset)
        self.upload = upload
        self._store = store
        self._checksum = checksum
        self._failed = False
        self._start = self._come = upload.offset  # where the next piece begins that is hashed
        hashed, digest = store.take_digest(upload)
        self._hashed = hashed
        if digest is not None:
            self._sha1 = digest
        self._before = (self._hashed, self._sha1.copy())

    def hash(self, piece: Piece) -> None:
        """Add `piece` to the digests; where this process has not seen what came before, some of that first."""
        if self._checksum:
            self._checksum.digest.update(piece)
        if self._hashed < self._come:
            self._hash_again(min(self._come, self._hashed + CATCH_UP * len(piece)))
        if self._hashed == self._come:
            self._sha1.update(piece)
            self._hashed += len(piece)
        self._come += len(piece)

    def _hash_again(self, end: int) -> None:
        """Hash what lies in the file up to `end`, as far as it is written."""
        while self._hashed < end and (piece := os.pread(self.descriptor, min(PIECE, end - self._hashed), self._hashed)):
            self._sha1.update(piece)
            self._hashed += len(piece)

    def write(self, piece: Piece) -> None:
        """Add `piece` to the file, unless an earlier one could not be: nothing may be missing in between."""
        if self._failed:
            return
        try:
            super().write(piece)
        except BaseException:
            self._failed = True
            raise

    def commit(self) -> Upload:
        """Keep what has come and let go of it. Where it is the whole file, that is stored first.

        Raises
        ------
        ChecksumMismatch
            These bytes are not those that were announced, and are thrown away; or the whole file is not, and the upload
            is gone (``file-differs``).
        NoSpace
            The disk or the quota is full. What has come stays.
        """
        try:
            if self._checksum and not self._checksum.matches():
                raise ChecksumMismatch("These bytes are not those of the checksum. Send them again.")
            reached = replace(self.upload, offset=self.size)
            return self._finish(reached) if reached.complete else self._store.dated(reached, self._store.clock())
        finally:
            self.discard()

    def _finish(self, upload: Upload) -> Upload:
        while self._hashed < self.size:
            self._check(self.size)  # of a large file this takes its time: the server may be stopping
            self._hash_again(min(self.size, self._hashed + CHECK_EVERY))
        file_id = self.seal()
        if upload.sha1 not in (None, file_id):
            self._store.forget(upload.upload_id)
            raise ChecksumMismatch(
                "The file that has come is not the one that was announced: its SHA-1 is another one. Send it again.",
                reason="file-differs",
            )
        self._store.note(upload.upload_id, file_id=file_id, finished=self._store.clock())
        new = NewFile(file_id, upload.size, upload.filename, upload.content_type, "upload")
        self._store.files.adopt(new, self._move)
        self.path.unlink(missing_ok=True)  # the same bytes were stored already
        self._store.drop_digest(upload.upload_id)
        return replace(upload, file_id=file_id, stored=True, expires=None)

    def _move(self, target: Path) -> None:
        self.path.replace(target)

    def discard(self) -> None:
        """Let go of the upload, for others to go on with. What has come stays, unless its checksum was not seen."""
        if self.descriptor < 0:
            return
        try:
            if status_of(self.path) is not None:  # neither stored nor forgotten
                self._settle()
        finally:
            self.close()

    def _settle(self) -> None:
        if self._checksum:
            if self._failed or not self._checksum.matches():
                os.ftruncate(self.descriptor, self._start)
                self._hashed, self._sha1 = self._before
            self._store.note(self.upload.upload_id, held=None)
        if self._hashed <= os.fstat(self.descriptor).st_size:
            self._store.keep_digest(self.upload.upload_id, self._hashed, self._sha1)
        now = self._store.clock()
        os.utime(self.descriptor, (now, now))


def too_many_bytes(size: int) -> TooLarge:
    """Return the refusal of more bytes than the client has announced itself."""
    return TooLarge(
        f"The upload was announced with {size} bytes, and these would be more. Begin a new one.",
        reason="too-many-bytes",
        limit=size,
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
