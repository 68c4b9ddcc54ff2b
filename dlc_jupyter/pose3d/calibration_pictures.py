"""A picture of how each camera was calibrated: corners that were found, where they were, and the view put straight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dlc_jupyter.pose.colours import INK, PALE, STYLE
from dlc_jupyter.pose3d.board_views import CameraViews
from dlc_jupyter.pose3d.boards import Board, Corners, Numbers, Picture
from dlc_jupyter.pose3d.calibration import CameraReport
from dlc_jupyter.pose3d.cameras import Array, Camera

_GOOD, _BAD, _LINE = "#00c2a8", "#e5484d", "#ff8b3d"
_STYLE: Any = {**STYLE, "xtick.labelcolor": PALE, "ytick.labelcolor": PALE}
#: In inches: the whole, the most that a part is high, and what is left free between and around the parts.
_WIDTH, _MOST_HEIGHT, _GAP, _HEAD, _FOOT = 13.0, 5.2, 0.22, 0.78, 0.66
_DPI = 120
#: Corners that are drawn at most, of all pictures together.
_CORNERS = 6000


def draw(report: CameraReport, views: CameraViews, board: Board, target: Path) -> Path:
    """Draw how a camera was calibrated, as a PNG about 1560 pixels wide.

    Left: four pictures with the corners that were found, red where the picture was left out. Middle: all corners that
    were used, and how far they are from where they are expected. Right: a picture without the lens's distortion; the
    lines from end to end of the board's rows and columns are straight, and should run through every corner.

    Parameters
    ----------
    report : CameraReport
    views : CameraViews
        Of the same camera.
    board : Board
    target : Path
        The PNG.
    """
    sheet = _Sheet(report.camera.size)
    with matplotlib.rc_context(_STYLE):
        _draw_pictures(sheet, report, views)
        _draw_corners(sheet, report, views)
        _draw_straight(sheet, report, views, board)
        sheet.figure.text(
            _GAP / _WIDTH, 1 - 0.3 / sheet.height, _headline(report), fontsize=11.5, fontweight="bold", va="center"
        )
        sheet.figure.savefig(target, format="png")
    return target


class _Sheet:
    """A figure of three parts side by side, each as high and wide as its pictures."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._slot = (_WIDTH - 4 * _GAP) / 3
        shape = size[1] / size[0]
        self._high = min(self._slot * shape, _MOST_HEIGHT)
        self._wide = self._high / shape
        self.height = self._high + _HEAD + _FOOT
        self.figure = Figure(figsize=(_WIDTH, self.height), dpi=_DPI)
        FigureCanvasAgg(self.figure)

    def titled(self, part: int, title: str, detail: str = "") -> None:
        """Write above a part what it shows."""
        x, y = self._place(part, 0, 1)
        self.figure.text(x, y + 0.09 / self.height, title, fontsize=9.5, color=INK)
        self.figure.text(x, (_FOOT - 0.2) / self.height, detail, fontsize=8, color=PALE, va="center")

    def axes(self, part: int, left: float = 0.0, low: float = 0.0, share: float = 1.0) -> Axes:
        """Return axes for a picture in a part, from `left` and `low` on, for a share of it."""
        x, y = self._place(part, left, low)
        return self.figure.add_axes((x, y, self._wide * share / _WIDTH, self._high * share / self.height))

    def below(self, part: int) -> Axes:
        """Return axes for a scale of colours below a part."""
        x, _ = self._place(part, 0, 0)
        return self.figure.add_axes((x, (_FOOT - 0.22) / self.height, self._wide / _WIDTH, 0.1 / self.height))

    def _place(self, part: int, left: float, low: float) -> tuple[float, float]:
        x = _GAP + part * (self._slot + _GAP) + (self._slot - self._wide) / 2 + left * self._wide
        return x / _WIDTH, (_FOOT + low * self._high) / self.height


def _headline(report: CameraReport) -> str:
    matrix = report.camera.matrix
    return (
        f"{report.camera.name}: reprojection error {report.error:.3f} px, "
        f"focal length {matrix[0, 0]:.1f} px, {len(report.used)} of {len(report.labels)} pictures used"
    )


def _draw_pictures(sheet: _Sheet, report: CameraReport, views: CameraViews) -> None:
    sheet.titled(0, "Corners that were found", "A ring: the corner that is the first one for all cameras.")
    half = 0.495
    for at, number in enumerate(_worth_showing(report, views)):
        axes = sheet.axes(0, at % 2 * (1 - half), (1 - at // 2) * (1 - half), half)
        axes.imshow(views.picture(number), cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        used = number in report.used
        colour = _GOOD if used else _BAD
        xs, ys = views.corners[number].pixels.T
        axes.scatter(xs, ys, s=6, color=colour, linewidths=0)
        first = views.corners[number].numbers == report.first.get(number, -1)
        axes.plot(xs[first], ys[first], "o", ms=7, mfc="none", mec=colour, mew=1.3)
        said = f"{report.used[number]:.3f} px" if used else "left out"
        _caption(axes, f"{_short(report.labels[number])}: {said}", INK if used else _BAD)
        _frame(axes, report.camera)


def _caption(axes: Axes, text: str, colour: str = INK) -> None:
    paper = {"facecolor": "white", "alpha": 0.82, "edgecolor": "none", "pad": 2.0}
    axes.text(0.02, 0.97, text, transform=axes.transAxes, fontsize=7.5, va="top", color=colour, bbox=paper)


def _worth_showing(report: CameraReport, views: CameraViews) -> list[int]:
    """Return four pictures: one that was left out though its board was found, and others whose boards lie far apart."""
    shown = [number for number in views.shown if number in views.corners]
    used = [number for number in shown if number in report.used]
    bad = [number for number in shown if "pixels from where" in report.left_out.get(number, "")]
    chosen = bad[:1]
    middles = {number: views.corners[number].pixels.mean(axis=0) for number in used}
    while len(chosen) < 4 and len(middles) > len(set(chosen) & set(used)):
        rest = [number for number in used if number not in chosen]
        near = [middles[number] for number in chosen if number in middles] or [np.zeros(2)]
        chosen.append(max(rest, key=lambda number: min(float(np.linalg.norm(middles[number] - each)) for each in near)))
    return sorted(chosen)


def _draw_corners(sheet: _Sheet, report: CameraReport, views: CameraViews) -> None:
    sheet.titled(1, "All corners that were used")
    axes = sheet.axes(1)
    pixels = np.concatenate([views.corners[number].pixels for number in report.used])
    apart = np.concatenate([report.distances[number] for number in report.used])
    order = np.argsort(apart)[:: max(1, len(apart) // _CORNERS)]  # the worst ones on top
    top = max(float(np.percentile(apart, 98)), 1e-6)
    xs, ys = pixels[order].T
    dots = axes.scatter(xs, ys, c=apart[order], s=7, cmap="viridis_r", vmin=0, vmax=top, linewidths=0)
    scale = sheet.figure.colorbar(dots, cax=sheet.below(1), orientation="horizontal", extend="max")
    scale.set_label("distance from where they are expected, in pixels", fontsize=8, color=PALE)
    scale.ax.tick_params(labelsize=7.5)
    x, y = report.camera.matrix[:2, 2]
    axes.plot([x], [y], "+", color=_BAD, ms=11, mew=1.6)
    _caption(axes, f"+ principal point ({x:.0f}, {y:.0f})", _BAD)
    _frame(axes, report.camera)


def _draw_straight(sheet: _Sheet, report: CameraReport, views: CameraViews, board: Board) -> None:
    sheet.titled(2, "Without the lens's distortion", "Straight lines from end to end should run through every corner.")
    axes = sheet.axes(2)
    _frame(axes, report.camera)
    usable = [number for number in views.shown if number in report.used]
    if not usable:
        return
    # The largest board shows best whether its lines are straight.
    number = max(usable, key=lambda each: len(views.corners[each]) * views.corners[each].spacing)
    straight, place = straightened(report.camera, views.picture(number))
    axes.imshow(straight, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    corners = views.corners[number]
    pixels = _placed(report.camera, place, corners)
    for line in _lines(board, corners):
        xs, ys = pixels[[line[0], line[-1]]].T
        axes.plot(xs, ys, color=_LINE, lw=0.9)
    xs, ys = pixels.T
    axes.scatter(xs, ys, s=7, color=_GOOD, linewidths=0)
    _caption(axes, _short(report.labels[number]))
    _frame(axes, report.camera)


def straightened(camera: Camera, picture: Picture) -> tuple[Picture, Array]:
    """Return a picture without the lens's distortion, and the matrix of the camera that would have taken it."""
    size, still = camera.size, np.eye(3)
    if camera.fisheye:
        place = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            camera.matrix, camera.distortion, size, still, balance=0.3
        )
        maps = cv2.fisheye.initUndistortRectifyMap(camera.matrix, camera.distortion, still, place, size, cv2.CV_32FC1)
    else:
        place, _ = cv2.getOptimalNewCameraMatrix(camera.matrix, camera.distortion, size, 0.6)
        maps = cv2.initUndistortRectifyMap(camera.matrix, camera.distortion, still, place, size, cv2.CV_32FC1)
    straight = cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderValue=255)
    return np.asarray(straight, np.uint8), np.asarray(place, np.float64)


def _placed(camera: Camera, place: Array, corners: Corners) -> Array:
    flat = camera.normalised(corners.pixels)
    return np.asarray(flat * place[[0, 1], [0, 1]] + place[:2, 2])


def _lines(board: Board, corners: Corners) -> list[Numbers]:
    """Return the rows and columns of the board, as positions among the corners that were found."""
    rows, columns = np.divmod(corners.numbers, board.shape[1])
    lines = [np.flatnonzero(along == each) for along in (rows, columns) for each in np.unique(along)]
    return [line for line in lines if len(line) > 1]


def _frame(axes: Axes, camera: Camera) -> None:
    axes.set_xlim(-0.5, camera.size[0] - 0.5)
    axes.set_ylim(camera.size[1] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])


def _short(label: str, most: int = 24) -> str:
    return label if len(label) <= most else f"…{label[1 - most :]}"
