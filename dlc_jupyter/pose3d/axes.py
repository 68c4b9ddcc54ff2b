"""The walls of the box around a 3D scene: grid, ticks and numbers, so that the dots in it have a place and a size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from dlc_jupyter.pose.drawing import Color
from dlc_jupyter.pose.frames import Pictures
from dlc_jupyter.pose3d import lettering
from dlc_jupyter.pose3d.cameras import Array
from dlc_jupyter.pose3d.perspective import Box, Eye

# All colours are blue, green, red, as in OpenCV's pictures.
INK: Color = (243, 237, 230)
PALE: Color = (176, 166, 156)
_WALL: Color = (43, 34, 28)
_FLOOR: Color = (56, 46, 38)
_GRID: Color = (76, 64, 54)
_EDGE: Color = (122, 107, 93)

#: Sixteenths of a pixel, OpenCV's ``shift``.
SHIFT = 4
#: An axis whose edge is shorter than this, in letters, points at the eye and has no numbers.
_SHORTEST = 4


@dataclass(frozen=True)
class Label:
    """A number or a name at an axis; `at` is its middle, in pixels."""

    text: str
    at: Array
    color: Color

    def extent(self, letters: float) -> Array:
        """Return the least and the greatest x and y that it takes, in pixels, shape (2, 2)."""
        half = np.array([lettering.width(self.text, letters), 1.1 * letters]) / 2
        return np.stack([self.at - half, self.at + half])


@dataclass(frozen=True)
class Axes:
    """The walls of a box as an eye sees them.

    Attributes
    ----------
    up : (int, int)
        The number of the axis that goes up, and the end of it that is above: 0 the least, 1 the greatest.
    unit : str
        Written beside the axes' names.
    letters : float
        Their size in pixels.
    """

    box: Box
    eye: Eye
    up: tuple[int, int]
    unit: str
    letters: float

    def draw(self, picture: Pictures) -> None:
        """Draw the walls that are seen from inside, with all that belongs to them."""
        thin = max(1, round(self.letters / 16))
        for axis, side in self._walls:
            fill = _FLOOR if (axis, 1 - side) == self.up else _WALL
            cv2.fillConvexPoly(picture, self._fixed(self._wall(axis, side)), fill, cv2.LINE_AA, SHIFT)
            one, other = _others(axis)
            for along, across in ((one, other), (other, one)):
                for tick in self._values[along]:
                    line = [self._at({axis: side, across: end}, {along: tick}) for end in (0, 1)]
                    cv2.polylines(picture, [self._fixed(line)], False, _GRID, thin, cv2.LINE_AA, SHIFT)
        for axis, side in self._walls:
            cv2.polylines(picture, [self._fixed(self._wall(axis, side))], True, _EDGE, thin, cv2.LINE_AA, SHIFT)
        for axis in range(3):
            for start, out in self._ticks(axis):
                ends = np.round(np.stack([start, start + out * 0.35 * self.letters]) * (1 << SHIFT)).astype(np.int32)
                cv2.polylines(picture, [ends], False, _EDGE, thin, cv2.LINE_AA, SHIFT)
        for label in self.labels():
            at = float(label.at[0]), float(label.at[1])
            lettering.write(picture, label.text, at, self.letters, label.color, "mm")

    def labels(self) -> list[Label]:
        """Return all names, and the numbers that do not touch a name or each other."""
        wanted = [label for axis in range(3) for label in self._labels(axis)]
        kept: list[Label] = []
        for label in sorted(wanted, key=lambda each: each.color != INK):
            low, high = label.extent(self.letters)
            others = [each.extent(self.letters) for each in kept]
            if not any((low < each[1]).all() and (high > each[0]).all() for each in others):
                kept.append(label)
        return kept

    def _labels(self, axis: int) -> Iterator[Label]:
        found = self._edges[axis]
        if found is None:
            return
        edge, _where, along, out = found
        letters, ticks = self.letters, self._ticks(axis)
        texts = [f"{tick:.6g}".replace("-", "\u2212") for tick in self._values[axis]]
        widest = max((lettering.width(text, letters) for text in texts), default=0.0)
        # Only as many numbers as do not touch each other.
        needed = min(abs(along[0]) * widest + abs(along[1]) * 0.9 * letters, widest) + 0.6 * letters
        step = float(np.linalg.norm(ticks[1][0] - ticks[0][0])) if len(ticks) > 1 else needed
        every = max(1, int(np.ceil(needed / max(step, 1.0))))
        for (start, _out), text in list(zip(ticks, texts, strict=True))[::every]:
            away = 0.75 * letters + _reach(out, lettering.width(text, letters), letters)
            yield Label(text, start + out * away, PALE)
        name = f"{'xyz'[axis]} ({self.unit})" if self.unit else "xyz"[axis]
        if axis == self.up[0]:
            top = edge[edge[:, 1].argmin()]
            yield Label(name, top + np.array([0.0, -1.1 * letters]), INK)
        else:
            away = 1.25 * letters + 2 * _reach(out, widest, letters)
            away += _reach(out, lettering.width(name, letters), letters)
            yield Label(name, edge.mean(axis=0) + out * away, INK)

    def _ticks(self, axis: int) -> list[tuple[Array, Array]]:
        """Return where an axis's ticks begin, and the direction away from the box, in pixels."""
        found = self._edges[axis]
        if found is None:
            return []
        _edge, where, _along, out = found
        places = [self._at(where, {axis: tick}) for tick in self._values[axis]]
        return [(pixel, out) for pixel in self.eye.project(np.array(places).reshape(-1, 3))[0]]

    @cached_property
    def _edges(self) -> list[tuple[Array, dict[int, int], Array, Array] | None]:
        return [self._edge(axis) for axis in range(3)]

    @cached_property
    def _values(self) -> list[list[float]]:
        return [self.box.ticks(axis) for axis in range(3)]

    def _edge(self, axis: int) -> tuple[Array, dict[int, int], Array, Array] | None:
        """Return the edge of the box's outline that has an axis's numbers: the lowest, or the one farthest left.

        These are its two ends in pixels, where it is, its direction, and the direction away from the box.
        """
        one, other = _others(axis)
        walls = set(self._walls)
        outline = [(i, j) for i in (0, 1) for j in (0, 1) if ((one, i) in walls) != ((other, j) in walls)]
        edges = []
        for i, j in outline:
            ends = np.array([self._at({one: i, other: j, axis: end}) for end in (0, 1)])
            pixels = self.eye.project(ends)[0]
            if np.linalg.norm(pixels[1] - pixels[0]) > _SHORTEST * self.letters:
                edges.append((pixels, {one: i, other: j}))
        if not edges:
            return None
        column, sign = (0, 1) if axis == self.up[0] else (1, -1)
        edge, where = min(edges, key=lambda each: sign * float(each[0][:, column].mean()))
        along = (edge[1] - edge[0]) / np.linalg.norm(edge[1] - edge[0])
        out = np.array([along[1], -along[0]])
        out *= np.sign(out @ (edge.mean(axis=0) - self.eye.project(self.box.centre)[0])) or 1.0
        return edge, where, along, out

    @cached_property
    def _walls(self) -> list[tuple[int, int]]:
        """Return the walls behind the scene, as axis and end of it."""
        place, limits = self.eye.place, self.box.limits
        near = [(place[axis] > limits[axis, 0], place[axis] < limits[axis, 1]) for axis in range(3)]
        return [(axis, side) for axis in range(3) for side in (0, 1) if near[axis][side]]

    def _wall(self, axis: int, side: int) -> list[Array]:
        one, other = _others(axis)
        return [self._at({axis: side, one: i, other: j}) for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))]

    def _at(self, ends: dict[int, int], values: dict[int, float] | None = None) -> Array:
        """Return a point of the scene, given by the ends of some axes and by values on the others."""
        at = np.array([self.box.limits[axis, ends.get(axis, 0)] for axis in range(3)])
        for axis, value in (values or {}).items():
            at[axis] = value
        return at

    def _fixed(self, points: Sequence[Array]) -> Any:
        return np.round(self.eye.project(np.array(points))[0] * (1 << SHIFT)).astype(np.int32)


def _others(axis: int) -> tuple[int, int]:
    one, other = (each for each in range(3) if each != axis)
    return one, other


def _reach(out: Array, wide: float, letters: float) -> float:
    """Return how far a text's middle must be from what it may not touch, in that direction."""
    return float(abs(out[0]) * wide / 2 + abs(out[1]) * letters / 2)
