"""Poses as movement: the position, likelihood and speed of each keypoint at the times of the video's frames."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlc_jupyter.errors import full_disk_explained
from dlc_jupyter.pose.cropping import part_of
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.tables import COORDS, PoseTable

#: An array of numbers, one for each frame unless it is said otherwise.
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Keypoint:
    """One body part of one individual through a video.

    Attributes
    ----------
    bodypart : str
        Its name.
    individual : str
        Whose it is; "" for a single animal.
    x, y : array of float, one for each frame
        In pixels of the picture that was analysed; NaN where there is no position.
    likelihood : array of float, one for each frame
        From 0 to 1; NaN where there is no position.
    """

    bodypart: str
    individual: str
    x: Numbers
    y: Numbers
    likelihood: Numbers

    @property
    def name(self) -> str:
        """How people call it: ``snout``, or ``left snout`` where there are several animals."""
        return f"{self.individual} {self.bodypart}".strip()

    def above(self, pcutoff: float) -> Keypoint:
        """Return it without the positions whose likelihood is below `pcutoff`."""
        unsure = ~(self.likelihood >= pcutoff)
        x, y = (np.where(unsure, np.nan, each) for each in (self.x, self.y))
        return Keypoint(self.bodypart, self.individual, x, y, self.likelihood)

    def speed(self, times: Numbers) -> Numbers:
        """Return how fast it moves, from one frame to the next.

        Parameters
        ----------
        times : array of float, one for each frame
            When it is shown, in seconds.

        Returns
        -------
        array of float, one less than frames
            In pixels per second; NaN where a position is missing, or both frames are shown at the same time.
        """
        took = np.diff(times)
        way = np.hypot(np.diff(self.x), np.diff(self.y))
        speed: Numbers = np.full(len(way), np.nan)
        np.divide(way, took, out=speed, where=took > 0)
        return speed


def read_keypoints(path: Path, rows: int, bodyparts: Collection[str] | None = None) -> list[Keypoint]:
    """Read the poses from DeepLabCut's HDF5 file.

    The numbers do not come into memory: they go, a column after the other, into a nameless file beside `path`, and are
    mapped from there. Of ten hours with 24 body parts they are 600 MB.

    Parameters
    ----------
    rows : int
        How many frames there are. Tracks of several animals end with the last animal: the rest is NaN.
    bodyparts : collection of str, optional
        The body parts that are wanted; all if left out.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    table = PoseTable(path)
    wanted = [number for number, (_, part) in enumerate(table.points) if bodyparts is None or part in bodyparts]
    if not wanted:
        return []
    with tempfile.TemporaryFile(dir=path.parent) as file, full_disk_explained("The poses could not be drawn."):
        for numbers, values in table.pieces(range(rows)):
            columns = values.reshape(len(values), -1, len(COORDS))[:, wanted].reshape(len(values), -1)
            for place, column in enumerate(columns.T.astype(np.float64)):
                file.seek((place * rows + numbers.start) * column.itemsize)
                file.write(column.tobytes())
        file.flush()
        mapped = np.asarray(np.memmap(file, np.float64, "r", shape=(len(wanted), len(COORDS), rows)))
    found = [table.points[number] for number in wanted]
    return [Keypoint(part, animal, *each) for (animal, part), each in zip(found, mapped, strict=True)]


def analysed_size(meta: Path, media: Media) -> tuple[int, int]:
    """Return width and height of the part of the picture that was analysed, in pixels.

    Parameters
    ----------
    meta : Path
        DeepLabCut's _meta.pickle, made by the engine itself.
    """
    x1, x2, y1, y2 = part_of(meta, media) or (0, media.width, 0, media.height)
    return x2 - x1, y2 - y1


def greatest_speeds(keypoints: Sequence[Keypoint], times: Numbers, pcutoff: float) -> tuple[list[float], float]:
    """Return how fast each keypoint moves at most, and where a scale for the speeds of all may end.

    That is a round number above the percentile 99.5 of all of them: a few jumps must not flatten all the rest. Only as
    many speeds are kept as are above it.

    Parameters
    ----------
    times : array of float, one for each frame
        When it is shown, in seconds.
    pcutoff : float
        Positions with a likelihood below it do not count.

    Returns
    -------
    greatest : list of float
        In pixels per second; -1 where no speed is known.
    top : float
        In pixels per second.
    """
    most = len(keypoints) * len(times) // 200 + 2
    greatest, highest, known = [], np.empty(0), 0
    for keypoint in keypoints:
        speeds = keypoint.above(pcutoff).speed(times)
        speeds = speeds[~np.isnan(speeds)]
        known += len(speeds)
        greatest.append(float(speeds.max(initial=-1.0)))
        highest = np.concatenate([highest, speeds])
        if len(highest) > most:
            highest = np.partition(highest, -most)[-most:]
    if not known:
        return greatest, 1.0
    above = 0.005 * (known - 1)  # how many lie above the percentile
    high = 1.1 * float(np.interp(above, np.arange(len(highest)), -np.sort(-highest)))
    power = 10.0 ** math.floor(math.log10(max(high, 1.0)))
    steps = [step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10)]
    return greatest, next(step for step in steps if step >= min(high, steps[-1]))


def envelope(times: Numbers, values: Numbers, points: int) -> tuple[Numbers, Numbers]:
    """Return fewer points of a curve that looks the same: the least and the greatest of each of equal stretches.

    Parameters
    ----------
    times, values : array of float
        The curve; NaN where it is broken.
    points : int
        At most about so many points come back.
    """
    if len(values) <= points:
        return times, values
    length = -(-2 * len(values) // points)
    count = len(values) // length
    body = values[: count * length].reshape(count, length)
    empty = np.isnan(body).all(axis=1)
    least = np.where(np.isnan(body), np.inf, body).argmin(axis=1)
    greatest = np.where(np.isnan(body), -np.inf, body).argmax(axis=1)
    least[empty] = greatest[empty] = 0
    chosen = np.sort(np.stack([least, greatest], axis=1), axis=1) + np.arange(count)[:, None] * length
    chosen = np.concatenate([chosen.ravel(), np.arange(count * length, len(values))])
    return times[chosen], values[chosen]


def without_rests(x: Numbers, y: Numbers, cell: float) -> tuple[Numbers, Numbers]:
    """Return a path without the points that lie in the same square of `cell` pixels as the point before them."""
    column, row = np.floor(x / cell), np.floor(y / cell)
    moved = np.ones(len(x), bool)
    missing = np.isnan(column) | np.isnan(row)
    moved[1:] = (column[1:] != column[:-1]) | (row[1:] != row[:-1])
    moved[1:] &= ~(missing[1:] & missing[:-1])
    return x[moved], y[moved]


def lonely(x: Numbers) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which points of a broken line have no neighbour: a line does not show them."""
    there = np.concatenate([[False], ~np.isnan(x), [False]])
    alone: np.ndarray[Any, np.dtype[np.bool_]] = there[1:-1] & ~there[:-2] & ~there[2:]
    return alone
