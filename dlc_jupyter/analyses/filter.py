"""The poses of a video, smoothed by DeepLabCut's filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dlc_jupyter.analyses.base import POSE_FILES, Job, PosesOf
from dlc_jupyter.analyses.description import DESCRIPTION, describe
from dlc_jupyter.analyses.poses import (
    ORIGIN,
    AfterPoses,
    PoseParameters,
    given_or_new_poses,
    open_video,
)
from dlc_jupyter.analyses.refusals import refused
from dlc_jupyter.pose.limits import check_window
from dlc_jupyter.pose.projects import Model


class Filter(AfterPoses):
    """The poses of a video smoothed over time, as CSV and as DeepLabCut's own file."""

    name = "filter"
    results: ClassVar = {
        "h5_file": "The smoothed poses as DeepLabCut's other functions read them (filtered=True): pandas, key "
        "df_with_missing; x, y in pixels.",
        "csv_file": "The same as CSV.",
        "unfiltered_h5_file": "The poses they were made of; null where poses_from names the analysis that has them.",
        "unfiltered_meta_file, unfiltered_full_file": "DeepLabCut's _meta.pickle and _full.pickle of those poses.",
        "frames": "How many frames of the video the files go through.",
        **ORIGIN,
        **DESCRIPTION,
    }

    class Parameters(PoseParameters):
        filtertype: Annotated[
            Literal["median", "arima"],
            Field(
                description="median: each coordinate is the median of those around it. arima: it is what a model, "
                "fitted to it over the whole video, expects from those before it; far slower."
            ),
        ] = "median"
        windowlength: Annotated[
            int,
            Field(
                ge=1,
                le=9_999,
                description="Frames that the median goes over; an odd number. Before the first frame and after the "
                "last one DeepLabCut takes zeros.",
            ),
        ] = 5
        p_bound: Annotated[
            float, Field(ge=0, le=1, description="Positions with a likelihood below this are missing to arima.")
        ] = 0.001
        ar_degree: Annotated[int, Field(ge=0, le=50, description="Autoregressive degree of arima's model.")] = 3
        ma_degree: Annotated[int, Field(ge=0, le=50, description="Moving average degree of arima's model.")] = 1
        alpha: Annotated[
            float,
            Field(
                gt=0,
                lt=1,
                description="Significance level of arima's confidence interval. DeepLabCut 3.0 makes no use of that "
                "interval when it filters: the poses do not depend on it.",
            ),
        ] = 0.01

        @model_validator(mode="after")
        def _can_be_done(self) -> Self:
            if self.windowlength % 2 == 0:
                raise ValueError(f"windowlength must be odd, not {self.windowlength}.")
            if not self.ar_degree + self.ma_degree:
                raise ValueError("ar_degree and ma_degree cannot both be 0: there would be no model.")
            return self

    @classmethod
    def poses(cls, parameters: Filter.Parameters, model: Model) -> list[PosesOf]:
        """Return which poses the result has: those that were smoothed are beside them."""
        return [replace(each, prefix="unfiltered_") for each in super().poses(parameters, model)]

    @classmethod
    def unfit(cls, parameters: Filter.Parameters, model: Model, media: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield also a window that is longer than the video."""
        yield from super().unfit(parameters, model, media)
        if parameters.filtertype == "median":
            yield from refused("windowlength", check_window, parameters.windowlength, media["frames"])

    def run(self, job: Job[Filter.Parameters]) -> dict[str, Any]:
        """Find or make the poses, and smooth them."""
        from dlc_jupyter.pose import filters

        recording = open_video(job)
        media, network = recording.media, recording.network
        if job.parameters.filtertype == "median":
            check_window(job.parameters.windowlength, media.frames)
        wanted = filters.Filter(**{name: getattr(job.parameters, name) for name in filters.Filter.__dataclass_fields__})
        # Both halves count the video's frames: smoothing goes over all of them too. Poses made earlier leave one.
        total, before = 2 * media.frames, media.frames
        poses, origin = given_or_new_poses(recording, lambda done: job.progress(done, total, "frames"))
        if origin["poses_from"]:
            total, before = media.frames, 0
        filtered = filters.filter_poses(
            network,
            poses,
            recording.video,
            wanted,
            progress=lambda share: job.progress(before + round(share * media.frames), total, "frames"),
        )
        job.progress(total, total, "frames")
        made = {} if origin["poses_from"] else poses.as_result()
        for note in (*poses.notes, *poses.fallbacks, *filtered.notes):
            job.note(note)
        return {
            "h5_file": filtered.h5,
            "csv_file": filtered.csv,
            **{f"unfiltered_{name}": made.get(name) for name in POSE_FILES},
            "frames": poses.rows,
            **describe(recording, poses.scorer),
            **origin,
        }
