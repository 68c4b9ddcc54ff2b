"""Large files to the server by tus 1.0.0: what has arrived is never sent again (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dlc_jupyter.client.connection import Connection, one
from dlc_jupyter.client.files import Progress, pieces
from dlc_jupyter.errors import NoSpace, NotFound, Refusal

VERSION = {"Tus-Resumable": "1.0.0"}
#: The status of bytes that are not those that were announced.
MISMATCH = 460

#: Seconds before a broken upload is tried again, as long as nothing more has arrived: ten minutes in all.
PAUSES = (0.2, 1.0, 3.0, 5.0, *[10.0] * 5, *[30.0] * 18)


class NotResumable(Exception):
    """The server is one that knows no resumable uploads."""


def send_resumable(server: Connection, path: Path, filename: str, progress: Progress | None = None) -> str:
    """Send a file, and return its id. It goes on where an earlier call, or another program, was cut off.

    Where the server has a file of the same size the SHA-1 comes first, and where it is the same file nothing is sent.

    Raises
    ------
    NotResumable
        The server knows no such uploads.
    Refusal
        The server does not take the file.
    ConnectionError
        The connection stayed broken. What has arrived waits on the server.
    """
    size = path.stat().st_size
    unfinished = _unfinished(server, filename, size)
    stored = [each["file_id"] for each in server.json("GET", f"file?size={size}") if each["size"] == size]
    digest = sha1(path) if stored else ""
    begun = [unfinished] if unfinished is not None and digest not in stored else []
    for each in (*begun, None):
        if file_id := _whole(_Upload(server, path, filename, size, digest, progress, each), digest):
            return file_id
    return _Upload(server, path, filename, size, digest, progress).run()


def _whole(upload: _Upload, digest: str) -> str | None:
    """Return the id of a file that was sent; None where what has come is a mixture, with bytes of another writer's."""
    try:
        file_id = upload.run()
    except Refusal as refusal:
        if refusal.status != MISMATCH:
            raise
        return None
    if not upload.interrupted or file_id == (digest or sha1(upload.path)):
        return file_id
    if upload.finished_it:
        upload.server.do("DELETE", f"file/{one(file_id)}")
    return None


def sha1(path: Path) -> str:
    """Return the SHA-1 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def _unfinished(server: Connection, filename: str, size: int) -> dict[str, Any] | None:
    """Return the caller's unfinished upload of a file of this name and size that has come the farthest."""
    try:
        uploads = server.json("GET", "upload")
    except Refusal as refusal:
        if refusal.status in (404, 405):
            raise NotResumable from None
        raise
    alike = [each for each in uploads if (each["filename"], each["size"]) == (filename, size) and each["offset"]]
    return max(alike, key=lambda each: int(each["offset"]), default=None)


class _Upload:
    """One file on its way.

    Parameters
    ----------
    digest : str
        The file's SHA-1 where it is known; "" otherwise.
    unfinished : mapping, optional
        What the server told of an earlier upload that this one goes on with.
    """

    def __init__(
        self,
        server: Connection,
        path: Path,
        filename: str,
        size: int,
        digest: str,
        progress: Progress | None,
        unfinished: dict[str, Any] | None = None,
    ) -> None:
        self.server, self.path, self.filename, self.size = server, path, filename, size
        self.digest, self.progress = digest, progress
        self.id = str(unfinished["upload_id"]) if unfinished else ""
        self.offset = int(unfinished["offset"]) if unfinished else 0
        self.file_id = ""
        #: Whether others may have written to it: it waited for a while, or was cut off.
        self.interrupted = unfinished is not None
        self._sent = self.offset

    @property
    def finished_it(self) -> bool:
        """Whether the last of its bytes came from here."""
        return self._sent == self.size

    def run(self) -> str:
        """Send, and go on after every cut."""
        failures, farthest = 0, self.offset
        while not self.file_id:
            try:
                self._step(after_failure=failures > 0)
                continue
            except (ConnectionError, Refusal) as error:
                failures = 0 if self.offset > farthest else failures
                farthest = max(farthest, self.offset)
                if failures == len(PAUSES) or not _passing(error):
                    raise
            self.interrupted = True
            time.sleep(PAUSES[failures])
            failures += 1
            self._look()
        if self.progress:
            self.progress(self.size, self.size)
        return self.file_id

    def _step(self, *, after_failure: bool) -> None:
        if not self.id:
            self._create()
        elif after_failure:
            self._send(self.offset)  # nothing, or all of it might be sent while the server still holds the last writer
        if not self.file_id:
            self._send(self.size)

    def _create(self) -> None:
        told = {"filename": self.filename, "sha1": self.digest}
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items() if value
        )
        headers = {**VERSION, "Upload-Length": str(self.size), "Upload-Metadata": metadata, "Content-Length": "0"}
        with self.server.open("POST", "upload", body=b"", headers=headers) as answer:
            self.server.read(answer)
            self.id = (answer.headers.get("Location") or "").rstrip("/").rpartition("/")[2]
            self._heard(answer)

    def _send(self, stop: int) -> None:
        headers = {
            **VERSION,
            "Upload-Offset": str(self.offset),
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(stop - self.offset),
        }
        with self.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != self.size:
                raise EOFError("The file has changed while it was sent.")
            body = self._noted(pieces(file, self.offset, stop, self._told))
            with self.server.open("PATCH", f"upload/{one(self.id)}", body=body, headers=headers) as answer:
                self.server.read(answer)
                self._heard(answer)

    def _look(self) -> None:
        """Ask how much has arrived; where the server does not answer either, the next step finds out."""
        if not self.id:
            return
        try:
            with self.server.open("HEAD", f"upload/{one(self.id)}", headers=VERSION) as answer:
                self._heard(answer)
        except ConnectionError:
            pass
        except Refusal as refusal:
            if refusal.status in (404, 410):  # it has waited too long
                self._begin_anew()
        if self.offset > self._sent:  # somebody else writes there, perhaps of another file
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.id, self.file_id, self.offset, self._sent = "", "", 0, 0

    def _noted(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a body, and note how far it may have come before anybody knows whether it has."""
        at = self.offset
        for piece in body:
            at += len(piece)
            self._sent = max(self._sent, at)
            yield piece

    def _told(self, done: int, _stop: int) -> None:
        if self.progress:
            self.progress(done, self.size)

    def _heard(self, answer: Any) -> None:
        self.offset = int(answer.headers.get("Upload-Offset") or 0)
        self.file_id = str(answer.headers.get("Dlc-File-Id") or "")


def _passing(error: Exception) -> bool:
    """Whether it may go by itself: a broken connection, another writer's hold, an offset that has moved, a restart."""
    if not isinstance(error, Refusal) or isinstance(error, NoSpace):
        return isinstance(error, ConnectionError)
    if isinstance(error, NotFound) or error.status == 410:
        return True
    return error.status in (409, 423, 429) or error.status >= 500
