"""What a video is too small for, known by its container alone: said when it is asked for, and again in the analysis.

The server has neither OpenCV nor PyAV. It knows of a video what an earlier analysis has found in its container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.cropping import of_project

#: Frames that the median goes over which smooths poses, unless told otherwise: DeepLabCut's own number.
MEDIAN = 5


def check_start(start: int, frames: int) -> None:
    """Refuse to begin behind the last frame (kind ``BadSpan``).

    Parameters
    ----------
    start : int
        The first frame that is looked at, counted from 0.
    frames : int
        How many the video has.
    """
    if start >= frames:
        raise AnalysisFailed(
            f"The video has {frames} frames, counted from 0: none is left from start={start} on.",
            hint=f"Give a start below {frames}.",
            kind="BadSpan",
        )


def check_cropping(cropping: Sequence[int] | None, config: Mapping[str, Any], width: int, height: int) -> None:
    """Refuse a part of the picture that reaches outside of it (kind ``BadCropping``).

    Parameters
    ----------
    cropping : sequence of int or None
        x1, x2, y1, y2 in pixels; None: what the project says.
    config : mapping
        The values of the project's config.yaml.
    width, height : int
        Of the video's picture, in pixels.
    """
    whose = "cropping" if cropping is not None else "the cropping in the project's config.yaml"
    part = cropping if cropping is not None else of_project(config)
    if part is None:
        return
    x1, x2, y1, y2 = part
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise AnalysisFailed(
            f"The video's picture is {width} x {height} pixels, and {whose} (x1, x2, y1, y2 = {x1}, {x2}, {y1}, {y2}) "
            "reaches outside of it.",
            hint=f"Give cropping with 0 <= x1 < x2 <= {width} and 0 <= y1 < y2 <= {height}.",
            kind="BadCropping",
        )


def check_window(windowlength: int, frames: int) -> None:
    """Refuse a median over more frames than there are (kind ``WindowTooLong``).

    SciPy fills the window with zeros, and when these are the most, the median is zero.

    Parameters
    ----------
    windowlength : int
        Frames that the median goes over.
    frames : int
        Frames that there are.
    """
    if windowlength > frames:
        raise AnalysisFailed(
            f"The window of {windowlength} frames is longer than the video, which has {frames}: most of what the "
            "median sees would be zeros.",
            hint=f"Give a windowlength of at most {frames - (frames + 1) % 2}.",
            kind="WindowTooLong",
        )
