"""Pictures of the poses of a video: where body parts went, how surely they were seen, how fast they moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from dlc_jupyter.analyses.base import Job
from dlc_jupyter.analyses.description import DESCRIPTION, describe
from dlc_jupyter.analyses.poses import (
    ORIGIN,
    AfterPoses,
    ColorBy,
    DisplayedBodyparts,
    Filtered,
    PCutoff,
    PoseParameters,
    Recording,
    given_or_new_poses,
    open_video,
)

if TYPE_CHECKING:  # the server imports this module, and has neither pandas nor matplotlib
    from dlc_jupyter.pose.network import Poses
    from dlc_jupyter.pose.plots import Movement


class Plot(AfterPoses):
    """Pictures of the poses: trajectories, positions, likelihoods and speeds over time, as SVG or PNG."""

    name = "plot"
    results: ClassVar = {
        "trajectory_file": "Where each body part went, in the video's picture.",
        "position_file": "x and y of each body part over time, in pixels; y points down.",
        "likelihood_file": "The likelihood of each body part over time.",
        "histogram_file": "How often each likelihood occurs.",
        "speed_file": "How far each body part moved from each frame to the next, in pixels per second by the times at "
        "which the video shows its frames.",
        "frames": "How many frames of the video the pictures go through.",
        "pcutoff": "Positions with a likelihood below this are neither drawn nor used for speeds.",
        **ORIGIN,
        "poses_from": "The analysis whose poses were drawn; null where they were made for this one: their files are "
        "then in the result as in that of video.",
        **DESCRIPTION,
    }

    class Parameters(PoseParameters):
        pcutoff: PCutoff = None
        displayedbodyparts: DisplayedBodyparts = None
        color_by: ColorBy = "bodypart"
        format: Annotated[
            Literal["svg", "png"],
            Field(
                description="Of the pictures. An SVG of any video is below 2 MB: of a long one, lines over time keep "
                "the least and the greatest value of each stretch, and trajectories are pixels within it."
            ),
        ] = "svg"
        filtered: Filtered = False

    def run(self, job: Job[Plot.Parameters]) -> dict[str, Any]:
        """Find or make the poses, smooth them where that is wanted, and draw the pictures."""
        from dlc_jupyter.pose import plots
        from dlc_jupyter.pose.render import Style

        wanted = job.parameters
        recording = open_video(job)
        Style(displayedbodyparts=wanted.displayedbodyparts).check(recording.model)
        # The pictures count as a tenth of the video's frames; where the poses were made earlier, they are all there is.
        before, drawing = recording.media.frames, max(recording.media.frames // 10, 1)
        poses, origin = given_or_new_poses(recording, lambda done: job.progress(done, before + drawing, "frames"))
        if origin["poses_from"]:
            before, drawing = 0, recording.media.frames
        made = {} if origin["poses_from"] else poses.as_result()
        drawn, notes = _movement(recording, poses)
        files = plots.draw_all(
            drawn,
            job.scratch,
            wanted.format,
            progress=lambda done: job.progress(
                before + done * drawing / len(plots.PICTURES), before + drawing, "frames"
            ),
        )
        for each in (*poses.notes, *poses.fallbacks, *notes, *_unseen(drawn)):
            job.note(each)
        return {
            **{f"{name}_file": file for name, file in files.items()},
            **made,
            "frames": poses.rows,
            "pcutoff": drawn.pcutoff,
            **describe(recording, poses.scorer),
            **origin,
        }


def _movement(recording: Recording, poses: Poses) -> tuple[Movement, list[str]]:
    """Return what is to be drawn of the poses, smoothed where that is wanted, and what the user should know of it."""
    from dlc_jupyter.pose import clock, filters, movement, plots
    from dlc_jupyter.pose.projects import read_yaml
    from dlc_jupyter.pose.tables import PoseTable

    wanted, media, marked = recording.job.parameters, recording.media, recording.wanted.mark
    h5, notes, pcutoff = poses.h5, [], wanted.pcutoff
    if wanted.filtered:
        smoothed = filters.filter_poses(recording.network, poses, recording.video, filters.Filter())
        h5, notes = smoothed.h5, [*smoothed.notes]
    if pcutoff is None:
        pcutoff = float(read_yaml(recording.network.config).get("pcutoff", 0.6))
    if lacking := clock.lacking_times(media, poses.rows, marked=marked):
        notes.append(lacking)
    width, height = movement.analysed_size(poses.file("_meta.pickle"), media)
    by_individual = wanted.color_by == "individual" and bool(recording.model.individuals)
    drawn = plots.Movement(
        keypoints=movement.read_keypoints(h5, poses.rows, wanted.displayedbodyparts),
        times=clock.times_of(media, range(poses.rows), marked=marked),
        width=width,
        height=height,
        pcutoff=pcutoff,
        by_individual=by_individual,
        title=_printable(recording.input.filename),
        smoothed=wanted.filtered,
        groups=[animal if by_individual else part for animal, part in PoseTable(h5).points],
    )
    return drawn, notes


def _printable(filename: str) -> str:
    """Return a file's name as a picture can show it."""
    kept = "".join(each for each in filename if each.isprintable())
    return kept if len(kept) <= 60 else f"{kept[:40]}…{kept[-19:]}"


def _unseen(drawn: Movement) -> Iterator[str]:
    """Yield a note about keypoints of which nothing is drawn."""
    names = [each.name for each, sure in zip(drawn.keypoints, drawn.sure, strict=True) if not (sure.x == sure.x).any()]
    if len(names) == len(drawn.keypoints):
        yield f"No body part ever has a likelihood of {drawn.pcutoff:g} or more: no position is drawn."
    elif names:
        yield f"Never with a likelihood of {drawn.pcutoff:g} or more, so without positions: {', '.join(names)}."
