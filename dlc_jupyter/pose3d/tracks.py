"""3D poses as files: DeepLabCut's layout, so that its tools can go on with them, and how good each point is beside it.

Both tables have a row for each frame. Poses have the columns of DeepLabCut's ``triangulate``: scorer, perhaps
individuals, bodyparts and x, y, z. The table of qualities has ``error``, the reprojection error in pixels, and
``cameras``, how many were used, in the place of x, y, z. The unit of the poses is an attribute of the HDF5 tables.
"""

from __future__ import annotations

import errno
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlc_jupyter.pose import decimals
from dlc_jupyter.pose.tracks import KEY, placed
from dlc_jupyter.pose3d.agreement import Finding, check_poses, diagnose
from dlc_jupyter.pose3d.cameras import Rig
from dlc_jupyter.pose3d.epipolar import match_individuals
from dlc_jupyter.pose3d.multiview import Keypoints, MultiView
from dlc_jupyter.pose3d.reprojection import Quality
from dlc_jupyter.pose3d.triangulation import Method, Triangulated, check, triangulate

#: DeepLabCut's name for whoever made 3D poses, unless the project says otherwise.
SCORER = "DLC_3D"
COORDS = ("x", "y", "z")
QUALITIES = ("error", "cameras")

_SAMPLED = 0.15  # the share of the work that is done when it is known how well the cameras agree
_ROWS = 1 << 10  # without points, at a time
_CELLS = 1 << 15  # numbers at a time: as text they stay in the processor's cache


@dataclass(frozen=True)
class Poses3D:
    """3D poses that were made.

    Attributes
    ----------
    files : dict
        The paths, by what follows on the scorer in their names: ``.h5``, ``_quality.h5``, ``_meta.pickle`` and, if
        asked for, ``.csv`` and ``_quality.csv``.
    summary : dict
        How good they are: see `dlc_jupyter.pose3d.reprojection.Quality.summary`. ``unit`` is that of the poses.
    findings : list of Finding
        What is probably wrong with videos or calibration.
    order : list of list of int
        By camera, which of its individuals is each individual of the first camera.
    """

    files: dict[str, Path]
    summary: dict[str, Any]
    findings: list[Finding]
    order: list[list[int]]


def make(
    rig: Rig,
    views: MultiView,
    frames: int,
    folder: Path,
    stem: str,
    method: Method | None = None,
    *,
    start: int = 0,
    scorer: str = SCORER,
    order: NDArray[np.int64] | None = None,
    stereo: Mapping[str, Any] | None = None,
    save_as_csv: bool = False,
    threads: int | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Poses3D:
    """Triangulate the poses of all cameras, and write the files, each at once when all are whole.

    Parameters
    ----------
    views : MultiView
        The 2D poses, in the order of the rig's cameras.
    frames : int
        How many there are: see `dlc_jupyter.pose3d.multiview.common_frames`.
    start : int
        The first frame whose points are found. The rows before it are NaN.
    folder, stem : Path, str
        Where, and the name without the scorer. Files of the same names are replaced.
    order : ndarray of int64, shape (cameras, individuals), optional
        As in `Poses3D`. It is found out when left out.
    stereo : mapping, optional
        What ``stereo_params.pickle`` has of the two cameras, for ``_meta.pickle``.
    threads : int, optional
        Processor threads that may be used, as for `dlc_jupyter.pose3d.triangulation.triangulate`.
    progress : callable
        Told which share of the work is done, from 0 to 1. What it raises ends the work.

    Raises
    ------
    AnalysisFailed
        There is one camera only (kind ``OneCamera``), nothing was seen (``NoPoses``), two cameras have the same poses
        (``SamePoses``), or the disk is full (``NoSpace``).
    """
    check(rig)
    if rig.names != views.names:
        raise ValueError(f"The views are those of {views.names}, the cameras are {rig.names}.")
    method = method or Method()
    sample = views.sample(frames, method.pcutoff, start)
    check_poses(rig.names, sample, method.pcutoff)
    progress(_SAMPLED / 2)
    views.order = match_individuals(rig, sample) if order is None else np.asarray(order)
    findings = diagnose(rig, sample, views.offsets)
    progress(_SAMPLED)
    quality = Quality(rig.names, views.keypoints.points)

    def pieces() -> Iterator[tuple[range, Triangulated]]:
        for first in range(0, start, _ROWS):
            numbers = range(first, min(first + _ROWS, start))
            yield numbers, Triangulated.empty(len(rig), (len(numbers), len(views.keypoints)))
        for numbers, pixels, likelihood in views.pieces(frames, start):
            found = triangulate(rig, pixels, likelihood, method, threads=threads)
            quality.add(found)
            yield numbers, found
            progress(_SAMPLED + (1 - _SAMPLED) * (numbers.stop - start) / (frames - start))

    metadata = {
        "stereo_matrix": dict(stereo or {}),
        "stereo_matrix_file": "stereo_params.pickle" if stereo else "",
        "scorer_name": {name: table.scorer for name, table in zip(views.names, views.tables, strict=True)},
    }
    files = write(pieces(), views.keypoints, folder, stem + "_" + scorer, scorer, rig.unit, metadata, csv=save_as_csv)
    return Poses3D(files, {"unit": rig.unit, **quality.summary()}, findings, views.order.tolist())


def columns(keypoints: Keypoints, scorer: str, coords: Sequence[str]) -> pd.MultiIndex:
    """Return the columns of a table, as DeepLabCut's ``triangulate`` makes them."""
    named = [(*point, coord) for point in keypoints.points for coord in coords]
    if keypoints.several:
        return pd.MultiIndex.from_tuples(
            [(scorer, *each) for each in named], names=["scorer", "individuals", "bodyparts", "coords"]
        )
    return pd.MultiIndex.from_tuples([(scorer, *each[1:]) for each in named], names=["scorer", "bodyparts", "coords"])


def write(
    pieces: Iterable[tuple[range, Triangulated]],
    keypoints: Keypoints,
    folder: Path,
    name: str,
    scorer: str,
    unit: str,
    metadata: Mapping[str, Any],
    *,
    csv: bool = False,
) -> dict[str, Path]:
    """Write the files of a scene, as its points come: their shape is (frames, points). See `Poses3D.files`.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``); nothing new is left in the folder.
    """
    # The table that other programs look for comes last.
    endings = ["_meta.pickle", *(["_quality.csv", ".csv"] if csv else []), "_quality.h5", ".h5"]
    targets = {ending: folder / f"{name}{ending}" for ending in endings}
    with ExitStack() as all_or_nothing:
        paths = {ending: all_or_nothing.enter_context(placed(targets[ending])) for ending in reversed(endings)}
        paths["_meta.pickle"].write_bytes(pickle.dumps(dict(metadata), pickle.HIGHEST_PROTOCOL))
        with ExitStack() as opened:
            poses, qualities = (
                opened.enter_context(
                    _Files(paths[f"{kind}.h5"], paths.get(f"{kind}.csv"), columns(keypoints, scorer, coords), unit)
                )
                for kind, coords in (("", COORDS), ("_quality", QUALITIES))
            )
            for numbers, found in pieces:
                poses.append(numbers, found.points)
                qualities.append(numbers, np.stack([found.error, found.cameras], -1).astype(np.float32))
        poses.check()
        qualities.check()
    return targets


class _Files:
    """A table in the making, as HDF5 and perhaps as CSV."""

    def __init__(self, h5: Path, csv: Path | None, columns: pd.MultiIndex, unit: str) -> None:
        self._h5, self._columns, self._unit = h5, columns, unit
        self._csv = csv.open("wb") if csv else None
        self._store = pd.HDFStore(h5, "w")
        self._rows = self._bytes = self._sum = 0
        if self._csv:
            self._csv.write(pd.DataFrame(columns=columns).to_csv(lineterminator="\n").encode())

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows:
            self._store.get_storer(KEY).attrs.unit = self._unit
        self._store.close()
        if self._csv:
            self._csv.close()

    def append(self, numbers: range, values: NDArray[Any]) -> None:
        """Add rows. `values` has as many numbers as the table has columns, for each frame."""
        flat = np.ascontiguousarray(values.reshape(len(numbers), -1))
        piece = pd.DataFrame(flat, index=numbers, columns=self._columns)
        self._store.put(KEY, piece, format="table", append=True, index=False, track_times=False)
        self._rows, self._bytes = self._rows + len(flat), self._bytes + flat.nbytes
        self._sum = zlib.crc32(flat.data, self._sum)
        if self._csv:
            size = max(1, _CELLS // flat.shape[1])
            for first in range(0, len(flat), size):
                self._csv.write(decimals.rows(numbers[first : first + size], flat[first : first + size]))

    def check(self) -> None:
        """Read the HDF5 file again: PyTables says nothing when the disk is full."""
        total, size = 0, max(1, (1 << 19) // len(self._columns))
        try:
            with pd.HDFStore(self._h5, "r") as store:
                for first in range(0, self._rows, size):
                    piece = store.select(KEY, start=first, stop=first + size)
                    total = zlib.crc32(np.ascontiguousarray(piece.to_numpy()).data, total)
        except Exception:  # whatever PyTables and pandas make of a file that is cut off
            total = -1
        if total == self._sum:
            return
        with self._h5.open("wb") as file:  # which says so, if it is the room that is missing
            for _ in range(0, self._bytes, len(zeros := bytes(1 << 20))):
                file.write(zeros)
        raise OSError(errno.EIO, "The HDF5 file cannot be read as it was written")
