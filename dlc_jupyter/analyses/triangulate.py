"""The body parts in space, from a video of each calibrated camera, and how good that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from dlc_jupyter.analyses.base import Job, PosesOf
from dlc_jupyter.analyses.points import Course, find_points, set_up
from dlc_jupyter.analyses.poses import Start, Stop, beyond
from dlc_jupyter.analyses.space import SPACE, SpaceAnalysis, SpaceParameters
from dlc_jupyter.pose.limits import MEDIAN
from dlc_jupyter.pose.projects import Model


class Triangulate(SpaceAnalysis):
    """Body parts in space, from a video of each camera of a 3D model, with the error of every point."""

    name = "triangulate"
    results: ClassVar = {
        "h5_file": "The points as DeepLabCut's other functions read them: pandas, key df_with_missing; x, y, z.",
        "csv_file": "The same as CSV; null with save_as_csv=false.",
        "quality_file": "The same rows and body parts, with error (the reprojection error in pixels) and cameras (how "
        "many were used) in the place of x, y, z.",
        "quality_csv_file": "The same as CSV; null with save_as_csv=false.",
        "meta_file": "DeepLabCut's _meta.pickle.",
        **SPACE,
    }

    class Parameters(SpaceParameters):
        start: Annotated[
            Start, Field(description="The first frame of the scene whose points are found, counted from 0.")
        ] = 0
        stop: Annotated[
            Stop,
            Field(
                description="The frame of the scene before which to stop; the rows end there. Rows keep their numbers: "
                "those before start are NaN. Left out: the end of the scene. Where there are no poses of the whole "
                "videos, only those of this part are made; but for filtertype=arima, which goes by all of them."
            ),
        ] = None
        save_as_csv: Annotated[bool, Field(description="Whether the points are written as CSV files too.")] = True

    @classmethod
    def poses(cls, parameters: Triangulate.Parameters, model: Model) -> list[PosesOf]:
        """Return which poses the result has: those of each camera that the points are made of."""
        offsets = parameters.frame_offset or {}
        return [
            replace(each, frames=_looked_at(parameters, offsets.get(each.prefix.removesuffix("_"), 0)))
            for each in super().poses(parameters, model)
        ]

    def run(self, job: Job[Triangulate.Parameters]) -> dict[str, Any]:
        """Find the poses, then the points."""
        wanted = job.parameters
        setup = set_up(job, self.poses, start=wanted.start, stop=wanted.stop)
        course = Course(job, setup.work)
        space = find_points(setup, course, save_as_csv=wanted.save_as_csv)
        course.end()
        for note in (*beyond(wanted.stop, setup.scene, "scene"), *space.notes):
            job.note(note)
        return space.result


def _looked_at(wanted: Triangulate.Parameters, offset: int) -> tuple[int, int | None] | None:
    """Return from which frame of a video on, and up to before which one, poses are needed; None for all."""
    if (wanted.start, wanted.stop) == (0, None) or (wanted.filterpredictions and wanted.filtertype == "arima"):
        return None
    around = MEDIAN // 2 if wanted.filterpredictions else 0
    start = max(wanted.start + offset - around, 0)
    if wanted.stop is None:
        return (start, None) if start else None
    # DeepLabCut smooths no less than a whole window; and a video may have no frame in this part of the scene.
    return start, max(wanted.stop + offset + around, start + 1, 2 * around + 1)
