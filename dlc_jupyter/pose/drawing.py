"""Poses drawn on pictures: the same pixels as DeepLabCut's fast mode, some fifty times as fast.

DeepLabCut asks scikit-image for the pixels of each dot anew, for a trail as often as it has dots. Here the dots' rows
of pixels are computed for many frames at once, and OpenCV fills them. There is nothing to be compiled: for most videos
that would take longer than to draw them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from dlc_jupyter.pose.frames import Pictures

Color = tuple[int, int, int]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

#: The colour of the boxes around animals: red. All colours are blue, green, red here, as in OpenCV's pictures.
BOXES: Color = (0, 0, 255)

_AT_ONCE = 64  # frames whose dots are computed together
_MOST = 1 << 25  # bytes of lines kept for that; where there are more, those of each dot are computed when it is drawn


@dataclass(frozen=True)
class Look:
    """How poses are drawn, in the words of ``create_labeled_video``; nothing is left open.

    Attributes
    ----------
    bodyparts : sequence of str
        Those that are drawn.
    dotsize : float
        Radius of the dots in pixels.
    skeleton : sequence of (str, str)
        The body parts between which there are lines.
    trailpoints : int
        A trail has one dot less than this.
    bboxes_pcutoff : float
        Boxes with a lower score are not drawn.
    """

    bodyparts: Sequence[str]
    pcutoff: float = 0.6
    dotsize: float = 12
    colormap: str = "rainbow"
    skeleton: Sequence[Sequence[str]] = ()
    skeleton_color: str = "black"
    trailpoints: int = 0
    color_by: str = "bodypart"
    confidence_to_alpha: bool = False
    displaycropped: bool = False
    bboxes_pcutoff: float = 0.6


class Painter:
    """Draws a video's poses on its pictures.

    Parameters
    ----------
    poses : DataFrame
        As DeepLabCut writes them: x, y (pixels) and likelihood of every body part, a row for each frame.
    look : Look
        How they are drawn.
    size : tuple of int
        Width and height of the video's picture, in pixels.
    window : tuple of int
        x1, x2, y1, y2: the part of the picture to which the poses are relative.
    boxes : sequence of mapping, optional
        For each frame ``bboxes`` (n x 4: x, y, width, height in pixels) and ``bbox_scores`` (n).

    Attributes
    ----------
    crop : tuple of int or None
        The part of the picture that is shown and drawn on, like `window`; None: all of it.
    width, height : int
        Of the pictures that are drawn on, in pixels.
    """

    def __init__(
        self,
        poses: pd.DataFrame,
        look: Look,
        size: tuple[int, int],
        window: tuple[int, int, int, int],
        boxes: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._look, self._boxes, self._corner = look, boxes, (window[0], window[2])
        self.crop = window if look.displaycropped else None
        x1, x2, y1, y2 = self.crop or (0, size[0], 0, size[1])
        self.width, self.height = x2 - x1, y2 - y1
        # The table's own numbers: of a long video there is no second copy of them.
        self._x, self._y, self._likelihood = poses.values.reshape((len(poses), -1, 3)).T
        self._right, self._down = (0, 0) if look.displaycropped else self._corner
        names = poses.columns.get_level_values("bodyparts").to_numpy()[::3]
        keep = np.flatnonzero(np.isin(names, list(look.bodyparts)))
        colors = _colors(poses.columns, look)
        self._dots = [(int(number), colors[number]) for number in keep]
        self._pairs = np.array([pair for one, other in look.skeleton for pair in _pairs(names, one, other)], int)
        self._line_color = named_color(look.skeleton_color)
        self._behind = max(look.trailpoints - 1, 0)
        bytes_of_a_dot = 24 * (2 * look.dotsize + 1)
        self._many = len(self._dots) * (self._behind + _AT_ONCE) * bytes_of_a_dot > _MOST
        self._first = self._start = self._stop = 0
        self._prepared: tuple[Ints, Flags]

    def draw(self, picture: Pictures, index: int) -> None:
        """Draw the poses of frame `index`, counted from 0, in its picture: height x width x 3, without gaps."""
        if not self._many and not self._first <= index < self._stop:
            self._prepare(index)
        if index < len(self._boxes):
            self._draw_boxes(picture, self._boxes[index])
        if len(self._pairs):
            self._draw_skeleton(picture, index)
        for place, (number, color) in enumerate(self._dots):
            likelihood = self._likelihood[number, index]
            if likelihood > self._look.pcutoff:
                alpha = self._alpha(likelihood) if self._look.confidence_to_alpha else None
                self._draw_dot(picture, index, place, color, alpha)

    # -- dots --------------------------------------------------------------------------------------------------------

    def _prepare(self, index: int) -> None:
        """Compute the dots of the frames from `index` on, and of those before that are in its trail."""
        self._first, self._stop = index, min(index + _AT_ONCE, self._x.shape[1])
        self._start = max(index - self._behind, 0)
        self._prepared = self._compute([number for number, _color in self._dots], self._start, self._stop)

    def _compute(self, numbers: Any, start: int, stop: int) -> tuple[Ints, Flags]:
        x, y = self._x[numbers, start:stop] + self._right, self._y[numbers, start:stop] + self._down
        return outlines(x, y, self._look.dotsize, self.width, self.height)

    def _draw_dot(self, picture: Pictures, index: int, place: int, color: Color, alpha: Any) -> None:
        begin, end = max(index - self._behind, 0), index + 1
        if self._many:
            dots, there = self._compute(self._dots[place][0], begin, end)
        else:
            frames = slice(begin - self._start, end - self._start)
            dots, there = self._prepared[0][place, frames], self._prepared[1][place, frames]
        if alpha is not None:
            dots, there, last, last_there = dots[:-1], there[:-1], dots[-1], there[-1]
        if not there.all():
            dots = dots[there]
        if len(dots):
            cv2.polylines(picture, list(dots), False, color)
        if alpha is not None and last_there:
            _blend(picture, last, color, alpha)

    def _alpha(self, likelihood: Any) -> Any:
        pcutoff = self._look.pcutoff
        if pcutoff == 0:
            return likelihood
        with np.errstate(divide="ignore"):
            return np.clip((likelihood - pcutoff) / (1 - pcutoff), 0, 1)

    # -- lines and boxes ---------------------------------------------------------------------------------------------

    def _draw_skeleton(self, picture: Pictures, index: int) -> None:
        x, y = self._x[:, index] + self._right, self._y[:, index] + self._down
        seen = (self._likelihood[:, index] > self._look.pcutoff) & ~np.isnan(x) & ~np.isnan(y)
        ones, others = self._pairs[seen[self._pairs].all(axis=1)].T
        right, bottom = self.width - 1, self.height - 1
        # DeepLabCut keeps a line's end, other than its start, away from the first row and column.
        rows, columns = np.clip(y[ones], 0, bottom).astype(int), np.clip(x[ones], 0, right).astype(int)
        down = np.clip(y[others], 1, bottom).astype(int) - rows
        along = np.clip(x[others], 1, right).astype(int) - columns
        pixels = smooth_lines(rows * self.width + columns, down, along, self.width)
        picture.reshape(-1, 3)[pixels] = self._line_color

    def _draw_boxes(self, picture: Pictures, found: Mapping[str, Any]) -> None:
        boxes, scores = found.get("bboxes"), found.get("bbox_scores")
        for number, (x, y, width, height) in enumerate(() if boxes is None else boxes):
            if scores is not None and scores[number] < self._look.bboxes_pcutoff:
                continue
            # DeepLabCut moves them also where the picture is cropped, and draws them around the box's outermost pixels.
            start = np.array([x + self._corner[0], y + self._corner[1]])
            ends = np.stack([start, start + np.array([width, height])])
            if not np.isfinite(ends).all():
                continue
            limits = [self.width + 2, self.height + 2]
            left, top = np.clip(np.round(ends.min(axis=0)), -2, limits).astype(int).tolist()
            right, bottom = np.clip(np.round(ends.max(axis=0)), -2, limits).astype(int).tolist()
            cv2.rectangle(picture, (left - 1, top - 1), (right, bottom), BOXES)


def outlines(x: Floats, y: Floats, radius: float, width: int, height: int) -> tuple[Ints, Flags]:
    """Return the pixels of dots as lines that run through all of them.

    A pixel belongs to a dot if its middle is nearer to the dot's than the radius (scikit-image's ``disk``). Within a
    row these pixels are neighbours, and the shorter rows of a dot lie above or below of longer ones. So a line from row
    to row, there and back, crosses all of them and no others.

    Parameters
    ----------
    x, y : array of float
        Of the dots' middles, in pixels. NaN, and what is outside of the picture, is no dot.
    radius : float
        In pixels.
    width, height : int
        Of the picture, in pixels.

    Returns
    -------
    lines : array of int32, shape of `x`, then points x 2
        x and y of the corners of a line. All of them have the same number of corners; some fall together.
    there : array of bool, shape of `x`
        Whether the dot has any pixel in the picture.
    """
    if radius <= 0:
        return np.zeros((*x.shape, 1, 2), np.int32), np.zeros(x.shape, bool)
    with np.errstate(invalid="ignore"):
        near = (x > -radius) & (x < width + radius) & (y > -radius) & (y < height + radius)
    x, y = np.where(near, x, 0.0).astype(np.float64), np.where(near, y, 0.0).astype(np.float64)
    top = np.ceil(y - radius)
    rows: Floats = top[..., None] + np.arange(int(2 * radius) + 1)
    down = (rows - y[..., None]) / radius
    down *= down
    first, last = _ends(x, down, radius)
    first, last = np.maximum(first, 0), np.minimum(last, width - 1)
    full = (first <= last) & (rows >= 0) & (rows < height) & near[..., None]
    return _through(rows, first, last, full), np.any(full, axis=-1)


def _ends(x: Floats, down: Floats, radius: float) -> tuple[Floats, Floats]:
    """Return the first and last column of every row: `down` is the square of its distance from the middle, in radii."""
    middle = x[..., None]
    half = radius * np.sqrt(np.maximum(1 - down, 0))

    def within(column: Floats) -> Flags:
        along = (column - middle) / radius
        return np.asarray(along * along + down < 1)

    ends = []
    for side, guess in ((1, np.ceil(middle - half)), (-1, np.floor(middle + half))):
        # The root is rounded, and a pixel on the rim may be on either side of it.
        ends.append(np.where(within(guess - side), guess - side, np.where(within(guess), guess, guess + side)))
    first, last = ends
    none = ~(within(first) & within(last))  # where half a pixel's width has no middle of a pixel in it
    return np.where(none, 1.0, first), np.where(none, 0.0, last)


def _through(rows: Floats, first: Floats, last: Floats, full: Flags) -> Ints:
    """Return lines that run through all columns from `first` to `last` of all `rows` that are `full`."""
    count = rows.shape[-1]
    # Rows with pixels are neighbours; one without takes the place of the nearest that has some.
    begin = full.argmax(axis=-1)[..., None]
    end = count - 1 - full[..., ::-1].argmax(axis=-1)[..., None]
    nearest = np.clip(np.arange(count), begin, np.maximum(begin, end))
    rows, first, last = (np.take_along_axis(each, nearest, axis=-1) for each in (rows, first, last))
    # Every second row is run through backwards.
    back = np.arange(count) % 2 == 1
    line = np.empty((*rows.shape, 3, 2), np.int32)
    line[..., :2, 1] = rows[..., None]
    line[..., 0, 0] = np.where(back, last, first)
    line[..., 1, 0] = end_of_row = np.where(back, first, last)
    # From a row to the next one in a column that both have: down at the end, or back in the row and then down.
    next_rows, next_first, next_last = (np.roll(each, -1, axis=-1) for each in (rows, first, last))
    next_rows[..., -1], next_first[..., -1], next_last[..., -1] = rows[..., -1], first[..., -1], last[..., -1]
    line[..., 2, 0] = turn = np.clip(end_of_row, next_first, next_last)
    line[..., 2, 1] = np.where(turn == end_of_row, next_rows, rows)
    return line.reshape(*rows.shape[:-1], count * 3, 2)


def _blend(picture: Pictures, outline: Ints, color: Color, alpha: Any) -> None:
    """Mix a dot's colour with what is there, as scikit-image's ``set_color`` does."""
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    part = picture[top : bottom + 1, left : right + 1]
    mask = np.zeros(part.shape[:2], np.uint8)
    cv2.polylines(mask, [outline - np.array([left, top], np.int32)], False, 255)
    alpha = np.float64(alpha)
    table = (np.arange(256)[:, None] * (1 - alpha) + np.array(color) * alpha).astype(np.uint8)
    part[...] = np.where(mask[..., None] > 0, cv2.LUT(np.ascontiguousarray(part), table[None]), part)


def smooth_lines(start: Ints, down: Ints, along: Ints, width: int) -> Ints:
    """Return the pixels of lines, as scikit-image's ``line_aa`` finds them, which follows A. Zingl's algorithm.

    In each step along its longer side a line has the pixel that is nearest to it, and a neighbour of that one where the
    line passes less than a pixel's width away.

    Parameters
    ----------
    start, down, along : array of int
        For each line the pixel where it begins, and how far it goes from there, in pixels.
    width : int
        Of the picture, in pixels.

    Returns
    -------
    array of int
        Numbers of pixels, counted from 0, row by row, as in `start`. Some come more than once.
    """
    high, wide = np.abs(down), np.abs(along)
    to_row, to_column = np.sign(down) * width, np.sign(along)
    long, short = np.maximum(high, wide), np.minimum(high, wide)
    count = long + 1
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    sides = np.where(high > wide, (to_row, to_column), (to_column, to_row))
    ahead, aside, begin, length = (
        np.repeat(each, count) for each in (*sides, start, np.sqrt(long * long + short * short))
    )
    long, short = np.repeat(long, count), np.repeat(short, count)
    sidesteps = short * (2 * step + 1) // np.maximum(2 * long, 1)
    error = long * (1 + sidesteps) - short * (step + 1)
    on_the_way = step < long
    before = on_the_way & (error + short < length)
    behind = on_the_way & (2 * error <= short) & (long - error < length)
    pixels = begin + sidesteps * aside + step * ahead
    return np.concatenate([pixels, (pixels + aside)[before], (pixels + ahead)[behind]])


# -- who has which colour --------------------------------------------------------------------------------------------


def _colors(columns: Any, look: Look) -> list[Color]:
    """Return the colour of every body part of every individual, in the order of the columns, as DeepLabCut has them."""
    names = list(columns.get_level_values("bodyparts")[::3])
    parts = list(dict.fromkeys(names))
    if columns.nlevels == 3:
        each = len(names) // len(parts)
        of_part, of_animal = np.repeat(np.arange(len(parts)), each), np.tile(np.arange(each), len(parts))
    else:
        # DeepLabCut counts the individuals' body parts in the order of their names.
        counts = Counter(columns.get_level_values("individuals")[::3])
        each = len(counts)
        of_part = np.array([parts.index(name) for name in names])
        of_animal = np.repeat(np.arange(each), [counts[name] for name in sorted(counts)])
    by_part = look.color_by == "bodypart"
    found = shades(look.colormap, len(parts) if by_part else each)
    return [found[at] for at in (of_part if by_part else of_animal).tolist()]


def shades(colormap: str, number: int) -> list[Color]:
    """Return so many colours of one of matplotlib's colour maps, from its beginning to its end."""
    from matplotlib.cm import ScalarMappable

    rgba = ScalarMappable(cmap=colormap).to_rgba(np.linspace(0, 1, number))
    return [(blue, green, red) for blue, green, red in (rgba[:, 2::-1] * 255).astype(np.uint8).tolist()]


def named_color(name: str) -> Color:
    """Return the colour that matplotlib knows by this name."""
    from matplotlib.colors import to_rgba

    red, green, blue = (np.array(to_rgba(name))[:3] * 255).astype(np.uint8).tolist()
    return blue, green, red


def _pairs(names: Any, one: str, other: str) -> list[tuple[int, int]]:
    """Return the numbers of two body parts, in each individual that has them."""
    return list(zip(np.flatnonzero(names == one).tolist(), np.flatnonzero(names == other).tolist(), strict=False))
