"""The picture of a 3D video: where the camera views, the scene, the names and the numbers are, and drawing them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from dlc_jupyter.pose.frames import Pictures
from dlc_jupyter.pose3d import lettering
from dlc_jupyter.pose3d.axes import INK, PALE, SHIFT
from dlc_jupyter.pose3d.cameras import Array
from dlc_jupyter.pose3d.perspective import Box
from dlc_jupyter.pose3d.scene import FAR, PAGE, PANEL, Scene, SceneLook, draw_trails, mixed

_RIM = (16, 11, 8)
_BONE = (240, 240, 240)
_HATCH = (52, 42, 35)

# Pixels in a picture that is 1920 wide.
_MARGIN, _GAP, _CAPTION, _LETTERS, _LINE = 26, 22, 40, 24, 34
#: A camera's picture is enlarged no more than this.
_LARGEST = 2.5
_FIGURE_SPACE = "\u2007"


@dataclass
class Moment:
    """All that is drawn in one frame.

    Attributes
    ----------
    frame : int
        Its number in the scene, counted from 0.
    time : str
        When it is shown, for people.
    turned : float
        By how many degrees the view of the scene has turned.
    points : ndarray of float, shape (frames, individuals, bodyparts, 3)
        Of the frames in the trail; the last one is this.
    pixels : list of ndarray of float, shape (frames, individuals, bodyparts, 2)
        The same for each camera; NaN where nothing is to be drawn.
    error : ndarray of float or None, shape (individuals, bodyparts)
        In pixels.
    pictures : list of (ndarray or None)
        Each camera's; None where it has none.
    """

    frame: int
    time: str
    turned: float
    points: Array
    pixels: list[Array]
    error: Array | None = None
    pictures: Sequence[Pictures | None] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A part of the picture, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, picture: Pictures) -> Pictures:
        """Return this part of a picture, to be drawn on."""
        return picture[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True)
class Layout:
    """Where everything is. All sizes are in pixels."""

    width: int
    height: int
    views: tuple[Place, ...]
    scene: Place


def arrange(sizes: Sequence[tuple[int, int]], width: int, foot: int) -> Layout:
    """Return a layout in which cameras' pictures of any sizes, and the scene, are as large as they can be.

    The pictures are in a grid at the left, each as large as its cell allows; the scene has the rest. Tried are all
    numbers of columns, and shares of the width.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Width and height of each camera's picture.
    width : int
        Of the whole; the height is 9/16 of it.
    foot : int
        Height of what is written below the scene.
    """
    scale = width / 1920
    width, height = width - width % 2, round(width * 9 / 32) * 2
    margin, gap, caption = (round(each * scale) for each in (_MARGIN, _GAP, _CAPTION))
    best, layout = -math.inf, None
    for columns in range(1, len(sizes) + 1):
        rows = math.ceil(len(sizes) / columns)
        cell_height = (height - 2 * margin - (rows - 1) * gap) // rows - caption
        for share in np.arange(0.16, 0.72, 0.02):
            cell_width = (int(share * width) - (columns - 1) * gap) // columns
            if min(cell_width, cell_height) < 16:
                continue
            fits = [_fit(size, cell_width, cell_height, scale) for size in sizes]
            wide, high = max(each[0] for each in fits), max(each[1] for each in fits)
            left = margin + columns * (wide + gap) + gap // 2
            scene = Place(left, margin + caption, width - margin - left, height - 2 * margin - caption - foot)
            if scene.width < 0.25 * width or scene.height < 16:
                continue
            # A scene is about as wide as high, and what is beyond that is of little use to it.
            useful = min(scene.width, 1.15 * scene.height) * min(scene.height, 1.1 * scene.width)
            score = math.log(sum(w * h for w, h in fits)) + 1.3 * math.log(useful)
            if score > best:
                top = (height - rows * (high + caption) - (rows - 1) * gap) // 2 + caption
                places = []
                for number, (w, h) in enumerate(fits):
                    x = margin + number % columns * (wide + gap) + (wide - w) // 2
                    y = top + number // columns * (high + caption + gap) + (high - h) // 2
                    places.append(Place(x, y, w, h))
                best, layout = score, Layout(width, height, tuple(places), scene)
    assert layout is not None  # one column always has its place
    return layout


def _fit(size: tuple[int, int], width: int, height: int, scale: float) -> tuple[int, int]:
    factor = min(width / size[0], height / size[1], _LARGEST * scale)
    return max(2, int(size[0] * factor)), max(2, int(size[1] * factor))


class Sheet:
    """Draws frames of the 3D video.

    Parameters
    ----------
    cameras : sequence of (str, int, int, int)
        Name, width and height of the picture, and offset of each.
    look : SceneLook
    box : Box
        What is shown of the scene.
    found : bool
        Whether there is any point in the scene.
    """

    def __init__(
        self, cameras: Sequence[tuple[str, int, int, int]], look: SceneLook, box: Box, found: bool = True
    ) -> None:
        self._look, self._cameras, self._found = look, cameras, found
        self._scale = look.width / 1920
        self._letters = _LETTERS * self._scale
        self._sizes = [(width, height) for _name, width, height, _offset in cameras]
        line = round(_LINE * self._scale)
        # The legend's height follows from the scene's width, and this one from that height.
        first = arrange(self._sizes, look.width, line)
        self._legend = _legend(look, first.scene.width, self._letters)
        foot = len(self._legend) * line
        self.layout = arrange(self._sizes, look.width, foot + (round(10 * self._scale) if foot else 0))
        self._legend = _legend(look, self.layout.scene.width, self._letters)[: len(self._legend)]
        self.width, self.height = self.layout.width, self.layout.height
        place = self.layout.scene
        self.scene = Scene(look, box, (place.width, place.height), self._scale)
        self._colors, self._bones = look.colors, look.bones
        self._bone_color = _BONE if look.skeleton_color is None else look.bone_color
        self._trails = [[[mixed(color, (0, 0, 0), 0.15)] for color in row] for row in self._colors]
        self._radius = max(5.5 * self._scale, 3.2) if look.dotsize is None else look.dotsize * 0.75
        self._status = Place(place.x, place.y - round(_CAPTION * self._scale), place.width, line)

    def blank(self) -> Pictures:
        """Return a new picture with all that stays the same."""
        picture = np.full((self.height, self.width, 3), PAGE, np.uint8)
        for place, (name, _width, _height, offset) in zip(self.layout.views, self._cameras, strict=True):
            at = float(place.x), place.y - 12 * self._scale
            text = _shortened(name, place.width - (0 if not offset else 8 * self._letters), self._letters)
            _x1, _y1, right, _y2 = lettering.write(picture, text, at, self._letters, INK)
            if offset:
                note = f"{offset:+d} frames".replace("-", "\u2212")
                lettering.write(picture, note, (right + 0.6 * self._letters, at[1]), 0.85 * self._letters, PALE)
        place = self.layout.scene
        line = round(_LINE * self._scale)
        y = place.y + place.height + 10 * self._scale + 0.5 * line
        for row in self._legend:
            for x, name, color in row:
                if color is not None:
                    spot = round((place.x + x) * 16), round(y * 16)
                    cv2.circle(picture, spot, round(7 * self._scale * 16), color, -1, cv2.LINE_AA, SHIFT)
                at = place.x + x + 0.75 * self._letters, y
                lettering.write(picture, name, at, 0.85 * self._letters, PALE if color is None else INK, "lm")
            y += line
        return picture

    def draw(self, picture: Pictures, moment: Moment) -> None:
        """Draw a frame into a picture that `blank` has made; it may hold another frame."""
        for place, size, shown, pixels in zip(
            self.layout.views, self._sizes, moment.pictures, moment.pixels, strict=True
        ):
            part = place.of(picture)
            if shown is None:
                self._draw_nothing(part)
                continue
            # Linear interpolation is five times as fast as the mean of areas, and as good unless pixels are left out.
            much_smaller = place.width < 0.7 * size[0]
            how = cv2.INTER_AREA if much_smaller else cv2.INTER_LINEAR
            cv2.resize(shown, (place.width, place.height), dst=part, interpolation=how)
            factor = place.width / size[0], place.height / size[1]
            self._draw_poses(part, (pixels + 0.5) * factor - 0.5)
        part = self.layout.scene.of(picture)
        self.scene.draw(part, moment.points[-1], moment.points, moment.turned)
        if not self._found:
            text = "no body part was found in space"
            lettering.write(part, text, (part.shape[1] / 2, part.shape[0] / 2), self._letters, INK, "mm")
        self._write_status(self._status.of(picture), moment)

    def counted(self, moment: Moment) -> str:
        """Return how many points are drawn and how many are outside of what is shown, and the error of the former."""
        there = np.isfinite(moment.points[-1]).all(axis=-1) & self._look.shown
        seen = there & self.scene.visible(moment.points[-1])
        text = f"{seen.sum()} points"
        if outside := int(there.sum() - seen.sum()):
            text += f", {outside} outside"
        if moment.error is not None:
            errors = moment.error[seen & np.isfinite(moment.error)]
            text += f"   error {np.median(errors):.1f} px" if len(errors) else ""
        return text

    def _draw_poses(self, part: Pictures, path: Array) -> None:
        pixels = path[-1]
        with np.errstate(invalid="ignore"):
            there = (np.abs(pixels) < FAR).all(axis=-1) & self._look.shown
        at = np.round(np.where(there[..., None], pixels, 0) * (1 << SHIFT)).astype(int).tolist()
        thick = max(1, round(1.8 * self._scale))
        if len(path) > 1:
            draw_trails(part, np.where(self._look.shown[:, None], path, np.nan), self._trails, thick)
        for one, other in self._bones:
            for animal in np.flatnonzero(there[:, one] & there[:, other]).tolist():
                ends = at[animal][one], at[animal][other]
                cv2.line(part, *ends, _RIM, thick + max(1, round(2 * self._scale)), cv2.LINE_AA, SHIFT)
                cv2.line(part, *ends, self._bone_color, thick, cv2.LINE_AA, SHIFT)
        radius = self._radius * (1 << SHIFT)
        for animal, number in np.argwhere(there).tolist():
            for share, color in ((1.25, _RIM), (1.0, self._colors[animal][number])):
                cv2.circle(part, at[animal][number], int(share * radius), color, -1, cv2.LINE_AA, SHIFT)

    def _draw_nothing(self, part: Pictures) -> None:
        part[...] = PANEL
        height, width = part.shape[:2]
        step = max(8, round(28 * self._scale))
        for x in range(-height, width, step):
            cv2.line(part, (x, height), (x + height, 0), _HATCH, max(1, round(2 * self._scale)), cv2.LINE_AA)
        lettering.write(part, "no frame", (width / 2, height / 2), self._letters, PALE, "mm")

    def _write_status(self, part: Pictures, moment: Moment) -> None:
        part[...] = PAGE
        base = part.shape[0] - 6 * self._scale
        digits = max(4, len(str(moment.frame)))
        left = [f"frame {moment.frame:{_FIGURE_SPACE}>{digits}}", f"{moment.time}"]
        right = self.counted(moment)
        end = lettering.write(part, left[0], (0, base), self._letters, INK)[2]
        x = end + 1.2 * self._letters + lettering.width(left[1], self._letters)
        lettering.write(part, left[1], (x, base), self._letters, PALE, "rs")
        if x + lettering.width(right, self._letters) + self._letters < part.shape[1]:
            lettering.write(part, right, (part.shape[1], base), self._letters, PALE, "rs")


def _legend(look: SceneLook, width: int, letters: float) -> list[list[tuple[float, str, Any]]]:
    """Return rows of x, name and colour; none where there is nothing to tell. At most three rows are filled."""
    if look.color_by == "individual":
        names = [(name, row[0]) for name, row in zip(look.individuals, look.colors, strict=True)]
    else:
        names = [
            (name, color)
            for name, color, shown in zip(look.bodyparts, look.colors[0], look.shown, strict=True)
            if shown
        ]
    if not any(name for name, _color in names):
        return []
    rows: list[list[tuple[float, str, Any]]] = [[]]
    x = 0.35 * letters
    for number, (name, color) in enumerate(names):
        name = _shortened(name, width / 3, 0.85 * letters)
        wide = 0.75 * letters + lettering.width(name, 0.85 * letters) + 1.4 * letters
        more = f"and {len(names) - number} more"
        rest = 0.0 if number == len(names) - 1 or len(rows) < 3 else lettering.width(more, letters)
        if x + wide - letters + rest > width and rows[-1]:
            if len(rows) == 3:
                rows[-1].append((x - 0.75 * letters, more, None))
                break
            rows.append([])
            x = 0.35 * letters
        rows[-1].append((x, name, color))
        x += wide
    return rows


def _shortened(text: str, room: float, letters: float) -> str:
    """Return a text that is no wider than the room for it."""
    if lettering.width(text, letters) <= room:
        return text
    while text and lettering.width(text + "…", letters) > room:
        text = text[:-1]
    return text + "…"
