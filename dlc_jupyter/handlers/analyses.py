"""Analyses: asked for, listed, looked at, cancelled and forgotten."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.analyses.base import find_analysis, registry
from dlc_jupyter.errors import BadRequest, Conflict, NotFound
from dlc_jupyter.handlers.base import DLCHandler, as_list, flag
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.handlers.schemas import page_of, ref
from dlc_jupyter.jobs.cleanup import forget
from dlc_jupyter.jobs.records import Record, State
from dlc_jupyter.jobs.scratch import begin_anew

RESOURCE = "dlc.analysis"

_SHA1 = "3f1c0a6f7f0f4e6d1c5b8a2e9d7c4b3a2f1e0d9c"
UNKNOWN = {404: "There is no such analysis.", 409: "Several ids begin with these characters: see `matches`."}
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
        fresh = flag(values, "fresh")
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
        if fresh and record.state is State.QUEUED:
            begin_anew(services.settings.root, record.analysis_id)
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
        refuses=UNKNOWN,
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
        refuses={404: UNKNOWN[404], 409: f"It is queued or running: cancel it first. Or: {UNKNOWN[409]}"},
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

    @operation(answers={200: Answer("Its record, whatever its state.", ref("Analysis"))}, refuses=UNKNOWN)
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
        refuses={404: UNKNOWN[404], 409: f"It has already finished. Or: {UNKNOWN[409]}"},
    )
    @web.authenticated
    @authorized
    async def post(self, analysis_id: str) -> None:
        """Cancel an analysis that is queued or running.

        The frames of which it has poses already are not lost: the next analysis that wants the same poses, of the same
        video by the same model, goes on behind them, for a week (with fresh=true it does not).
        """
        self.answer(await self.call(self._cancel, analysis_id))

    def _cancel(self, prefix: str) -> dict[str, Any]:
        records = self.services.records
        analysis_id = records.find(prefix).analysis_id
        return {"analysis_id": analysis_id, "state": records.cancel(analysis_id, time.time())}


analysis_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"analysis", AnalysesHandler),
    (r"analysis/([^/]+)", AnalysisHandler),
    (r"analysis/([^/]+)/status", StatusHandler),
    (r"analysis/([^/]+)/cancel", CancelHandler),
]
