"""Draw the empty arena: a bright floor with some bedding, four walls, soft light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

WIDTH, HEIGHT = 640, 480

WALLS = (33, 27, 28, 36)
"""Width of the left, top, right and bottom wall in the picture, in pixels: the camera hangs a little off the middle."""


@dataclass(frozen=True)
class Floor:
    """How an arena looks."""

    tint: tuple[float, float, float] = (226, 231, 233)
    """Colour of the floor where it is brightest (BGR, 0 to 255)."""
    lamp: tuple[float, float] = (0.44, 0.42)
    """Where the floor is brightest, as shares of width and height."""
    falloff: float = 0.24
    """How much darker the far corners are, 0 to 1."""
    bedding: int = 38
    """Number of wood shavings on the floor."""


def draw(floor: Floor, seed: int, *, walls: bool = True) -> Image:
    """Draw an arena (BGR, 0 to 255, shape (480, 640, 3)), or its floor alone; no other seed has the same."""
    rng = np.random.default_rng([seed, 3])
    picture = np.ones((HEIGHT, WIDTH, 1), np.float32) * np.array(floor.tint, np.float32)
    picture *= _texture(rng)[..., None]
    _scuff(picture, rng)
    _strew(picture, rng, floor.bedding)
    if walls:
        _build_walls(picture, rng)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = np.hypot((x / WIDTH - floor.lamp[0]) * 1.15, y / HEIGHT - floor.lamp[1])
    picture *= (1 - floor.falloff * np.clip(away / 0.75, 0, 1.2) ** 2)[..., None]
    return picture


def _texture(rng: np.random.Generator) -> Image:
    """Cloudy unevenness of a painted board, a few per cent."""
    result = np.ones((HEIGHT, WIDTH), np.float32)
    for sigma, depth in ((70, 0.022), (22, 0.010), (5, 0.006), (1.2, 0.006)):
        cloud = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), sigma)
        result += depth * cloud / cloud.std()
    return result


def _scuff(picture: Image, rng: np.random.Generator) -> None:
    """Old scratches and wiped stains."""
    marks = np.zeros(picture.shape[:2], np.float32)
    for _ in range(16):
        start = rng.uniform((0, 0), (WIDTH, HEIGHT))
        angle = rng.uniform(0, np.pi)
        t = np.linspace(0, rng.uniform(20, 90), 12)
        bend = rng.normal(0, 0.004)
        line = start + np.stack([t * np.cos(angle + bend * t), t * np.sin(angle + bend * t)], axis=1)
        cv2.polylines(marks, [np.round(line * 16).astype(np.int32)], False, rng.uniform(0.3, 1), 1, cv2.LINE_AA, 4)
    stains = np.zeros_like(marks)
    for _ in range(5):
        centre, radii = rng.uniform((60, 60), (WIDTH - 60, HEIGHT - 60)), rng.uniform(9, 26, 2)
        box = (tuple(map(float, centre)), tuple(map(float, radii * 2)), float(rng.uniform(0, 180)))
        cv2.ellipse(stains, box, 1.0, -1, cv2.LINE_AA)
    dark = 0.05 * cv2.GaussianBlur(marks, (0, 0), 0.7) + 0.022 * cv2.GaussianBlur(stains, (0, 0), 5)
    picture *= (1 - dark)[..., None]


def _strew(picture: Image, rng: np.random.Generator, count: int) -> None:
    """Wood shavings, more of them near the walls, each with its small shadow."""
    scale = 4
    left, top, right, bottom = WALLS
    chips = np.zeros((HEIGHT * scale, WIDTH * scale, 3), np.float32)
    cover = np.zeros(chips.shape[:2], np.float32)
    for _ in range(count):
        at = rng.beta(0.55, 0.55, 2) * (WIDTH - left - right - 14, HEIGHT - top - bottom - 14) + (left + 7, top + 7)
        length, angle = rng.uniform(1.6, 4.6), rng.uniform(0, np.pi)
        t = np.linspace(-1, 1, 7)
        u, v = length * t, rng.uniform(-1.2, 1.2) * t**2
        points = at + np.stack([u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)], axis=1)
        line = [np.round(points * scale).astype(np.int32)]
        colour = np.array([132, 172, 198]) * rng.uniform(0.82, 1.12)
        thick = int(rng.integers(4, 9))
        cv2.polylines(chips, line, False, tuple(map(float, colour)), thick, cv2.LINE_8)
        cv2.polylines(cover, line, False, 1.0, thick, cv2.LINE_8)
    size = (WIDTH, HEIGHT)
    seen = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)[..., None]
    shadow = cv2.GaussianBlur(np.roll(seen[..., 0], (1, 1), axis=(0, 1)), (0, 0), 1.2)
    picture *= (1 - 0.28 * shadow)[..., None]
    picture[:] = picture * (1 - seen) + cv2.resize(chips, size, interpolation=cv2.INTER_AREA)


def _build_walls(picture: Image, rng: np.random.Generator) -> None:
    """Walls seen from above and inside: darker to the rim, a soft shade where they meet the floor."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    # The lens bends the edges of the floor outwards a little.
    bulge_x = 7 * (2 * y / HEIGHT - 1) ** 2
    bulge_y = 7 * (2 * x / WIDTH - 1) ** 2
    left, right = x - bulge_x, WIDTH - 1 - x - bulge_x
    top, bottom = y - bulge_y, HEIGHT - 1 - y - bulge_y
    # Distance from the frame as a share of the wall's width: 1 where the wall meets the floor.
    shares = np.stack([d / w for d, w in zip((left, top, right, bottom), WALLS, strict=True)])
    which = shares.argmin(0)
    inside = (shares.min(0) - 1) * np.array(WALLS, np.float32)[which]
    wall = np.clip(0.5 - inside, 0, 1)[..., None]
    tone = np.array([0.72, 0.78, 0.86, 0.92], np.float32)[which]
    depth = np.clip(shares.min(0), 0, 1)
    streaks = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 9)
    board = tone * (0.66 + 0.34 * depth) * (1 + 0.012 * streaks / streaks.std())
    board = cv2.GaussianBlur(board.astype(np.float32), (0, 0), 1.3)
    # Where a wall meets the floor, less light arrives.
    corner = 1 - 0.30 * np.exp(-np.abs(inside) / 3.2) - 0.10 * np.exp(-np.clip(inside, 0, None) / 16)
    colour = np.array([176, 186, 192], np.float32) * board[..., None]
    picture[:] = (picture * (1 - wall) + colour * wall) * corner[..., None]
