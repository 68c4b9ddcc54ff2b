"""Pixels of several calibrated cameras to points in space, with how well they agree: for many points at once.

Rays that should meet in a point do not quite. The point is where the sum of squares of the linear equations of Hartley
and Sturm ("Triangulation", 1997) is least. Cameras that do not agree with the others are left out, by consensus over
subsets of them (RANSAC: Fischler and Bolles 1981; here over all pairs and triples, so that nothing is left to chance).
The point may then be moved to where the distances in the pictures, in pixels, are least (Levenberg and Marquardt).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.least_squares import UPPER, derivatives, refined, solve

Mask = NDArray[np.bool_]

#: DeepLabCut's for a 3D project.
PCUTOFF = 0.4
#: Cameras disagree where their pixels are further from the point than this share of their picture's diagonal.
THRESHOLD = 0.01

_CHUNK = 1 << 13  # points at a time: what is known of them stays in the processor's cache
_SUBSETS = 64  # of cameras, that are tried at most


@dataclass(frozen=True)
class Method:
    """How points are found.

    Attributes
    ----------
    pcutoff : float
        What a camera sees with a likelihood below this is left out.
    min_cameras : int
        A point that fewer cameras agree on is NaN; at least 2.
    weighted : bool
        Whether a camera counts by its likelihood, where there are more than two.
    reject : bool
        Whether cameras that do not agree with the others are left out, where there are more than two.
    threshold : float or None
        How far a pixel may be from that of the point, in pixels, to agree. None: `THRESHOLD` of each camera's diagonal.
    refine : bool
        Whether the distances in pixels are made as small as possible, large ones counting less (Huber's loss).
    loss_scale : float or None
        From where on a distance counts as large, in pixels. None: a quarter of the threshold.
    as_deeplabcut : mapping or None
        What DeepLabCut's ``stereo_params.pickle`` has of the two cameras, to get the numbers of its ``triangulate`` to
        the last bit. They are less exact: lens distortion is taken away in five steps and float32, points are float32
        where pixels are. And they are less careful: points behind a camera are kept.
    """

    pcutoff: float = PCUTOFF
    min_cameras: int = 2
    weighted: bool = True
    reject: bool = True
    threshold: float | None = None
    refine: bool = False
    loss_scale: float | None = None
    as_deeplabcut: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.min_cameras < 2:
            raise ValueError("A point needs two cameras.")
        if any(each is not None and not each > 0 for each in (self.threshold, self.loss_scale)):
            raise ValueError("A threshold is a number of pixels above 0.")

    def scales(self, rig: Rig) -> Array:
        """Return from where on a distance counts as large, in pixels, shape (cameras,)."""
        return self.thresholds(rig) / 4 if self.loss_scale is None else np.full(len(rig), self.loss_scale)

    def thresholds(self, rig: Rig) -> Array:
        """Return how far a pixel may be from the point, in pixels, shape (cameras,)."""
        if self.threshold is not None:
            return np.full(len(rig), self.threshold)
        return np.array([THRESHOLD * np.hypot(*camera.size) for camera in rig.cameras])


@dataclass(frozen=True)
class Triangulated:
    """Points in space and how well they agree with what the cameras saw. The shapes are those of the pixels.

    Attributes
    ----------
    points : ndarray of float64, shape (..., 3)
        In the rig's unit and along its scene's axes; NaN where too few cameras agree.
    error : ndarray of float64, shape (...)
        Reprojection error: root mean square of the distances of the cameras that were used, in pixels.
    cameras : ndarray of uint8, shape (...)
        How many were used.
    errors : ndarray of float64, shape (cameras, ...)
        How far each camera's pixel is from that of the point; of those too that were left out as disagreeing.
    used : ndarray of bool, shape (cameras, ...)
        Whether the camera was used.
    behind : ndarray of bool, shape (...)
        Where the point would be behind a camera that saw it.
    """

    points: Array
    error: Array
    cameras: NDArray[np.uint8]
    errors: Array
    used: Mask
    behind: Mask

    @classmethod
    def empty(cls, cameras: int, shape: Sequence[int]) -> Triangulated:
        """Return the room for points of this shape, with nothing found."""
        return cls(
            np.full((*shape, 3), np.nan),
            np.full(shape, np.nan),
            np.zeros(shape, np.uint8),
            np.full((cameras, *shape), np.nan),
            np.zeros((cameras, *shape), bool),
            np.zeros(shape, bool),
        )

    def reshaped(self, *shape: int) -> Triangulated:
        """Return the same with another shape of the points. The arrays are not copied."""
        cameras = len(self.errors)
        return Triangulated(
            self.points.reshape(*shape, 3),
            self.error.reshape(shape),
            self.cameras.reshape(shape),
            self.errors.reshape(cameras, *shape),
            self.used.reshape(cameras, *shape),
            self.behind.reshape(shape),
        )


def triangulate(
    rig: Rig,
    pixels: Array,
    likelihood: Array | None = None,
    method: Method | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Triangulated:
    """Find the points that cameras saw.

    Parameters
    ----------
    pixels : ndarray, shape (cameras, ..., 2)
        x and y in pixels of the picture as it was filmed; NaN where a camera saw nothing.
    likelihood : ndarray, shape (cameras, ...), optional
        How sure it was, from 0 to 1.
    method : Method, optional
        The default one when left out.
    threads : int, optional
        As many as there are processors for this process when left out. The numbers do not depend on it.
    progress : callable
        Told which share of the points is done, from 0 to 1, in the caller's thread. What it raises ends the work.

    Raises
    ------
    AnalysisFailed
        There is one camera only (kind ``OneCamera``).
    ValueError
        The pixels are not those of as many cameras.
    """
    check(rig)
    method = method or Method()
    pixels = np.asarray(pixels)
    if pixels.shape[0] != len(rig) or pixels.shape[-1] != 2:
        raise ValueError(f"{pixels.shape} are not the pixels of {len(rig)} cameras.")
    shape = pixels.shape[1:-1]
    flat = pixels.reshape(len(rig), -1, 2)
    sure = None if likelihood is None else np.asarray(likelihood).reshape(len(rig), -1)
    found = Triangulated.empty(len(rig), (flat.shape[1],))
    work = (_Pair if len(rig) == 2 else _Several)(rig, method)

    def run(first: int) -> int:
        part = slice(first, first + _CHUNK)
        work(flat[:, part], None if sure is None else sure[:, part], found, part)
        return min(first + _CHUNK, flat.shape[1])

    with ThreadPoolExecutor(threads or available_processors()) as pool:
        try:
            for done in pool.map(run, range(0, flat.shape[1], _CHUNK)):
                progress(done / flat.shape[1])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found.reshaped(*shape)


def check(rig: Rig) -> None:
    """Refuse a rig of a single camera."""
    if len(rig) < 2:
        raise AnalysisFailed(
            "A point in space cannot be found with one camera.",
            hint="Give a calibration, and a video each, of two cameras or more.",
            kind="OneCamera",
        )


def available_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- two cameras: what DeepLabCut does ---------------------------------------------------------------------------------


class _Pair:
    """The points that two cameras saw: OpenCV's ``triangulatePoints`` in their rectified pictures, as DeepLabCut.

    Rectified, both look into the same direction, at right angles to the line between them.
    """

    def __init__(self, rig: Rig, method: Method) -> None:
        import cv2

        self._rig, self._method = rig, method
        self._known = method.as_deeplabcut
        if self._known is not None:
            self._turns = [np.asarray(self._known[name]) for name in ("R1", "R2")]
            self._poses = [np.asarray(self._known[name])[:3] for name in ("P1", "P2")]
            return
        first, second = rig.cameras
        turn = second.rotation @ first.rotation.T
        shift = second.translation - turn @ first.translation
        nothing: Any = None
        self._turns = list(cv2.stereoRectify(np.eye(3), nothing, np.eye(3), nothing, first.size, turn, shift)[:2])
        self._poses = [np.eye(3, 4), np.column_stack([np.eye(3), self._turns[1] @ shift])]

    def __call__(self, pixels: NDArray[Any], likelihood: Array | None, found: Triangulated, part: slice) -> None:
        import cv2

        seen = is_seen(pixels, likelihood, self._method.pcutoff).all(0)
        at = np.flatnonzero(seen)
        if not len(at):
            return
        rays = [self._rectified(index, pixels[index, at]) for index in range(2)]
        four = cv2.triangulatePoints(*self._poses, *(np.ascontiguousarray(each.T) for each in rays))
        with np.errstate(divide="ignore", invalid="ignore"):
            rectified = (four / four[3])[:3].T.astype(np.float64)
        points = self._in_scene(rectified)
        pixels, used = pixels[:, at].astype(np.float64), np.ones((2, len(at)), bool)
        if self._method.refine and self._known is None:
            points = refined(self._rig, points.T, pixels, used.astype(float), self._method.scales(self._rig)).T
        _report(self._rig, points, pixels, used, used, found, part.start + at, self._method)

    def _in_scene(self, rectified: Array) -> Array:
        """Return points along the axes of the rectified first camera, shape (n, 3), along those of the scene."""
        first, turn = self._rig.cameras[0], self._turns[0]
        if not first.translation.any() and np.allclose(turn @ first.rotation, np.eye(3), atol=1e-12):
            return rectified  # they are the same: no digit is to be rounded
        return np.asarray((rectified @ turn - first.translation) @ first.rotation)

    def _rectified(self, index: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return pixels of the rectified picture; without DeepLabCut's calibration its focal length is 1."""
        import cv2

        camera, turn = self._rig.cameras[index], self._turns[index]
        if self._known is None:
            rays = camera.normalised(pixels)
            turned = rays @ turn[:, :2].T + turn[:, 2]
            return np.asarray(turned[:, :2] / turned[:, 2:])
        number = index + 1
        matrix, distortion = (np.asarray(self._known[f"{name}{number}"]) for name in ("cameraMatrix", "distCoeffs"))
        flat = np.ascontiguousarray(pixels[:, None], np.float32)
        found = cv2.undistortPoints(flat, matrix, distortion, R=turn, P=self._poses[index])
        return np.asarray(found.reshape(-1, 2), pixels.dtype)


# -- more than two -----------------------------------------------------------------------------------------------------


class _Several:
    """The points that several cameras saw."""

    def __init__(self, rig: Rig, method: Method) -> None:
        self._rig, self._method = rig, method
        # Numbers are smallest, and so most exact, with the origin in the midst of the cameras.
        self._origin = np.mean([camera.centre for camera in rig.cameras], axis=0)
        self._poses = rig.moved(np.eye(3), self._origin).poses
        self._thresholds = method.thresholds(rig)

    def __call__(self, pixels: NDArray[Any], likelihood: Array | None, found: Triangulated, part: slice) -> None:
        rig, method = self._rig, self._method
        seen = is_seen(pixels, likelihood, method.pcutoff)
        at = np.flatnonzero(seen.sum(0) >= method.min_cameras)
        if not len(at):
            return
        pixels = pixels[:, at].astype(np.float64)
        rays = rig.normalised(pixels).transpose(0, 2, 1)
        seen = seen[:, at] & np.isfinite(rays).all(1)  # the lens cannot have seen anything everywhere
        rays = np.nan_to_num(rays)
        weights = seen.astype(np.float64)
        if method.weighted and likelihood is not None:
            weights *= np.nan_to_num(likelihood[:, at], nan=1.0)
        equations = np.stack([ray_equations(*each) for each in zip(self._poses, rays, weights, strict=True)])
        used = seen
        solved = solve(equations.sum(0))
        if method.reject:
            errors = np.nan_to_num(_distances(rig, solved.T + self._origin, pixels), nan=np.inf)
            bad = np.flatnonzero((seen & ~(errors <= self._thresholds[:, None] / 2)).any(0) & (seen.sum(0) > 2))
            if len(bad):
                used = seen.copy()
                used[:, bad] = self._consensus(equations[:, :, bad], rays[:, :, bad], pixels[:, bad], seen[:, bad])
                solved[:, bad] = solve((equations[:, :, bad] * used[:, None, bad]).sum(0))
        points = solved.T + self._origin
        if method.refine:
            points = refined(rig, points.T, pixels, weights * used, method.scales(rig)).T
        _report(rig, points, pixels, seen, used, found, part.start + at, method)

    def _consensus(self, equations: Array, rays: Array, pixels: Array, seen: Mask) -> Mask:
        """Return which cameras agree on each point: those that agree with the best of the subsets.

        The best one leaves the least sum over all cameras of squared distances, of which none counts more than the
        threshold's (Torr and Zisserman, "MLESAC", 2000).
        """
        scales = [derivatives(camera, ray) for camera, ray in zip(self._rig.cameras, rays, strict=True)]
        limits = self._thresholds**2
        best = np.full(seen.shape[1], np.inf)
        agreeing = np.zeros_like(seen)
        for subset in subsets(len(seen)):
            chosen = list(subset)
            point = solve(equations[chosen].sum(0))
            squares = np.empty(seen.shape)
            for index, (pose, scale) in enumerate(zip(self._poses, scales, strict=True)):
                squares[index] = _squares(pose, scale, rays[index], point)
            inside = seen & (squares <= limits[:, None])
            score = (np.where(inside, squares / limits[:, None], 1.0) * seen).sum(0)
            better = seen[chosen].all(0) & (score < best)
            best[better] = score[better]
            agreeing[:, better] = inside[:, better]
        return agreeing


def subsets(cameras: int, most: int = _SUBSETS) -> list[tuple[int, ...]]:
    """Return all pairs of cameras, then triples, up to a number; where the pairs are more, some of them, evenly."""
    pairs = list(combinations(range(cameras), 2))
    if len(pairs) > most:
        return [pairs[each] for each in np.linspace(0, len(pairs) - 1, most).round().astype(int)]
    return pairs + list(islice(combinations(range(cameras), 3), most - len(pairs)))


def is_seen(pixels: Array, likelihood: Array | None, pcutoff: float) -> Mask:
    """Return which of the pixels, shape (..., 2), are there and likely enough. No likelihood is likely enough."""
    seen = np.isfinite(pixels).all(-1)
    if likelihood is not None:
        seen &= ~(likelihood < pcutoff)
    return np.asarray(seen)


def ray_equations(pose: Array, rays: Array, weights: Array | float = 1.0) -> Array:
    """Return a camera's part of the normal equations of points, shape (9, n): see `solve`.

    The point p, with a 1 below, seen at x and y, has ``(x p3 - p1) p = 0`` and ``(y p3 - p2) p = 0``, where p1, p2 and
    p3 are the rows of the pose. The products of such rows are linear in x² + y², x, y and 1.

    Parameters
    ----------
    pose : ndarray, shape (3, 4)
        Rotation and translation.
    rays : ndarray, shape (2, n)
        Where they meet the plane at depth 1.
    weights : ndarray, shape (n,), or float
        With which the rows are multiplied.
    """
    p1, p2, p3 = pose
    products = [
        np.outer(p3, p3),
        -(np.outer(p1, p3) + np.outer(p3, p1)),
        -(np.outer(p2, p3) + np.outer(p3, p2)),
        np.outer(p1, p1) + np.outer(p2, p2),
    ]
    x, y = rays
    features = np.stack([x * x + y * y, x, y, np.ones_like(x)]) * (weights * weights)
    return np.array([[each[index] for each in products] for index in UPPER]) @ features


def _squares(pose: Array, scale: Array, rays: Array, points: Array) -> Array:
    """Return the squared distances in pixels between rays and points, as the lens is at the rays; inf behind it.

    Far away from where a lens was calibrated, its formula sees points anywhere. This does not.
    """
    x, y, depth = pose[:, :3] @ points + pose[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, y = x / depth - rays[0], y / depth - rays[1]
        squares = (scale[0, 0] * x + scale[0, 1] * y) ** 2 + (scale[1, 0] * x + scale[1, 1] * y) ** 2
        return np.where(depth > 0, squares, np.inf)


def _distances(rig: Rig, points: Array, pixels: Array) -> Array:
    """Return how far pixels, shape (cameras, n, 2), are from those of points, shape (n, 3)."""
    away = rig.project(points) - pixels
    return np.asarray(np.hypot(away[..., 0], away[..., 1]))


def _report(
    rig: Rig, points: Array, pixels: Array, seen: Mask, used: Mask, found: Triangulated, at: Any, method: Method
) -> None:
    """Write into `found`, at these places, what was found."""
    depths = np.stack([camera.seen(points)[:, 2] for camera in rig.cameras])
    behind = (used & (depths <= 0)).any(0)
    good = np.isfinite(points).all(1) & (used.sum(0) >= method.min_cameras)
    if method.as_deeplabcut is None:
        good &= ~behind
    used = used & good
    errors = np.where(seen & good, _distances(rig, points, pixels), np.nan)
    count = used.sum(0)
    with np.errstate(invalid="ignore"):
        error = np.sqrt((np.where(used, errors, 0.0) ** 2).sum(0) / count)
    found.points[at] = np.where(good[:, None], points, np.nan)
    found.error[at], found.cameras[at], found.behind[at] = error, count, behind
    found.errors[:, at], found.used[:, at] = errors, used
