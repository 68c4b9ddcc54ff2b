"""How good points in space are: medians and percentiles of the reprojection error, gathered piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose3d.cameras import Array
from dlc_jupyter.pose3d.triangulation import Triangulated

#: Distances are counted in steps of 1.2 %, from a thousandth of a pixel on.
_STEPS = 200  # for each power of ten
_LEAST, _DECADES = -3, 8
_BINS = _STEPS * _DECADES


class Quality:
    """What is told of the reprojection error, however many frames there are. Percentiles are right within 0.6 %.

    Parameters
    ----------
    cameras : sequence of str
    points : sequence of (str, str)
        The individual and the body part of each point of a frame.
    """

    def __init__(self, cameras: Sequence[str], points: Sequence[tuple[str, str]]) -> None:
        self._cameras, self._points = list(cameras), list(points)
        self._error = np.zeros((len(points), _BINS), np.int64)
        self._errors = np.zeros((len(cameras), _BINS), np.int64)
        self._used = np.zeros(len(cameras), np.int64)
        self._behind = self._frames = 0

    def add(self, found: Triangulated) -> None:
        """Count what was found in some frames: points of shape (frames, points)."""
        self._frames += len(found.error)
        self._error += _counted(found.error.T)
        self._errors += _counted(found.errors.reshape(len(self._cameras), -1))
        self._used += found.used.reshape(len(self._cameras), -1).sum(1)
        self._behind += int(found.behind.sum())

    def summary(self) -> dict[str, Any]:
        """Return it for a result; distances in pixels, shares from 0 to 1, None where there is nothing.

        ``found`` is the share of points that were found. Of a camera, ``error`` is the distance between its pixel and
        that of a point which was found, whether the camera was used or not, and ``used`` the share of these pixels that
        were used.
        """
        total = self._frames * len(self._points)
        told: dict[str, Any] = {
            "frames": self._frames,
            "found": _share(self._error.sum(), total),
            "behind": _share(self._behind, total),
            "error": _percentiles(self._error.sum(0)),
            "bodyparts": self._grouped([part for _, part in self._points]),
            "cameras": {
                name: {"error": _percentiles(counts), "used": _share(used, counts.sum())}
                for name, counts, used in zip(self._cameras, self._errors, self._used, strict=True)
            },
        }
        individuals = [individual for individual, _ in self._points]
        if len(set(individuals)) > 1:
            told["individuals"] = self._grouped(individuals)
        return told

    def _grouped(self, names: Sequence[str]) -> dict[str, Any]:
        told = {}
        for name in dict.fromkeys(names):
            chosen = np.array([each == name for each in names])
            counts = self._error[chosen].sum(0)
            told[name] = {"error": _percentiles(counts), "found": _share(counts.sum(), self._frames * chosen.sum())}
        return told


def _counted(distances: Array) -> NDArray[np.int64]:
    """Return how many distances of each row, shape (rows, n), are in each step. NaN is not counted."""
    rows = len(distances)
    row, column = np.nonzero(np.isfinite(distances))
    with np.errstate(divide="ignore"):
        step = (np.log10(distances[row, column]) - _LEAST) * _STEPS
    step = np.clip(step, 0, _BINS - 1).astype(np.int64)
    return np.bincount(row * _BINS + step, minlength=rows * _BINS).reshape(rows, _BINS)


def _percentiles(counts: NDArray[np.int64]) -> dict[str, float | None]:
    total = np.cumsum(counts)
    if not total[-1]:
        return {"median": None, "p95": None}
    steps = np.searchsorted(total, [0.5 * total[-1], 0.95 * total[-1]])
    median, high = (float(f"{10 ** (_LEAST + (step + 0.5) / _STEPS):.3g}") for step in steps)
    return {"median": median, "p95": high}


def _share(part: Any, whole: Any) -> float | None:
    return round(float(part) / float(whole), 4) if whole else None
