"""The body parts in space, from a video of each calibrated camera, and how good that is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from dlc_jupyter.analyses.base import Job
from dlc_jupyter.analyses.points import Course, find_points, set_up
from dlc_jupyter.analyses.space import SPACE, SpaceAnalysis, SpaceParameters


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
        save_as_csv: Annotated[bool, Field(description="Whether the points are written as CSV files too.")] = True

    def run(self, job: Job[Triangulate.Parameters]) -> dict[str, Any]:
        """Find the poses, then the points."""
        setup = set_up(job)
        course = Course(job, setup.work)
        space = find_points(setup, course, save_as_csv=job.parameters.save_as_csv)
        course.end()
        for note in space.notes:
            job.note(note)
        return space.result
