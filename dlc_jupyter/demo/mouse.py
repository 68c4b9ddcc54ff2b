"""Draw the demo mouse: a straight mouse is painted once, then bent along the spine and lit in every frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo.motion import SPINE_LENGTH, Pose

Image = NDArray[np.float32]

FINE = 2
"""Pixels drawn for one pixel of the picture, in each direction."""

DETAIL = 4
"""Pixels of the painted mouse for one unit of its length (one pixel of the picture at size 1)."""

FINER = 4
"""Parts into which each segment of spine and tail is cut, so that no joint is seen in the fur."""

BEFORE, BEHIND, ASIDE = 16.0, 10.0, 40.0
"""Room in the painting in front of the snout, behind the base of the tail, and at each side, in units."""

# Half the width of the body along the spine, in units: snout, cheeks, neck, shoulders, flanks, rump.
OUTLINE_AT = [0, 1.5, 4, 9, 16, 24, 31, 38, 48, 60, 72, 82, 90, 96, 101, 105]
OUTLINE = [0, 2.8, 4.8, 7.9, 11.6, 14.0, 14.6, 15.4, 18.4, 21.8, 23.2, 22.0, 18.6, 14.0, 8.4, 0]

EAR = (26.5, 14.2)
"""Middle of an ear: distance from the tip of the snout, and from the spine."""
EYE = (13.0, 8.4)
PAWS = ((35.0, 15.0, 0.0), (35.0, -15.0, np.pi), (84.0, 21.0, np.pi), (84.0, -21.0, 0.0))
"""Fore and hind paws: distance from the snout, side, phase in the gait."""

TAIL_WIDTH = (3.1, 0.75)
"""Half the width of the tail at its base and at its tip, in units."""


@dataclass(frozen=True)
class Coat:
    """Colours of one mouse (BGR, 0 to 255)."""

    fur: tuple[float, float, float] = (44, 44, 49)
    tips: tuple[float, float, float] = (92, 99, 110)
    ear: tuple[float, float, float] = (138, 137, 160)
    rim: tuple[float, float, float] = (186, 187, 203)
    skin: tuple[float, float, float] = (138, 142, 172)


@dataclass(frozen=True)
class Light:
    """One soft lamp over the arena."""

    direction: tuple[float, float, float] = (-0.42, -0.50, 0.76)
    """Towards the lamp: x to the right, y down, z to the camera."""
    shadow: float = 0.42
    """How dark its shadow is, 0 to 1."""


@dataclass(frozen=True)
class Painting:
    """The straight mouse: colour (h, w, 3), height above the floor in units (h, w), and cover from 0 to 1 (h, w)."""

    colour: Image
    height: Image
    cover: Image
    sheen: Image


def paint(coat: Coat, seed: int) -> Painting:
    """Paint a mouse lying straight, its snout to the left, with fur that no other seed has."""
    rng = np.random.default_rng([seed, 2])
    along, side = _canvas()
    width = _blur(np.interp(along[0], OUTLINE_AT, OUTLINE).astype(np.float32)[None], 1.7 * DETAIL)[0]
    strands = _strands(rng, along.shape)
    # The edge of the fur is ragged by as much as the strands are long.
    shaggy = np.maximum(width * (1 + 0.012 * strands) + 0.22 * strands * (width > 4), 1e-3)
    across = np.abs(side) / shaggy
    cover = _step((shaggy - np.abs(side)) / 1.5) * (width > 0.4)
    dome = np.sqrt(np.clip(1 - across**2, 0, None))
    height = 0.92 * width * dome

    patches = _blur(rng.standard_normal(along.shape).astype(np.float32), 3.5 * DETAIL)
    patches /= patches.std()
    back = np.exp(-((side / (0.5 * width + 3)) ** 2)) * _bump(along, 66, 34)
    light = np.clip(0.20 + 0.055 * strands + 0.05 * patches + 0.10 * back + 0.22 * across**3, 0, 1)[..., None]
    colour = np.array(coat.fur, np.float32) * (1 - light) + np.array(coat.tips, np.float32) * light
    sheen = np.clip(0.62 + 0.15 * strands + 0.06 * patches, 0, 1.2)
    height += 0.13 * strands * dome

    painting = Painting(colour.astype(np.float32), height, cover, sheen)
    _paint_snout(painting, coat, along, side)
    for flank in (-1, 1):
        _paint_ear(painting, coat, along, side, flank)
        _paint_eye(painting, along, side, flank)
    _paint_whiskers(painting, rng)
    return painting


def place(pose: Pose, along: float, side: float) -> NDArray[np.float64]:
    """Where a point of the straight mouse (in units from the snout and from the spine) is in the picture."""
    at = np.clip(along / SPINE_LENGTH, 0, 1) * (len(pose.spine) - 1)
    i = min(int(at), len(pose.spine) - 2)
    tangent = pose.spine[i + 1] - pose.spine[i]
    middle = pose.spine[i] + (at - i) * tangent
    normal = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)
    return np.asarray(middle + side * pose.girth * normal)


def draw(picture: Image, painting: Painting, pose: Pose, coat: Coat, light: Light) -> Image:
    """Draw the mouse in `pose`, and its shadow, over `picture` (BGR, 0 to 255, changed in place).

    Returns
    -------
    How high the mouse rises above the floor, in pixels, shape (h, w) of the picture; 0 beside it.
    """
    left, top, right, bottom = _around(pose, picture.shape)
    y, x = np.mgrid[top * FINE : bottom * FINE, left * FINE : right * FINE].astype(np.float32)
    grid = np.stack([(x + 0.5) / FINE - 0.5, (y + 0.5) / FINE - 0.5], axis=-1)
    window = picture[top:bottom, left:right]
    unit = float(np.linalg.norm(pose.spine[1] - pose.spine[0])) * (len(pose.spine) - 1) / SPINE_LENGTH

    layers = [_tail(grid, pose, coat, unit), _paws(grid, pose, coat, unit), _body(grid, pose, painting, unit)]
    colour, cover, height, sheen = (np.zeros(grid.shape[:2] + s, np.float32) for s in ((3,), (), (), ()))
    for upper in layers:
        seen = upper.cover[..., None]
        colour = colour * (1 - seen) + upper.colour * seen
        height = height * (1 - upper.cover) + upper.height * upper.cover
        sheen = sheen * (1 - upper.cover) + upper.sheen * upper.cover
        cover = cover + (1 - cover) * upper.cover
    lit = _shade(colour, height * unit * FINE, sheen, light)

    rise = _shrink(height * cover) * unit
    window *= _shadow(_shrink(cover), rise, light)[..., None]
    seen = _shrink(cover)[..., None]
    # Colours are averaged with their cover, so that the edge takes nothing from the empty pixels beside it.
    window[:] = window * (1 - seen) + _shrink(lit * cover[..., None])
    relief = np.zeros(picture.shape[:2], np.float32)
    relief[top:bottom, left:right] = rise
    return relief


def _canvas() -> tuple[Image, Image]:
    along = np.arange(-BEFORE, SPINE_LENGTH + BEHIND, 1 / DETAIL, dtype=np.float32)
    side = np.arange(-ASIDE, ASIDE, 1 / DETAIL, dtype=np.float32)
    x, y = np.meshgrid(along, side)
    return x, y


def _strands(rng: np.random.Generator, shape: tuple[int, ...]) -> Image:
    """Fur: noise drawn out along the body, with standard deviation 1."""
    noise = rng.standard_normal(shape).astype(np.float32)
    fine = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.1 * DETAIL, sigmaY=0.24 * DETAIL)
    coarse = cv2.GaussianBlur(noise[::-1], (0, 0), sigmaX=2.4 * DETAIL, sigmaY=0.6 * DETAIL)
    both = fine / fine.std() + 0.8 * coarse / coarse.std()
    return np.asarray(both / both.std(), np.float32)


def _paint_snout(painting: Painting, coat: Coat, along: Image, side: Image) -> None:
    nose = _step((2.6 - np.hypot(along - 0.9, side * 0.9)) / 1.4)
    muzzle = np.exp(-(((along - 5) / 4.5) ** 2) - (side / 4.0) ** 2) * 0.22
    _mix(painting.colour, np.array(coat.skin) * 0.85, nose * 0.85)
    _mix(painting.colour, np.array(coat.tips), muzzle * (1 - nose))
    np.maximum(painting.cover, nose * (np.hypot(along - 0.9, side) < 2.0), out=painting.cover)


def _paint_ear(painting: Painting, coat: Coat, along: Image, side: Image, flank: int) -> None:
    """An ear: a thin round cup, leaning outwards and back, pale at its rim and darker inside."""
    lean = np.deg2rad(28) * flank
    x, y = along - EAR[0], side - flank * EAR[1]
    a, b = x * np.cos(lean) + y * np.sin(lean), -x * np.sin(lean) + y * np.cos(lean)
    radius = np.hypot(a / 7.0, b / 8.0)
    ear = _step((1 - radius) * 5.5)
    hollow = np.exp(-((np.hypot((a + 1.2) / 4.6, (b - 0.8 * flank) / 5.6)) ** 2.4))
    shade = np.clip(0.97 - 0.38 * hollow, 0, 1)[..., None]
    edge = np.exp(-(((radius - 0.86) / 0.16) ** 2))[..., None]
    colour = (np.array(coat.ear) * (1 - edge) + np.array(coat.rim) * edge) * shade
    # Fur of the head grows over the root of the ear.
    root = _step((b * flank + 6.2) / 3.6)
    _mix(painting.colour, colour, ear * root)
    np.maximum(painting.cover, ear * 0.97, out=painting.cover)
    lift = ear * root
    painting.height[:] = painting.height * (1 - lift) + lift * (10.5 + 1.6 * edge[..., 0] - 2.2 * hollow)
    painting.sheen[:] *= 1 - 0.8 * lift


def _paint_eye(painting: Painting, along: Image, side: Image, flank: int) -> None:
    x, y = along - EYE[0], side - flank * EYE[1]
    eye = _step((1 - np.hypot(x / 2.1, y / 1.7)) * 3)
    glint = np.exp(-(((x + 0.6) / 0.7) ** 2) - ((y + 0.5) / 0.6) ** 2)
    _mix(painting.colour, np.array([14.0, 12, 12]), eye)
    _mix(painting.colour, np.array([225.0, 225, 225]), glint * 0.8)


def _paint_whiskers(painting: Painting, rng: np.random.Generator) -> None:
    """Six thin hairs at each side of the snout, nearly transparent."""
    layer = np.zeros(painting.cover.shape, np.float32)
    for flank in (-1, 1):
        for start, sweep in zip((3, 4, 5, 6, 7, 8), (-0.75, -0.5, -0.22, 0.05, 0.32, 0.55), strict=True):
            t = np.linspace(0, 1, 24)
            length = rng.uniform(12, 16)
            u = start + length * (np.sin(sweep) * t + 0.18 * t**2)
            v = flank * (4.0 + length * np.cos(sweep) * t)
            line = np.stack([(u + BEFORE) * DETAIL, (v + ASIDE) * DETAIL], axis=1)
            cv2.polylines(layer, [np.round(line * 16).astype(np.int32)], False, 1.0, 1, cv2.LINE_AA, 4)
    hair = _blur(layer, 0.7) * (1 - painting.cover)
    painting.colour[:] = np.where(hair[..., None] > 0, np.float32(70), painting.colour)
    np.maximum(painting.cover, hair * 0.5, out=painting.cover)
    painting.height[painting.cover < 0.4] = 0


def _coordinates(grid: Image, line: NDArray[np.float64]) -> tuple[Image, Image]:
    """Distance along a bent line (in its segments, from its first point) and beside it (in pixels) of every grid point.

    The line's left, seen along it in a picture whose y grows downwards, is negative.
    """
    points, tangents, turn, spacing = _refine(line)
    flat = grid.reshape(-1, 2)
    nearest = np.argmin((points**2).sum(1) - 2 * flat @ points.T, axis=1)
    offset = flat - points[nearest]
    t = tangents[nearest]
    ahead = (offset * t).sum(1)
    beside = t[:, 0] * offset[:, 1] - t[:, 1] * offset[:, 0]
    # On the inner side of a bend the same step along the line covers less ground.
    along = (nearest + ahead / np.maximum(1 - turn[nearest] * beside, 0.35) / spacing) / FINER
    return along.reshape(grid.shape[:2]).astype(np.float32), beside.reshape(grid.shape[:2]).astype(np.float32)


def _refine(line: NDArray[np.float64]) -> tuple[Image, Image, Image, np.float32]:
    """Points, unit tangents, curvatures (1/pixel) and spacing (pixels) of a line, :data:`FINER` times as fine."""
    fine = np.linspace(0, len(line) - 1, FINER * (len(line) - 1) + 1)
    kernel = np.hanning(2 * FINER + 1)[1:-1] / FINER
    dense = np.stack([np.interp(fine, np.arange(len(line)), values) for values in line.T], axis=1)
    # Round the corners between segments; both ends are continued straight, so that they stay in their places.
    reach = len(kernel) // 2
    ends = (dense[0] * 2 - dense[reach:0:-1], dense, dense[-1] * 2 - dense[-2 : -reach - 2 : -1])
    points = np.stack([np.convolve(v, kernel, mode="valid") for v in np.concatenate(ends).T], axis=1)
    tangents = np.gradient(points, axis=0)
    lengths = np.linalg.norm(tangents, axis=1)
    tangents /= lengths[:, None]
    turn = np.gradient(np.unwrap(np.arctan2(tangents[:, 1], tangents[:, 0]))) / lengths
    return (
        points.astype(np.float32),
        tangents.astype(np.float32),
        turn.astype(np.float32),
        np.float32(lengths.mean()),
    )


def _body(grid: Image, pose: Pose, painting: Painting, unit: float) -> Painting:
    along, beside = _coordinates(grid, pose.spine)
    x = np.float32(DETAIL) * (along * np.float32(SPINE_LENGTH / (len(pose.spine) - 1)) + np.float32(BEFORE))
    y = np.float32(DETAIL) * (beside / np.float32(pose.girth) + np.float32(ASIDE))
    parts = (painting.colour, painting.height, painting.cover, painting.sheen)
    # Painted at twice the detail drawn here: blur a little first, or the fur flickers as the mouse moves.
    smooth = (cv2.GaussianBlur(part, (0, 0), 0.5 * DETAIL / FINE) for part in parts)
    return Painting(*(cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) for part in smooth))


def _tail(grid: Image, pose: Pose, coat: Coat, unit: float) -> Painting:
    """The tail: tapering, bare, ringed, pinker towards its tip."""
    # It begins inside the rump, so that no gap opens between them.
    root = pose.spine[-4:-1]
    along, beside = _coordinates(grid, np.concatenate([root, pose.tail]))
    share = np.clip((along - len(root)) / (len(pose.tail) - 1), -0.1, 1.0)
    half = unit * (TAIL_WIDTH[1] + (TAIL_WIDTH[0] - TAIL_WIDTH[1]) * (1 - np.clip(share, 0, 1)) ** 1.15)
    beyond = np.maximum(along - (len(root) + len(pose.tail) - 1), 0) * unit * 3.5
    away = np.hypot(beside, beyond)
    before = np.clip(along + 1, 0, 1)
    cover = _step((half - away) * FINE / 1.2 + 0.5) * before
    round_ = np.sqrt(np.clip(1 - (away / half) ** 2, 0, 1)).astype(np.float32)
    rings = 1 + 0.05 * np.sin(along * 2 * np.pi * 1.9)
    dark = np.clip(0.74 + 0.22 * np.clip(share, 0, 1), 0, 1) * rings * (0.8 + 0.2 * round_)
    colour = (np.array(coat.skin, np.float32) * 0.84) * dark[..., None]
    return Painting(colour.astype(np.float32), (half / unit * round_).astype(np.float32), cover, 0.5 * round_)


def _paws(grid: Image, pose: Pose, coat: Coat, unit: float) -> Painting:
    """Four paws that step beside the body; in a pause they rest under it."""
    cover = np.zeros(grid.shape[:2], np.float32)
    for along, side, phase in PAWS:
        swing = np.sin(pose.phase + phase)
        at = place(pose, along - 4.5 * swing * pose.stride, side * (0.86 + 0.12 * pose.stride * max(0.0, swing)))
        ahead = place(pose, along - 6, side)
        direction = (ahead - place(pose, along, side)) / unit
        direction /= np.linalg.norm(direction)
        offset = (grid - at.astype(np.float32)) / np.float32(unit)
        a = offset @ direction.astype(np.float32)
        b = offset @ np.array([-direction[1], direction[0]], np.float32)
        length = 4.6 if along > 50 else 3.2
        cover = np.maximum(cover, _step((1 - np.hypot(a / length, b / 2.3)) * 3))
    colour = np.broadcast_to(np.array(coat.skin, np.float32) * 0.72, (*cover.shape, 3))
    return Painting(colour, 1.5 * cover, cover, np.zeros_like(cover))


def _shade(colour: Image, height: Image, sheen: Image, light: Light) -> Image:
    """Light the coloured relief: soft light from everywhere above, a lamp, and the gloss of fur."""
    surface = _blur(height, 1.0)
    dy, dx = np.gradient(surface)
    normal = np.stack([-dx, -dy, np.ones_like(surface)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = np.array(light.direction, np.float32)
    lamp /= np.linalg.norm(lamp)
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    diffuse = np.clip(normal @ lamp, 0, 1)
    gloss = np.clip(normal @ half, 0, 1) ** 9
    return np.asarray(
        colour * (0.34 + 0.20 * normal[..., 2:] + 0.68 * diffuse[..., None]) + 44 * (gloss * sheen)[..., None],
        np.float32,
    )


def _shadow(cover: Image, height: Image, light: Light) -> Image:
    """How much light reaches each pixel of the floor around the mouse, 0 to 1."""
    x, y, z = light.direction
    contact = _blur(cover, 3.0)
    lift = _blur(height, 4.0)
    reach = 0.55 * 12 / z
    shift = np.array([[1, 0, -x * reach], [0, 1, -y * reach]], np.float32)
    cast = cv2.warpAffine(_blur(cover * np.clip(0.35 + lift / 12, 0, 1), 4.5), shift, cover.shape[::-1])
    return np.asarray((1 - 0.34 * contact) * (1 - light.shadow * cast), np.float32)


def _around(pose: Pose, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    points = np.concatenate([pose.spine, pose.tail])
    room = 44
    left, top = np.floor(points.min(0)).astype(int) - room
    right, bottom = np.ceil(points.max(0)).astype(int) + room
    return max(left, 0), max(top, 0), min(right, shape[1]), min(bottom, shape[0])


def _shrink(image: Image) -> Image:
    return np.asarray(
        cv2.resize(image, (image.shape[1] // FINE, image.shape[0] // FINE), interpolation=cv2.INTER_AREA), np.float32
    )


def _blur(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _step(value: NDArray[np.floating]) -> Image:
    """Rise smoothly from 0 at 0 to 1 at 1."""
    v = np.clip(value, 0, 1)
    return np.asarray(v * v * (3 - 2 * v), np.float32)


def _bump(value: Image, middle: float, width: float) -> Image:
    return np.asarray(np.exp(-(((value - middle) / width) ** 2)), np.float32)


def _mix(image: Image, colour: NDArray[np.float64], amount: NDArray[np.floating]) -> None:
    a = amount[..., None]
    image[:] = image * (1 - a) + colour.astype(np.float32) * a
