"""How a video is played frame by frame: its frames' times, whether browsers play it, and what plays in its place."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.analyses.playable import Playable
from dlc_jupyter.errors import Conflict
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, operation
from dlc_jupyter.handlers.schemas import ref
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.pose.playback import Playback, look
from dlc_jupyter.storage.catalogue import StoredFile

RESOURCE = "dlc.file"

#: Key of what was read, in the web application's settings.
KNOWN = "dlc_playbacks"
#: Of how many files it is kept. Irregular times of two hours at 60 frames a second take 3.5 MB.
MOST_KNOWN = 16

UNKNOWN = {
    404: "There is no such file, or its bytes are lost.",
    409: "More than one file begins so: `matches` names them. Or it is no video, or a registered file that changed.",
}


class Playbacks:
    """What the containers of the videos asked for last say; stored bytes never change."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, bool], Playback | None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, file: StoredFile, read: Any) -> Playback | None:
        """Return what is known of a file; `read` finds it out."""
        key = file.file_id, file.media is not None  # an analysis may have found out more
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found: Playback | None = read()
        with self._lock:
            self._known[key] = found
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return found


class _Handler(DLCHandler):
    """Base of what is asked of a video's container."""

    auth_resource = RESOURCE

    def _look(self, prefix: str) -> tuple[StoredFile, Playback]:
        files = self.services.files
        file, descriptor = files.open(prefix)  # or it is not there any more, or another
        os.close(descriptor)
        known: Playbacks = self.settings.setdefault(KNOWN, Playbacks())
        found = known.of(file, lambda: look(files.path(file.file_id), file.content_type, file.media))
        if found is None:
            raise Conflict("This file is no video.", reason="not-a-video")
        return file, found

    def _made(self, file_id: str) -> Record | None:
        """Return the analysis that has made the video to be played in place of a file."""
        services = self.services
        for values in ({"how": "proxy"}, {}):  # what was asked for by its name comes first
            key = services.requests.prepare(Playable.name, values, [file_id]).request_key
            record = key and services.records.succeeded(key)
            if record:
                return record
        return None


class PlaybackHandler(_Handler):
    """``file/<file_id>/playback``."""

    @operation(
        answers={
            200: Answer(
                "What is known of it, null for what is not: `play` (`direct`, `remux` or `proxy`: as it is, its "
                "pictures copied into another file, or encoded anew), `why` not as it is, `playable_file` (a video of "
                "the same frames that browsers play, where `playable` has made one) and `making` (the analysis that is "
                "about to); `frames`, `width` and `height` as OpenCV sees them, `fps`, `rotation` (degrees clockwise), "
                "`pixel_aspect`, `container`, `codec`; and `timing`: `regular` (frame k is shown at (`start` + k * "
                "`step`) / `timescale` seconds), or `times`, where the table of times is.",
                ref("Playback"),
            )
        },
        refuses=UNKNOWN,
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Tell how a video can be played in a browser so that every frame is reached.

        Read from its container, without decoding. Where that does not tell the times, the analysis `playable` finds
        them. Show frame k by seeking to the middle between its time and the next one.
        """
        self.answer(await self.call(self._playback, file_id))

    def _playback(self, prefix: str) -> dict[str, Any]:
        file, found = self._look(prefix)
        table = f"file/{file.file_id}/times"
        told = {"file_id": file.file_id, **found.as_json()}
        told["timing"] = found.timing and found.timing.as_json(table)
        record = self._made(file.file_id)
        result = (record.result or {}) if record else {}
        if result and told["timing"] is None:
            told |= {"timing": {"times": table}, "frames": result["frames"]}
        return {**told, "playable_file": result.get("video_file"), "making": self._making(file.file_id)}

    def _making(self, file_id: str) -> str | None:
        """Return the analysis that is about to make a playable video of a file."""
        looking = self.services.records.looking_at(file_id)
        mine = (each for each in looking if each.analysis == Playable.name and each.state.active)
        return next((each.analysis_id for each in mine), None)


class TimesHandler(_Handler):
    """``file/<file_id>/times``."""

    @operation(
        answers={
            200: Answer(
                "When each frame is shown, in order, and when the last one ends, so that there is one number more than "
                "there are frames: 64-bit floats, little-endian; seconds by the clock that browsers call `mediaTime`.",
                {"type": "string", "format": "binary"},
                content_type="application/octet-stream",
            )
        },
        refuses={
            **UNKNOWN,
            409: f"{UNKNOWN[409]} Or its container does not tell the times, and no analysis `playable` has found them.",
        },
    )
    @web.authenticated
    @authorized
    async def get(self, file_id: str) -> None:
        """Fetch the times of a video's frames."""
        body = await self.call(self._times, file_id)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "private, no-cache")
        await web.RequestHandler.finish(self, body)  # Jupyter would say that it is JSON

    def _times(self, prefix: str) -> bytes:
        file, found = self._look(prefix)
        if found.timing:
            return found.timing.table()
        if record := self._made(file.file_id):
            return self.services.files.path((record.result or {})["times_file"]).read_bytes()
        raise Conflict(
            "The container of this video does not tell when its frames are shown. Ask for the analysis playable.",
            reason="times-unknown",
        )


playback_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"file/([^/]+)/playback", PlaybackHandler),
    (r"file/([^/]+)/times", TimesHandler),
]
