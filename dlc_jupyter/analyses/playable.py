"""A video in a form that every browser plays, so that poses can be drawn on each of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from dlc_jupyter.analyses.base import Analysis, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.errors import AnalysisFailed

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor numpy
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.playable import Made


class Playable(Analysis):
    """A video of the same frames that every browser plays: its pictures copied, where that will do, or encoded anew."""

    name = "playable"
    results: ClassVar = {
        "video_file": "The video: MP4, without sound. Its frame k is frame k of the video that it was made of.",
        "made": "remux: the same pictures, without loss, from time 0 on. proxy: H.264 with a key frame every 12 "
        "frames, turned as the video is to be shown; a frame that cannot be decoded is black.",
        "frames": "Frames of it.",
        "fps": "Frames per second of it; the mean where the rate varies.",
        "index_timed": "Whether its frame k is shown at k / fps, whatever the time of the video's own is.",
        "times_file": "When the video's own frames are shown: see GET /file/{file_id}/times.",
        "checked": "How many of its frames were held against those of the video.",
        "notes": "What you should know, as sentences; left out where there is nothing.",
    }

    class Parameters(BaseParameters):
        how: Annotated[
            Literal["remux", "proxy"] | None,
            Field(
                description="remux: only copy the pictures, or fail. proxy: encode them anew, also where they could be "
                "copied, for quick scrubbing. Left out: copied where that will do."
            ),
        ] = None

    def run(self, job: Job[Playable.Parameters]) -> dict[str, Any]:
        """Make it, and prove that it has just the video's frames."""
        from dlc_jupyter.pose.media import inspect
        from dlc_jupyter.pose.playback import table

        given = job.inputs[0]
        media = inspect(given.path)
        job.tell_media(given.file_id, media.as_json())
        target = job.scratch / "playable.mp4"
        kind, made = _made(job, media, target)
        for note in made.notes:
            job.note(note)
        times = job.scratch / "times.f64"
        shown = [float(media.origin) + each for each in media.times]
        shown += [shown[-1] + media.gap * more for more in range(1, made.frames - media.frames + 2)]
        times.write_bytes(table(shown))
        return {
            "video_file": target,
            "made": kind,
            "frames": made.frames,
            "fps": round(float(made.fps), 6),
            "index_timed": kind == "proxy",
            "times_file": times,
            "checked": made.checked,
        }


def _made(job: Job[Playable.Parameters], media: Media, target: Path) -> tuple[str, Made]:
    from dlc_jupyter.pose.playable import NotTheSame, copied, encoded
    from dlc_jupyter.pose.playback import look

    video, how = job.inputs[0].path, job.parameters.how
    found = look(video, "video/")
    # Whoever asks though it can be played as it is has a browser that cannot.
    if how == "remux" or (how is None and found is not None and found.play == "remux"):
        try:
            made = copied(video, media, target, lambda done: job.progress(done, media.frames, "frames"))
            return "remux", made
        except NotTheSame as reason:
            if how == "remux":
                raise AnalysisFailed(
                    f"The pictures cannot be copied as they are. {reason}",
                    hint="Leave how out: then they are encoded anew.",
                    kind="NotTheSame",
                ) from None
    total = 2 * media.frames
    made = encoded(video, media, target, job.scratch, lambda done: job.progress(min(done, total - 1), total, "frames"))
    job.progress(total, total, "frames")
    return "proxy", made
