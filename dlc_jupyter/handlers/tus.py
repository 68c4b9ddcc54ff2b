"""The protocol tus 1.0.0 (https://tus.io/protocols/resumable-upload): what its requests say and its answers must.

Core, creation, creation-with-upload, checksum, expiration and termination. Any client of that protocol can send files
here: one that was cut off asks how much has come, and goes on from there.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
from email.utils import formatdate
from typing import Any, ClassVar

from jupyter_server.auth import IdentityProvider
from jupyter_server.auth.decorator import allow_unauthenticated

from dlc_jupyter.errors import BadRequest, Locked, Refusal
from dlc_jupyter.handlers.base import whole_number
from dlc_jupyter.handlers.streaming import Pipeline, StreamingHandler
from dlc_jupyter.storage.upload_writer import Checksum, Upload, Writer, too_many_bytes

RESOURCE = "dlc.file"

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
ALGORITHMS = ("sha1", "sha256")
BYTES = "application/offset+octet-stream"

#: Most bytes of ``Upload-Metadata``.
MOST_NOTES = 4096

#: A writer of which nothing has come for so many seconds makes room for another one. A client whose network broke down
#: comes back by another connection, while the first one still looks alive from here.
STALE = 5.0

#: Headers of the protocol: browsers let pages of other origins send and see them only where they are named.
SENT = "Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Upload-Checksum, X-HTTP-Method-Override"
SEEN = (
    "Location, Tus-Version, Tus-Resumable, Tus-Max-Size, Tus-Extension, Tus-Checksum-Algorithm, Upload-Offset, "
    "Upload-Length, Upload-Metadata, Upload-Expires, Dlc-File-Id"
)


class WrongVersion(Refusal):
    """The client speaks another version of tus, or none."""

    status, reason = 412, "tus-version"


class WrongType(Refusal):
    """The bytes of an upload come as something else."""

    status, reason = 415, "unknown-content-type"


class TusHandler(StreamingHandler):
    """What creating an upload and going on with one share."""

    auth_resource = RESOURCE

    _upload: Upload | None = None
    _writer: Writer | None = None
    _came = 0  # bytes, with this request
    _heard = 0.0  # when, by the event loop's clock
    _taking = False  # bytes that have come are being taken care of

    #: By upload, the request that is adding to it, in this process.
    _writing: ClassVar[dict[str, TusHandler]] = {}

    # -- the protocol ------------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        """Say in every answer which protocol this is, refusals too."""
        super().set_default_headers()
        self.set_header("Tus-Resumable", VERSION)
        self.set_header("Access-Control-Expose-Headers", SEEN)

    async def prepare(self) -> None:  # type: ignore[override]
        """Take the method from ``X-HTTP-Method-Override``, for networks that let no PATCH through."""
        named = self.request.headers.get("X-HTTP-Method-Override")
        if named and self.request.method == "POST":
            self.request.method = named.upper()
        await super().prepare()

    @allow_unauthenticated
    def options(self, *_path: str) -> None:
        """Say what is understood here."""
        super().options()
        self.set_header("Access-Control-Allow-Headers", f"accept, content-type, authorization, x-xsrftoken, {SENT}")
        self.set_header("Tus-Version", VERSION)
        self.set_header("Tus-Extension", EXTENSIONS)
        self.set_header("Tus-Checksum-Algorithm", ",".join(ALGORITHMS))
        self.set_header("Tus-Max-Size", self.services.settings.max_upload_bytes)
        self.no_content(204)

    def speak(self) -> None:
        """Refuse who speaks another version."""
        if self.request.headers.get("Tus-Resumable") != VERSION:
            raise WrongVersion(f"Say in the header Tus-Resumable that you speak tus {VERSION}.")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Add what the protocol wants of its refusals."""
        if isinstance((kwargs.get("exc_info") or (None, None))[1], WrongVersion):
            self.set_header("Tus-Version", VERSION)
        super().write_error(status_code, **kwargs)

    def set_status(self, status_code: int, reason: str | None = None) -> None:
        """Name the status that only this protocol has."""
        super().set_status(status_code, "Checksum Mismatch" if status_code == 460 else reason)

    def number(self, name: str) -> int:
        """Return the number of bytes in a header."""
        found = whole_number(self.request.headers.get(name, ""))
        if found is None:
            raise BadRequest(f"Give a number of bytes in the header {name}.", reason=f"bad-{name.lower()}")
        return found

    def checksum(self) -> Checksum | None:
        """Return what ``Upload-Checksum`` says, if anything."""
        text = self.request.headers.get("Upload-Checksum")
        if text is None:
            return None
        algorithm, _, digest = text.partition(" ")
        if algorithm not in ALGORITHMS:
            raise BadRequest("Upload-Checksum must be of sha1 or sha256.", reason="unknown-checksum-algorithm")
        try:
            return Checksum(hashlib.new(algorithm, usedforsecurity=False), base64.b64decode(digest, validate=True))
        except binascii.Error:
            raise BadRequest(
                "Upload-Checksum must be an algorithm, a space and base64.", reason="bad-upload-checksum"
            ) from None

    def check_type(self) -> None:
        """Refuse bytes that are not said to be those of an upload."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != BYTES:
            raise WrongType(f"Send the bytes of an upload as {BYTES}.")

    @property
    def caller(self) -> str:
        """Name of the user whose uploads these are.

        Empty where Jupyter does not know its users: with one token for all, it makes up another name at every request.
        """
        anonymous = type(self.identity_provider).__module__ == IdentityProvider.__module__
        return "" if anonymous else self.owner

    def describe(self, upload: Upload) -> None:
        """Set the headers that say how far an upload has come."""
        self.set_header("Upload-Offset", upload.offset)
        if upload.expires is not None:
            self.set_header("Upload-Expires", formatdate(upload.expires, usegmt=True))
        if upload.stored and upload.file_id:
            self.set_header("Dlc-File-Id", upload.file_id)

    def compute_etag(self) -> str | None:
        """Return none: what is told here changes with every byte that comes."""
        return None

    # -- one writer at a time ----------------------------------------------------------------------------------------

    async def take(self, upload_id: str, offset: int) -> None:
        """Become the writer of an upload."""
        checksum, caller, uploads = self.checksum(), self.caller, self.services.uploads

        def opened() -> Writer:
            return self.with_room(self.length, lambda: uploads.open(upload_id, caller, offset, self.length, checksum))

        await self.settled(upload_id)
        try:
            writer = await self.call(opened)
        except Locked:
            if not await self.settled(upload_id, patience=STALE):
                raise
            writer = await self.call(opened)
        self._writer, self._upload = writer, writer.upload
        self._pipeline = Pipeline(writer)
        self._writing[upload_id] = self
        self._heard = asyncio.get_running_loop().time()

    async def settled(self, upload_id: str, patience: float | None = None) -> bool:
        """Wait for a writer in this process that is about to let go. False: there is none, or it goes on writing.

        Parameters
        ----------
        patience : float, optional
            Hang up on one of which nothing has come for so many seconds.
        """
        other = self._writing.get(upload_id)
        if other is None or other is self or other._pipeline is None:
            return False
        if other._pipeline.discarded is None:
            if patience is None or not other._unread:
                return False
            silent = 0.0 if other._taking else asyncio.get_running_loop().time() - other._heard
            if silent < patience:
                return False
            other._hang_up_on_it()
        await other._pipeline.closed()
        return True

    def _hang_up_on_it(self) -> None:
        self._refused = True
        self.abandon()
        self._stream.close()

    async def receive(self, chunk: bytes | bytearray) -> None:
        """Add bytes to the upload."""
        if self._writer is None or self._pipeline is None:
            return  # the file was here already
        self._taking = True
        self._came += len(chunk)
        if self._writer.upload.offset + self._came > self._writer.upload.size:
            raise too_many_bytes(self._writer.upload.size)
        await self._pipeline.put(chunk)
        self._taking = False
        self._heard = asyncio.get_running_loop().time()

    async def keep(self) -> Upload:
        """Keep what has come, and return how far the upload is now."""
        if self._writer and self._pipeline:
            return await self._pipeline.finish(self._writer.commit)
        assert self._upload is not None
        return self._upload

    def on_connection_close(self) -> None:
        """Keep what has come. Where that is all, it is dealt with to the end, though nobody hears the answer."""
        if not self.length or self._came < self.length:
            super().on_connection_close()

    def abandon(self) -> None:
        """Let go of the upload, for others to go on with. What has come stays."""
        if self._pipeline is None or self._pipeline.discarded:
            return
        super().abandon()
        loop = asyncio.get_running_loop()

        def let_go(_discarded: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the server has stopped
                loop.call_soon_threadsafe(self._forget)

        if self._pipeline.discarded:
            self._pipeline.discarded.add_done_callback(let_go)

    def _forget(self) -> None:
        if self._upload and self._writing.get(self._upload.upload_id) is self:
            del self._writing[self._upload.upload_id]


def parse_notes(text: str) -> dict[str, str]:
    """Return what ``Upload-Metadata`` says.

    Raises
    ------
    BadRequest
        It is not as the protocol wants it, or too long.
    """
    broken = BadRequest(
        "Upload-Metadata must be pairs with commas between them, each a word, a space and base64 of UTF-8.",
        reason="bad-upload-metadata",
    )
    if len(text) > MOST_NOTES:
        raise broken
    found: dict[str, str] = {}
    for item in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = item.partition(" ")
        if name in found or not name.isascii():
            raise broken
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except ValueError:  # neither base64 nor UTF-8
            raise broken from None
    return found
