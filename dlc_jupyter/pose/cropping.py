"""Which part of a video's picture poses are of: their (0, 0) is that part's corner, in all of DeepLabCut's files."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor PyAV
    from dlc_jupyter.pose.media import Media

#: x1, x2, y1, y2 in pixels of the video's picture; x2 and y2 are no longer in it.
Part = tuple[int, int, int, int]


def of_project(config: Mapping[str, Any]) -> Part | None:
    """Return the cropping that a project's config.yaml asks for; None where it asks for none."""
    if not config.get("cropping"):
        return None
    x1, x2, y1, y2 = (int(config.get(each) or 0) for each in ("x1", "x2", "y1", "y2"))
    return x1, x2, y1, y2


def part_of(meta: Path, media: Media) -> Part | None:
    """Return the part of the picture that was analysed; None for all of it.

    Parameters
    ----------
    meta : Path
        DeepLabCut's ``_meta.pickle``, made by the engine itself: it is unpickled.
    """
    x1, x2, y1, y2 = (int(each) for each in pickle.loads(meta.read_bytes())["data"]["cropping_parameters"])
    if not (0 <= x1 < x2 <= media.width and 0 <= y1 < y2 <= media.height):
        return None
    part = cut_out((x1, x2, y1, y2), media.width, media.height)
    return None if part == (0, media.width, 0, media.height) else part


def cut_out(cropping: Sequence[int], width: int, height: int) -> Part:
    """Return the pixels that DeepLabCut's reader cuts out of a picture for `cropping`.

    It turns the numbers into fractions of the picture and back (``VideoReader.set_bbox``, ``get_bbox``), which takes a
    pixel away from some. Its ``_meta.pickle`` and its labelled videos do not know.
    """
    x1, x2 = (int(width * (each / width)) for each in cropping[:2])
    y1, y2 = (int(height * (each / height)) for each in cropping[2:])
    return x1, x2, y1, y2
