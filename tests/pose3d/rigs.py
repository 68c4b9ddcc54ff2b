"""Synthetic cameras of which everything is known: what they see of a board and of moving body parts is exact.

The scene's axes are those of the first camera, in millimetres: x goes right, y down, z away from it. What happens,
happens around `CENTRE`, at which all cameras look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose3d.board_views import CameraViews, Source
from dlc_jupyter.pose3d.boards import Board, Corners
from dlc_jupyter.pose3d.cameras import Array, Camera, Rig

Picture = NDArray[np.uint8]

DISTANCE = 600.0
CENTRE = np.array([0.0, 0.0, DISTANCE])
#: How far from `CENTRE` any body part goes.
REACH = 140.0
#: From the first camera to the last, in degrees, as seen from `CENTRE`.
SPREAD = {1: 0, 2: 30, 3: 60, 4: 90, 5: 110, 6: 130}
#: Rays for each pixel, along each side.
RAYS = 4
#: Pixels of the drawing of a board, along the side of a square.
TEXELS = 48

WHITE, BLACK, GREY = 228, 24, 120


def rig(cameras: int, size: tuple[int, int] = (640, 480), distorted: bool = True, seed: int = 0) -> Rig:
    """Return cameras on an arc around `CENTRE`, at differing heights. Each has a lens of its own."""
    random = np.random.default_rng([seed, cameras])
    made = []
    angles = np.deg2rad(np.linspace(0, SPREAD.get(cameras, 150), cameras))
    for number, angle in enumerate(angles):
        height = 0.0 if number == 0 else float(random.uniform(-0.35, 0.1))
        away = DISTANCE * (1.0 if number == 0 else random.uniform(0.95, 1.1))
        towards = np.array([np.sin(angle), height, -np.cos(angle)])
        rotation, translation = looking(CENTRE + away * towards / np.linalg.norm(towards), CENTRE)
        made.append(
            Camera(
                name=f"camera-{number + 1}",
                size=size,
                matrix=_matrix(size, random),
                distortion=_lens(random) if distorted else np.zeros(5),
                rotation=rotation,
                translation=translation,
            )
        )
    return Rig(tuple(made), unit="mm", source="drawn")


def looking(place: Array, target: Array) -> tuple[Array, Array]:
    """Return rotation and translation of a camera at `place` that looks at `target` and stands upright."""
    ahead = (target - place) / np.linalg.norm(target - place)
    right = np.cross(np.array([0.0, 1.0, 0.0]), ahead)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    return rotation, -rotation @ place


def motion(frames: int, bodyparts: int, seed: int = 0) -> Array:
    """Return where body parts are, shape (frames, bodyparts, 3): those of a bent animal that runs about `CENTRE`.

    Every camera of a `rig` sees all of them in every frame.
    """
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, 6)
    time = np.arange(frames) / 30
    path = np.stack(
        [
            65 * np.sin(0.9 * time + phase[0]),
            35 * np.sin(1.3 * time + phase[1]),
            55 * np.sin(0.7 * time + phase[2]),
        ],
        axis=-1,
    )
    along = np.linspace(-45, 45, bodyparts) if bodyparts > 1 else np.zeros(1)
    heading = 1.1 * time + 0.6 * np.sin(2 * time + phase[3])
    turn = heading[:, None] + along * 0.008 * np.sin(1.9 * time + phase[4])[:, None]
    offset = np.stack(
        [np.cos(turn), 0.3 * np.sin(1.7 * time + phase[5])[:, None] * np.ones_like(turn), np.sin(turn)], -1
    )
    # Hardly two body parts of an animal lie on one line.
    aside = random.uniform(-12, 12, (bodyparts, 3)) * (1 if bodyparts > 1 else 0)
    return np.asarray(CENTRE + path[:, None] + along[:, None] * offset + aside)


@dataclass(frozen=True, eq=False)
class BoardPictures:
    """Pictures of a board, and where it really was.

    Attributes
    ----------
    pictures : list of list of ndarray of uint8, shape (height, width, 3)
        By camera.
    rotations, translations : ndarray of float64, shapes (count, 3, 3) and (count, 3)
        A point b of the board is at ``rotation @ b + translation`` in the scene.
    corners : ndarray of float64, shape (cameras, count, corners, 2)
        The pixels of `Board.points`; NaN where the board is not wholly seen from its front.
    """

    pictures: list[list[Picture]]
    rotations: Array
    translations: Array
    corners: Array

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which cameras see all of the board, shape (cameras, count)."""
        return np.asarray(np.isfinite(self.corners).all(axis=(2, 3)))


def board_pictures(
    rig: Rig, board: Board, count: int, seed: int = 0, *, noise: float = 1.0, shown: Any = None, blur: float = 0.6
) -> BoardPictures:
    """Show a board to all cameras, `count` times, each time at another place.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise in each pixel, in grey values.
    shown : array of bool, shape (cameras, count), optional
        Which pictures show the board at all.
    blur : float
        Standard deviation of the lens's blur, in pixels.
    """
    placed = board_places(rig, board, count, seed, shown=shown)
    random = np.random.default_rng([seed, 8])
    texture = drawing(board)
    for index, camera in enumerate(rig.cameras):
        for number in range(count):
            picture = _background(camera.size, index)
            if shown is None or shown[index][number]:
                pose = camera.rotation @ placed.rotations[number], camera.seen(placed.translations[number])
                _show(picture, camera, board, texture, *pose)
            placed.pictures[index].append(_photograph(picture, random, noise, blur))
    return placed


def board_places(rig: Rig, board: Board, count: int, seed: int = 0, *, shown: Any = None) -> BoardPictures:
    """Return the same without the pictures: where the board is, and what the cameras see of it."""
    random = np.random.default_rng([seed, 7])
    rotations, translations = np.empty((count, 3, 3)), np.empty((count, 3))
    size = np.array(extent(board))
    middle = np.append(board.points.mean(axis=0)[:2], 0.0)
    for number in range(count):
        facing = rig.cameras[number % len(rig)]
        lean = random.choice([-1, 1], 2) * random.uniform(0.15, 0.65, 2)
        rotations[number] = facing.rotation.T @ cv2.Rodrigues(np.append(lean, random.uniform(-0.6, 0.6)))[0]
        # Over all of the camera's picture, near and far, and most of the time wholly in it.
        depth = random.uniform(0.65, 1.1) * DISTANCE
        free = np.maximum(np.array(facing.size) / facing.matrix[0, 0] * depth - size * 0.8, 20)
        across = random.uniform(-0.5, 0.5, 2) * free * (1.0 if number % 2 else 0.5)
        place = facing.rotation.T @ (np.append(across, depth) - facing.translation)
        translations[number] = place - rotations[number] @ middle
    corners = np.full((len(rig), count, len(board.points), 2), np.nan)
    for index, camera in enumerate(rig.cameras):
        for number in range(count):
            if shown is None or shown[index][number]:
                pose = camera.rotation @ rotations[number], camera.seen(translations[number])
                corners[index, number] = _exact(camera, board, *pose)
    return BoardPictures([[] for _ in rig.cameras], rotations, translations, corners)


def sources(rig: Rig, drawn: BoardPictures, folder: Path) -> list[Source]:
    """Write the pictures of each camera as PNG files."""
    made = []
    for camera, pictures in zip(rig.cameras, drawn.pictures, strict=True):
        paths = [folder / f"{camera.name}-{number:02d}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            cv2.imwrite(str(path), picture)
        made.append(Source(camera.name, paths))
    return made


def board_views(rig: Rig, drawn: BoardPictures, noise: float = 0.05, seed: int = 0) -> list[CameraViews]:
    """Return what `board_views.look` would have found, with so much noise in each coordinate, in pixels."""
    random = np.random.default_rng([seed, 9])
    made = []
    for camera, pictures in zip(rig.cameras, drawn.corners, strict=True):
        views = CameraViews(camera.name, camera.size, [f"picture-{number}" for number in range(len(pictures))])
        for number, pixels in enumerate(pictures):
            if np.isfinite(pixels).all():
                noisy = pixels + random.normal(0, noise, pixels.shape)
                views.corners[number] = Corners(np.arange(len(pixels)), noisy, 20.0)
            else:
                views.left_out[number] = "the board was not found"
        made.append(views)
    return made


def extent(board: Board) -> tuple[float, float]:
    """Return width and height of the board with its white rim."""
    across, down = _squares(board)
    return (across + 2) * board.square, (down + 2) * board.square


def drawing(board: Board) -> Picture:
    """Draw a board as it is printed, with a white rim that is a square wide: `TEXELS` pixels for a square."""
    across, down = _squares(board)
    if board.kind == "charuco":
        inside = board.charuco().generateImage((across * TEXELS, down * TEXELS), marginSize=0, borderBits=1)
    else:
        dark = (np.add.outer(np.arange(down), np.arange(across)) % 2 == 0).astype(np.uint8)
        inside = np.kron(255 * (1 - dark), np.ones((TEXELS, TEXELS), np.uint8))
    whole = cv2.copyMakeBorder(inside, *[TEXELS] * 4, cv2.BORDER_CONSTANT, value=255)
    return (BLACK + whole.astype(np.float32) * ((WHITE - BLACK) / 255)).astype(np.uint8)


# -- lenses ----------------------------------------------------------------------------------------------------------


def _matrix(size: tuple[int, int], random: np.random.Generator) -> Array:
    focal = 0.9 * size[0] * random.uniform(0.97, 1.03)
    shift = random.uniform(-0.012, 0.012, 2) * size[0]
    return np.array(
        [
            [focal, 0.0, (size[0] - 1) / 2 + shift[0]],
            [0.0, focal * random.uniform(0.998, 1.002), (size[1] - 1) / 2 + shift[1]],
            [0.0, 0.0, 1.0],
        ]
    )


def _lens(random: np.random.Generator) -> Array:
    return np.array([random.uniform(-0.28, -0.18), random.uniform(0.05, 0.1), *random.uniform(-1e-3, 1e-3, 2), 0.0])


# -- pictures --------------------------------------------------------------------------------------------------------


def _squares(board: Board) -> tuple[int, int]:
    inner = 0 if board.kind == "charuco" else 1
    return board.columns + inner, board.rows + inner


def _corner(board: Board) -> Array:
    """Return where the rim begins, in the board's axes."""
    first = board.points[0, :2] - board.square
    return np.append(first - board.square, 0.0)


def _outline(board: Board, steps: int = 25) -> Array:
    width, height = extent(board)
    along = np.linspace(0, 1, steps)
    zero, one = np.zeros(steps), np.ones(steps)
    sides = [(along, zero), (one, along), (along[::-1], one), (zero, along[::-1])]
    path = np.concatenate([np.stack([x * width, y * height, zero], -1) for x, y in sides])
    return np.asarray(path + _corner(board))


def _exact(camera: Camera, board: Board, rotation: Array, translation: Array) -> Array:
    nothing = np.full((len(board.points), 2), np.nan)
    if rotation[:, 2] @ translation <= 0:  # its back
        return nothing
    at = board.points @ rotation.T + translation
    pixels = Camera("", camera.size, camera.matrix, camera.distortion, np.eye(3), np.zeros(3), camera.fisheye).project(
        at
    )
    inside = (pixels > -0.5).all() and (pixels < np.array(camera.size) - 0.5).all()
    return pixels if inside else nothing


def _show(picture: Array, camera: Camera, board: Board, texture: Picture, rotation: Array, translation: Array) -> None:
    """Draw the board into a picture of float32, exactly as the lens bends it: each ray is followed to the board."""
    own = Camera("", camera.size, camera.matrix, camera.distortion, np.eye(3), np.zeros(3), camera.fisheye)
    edge = own.project(_outline(board) @ rotation.T + translation)
    width, height = camera.size
    if not np.isfinite(edge).all():
        return
    # The lens's polynomial turns back far outside of the picture: nothing there may lead into it.
    x1, y1 = np.clip(np.floor(edge.min(axis=0)).astype(int) - 1, 0, (width, height))
    x2, y2 = np.clip(np.ceil(edge.max(axis=0)).astype(int) + 2, 0, (width, height))
    if x1 >= x2 or y1 >= y2:
        return
    at = _rays(own, x1, x2, y1, y2)
    onto = np.linalg.inv(np.column_stack([rotation[:, :2], rotation @ _corner(board) + translation]))
    onto = np.array([[TEXELS / board.square, 0, -0.5], [0, TEXELS / board.square, -0.5], [0, 0, 1.0]]) @ onto
    where = cv2.perspectiveTransform(at, onto)
    drawn = texture if rotation[:, 2] @ translation > 0 else np.full_like(texture, GREY + 40)
    covering = np.stack([drawn, np.ones_like(drawn)], axis=-1).astype(np.float32)
    seen = cv2.remap(covering, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    light, share = cv2.split(cv2.resize(seen, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA))
    part = picture[y1:y2, x1:x2]
    part[...] = part * (1 - share) + light


def _rays(camera: Camera, x1: int, x2: int, y1: int, y2: int) -> NDArray[np.float32]:
    """Return where the rays of some pixels meet the plane at depth 1: `RAYS` times as many along each side.

    Lenses are smooth: between rays of every fourth pixel a straight line is right within a thousandth of a pixel.
    """
    # cv2.resize has the middles of pixels, and is wrong in the outer half of them.
    xs, ys = (np.arange(low - 2.5, high + 6, 4.0) for low, high in ((x1, x2), (y1, y2)))
    known = camera.normalised(np.stack(np.meshgrid(xs, ys), axis=-1)).astype(np.float32)
    step = 4 * RAYS
    fine = cv2.resize(known, (len(xs) * step, len(ys) * step), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(fine[step : step + (y2 - y1) * RAYS, step : step + (x2 - x1) * RAYS])


def _background(size: tuple[int, int], camera: int) -> Array:
    x, y = np.meshgrid(np.linspace(0, 1, size[0], dtype=np.float32), np.linspace(0, 1, size[1], dtype=np.float32))
    return np.asarray(GREY + 25 * np.sin(2.3 * x + camera) * np.cos(1.7 * y - camera), np.float32)


def _photograph(picture: Array, random: np.random.Generator, noise: float, blur: float) -> Picture:
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if noise:
        picture = picture + random.normal(0, noise, picture.shape).astype(np.float32)
    grey = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
