"""Poses, and points in space, for programs that draw them: by ranges of frames, also while they are being made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.errors import BadRequest, NotFound
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, Parameter, operation
from dlc_jupyter.jobs.record import Record, State
from dlc_jupyter.jobs.scratch import kept_poses
from dlc_jupyter.pose import overview
from dlc_jupyter.pose.compact import MOST_FRAMES, Finished, Growing, Source, answer

RESOURCE = "dlc.file"

#: No frame has a number of more digits.
_DIGITS = 19
_MOST = 10**_DIGITS - 1

_COUNT = {"type": "integer", "minimum": 0}
_BYTES = {"type": "string", "format": "binary"}

#: What makes the bytes of an answer of poses; further fields are for its header.
Written = Callable[..., bytes]

_OF_FILE = {
    400: "The range is none.",
    404: "There is no such file or analysis, or it has made no poses of the file.",
    409: "More than one file begins so: `matches` names them.",
}
_WHOSE = Parameter(
    "analysis_id",
    "Whose poses. Left out: those of the newest analysis that looks at every frame and the whole picture "
    "(`start`, `stop`, `step` and `cropping` left out); where none has any, of the newest one.",
)
_RANGE = [
    Parameter("start", "The first frame, counted from 0.", {**_COUNT, "default": 0}),
    Parameter("stop", f"The frame before which to stop; {MOST_FRAMES} frames at most are sent at a time.", _COUNT),
]


class _Handler(DLCHandler):
    """Base of what hands on bytes that a program draws."""

    def _range(self) -> tuple[int, int]:
        """Return ``?start=`` and ``?stop=``."""
        start, stop = self._whole("start", 0), self._whole("stop", _MOST)
        if stop < start:
            raise BadRequest("stop must not be less than start.", reason="bad-range")
        return start, stop

    def _whole(self, name: str, default: int, least: int = 0, most: int = _MOST) -> int:
        text = self.get_query_argument(name, str(default))
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS and least <= int(text) <= most:
            return int(text)
        to = "on" if most == _MOST else f"to {most}"
        raise BadRequest(f"{name} must be a whole number from {least} {to}.", reason="bad-range")

    async def _send(self, body: bytes) -> None:
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "private, no-cache")
        await web.RequestHandler.finish(self, body)  # Jupyter would say that it is JSON


class _OfFileHandler(_Handler):
    """Base of what is asked of the poses of a file."""

    auth_resource = RESOURCE

    def _poses(self, prefix: str, analysis_id: str, written: Written) -> bytes:
        """Return what `written` makes of the poses that are wanted, or of the newest ones."""
        file_id, records = self.services.files.find(prefix).file_id, self.services.records
        found_by = records.looking_at(file_id, analysis_id)
        for record in sorted(found_by, key=lambda each: not _of_all(each)):  # otherwise they stay newest first
            number = record.file_ids.index(file_id)
            found = self._of(record, number, written)
            if found is None and record.state.active:  # it may have ended at this very moment
                with contextlib.suppress(NotFound):
                    found = self._of(records.find(record.analysis_id), number, written)
            if found is not None:
                return found
        if analysis_id:
            known = records.find(analysis_id).analysis_id  # or there is no such analysis
            raise NotFound(f"The analysis {known} has no poses of this file (yet).", reason="no-poses")
        raise NotFound(
            "There are no poses of this file. Ask for the analysis video, and wait until it has begun.",
            reason="no-poses",
        )

    def _of(self, record: Record, number: int, written: Written) -> bytes | None:
        """Return the poses of one of an analysis's videos, if it has any (yet, or still)."""
        # Any other error is no reason to hand on an older analysis's poses in place of these.
        with contextlib.suppress(NotFound, FileNotFoundError):
            if source := self._source(record, number):
                about: dict[str, Any] = {"analysis_id": record.analysis_id, "state": record.state}
                return written(source, **about)
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


class PosesHandler(_OfFileHandler):
    """``file/<file_id>/poses``."""

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
                "y2 in pixels, and the points count from (x1, y1). The `poses_file` of a result has version 2: behind "
                "its numbers are further bytes, from which the overview is made.",
                _BYTES,
                content_type="application/octet-stream",
            )
        },
        refuses=_OF_FILE,
        takes=[*_RANGE, _WHOSE],
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Fetch the poses of a video for some of its frames, in a compact form."""
        start, stop = self._range()
        written = partial(answer, start=start, stop=stop)
        await self._send(await self.call(self._poses, file_id, self.get_query_argument("analysis_id", ""), written))


class OverviewHandler(_OfFileHandler):
    """``file/<file_id>/poses/overview``."""

    @operation(
        answers={
            200: Answer(
                "`DLCO`, then two numbers of 32 bits, little-endian and unsigned: the layout's version (1) and the "
                "length of the header in bytes; from byte 12 on the header, as that of the poses, but with `span`, how "
                "many frames a bin is of, and `bins`, how many there are (the last one may be of fewer frames), in the "
                "place of `start` and `count`; then bytes: for each point the least likelihood in each bin, and after "
                "those of all points for each point the mean in each bin. 0 to 254 stand for likelihoods from 0 to 1, "
                "255 for bins without any.",
                _BYTES,
                content_type="application/octet-stream",
            )
        },
        refuses={**_OF_FILE, 400: f"`bins` is no number from 1 to {overview.MOST_BINS}."},
        takes=[
            Parameter(
                "bins",
                "How many bins at most. Where a bin is of 16 frames or more, there may be a few less than that.",
                {"type": "integer", "minimum": 1, "maximum": overview.MOST_BINS, "default": 1200},
            ),
            _WHOSE,
        ],
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Fetch the likelihood of all poses of a video at one look, in a compact form."""
        written = partial(overview.answer, bins=self._whole("bins", 1200, 1, overview.MOST_BINS))
        await self._send(await self.call(self._poses, file_id, self.get_query_argument("analysis_id", ""), written))


class SpaceHandler(_Handler):
    """``analysis/<id>/space``."""

    auth_resource = "dlc.analysis"

    @operation(
        answers={
            200: Answer(
                "As of the poses of a file, but with version 2 and with four numbers of each point: x, y and z in "
                "`unit`, and the reprojection error in pixels, NaN where the point was not found. So say `values` in "
                "the header, which also has `unit`, `up` (the axis that goes up: `z` or `-y`), `fps`, `bodyparts`, "
                "`individuals` and `skeleton` (pairs of body parts).",
                _BYTES,
                content_type="application/octet-stream",
            )
        },
        refuses={
            400: "The range is none.",
            404: "There is no such analysis, or it has made no points in space (yet).",
            409: "Several ids begin with these characters: see `matches`.",
        },
        takes=_RANGE,
    )
    @web.authenticated
    @authorized
    async def get(self, analysis_id: str) -> None:
        """Fetch the points in space of triangulate or label_3d for some frames of the scene, in a compact form."""
        await self._send(await self.call(self._space, analysis_id, *self._range()))

    def _space(self, prefix: str, start: int, stop: int) -> bytes:
        record = self.services.records.find(prefix)
        made = (record.result or {}).get("space_file") if record.state is State.SUCCEEDED else None
        if isinstance(made, str):
            with contextlib.suppress(NotFound, FileNotFoundError):
                source = Finished.open(self.services.files.path(made))
                return answer(source, start, stop, analysis_id=record.analysis_id, state=record.state)
        raise NotFound(f"The analysis {record.analysis_id} has no points in space (yet).", reason="no-points")


def _of_all(record: Record) -> bool:
    """Whether an analysis was asked for every frame of its videos, and for all of their pictures."""
    asked = record.parameters
    usual = {"start": 0, "stop": None, "step": 1, "cropping": None}
    return all(asked.get(name, value) == value for name, value in usual.items())


pose_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"file/([^/]+)/poses", PosesHandler),
    (r"file/([^/]+)/poses/overview", OverviewHandler),
    (r"analysis/([^/]+)/space", SpaceHandler),
]
