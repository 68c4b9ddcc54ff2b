"""A video with its poses drawn on it, in a form that every browser plays."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dlc_jupyter.analyses.base import Analysis, Job
from dlc_jupyter.analyses.video import PoseParameters

#: The qualitative and continuous colormaps that people use for body parts; all of them are matplotlib's.
Colormap = Literal[
    "rainbow", "jet", "hsv", "turbo", "viridis", "plasma", "inferno", "magma", "cividis", "cool", "spring", "summer",
    "autumn", "winter", "Set1", "Set2", "Set3", "tab10", "tab20", "Paired", "Accent", "Dark2", "Pastel1",
]  # fmt: skip


class Label(Analysis):
    """A labelled video: the poses drawn on every frame, as an MP4 that plays in every browser."""

    name = "label"
    model_kind = "2d"
    uses_device = True

    class Parameters(PoseParameters):
        pcutoff: Annotated[
            float | None,
            Field(
                ge=0,
                le=1,
                description="Body parts with a likelihood below this are not drawn. "
                "Left out: as in the project's config.yaml.",
            ),
        ] = None
        draw_skeleton: Annotated[
            bool, Field(description="Whether the lines of the project's skeleton are drawn between the body parts.")
        ] = False
        trailpoints: Annotated[
            int, Field(ge=0, le=1000, description="How many earlier positions of every body part are drawn as a trail.")
        ] = 0
        displayedbodyparts: Annotated[
            list[str] | None, Field(description="The body parts that are drawn. Left out: all of them.")
        ] = None
        dotsize: Annotated[
            int | None,
            Field(ge=1, le=200, description="Radius of the dots in pixels. Left out: as in the project's config.yaml."),
        ] = None
        colormap: Annotated[
            Colormap | None,
            Field(description="Colours of the body parts. Left out: as in the project's config.yaml."),
        ] = None
        skeleton_color: Annotated[
            str | None,
            Field(
                pattern=r"^(#[0-9a-fA-F]{6}|[a-z]{1,30})$",
                description="Colour of the skeleton's lines: a name such as white, or #rrggbb. "
                "Left out: as in the project's config.yaml.",
            ),
        ] = None
        color_by: Annotated[
            Literal["bodypart", "individual"],
            Field(description="Whether each body part or each individual has a colour of its own."),
        ] = "bodypart"
        confidence_to_alpha: Annotated[
            bool, Field(description="Whether dots are the paler, the lower their likelihood.")
        ] = False
        displaycropped: Annotated[
            bool, Field(description="Whether only the part of the picture that was analysed is shown.")
        ] = False
        filtered: Annotated[
            bool, Field(description="Whether the poses are smoothed first (deeplabcut.filterpredictions, median of 5).")
        ] = False

    def run(self, job: Job[Label.Parameters]) -> dict[str, Any]:
        """Find or make the poses, draw them, and check that the labelled video is whole."""
        raise NotImplementedError
