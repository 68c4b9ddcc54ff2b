"""A video with its poses drawn on it, in a form that every browser plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dlc_jupyter.analyses.base import Job, PosesOf
from dlc_jupyter.analyses.description import DESCRIPTION, describe
from dlc_jupyter.analyses.poses import (
    ORIGIN,
    AfterPoses,
    ColorBy,
    DisplayedBodyparts,
    Filtered,
    PCutoff,
    PoseParameters,
    Start,
    Stop,
    beyond,
    given_or_new_poses,
    open_video,
)
from dlc_jupyter.pose.colour_names import lacking_colour
from dlc_jupyter.pose.limits import MEDIAN
from dlc_jupyter.pose.projects import Model

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.render import Style

#: The qualitative and continuous colormaps that people use for body parts; all of them are matplotlib's.
Colormap = Literal[
    "rainbow", "jet", "hsv", "turbo", "viridis", "plasma", "inferno", "magma", "cividis", "cool", "spring", "summer",
    "autumn", "winter", "Set1", "Set2", "Set3", "tab10", "tab20", "Paired", "Accent", "Dark2", "Pastel1",
]  # fmt: skip


def _known(colour: str) -> str:
    if not colour.startswith("#") and (message := lacking_colour(colour)):
        raise ValueError(message)
    return colour


Colour = Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6}|[a-z]{1,30})$"), AfterValidator(_known)]


class Label(AfterPoses):
    """A labelled video: the poses drawn on every frame, as an MP4 that plays in every browser."""

    name = "label"
    results: ClassVar = {
        "video_file": "The labelled video: MP4, H.264, at a constant rate of frames. A frame that cannot be decoded is "
        "black (on_bad_frame=mark).",
        "frames": "Frames of it.",
        "rows": "Where the poses were made for this one: rows of their files. Row i is frame i; the rows before the "
        "frames that were looked at are NaN.",
        **ORIGIN,
        "poses_from": "The analysis whose poses were drawn; null where they were made for this one: their files are "
        "then in the result as in that of video.",
        **DESCRIPTION,
        "width, height": "Of the labelled video, in pixels: even numbers.",
        "codec": "Of the labelled video: h264.",
    }

    class Parameters(PoseParameters):
        start: Annotated[Start, Field(description="The first frame that is shown, counted from 0.")] = 0
        stop: Annotated[
            Stop,
            Field(
                description="The frame before which to stop. Left out: the end of the video. Where there are no "
                "poses of the whole video, only those of the part that is shown are made, and of as many frames around "
                "it as trails and smoothing need."
            ),
        ] = None
        pcutoff: PCutoff = None
        draw_skeleton: Annotated[
            bool, Field(description="Whether the lines of the project's skeleton are drawn between the body parts.")
        ] = False
        trailpoints: Annotated[
            int,
            Field(
                ge=0,
                le=1000,
                description="Length of the trail of earlier positions of every body part, in frames; "
                "DeepLabCut counts the present one among them. 0: no trail.",
            ),
        ] = 0
        displayedbodyparts: DisplayedBodyparts = None
        dotsize: Annotated[
            int | None,
            Field(ge=1, le=200, description="Radius of the dots in pixels. Left out: as in the project's config.yaml."),
        ] = None
        colormap: Annotated[
            Colormap | None,
            Field(description="Colours of the body parts. Left out: as in the project's config.yaml."),
        ] = None
        skeleton_color: Annotated[
            Colour | None,
            Field(
                description="Colour of the skeleton's lines: a name such as white, or #rrggbb. "
                "Left out: as in the project's config.yaml.",
            ),
        ] = None
        color_by: ColorBy = "bodypart"
        confidence_to_alpha: Annotated[
            bool, Field(description="Whether dots are the paler, the lower their likelihood.")
        ] = False
        displaycropped: Annotated[
            bool, Field(description="Whether only the part of the picture that was analysed is shown.")
        ] = False
        filtered: Filtered = False
        fastmode: Annotated[
            bool,
            Field(
                description="false: matplotlib draws smooth, translucent dots, as create_labeled_video(fastmode=False) "
                "does, at some ten frames a second."
            ),
        ] = True

        @model_validator(mode="after")
        def _can_be_drawn(self) -> Self:
            if self.on_bad_frame == "mark" and not self.fastmode:
                raise ValueError("fastmode=false cannot go on behind a frame that cannot be decoded: leave it out.")
            return self

    @classmethod
    def poses(cls, parameters: Label.Parameters, model: Model) -> list[PosesOf]:
        """Return which poses the result has: those that are needed to draw the part that is shown."""
        return [replace(each, frames=_looked_at(parameters)) for each in super().poses(parameters, model)]

    def run(self, job: Job[Label.Parameters]) -> dict[str, Any]:
        """Find or make the poses, draw them, and check that the labelled video is whole."""
        from dlc_jupyter.pose.analyze import Span
        from dlc_jupyter.pose.render import Style, draw

        assert job.model is not None
        wanted = job.parameters
        recording = open_video(job, wanted=self.poses(wanted, Model("", "2d", job.model))[0])
        video, media, network = recording.video, recording.media, recording.network
        shown = len(Span(wanted.start, wanted.stop).frames(media))
        style = Style(**{name: getattr(job.parameters, name) for name in Style.__dataclass_fields__})
        notes = style.check(recording.model)
        # Two passes over the video, or a part of it; one where the poses were made earlier.
        before = len(recording.looked_at)
        total = before + shown

        def progress(done: int) -> None:
            job.progress(min(done, total - 1), total, "frames")

        poses, origin = given_or_new_poses(recording, progress)
        made = {**poses.as_result(), "rows": poses.rows}
        if origin["poses_from"]:
            total, before, made = shown, 0, {}
        target = job.scratch / "labeled.mp4"
        drawn = draw(
            network,
            poses,
            video,
            media,
            style,
            target,
            start=wanted.start,
            stop=wanted.stop,
            progress=lambda done: progress(before + done),
            mark=recording.wanted.mark,
        )
        job.progress(total, total, "frames")
        for note in (*notes, *beyond(wanted.stop, media.frames), *poses.notes, *poses.fallbacks, *_notes(media, style)):
            job.note(note)
        return {
            "video_file": target,
            **made,
            **describe(recording, poses.scorer),
            **drawn,
            **origin,
        }


def _looked_at(wanted: Label.Parameters) -> tuple[int, int | None] | None:
    """Return from which frame on, and up to before which one, poses are needed; None for all."""
    if not wanted.start and wanted.stop is None:
        return None
    around = MEDIAN // 2 if wanted.filtered else 0
    start = max(wanted.start - wanted.trailpoints - around, 0)
    # DeepLabCut smooths no less than a whole window.
    return start, wanted.stop and max(wanted.stop + around, 2 * around + 1)


def _notes(media: Media, style: Style) -> Iterator[str]:
    from dlc_jupyter.pose import compat

    if style.fastmode and (changed := compat.drawing_changed()):
        yield (
            "The labelled video may look otherwise than DeepLabCut's own: this DeepLabCut is another than the one "
            f"after which drawing was made ({changed[0].rpartition(':')[2]} differs). The poses do not depend on it."
        )
    if media.sound:
        yield "The labelled video has no sound."
    if media.variable_rate:
        yield "The labelled video shows every frame for the same time."
