"""Resumable uploads, by the protocol tus 1.0.0: begun, gone on with, asked after, given up."""

from __future__ import annotations

import asyncio
import functools
import re
from concurrent.futures import ThreadPoolExecutor

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.handlers.schemas import page_of
from dlc_jupyter.handlers.tus import BYTES, VERSION, TusHandler, parse_notes
from dlc_jupyter.storage.upload_writer import too_many_bytes

#: Storing a file whose writer was cut off behind its last byte may read all of it: it must not keep others waiting.
FINISHERS = ThreadPoolExecutor(2, thread_name_prefix="dlc-finish")

_SHA1 = re.compile("[0-9a-f]{40}")

_TUS = Parameter("Tus-Resumable", f"`{VERSION}`.", place="header", required=True)
_CHECKSUM = Parameter(
    "Upload-Checksum",
    "Algorithm (`sha1` or `sha256`) and base64 of the digest of this body. It is kept only when all of it has come.",
    place="header",
)
_EXPIRES = {"Upload-Expires": "When the upload is removed, unless more comes or it is finished."}
_FILE_ID = {"Dlc-File-Id": "The id of the stored file, when it is finished."}
_OFFSET = {"Upload-Offset": "How many bytes have come."}
_NO_TUS = "`Tus-Resumable` is missing or another one than `Tus-Version` in the answer."
_NO_UPLOAD = {
    404: "There is no such upload of the caller's.",
    410: "It has expired, or the file that it became was removed.",
    412: _NO_TUS,
}
_WRITTEN = {
    413: "These are more bytes than were announced, or than the server takes.",
    415: f"The bytes are not of the type `{BYTES}`.",
    423: "Somebody is sending bytes of this upload at this moment.",
    460: "The bytes are not those of the checksum, or the file is not the one that was announced.",
    507: "The disk, or the quota, is full. What has come is kept.",
}


@web.stream_request_body
class UploadsHandler(TusHandler):
    """``upload``."""

    @operation(
        answers={200: Answer("Those that can be gone on with, oldest first.", page_of("Upload"))},
    )
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the caller's unfinished uploads."""
        self.set_header("Cache-Control", "no-store")
        found = await self.call(self.services.uploads.unfinished, self.caller)
        self.answer([upload.as_json() for upload in found])

    @operation(
        answers={
            201: Answer(
                "It can begin, or has begun with the bytes of this request.",
                headers={"Location": "Its address, for HEAD, PATCH and DELETE."} | _OFFSET | _EXPIRES | _FILE_ID,
            )
        },
        refuses={
            400: "A header is missing or says something else than it may, the file has no name, or no bytes.",
            412: _NO_TUS,
            **_WRITTEN,
        },
        takes=[
            _TUS,
            Parameter(
                "Upload-Length", "Bytes of the file.", {"type": "integer", "minimum": 1}, "header", required=True
            ),
            Parameter(
                "Upload-Metadata",
                "Pairs with commas between them, each a word, a space and base64 of UTF-8: `filename`; `filetype`, if "
                "the name does not say it; `sha1` in hexadecimal, if it is known: a file that is stored already need "
                "not be sent, and another file than this one is refused at the end.",
                place="header",
                required=True,
            ),
            _CHECKSUM,
        ],
        body={BYTES: {"type": "string", "contentMediaType": BYTES, "description": "The first bytes, or none."}},
    )
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Begin a resumable upload, by the protocol tus 1.0.0.

        Any client of https://tus.io works. `OPTIONS` tells what is understood. What has come before the connection
        breaks is kept for `expire_uploads_hours`, also when the server is restarted. Where a file of this `sha1` is
        stored, the upload is finished at once, under the new name.
        """
        if self.received():
            return
        upload = await self.keep()
        self.set_header("Location", f"{self.request.path}/{upload.upload_id}")
        self.describe(upload)
        self.no_content(201)

    @authorized
    async def begin(self) -> None:
        """Make the upload before a byte of it is read."""
        self.speak()
        headers = self.request.headers
        if "Upload-Concat" in headers or "Upload-Defer-Length" in headers:
            raise BadRequest("Give the length of the whole file, and send it as one.", reason="unknown-extension")
        size, notes = self.number("Upload-Length"), headers.get("Upload-Metadata", "")
        if self._unread:
            self.check_type()
            self.checksum()
            if self.length > size:
                raise too_many_bytes(size)
        known = parse_notes(notes)
        sha1 = known.get("sha1", "").lower() or None
        if sha1 and not _SHA1.fullmatch(sha1):
            raise BadRequest("The sha1 in Upload-Metadata must be 40 hexadecimal digits.", reason="bad-upload-metadata")
        create = functools.partial(
            self.services.uploads.create,
            self.caller,
            known.get("filename") or known.get("name", ""),
            size,
            content_type=known.get("filetype") or known.get("type"),
            notes=notes,
            sha1=sha1,
        )
        self._upload = await self.call(self.with_room, size, create)
        if self._unread and not self._upload.stored:
            await self.take(self._upload.upload_id, 0)


@web.stream_request_body
class UploadHandler(TusHandler):
    """``upload/<id>``."""

    streamed = "PATCH"

    @operation(
        answers={
            200: Answer(
                "So much of it has come.",
                headers=_OFFSET
                | {"Upload-Length": "Bytes of the file.", "Upload-Metadata": "As it was sent."}
                | _EXPIRES
                | _FILE_ID,
            )
        },
        refuses={**_NO_UPLOAD, 423: "All has come, and the file is being stored.", 507: _WRITTEN[507]},
        takes=[_TUS],
    )
    @web.authenticated
    @authorized
    async def head(self, upload_id: str) -> None:
        """Ask how much of an upload has come.

        A file of which all bytes came, but which could not be stored then, is stored by this.
        """
        self.speak()
        uploads = self.services.uploads
        await self.settled(upload_id)
        upload = await self.call(uploads.find, upload_id, self.caller)
        if upload.complete and not upload.stored:
            upload = await asyncio.get_running_loop().run_in_executor(FINISHERS, uploads.complete, upload)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Upload-Length", upload.size)
        if upload.notes:
            self.set_header("Upload-Metadata", upload.notes)
        self.describe(upload)
        self.no_content(200)

    @operation(
        answers={204: Answer("The bytes are kept.", headers=_OFFSET | _EXPIRES | _FILE_ID)},
        refuses={
            400: "A header says something else than it may.",
            409: "The upload is not at `Upload-Offset`.",
            **_NO_UPLOAD,
            **_WRITTEN,
        },
        takes=[
            _TUS,
            Parameter("Upload-Offset", "Where these bytes begin.", {"type": "integer"}, "header", required=True),
            _CHECKSUM,
        ],
        body={BYTES: {"type": "string", "contentMediaType": BYTES}},
    )
    @web.authenticated
    @authorized
    async def patch(self, upload_id: str) -> None:
        """Send bytes of an upload, as many as you like. With the last one it becomes a file.

        Where PATCH is not let through, POST with the header `X-HTTP-Method-Override: PATCH` is the same.
        """
        if self.received():
            return
        self.describe(await self.keep())
        self.no_content(204)

    @authorized
    async def begin(self) -> None:
        """Take hold of the upload before a byte of the body is read."""
        self.speak()
        self.check_type()
        upload_id, offset = str(self.path_args[0]), self.number("Upload-Offset")
        self.checksum()
        upload = await self.call(self.services.uploads.find, upload_id, self.caller)
        if upload.stored:
            upload.admit(offset, self.length)
            self._upload = upload
        else:
            await self.take(upload_id, offset)

    @operation(
        answers={204: Answer("It is gone.")},
        refuses={**_NO_UPLOAD, 423: _WRITTEN[423]},
        takes=[_TUS],
    )
    @web.authenticated
    @authorized
    async def delete(self, upload_id: str) -> None:
        """Give an upload up, and remove what has come of it. A file that it became stays."""
        self.speak()
        await self.call(self.services.uploads.find, upload_id, self.caller)  # nobody else may hang up on its writer
        await self.settled(upload_id, patience=0.0)
        await self.call(self.services.uploads.delete, upload_id, self.caller)
        self.no_content(204)


upload_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"upload", UploadsHandler),
    (r"upload/([^/]+)", UploadHandler),
]
