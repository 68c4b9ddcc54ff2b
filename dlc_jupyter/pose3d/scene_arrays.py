"""The poses of a scene and of all its cameras as arrays on the disk, sliced by frames: what a 3D video is drawn from.

DeepLabCut's tables are read in order. Whoever draws goes back for trails and ahead for limits, so the tables are
written out once, individual by individual and body part by body part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose.tables import SINGLE, PoseTable
from dlc_jupyter.pose3d.multiview import MultiView

Values = NDArray[np.floating[Any]]
#: Returns the values of the frames from one up to another one.
Source = Callable[[int, int], Values]

_POINTS = 1 << 16  # at a time


@dataclass(frozen=True)
class SceneArrays:
    """All poses of a scene. Body parts that there are once are an individual's of their own, `SINGLE`.

    Attributes
    ----------
    individuals, bodyparts : tuple of str
        What the arrays go through.
    points : ndarray of float64, shape (frames, individuals, bodyparts, 3)
        NaN where there is none.
    error : ndarray of float32, shape (frames, individuals, bodyparts)
        Reprojection error in pixels.
    pixels : list of Source, shape (frames, individuals, bodyparts, 2)
        By camera, by the frames of its own video.
    likelihood : list of Source, shape (frames, individuals, bodyparts)
        The same.
    """

    individuals: tuple[str, ...]
    bodyparts: tuple[str, ...]
    points: Values
    error: Values
    pixels: list[Source]
    likelihood: list[Source]


def write(views: MultiView, poses: Path, quality: Path, frames: int, folder: Path) -> SceneArrays:
    """Write the arrays of a scene into a folder, which must not be there yet.

    Parameters
    ----------
    views : MultiView
        The 2D poses.
    poses, quality : Path
        The tables that `dlc_jupyter.pose3d.tracks.make` has written of them.
    frames : int
        How many the scene has.
    """
    named = views.keypoints
    once = (SINGLE,) if named.unique_bodyparts else ()
    individuals, bodyparts = (*named.individuals, *once), (*named.bodyparts, *named.unique_bodyparts)
    place = [(individuals.index(each), bodyparts.index(part)) for each, part in named.points]
    grid = _Grid(folder, frames, (len(individuals), len(bodyparts)), place)
    points, error = grid.array("points", np.float64, 3), grid.array("error", np.float32)
    for path, target, numbers in ((poses, points, slice(0, 3)), (quality, error, 0)):
        for rows, values in PoseTable(path).pieces(range(frames), grid.piece):
            grid.put(target, rows, values.reshape(len(rows), len(place), -1)[..., numbers])
    pixels = [grid.array(f"pixels-{number}", np.float32, 2) for number in range(len(views.names))]
    likelihood = [grid.array(f"likelihood-{number}", np.float32) for number in range(len(views.names))]
    for rows, found, sure in views.pieces(frames):
        for camera in range(len(views.names)):
            grid.put(pixels[camera], rows, found[camera])
            grid.put(likelihood[camera], rows, sure[camera])
    offsets = views.offsets
    return SceneArrays(individuals, bodyparts, points, error, _shifted(pixels, offsets), _shifted(likelihood, offsets))


class _Grid:
    """Makes arrays and puts the points of frames where their individual and their body part are."""

    def __init__(self, folder: Path, frames: int, shape: tuple[int, int], place: Sequence[tuple[int, int]]) -> None:
        folder.mkdir(parents=True)
        self._folder, self._shape = folder, (frames, *shape)
        self._at = tuple(np.array(place).T)
        self.piece = max(1, _POINTS // len(place))

    def array(self, name: str, kind: type, *more: int) -> Values:
        """Return a new array on the disk."""
        path = self._folder / f"{name}.npy"
        made: Values = np.lib.format.open_memmap(path, "w+", kind, (*self._shape, *more))
        return made

    def put(self, target: Values, rows: range, values: Values) -> None:
        """Put the points of some frames, shape (frames, points, …), in their places; the others are NaN."""
        piece = target[rows.start : rows.stop]
        piece[:] = np.nan
        piece[:, *self._at] = values


def _shifted(arrays: Sequence[Values], offsets: Sequence[int]) -> list[Source]:
    """Let arrays that go by the scene's frames be read by those of the videos."""
    return [_source(array, offset) for array, offset in zip(arrays, offsets, strict=True)]


def _source(array: Values, offset: int) -> Source:
    def read(start: int, stop: int) -> Values:
        first, last = max(start - offset, 0), min(max(stop - offset, 0), len(array))
        found = np.full((stop - start, *array.shape[1:]), np.nan, array.dtype)
        if first < last:
            found[first + offset - start : last + offset - start] = array[first:last]
        return found

    return read
