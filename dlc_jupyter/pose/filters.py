"""Poses smoothed by ``deeplabcut.filterpredictions``; what it keeps silent about becomes an error or a note."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.limits import MEDIAN, check_window
from dlc_jupyter.pose.network import LOG, Network, Poses, explained

#: What ``FitSARIMAXModel`` wants of a coordinate: it returns NaN for all frames where it has no more than this many.
_FIT_NEEDS_MORE_THAN = 10


@dataclass(frozen=True)
class Filter:
    """How poses are smoothed: the arguments of ``deeplabcut.filterpredictions``.

    Attributes
    ----------
    filtertype : str
        ``median`` or ``arima``.
    windowlength : int
        Frames that the median goes over; odd.
    p_bound : float
        Positions with a likelihood below this are missing to ``arima``.
    ar_degree, ma_degree : int
        Degrees of ``arima``'s model.
    alpha : float
        Significance level of ``arima``'s confidence interval.
    """

    filtertype: str = "median"
    windowlength: int = MEDIAN
    p_bound: float = 0.001
    ar_degree: int = 3
    ma_degree: int = 1
    alpha: float = 0.01

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``filterpredictions``."""
        return {
            "filtertype": self.filtertype,
            "windowlength": self.windowlength,
            "p_bound": self.p_bound,
            "ARdegree": self.ar_degree,
            "MAdegree": self.ma_degree,
            "alpha": self.alpha,
        }


@dataclass(frozen=True)
class Filtered:
    """The files with smoothed poses, and what the user should know of them."""

    h5: Path
    csv: Path
    notes: list[str]


def filter_poses(
    network: Network,
    poses: Poses,
    video: Path,
    wanted: Filter,
    *,
    start: int = 0,
    progress: Callable[[float], None] = lambda _share: None,
) -> Filtered:
    """Smooth poses, into files beside theirs.

    Parameters
    ----------
    network : Network
        That which made the poses.
    start : int
        The first row that is of use: what is missing before it is not told.
    progress : callable
        Told which share of the work is done, from 0 to 1.

    Raises
    ------
    AnalysisFailed
        There are too few frames, the model cannot be fitted, or DeepLabCut has filtered nothing.
    """
    import deeplabcut

    before = pd.read_hdf(poses.h5)
    if wanted.filtertype == "median":
        check_window(wanted.windowlength, len(before))
    filtered = Filtered(poses.file(f"{poses.tracker}_filtered.h5"), poses.file(f"{poses.tracker}_filtered.csv"), [])
    for stale in (filtered.h5, filtered.csv):  # DeepLabCut would skip what it finds there
        stale.unlink(missing_ok=True)
    fits = _Fits(_names(before), progress)
    with explained(network), _counted(fits):
        deeplabcut.filterpredictions(
            str(network.config),
            [str(video)],
            save_as_csv=True,
            destfolder=str(poses.folder),
            **network.chosen,
            **wanted.arguments,
        )
    if not filtered.h5.is_file() or not filtered.csv.is_file():
        raise AnalysisFailed("DeepLabCut ended without an error, but filtered no poses.", hint=LOG, kind="NoPoses")
    filtered.notes.extend(_compare(before, pd.read_hdf(filtered.h5), wanted, start))
    filtered.notes.extend(fits.notes())
    progress(1.0)
    return filtered


def _names(poses: pd.DataFrame) -> list[str]:
    """Return the name of each keypoint, in the order of the columns."""
    columns = poses.xs("x", axis=1, level="coords").columns.droplevel("scorer")
    return [" of ".join(reversed(each)) if isinstance(each, tuple) else str(each) for each in columns]


def _compare(before: pd.DataFrame, after: pd.DataFrame, wanted: Filter, start: int) -> Iterator[str]:
    """Check smoothed poses against those that they were made of; yield what the user should know.

    Raises
    ------
    AnalysisFailed
        Rows or columns are others, or no position is left.
    """
    if not before.columns.equals(after.columns) or not before.index.equals(after.index):
        raise AnalysisFailed("The filtered poses have other rows or columns than the poses.", hint=LOG, kind="NoPoses")
    had, has = (_positions(each.loc[start:]) for each in (before, after))
    if had.any() and not has.any():
        raise AnalysisFailed(
            f"No body part has a likelihood of {wanted.p_bound:g} or more in more than {_FIT_NEEDS_MORE_THAN} frames: "
            "there is nothing to fit a model to.",
            hint="Give a smaller p_bound, or use filtertype=median.",
            kind="NothingToFit",
        )
    lost = np.flatnonzero(had.any(axis=0) & ~has.any(axis=0))
    emptied = [_names(before)[each] for each in lost]
    if emptied:
        yield (
            f"No model could be fitted to {', '.join(emptied)}, whose positions are all NaN: more than "
            f"{_FIT_NEEDS_MORE_THAN} frames with a likelihood of {wanted.p_bound:g} or more are needed."
        )
    if wanted.filtertype == "median" and not had.all():
        yield (
            "Some positions are missing (NaN). SciPy's median, which DeepLabCut uses, does not define what comes out "
            f"within {wanted.windowlength // 2} frames of them."
        )


def _positions(poses: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return whether each keypoint has a position in each frame but the first: an array of frames x keypoints.

    ``arima`` copies the first frame as it is.
    """
    found: np.ndarray[Any, Any] = poses.xs("x", axis=1, level="coords").notna().to_numpy()[1:]
    return found


@dataclass
class _Fits:
    """Which fits of a coordinate there were: x and y of each keypoint, in the order of the columns."""

    names: list[str]
    progress: Callable[[float], None]
    done: int = 0
    unsure: list[str] = field(default_factory=list)

    def watch(self, fit: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Fit, and note where the fit has not converged."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = fit(*arguments, **keywords)
        name = self.names[min(self.done // 2, len(self.names) - 1)]
        if any(each.category.__name__ == "ConvergenceWarning" for each in caught) and name not in self.unsure:
            self.unsure.append(name)
        self.done += 1
        self.progress(min(self.done / (2 * len(self.names)), 0.99))
        return found

    def notes(self) -> list[str]:
        """Return what the user should know."""
        if not self.unsure:
            return []
        return [
            f"The fit did not converge for {', '.join(self.unsure)}: look at these before you use them, or try a "
            "smaller ar_degree."
        ]


@contextmanager
def _counted(fits: _Fits) -> Iterator[None]:
    """Watch ``FitSARIMAXModel`` in the module that filters, while the context lasts (DeepLabCut 3.0.0 to 3.0.2)."""
    from deeplabcut.post_processing import filtering

    original = filtering.FitSARIMAXModel
    filtering.FitSARIMAXModel = lambda *arguments, **keywords: fits.watch(original, *arguments, **keywords)
    try:
        yield
    finally:
        filtering.FitSARIMAXModel = original
