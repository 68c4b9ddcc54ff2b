"""Analyses: asked for, listed, looked at, cancelled and forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from dlc_jupyter.analyses.base import find_analysis, registry
from dlc_jupyter.errors import BadRequest, Conflict, NotFound
from dlc_jupyter.handlers.base import DLCHandler, as_list
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.handlers.schemas import page_of, ref
from dlc_jupyter.jobs.cleanup import forget
from dlc_jupyter.jobs.records import Record, State
from dlc_jupyter.jobs.scratch import log_path

RESOURCE = "dlc.analysis"

_SHA1 = "3f1c0a6f7f0f4e6d1c5b8a2e9d7c4b3a2f1e0d9c"
_UNKNOWN = {404: "There is no such analysis.", 409: "Several ids begin with these characters: see `matches`."}
_CREATED = {"type": "object", "properties": {"analysis_id": {"type": "string"}}, "required": ["analysis_id"]}
_STATE = {
    "type": "object",
    "properties": {"analysis_id": {"type": "string"}, "state": {"enum": ["cancelled", "running"]}},
    "required": ["analysis_id", "state"],
}


class AnalysesHandler(DLCHandler):
    """``analysis``: ask for one, list all."""

    auth_resource = RESOURCE

    @operation(
        answers={
            200: Answer(
                "Up to `limit` analyses.",
                page_of("Analysis"),
                headers={"Link": "Where the next page is (`rel=next`), while there is one."},
            )
        },
        refuses={400: "The limit is no number from 1 to 1000.", 404: "There is no analysis `after`."},
        takes=[
            Parameter("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
            Parameter("after", "Begin behind the analysis of this id."),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the analyses, newest first."""
        limit = self.limit(100)
        after = self.get_query_argument("after", None)
        found = await self.call(self.services.records.page, limit + 1, after)
        if len(found) > limit:
            self.link_next(found[limit - 1].analysis_id, limit)
        self.answer([record.as_json() for record in found[:limit]])

    @operation(
        answers={
            200: Answer(
                "It waits in the queue, or has succeeded already where an earlier result is the same.", _CREATED
            )
        },
        refuses={
            400: "There is no such analysis (the answer names those there are), or its parameters are not right or do "
            "not fit the model, the devices or what is known of the video (`errors` names each), or it takes another "
            "number of files, or they do not fit the cameras.",
            404: "There is no such file or model.",
            409: "Several files begin with these characters (see `matches`), or the `Idempotency-Key` was used for a "
            "different request.",
        },
        takes=[
            Parameter(
                "Idempotency-Key",
                "Any text of up to 255 characters. The same key gives the same analysis, however often it is sent.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
                place="header",
            )
        ],
        body={
            content_type: ref("AnalysisRequest")
            for content_type in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
        },
        examples={
            "sleep": {"analysis": "sleep", "time": 5},
            "video": {"analysis": "video", "file_id": _SHA1, "model": "demo-mouse"},
            "label": {"analysis": "label", "file_id": _SHA1, "model": "demo-mouse", "pcutoff": 0.6},
            "triangulate": {
                "analysis": "triangulate",
                "cameras": {"camera-1": _SHA1, "camera-2": "9c4b7d2e"},
                "model": "demo-mouse-3d",
            },
        },
    )
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Ask for an analysis.

        The body holds the analysis's name, the files, and that analysis's own parameters: as JSON or as a form, which
        mean the same. A form repeats file_id for several files; where they are those of several cameras, in the order
        of the cameras. Such analyses take them by name, too: cameras={"camera-1": "<file_id>", "camera-2": …}.
        """
        values = self.form()
        name = _analysis(values.pop("analysis", None))
        fresh = _flag(values, "fresh")
        prefixes = [prefix.strip() for prefix in as_list(values.pop("file_id", None))]
        record = await self.call(self._create, name, values, prefixes, self._idempotency_key(), fresh)
        if record.state is State.QUEUED:  # the answer need not wait for the bell
            self.services.pool.submit(self.services.doorbell.ring, record.analysis_id)
        self.answer({"analysis_id": record.analysis_id})

    def _create(self, name: str, values: dict[str, Any], prefixes: list[str], key: str | None, fresh: bool) -> Record:
        services = self.services
        if key:
            earlier = services.records.replayed(key, lambda record: _asks_for(record, name, values, prefixes))
            if earlier:
                return earlier
        file_ids = [services.files.find(prefix).file_id for prefix in prefixes]
        if by_camera := _by_camera(name, values):
            found = {camera: [services.files.find(each).file_id for each in ids] for camera, ids in by_camera.items()}
            values = {**values, "cameras": found}
        gpus, media = services.board.gpus(), lambda file_id: services.files.find(file_id).media
        removable = services.models.made_here(str(values.get("model", "")))
        request = services.requests.prepare(name, values, file_ids, self.owner, key, gpus, media)
        record = services.records.create(request, time.time(), reuse=not fresh)
        if removable and record.state is State.QUEUED:
            self._check_model(record)
        return record

    def _check_model(self, record: Record) -> None:
        """Refuse what was asked for while its model was being removed, in the place of letting it fail in its turn.

        Who removes a model looks for analyses when it is gone, and here it is looked for when the analysis is there:
        one of the two sees the other.
        """
        models, records = self.services.models, self.services.records
        model = str(record.parameters["model"])
        if not models.made_here(model):
            with contextlib.suppress(Conflict, NotFound):  # a worker has begun it: it is cancelled, or fails by itself
                records.cancel(record.analysis_id, time.time())
                records.delete(record.analysis_id)
            raise NotFound(f"The model {model!r} was removed at this moment.", reason="unknown-model")

    def _idempotency_key(self) -> str | None:
        keys = self.request.headers.get_list("Idempotency-Key")
        if not keys:
            return None
        if len(keys) > 1 or not 1 <= len(keys[0]) <= 255 or not (keys[0].isascii() and keys[0].isprintable()):
            raise BadRequest(
                "Idempotency-Key must be given once, with 1 to 255 printable ASCII characters.",
                reason="bad-idempotency-key",
            )
        return keys[0]


def _analysis(name: Any) -> str:
    """Return the name of the analysis, which must be given once."""
    if not isinstance(name, str) or not name.strip():
        known = sorted(registry())
        raise BadRequest(
            f"Say which analysis: give the field analysis once. There are: {', '.join(known)}.",
            reason="unknown-analysis",
            analyses=known,
        )
    return name.strip()


def _asks_for(record: Record, name: str, values: Mapping[str, Any], prefixes: Sequence[str]) -> bool:
    """Whether an analysis is what these fields ask for. Its files and its model may be gone."""
    asked = find_analysis(name).validate(values).model_dump(mode="json")
    if record.analysis != name or {**record.parameters, "cameras": None} != {**asked, "cameras": None}:
        return False
    if (by_camera := _by_camera(name, values)) is None:
        return _begin_with(record.file_ids, prefixes)
    given = record.parameters.get("cameras") or {}
    return (
        not prefixes
        and given.keys() == by_camera.keys()
        and all(_begin_with(given[camera], by_camera[camera]) for camera in by_camera)
    )


def _by_camera(name: str, values: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Return the beginnings of the ids of files that are given by camera. None: they are not."""
    analysis = find_analysis(name)
    if not analysis.by_camera:
        return None
    given: dict[str, list[str]] | None = analysis.validate(values).model_dump()["cameras"]
    return given and {camera: [each.strip() for each in ids] for camera, ids in given.items()}


def _begin_with(file_ids: Sequence[str], prefixes: Sequence[str]) -> bool:
    return (
        len(file_ids) == len(prefixes)
        and all(prefixes)
        and all(file_id.startswith(each.lower()) for file_id, each in zip(file_ids, prefixes, strict=True))
    )


def _flag(values: dict[str, Any], name: str) -> bool:
    """Take the flag `name`, which is off when left out, out of `values`."""
    value = values.pop(name, False)
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.", reason="bad-parameters")
    return value


class AnalysisHandler(DLCHandler):
    """``analysis/<id>``: its result, or that there is none yet."""

    auth_resource = RESOURCE

    @operation(
        answers={
            200: Answer(
                "It has succeeded: the result. Fetch the files in it with GET /file.",
                ref("Result"),
                example={"sleep_time": 5.0, "csv_file": _SHA1},
            ),
            202: Answer(
                "It is queued or running.",
                headers={"Retry-After": "Seconds.", "Link": "Where its status is (`rel=status`)."},
            ),
            410: Answer("It was cancelled.", ref("Failure")),
            500: Answer("It has failed: `state` is `failed`, and `error` says why.", ref("Failure")),
        },
        refuses=_UNKNOWN,
    )
    @web.authenticated
    @authorized
    async def get(self, analysis_id: str) -> None:
        """Return the result of an analysis."""
        record = await self.call(self.services.records.find, analysis_id)
        match record.state:
            case State.SUCCEEDED:
                self.answer(record.result)
            case State.FAILED:
                self._no_result(500, record, "This analysis has failed: see error.", "analysis-failed")
            case State.CANCELLED:
                self._no_result(410, record, "This analysis was cancelled.", "analysis-cancelled")
            case _:
                self.set_header("Retry-After", "1")
                beside = self.request.path.rpartition("/")[0]
                self.set_header("Link", f'<{beside}/{record.analysis_id}/status>; rel="status"')
                self.no_content(202)

    def _no_result(self, status: int, record: Record, message: str, reason: str) -> None:
        self.set_status(status)
        error = {"error": record.error} if record.error else {}
        # It is no fault of the server's, and was logged when it ended.
        self.log_line(status, f"{message} {(record.error or {}).get('message', '')}".rstrip(), logging.INFO)
        self.answer({"message": message, "reason": reason, "state": record.state, **error})

    @operation(
        answers={204: Answer("It is gone, with its log and the files that it made unless something else uses them.")},
        refuses={404: _UNKNOWN[404], 409: f"It is queued or running: cancel it first. Or: {_UNKNOWN[409]}"},
    )
    @web.authenticated
    @authorized
    async def delete(self, analysis_id: str) -> None:
        """Forget a finished analysis."""
        await self.call(self._delete, analysis_id)
        self.no_content(204)

    def _delete(self, prefix: str) -> None:
        services = self.services
        forget(services.files, services.records, services.records.find(prefix).analysis_id)


class StatusHandler(DLCHandler):
    """``analysis/<id>/status``."""

    auth_resource = RESOURCE

    @operation(answers={200: Answer("Its record, whatever its state.", ref("Analysis"))}, refuses=_UNKNOWN)
    @web.authenticated
    @authorized
    async def get(self, analysis_id: str) -> None:
        """Return where an analysis stands.

        Its `progress` is null until there is some. While it waits for another attempt, and until that one has some of
        its own, it says how far the one before came.
        """
        record = await self.call(self.services.records.find, analysis_id)
        self.set_header("Cache-Control", "no-store")
        self.answer(record.as_json())


class CancelHandler(DLCHandler):
    """``analysis/<id>/cancel``."""

    auth_resource = RESOURCE

    @operation(
        answers={200: Answer("Cancelled, or still `running` for the moments that its process takes to end.", _STATE)},
        refuses={404: _UNKNOWN[404], 409: f"It has already finished. Or: {_UNKNOWN[409]}"},
    )
    @web.authenticated
    @authorized
    async def post(self, analysis_id: str) -> None:
        """Cancel an analysis that is queued or running."""
        self.answer(await self.call(self._cancel, analysis_id))

    def _cancel(self, prefix: str) -> dict[str, Any]:
        records = self.services.records
        analysis_id = records.find(prefix).analysis_id
        return {"analysis_id": analysis_id, "state": records.cancel(analysis_id, time.time())}


class LogHandler(DLCHandler):
    """``analysis/<id>/log``: what the engine printed, as it stands or as it grows."""

    auth_resource = RESOURCE

    PIECE = 1 << 18
    CONTENT_TYPE = "text/plain; charset=utf-8"
    #: How often a log that is followed is looked at, and its analysis's state, in seconds.
    LOOK, ASK = 0.25, 1.0

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Prepare to notice that the client leaves."""
        super().initialize(*args, **kwargs)
        self._gone = asyncio.Event()

    def on_connection_close(self) -> None:
        """Stop following."""
        self._gone.set()
        super().on_connection_close()

    @operation(
        answers={200: Answer("The text; empty while nothing was printed.", {"type": "string"}, "text/plain")},
        refuses={**_UNKNOWN, 400: "`tail` is no number, or `follow` is neither true nor false."},
        takes=[
            Parameter("follow", "Stream until the analysis ends.", {"enum": ["0", "1", "false", "true"]}),
            Parameter("tail", "Only the last lines, about so many bytes.", {"type": "integer", "minimum": 0}),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self, analysis_id: str) -> None:
        """Return what the engine printed while it worked on an analysis."""
        follow = _flag({"follow": self.get_query_argument("follow", "0")}, "follow")
        tail = self._tail()
        record = await self.call(self.services.records.find, analysis_id)
        self.set_header("Content-Type", self.CONTENT_TYPE)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold back what is followed
        log = GrowingFile(log_path(self.services.settings.root, record.analysis_id), tail)
        with contextlib.suppress(StreamClosedError), contextlib.closing(log):
            await self._send(log)
            if follow:
                await self._follow(log, record)
        if not self._gone.is_set():
            self.finish(set_content_type=self.CONTENT_TYPE)

    def _tail(self) -> int | None:
        text = self.get_query_argument("tail", None)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise BadRequest("tail must be a whole number of bytes.", reason="bad-tail")
        return int(text)

    async def _send(self, log: GrowingFile) -> None:
        """Send what is there."""
        while not self._gone.is_set() and (piece := await self.call(log.read, self.PIECE)):
            self.write(piece)
            await self.flush()

    async def _follow(self, log: GrowingFile, record: Record) -> None:
        """Send what comes, until the analysis has ended or the client has left. No thread waits meanwhile."""
        await self.flush()  # the headers, so that the client knows that it is connected
        asked = -self.ASK
        while record.state.active and not await self._leaves():
            await self._send(log)
            if time.monotonic() - asked >= self.ASK:
                asked = time.monotonic()
                try:
                    record = await self.call(self.services.records.find, record.analysis_id)
                except NotFound:
                    return
        await self._send(log)

    async def _leaves(self) -> bool:
        """Wait a moment. Whether the client left in it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), self.LOOK)
        return self._gone.is_set()


class GrowingFile:
    """A file that somebody else appends to, and that may not be there yet. Its methods block.

    Parameters
    ----------
    path : Path
    tail : int, optional
        Begin with the first whole line of the last `tail` bytes.
    """

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self._path = path
        self._tail = tail
        self._file: Any = None

    def read(self, size: int) -> bytes:
        """Return what follows, at most `size` bytes; none where the end is reached for now."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
            self._skip()
        piece: bytes = self._file.read(size)
        return piece

    def _skip(self) -> None:
        length = self._path.stat().st_size
        if self._tail is not None and length > self._tail:
            self._file.seek(length - self._tail - 1)
            self._file.readline(self._tail + 1)
            if self._file.tell() >= length:  # the last line alone is longer than that
                self._file.seek(length - self._tail)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()


analysis_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"analysis", AnalysesHandler),
    (r"analysis/([^/]+)", AnalysisHandler),
    (r"analysis/([^/]+)/status", StatusHandler),
    (r"analysis/([^/]+)/cancel", CancelHandler),
    (r"analysis/([^/]+)/log", LogHandler),
]
