"""Pictures of poses: where body parts were, when, how surely, and how fast they moved.

Five pictures (`PICTURES`), each a figure of its own, for a light background. Lines over time keep the least and the
greatest value of each stretch (`movement.envelope`), trajectories lose their rests, and become pixels within the SVG
where they are still long: so an SVG of any video stays below 2 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from dlc_jupyter.pose.movement import Keypoint, Numbers, envelope, lonely, without_rests

#: Most that an SVG may take.
SVG_BYTES = 2_000_000
#: Points of all lines of one picture together; in an SVG each takes about 20 bytes.
POINTS = 50_000
#: Longer trajectories become pixels in an SVG.
TRAJECTORY_POINTS = 40_000

_INK, _PALE, _GRID = "#24292f", "#6e7781", "#e6e9ed"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "text.parse_math": False,  # names are not formulas
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#afb8c1",
    "axes.linewidth": 0.8,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": "#afb8c1",
    "ytick.color": "#afb8c1",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "lines.solid_joinstyle": "round",
    "agg.path.chunksize": 20_000,
    "svg.hashsalt": "dlc-jupyter",  # the same picture is the same bytes
    "svg.fonttype": "path",
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
    """

    keypoints: Sequence[Keypoint]
    times: Numbers
    width: int
    height: int
    pcutoff: float
    by_individual: bool = False
    title: str = ""
    smoothed: bool = False

    @property
    def sure(self) -> list[Keypoint]:
        """The keypoints without the positions that are not drawn."""
        return [each.above(self.pcutoff) for each in self.keypoints]

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each body part, or of each individual."""
        names = list(dict.fromkeys(self.group(each) for each in self.keypoints))
        return dict(zip(names, palette(len(names)), strict=True))

    def group(self, keypoint: Keypoint) -> str:
        """Return the name under which a keypoint has its colour."""
        return keypoint.individual if self.by_individual else keypoint.bodypart

    @property
    def clock(self) -> tuple[float, str]:
        """How many seconds the unit of the time axes has, and its name."""
        lasted = self.times[-1] - self.times[0] if len(self.times) else 0.0
        return (1.0, "s") if lasted <= 300 else (60.0, "min") if lasted <= 3 * 3600 else (3600.0, "h")


def palette(count: int) -> list[str]:
    """Return colours that differ in hue, and from their neighbours in lightness, readable on white (OKLCH)."""
    found = []
    for number in range(count):
        hue = math.radians(25 + 360 * number / max(count, 1))
        light, chroma = (0.55, 0.16) if number % 2 == 0 or count == 1 else (0.72, 0.14)
        while (colour := _oklch(light, chroma, hue)) is None:
            chroma -= 0.01
        found.append("#" + "".join(f"{round(255 * each):02x}" for each in colour))
    return found


def _oklch(light: float, chroma: float, hue: float) -> list[float] | None:
    """Return sRGB components from 0 to 1; None where a screen has no such colour. Ottosson 2020, "OKLab"."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = [
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    ]
    if min(linear) < -1e-9 or max(linear) > 1:
        return None
    return [12.92 * max(each, 0) if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055 for each in linear]


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
    """Write a figure; the pixels in an SVG become coarser where it would be too large."""
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    for dpi in (_DPI, _DPI * 2 // 3, _DPI // 2):
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
    paths = [without_rests(each.x, each.y, 0.5) for each in movement.sure]
    long = sum(len(x) for x, _ in paths) > TRAJECTORY_POINTS
    for keypoint, (x, y) in zip(movement.keypoints, paths, strict=True):
        colour = _colour(movement, keypoint)
        _line(axes, x, y, colour, alpha=0.75, rasterized=long)
        there = np.flatnonzero(~np.isnan(x))
        for end, inside in ((there[:1], "white"), (there[-1:], colour)):
            axes.plot(x[end], y[end], "o", color=colour, markersize=5, markerfacecolor=inside, zorder=3)
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
        for keypoint in movement.sure:
            if keypoint.individual == whose or movement.by_individual:
                times, values = envelope(movement.times / unit, keypoint.y if number % 2 else keypoint.x, points)
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
    figure = _figure(movement, "Likelihood over time", _strips_height(movement), _cutoff_words(movement))
    points = POINTS // max(len(movement.keypoints), 1)
    unit, _ = movement.clock
    for keypoint, axes in _strips(movement, figure):
        times, values = envelope(movement.times / unit, keypoint.likelihood, points)
        colour = _colour(movement, keypoint)
        _line(axes, times, values, colour)
        axes.axhline(movement.pcutoff, color=_PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 1])
        _beside(axes, f"{_share(keypoint.likelihood >= movement.pcutoff)} above")
    return figure


def histogram(movement: Movement) -> Figure:
    """Draw how often each likelihood occurs, one panel for each body part."""
    columns = min(4, max(len(movement.keypoints), 1))
    rows = -(-max(len(movement.keypoints), 1) // columns)
    figure = _figure(movement, "Histogram of the likelihood", 0.9 + 1.55 * rows, _cutoff_words(movement))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    edges = np.linspace(0, 1, 41)
    for number, axes in enumerate(panels.ravel()):
        if number >= len(movement.keypoints):
            axes.set_visible(False)
            if number - columns >= 0:
                panels.ravel()[number - columns].tick_params(labelbottom=True)
            continue
        keypoint = movement.keypoints[number]
        values = keypoint.likelihood[~np.isnan(keypoint.likelihood)]
        counts = np.histogram(np.clip(values, 0, 1), edges)[0] * 100 / max(len(keypoint.likelihood), 1)
        colour = _colour(movement, keypoint)
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colour)
        axes.axvline(movement.pcutoff, color=_PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_title(keypoint.name, loc="left", color=colour, fontsize=9, fontweight="bold")
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    figure.supxlabel("Likelihood", fontsize=9)
    figure.supylabel("Frames (%)", fontsize=9)
    return figure


def speed(movement: Movement) -> Figure:
    """Draw how fast each body part moves over time, one above the other, all on the same scale."""
    speeds = [each.speed(movement.times) for each in movement.sure]
    known = np.concatenate([each[~np.isnan(each)] for each in speeds]) if speeds else np.empty(0)
    top = _scale(known)
    words = f"likelihood ≥ {movement.pcutoff:g} · the greatest at the right"
    if len(known) and known.max() > top:
        words += f"; above {top:g} px/s the lines are cut off"
    figure = _figure(movement, "Speed", _strips_height(movement), words)
    points = POINTS // max(len(movement.keypoints), 1)
    unit, _ = movement.clock
    between = (movement.times[1:] + movement.times[:-1]) / 2 / unit
    for (keypoint, axes), values in zip(_strips(movement, figure), speeds, strict=True):
        _line(axes, *envelope(between, values, points), _colour(movement, keypoint))
        axes.set_ylim(0, top)
        axes.set_yticks([0, top])
        greatest = np.nanmax(values) if not np.isnan(values).all() else None
        _beside(axes, "unknown" if greatest is None else f"{greatest:.0f} px/s")
    figure.supylabel("Speed (px/s)", fontsize=9)
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


def _figure(movement: Movement, what: str, height: float, words: str, width: float = _WIDTH) -> Figure:
    """Return an empty figure of a size in inches, with a title and some words below it."""
    height = min(height, 40.0)
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - _HEAD / height)))
    title = f"{what} · {movement.title}" if movement.title else what
    figure.text(0.1 / width, 1 - 0.1 / height, title, va="top", fontsize=12, fontweight="bold")
    words += " · smoothed" if movement.smoothed else ""
    figure.text(0.1 / width, 1 - 0.34 / height, words, va="top", color=_PALE, fontsize=9)
    return figure


def _colour(movement: Movement, keypoint: Keypoint) -> str:
    return movement.colours[movement.group(keypoint)]


def _line(axes: Axes, x: Numbers, y: Numbers, colour: str, *, alpha: float = 1.0, rasterized: bool = False) -> None:
    """Draw a broken line, and the points in it that have no neighbour."""
    style: dict[str, Any] = {"color": colour, "alpha": alpha, "rasterized": rasterized}
    axes.plot(x, y, linewidth=0.9, **style)
    alone = lonely(y)
    if alone.any():
        axes.plot(x[alone], y[alone], linestyle="", marker=".", markersize=1.8, markeredgewidth=0, **style)


def _legend(figure: Figure, movement: Movement) -> None:
    lines = [Line2D([], [], color=colour, linewidth=3) for colour in movement.colours.values()]
    columns = -(-len(lines) // 30)
    figure.legend(lines, list(movement.colours), loc="outside right upper", handlelength=1.0, ncols=max(columns, 1))


def _strips_height(movement: Movement) -> float:
    return 1.3 + 0.55 * max(len(movement.keypoints), 1)


def _strips(movement: Movement, figure: Figure) -> Iterator[tuple[Keypoint, Axes]]:
    """Yield a low panel for each keypoint, all with the same time axis and its name at the left."""
    panels = figure.subplots(max(len(movement.keypoints), 1), 1, sharex=True, squeeze=False)[:, 0]
    for keypoint, axes in zip(movement.keypoints, panels, strict=True):
        axes.set_ylabel(
            keypoint.name,
            rotation=0,
            ha="right",
            va="center",
            color=_colour(movement, keypoint),
            fontweight="bold",
        )
        axes.tick_params(axis="x", length=0)
        axes.tick_params(axis="y", labelsize=7)
        yield keypoint, axes
    _time_axis(movement, panels[-1])
    panels[-1].tick_params(axis="x", length=3)


def _time_axis(movement: Movement, axes: Axes) -> None:
    unit, name = movement.clock
    if len(movement.times) > 1:
        first, last = movement.times[[0, -1]]
        axes.set_xlim(first / unit, (last + (last - first) / (len(movement.times) - 1)) / unit)
    axes.set_xlabel(f"Time ({name})")


def _beside(axes: Axes, words: str) -> None:
    axes.annotate(
        words,
        (1, 0.5),
        xytext=(6, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        color=_PALE,
        fontsize=8,
    )


def _cutoff_words(movement: Movement) -> str:
    return f"dashed: pcutoff {movement.pcutoff:g}"


def _share(found: np.ndarray[Any, Any]) -> str:
    share = 100 * float(found.mean()) if len(found) else 0.0
    return "100 %" if share == 100 else f"{min(share, 99.9):.1f} %"


def _scale(values: Numbers) -> float:
    """Return a round number that nearly all values are below: a few jumps must not flatten all the rest."""
    high = float(np.percentile(values, 99.5)) * 1.1 if len(values) else 1.0
    power = 10.0 ** math.floor(math.log10(max(high, 1.0)))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= min(high, 10 * power))
