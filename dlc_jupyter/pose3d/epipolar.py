"""How well two or three cameras agree, quickly enough to ask for many other assumptions.

These are: another frame, another animal, another camera. Two cameras are asked without finding any point: a ray of one
is a line in the picture of the other. Cameras of one height, as in many laboratories, can be turned along those lines
and still agree in pairs; what three of them saw tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose3d.cameras import Array, Camera, Rig
from dlc_jupyter.pose3d.least_squares import solve
from dlc_jupyter.pose3d.triangulation import is_seen, ray_equations

#: How many frames a video is thought to be early or late at most.
REACH = 30

_WINDOW = 3 * REACH + 6
_STEP = 3  # from frame to frame that is looked at in a window, where the video is long enough
_POINTS = 2500  # that are looked at in all
_FEWEST = 20  # of which it is said how well they agree


@dataclass(frozen=True)
class Sample:
    """Short pieces of what all cameras saw.

    Attributes
    ----------
    pixels : ndarray of float64, shape (cameras, windows, frames, individuals, bodyparts, 2)
        Consecutive frames in each window; NaN where a camera saw nothing or was not sure.
    likely : ndarray of float64, shape (cameras,)
        Which share of all body parts a camera saw and was sure of, also outside of the sample.
    """

    pixels: Array
    likely: Array

    @classmethod
    def of(
        cls,
        pieces: Iterable[tuple[range, NDArray[Any], NDArray[Any] | None]],
        shape: tuple[int, int, int, int],
        pcutoff: float,
    ) -> Sample:
        """Take the sample as the scene is read, and count how much of all of it was seen.

        Parameters
        ----------
        pieces : iterable
            The scene, as `dlc_jupyter.pose3d.multiview.MultiView.pieces` yields it.
        shape : (int, int, int, int)
            Cameras, frames, individuals and body parts; points of a frame behind those are only counted.
        """
        cameras, frames, animals, parts = shape
        taken = windows(frames, animals * parts)
        length = len(taken[0]) if taken else 0
        kept = np.full((cameras, len(taken), length, animals, parts, 2), np.nan)
        likely, points = np.zeros(cameras), 0
        for numbers, pixels, likelihood in pieces:
            sure = is_seen(pixels, likelihood, pcutoff)
            likely += sure.reshape(cameras, -1).sum(1)
            points += sure[0].size
            seen = np.where(sure[..., None], pixels, np.nan)[:, :, : animals * parts]
            for index, window in enumerate(taken):
                start, stop = max(numbers.start, window.start), min(numbers.stop, window.stop)
                if start < stop:
                    part = seen[:, start - numbers.start : stop - numbers.start]
                    kept[:, index, start - window.start : stop - window.start] = part.reshape(
                        cameras, stop - start, animals, parts, 2
                    )
        return cls(kept, likely / max(1, points))

    @property
    def margin(self) -> int:
        """How many frames there are before and behind those that are looked at."""
        return min(REACH, int(self.pixels.shape[2]) // 3)

    @property
    def step(self) -> int:
        """From frame to frame that is looked at in a window."""
        _, number, length, animals, parts, _ = self.pixels.shape
        return min(_STEP, max(1, int(number * (length - 2 * self.margin) * animals * parts) // _POINTS))

    @property
    def count(self) -> float:
        """How many body parts are looked at that a camera is sure of, at least."""
        return float(self.seen(0)[..., 0].size * self.likely.min(initial=1.0))

    def seen(self, camera: int, later: int = 0) -> Array:
        """Return what a camera saw, so many frames later: shape (frames, individuals, bodyparts, 2)."""
        margin, length = self.margin, self.pixels.shape[2]
        chosen = self.pixels[camera, :, margin + later : length - margin + later : self.step]
        return np.asarray(chosen.reshape(-1, *self.pixels.shape[3:]))


def windows(frames: int, points: int) -> list[range]:
    """Return which frames of a video to look at, for so many points in each: pieces of equal length, evenly spread."""
    if not frames:
        return []
    length = min(frames, _WINDOW)
    looked_at = max(1, (length - 2 * min(REACH, length // 3)) // _STEP * points)
    number = min(max(1, _POINTS // looked_at), frames // length)
    firsts = np.linspace(0, frames - length, number).round().astype(int)
    return [range(first, first + length) for first in firsts]


class Pair:
    """What two cameras of a rig say of each other.

    Parameters
    ----------
    first, second : Camera
        Those that are believed to have filmed.
    """

    def __init__(self, first: Camera, second: Camera) -> None:
        self._turn = second.rotation @ first.rotation.T
        self._shift = second.translation - self._turn @ first.translation
        x, y, z = self._shift
        self._essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ self._turn
        self._focal = [np.sqrt(camera.matrix[0, 0] * camera.matrix[1, 1]) for camera in (first, second)]
        self._wrong = float(max(np.hypot(*camera.size) for camera in (first, second)))

    def distances(self, first: Array, second: Array) -> Array:
        """Return how far rays, shapes (..., 2), are from meeting: Sampson's distance, in pixels.

        It is that of both pixels together from the nearest ones whose rays do meet, but for the lens. Where the rays
        meet behind a camera, it is a picture's diagonal. NaN stays NaN.
        """
        a, b = (np.concatenate([rays, np.ones_like(rays[..., :1])], -1) for rays in (first, second))
        line, other = a @ self._essential.T, b @ self._essential
        squares = (line[..., :2] ** 2).sum(-1) / self._focal[1] ** 2 + (other[..., :2] ** 2).sum(-1) / self._focal[
            0
        ] ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.abs((line * b).sum(-1)) / np.sqrt(squares)
        turned = a @ self._turn.T
        # From d2 b = d1 turned + shift: the signs of both depths.
        aa, ab, bb = (turned * turned).sum(-1), (turned * b).sum(-1), (b * b).sum(-1)
        at, bt = turned @ self._shift, b @ self._shift
        behind = (ab * bt - bb * at < 0) | (aa * bt - ab * at < 0)
        return np.where(behind, self._wrong, found)

    def between(self, first: Array, second: Array) -> Array:
        """Return the median distance between each individual of one camera and each of the other.

        Parameters
        ----------
        first, second : ndarray, shape (frames, individuals, bodyparts, 2)
            Rays.

        Returns
        -------
        ndarray of float64, shape (individuals, individuals)
            In pixels; NaN where they were seen together too rarely.
        """
        found = np.full((first.shape[1], second.shape[1]), np.nan)
        for one in range(first.shape[1]):
            distances = self.distances(first[:, one, None], second)
            for other in range(second.shape[1]):
                found[one, other] = median(distances[:, other])
        return found


class Three:
    """What three cameras of a rig say of each other.

    Parameters
    ----------
    cameras : sequence of Camera
        Those that are believed to have filmed.
    """

    def __init__(self, cameras: Sequence[Camera]) -> None:
        origin = np.mean([camera.centre for camera in cameras], axis=0)
        self._poses = Rig(tuple(cameras)).moved(np.eye(3), origin).poses
        self._focal = [np.sqrt(camera.matrix[0, 0] * camera.matrix[1, 1]) for camera in cameras]
        self._wrong = float(max(np.hypot(*camera.size) for camera in cameras))

    def distances(self, rays: Sequence[Array]) -> Array:
        """Return the reprojection error, in pixels but for the lens, of rays, shapes (..., 2), of each camera.

        Where the point is behind a camera, it is a picture's diagonal. NaN stays NaN.
        """
        flat = [each.reshape(-1, 2).T for each in rays]
        point = solve(np.sum([ray_equations(*each) for each in zip(self._poses, flat, strict=True)], axis=0))
        squares = np.zeros(point.shape[1])
        for pose, focal, ray in zip(self._poses, self._focal, flat, strict=True):
            x, y, depth = pose[:, :3] @ point + pose[:, 3:]
            with np.errstate(divide="ignore", invalid="ignore"):
                away = focal**2 * ((x / depth - ray[0]) ** 2 + (y / depth - ray[1]) ** 2)
            squares += np.where(depth < 0, self._wrong**2, away)
        return np.minimum(np.sqrt(squares / 3), self._wrong).reshape(rays[0].shape[:-1])


def median(distances: Array) -> float:
    """Return the median of what is known; NaN where that is too little."""
    known = distances[np.isfinite(distances)]
    return float(np.median(known)) if len(known) >= _FEWEST else float("nan")


def matched(costs: Array) -> tuple[NDArray[np.int64], Array]:
    """Give each row a column of its own so that the sum is least, by the Hungarian method.

    Returns
    -------
    ndarray of int64, shape (rows,)
        The columns. What is not known comes last.
    ndarray of float64, shape (rows,)
        What they cost; NaN where it is not known.
    """
    from scipy.optimize import linear_sum_assignment

    unknown = 1e6 * (1 + np.nan_to_num(costs).max(initial=0.0))
    columns = linear_sum_assignment(np.nan_to_num(costs, nan=unknown))[1]
    return columns, costs[np.arange(len(columns)), columns]


def match_individuals(rig: Rig, sample: Sample) -> NDArray[np.int64]:
    """Find out which individual of each camera is which one of the first.

    The same animal may have another name in another view. A camera after the other is matched with all that are
    already, the one that agrees best first.

    Returns
    -------
    ndarray of int64, shape (cameras, individuals)
        By camera, the number there of each individual of the first camera.
    """
    animals = sample.pixels.shape[3]
    order = np.tile(np.arange(animals), (len(rig), 1))
    if animals == 1:
        return order
    seen = [camera.normalised(sample.seen(index)) for index, camera in enumerate(rig.cameras)]
    done, left = [0], list(range(1, len(rig)))
    while left:
        tried = {}
        for index in left:
            costs = [
                Pair(rig.cameras[other], rig.cameras[index]).between(seen[other], seen[index])[order[other]]
                for other in done
            ]
            known = np.isfinite(costs).sum(0)
            total = np.where(known > 0, np.nansum(costs, axis=0) / np.maximum(known, 1), np.nan)
            tried[index] = matched(total)
        index = min(left, key=lambda each: (-np.isfinite(tried[each][1]).sum(), np.nansum(tried[each][1])))
        order[index] = tried[index][0]
        done.append(index)
        left.remove(index)
    return order
