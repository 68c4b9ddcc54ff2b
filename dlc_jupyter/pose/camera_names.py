"""What cameras may be called: their names are parts of the names of files, and of the fields of results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

_CAMERA = re.compile(r"\w[\w .-]{0,49}\Z")

#: What a result says of each camera, under the camera's name, an underscore, and this.
CAMERA_FIELDS = (
    *("csv_file", "poses_file", "h5_file", "meta_file", "full_file", "filtered_h5_file"),
    *("scorer", "frames", "provenance"),
)

# Results have fields of their own that are called like those of such cameras: quality_csv_file, scene_frames.
_NO_CAMERAS = ("quality", "scene")


def wrong_names(cameras: Sequence[str]) -> str:
    """Say which of them no camera may be called, and why; "" where all is well."""
    for name in cameras:
        if not _CAMERA.match(name):
            return (
                f"A camera cannot be called {name[:50]!r}: its name has up to 50 letters, digits, blanks, dots, "
                "hyphens and underscores, and begins with a letter or digit."
            )
    return unclear_names(cameras)


def unclear_names(cameras: Sequence[str]) -> str:
    """Say of which cameras the fields of a result would have the same names; "" where all is well."""
    if wrong := sorted(set(cameras) & set(_NO_CAMERAS)):
        return f"A camera cannot be called {wrong[0]}: results have fields that begin so. Give it another name."
    seen: dict[str, str] = {}
    for camera, field in product(cameras, CAMERA_FIELDS):
        name = f"{camera}_{field}"
        other = seen.setdefault(name, camera)
        if other != camera:
            return f"Cameras cannot be called {other} and {camera}: both would have {name}. Give one another name."
    return ""
