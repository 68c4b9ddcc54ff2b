"""Bundle adjustment: cameras and boards are moved together until what is expected is nearest to what was seen.

Levenberg and Marquardt's method. Each board enters only the pictures that show it, so its six unknowns are eliminated
from the equations first (Schur complement; Triggs et al., Bundle Adjustment - A Modern Synthesis, 2000, section 6), and
what is left to be solved has the cameras' unknowns only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dlc_jupyter.pose3d.cameras import Array, Camera, rotation_about

#: Unknowns of a camera before its distortion: focal lengths, principal point.
PINHOLE = 4
_POSE = 6


@dataclass(frozen=True, eq=False)
class View:
    """What one camera saw of one board.

    Attributes
    ----------
    camera, board : int
    points : ndarray of float64, shape (n, 3)
        Along the axes of the board.
    pixels : ndarray of float64, shape (n, 2)
        Where they were seen.
    """

    camera: int
    board: int
    points: Array
    pixels: Array


@dataclass(frozen=True, eq=False)
class Scene:
    """Cameras, and the places of boards.

    Attributes
    ----------
    cameras : tuple of Camera
    rotations, translations : ndarray of float64, shapes (boards, 3, 3) and (boards, 3)
        A point b of a board is at ``rotation @ b + translation`` in the scene.
    """

    cameras: tuple[Camera, ...]
    rotations: Array
    translations: Array

    def expected(self, view: View) -> Array:
        """Return the pixels, shape (n, 2), at which the points of a view should be seen."""
        at = view.points @ self.rotations[view.board].T + self.translations[view.board]
        return self.cameras[view.camera].project(at)

    def distances(self, view: View) -> Array:
        """Return how far from there each was seen, in pixels, shape (n,). Infinite behind the camera."""
        apart = np.linalg.norm(self.expected(view) - view.pixels, axis=1)
        return np.asarray(np.where(np.isnan(apart), np.inf, apart))

    def errors(self, views: Sequence[View]) -> Array:
        """Return the root mean square of the distances in each view, in pixels."""
        return np.array([np.sqrt(np.mean(self.distances(view) ** 2)) for view in views])


def adjust(
    scene: Scene,
    views: Sequence[View],
    free: Sequence[Array],
    *,
    far: float = np.inf,
    rounds: int = 60,
    check: Callable[[], None] = lambda: None,
) -> Scene:
    """Return the scene for which the sum of all squared distances is least.

    Parameters
    ----------
    free : sequence of ndarray of bool, shape (4 + coefficients of distortion,)
        By camera, which of fx, fy, cx, cy and of the distortion may change. The place of the first camera never does.
    far : float
        From this many pixels on, a corner counts by its distance, no longer by the square of it (Huber's loss).
    rounds : int
        Most steps.
    check : callable
        Called at each step; what it raises ends the work.
    """
    unknowns = _Unknowns(scene, free)
    cost, damping = _cost(scene, views, far), 1e-3
    for _ in range(rounds):
        check()
        equations = unknowns.equations(scene, views, far)
        gained = 0.0
        while damping < 1e10:
            moved = unknowns.moved(scene, *equations.solved(damping))
            new = _cost(moved, views, far)
            if new < cost:
                gained, scene, cost = cost - new, moved, new
                damping = max(damping / 10, 1e-9)
                break
            damping *= 10
        if gained <= 1e-9 * cost:
            break
    return scene


def _cost(scene: Scene, views: Sequence[View], far: float) -> float:
    total = 0.0
    for view in views:
        apart = scene.distances(view)
        total += float(np.sum(np.where(apart <= far, apart**2, 2 * far * apart - far**2 if far < np.inf else 0.0)))
    return total


class _Unknowns:
    """Where each unknown lies among all of them: first those of the cameras, one after another, then the boards'."""

    def __init__(self, scene: Scene, free: Sequence[Array]) -> None:
        self._free: list[Array] = []
        for number, (camera, lens) in enumerate(zip(scene.cameras, free, strict=True)):
            if len(lens) != PINHOLE + len(camera.distortion):
                raise ValueError(f"{len(lens)} unknowns for a lens of {PINHOLE + len(camera.distortion)}")
            self._free.append(np.concatenate([np.full(_POSE, number > 0), np.asarray(lens, bool)]))
        ends = np.cumsum([each.sum() for each in self._free])
        self._parts = [slice(end - each.sum(), end) for end, each in zip(ends, self._free, strict=True)]
        self._count, self._boards = int(ends[-1]), len(scene.rotations)

    def equations(self, scene: Scene, views: Sequence[View], far: float) -> _Equations:
        """Linearise all distances at this scene."""
        made = _Equations(self._count, self._boards)
        for view in views:
            residual, by_camera, by_board = _linearised(scene, view, far)
            made.add(self._parts[view.camera], view.board, residual, by_camera[:, self._free[view.camera]], by_board)
        return made

    def moved(self, scene: Scene, cameras: Array, boards: Array) -> Scene:
        """Return the scene after a step."""
        changed = []
        for camera, part, free in zip(scene.cameras, self._parts, self._free, strict=True):
            step = np.zeros(len(free))
            step[free] = cameras[part]
            changed.append(_stepped(camera, step))
        turns = np.stack([rotation_about(step[:3]) for step in boards]) if len(boards) else np.empty((0, 3, 3))
        return Scene(tuple(changed), turns @ scene.rotations, scene.translations + boards[:, 3:])


def _stepped(camera: Camera, step: Array) -> Camera:
    matrix = camera.matrix.copy()
    matrix[(0, 1, 0, 1), (0, 1, 2, 2)] += step[_POSE : _POSE + PINHOLE]
    return replace(
        camera,
        matrix=matrix,
        distortion=camera.distortion + step[_POSE + PINHOLE :],
        rotation=rotation_about(step[:3]) @ camera.rotation,
        translation=camera.translation + step[3:_POSE],
    )


class _Equations:
    """The normal equations, by blocks."""

    def __init__(self, count: int, boards: int) -> None:
        self.cameras = np.zeros((count, count))
        self.camera_side = np.zeros(count)
        self.boards = np.zeros((boards, _POSE, _POSE))
        self.board_side = np.zeros((boards, _POSE))
        self.mixed = np.zeros((boards, count, _POSE))

    def add(self, part: slice, board: int, residual: Array, by_camera: Array, by_board: Array) -> None:
        """Add what one view says."""
        self.cameras[part, part] += by_camera.T @ by_camera
        self.camera_side[part] -= by_camera.T @ residual
        self.boards[board] += by_board.T @ by_board
        self.board_side[board] -= by_board.T @ residual
        self.mixed[board, part] += by_camera.T @ by_board

    def solved(self, damping: float) -> tuple[Array, Array]:
        """Return the steps of the cameras, shape (count,), and of the boards, shape (boards, 6)."""
        cameras, boards = self.cameras.copy(), self.boards.copy()
        cameras[np.diag_indices(len(cameras))] *= 1 + damping
        # A board that no view shows is not moved.
        boards[:, range(_POSE), range(_POSE)] *= 1 + damping
        boards[:, range(_POSE), range(_POSE)] += np.where(np.einsum("bii->b", boards) > 0, 0.0, 1.0)[:, None]
        inverse = np.linalg.inv(boards)
        through = self.mixed @ inverse
        reduced = cameras - np.einsum("bik,bjk->ij", through, self.mixed, optimize=True)
        side = self.camera_side - np.einsum("bik,bk->i", through, self.board_side)
        step = np.linalg.lstsq(reduced, side, rcond=None)[0]
        rest = self.board_side - np.einsum("bik,i->bk", self.mixed, step)
        return step, np.einsum("bkl,bl->bk", inverse, rest)


def _linearised(scene: Scene, view: View, far: float) -> tuple[Array, Array, Array]:
    """Return what is to become zero, shape (2n,), and its derivatives by the camera's unknowns and by the board's."""
    camera = scene.cameras[view.camera]
    turned = view.points @ scene.rotations[view.board].T
    about = (turned + scene.translations[view.board]) @ camera.rotation.T
    seen = about + camera.translation
    pixels, by_place, by_lens = _projected(camera, seen)
    residual = pixels - view.pixels
    apart = np.linalg.norm(residual, axis=1)
    weight = np.sqrt(np.minimum(1.0, far / np.maximum(apart, 1e-12)))[:, None, None]
    by_camera = np.concatenate([by_place @ -_cross(about), by_place, by_lens], axis=2) * weight
    by_scene = by_place @ camera.rotation
    by_board = np.concatenate([by_scene @ -_cross(turned), by_scene], axis=2) * weight
    return (residual * weight[..., 0]).reshape(-1), _rows(by_camera), _rows(by_board)


def _rows(derivatives: Array) -> Array:
    return derivatives.reshape(-1, derivatives.shape[-1])


def _cross(vectors: Array) -> Array:
    """Return the matrices, shape (n, 3, 3), that do what the cross product with each vector does."""
    made = np.zeros((len(vectors), 3, 3))
    made[:, 0, 1], made[:, 0, 2], made[:, 1, 2] = -vectors[:, 2], vectors[:, 1], -vectors[:, 0]
    return made - made.transpose(0, 2, 1)


def _projected(camera: Camera, seen: Array) -> tuple[Array, Array, Array]:
    """Return pixels, shape (n, 2), and their derivatives by the point as the camera sees it and by the lens."""
    import cv2

    still, at = np.zeros(3), np.ascontiguousarray(seen[:, None])
    if camera.fisheye:
        pixels, slopes = cv2.fisheye.projectPoints(at, still, still, camera.matrix, camera.distortion)
        slopes = np.asarray(slopes).reshape(len(seen), 2, -1)
        focal, centre, lens, place = np.split(slopes[..., :14], [2, 4, 8], axis=2)
        place = place[..., 3:6]
    else:
        pixels, slopes = cv2.projectPoints(at, still, still, camera.matrix, camera.distortion)
        slopes = np.asarray(slopes).reshape(len(seen), 2, -1)
        place, focal, centre = slopes[..., 3:6], slopes[..., 6:8], slopes[..., 8:10]
        lens = slopes[..., 10 : 10 + len(camera.distortion)]
    return np.asarray(pixels).reshape(-1, 2), place, np.concatenate([focal, centre, lens], axis=2)
