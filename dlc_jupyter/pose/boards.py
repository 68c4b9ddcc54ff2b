"""Boards of black and white squares that cameras are calibrated with, and finding their corners in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from dlc_jupyter.pose.cameras import Array


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
        OpenCV's name of the set of markers (ChArUco only), without its ``DICT_``.
    """

    kind: Literal["checkerboard", "charuco"] = "checkerboard"
    columns: int = 9
    rows: int = 6
    square: float = 1.0
    unit: str = "squares"
    marker: float = 0.0
    dictionary: str = "4X4_50"

    @cached_property
    def points(self) -> Array:
        """Where the corners are on the board, shape (corners, 3), in `unit`: row after row, the third number is 0.

        The first corner of a checkerboard is its origin; that of a ChArUco board is the outer corner of its first
        square.
        """
        first = 1 if self.kind == "charuco" else 0
        across, down = self.columns - first, self.rows - first
        y, x = np.mgrid[first : first + down, first : first + across]
        return np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) * float(self.square)

    def charuco(self) -> Any:
        """Return OpenCV's own board."""
        import cv2

        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))
        marker = self.marker or 0.75 * self.square
        return cv2.aruco.CharucoBoard((self.columns, self.rows), float(self.square), marker, dictionary)
