"""The poses of a video for programs that draw them: a range of frames at a time, also while they are being made."""

from __future__ import annotations

import contextlib
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.errors import BadRequest, NotFound
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.jobs.scratch import kept_poses
from dlc_jupyter.pose.compact import MOST_FRAMES, Finished, Growing, Source, answer

RESOURCE = "dlc.file"

#: No frame has a number of more digits.
_DIGITS = 19
_MOST = 10**_DIGITS - 1

_COUNT = {"type": "integer", "minimum": 0}


class PosesHandler(DLCHandler):
    """``file/<file_id>/poses``."""

    auth_resource = RESOURCE

    @operation(
        answers={
            200: Answer(
                "`DLCP`, then two numbers of 32 bits, little-endian and unsigned: the layout's version (1) and the "
                "length of the header in bytes; from byte 12 on the header: a JSON object padded with spaces to a "
                "multiple of 4 bytes; "
                "then for each frame from `start` on, `count` of them, for each of the `points` x and y in pixels and "
                "the likelihood, as 32-bit floats, little-endian, NaN where unknown. The header has `scorer`, `points` "
                "(individual, empty for a single animal, and body part), `frames` (how many have poses so far), "
                "`start`, `count`, `analysis_id` and `state`: while that is `running`, or `queued` again, there are "
                "more to come; `first`, which frame of the video the poses' frame 0 is: 0, unless frames at its start "
                "cannot be decoded and have no poses (with `on_bad_frame=mark` they have NaN), so that who draws adds "
                "it to the frames' numbers; and `cropping` where only a part of the picture was analysed: x1, x2, y1, "
                "y2 in pixels, and the points count from (x1, y1).",
                {"type": "string", "format": "binary"},
                content_type="application/octet-stream",
            )
        },
        refuses={
            400: "The range is none.",
            404: "There is no such file or analysis, or it has made no poses of the file.",
            409: "More than one file begins so: `matches` names them.",
        },
        takes=[
            Parameter("start", "The first frame, counted from 0.", {**_COUNT, "default": 0}),
            Parameter(
                "stop", f"The frame before which to stop; {MOST_FRAMES} frames at most are sent at a time.", _COUNT
            ),
            Parameter(
                "analysis_id",
                "Whose poses. Left out: those of the newest analysis that looks at every frame and the whole picture "
                "(`start`, `stop`, `step` and `cropping` left out); where none has any, of the newest one.",
            ),
        ],
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Fetch the poses of a video for some of its frames, in a compact form."""
        start, stop = self._whole("start", 0), self._whole("stop", _MOST)
        if stop < start:
            raise BadRequest("stop must not be less than start.", reason="bad-range")
        body = await self.call(self._poses, file_id, self.get_query_argument("analysis_id", ""), start, stop)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "private, no-cache")
        await web.RequestHandler.finish(self, body)  # Jupyter would say that it is JSON

    def _whole(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise BadRequest(f"{name} must be a whole number from 0 on.", reason="bad-range")
        return int(text)

    def _poses(self, prefix: str, analysis_id: str, start: int, stop: int) -> bytes:
        file_id, records = self.services.files.find(prefix).file_id, self.services.records
        found_by = records.looking_at(file_id, analysis_id)
        for record in sorted(found_by, key=lambda each: not _of_all(each)):  # otherwise they stay newest first
            number = record.file_ids.index(file_id)
            found = self._of(record, number, start, stop)
            if found is None and record.state.active:  # it may have ended at this very moment
                with contextlib.suppress(NotFound):
                    found = self._of(records.find(record.analysis_id), number, start, stop)
            if found is not None:
                return found
        if analysis_id:
            known = records.find(analysis_id).analysis_id  # or there is no such analysis
            raise NotFound(f"The analysis {known} has no poses of this file (yet).", reason="no-poses")
        raise NotFound(
            "There are no poses of this file. Ask for the analysis video, and wait until it has begun.",
            reason="no-poses",
        )

    def _of(self, record: Record, number: int, start: int, stop: int) -> bytes | None:
        """Return the poses of one of an analysis's videos, if it has any (yet, or still)."""
        # Any other error is no reason to hand on an older analysis's poses in place of these.
        with contextlib.suppress(NotFound, FileNotFoundError):
            if source := self._source(record, number):
                about: dict[str, Any] = {"analysis_id": record.analysis_id, "state": record.state}
                return answer(source, start, stop, **about)
        return None

    def _source(self, record: Record, number: int) -> Source | None:
        if record.state.active:
            return Growing.open(kept_poses(self.services.settings.root, record, number))
        result = record.result or {}
        prefix = ""
        if len(record.file_ids) > 1:  # each is one of the cameras, in their order
            cameras = result.get("cameras") or []
            if number >= len(cameras):
                return None
            prefix = f"{cameras[number]}_"
        made = result.get(f"{prefix}poses_file")
        return Finished.open(self.services.files.path(made)) if isinstance(made, str) else None


def _of_all(record: Record) -> bool:
    """Whether an analysis was asked for every frame of its videos, and for all of their pictures."""
    asked = record.parameters
    usual = {"start": 0, "stop": None, "step": 1, "cropping": None}
    return all(asked.get(name, value) == value for name, value in usual.items())


pose_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"file/([^/]+)/poses", PosesHandler),
]
