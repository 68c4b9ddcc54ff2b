"""Poses of a video as the files that DeepLabCut would have written, so that each of its tools can go on with them.

The poses lie on disk as records, one for each frame that was looked at (`dlc_jupyter.pose.rows`). They are read, turned
and written some thousand at a time, whatever the length of the video. Each file is whole or not there.
"""

from __future__ import annotations

import errno
import pickle
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed, full_disk_explained
from dlc_jupyter.pose import assemblies, decimals, full_pickle
from dlc_jupyter.pose.tables import COORDS, SINGLE, PoseTable

KEY = "df_with_missing"
_PIECE = 1 << 20  # bytes of records at a time
_CELLS = 1 << 15  # numbers at a time: as text they stay in the processor's cache


@dataclass(frozen=True)
class Origin:
    """What DeepLabCut's files say about poses besides the numbers.

    Parameters
    ----------
    scorer : str
        DeepLabCut's name for the network.
    bodyparts, individuals, unique_bodyparts : sequence of str
        In the order in which the network has them.
    multi_animal : bool
        Whether it is a project for several animals, whose tables name the individuals.
    pose_cfg : mapping
        The model's ``test/pose_cfg.yaml``.
    metadata : mapping
        The content of ``_meta.pickle``: what DeepLabCut's ``_generate_metadata`` returns.
    """

    scorer: str
    bodyparts: Sequence[str]
    individuals: Sequence[str]
    unique_bodyparts: Sequence[str] = ()
    multi_animal: bool = False
    pose_cfg: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Tracks:
    """The poses of a video.

    Parameters
    ----------
    origin : Origin
        What made them.
    rows : structured ndarray, shape (records,)
        For each frame that was looked at, ``bodyparts`` (individuals, body parts, 3 or more: x and y in pixels,
        likelihood); perhaps ``unique_bodyparts`` (1, body parts, 3), ``identity_scores`` (individuals, body parts,
        individuals), ``bboxes`` (individuals, 4) and ``bbox_scores`` (individuals,); and ``wide``, whose bit i says
        that DeepLabCut's prediction had float64 in field i. It may be mapped into memory, and is never copied whole.
    frames : range
        The number in the video of each record's frame, from 0.

    Raises
    ------
    AnalysisFailed
        There are no poses at all.
    ValueError
        The records are not of this origin or these frames.
    """

    origin: Origin
    rows: NDArray[Any]
    frames: range

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise AnalysisFailed("No frame of the video was looked at, so there are no poses.", kind="NoPoses")
        if len(self.rows) != len(self.frames) or self.frames.start < 0 or self.frames.step < 1:
            raise ValueError(f"{len(self.rows)} records cannot be the poses of the frames {self.frames}.")
        animals, parts, values = self.rows.dtype["bodyparts"].shape
        if animals < len(self.origin.individuals) or parts != len(self.origin.bodyparts) or values < len(COORDS):
            raise ValueError(f"{self.rows.dtype['bodyparts']} cannot be the poses of {self.origin}.")
        unique = len(self.origin.unique_bodyparts)
        if unique != (self.rows.dtype["unique_bodyparts"].shape[1] if "unique_bodyparts" in self._fields else 0):
            raise ValueError(f"The records have not the {unique} unique body parts of {self.origin}.")

    def __len__(self) -> int:
        """The number of rows of each file: one for every frame, up to the last one that was looked at."""
        return self.frames[-1] + 1

    def pieces(self, size: int | None = None) -> Iterator[tuple[range, NDArray[Any]]]:
        """Go through all frames of the files, `size` at a time; a frame that was not looked at is NaN.

        Yields
        ------
        range, structured ndarray
            The numbers of the frames, and a record for each.
        """
        size = size or max(1, _PIECE // self.rows.dtype.itemsize)
        for first in range(0, len(self), size):
            numbers = range(first, min(first + size, len(self)))
            yield numbers, self.records(numbers)

    def analysed(self) -> Iterator[tuple[range, NDArray[Any]]]:
        """Go through the frames that were looked at and nothing else, as `pieces` does."""
        size = max(1, _PIECE // self.rows.dtype.itemsize)
        for first in range(0, len(self.rows), size):
            yield self.frames[first : first + size], self.rows[first : first + size]

    def records(self, numbers: range) -> NDArray[Any]:
        """Return a record for each of some consecutive frames; one that was not looked at is NaN."""
        start, step = self.frames.start, self.frames.step
        first, last = (max(0, -(-(number - start) // step)) for number in (numbers.start, numbers.stop))
        found = self.rows[first:last]
        if len(found) == len(numbers):
            return found
        records = np.zeros(len(numbers), self.rows.dtype)
        for name in self._fields:
            records[name] = np.nan
        if len(found):
            records[self.frames[first] - numbers.start :: step] = found
        return records

    # -- as tables -----------------------------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> pd.MultiIndex:
        """The columns of the tables, as DeepLabCut's ``create_df_from_prediction`` makes them."""
        origin, names = self.origin, ["scorer", "bodyparts", "coords"]
        levels = [[origin.scorer], origin.bodyparts, COORDS]
        if not origin.multi_animal:
            return _columns(levels, names)
        names.insert(1, "individuals")
        levels.insert(1, origin.individuals)
        columns = _columns(levels, names)
        if origin.unique_bodyparts:
            columns = columns.append(_columns([[origin.scorer], [SINGLE], origin.unique_bodyparts, COORDS], names))
        return columns

    def values(self, records: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the numbers of a table's rows: an array of those of `records`, and one of the unique body parts.

        Each is float64 if DeepLabCut's prediction for any frame of the video was.
        """
        animals = len(self.origin.individuals)  # the network may have found more
        return [
            records[name][:, :animals, :, : len(COORDS)].reshape(len(records), -1).astype(kind)
            for name, kind in self._kinds.items()
        ]

    def table(self, numbers: range, records: NDArray[Any]) -> pd.DataFrame:
        """Return rows of the table: x and y in pixels and the likelihood of every body part, by the frame's number."""
        values = self.values(records)
        if len({each.dtype for each in values}) == 1:
            return pd.DataFrame(np.hstack(values), index=numbers, columns=self.columns)
        middle = values[0].shape[1]
        parts = zip(values, (self.columns[:middle], self.columns[middle:]), strict=True)
        return pd.concat([pd.DataFrame(each, index=numbers, columns=columns) for each, columns in parts], axis=1)

    @cached_property
    def _kinds(self) -> dict[str, type[np.floating[Any]]]:
        """By field that is in the tables, the type of its numbers."""
        seen = int(np.bitwise_or.reduce(self.rows["wide"]))
        return {
            name: np.float64 if seen >> bit & 1 else np.float32
            for bit, name in enumerate(self._fields)
            if name in ("bodyparts", "unique_bodyparts")
        }

    @property
    def _fields(self) -> tuple[str, ...]:
        return (self.rows.dtype.names or ())[:-1]


def _columns(levels: Sequence[Sequence[str]], names: Sequence[str]) -> pd.MultiIndex:
    # Equal names are made one object: the HDF5 file's bytes would show otherwise which ones happened to be.
    return pd.MultiIndex.from_product([[sys.intern(str(name)) for name in level] for level in levels], names=names)


def from_h5(path: Path, frames: range) -> Tracks:
    """Return the poses in a ``.h5`` of DeepLabCut's, where row i is frame i; the tracks of several animals too.

    They are copied, with all their digits, into a nameless file beside `path`, and mapped into memory from there.

    Parameters
    ----------
    frames : range
        The frames that were looked at. One without a row in the table is NaN.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    table = PoseTable(path)
    once = [part for animal, part in table.points if table.several and animal == SINGLE]
    together = table.points[: len(table.points) - len(once)]
    individuals = list(dict.fromkeys(animal for animal, _ in together))
    parts = list(dict.fromkeys(part for _, part in together))
    middle = len(together) * len(COORDS)
    fields: list[Any] = [("bodyparts", np.result_type(*table.kinds[:middle]), (len(individuals), len(parts), 3))]
    if once:
        fields.append(("unique_bodyparts", np.result_type(*table.kinds[middle:]), (1, len(once), 3)))
    layout = np.dtype([*fields, ("wide", np.uint8)])
    wide = sum((kind == np.float64) << bit for bit, (_, kind, _) in enumerate(fields))
    with tempfile.TemporaryFile(dir=path.parent) as file, full_disk_explained("The poses could not be written."):
        for _, values in table.pieces(frames):
            records = np.empty(len(values), layout)
            records["wide"] = wide
            for (name, _, shape), its in zip(fields, np.split(values, [middle], axis=1), strict=False):
                records[name] = its.reshape(-1, *shape)
            file.write(records.data)
        file.flush()
        rows = np.memmap(file, layout, "r") if len(frames) else np.empty(0, layout)
    names = individuals if table.several else ["animal"]
    return Tracks(Origin(table.scorer, parts, names, once, multi_animal=table.several), rows, frames)


# -- writing -----------------------------------------------------------------------------------------------------------


def write(
    tracks: Tracks, folder: Path, stem: str, *, save_as_csv: bool = True, save_as_df: bool = True
) -> dict[str, Path]:
    """Write DeepLabCut's files, each at once when all are whole.

    Parameters
    ----------
    folder : Path
        Where; files of the same names are replaced.
    stem : str
        The video's name without its ending.
    save_as_csv : bool
        Whether to write the CSV file beside the ``.h5``.
    save_as_df : bool
        Whether to write the ``.h5``. DeepLabCut does not for several animals: that with their tracks comes later.

    Returns
    -------
    dict
        The paths, by what follows on the scorer in their names: ``_meta.pickle``, ``_assemblies.pickle`` (only for
        several animals), ``.h5``, ``.csv`` and ``_full.pickle``. The same poses give the same bytes of the last three.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``); nothing new is left in the folder.
    """
    tables = [".h5", *([".csv"] if save_as_csv else [])] if save_as_df else []
    several = ["_assemblies.pickle"] if tracks.origin.multi_animal else []
    # The last one is what DeepLabCut takes for "already analyzed".
    endings = ["_meta.pickle", *several, *tables, "_full.pickle"]
    targets = {ending: folder / f"{stem}{tracks.origin.scorer}{ending}" for ending in endings}
    with ExitStack() as all_or_nothing:
        paths = {ending: all_or_nothing.enter_context(placed(targets[ending])) for ending in reversed(endings)}
        paths["_meta.pickle"].write_bytes(pickle.dumps(dict(tracks.origin.metadata), pickle.HIGHEST_PROTOCOL))
        if ".h5" in paths:
            _write_h5(tracks, paths[".h5"])
        if ".csv" in paths:
            _write_csv(tracks, paths[".csv"])
        _write_full(tracks, paths["_full.pickle"])
        if "_assemblies.pickle" in paths:
            with paths["_assemblies.pickle"].open("wb") as file:
                assemblies.write(tracks, file)
    return targets


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; what was written to it takes the target's place when all went well.

    Raises
    ------
    AnalysisFailed
        The disk is full (kind ``NoSpace``).
    """
    path = target.with_name(f".part-{target.name}")  # with its ending, which some libraries look at
    try:
        with full_disk_explained("The poses could not be written."):
            yield path
            path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _write_full(tracks: Tracks, path: Path) -> None:
    with path.open("wb") as file:
        metadata = full_pickle.header(tracks.origin.pose_cfg, len(tracks))
        full_pickle.write(file, metadata, (records for _, records in tracks.pieces()))


def _write_csv(tracks: Tracks, path: Path) -> None:
    """Write what ``DataFrame.to_csv`` writes."""
    head = pd.DataFrame(columns=tracks.columns).to_csv(lineterminator="\n")
    with path.open("wb") as file:
        file.write(head.encode())
        for numbers, records in tracks.pieces(max(1, _CELLS // len(tracks.columns))):
            file.write(decimals.rows(numbers, *tracks.values(records)))


def _write_h5(tracks: Tracks, path: Path) -> None:
    """Write what ``DataFrame.to_hdf`` writes, but no time of day.

    There is no index on the frames' numbers either: HDF5 would write into it when it was made, and nobody asks for it.
    """
    with pd.HDFStore(path, "w") as store:
        for numbers, records in tracks.pieces():
            piece = tracks.table(numbers, records)
            store.put(KEY, piece, format="table", append=True, index=False, track_times=False)
    _check_h5(tracks, path)


def _check_h5(tracks: Tracks, path: Path) -> None:
    """Read the file again: PyTables says nothing when the disk is full."""
    try:
        with pd.HDFStore(path, "r") as store:
            same = store.get_storer(KEY).nrows == len(tracks) and all(
                store.select(KEY, start=numbers.start, stop=numbers.stop).equals(tracks.table(numbers, records))
                for numbers, records in tracks.pieces()
            )
    except Exception:  # whatever PyTables and pandas make of a file that is cut off
        same = False
    if same:
        return
    needed = len(tracks) * (8 + sum(values.itemsize * values.shape[1] for values in tracks.values(tracks.rows[:1])))
    with path.open("wb") as file:  # which says so, if it is the room that is missing
        for _ in range(0, needed, len(zeros := bytes(1 << 20))):
            file.write(zeros)
    raise OSError(errno.EIO, "The HDF5 file cannot be read as it was written")
