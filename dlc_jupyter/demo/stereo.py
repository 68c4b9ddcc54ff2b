"""The demo in three dimensions: the mouse on a tray that rises and tilts, filmed by two calibrated cameras.

The scene is measured in millimetres. Its origin is the middle of the tray's floor at rest; x goes right, y away from
who stands before the tray, z up. The mouse is a relief, so every body part has its true place in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo import arena, mouse
from dlc_jupyter.demo.arena import HEIGHT, WIDTH
from dlc_jupyter.demo.motion import FPS, walk
from dlc_jupyter.demo.scene import BODYPARTS, Look, keypoints
from dlc_jupyter.demo.views import FINE, Eye, Face, looking, within
from dlc_jupyter.pose3d.cameras import Rig

Image = NDArray[np.float32]
Array = NDArray[np.float64]

SCALE = 0.75
"""Millimetres of the tray's floor for one pixel of the picture that is drawn of it."""
FLOOR = (WIDTH * SCALE, HEIGHT * SCALE)
"""Width and depth of the tray's floor: 480 x 360 mm."""
RIM, BOARD, THICK = 20.0, 12.0, 9.0
"""How far the tray's walls rise above the floor and go down below it, and how thick they are, in mm."""
TABLE = -150.0
"""Height of the table below, in mm."""

LAMP = np.array([-0.42, 0.50, 0.76]) / np.linalg.norm([-0.42, 0.50, 0.76])
"""Towards the lamp."""

RIG = Rig(
    (
        looking(
            "camera-1",
            np.array([-300.0, -165.0, 730.0]),
            np.array([-6.0, 18.0, 0.0]),
            820.0,
            (322.5, 236.0),
            np.array([-0.12, 0.06, 0.0006, -0.0004, 0.0]),
        ),
        looking(
            "camera-2",
            np.array([310.0, -180.0, 715.0]),
            np.array([4.0, 14.0, 0.0]),
            808.0,
            (315.0, 243.5),
            np.array([-0.10, 0.04, -0.0005, 0.0007, 0.0]),
        ),
    ),
    unit="mm",
    up="z",
    error=0.0,
    source="the demo's own cameras, exactly known",
)
"""Two cameras, 0.8 m away and 45 degrees apart, with some lens distortion."""


@dataclass(frozen=True)
class Sway:
    """A slow movement to and fro: half its range, its period in seconds, and where in it the recording begins."""

    reach: float
    seconds: float
    begin: float

    def at(self, time: float) -> float:
        """Return where it is after `time` seconds."""
        return self.reach * float(np.sin(2 * np.pi * time / self.seconds + self.begin))


LIFT = Sway(26.0, 6.3, 0.4)
"""Up and down, in mm."""
PITCH = Sway(np.deg2rad(7.0), 4.9, 1.9)
"""The far side up and down, in radians."""
ROLL = Sway(np.deg2rad(6.0), 5.7, 0.0)
"""The left side up and down, in radians."""


def tray(frame: int) -> tuple[Array, Array]:
    """Return rotation (3, 3) and translation (3,), in mm, of the tray: from its own axes to those of the scene."""
    time = frame / FPS
    pitch, roll = PITCH.at(time), ROLL.at(time)
    about_x = cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
    about_y = cv2.Rodrigues(np.array([0.0, roll, 0.0]))[0]
    return np.asarray(about_x @ about_y), np.array([0.0, 0.0, LIFT.at(time)])


def floor_of(frame: int) -> Face:
    """Return where the tray's floor is in a frame; its own coordinates begin at the far left corner."""
    width, depth = FLOOR
    lying = Face(np.array([-width / 2, depth / 2, 0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), FLOOR)
    return lying.moved(*tray(frame))


class Recording:
    """A recording by all cameras of a rig at once; each frame of each camera can be drawn in any order.

    Parameters
    ----------
    frames
        Number of frames, at 30 frames/s.
    seed
        Of the walk, the floor's texture, the fur and the noise.
    rig
        The cameras.
    look
        Of mouse, floor and light.
    """

    def __init__(self, frames: int, seed: int, rig: Rig = RIG, look: Look | None = None) -> None:
        self.look = look or Look(size=1.25)
        self.seed = seed
        self.rig = rig
        self.poses = walk(frames, seed, self.look.size)
        self._eyes = [Eye(camera) for camera in rig.cameras]
        self._last: tuple[int, Image, Image] | None = None
        self._painting = mouse.paint(self.look.coat, seed)
        self._floor = _shade_by_walls(arena.draw(self.look.floor, seed, walls=False))

    def __len__(self) -> int:
        return len(self.poses)

    def truth(self, number: int) -> Array:
        """Return where each body part is in a frame, in mm, shape (7, 3), in the order of `BODYPARTS`.

        All are on skin or fur, but for the middle of the body: it is within it, at half its height.
        """
        _, relief = self.drawn(number)
        at = keypoints(self.poses[number])
        x, y = at.astype(np.float32).T
        rise = SCALE * cv2.remap(relief, x, y, cv2.INTER_LINEAR).ravel()
        rise[BODYPARTS.index("bodycentre")] /= 2
        floor = floor_of(number)
        return np.asarray(floor.at((at + 0.5) * SCALE) + rise[:, None] * floor.normal)

    def frame(self, number: int, camera: int) -> NDArray[np.uint8]:
        """Draw one frame of one camera: BGR, shape (480, 640, 3)."""
        eye = self._eyes[camera]
        motion = tray(number)
        fine = table(eye, motion)
        texture, relief = self.drawn(number)
        _lay_floor(fine, eye, floor_of(number), texture, relief)
        _build_rim(fine, eye, motion)
        picture = eye.picture(fine) * _vignette(eye.camera.size)
        rng = np.random.default_rng([self.seed, 5, number, camera])
        picture *= self.look.exposure * (1 + self.look.flicker * rng.standard_normal())
        picture += self.look.noise * rng.standard_normal(picture.shape, np.float32)
        return np.clip(np.round(picture), 0, 255).astype(np.uint8)

    def drawn(self, number: int) -> tuple[Image, Image]:
        """Return the floor with the mouse on it as seen from straight above (BGR), and its relief in pixels."""
        if self._last and self._last[0] == number:  # all cameras see the same
            return self._last[1:]
        texture = self._floor.copy()
        relief = mouse.draw(texture, self._painting, self.poses[number], self.look.coat, self.look.light)
        self._last = number, texture, np.asarray(cv2.GaussianBlur(relief, (0, 0), 0.8), np.float32)
        return self._last[1:]


# -- the parts of the tray, in its own axes ----------------------------------------------------------------------------


def _top() -> Face:
    """The upper side of the walls, and all that they enclose."""
    width, depth = FLOOR[0] + 2 * THICK, FLOOR[1] + 2 * THICK
    corner = np.array([-width / 2, depth / 2, RIM])
    return Face(corner, np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), (width, depth))


def _walls(inside: bool) -> list[Face]:
    """The four walls seen from inside or from outside; the coordinate downwards begins at their upper edge."""
    width, depth = (each + (0 if inside else 2 * THICK) for each in FLOOR)
    below = 0.0 if inside else BOARD
    faces = []
    for quarter in range(4):
        along = (width, depth)[quarter % 2]
        away = (depth, width)[quarter % 2] / 2
        turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        turn = np.linalg.matrix_power(turn, quarter)
        # The far wall seen from inside, or the near one from outside, has x to the right.
        corner = np.array([-along / 2, away if inside else -away, RIM])
        face = Face(corner, np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), (along, RIM + below))
        faces.append(face.moved(turn, np.zeros(3)))
    return faces


# -- light and colour --------------------------------------------------------------------------------------------------


def _light(normal: Array) -> float:
    """How much light a face gets, 1 for one that lies flat."""
    return 0.42 + 0.58 * max(0.0, float(normal @ LAMP)) / float(LAMP[2])


def _shade_by_walls(floor: Image) -> Image:
    """Darken the floor where it meets the walls, and where those on the lamp's side cast their shadow."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    left, top = x + 0.5, y + 0.5
    nearest = np.minimum(np.minimum(left, WIDTH - left), np.minimum(top, HEIGHT - top))
    corner = 1 - 0.22 * np.exp(-nearest / 3.5) - 0.10 * np.exp(-nearest / 18)
    # Half shade widens with the distance from the wall's edge that casts it.
    reach_x, reach_y = (RIM / SCALE * abs(LAMP[axis]) / LAMP[2] for axis in (0, 1))
    lit = np.minimum(_soft((left - 0.45 * reach_x) / reach_x), _soft((top - 0.45 * reach_y) / reach_y))
    return np.asarray(floor * (corner * (0.80 + 0.20 * lit))[..., None], np.float32)


def table(eye: Eye, motion: tuple[Array, Array] | None = None) -> Image:
    """Draw the dark table below, a pool of light on it, and the shadow of the tray where there is one.

    It is too soft to need more than one ray for a pixel.

    Returns
    -------
    What all rays meet, BGR, as `Eye.picture` takes it.
    """
    half = 3000.0
    face = Face(np.array([-half, half, TABLE]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), (2 * half, 2 * half))
    middle = slice(FINE // 2, None, FINE)
    u, v = eye.meet(face, (middle, middle))
    x, y = u - half, half - v
    light = 0.42 + 0.72 * np.exp(-(((x + 60) / 520) ** 2) - ((y - 80) / 430) ** 2)
    if motion is not None:
        light *= 1 - 0.5 * _shadow(x, y, *motion)
    grain = 1 + 0.03 * np.sin(0.021 * y + 0.9 * np.sin(0.006 * x)) * np.sin(0.16 * y + 1.7 * np.sin(0.004 * x))
    picture = (light * grain)[..., None] * np.array([84, 80, 77], np.float32)
    return np.asarray(picture.astype(np.float32).repeat(FINE, axis=0).repeat(FINE, axis=1))


def _shadow(x: Image, y: Image, rotation: Array, translation: Array) -> Image:
    """How dark the tray's shadow is at points of the table, 0 to 1."""
    lift = float(translation[2]) - TABLE
    x, y = (each + np.float32(LAMP[axis] / LAMP[2] * lift) for axis, each in enumerate((x, y)))
    half_shade = 0.6 * lift
    shade = np.ones_like(x)
    for axis in (0, 1):
        beside = np.abs(x * np.float32(rotation[0, axis]) + y * np.float32(rotation[1, axis]))
        shade *= _soft((FLOOR[axis] / 2 + THICK - beside) / half_shade + 0.5)
    return shade


def _lay_floor(fine: Image, eye: Eye, floor: Face, texture: Image, relief: Image) -> None:
    """Paint the floor, and where the mouse is, follow each ray to its fur."""
    lit = texture * np.float32(_light(floor.normal))
    window = eye.window(floor.corners)
    u, v = eye.meet(floor, window)
    x, y = (each / np.float32(SCALE) - np.float32(0.5) for each in (u, v))
    _paint(fine, window, within(u, v, floor.size), _sampled(lit, x, y))
    rows, columns = np.nonzero(relief.max(1) > 0.05)[0], np.nonzero(relief.max(0) > 0.05)[0]
    box = np.array([[x, y] for x in (columns[0], columns[-1]) for y in (rows[0], rows[-1])])
    ground = floor.at((box + 0.5) * SCALE)
    window = eye.window(np.concatenate([ground, ground + float(relief.max()) * SCALE * floor.normal]))
    u, v = eye.sink(floor, relief, SCALE, window)
    inside = within((u + 0.5) * SCALE, (v + 0.5) * SCALE, floor.size)
    _paint(fine, window, inside, _sampled(lit, u, v))


def _build_rim(fine: Image, eye: Eye, motion: tuple[Array, Array]) -> None:
    """Paint the walls over the floor: those seen from inside, those seen from outside, and then their upper side."""
    for inside in (True, False):
        for wall in _walls(inside):
            face = wall.moved(*motion)
            if not eye.faces(face):
                continue
            window = eye.window(face.corners)
            u, v = eye.meet(face, window)
            # Less light comes to the foot of a wall, and the less the further it is under the tray.
            tone = 1 - 0.26 * np.clip(v / RIM, 0, 1) ** 2 if inside else 0.70 - 0.30 * np.clip(v / (RIM + BOARD), 0, 1)
            tone *= 0.62 + 0.38 * _light(face.normal)
            _paint(fine, window, within(u, v, face.size), tone[..., None] * np.array([184, 192, 197], np.float32))
    top = _top().moved(*motion)
    window = eye.window(top.corners)
    u, v = eye.meet(top, window)
    ring = within(u, v, top.size) & ~within(u - np.float32(THICK), v - np.float32(THICK), FLOOR)
    away = np.maximum(np.abs(u / top.size[0] - 0.44), np.abs(v / top.size[1] - 0.42))
    tone = _light(top.normal) * (1.0 - 0.16 * away**2 / 0.34)
    _paint(fine, window, ring, tone[..., None] * np.array([206, 212, 216], np.float32))


def _paint(fine: Image, window: tuple[slice, slice], where: NDArray[np.bool_], colour: Image) -> None:
    np.copyto(fine[window], colour, where=where[..., None])


def _sampled(picture: Image, x: Image, y: Image) -> Image:
    return np.asarray(
        cv2.remap(picture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


def _vignette(size: tuple[int, int]) -> Image:
    """A lens lets less light through to the corners."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / ((width / 2) ** 2 + (height / 2) ** 2)
    return np.asarray((1 - 0.16 * away)[..., None], np.float32)


def _soft(value: NDArray[np.floating]) -> Image:
    """Rise smoothly from 0 at 0 to 1 at 1."""
    v = np.clip(value, 0, 1)
    return np.asarray(v * v * (3 - 2 * v), np.float32)
