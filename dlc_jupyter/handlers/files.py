"""Files: sent, registered, listed, fetched and deleted."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.errors import BadRequest, TooLarge
from dlc_jupyter.handlers.base import DLCHandler, whole_number
from dlc_jupyter.handlers.download import NoSuchRange, byte_range, disposition, send
from dlc_jupyter.handlers.multipart import FILE, FormReader
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.handlers.schemas import page_of, ref
from dlc_jupyter.handlers.streaming import Pipeline, StreamingHandler
from dlc_jupyter.storage.beneath import open_beneath
from dlc_jupyter.storage.catalogue import StoredFile
from dlc_jupyter.storage.files import Incoming

RESOURCE = "dlc.file"

#: A form may have this many bytes around its file; a body without a file this many in all.
FORM_OVERHEAD = 1 << 20
MOST_BODY_BYTES = 1 << 16

#: Registering reads the whole file: it must not keep others waiting.
REGISTRARS = ThreadPoolExecutor(2, thread_name_prefix="dlc-register")


@web.stream_request_body
class FilesHandler(StreamingHandler):
    """``file``."""

    auth_resource = RESOURCE

    _form: FormReader | None = None
    _incoming: Incoming | None = None

    @operation(
        answers={
            200: Answer(
                "A page of the files, newest first.",
                page_of("File"),
                headers={"Link": 'Where the next page is, with `rel="next"`, while there is more.'},
            )
        },
        refuses={
            400: "`limit` is no number from 1 to 1000, or `size` is no number of bytes.",
            404: "There is no file `after`.",
        },
        takes=[
            Parameter(
                "size",
                "Only files of so many bytes: where there is none, a file of that size is not stored yet.",
                {"type": "integer", "minimum": 0},
            ),
            Parameter("limit", "Most files on a page.", {"type": "integer", "minimum": 1, "maximum": 1000}),
            Parameter("after", "The last file of the page before."),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the files."""
        limit, after, size = self.limit(default=1000), self.get_query_argument("after", None), self._size()
        files = await self.call(self.services.files.page, limit + 1, after, size=size)
        if len(files) > limit:
            files = files[:limit]
            self.link_next(files[-1].file_id, limit, **({} if size is None else {"size": size}))
        self.answer([file.as_json() for file in files])

    def _size(self) -> int | None:
        text = self.get_query_argument("size", None)
        if text is None:
            return None
        size = whole_number(text)
        if size is None:
            raise BadRequest("size must be a whole number of bytes.", reason="bad-size")
        return size

    @operation(
        answers={200: Answer("The file, as it is stored now.", ref("File"))},
        refuses={
            400: "No field `file`, no file name, no bytes, a second file, a broken form, or no path of a file.",
            404: "There is no file at `path` under the server's root directory.",
            409: "The file at `path` changed while it was read.",
            413: "It is larger than the server takes.",
            507: "The disk, or the quota, is full.",
        },
        body={
            "multipart/form-data": {
                "type": "object",
                "properties": {FILE: {"type": "string", "contentMediaType": "application/octet-stream"}},
                "required": [FILE],
            },
            "application/json": {
                "type": "object",
                "properties": {"path": {"type": "string", "description": "Relative to the server's root directory."}},
                "required": ["path"],
            },
        },
        examples={"a file that lies on the server": {"path": "videos/day1.mp4"}},
    )
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Send a file, or name one that lies on the server.

        The same bytes again give the same id, and are stored once. A file that lies under the server's root directory
        is taken by its `path` without being sent, and without being copied where the file system can avoid it.
        """
        if self.received():
            return
        if self._form:
            self._form.close()
        if self._form and self._form.filename is not None:
            file = await self._finish_upload(self._form)
        else:
            file = await self._register(self._path())
        self.answer(file.as_json())

    # -- a file that is sent -----------------------------------------------------------------------------------------

    @authorized
    async def begin(self) -> None:
        """Refuse whom and what cannot be taken before a byte of it is read."""
        self._body = bytearray()
        if self._content_type != "multipart/form-data":
            return
        self._form = FormReader(self.request.headers["Content-Type"])
        expected = max(0, self.length - FORM_OVERHEAD)
        self._incoming = await self.call(self.with_room, expected, lambda: self.services.files.receive(expected))
        self._pipeline = Pipeline(self._incoming)

    @property
    def _content_type(self) -> str:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def receive(self, chunk: bytes | bytearray) -> None:
        """Take the file out of the form, or gather a small body."""
        if self._form and self._pipeline:
            for piece in self._form.feed(chunk):
                await self._pipeline.put(piece)
            return
        self._body += chunk
        if len(self._body) > MOST_BODY_BYTES:
            raise TooLarge(
                "A body without a file is at most 64 KiB. Send a file as the field 'file' of a multipart form.",
                reason="too-large",
            )

    async def _finish_upload(self, form: FormReader) -> StoredFile:
        if not self._pipeline or not self._incoming or form.filename is None:
            raise RuntimeError("There is no upload to finish.")
        incoming, name = self._incoming, form.filename
        return await self._pipeline.finish(lambda: incoming.finish(name, form.content_type))

    # -- a file that lies on the server ------------------------------------------------------------------------------

    def _path(self) -> str:
        """Return the parameter ``path``, whichever form the body has."""
        values: Any = self._form.fields if self._form else self._parameters()
        path = values.get("path")
        if isinstance(path, list) and len(path) == 1:
            path = path[0]
        if path is None:
            raise BadRequest(
                "Send the file as the field 'file' of a multipart form (curl: -F file=@mouse.mp4), or JSON with the "
                "'path' of a file on the server.",
                reason="no-file-field",
            )
        if not isinstance(path, str):
            raise BadRequest("'path' must be one text.", reason="bad-path")
        return path

    def _parameters(self) -> dict[str, Any]:
        self.request.body = bytes(self._body)
        if self._content_type == "application/x-www-form-urlencoded":
            return dict(parse_qs(self._body.decode(errors="replace"), keep_blank_values=True))
        return self.form()

    async def _register(self, path: str) -> StoredFile:
        contents = self.settings.get("contents_manager")
        root = Path(self.settings["server_root_dir"]).expanduser()
        hidden = bool(getattr(contents, "allow_hidden", False))
        files = self.services.files

        def register() -> StoredFile:
            with open_beneath(root, path, hidden=hidden, forbidden=files.root) as (found, descriptor):
                size = os.fstat(descriptor).st_size
                return self.with_room(size, lambda: files.register(found, found.name, descriptor=descriptor))

        return await asyncio.get_running_loop().run_in_executor(REGISTRARS, register)


class FileHandler(DLCHandler):
    """``file/<id>``."""

    auth_resource = RESOURCE

    _etag: str | None = None

    @operation(
        answers={
            200: Answer(
                "The bytes.",
                {"type": "string", "contentMediaType": "application/octet-stream"},
                content_type="*/*",
                headers={"ETag": "The SHA-1 in quotes.", "Content-Disposition": "The file's own name."},
            ),
            206: Answer(
                "The range asked for.",
                {"type": "string", "contentMediaType": "application/octet-stream"},
                content_type="*/*",
                headers={"Content-Range": "Which bytes, and of how many."},
            ),
            304: Answer("It is what the client has already."),
        },
        refuses={
            404: "There is no such file, or its bytes are lost.",
            409: "More than one file begins so: `matches` names them. Or it is a registered file that has changed.",
            416: "The range lies outside the file.",
        },
        takes=[
            Parameter("Range", "One range of bytes, such as `bytes=0-1023`.", place="header"),
            Parameter("If-Range", "The range counts only if this is the ETag.", place="header"),
            Parameter("If-None-Match", "The ETag that the client has already.", place="header"),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Fetch a file, or a range of it."""
        file, descriptor = await self.call(self.services.files.open, file_id)
        try:
            self._describe(file, whole_id=file_id == file.file_id)
            if self.check_etag_header():
                self.set_status(304)
                web.RequestHandler.finish(self)
                return
            start, end = self._range(file)
            taken, descriptor = descriptor, -1
            await send(self, taken, start, end)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if not self._finished:
            web.RequestHandler.finish(self)

    @operation(
        answers={200: Answer("As GET, without the bytes."), 304: Answer("It is what the client has already.")},
        refuses={404: "There is no such file.", 409: "More than one file begins so: `matches` names them."},
        takes=[Parameter("If-None-Match", "The ETag that the client has already.", place="header")],
    )
    @web.authenticated
    @authorized
    async def head(self, file_id: str) -> None:
        """Ask what a file is, without its bytes."""
        file, descriptor = await self.call(self.services.files.open, file_id)
        os.close(descriptor)
        self._describe(file, whole_id=file_id == file.file_id)
        if self.check_etag_header():
            self.set_status(304)
        else:  # a Range counts for GET only (RFC 9110, section 14.2)
            self.set_header("Content-Length", file.size)
        web.RequestHandler.finish(self)

    @operation(
        answers={204: Answer("It is gone.")},
        refuses={
            404: "There is no such file.",
            409: "A queued or running analysis needs it: `analyses` names them. Or more than one file begins so.",
        },
    )
    @web.authenticated
    @authorized
    async def delete(self, file_id: str) -> None:
        """Delete a file."""
        files = self.services.files
        await self.call(lambda: files.delete(files.find(file_id).file_id))
        self.no_content(204)

    def compute_etag(self) -> str | None:
        """Return the file's, which needs no computing."""
        return self._etag

    def _describe(self, file: StoredFile, *, whole_id: bool) -> None:
        """Set the headers that say what the file is, and keep browsers from running it."""
        self._transforms = []  # never compressed: a range of compressed bytes would be another range
        self._etag = f'"{file.file_id}"'
        self.set_header("Etag", self._etag)
        self.set_header("Content-Type", file.content_type)
        self.set_header("Content-Disposition", disposition(file))
        self.set_header("Content-Security-Policy", "sandbox")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Accept-Ranges", "bytes")
        kept = "max-age=31536000, immutable" if whole_id else "no-cache"  # a prefix may mean another file one day
        self.set_header("Cache-Control", f"private, {kept}")

    def _range(self, file: StoredFile) -> tuple[int, int]:
        """Set the headers that say which bytes are sent, and return where they begin and end."""
        header = self.request.headers.get("Range")
        if self.request.headers.get("If-Range", self._etag) != self._etag:
            header = None
        try:
            asked = byte_range(header, file.size)
        except NoSuchRange:
            self._unsatisfiable = f"bytes */{file.size}"
            raise
        start, end = asked or (0, file.size)
        if asked:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {start}-{end - 1}/{file.size}")
        self.set_header("Content-Length", end - start)
        return start, end

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say of how many bytes the range had to be."""
        if hasattr(self, "_unsatisfiable"):
            self.set_header("Content-Range", self._unsatisfiable)
        super().write_error(status_code, **kwargs)


file_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"file", FilesHandler),
    (r"file/([^/]+)", FileHandler),
]
