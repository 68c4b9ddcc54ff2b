"""Pictures to calibrate the demo's cameras with: a checkerboard that is moved about where the tray was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo.stereo import RIG, TABLE, table
from dlc_jupyter.demo.views import Eye, Face, within
from dlc_jupyter.pose3d.cameras import Rig

COLUMNS, ROWS = 8, 5
"""Corners within the board. One number is even and the other odd, so that it looks different upside down."""
SQUARE = 30.0
"""Side of a square in mm."""
MARGIN = 18.0
"""White border around the squares in mm."""
COUNT = 24
NOISE = 1.6
"""Noise of the cameras' sensors: standard deviation in grey levels."""


def board(number: int, rig: Rig = RIG) -> Face:
    """Return the board as it is held in one picture, so that all cameras see the whole of it.

    In number 0 it lies on the table. Its own coordinates begin at the outer corner of its first square, in mm.
    """
    size = ((COLUMNS + 1) * SQUARE, (ROWS + 1) * SQUARE)
    lying = Face(np.array([-size[0] / 2, size[1] / 2, 0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), size)
    if number == 0:
        return lying.moved(cv2.Rodrigues(np.array([0, 0, 0.35]))[0], np.array([0, 0, TABLE]))
    rng = np.random.default_rng([number, 6])
    while True:
        turn = cv2.Rodrigues(np.array([*rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.7, 0.7)]))[0]
        middle = rng.uniform((-130, -100, -60), (130, 100, 160))
        held = lying.moved(turn, middle)
        seen = rig.project(_paper(held))
        limits = np.array([camera.size for camera in rig.cameras])[:, None]
        if ((seen > 4) & (seen < limits - 5)).all():
            return held


def corners(held: Face) -> NDArray[np.float64]:
    """Return where the board's inner corners are in the scene, in mm, row after row, shape (40, 3)."""
    rows, columns = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    return held.at(np.stack([columns, rows], axis=-1).reshape(-1, 2) * SQUARE)


def picture(eye: Eye, held: Face, seed: int) -> NDArray[np.uint8]:
    """Draw what one camera sees of the board: BGR, shape (480, 640, 3)."""
    fine = table(eye)
    window = eye.window(_paper(held))
    u, v = eye.meet(held, window)
    border = np.float32(MARGIN)
    paper = within(u + border, v + border, (held.size[0] + 2 * MARGIN, held.size[1] + 2 * MARGIN))
    black = within(u, v, held.size) & ((np.floor(u / SQUARE) + np.floor(v / SQUARE)) % 2 == 0)
    fine[window][paper] = (212, 218, 220)
    fine[window][black] = (34, 32, 32)
    # A lens is never quite sharp.
    seen = cv2.GaussianBlur(eye.picture(fine), (0, 0), 0.5)
    seen += NOISE * np.random.default_rng(seed).standard_normal(seen.shape, np.float32)
    return np.asarray(np.clip(np.round(seen), 0, 255), np.uint8)


def write(folder: Path, count: int = COUNT, rig: Rig = RIG) -> None:
    """Write pictures of the board, for each camera ``<camera>-<number>.jpg``, as DeepLabCut wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, camera in enumerate(rig.cameras):
        eye = Eye(camera)
        for number in range(count):
            seen = picture(eye, board(number, rig), 1000 * index + number)
            cv2.imwrite(str(folder / f"{camera.name}-{number:02d}.jpg"), seen, [cv2.IMWRITE_JPEG_QUALITY, 97])


def _paper(held: Face) -> NDArray[np.float64]:
    """The corners of the sheet that the board is printed on, in the scene, shape (4, 3)."""
    (left, top), (right, bottom) = (-MARGIN, -MARGIN), (held.size[0] + MARGIN, held.size[1] + MARGIN)
    return held.at(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
