"""Boards of black and white squares that cameras are calibrated with, and finding their corners in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose3d.cameras import Array

Picture = NDArray[np.uint8]
Numbers = NDArray[np.intp]

#: Sets of markers that ChArUco boards are printed with: OpenCV's names without their ``DICT_``.
DICTIONARIES = (
    *(f"{side}X{side}_{count}" for side in (4, 5, 6, 7) for count in (50, 100, 250, 1000)),
    *("ARUCO_ORIGINAL", "APRILTAG_16h5", "APRILTAG_25h9", "APRILTAG_36h10", "APRILTAG_36h11"),
)

#: Corners closer to each other than this, in pixels, cannot be told apart well enough.
CLOSEST = 4.0
#: Fewer corners of a ChArUco board say little of where it is.
FEWEST = 6
#: Wider pictures are made smaller before a checkerboard is looked for; its corners are refined in the picture itself.
SEARCHED_WIDTH = 800
#: How far around a corner the edges through it are looked at, in parts of the distance to the next corner. On rendered
#: boards 0.35 to 0.6 differ little; a window that reaches a neighbour is off by pixels.
WINDOW = 0.45
#: The same for ChArUco boards, in parts of the distance to the nearest marker.
MARKER_WINDOW = 0.8
_NARROWEST, _WIDEST = 2, 15


class NotSeen(Exception):
    """The board cannot be used in this picture; the message says why: "the board was not found"."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Corners of a board that were found in a picture.

    Attributes
    ----------
    numbers : ndarray of int, shape (n,)
        Which of `Board.points` they are.
    pixels : ndarray of float64, shape (n, 2)
    spacing : float
        From one corner to the next, in pixels; the median.
    """

    numbers: Numbers
    pixels: Array
    spacing: float

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Other:
    """Another board that a picture seems to show.

    Attributes
    ----------
    seen : str
        What is seen: "a board of 9 x 6 inner corners is seen".
    advice : str
        What to do: "check columns and rows".
    part : bool
        Whether it may be a part of the board that was named, the rest of which is hidden.
    """

    seen: str
    advice: str
    part: bool

    def __str__(self) -> str:
        return f"{self.seen}: {self.advice}"


@dataclass(frozen=True)
class Board:
    """A board as it was printed.

    Attributes
    ----------
    kind : str
        ``checkerboard``, or ``charuco``: a checkerboard with a marker in each of its white squares.
    columns, rows : int
        How many corners there are within a checkerboard, as OpenCV and DeepLabCut count; how many squares a ChArUco
        board has, as OpenCV and Anipose count.
    square : float
        The side of a square, in `unit`.
    unit : str
    marker : float
        The side of a marker, in `unit` (ChArUco only); 0 for three quarters of a square.
    dictionary : str
        Which set of markers, one of `DICTIONARIES` (ChArUco only).

    Raises
    ------
    BadRequest
        There is no such board.
    """

    kind: Literal["checkerboard", "charuco"] = "checkerboard"
    columns: int = 9
    rows: int = 6
    square: float = 1.0
    unit: str = "squares"
    marker: float = 0.0
    dictionary: str = "4X4_50"

    def __post_init__(self) -> None:
        """Refuse what cannot be printed."""
        if self.kind not in ("checkerboard", "charuco"):
            raise BadRequest(f"A board is a checkerboard or charuco, not {self.kind!r}.")
        if min(self.columns, self.rows) < 3:
            what = "corners within it" if self.kind == "checkerboard" else "squares"
            raise BadRequest(f"A {self.kind} needs at least 3 x 3 {what}, not {self.columns} x {self.rows}.")
        if not (np.isfinite(self.square) and self.square > 0):
            raise BadRequest(f"The side of a square must be larger than 0, not {self.square:g}.")
        if self.kind == "charuco":
            self._check_markers()

    def _check_markers(self) -> None:
        if self.dictionary not in DICTIONARIES:
            raise BadRequest(f"There is no set of markers {self.dictionary!r}. There are: {', '.join(DICTIONARIES)}.")
        if not 0 <= self.marker < self.square:
            raise BadRequest(
                f"A marker ({self.marker:g} {self.unit}) must be smaller than a square ({self.square:g} {self.unit})."
            )

    def __str__(self) -> str:
        what = "inner corners" if self.kind == "checkerboard" else "squares"
        return f"{self.kind} of {self.columns} x {self.rows} {what}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its corners."""
        less = 1 if self.kind == "charuco" else 0
        return self.rows - less, self.columns - less

    @cached_property
    def points(self) -> Array:
        """Where the corners are on the board, shape (corners, 3), in `unit`: row after row, the third number is 0.

        The first corner of a checkerboard is its origin; that of a ChArUco board is the outer corner of its first
        square. Seen from its front, x goes right, y down.
        """
        first = 1 if self.kind == "charuco" else 0
        down, across = self.shape
        y, x = np.mgrid[first : first + down, first : first + across]
        return np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) * float(self.square)

    @cached_property
    def turns(self) -> tuple[int, ...]:
        """By how many quarters it can be turned and look the same: (0,) where its squares tell its sides apart."""
        down, across = self.shape
        if self.kind == "charuco" or (down + across) % 2:
            return (0,)
        return (0, 1, 2, 3) if down == across and down % 2 == 0 else (0, 2)

    def order(self, quarters: int) -> Numbers:
        """Return which corner lies where each of `points` lies, on the board turned by so many quarters."""
        numbers = np.arange(len(self.points)).reshape(self.shape)
        return np.ascontiguousarray(np.rot90(numbers, quarters)).reshape(-1)

    def turned(self, quarters: int) -> tuple[Array, Array]:
        """Return rotation and shift by which each point p of the board gets to ``points[order(quarters)]``."""
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], float)
        shift = self.points[self.order(quarters)].mean(axis=0) - rotation @ self.points.mean(axis=0)
        return rotation, shift

    def charuco(self, *, legacy: bool = False) -> Any:
        """Return OpenCV's own board; `legacy` for one drawn by OpenCV before 4.6, where that makes a difference."""
        import cv2

        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))
        marker = self.marker or 0.75 * self.square
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), float(self.square), float(marker), dictionary)
        board.setLegacyPattern(legacy)
        return board

    def find(self, grey: Picture) -> Corners:
        """Find its corners in a picture, to parts of a pixel.

        Parameters
        ----------
        grey : ndarray of uint8, shape (height, width)

        Raises
        ------
        NotSeen
            It is not there, or too small.
        """
        found = _find_charuco(grey, self) if self.kind == "charuco" else _find_checkerboard(grey, self)
        if found.spacing < CLOSEST:
            raise NotSeen(f"the squares of the board are only {found.spacing:.1f} pixels wide")
        return found

    def instead(self, grey: Picture) -> Other | None:
        """Return what board is seen where this one is not; None for nothing like it."""
        return _other_charuco(grey, self) if self.kind == "charuco" else _other_checkerboard(grey, self)


# -- checkerboards ---------------------------------------------------------------------------------------------------


def _find_checkerboard(grey: Picture, board: Board) -> Corners:
    import cv2

    down, across = board.shape
    scale = min(1.0, SEARCHED_WIDTH / grey.shape[1])
    found, corners = False, None
    if scale < 1:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found, corners = cv2.findChessboardCornersSB(small, (across, down), flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        if found:
            corners = (corners + 0.5) / scale - 0.5
    if not found:
        found, corners = cv2.findChessboardCornersSB(grey, (across, down), flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
    if not found or corners is None:
        raise NotSeen("the board was not found")
    grid = np.asarray(corners, np.float64).reshape(down, across, 2)
    # Whatever the size of the picture, a window does not reach into a neighbour.
    grid = _ordered(grey, _refined(grey, grid, WINDOW * _to_neighbour(grid)))
    return Corners(np.arange(down * across), grid.reshape(-1, 2), float(np.median(_to_neighbour(grid))))


def _refined(grey: Picture, corners: Array, windows: Array) -> Array:
    """Move each corner to where the edges cross that are seen in its window, which reaches so many pixels far."""
    import cv2

    reach = np.clip(np.rint(windows), _NARROWEST, _WIDEST).astype(int)
    precise = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)
    refined = corners.copy()
    for window in np.unique(reach):
        there = reach == window
        moving = np.array(corners[there], np.float32).reshape(-1, 1, 2)
        cv2.cornerSubPix(grey, moving, (int(window), int(window)), (-1, -1), precise)
        refined[there] = moving[:, 0]
    return refined


def _to_neighbour(grid: Array) -> Array:
    """Return how far it is from each corner to the nearest one beside it, in pixels, shape (rows, columns)."""
    across = np.linalg.norm(np.diff(grid, axis=1), axis=-1)
    down = np.linalg.norm(np.diff(grid, axis=0), axis=-1)
    nearest = np.full(grid.shape[:2], np.inf)
    for part, distances in (
        (np.s_[:, :-1], across),
        (np.s_[:, 1:], across),
        (np.s_[:-1], down),
        (np.s_[1:], down),
    ):
        nearest[part] = np.minimum(nearest[part], distances)
    return nearest


def _ordered(grey: Picture, grid: Array) -> Array:
    """Return corners in the order of `Board.points`, as far as the squares tell: seen from the front, first one dark.

    OpenCV begins at any end of the board.
    """
    right, below = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    if np.sum(right[..., 0] * below[..., 1] - right[..., 1] * below[..., 0]) < 0:
        grid = grid[:, ::-1]
    rows, columns = grid.shape[:2]
    turn = 2 if (rows + columns) % 2 else 1 if rows == columns and rows % 2 else 0
    if turn and _lightness_of_first(grey, grid) > 0:
        grid = np.rot90(grid, turn)
    return np.ascontiguousarray(grid)


def _lightness_of_first(grey: Picture, grid: Array) -> float:
    """Return how much lighter squares of the first one's colour are than the others, in grey values."""
    import cv2

    middles = (grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:]) / 4
    light = cv2.remap(grey, middles.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    as_first = np.add.outer(np.arange(light.shape[0]), np.arange(light.shape[1])) % 2 == 0
    return float(light[as_first].mean() - light[~as_first].mean())


def _other_checkerboard(grey: Picture, board: Board) -> Other | None:
    import cv2

    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_LARGER
    found, corners, meta = cv2.findChessboardCornersSBWithMeta(grey, (3, 3), flags)
    if not found or corners is None or meta is None:
        return None
    short, long = sorted(meta.shape[:2])
    least, most = sorted(board.shape)
    if (short, long) == (least, most):
        return None
    seen = f"a board of {long} x {short} inner corners is seen"
    return Other(seen, "check columns and rows", part=short <= least and long <= most)


# -- ChArUco ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _detectors(board: Board) -> tuple[Any, ...]:
    import cv2

    # A board drawn by an older OpenCV differs only where the number of rows is even.
    kinds = (False, True) if board.rows % 2 == 0 else (False,)
    return tuple(cv2.aruco.CharucoDetector(board.charuco(legacy=legacy)) for legacy in kinds)


def _find_charuco(grey: Picture, board: Board) -> Corners:
    import cv2

    markers = 0
    # The bits of markers in a small picture are hardly larger than its pixels: more of them are read when enlarged.
    scale = 2 if grey.shape[1] <= SEARCHED_WIDTH else 1
    if scale > 1:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    for detector in _detectors(board):
        corners, numbers, _, seen = detector.detectBoard(grey)
        markers = max(markers, 0 if seen is None else len(seen))
        if numbers is None or len(numbers) < FEWEST:
            continue
        pixels, found = np.asarray(corners, np.float64).reshape(-1, 2), np.asarray(numbers).reshape(-1).astype(np.intp)
        if _spans_plane(board.points[found]):
            pixels = _refined(grey, pixels, MARKER_WINDOW * _to_marker(board, found, pixels))
            pixels = (pixels + 0.5) / scale - 0.5
            return Corners(found, pixels, _spacing(board, found, pixels))
    if markers:
        raise NotSeen(f"fewer than {FEWEST} corners of the board were found ({markers} markers are seen)")
    raise NotSeen("the board was not found")


def _to_marker(board: Board, numbers: Numbers, pixels: Array) -> Array:
    """Return how far it is from each corner to the nearest side of a marker, in pixels, shape (n,)."""
    import cv2

    flat = np.ascontiguousarray(board.points[numbers][:, :2])
    onto, _ = cv2.findHomography(flat, pixels, cv2.RANSAC, 3.0)
    gap = (board.square - (board.marker or 0.75 * board.square)) / 2
    if onto is None:
        return np.zeros(len(numbers))
    around = flat[:, None] + gap * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    seen = cv2.perspectiveTransform(around, onto)
    return np.asarray(np.linalg.norm(seen[:, 1:] - seen[:, :1], axis=-1).min(axis=1))


def _spans_plane(points: Array) -> bool:
    """Say whether points do not lie in one row or column."""
    return all(len(np.unique(points[:, axis].round(9))) > 1 for axis in (0, 1))


def _spacing(board: Board, numbers: Numbers, pixels: Array) -> float:
    """Return the median distance of corners that lie side by side; infinite where none do."""
    apart = np.linalg.norm(board.points[numbers][:, None] - board.points[numbers][None], axis=-1)
    first, second = np.nonzero(np.triu(np.isclose(apart, board.square)))
    return float(np.median(np.linalg.norm(pixels[first] - pixels[second], axis=-1))) if len(first) else float("inf")


def _other_charuco(grey: Picture, board: Board) -> Other | None:
    import cv2

    best, most = "", 3
    for name in DICTIONARIES:
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{name}"))
        _, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(grey)
        count = 0 if numbers is None else len(numbers)
        if count > most and count > most * 1.2:
            best, most = name, count
    if best == board.dictionary:
        seen = f"markers of {best} are seen, but too few, or not placed as on such a board"
        return Other(seen, "show more of it, or check columns, rows and the marker's side", part=True)
    seen = f"markers of {best} are seen, not of {board.dictionary}"
    return Other(seen, "check the dictionary", part=False) if best else None
