"""Drawing points in space: a box with axes, and in it dots, a skeleton and trails, the farther ones first.

OpenCV draws, smoothly and at parts of pixels. The box is drawn once and copied for each frame; what moves takes about
a millisecond. matplotlib only names the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.drawing import Color, Flags, named_color, shades
from dlc_jupyter.pose.frames import Pictures
from dlc_jupyter.pose3d.axes import SHIFT, Axes
from dlc_jupyter.pose3d.cameras import Array
from dlc_jupyter.pose3d.perspective import UPS, Box, Eye, axes_of, check_limits, fitted

# All colours are blue, green, red, as in OpenCV's pictures.
PAGE: Color = (23, 17, 13)
PANEL: Color = (32, 24, 19)
_SHADOW: Color = (34, 26, 20)
_BONE: Color = (225, 217, 208)
_RIM: Color = (16, 11, 8)

#: A line's or a dot's colour is one of so many between its own and the background's, by its depth or its age.
LEVELS = 12
#: How much of the background is in what is farthest away.
_HAZE = 0.45
#: The least brightness of a colour, of 255, and the least mean of that and of its strongest part: the ends of maps such
#: as jet are nearly black.
_BRIGHTNESS, _STRENGTH = 60, 125
#: Lines to places farther out than this, in pixels, are not drawn: OpenCV's coordinates are small numbers.
FAR = 8000

#: The azimuth is counted from the side of camera 1 where y goes down, and from x where z goes up.
VIEWS = {"-y": (22.0, -32.0), "z": (24.0, -58.0)}


@dataclass(frozen=True)
class SceneLook:
    """How points in space are drawn.

    Attributes
    ----------
    bodyparts, individuals : sequence of str
        What the points are, in the order of their arrays.
    displayedbodyparts : sequence of str, optional
        Those that are drawn; all of them where this is left out.
    skeleton : sequence of (str, str)
        The body parts between which there are lines, within each individual.
    skeleton_color : str, optional
        As matplotlib names it.
    pcutoff : float
        In the camera views, dots with a likelihood that is not greater are not drawn.
    color_by : str
        ``bodypart`` or ``individual``.
    colormap : str
        One of matplotlib's.
    dotsize : float, optional
        Radius of the dots in pixels, in the middle of the scene.
    trailpoints : int
        Through how many frames before this one the trails go.
    xlim, ylim, zlim : (float, float), optional
        What of the scene is shown, in its unit; otherwise see `box_around`.
    up : str
        The axis that goes up in the scene: ``-y`` where its axes are those of a camera (y goes down), ``z`` where they
        are those of a board on the floor.
    view : (float, float), optional
        From where the scene is looked at: elevation and azimuth in degrees. The elevation is the angle above the
        ground. The azimuth is counted around `up`: for ``-y`` from the side of the camera whose axes these are, to its
        right; for ``z`` from the x axis to the y axis. The latter is matplotlib's way, and so DeepLabCut's: its
        default is ``up="z", view=(-113, -270)``, a look along a camera's own z axis with the picture turned by 180
        degrees.
    turn : float
        Degrees by which the azimuth grows in a second.
    unit : str
        Of the scene; "" where it is not known.
    width : int
        Of the whole picture in pixels; its height follows.
    """

    bodyparts: Sequence[str]
    individuals: Sequence[str] = ("",)
    displayedbodyparts: Sequence[str] | None = None
    skeleton: Sequence[Sequence[str]] = ()
    skeleton_color: str | None = None
    pcutoff: float = 0.6
    color_by: str = "bodypart"
    colormap: str = "rainbow"
    dotsize: float | None = None
    trailpoints: int = 0
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    zlim: tuple[float, float] | None = None
    up: str = "-y"
    view: tuple[float, float] | None = None
    turn: float = 0.0
    unit: str = ""
    width: int = 1920

    def check(self) -> None:
        """Refuse body parts, colours and limits that cannot be meant."""
        import matplotlib
        from matplotlib.colors import is_color_like

        named = {*(self.displayedbodyparts or ()), *(name for pair in self.skeleton for name in pair)}
        unknown = sorted(named - set(self.bodyparts))
        if unknown or self.displayedbodyparts == []:
            wrong = f"There is no body part {', '.join(unknown)}" if unknown else "No body part is to be drawn"
            raise AnalysisFailed(
                f"{wrong}. There are: {', '.join(self.bodyparts)}.",
                hint="Correct displayedbodyparts and the skeleton, or leave them out.",
                kind="UnknownBodyPart",
            )
        colors = self.skeleton_color is None or is_color_like(self.skeleton_color)
        if not colors or self.colormap not in matplotlib.colormaps:
            raise AnalysisFailed(
                f"There is no {'colour map' if colors else 'colour'} called "
                f"{self.colormap if colors else self.skeleton_color}.",
                hint="Give colormap as matplotlib names it, and skeleton_color as a common English name or as #rrggbb.",
                kind="UnknownColor",
            )
        for name, value, words in (
            ("color_by", self.color_by, ("bodypart", "individual")),
            ("up", self.up, UPS),
        ):
            if value not in words:
                raise AnalysisFailed(
                    f"{name} cannot be {value}.", hint=f"It is one of {', '.join(words)}.", kind="UnknownWord"
                )
        for name, limits in zip(("xlim", "ylim", "zlim"), self.limits, strict=True):
            check_limits(name, limits)
        if not 640 <= self.width <= 1920:
            raise AnalysisFailed(
                f"The video cannot be {self.width} pixels wide.", hint="Choose from 640 to 1920.", kind="WrongWidth"
            )

    @property
    def limits(self) -> tuple[tuple[float, float] | None, ...]:
        """Those of x, y and z that were given."""
        return self.xlim, self.ylim, self.zlim

    @property
    def shape(self) -> tuple[int, int]:
        """How many individuals and body parts there are."""
        return len(self.individuals), len(self.bodyparts)

    @property
    def shown(self) -> Any:
        """Which body parts are drawn, by number, in an array of bool."""
        chosen = self.bodyparts if self.displayedbodyparts is None else self.displayedbodyparts
        return np.array([name in chosen for name in self.bodyparts], bool)

    @property
    def bones(self) -> list[tuple[int, int]]:
        """The skeleton's lines that are drawn, by the numbers of their body parts."""
        shown, number = self.shown, {name: index for index, name in enumerate(self.bodyparts)}
        pairs = [(number[one], number[other]) for one, other in self.skeleton]
        return [pair for pair in pairs if shown[list(pair)].all()]

    @property
    def colors(self) -> list[list[Color]]:
        """By individual and body part: the colour map's, but none as dark as the background."""
        animals, parts = self.shape
        found = [_lifted(color) for color in shades(self.colormap, animals if self._by_animal else parts)]
        return [[color] * parts for color in found] if self._by_animal else [found] * animals

    @property
    def _by_animal(self) -> bool:
        return self.color_by == "individual"

    @property
    def bone_color(self) -> Color:
        """That of the skeleton's lines."""
        return _BONE if self.skeleton_color is None else named_color(self.skeleton_color)


def mixed(color: Color, other: Color, share: float) -> Color:
    """Return a colour with some of another one in it."""
    blue, green, red = (round(one + (two - one) * share) for one, two in zip(color, other, strict=True))
    return blue, green, red


def _lifted(color: Color) -> Color:
    """Return a colour that is bright enough for a dark background, with as little white in it as that takes."""
    blue, green, red = color
    bright = 0.114 * blue + 0.587 * green + 0.299 * red
    strong = (bright + max(color)) / 2
    lacking = (
        (least - has) / (255 - has) for least, has in ((_BRIGHTNESS, bright), (_STRENGTH, strong)) if has < least
    )
    return mixed(color, (255, 255, 255), max(lacking, default=0.0))


class Scene:
    """Draws points in space into the same part of every picture.

    Parameters
    ----------
    look : SceneLook
    box : Box
        What is shown.
    size : (int, int)
        Width and height of the part of the picture, in pixels.
    scale : float
        How much larger letters and lines are than in a picture that is 1920 pixels wide.
    """

    def __init__(self, look: SceneLook, box: Box, size: tuple[int, int], scale: float = 1.0) -> None:
        self.look, self.box, self.size, self._scale = look, box, size, scale
        self._letters = 22 * scale
        # In a small picture dots are larger than to scale: wider than their bones, which are of whole pixels.
        self._radius = max(9 * scale, 4.5) if look.dotsize is None else look.dotsize
        self._up = "xyz".index(look.up[-1]), 0 if look.up[0] == "-" else 1
        around = range(0, 360, 10) if look.turn else (0,)
        self._eye = self._fitted([self._axes(each) for each in around])
        self._drawn: tuple[float, Pictures] | None = None
        fading = np.linspace(0, _HAZE, LEVELS)
        self._dots = [[[_ball(color, haze) for haze in fading] for color in row] for row in look.colors]
        self._bones = [mixed(look.bone_color, PANEL, haze) for haze in fading]
        self._trails = [
            [[mixed(color, PANEL, 0.25 + 0.7 * age) for age in np.linspace(0, 1, LEVELS)] for color in row]
            for row in look.colors
        ]

    def eye(self, turned: float = 0.0) -> Eye:
        """Return who looks at the scene, turned around it by some degrees."""
        return self._eye.turned(self._axes(turned))

    def draw(self, picture: Pictures, points: Array, trail: Array | None = None, turned: float = 0.0) -> None:
        """Draw a frame.

        Parameters
        ----------
        picture : array of uint8, height x width x 3
            The part for the scene, as large as `size`. All of it is drawn anew.
        points : ndarray of float, shape (individuals, bodyparts, 3)
            In the scene's unit; NaN is not drawn, nor is what is far outside of the box.
        trail : ndarray of float, shape (frames, individuals, bodyparts, 3), optional
            Where they were before, the last one being `points`.
        turned : float
            By how many degrees the view has turned.
        """
        eye = self.eye(turned)
        np.copyto(picture, self._background(turned))
        points = self._visible(points)
        self._draw_shadows(picture, eye, points)
        if trail is not None and len(trail) > 1:
            before = eye.project(self._visible(trail))[0]
            draw_trails(picture, before, self._trails, max(1, round(2 * self._scale)))
        pixels, depth = eye.project(points)
        near = self._eye.distance - self.box.radius
        with np.errstate(invalid="ignore"):
            far = np.clip((depth - near) / (2 * self.box.radius), 0, 1) * (LEVELS - 1)
        self._draw_points(picture, pixels, depth, far)

    def visible(self, points: Array) -> Flags:
        """Return which points, shape (..., individuals, bodyparts, 3), are drawn, if they are in the picture at all."""
        return np.asarray(self.box.near(points) & self.look.shown)

    def _visible(self, points: Array) -> Array:
        return np.where(self.visible(points)[..., None], points, np.nan)

    def _axes(self, turned: float) -> Array:
        elevation, azimuth = self.look.view or VIEWS.get(self.look.up, (24.0, 32.0))
        return axes_of(self.look.up, elevation, azimuth + turned)

    # -- what moves --------------------------------------------------------------------------------------------------

    def _draw_points(self, picture: Pictures, pixels: Array, depth: Array, far: Array) -> None:
        """Draw dots and bones, the farther ones first; a bone lies behind both of its dots."""
        things: list[tuple[float, int, int, int]] = [  # depth, individual, body part, the bone's other end
            (float(depth[animal, part]), animal, part, -1) for animal, part in np.argwhere(np.isfinite(depth)).tolist()
        ]
        for one, other in self.look.bones:
            farther = np.where(np.isfinite(depth[:, one] + depth[:, other]), depth[:, [one, other]].max(axis=1), np.nan)
            things += [
                (float(farther[animal]), animal, one, other) for animal in np.flatnonzero(np.isfinite(farther)).tolist()
            ]
        at = np.round(np.nan_to_num(pixels) * (1 << SHIFT)).astype(int).tolist()
        level = np.nan_to_num(far).round().astype(int)
        for deep, animal, part, other in sorted(things, key=lambda each: (each[0], each[3] >= 0), reverse=True):
            if other >= 0:
                size = self._eye.distance / float(depth[animal, [part, other]].mean())
                color = self._bones[int(level[animal, [part, other]].mean())]
                ends = at[animal][part], at[animal][other]
                thick = max(1, round(3.2 * size * self._scale))
                cv2.line(picture, *ends, _RIM, thick + max(1, round(2 * self._scale)), cv2.LINE_AA, SHIFT)
                cv2.line(picture, *ends, color, thick, cv2.LINE_AA, SHIFT)
                continue
            x, y = at[animal][part]
            radius = self._radius * self._eye.distance / deep * (1 << SHIFT)
            rim, body, shine = self._dots[animal][part][level[animal, part]]
            for share, shift, color in ((1.16, 0.0, rim), (1.0, 0.0, body), (0.36, 0.32, shine)):
                centre = int(x - shift * radius), int(y - shift * radius)
                cv2.circle(picture, centre, int(share * radius), color, -1, cv2.LINE_AA, SHIFT)

    def _draw_shadows(self, picture: Pictures, eye: Eye, points: Array) -> None:
        """Draw what is straight below on the floor: it tells where in the box a point is."""
        axis, end = self._up
        floor = self.box.limits[axis, 1 - end]
        slope = float(eye.axes[2, axis]) * (1 if end else -1)
        if slope <= 0.05:  # seen from below
            return
        sides = [each for each in range(3) if each != axis]
        low, high = self.box.limits[sides].T
        with np.errstate(invalid="ignore"):
            above = (points[..., sides] >= low) & (points[..., sides] <= high)
        below = points.copy()
        below[..., axis] = floor
        below[~above.all(axis=-1)] = np.nan
        pixels, depth = eye.project(below)
        at = np.round(np.nan_to_num(pixels) * (1 << SHIFT)).astype(int).tolist()
        there: Flags = np.isfinite(depth)
        for one, other in self.look.bones:
            for animal in np.flatnonzero(there[:, one] & there[:, other]).tolist():
                thick = max(1, round(3 * self._scale))
                cv2.line(picture, at[animal][one], at[animal][other], _SHADOW, thick, cv2.LINE_AA, SHIFT)
        for animal, part in np.argwhere(there).tolist():
            radius = self._radius * self._eye.distance / depth[animal, part] * (1 << SHIFT)
            axes = int(radius), int(radius * slope)
            cv2.ellipse(picture, at[animal][part], axes, 0, 0, 360, _SHADOW, -1, cv2.LINE_AA, SHIFT)

    # -- what does not -----------------------------------------------------------------------------------------------

    def _background(self, turned: float) -> Pictures:
        if self._drawn is None or self._drawn[0] != turned:
            picture = np.full((self.size[1], self.size[0], 3), PANEL, np.uint8)
            self._walls(self.eye(turned)).draw(picture)
            self._drawn = turned, picture
        return self._drawn[1]

    def _walls(self, eye: Eye) -> Axes:
        return Axes(self.box, eye, self._up, self.look.unit, self._letters)

    def _fitted(self, views: Sequence[Array]) -> Eye:
        """Return an eye to which the box, its numbers and names are as large as there is room for them."""
        edge = 0.8 * self._letters
        limits = np.array([[edge, edge], np.array(self.size) - edge])
        room = limits.copy()
        for _ in range(3):
            eye = fitted(self.box, views, tuple(room.reshape(-1)))
            labels = [label for axes in views for label in self._walls(eye.turned(axes)).labels()]
            taken = np.array([label.extent(self._letters) for label in labels] or [limits])
            over = np.stack([limits[0] - taken[:, 0].min(axis=0), taken[:, 1].max(axis=0) - limits[1]])
            drawn = np.stack([eye.turned(axes).project(self.box.corners)[0] for axes in views])
            spare = np.stack([limits[0] - drawn.min(axis=(0, 1)), drawn.max(axis=(0, 1)) - limits[1]])
            over = np.maximum(over, spare)  # below zero where there is more room than is used
            room += over * np.array([[1], [-1]])
            least = 0.2 * np.array(self.size)
            middle = room.mean(axis=0)
            half = np.maximum((room[1] - room[0]) / 2, least)
            room = np.stack([middle - half, middle + half])
        return fitted(self.box, views, tuple(room.reshape(-1)))


def _ball(color: Color, haze: float) -> tuple[Color, Color, Color]:
    """Return the colours of a dot's rim, of itself, and of the light on it."""
    parts = mixed(color, (0, 0, 0), 0.6), color, mixed(color, (255, 255, 255), 0.55)
    rim, body, shine = (mixed(each, PANEL, haze) for each in parts)
    return rim, body, shine


def draw_trails(picture: Pictures, paths: Array, colors: Sequence[Sequence[Sequence[Color]]], thick: int) -> None:
    """Draw lines through where points were; they have gaps where these were not.

    Parameters
    ----------
    paths : ndarray of float, shape (frames, individuals, bodyparts, 2)
        In pixels, the oldest first.
    colors : sequence of colour, by individual and body part
        From the newest part of the trail to the oldest.
    """
    with np.errstate(invalid="ignore"):
        there: Flags = np.asarray((np.abs(paths) < FAR).all(axis=-1))
    points = np.round(np.where(there[..., None], paths, 0.0) * (1 << SHIFT)).astype(np.int32)
    points = np.ascontiguousarray(np.moveaxis(points, 0, 2))  # each point's path in one piece, as OpenCV wants it
    linked: Flags = there[:-1] & there[1:]
    whole: Flags = np.asarray(linked.all(axis=0))
    for animal, part in np.argwhere(linked.any(axis=0)).tolist():
        fading = colors[animal][part]
        groups = min(len(fading), max(1, len(linked) // 3))
        bounds = np.linspace(0, len(linked), groups + 1).astype(int).tolist()
        path = points[animal, part]
        for number, (first, last) in enumerate(pairwise(bounds)):
            color = fading[(groups - 1 - number) * (len(fading) - 1) // max(groups - 1, 1)]
            if whole[animal, part]:
                lines = [path[first : last + 1]]
            else:
                lines = [path[at : at + 2] for at in range(first, last) if linked[at, animal, part]]
            cv2.polylines(picture, lines, False, color, thick, cv2.LINE_AA, SHIFT)
