"""DeepLabCut's ``.h5`` files, read some thousand frames at a time, with a row for every frame of the video.

pandas wrote them: the index is the frame's number, the columns are the scorer, perhaps the individuals, the body parts
and ``x``, ``y``, ``likelihood``. Not every frame has a row: the tracks of several animals end where the last animal is
last seen. The tracks' numbers are 64 bits wide, a network's poses mostly 32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COORDS = ("x", "y", "likelihood")
#: The individual to which DeepLabCut gives the body parts that only one animal, or no animal, has.
SINGLE = "single"

_PIECE = 1 << 20  # bytes at a time


class PoseTable:
    """The table in one of DeepLabCut's ``.h5`` files; its numbers stay on the disk until they are asked for.

    Parameters
    ----------
    path : Path
        The file. It has one table, under any key: DeepLabCut itself uses two.

    Attributes
    ----------
    columns : pandas.MultiIndex
        As in the file.
    kinds : list of numpy.dtype
        The type of each column's numbers.
    scorer : str
        DeepLabCut's name for the network that made the poses.
    several : bool
        Whether the columns name individuals.
    points : list of (str, str)
        For each three columns the individual ("" for a single animal, ``single`` for body parts that there are once)
        and the body part.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with pd.HDFStore(path, "r") as store:
            head = self._select(store, 0, 0)
        self.columns: pd.MultiIndex = head.columns
        self.kinds: list[np.dtype[Any]] = head.dtypes.to_list()
        self.several = "individuals" in self.columns.names
        names = self.columns.droplevel("coords")[:: len(COORDS)]
        self.scorer = str(names[0][0])
        self.points = [(each[1], each[2]) if self.several else ("", each[1]) for each in names]

    def pieces(self, frames: range, size: int | None = None) -> Iterator[tuple[range, NDArray[Any]]]:
        """Go through frames of the video, `size` at a time.

        Yields
        ------
        range, ndarray of float32 or float64, shape (frames, columns)
            The numbers of the frames and their rows; a frame without a row in the file is NaN.

        Raises
        ------
        ValueError
            The rows are not in the order of the frames.
        """
        kind = np.result_type(*self.kinds)
        size = size or max(1, _PIECE // (kind.itemsize * len(self.columns)))
        stored = self._stored(size, kind)
        index, rows = next(stored, (np.empty(0, int), None))
        for first in range(0, len(frames), size):
            numbers = frames[first : first + size]
            values = np.full((len(numbers), len(self.columns)), np.nan, kind)
            while rows is not None:
                wanted = (index >= numbers[0]) & (index <= numbers[-1]) & ((index - numbers[0]) % numbers.step == 0)
                values[(index[wanted] - numbers[0]) // numbers.step] = rows[wanted]
                if index[-1] > numbers[-1]:
                    break
                index, rows = next(stored, (index, None))
            yield numbers, values

    def frame(self, rows: int) -> pd.DataFrame:
        """Return all of it at once, with a row for each of so many frames."""
        values = np.empty((rows, len(self.columns)), np.result_type(*self.kinds))
        for numbers, piece in self.pieces(range(rows)):
            values[numbers.start : numbers.stop] = piece
        return pd.DataFrame(values, columns=self.columns)

    def _stored(self, size: int, kind: np.dtype[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
        """Yield the rows that there are, with the numbers of their frames."""
        last, first = -1, 0
        with pd.HDFStore(self._path, "r") as store:
            while len(found := self._select(store, first, first + size)):
                index = found.index.to_numpy()
                if (np.diff(index, prepend=last) <= 0).any():
                    raise ValueError("The rows of the table are not in the order of the frames.")
                yield index, found.to_numpy(kind)
                last, first = int(index[-1]), first + size

    @staticmethod
    def _select(store: pd.HDFStore, start: int, stop: int) -> pd.DataFrame:
        table = store.select(store.keys()[0], start=start, stop=stop)
        assert isinstance(table, pd.DataFrame)
        return table
