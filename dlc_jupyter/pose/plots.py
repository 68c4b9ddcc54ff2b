"""Pictures of poses: where body parts were, when, how surely, and how fast they moved.

Five pictures (`PICTURES`), each a figure of its own, for a light background. Lines over time keep the least and the
greatest value of each stretch (`movement.envelope`), trajectories lose their rests, and become pixels within the SVG
where they are still long: so an SVG of any video stays below 2 MB.

The numbers of one keypoint are worked on at a time, and forgotten: those of all keypoints of a long video may be more
than the memory holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import allow_rasterization
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from dlc_jupyter.pose.colours import INK, LINES, PALE, STYLE, palette
from dlc_jupyter.pose.movement import Keypoint, Numbers, envelope, greatest_speeds, lonely, without_rests

#: Most that an SVG may take.
SVG_BYTES = 2_000_000
#: Points of all lines of one picture together; in an SVG each takes about 20 bytes.
POINTS = 50_000
#: Longer trajectories become pixels in an SVG.
TRAJECTORY_POINTS = 40_000

_GRID = "#e6e9ed"
_STYLE: Any = {
    **STYLE,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.solid_joinstyle": "round",
    "agg.path.chunksize": 20_000,
    "svg.hashsalt": "dlc-jupyter",  # the same picture is the same bytes
}
_WIDTH = 9.0  # inches
_HEAD = 0.62  # inches, of the title and the words below it
_DPI = 150


@dataclass(frozen=True)
class Movement:
    """What is drawn.

    Attributes
    ----------
    keypoints : sequence of Keypoint
        All of them, with the positions of any likelihood.
    times : array of float, one for each frame
        When it is shown, in seconds.
    width, height : int
        Of the picture that was analysed, in pixels.
    pcutoff : float
        Positions with a likelihood below it are not drawn.
    by_individual : bool
        Whether each individual has its colour, rather than each body part.
    title : str
        Names the video or model, above every picture.
    smoothed : bool
        Whether the poses were smoothed.
    groups : sequence of str
        What has a colour: every body part, or individual, that there is, drawn or not. So each keeps its own.
    """

    keypoints: Sequence[Keypoint]
    times: Numbers
    width: int
    height: int
    pcutoff: float
    by_individual: bool = False
    title: str = ""
    smoothed: bool = False
    groups: Sequence[str] = ()

    @property
    def sure(self) -> Iterator[Keypoint]:
        """The keypoints, one after the other, without the positions that are not drawn."""
        return (each.above(self.pcutoff) for each in self.keypoints)

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each body part, or of each individual, that is drawn."""
        drawn = list(dict.fromkeys(self.group(each) for each in self.keypoints))
        names = list(dict.fromkeys([*self.groups, *drawn]))
        found = dict(zip(names, palette(len(names)), strict=True))
        return {name: found[name] for name in drawn}

    def group(self, keypoint: Keypoint) -> str:
        """Return the name under which a keypoint has its colour."""
        return keypoint.individual if self.by_individual else keypoint.bodypart

    @property
    def clock(self) -> tuple[float, str]:
        """How many seconds the unit of the time axes has, and its name."""
        lasted = self.times[-1] - self.times[0] if len(self.times) else 0.0
        return (1.0, "s") if lasted <= 300 else (60.0, "min") if lasted <= 3 * 3600 else (3600.0, "h")


def draw_all(
    movement: Movement, folder: Path, form: str, *, progress: Callable[[int], None] = lambda _done: None
) -> dict[str, Path]:
    """Draw every picture.

    Parameters
    ----------
    folder : Path
        Where the files go, named after the pictures.
    form : str
        ``svg`` or ``png``.
    progress : callable
        Told how many pictures are done.

    Returns
    -------
    dict
        The file of each of `PICTURES`.
    """
    files = {}
    with matplotlib.rc_context(_STYLE):
        for done, (name, draw) in enumerate(PICTURES.items(), start=1):
            figure = draw(movement)
            files[name] = folder / f"{name}.{form}"
            _save(figure, files[name], form)
            progress(done)
    return files


def _save(figure: Figure, file: Path, form: str) -> None:
    """Write a figure; where an SVG is too large, again: with letters as text, lines as pixels, and coarser ones."""
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    for letters, pixels, dpi in (("path", False, _DPI), ("none", False, _DPI), ("none", True, 100), ("none", True, 60)):
        for line in figure.findobj(Line2D) if pixels else ():
            line.set_rasterized(True)
        with matplotlib.rc_context({"svg.fonttype": letters}):
            figure.savefig(file, format=form, dpi=dpi, metadata=metadata)
        if form != "svg" or file.stat().st_size < SVG_BYTES:
            return


# -- the pictures ----------------------------------------------------------------------------------------------------


def trajectory(movement: Movement) -> Figure:
    """Draw where each body part went: the picture seen from above, as in the video."""
    scale = min(_WIDTH - 1.9, 9.0 * movement.width / movement.height) / movement.width  # inches in a pixel
    size = (max(scale * movement.width + 1.9, 4.5), max(scale * movement.height, 1.5) + 1.0)
    words = f"likelihood ≥ {movement.pcutoff:g} · ○ the first, ● the last position"
    figure = _figure(movement, "Trajectories", size[1], words, width=size[0])
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.set_xlim(0, movement.width)
    axes.set_ylim(movement.height, 0)
    axes.set_xlabel("x (px)")
    axes.set_ylabel("y (px)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    paths, points = [], 0
    for keypoint in movement.keypoints:
        colour = _colour(movement, keypoint)
        paths += _Path.both(keypoint, movement.pcutoff, color=colour, alpha=0.75)
        x, y = paths[-1].points()
        points += len(x)
        there = np.flatnonzero(~np.isnan(x))
        for end, inside in ((there[:1], "white"), (there[-1:], colour)):
            axes.plot(x[end], y[end], "o", color=colour, markersize=5, markerfacecolor=inside, zorder=3)
    for path in paths:
        path.set_rasterized(points > TRAJECTORY_POINTS)
        axes.add_line(path)
    _legend(figure, movement)
    return figure


def position(movement: Movement) -> Figure:
    """Draw x and y of each body part over time; y points down, as in the video."""
    individuals = [""] if movement.by_individual else list(dict.fromkeys(e.individual for e in movement.keypoints))
    rows = 2 * max(len(individuals), 1)
    figure = _figure(movement, "Position", 0.9 + 2.2 * rows, f"likelihood ≥ {movement.pcutoff:g}")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    points = POINTS // max(2 * len(movement.keypoints), 1)
    unit, _ = movement.clock
    for number, axes in enumerate(panels):
        whose = individuals[number // 2] if individuals else ""
        for keypoint in movement.keypoints:
            if keypoint.individual == whose or movement.by_individual:
                sure = keypoint.above(movement.pcutoff)
                times, values = envelope(movement.times / unit, sure.y if number % 2 else sure.x, points)
                _line(axes, times, values, _colour(movement, keypoint), alpha=0.9)
        axes.set_ylabel(f"{whose}\n{'y' if number % 2 else 'x'} (px)".strip())
        if number % 2:
            axes.invert_yaxis()
    _time_axis(movement, panels[-1])
    figure.align_ylabels(panels)
    _legend(figure, movement)
    return figure


def likelihood(movement: Movement) -> Figure:
    """Draw the likelihood of each body part over time, one above the other."""
    curves = ((movement.times, each.likelihood) for each in movement.keypoints)
    shares = [f"{_share(each.likelihood >= movement.pcutoff)} above" for each in movement.keypoints]
    figure, axes = _strips(movement, "Likelihood over time", _cutoff_words(movement), curves, 1.0, shares)
    for floor in _floors(movement):
        axes.axhline(floor + movement.pcutoff, color=PALE, linewidth=0.8, linestyle=(0, (4, 3)))
    return figure


def histogram(movement: Movement) -> Figure:
    """Draw how often each likelihood occurs, one panel for each body part."""
    columns = min(4, max(len(movement.keypoints), 1))
    rows = -(-max(len(movement.keypoints), 1) // columns)
    height = _HEAD + 0.8 + 1.45 * rows
    figure = _figure(movement, "Histogram of the likelihood", height, _cutoff_words(movement), left=0.6)
    figure.subplots_adjust(right=1 - 0.15 / _WIDTH, top=1 - (_HEAD + 0.3) / height, wspace=0.12, hspace=0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    edges = np.linspace(0, 1, 41)
    heights = [_percent(each.likelihood, edges) for each in movement.keypoints]
    top = 1.05 * max((each.max() for each in heights), default=1.0) or 1.0
    for axes in panels[len(movement.keypoints) :]:
        axes.set_visible(False)
    for number, keypoint in enumerate(movement.keypoints):
        axes, colour = panels[number], _colour(movement, keypoint)
        axes.stairs(heights[number], edges, fill=True, color=colour)
        axes.axvline(movement.pcutoff, color=PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_title(keypoint.name, loc="left", color=colour, fontsize=9, fontweight="bold")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, top)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(labelleft=number % columns == 0, labelbottom=number + columns >= len(movement.keypoints))
    figure.supxlabel("Likelihood", fontsize=9)
    figure.supylabel("Frames (%)", fontsize=9)
    return figure


def speed(movement: Movement) -> Figure:
    """Draw how fast each body part moves over time, one above the other, all on the same scale."""
    greatest, top = greatest_speeds(movement.keypoints, movement.times, movement.pcutoff)
    words = f"likelihood ≥ {movement.pcutoff:g} · the greatest at the right"
    if max(greatest, default=0.0) > top:
        words += f"; above {top:g} px/s the lines are cut off"
    beside = [f"{each:.0f} px/s" if each >= 0 else "unknown" for each in greatest]
    between = (movement.times[1:] + movement.times[:-1]) / 2
    curves = ((between, each.speed(movement.times)) for each in movement.sure)
    figure, axes = _strips(movement, "Speed", words, curves, top, beside)
    axes.set_ylabel("Speed (px/s)")
    return figure


#: Every picture, by its name.
PICTURES: Mapping[str, Callable[[Movement], Figure]] = {
    "trajectory": trajectory,
    "position": position,
    "likelihood": likelihood,
    "histogram": histogram,
    "speed": speed,
}


# -- their parts -----------------------------------------------------------------------------------------------------


def _figure(
    movement: Movement, what: str, height: float, words: str, width: float = _WIDTH, left: float | None = None
) -> Figure:
    """Return an empty figure of a size in inches, with a title and some words below it.

    The panels leave room for what is written beside them: as much as that needs, which takes long to find out for many
    panels, or `left` inches at their left.
    """
    height = min(height, 60.0)
    if left is None:
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - _HEAD / height)))
    else:
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(left / width, 0.5 / height, 1, 1 - (_HEAD + 0.12) / height)
    title = f"{what} · {movement.title}" if movement.title else what
    figure.text(0.1 / width, 1 - 0.1 / height, title, va="top", fontsize=12, fontweight="bold")
    words += " · smoothed" if movement.smoothed else ""
    figure.text(0.1 / width, 1 - 0.34 / height, words, va="top", color=PALE, fontsize=9)
    return figure


def _colour(movement: Movement, keypoint: Keypoint) -> str:
    return movement.colours[movement.group(keypoint)]


_THIN: Any = {"linewidth": 0.9}
_DOTTED: Any = {"linestyle": "", "marker": ".", "markersize": 1.8, "markeredgewidth": 0}


def _line(axes: Axes, x: Numbers, y: Numbers, colour: str, *, alpha: float = 1.0) -> None:
    """Draw a broken line, and the points in it that have no neighbour."""
    axes.plot(x, y, color=colour, alpha=alpha, **_THIN)
    alone = lonely(y)
    if alone.any():
        axes.plot(x[alone], y[alone], color=colour, alpha=alpha, **_DOTTED)


class _Path(Line2D):
    """Where a keypoint went: worked out when it is drawn, and forgotten again.

    Parameters
    ----------
    alone : bool
        Whether the points that have no neighbour are drawn, which the line does not show, rather than the line.
    """

    def __init__(self, keypoint: Keypoint, pcutoff: float, *, alone: bool, **style: Any) -> None:
        super().__init__([], [], **(_DOTTED if alone else _THIN), **style)
        self._keypoint, self._pcutoff, self._alone = keypoint, pcutoff, alone

    @classmethod
    def both(cls, keypoint: Keypoint, pcutoff: float, **style: Any) -> list[_Path]:
        """Return the points that have no neighbour, and the line."""
        return [cls(keypoint, pcutoff, alone=alone, **style) for alone in (True, False)]

    def points(self) -> tuple[Numbers, Numbers]:
        """Return x and y of what is drawn."""
        sure = self._keypoint.above(self._pcutoff)
        x, y = without_rests(sure.x, sure.y, 0.5)
        chosen = lonely(y) if self._alone else slice(None)
        return x[chosen], y[chosen]

    @allow_rasterization  # type: ignore[untyped-decorator]
    def draw(self, renderer: Any) -> None:
        """See `Line2D.draw`."""
        self.set_data(*self.points())
        super().draw(renderer)
        self.set_data([], [])
        self.recache(always=True)


def _legend(figure: Figure, movement: Movement) -> None:
    lines = [Line2D([], [], color=colour, linewidth=3) for colour in movement.colours.values()]
    columns = -(-len(lines) // 30)
    figure.legend(lines, list(movement.colours), loc="outside right upper", handlelength=1.0, ncols=max(columns, 1))


def _floors(movement: Movement) -> list[float]:
    """Return where the zero of each keypoint's strip lies, the first one at the top; a strip is 1 high."""
    count = len(movement.keypoints)
    return [1.35 * (count - 1 - number) for number in range(count)]


def _strips(
    movement: Movement,
    what: str,
    words: str,
    curves: Iterable[tuple[Numbers, Numbers]],
    top: float,
    beside: Sequence[str],
) -> tuple[Figure, Axes]:
    """Draw a low strip for each keypoint, one above the other, all on the same scale.

    They lie in one panel: a hundred panels take a minute.

    Parameters
    ----------
    curves : iterable of two arrays
        Times in seconds and values of each keypoint.
    top : float
        The value at the upper edge of a strip; greater ones are cut off.
    beside : sequence of str
        Words at the right of each strip.
    """
    floors, count = _floors(movement), len(movement.keypoints)
    figure = _figure(movement, what, _HEAD + 0.7 + 0.6 * max(count, 1), words)
    axes = figure.subplots()
    points = POINTS // max(count, 1)
    unit, _ = movement.clock
    for keypoint, floor, (times, values), note in zip(movement.keypoints, floors, curves, beside, strict=True):
        fewer_times, fewer = envelope(times / unit, values, points)
        _line(axes, fewer_times, floor + np.minimum(fewer, top) / top, _colour(movement, keypoint))
        place: Any = ("axes fraction", "data")
        axes.annotate(
            note,
            (1, floor + 0.5),
            xytext=(6, 0),
            xycoords=place,
            textcoords="offset points",
            va="center",
            color=PALE,
            fontsize=8,
        )
    axes.hlines(floors, 0, 1, transform=axes.get_yaxis_transform(), color=LINES, linewidth=0.8)
    axes.set_yticks([floor + 0.5 for floor in floors], [each.name for each in movement.keypoints])
    for label, keypoint in zip(axes.get_yticklabels(), movement.keypoints, strict=True):
        label.set_color(_colour(movement, keypoint))
        label.set_fontweight("bold")
    axes.tick_params(axis="y", length=0, pad=10 + 4.5 * len(f"{top:g}"))
    edges = [floor + edge for floor in floors for edge in (0, 1)]
    axes.set_yticks(edges, ["0", f"{top:g}"] * count, minor=True)
    axes.tick_params(axis="y", which="minor", length=3, labelsize=7)
    axes.grid(visible=False, axis="y", which="both")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_ylim(-0.2, max(floors, default=0.0) + 1.1)
    _time_axis(movement, axes)
    return figure, axes


def _time_axis(movement: Movement, axes: Axes) -> None:
    unit, name = movement.clock
    if len(movement.times) > 1:
        first, last = movement.times[[0, -1]]
        axes.set_xlim(first / unit, (last + (last - first) / (len(movement.times) - 1)) / unit)
    axes.set_xlabel(f"Time ({name})")


def _percent(likelihood: Numbers, edges: Numbers) -> Numbers:
    """Return how many of all frames have a likelihood between each two edges, in percent."""
    known = np.clip(likelihood[~np.isnan(likelihood)], 0, 1)
    counts: Numbers = np.histogram(known, edges)[0] * 100 / max(len(likelihood), 1)
    return counts


def _cutoff_words(movement: Movement) -> str:
    return f"dashed: pcutoff {movement.pcutoff:g}"


def _share(found: np.ndarray[Any, Any]) -> str:
    share = 100 * float(found.mean()) if len(found) else 0.0
    return "100 %" if share == 100 else f"{min(share, 99.9):.1f} %"
