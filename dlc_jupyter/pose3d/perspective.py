"""The box in which a 3D scene is shown, and the eye that looks at it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.cameras import Array

#: How far from the box's middle the eye is, in half diagonals of the box.
DISTANCE = 4.5
#: Where `view` begins to count its azimuth, and where it goes, for every direction that can be up.
_HORIZONTAL = {
    "x": ([0, 1, 0], [0, 0, 1]),
    "-x": ([0, 1, 0], [0, 0, -1]),
    "y": ([0, 0, 1], [1, 0, 0]),
    "-y": ([0, 0, -1], [1, 0, 0]),
    "z": ([1, 0, 0], [0, 1, 0]),
    "-z": ([1, 0, 0], [0, -1, 0]),
}
UPS = tuple(_HORIZONTAL)

#: The shortest side of the box, as a part of its longest one.
_LEAST_SIDE = 0.4
#: Points further from the middle 90 per cent than this, in widths of these, do not count for the box.
_FENCE = 2.0
#: Air between the points and the box, as a part of its longest side.
_AIR = 0.06
_TICKS = 6


@dataclass(frozen=True)
class Box:
    """What is shown of the scene. All axes have the same scale.

    Attributes
    ----------
    limits : ndarray of float64, shape (3, 2)
        Least and greatest x, y and z, in the scene's unit.
    given : (bool, bool, bool)
        Whether somebody has asked for those of x, y and z: then nothing is shown beyond them.
    """

    limits: Array
    given: tuple[bool, ...] = (False, False, False)

    @property
    def centre(self) -> Array:
        """The box's middle, shape (3,)."""
        return np.asarray(self.limits.mean(axis=1))

    @property
    def radius(self) -> float:
        """Half of its diagonal."""
        return float(np.linalg.norm(self.limits[:, 1] - self.limits[:, 0])) / 2

    @property
    def corners(self) -> Array:
        """Its corners, shape (8, 3)."""
        return np.array(list(itertools.product(*self.limits)))

    def near(self, points: Array) -> Any:
        """Return which points, shape (..., 3), are shown: those in the box, or where no limits were given just outside.

        That is, no further from it than half its longest side.
        """
        room = np.where(self.given, 0.0, (self.limits[:, 1] - self.limits[:, 0]).max() / 2)
        with np.errstate(invalid="ignore"):
            return ((points >= self.limits[:, 0] - room) & (points <= self.limits[:, 1] + room)).all(axis=-1)

    def ticks(self, axis: int) -> list[float]:
        """Return the round numbers on an axis. Their steps are the same on all axes, so that the grid has squares."""
        sides = self.limits[:, 1] - self.limits[:, 0]
        step = round_step(float(sides.max()) / _TICKS)
        while sides[axis] < step:  # limits that were given
            step = round_step(step / 2.5)
        low, high = self.limits[axis]
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is not less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= least * (1 - 1e-9))


def box_around(points: Array, given: Sequence[tuple[float, float] | None] = (None, None, None)) -> Box:
    """Return the box in which points are shown, whatever a few of them do.

    Far outliers are left out first: what is more than twice the width of the middle 90 per cent away from these. Then
    each axis reaches from the 0.5th to the 99.5th percentile of the rest, with some air.

    Parameters
    ----------
    points : ndarray of float, shape (n, 3)
        NaN where there is none.
    given : sequence of (float, float) or None
        Limits of x, y and z that are to be used instead.
    """
    fixed = tuple(each is not None for each in given)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        sides = [np.ptp(each) for each in given if each is not None]
        half = max(sides, default=2.0) / 2
        return Box(np.array([(-half, half) if each is None else each for each in given], np.float64), fixed)
    low, high = np.percentile(points, [5, 95], axis=0)
    room = _FENCE * np.maximum(high - low, (high - low).max() / 10)
    kept = points[((points >= low - room) & (points <= high + room)).all(axis=1)]
    kept = kept if len(kept) else points
    limits = np.percentile(kept, [0.5, 99.5], axis=0).T
    longest = float((limits[:, 1] - limits[:, 0]).max())
    if longest <= 0:  # all points are the same one
        longest = max(float(np.abs(limits).max()) * 1e-2, 1e-6)
    half = np.maximum((limits[:, 1] - limits[:, 0]) / 2 + _AIR * longest, _LEAST_SIDE * longest / 2)
    middle = limits.mean(axis=1)
    limits = np.stack([middle - half, middle + half], axis=1)
    for axis, each in enumerate(given):
        if each is not None:
            limits[axis] = each
    return Box(limits, fixed)


def check_limits(name: str, limits: tuple[float, float] | None) -> None:
    """Refuse limits that are no numbers, or that are the wrong way round."""
    if limits is None:
        return
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise AnalysisFailed(
            f"{name} goes from {low:g} to {high:g}: the first number must be less than the second.",
            hint="Give the lower limit first, or leave the limits out: they then follow from the points.",
            kind="WrongLimits",
        )


@dataclass(frozen=True)
class Eye:
    """Who looks at the scene, in perspective.

    Attributes
    ----------
    axes : ndarray of float64, shape (3, 3)
        What goes right and up in the picture, and what comes towards the eye, in rows.
    centre : ndarray of float64, shape (3,)
        Where it looks.
    distance : float
        How far from there it is.
    focal : float
        Pixels for a unit of the scene, at depth 1.
    middle : ndarray of float64, shape (2,)
        Where `centre` is in the picture, in pixels.
    """

    axes: Array
    centre: Array
    distance: float
    focal: float = 1.0
    middle: Array = (0.0, 0.0)  # type: ignore[assignment]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return pixels, shape (..., 2), and depths, shape (...), of points, shape (..., 3).

        Those behind the eye, or just before it, and NaN, become NaN.
        """
        with np.errstate(invalid="ignore"):
            seen = (points - self.centre) @ self.axes.T
            depth = self.distance - seen[..., 2]
            depth = np.where(depth > 0.1 * self.distance, depth, np.nan)
            pixels = self.middle + seen[..., :2] * [1, -1] * (self.focal / depth)[..., None]
        return pixels, depth

    @property
    def place(self) -> Array:
        """Where the eye is in the scene, shape (3,)."""
        return np.asarray(self.centre + self.axes[2] * self.distance)

    def turned(self, axes: Array) -> Eye:
        """Return the same eye at another side of the scene."""
        return replace(self, axes=axes)


def axes_of(up: str, elevation: float, azimuth: float) -> Array:
    """Return `Eye.axes` for a view, in degrees, as matplotlib's ``view_init`` has it for the axis that is up."""
    first, second = (np.array(each, np.float64) for each in _HORIZONTAL[up])
    above, around = np.deg2rad(elevation), np.deg2rad(azimuth)
    right = -np.sin(around) * first + np.cos(around) * second
    away = np.cos(around) * first + np.sin(around) * second
    towards = np.cos(above) * away + np.sin(above) * np.cross(first, second)
    return np.stack([right, np.cross(towards, right), towards])


def fitted(box: Box, views: Sequence[Array], room: tuple[float, float, float, float]) -> Eye:
    """Return an eye to which the box is as large as there is room for it.

    Parameters
    ----------
    views : sequence of ndarray, shape (3, 3)
        The `Eye.axes` that it will have.
    room : tuple of float
        x1, y1, x2, y2 in pixels.
    """
    eye = Eye(views[0], box.centre, DISTANCE * box.radius, middle=np.zeros(2))
    seen = np.concatenate([eye.turned(axes).project(box.corners)[0] for axes in views])
    low, high = seen.min(axis=0), seen.max(axis=0)
    x1, y1, x2, y2 = room
    focal = float(min((x2 - x1) / (high - low)[0], (y2 - y1) / (high - low)[1]))
    return replace(eye, focal=focal, middle=np.array([x1 + x2, y1 + y2]) / 2 - focal * (low + high) / 2)
