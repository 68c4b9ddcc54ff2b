"""The lens of one camera, from the corners of a board in several of its pictures.

OpenCV's method after Zhang (A flexible new technique for camera calibration, 2000). Where few pictures are there, or
none from the edges, fewer coefficients of the distortion are looked for: what the pictures do not tell must not bend
the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.board_views import CameraViews
from dlc_jupyter.pose3d.boards import Board, Corners
from dlc_jupyter.pose3d.bundle import PINHOLE
from dlc_jupyter.pose3d.cameras import Array, Camera

#: So many pictures with a board each camera needs.
FEWEST = 5
#: Pictures that a lens is calibrated with, at most: those that differ most.
MOST = 60
#: The third radial coefficient is looked for in so many pictures or more, …
ENOUGH_FOR_THIRD = 15
#: … whose corners reach this far from the middle to the corners of the picture.
REACH_FOR_THIRD = 0.7
#: A picture whose error is below this, in pixels, does not stand out, however good the others are.
GOOD_ENOUGH = 0.3

_FIXED = {
    3: 0,
    2: cv2.CALIB_FIX_K3,
    1: cv2.CALIB_FIX_K3 | cv2.CALIB_FIX_K2,
}


@dataclass(frozen=True, eq=False)
class Lens:
    """A camera's lens.

    Attributes
    ----------
    camera : Camera
        At the origin of its own axes.
    free : ndarray of bool, shape (4 + coefficients,)
        Which of fx, fy, cx, cy and the distortion the pictures tell.
    uncertainty : float
        Standard deviation of the focal length, as a share of it; NaN for a fisheye.
    corners : ndarray of float64, shape (n, 2)
        All that it was calibrated with.
    notes : list of str
    """

    camera: Camera
    free: Array
    uncertainty: float
    corners: Array
    notes: list[str] = field(default_factory=list)


def calibrate_lens(board: Board, views: CameraViews, left_out: dict[int, str], *, fisheye: bool = False) -> Lens:
    """Calibrate a camera's lens; add to `left_out` the pictures whose error stands out, with the reason.

    Raises
    ------
    AnalysisFailed
        Too few pictures can be used (kind ``TooFewPictures``), or no lens fits (``NotCalibrated``).
    """
    numbers = _most_different(views, [each for each in sorted(views.corners) if each not in left_out])
    while True:
        if len(numbers) < FEWEST:
            raise _too_few(views, left_out, len(numbers))
        corners = [views.corners[number] for number in numbers]
        fit = _fit_fisheye(board, views, corners) if fisheye else _fit(board, views, corners)
        bad = outstanding(fit.errors, fewest=FEWEST)
        if not bad:
            break
        usual = float(np.median(fit.errors))
        for at in bad:
            left_out[numbers[at]] = why_outstanding(fit.errors[at], usual)
        numbers = [number for at, number in enumerate(numbers) if at not in bad]
    camera = Camera(views.camera, views.size, fit.matrix, fit.distortion, np.eye(3), np.zeros(3), fisheye)
    _check_plausible(camera)
    pixels = np.concatenate([each.pixels for each in corners])
    return Lens(camera, fit.free, fit.uncertainty, pixels, fit.notes)


def outstanding(errors: Array, *, fewest: int) -> list[int]:
    """Return the positions of errors that stand out from the others, the largest first.

    Those are larger than `GOOD_ENOUGH` and than 2.5 times the median, and lie 5 standard deviations (by the median
    absolute deviation) above it. At most a quarter of all are named at a time, and never so many that fewer than
    `fewest` are left.
    """
    if not len(errors):
        return []
    median = float(np.median(errors))
    spread = 1.4826 * float(np.median(np.abs(errors - median)))
    limit = max(median + 5 * spread, 2.5 * median, GOOD_ENOUGH)
    order = np.argsort(errors)[::-1]
    most = min(max(1, len(errors) // 4), max(0, len(errors) - fewest))
    return [int(at) for at in order[:most] if errors[at] > limit]


def why_outstanding(error: float, usual: float) -> str:
    """Say why a picture whose error stands out is left out."""
    return f"its corners are {error:.2f} pixels from where they should be, those of other pictures {usual:.2f}"


@dataclass(frozen=True, eq=False)
class _Fit:
    matrix: Array
    distortion: Array
    free: Array
    errors: Array
    uncertainty: float
    notes: list[str] = field(default_factory=list)


def _fit(board: Board, views: CameraViews, corners: list[Corners]) -> _Fit:
    many = len(corners) >= ENOUGH_FOR_THIRD and _reach(views, corners) >= REACH_FOR_THIRD
    radial = 3 if many else 2
    while True:
        fit, unsure = _fit_radial(board, views, corners, radial)
        if radial == 1 or not (unsure or _turns_back(fit, views.size)):
            return fit
        # A coefficient that may as well be zero is zero; one that bends the edges back over the picture is wrong.
        radial -= 1


def _fit_radial(board: Board, views: CameraViews, corners: list[Corners], radial: int) -> tuple[_Fit, bool]:
    """Fit a lens with so many radial coefficients; say whether the last one, if it is the third, is unsure."""
    points = [board.points[each.numbers].astype(np.float32) for each in corners]
    pixels = [each.pixels.astype(np.float32).reshape(-1, 1, 2) for each in corners]
    nothing: Any = None
    with _explained(views):
        _, matrix, distortion, _, _, deviations, _, errors = cv2.calibrateCameraExtended(
            points, pixels, views.size, nothing, nothing, flags=_FIXED[radial]
        )
    distortion, deviations = np.asarray(distortion, np.float64).reshape(-1)[:5], np.asarray(deviations).reshape(-1)
    free = np.concatenate([np.ones(PINHOLE, bool), np.array([True, radial > 1, True, True, radial > 2])])
    unsure = radial > 2 and abs(distortion[4]) < 2 * deviations[PINHOLE + 4]
    uncertainty = float(deviations[0] / matrix[0, 0])
    return _Fit(np.asarray(matrix, np.float64), distortion, free, np.asarray(errors).reshape(-1), uncertainty), unsure


def _turns_back(fit: _Fit, size: tuple[int, int]) -> bool:
    """Say whether going outwards from the middle, pixels come back before they have reached the picture's corners."""
    ends = np.array([[0, 0], [size[0], 0], [0, size[1]], size], float)
    focal, centre = fit.matrix[[0, 1], [0, 1]], fit.matrix[:2, 2]
    farthest = float(np.linalg.norm((ends - centre) / focal, axis=1).max())
    radius = np.linspace(0, 3 * farthest, 600)
    k1, k2, _, _, k3 = fit.distortion
    bent = radius * (1 + k1 * radius**2 + k2 * radius**4 + k3 * radius**6)
    rising = np.diff(bent) > 0
    turn = len(rising) if rising.all() else int(np.argmin(rising))
    return bool(bent[turn] < farthest)


def _fit_fisheye(board: Board, views: CameraViews, corners: list[Corners]) -> _Fit:
    points = [board.points[each.numbers].reshape(1, -1, 3) for each in corners]
    pixels = [each.pixels.reshape(1, -1, 2) for each in corners]
    matrix, distortion = np.zeros((3, 3)), np.zeros(4)
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW
    precise = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-8)
    with _explained(views):
        _, matrix, distortion, turns, shifts = cv2.fisheye.calibrate(
            points, pixels, views.size, matrix, distortion, flags=flags, criteria=precise
        )
    errors = [
        np.sqrt(
            np.mean(np.sum((cv2.fisheye.projectPoints(at, turn, shift, matrix, distortion)[0] - seen) ** 2, axis=-1))
        )
        for at, seen, turn, shift in zip(points, pixels, turns, shifts, strict=True)
    ]
    return _Fit(matrix, np.asarray(distortion).reshape(4), np.ones(PINHOLE + 4, bool), np.array(errors), float("nan"))


@contextmanager
def _explained(views: CameraViews) -> Iterator[None]:
    """Turn OpenCV's complaint that nothing fits into an `AnalysisFailed`."""
    try:
        yield
    except cv2.error as error:
        raise _no_lens(views.camera) from error


def _no_lens(camera: str) -> AnalysisFailed:
    return AnalysisFailed(
        f"No lens fits what {camera} saw of the board.",
        hint="Show the board larger, tilted in several ways, and in all parts of the picture; and check its columns "
        "and rows. Lenses that see more than about 120 degrees need the fisheye model, others must not have it.",
        kind="NotCalibrated",
    )


def _check_plausible(camera: Camera) -> None:
    focal, size = camera.matrix[[0, 1], [0, 1]], max(camera.size)
    finite = np.isfinite(camera.matrix).all() and np.isfinite(camera.distortion).all()
    # From a lens that sees 170 degrees to one that sees 1; pixels of such cameras are square.
    if not finite or focal.min() < 0.04 * size or focal.max() > 60 * size or not 0.5 < focal[0] / focal[1] < 2:
        raise _no_lens(camera.name)


def _too_few(views: CameraViews, left_out: dict[int, str], usable: int) -> AnalysisFailed:
    reasons = sorted(left_out.values())
    usual = max(set(reasons), key=reasons.count) if reasons else ""
    return AnalysisFailed(
        f"Only {usable} of the {len(views.labels)} pictures of {views.camera} can be used; {FEWEST} are needed."
        + (f" Most often: {usual}." if usual else "")
        + (f" Instead, {views.instead}." if views.instead else ""),
        hint="Take 20 or more, with all of the board in the picture, larger and tilted in several ways, sharp and "
        "evenly lit.",
        kind="TooFewPictures",
    )


def _reach(views: CameraViews, corners: list[Corners]) -> float:
    centre = np.array(views.size) / 2
    return max(float(np.linalg.norm(each.pixels - centre, axis=1).max()) for each in corners) / float(
        np.linalg.norm(centre)
    )


def _most_different(views: CameraViews, numbers: list[int]) -> list[int]:
    """Return at most `MOST` pictures: always the one whose board is least like those chosen before."""
    if len(numbers) <= MOST:
        return numbers
    looks = np.array([_look(views.corners[number], views.size) for number in numbers])
    chosen = [int(np.argmax([len(views.corners[number]) for number in numbers]))]
    apart = np.linalg.norm(looks - looks[chosen[0]], axis=1)
    while len(chosen) < MOST:
        chosen.append(int(np.argmax(apart)))
        apart = np.minimum(apart, np.linalg.norm(looks - looks[chosen[-1]], axis=1))
    return [numbers[at] for at in sorted(chosen)]


def _look(corners: Corners, size: tuple[int, int]) -> Array:
    """Return where a board is in the picture, how large and how squeezed, in numbers of about the same size."""
    middle, around = corners.pixels.mean(axis=0), np.cov(corners.pixels.T)
    width = float(np.sqrt(np.trace(around)))
    squeezed = np.array([around[0, 0] - around[1, 1], 2 * around[0, 1]]) / max(np.trace(around), 1e-9)
    return np.array([*(middle / size[0]), 2 * width / size[0], *(squeezed / 2)])
