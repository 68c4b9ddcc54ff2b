"""Poses of a video, by a 2D project's network, with a row for every frame, in DeepLabCut's own files."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator

from dlc_jupyter.analyses.base import Job, PosesOf
from dlc_jupyter.analyses.description import DESCRIPTION, describe
from dlc_jupyter.analyses.poses import (
    PoseAnalysis,
    PoseParameters,
    Recording,
    Start,
    Stop,
    beyond,
    find_poses,
    offer_poses,
    open_video,
    provenance,
)

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.models import Model
    from dlc_jupyter.pose.network import Poses


class Video(PoseAnalysis):
    """Poses of every frame of a video, as CSV and as DeepLabCut's own files."""

    name = "video"
    results: ClassVar = {
        "h5_file": "The poses as DeepLabCut's other functions read them: pandas, key df_with_missing; x, y in pixels.",
        "csv_file": "The same as CSV; null with save_as_csv=false.",
        "meta_file": "DeepLabCut's _meta.pickle.",
        "poses_file": "The same in the compact form of GET /file/{file_id}/poses, all frames.",
        "full_file": "DeepLabCut's _full.pickle: all that the network has found.",
        "parquet_file, nwb_file": "The further files that formats asked for.",
        "frames": "Frames from the first one to the last one that was looked at: row i of the files is frame i.",
        "unreadable_frames": "Numbers, counted from 0, of the frames that could not be decoded (on_bad_frame=mark).",
        "provenance": "Video, model files with their SHA-256, parameters, how many pictures or animals were in a batch "
        "(batch_sizes), whether every frame could be decoded (every_frame_decoded), versions, device, and what did not "
        "go the usual way (fallbacks).",
        **DESCRIPTION,
    }

    class Parameters(PoseParameters):
        start: Annotated[Start, Field(description="The first frame that is looked at, counted from 0.")] = 0
        stop: Annotated[
            Stop,
            Field(
                description="The frame before which to stop; none is looked at from it on, and the rows end with the "
                "last frame that was. Of a file that is cut off, the frames that are there can be had in this way. "
                "Left out: the end of the video.",
            ),
        ] = None
        step: Annotated[
            int,
            Field(
                ge=1,
                le=10**6,
                description="Look at every how many-th frame. Row i of DeepLabCut's files and of the compact form "
                "stays frame i: the frames before and between that are not looked at have rows of NaN. Parquet and "
                "NWB have only the frames that were looked at, with their numbers or times.",
            ),
        ] = 1
        save_as_csv: Annotated[
            bool, Field(description="Whether the poses are written as a CSV file besides DeepLabCut's HDF5 file.")
        ] = True

        formats: Annotated[
            list[Literal["parquet", "nwb"]],
            Field(
                description="Further files with the poses and the times at which the frames are shown: parquet (a row "
                "for each body part in each frame), nwb (Neurodata Without Borders, ndx-pose)."
            ),
        ] = Field(default_factory=list)
        session_start: Annotated[
            AwareDatetime | None,
            Field(
                validate_default=True,
                description="For nwb: when the recording began, such as 2026-01-31T10:00:00+01:00.",
            ),
        ] = None

        @field_validator("session_start")
        @classmethod
        def _known_for_nwb(cls, session_start: datetime | None, known: ValidationInfo) -> datetime | None:
            if session_start is None and "nwb" in known.data.get("formats", ()):
                raise ValueError("NWB wants to know when the recording began, such as 2026-01-31T10:00:00+01:00.")
            return session_start

    @classmethod
    def poses(cls, parameters: Video.Parameters, model: Model) -> list[PosesOf]:
        """Return which poses the result has; none that others can use where frames between them are left out."""
        if parameters.step != 1:
            return []
        part = (parameters.start, parameters.stop)
        return [replace(each, frames=None if part == (0, None) else part) for each in super().poses(parameters, model)]

    def run(self, job: Job[Video.Parameters]) -> dict[str, Any]:
        """Analyse the video, and describe the result."""
        from dlc_jupyter.pose.analyze import Span

        wanted = job.parameters
        recording = open_video(job, stop=wanted.stop)
        span = Span(wanted.start, wanted.stop, wanted.step)
        looked_at = span.frames(recording.media)
        total = len(looked_at)
        poses = find_poses(
            recording,
            span=span,
            save_as_csv=wanted.save_as_csv,
            # When all frames have poses, the files are yet to be written.
            progress=lambda done: job.progress(min(done, total - 1), total, "frames"),
        )
        made = provenance(recording, poses, wanted.model_dump(mode="json"))
        offer_poses(recording, poses, made)
        job.progress(total, total, "frames")
        for note in (*beyond(wanted.stop, recording.media.frames), *poses.notes, *poses.fallbacks):
            job.note(note)
        return {
            **poses.as_result(),
            **_further(recording, wanted, poses, looked_at),
            "frames": poses.rows,
            "unreadable_frames": poses.unreadable,
            **describe(recording, poses.scorer),
            "provenance": made,
        }


def _further(recording: Recording, wanted: Video.Parameters, poses: Poses, looked_at: range) -> dict[str, Path]:
    """Write the further files that were asked for."""
    from dlc_jupyter.pose import clock, formats, tracks
    from dlc_jupyter.pose.cropping import part_of

    media = recording.media
    if not wanted.formats:
        return {}
    found, stem = tracks.from_h5(poses.h5, range(looked_at.start, poses.rows, looked_at.step)), poses.file("").name
    times = clock.times_of(media, range(poses.rows), marked=recording.wanted.mark)
    cropping = part_of(poses.file("_meta.pickle"), media)
    made: dict[str, Path] = {}
    if "parquet" in wanted.formats:
        made["parquet_file"] = poses.folder / f"{stem}.parquet"
        formats.write_parquet(found, made["parquet_file"], times, cropping=cropping)
    if "nwb" in wanted.formats:
        assert wanted.session_start is not None
        made["nwb_file"] = poses.folder / f"{stem}.nwb"
        formats.write_nwb(
            found,
            made["nwb_file"],
            times,
            session_start=wanted.session_start,
            video=recording.input.filename,
            skeleton=[(one, other) for one, other in recording.model.skeleton],
            cropping=cropping,
        )
    return made
