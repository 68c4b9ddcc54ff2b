"""Poses on disk as they are made: one record for each frame, appended in chunks that are known to be whole.

Three files in a folder of their own. ``rows.json`` says what the records are of, their layout, and the name of the
others. ``<name>.bin`` holds the records, all of one size, so that any range of frames can be read at once, also while
more are being written. ``<name>.log`` has a line for each chunk: how many records there are with it, the CRC-32 of its
bytes, and a mark: whatever the next writer must know to go on from there. Whatever kills the writer, the next one goes
on behind the last chunk that is whole.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from dlc_jupyter.errors import AnalysisFailed, full_disk_explained

#: The fields of a record, in their order, each one float32 or float64; not every network has them all.
FIELDS = ("bodyparts", "unique_bodyparts", "identity_scores", "bboxes", "bbox_scores")

#: Which of a record's fields were float64 (bit 0 for the first one, and so on). DeepLabCut's predictions of a picture
#: without animals are, and its files show it.
WIDE = "wide"

#: The bit of `WIDE` that is set for a frame without a picture.
UNREADABLE = 0x80

#: The files of records whose fields are as wide as those of the first one, and of others.
NARROW, WIDENED = "rows", "wide"

#: How many records are widened at a time.
_PIECE = 10_000

Records = np.ndarray[Any, Any]
Prediction = Mapping[str, np.ndarray[Any, Any]]


class Rows:
    """The records of one video. Use it in a ``with`` block.

    Parameters
    ----------
    folder : Path
        Where they lie; made if it is not there.
    about : mapping
        JSON values that say what they are of: video, network, parameters, versions. Records that are there already are
        kept if they are of just the same, else thrown away.

    Attributes
    ----------
    mark : dict
        What `flush` was given with the last chunk that is on disk, also by an earlier writer.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._about = as_written(about)
        self.mark: dict[str, Any] = {}
        self._name = NARROW
        self._dtype: np.dtype[Any] | None = None
        self._count = 0
        self._pending: list[Records] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._data.close()
        self._log.close()

    def __len__(self) -> int:
        """How many records are safely on disk."""
        return self._count

    def append(self, predictions: Sequence[Prediction], unreadable: Sequence[int] = ()) -> None:
        """Add records; they are on disk after the next `flush`.

        Parameters
        ----------
        predictions : sequence of mapping
            Of consecutive frames, by field.
        unreadable : sequence of int
            Positions in `predictions` of frames without a picture: their records are all NaN.
        """
        if not predictions:
            return
        if self._dtype is None:
            self._dtype = _layout(predictions[0])
            self._describe()
        self._widen_for(predictions)
        records = np.zeros(len(predictions), self._dtype)
        for position, field in enumerate(_fields(self._dtype)):
            values = [each[field] for each in predictions]
            records[field] = values
            records[WIDE] |= np.array([(each.dtype == np.float64) << position for each in values], np.uint8)
        for position in unreadable:
            for field in _fields(self._dtype):
                records[field][position] = np.nan
            records[WIDE][position] = UNREADABLE
        self._pending.append(records)

    def flush(self, mark: Mapping[str, Any] | None = None) -> None:
        """Write what was appended, as one chunk, with JSON values for whoever goes on behind it."""
        if not self._pending:
            return
        chunk = np.concatenate(self._pending)
        self._pending = []
        self._write_chunk(chunk, as_written(mark or {}))

    def _write_chunk(self, chunk: Records, mark: dict[str, Any]) -> None:
        content, count = chunk.tobytes(), self._count + len(chunk)
        line = json.dumps({"rows": count, "crc": zlib.crc32(content), "mark": mark})
        with full_disk_explained("The poses could not be written."):
            _write(self._data, content)
            _write(self._log, line.encode() + b"\n")
        self._count, self.mark = count, mark

    def records(self) -> Records:
        """Return all records that are on disk, mapped into memory and read-only."""
        return read(self._folder)

    # -- what is there already ---------------------------------------------------------------------------------------

    def _recover(self) -> None:
        try:
            described = json.loads((self._folder / "rows.json").read_text())
            same = described["about"] == self._about
            self._name, dtype = described["name"], _dtype(described["layout"])
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            self._name = NARROW
            for path in (self._folder / "rows.json", *self._folder.glob("*.bin"), *self._folder.glob("*.log")):
                path.unlink(missing_ok=True)
        self._data, self._log = self._opened(self._name)
        if same:
            self._dtype = dtype
            self._count, kept, self.mark = _whole(self._folder / self._name, dtype.itemsize)
            self._data.truncate(self._count * dtype.itemsize)
            self._log.truncate(kept)

    def _opened(self, name: str) -> tuple[FileIO, FileIO]:
        """Open the files of records of some name for appending."""
        path = self._folder / name
        return path.with_suffix(".bin").open("ab", buffering=0), path.with_suffix(".log").open("ab", buffering=0)

    def _describe(self) -> None:
        assert self._dtype is not None
        fields = [[name, self._dtype[name].base.str, list(self._dtype[name].shape)] for name in self._dtype.names or ()]
        path = self._folder / "rows.json"
        with full_disk_explained("The poses could not be written."):
            path.with_suffix(".new").write_text(
                json.dumps({"about": self._about, "name": self._name, "layout": fields})
            )
        path.with_suffix(".new").replace(path)

    def _widen_for(self, predictions: Sequence[Prediction]) -> None:
        """Make room for numbers that 32 bits cannot hold. They are rare, so the records are simply written anew.

        The old files stay until the new ones are whole, and a reader that has them open can go on reading.
        """
        assert self._dtype is not None
        kinds = {name: self._dtype[name].base for name in _fields(self._dtype)}
        narrow = [name for name, kind in kinds.items() if kind == np.float32]
        if all(_fits(each[name]) for name in narrow for each in predictions):
            return
        old, old_files = read(self._folder) if self._count else np.zeros(0, self._dtype), (self._data, self._log)
        layout = [(name, np.float64, self._dtype[name].shape) for name in kinds]
        self._dtype, self._name, self._count = np.dtype([*layout, (WIDE, np.uint8)]), WIDENED, 0
        for suffix in (".bin", ".log"):
            (self._folder / WIDENED).with_suffix(suffix).unlink(missing_ok=True)
        self._data, self._log = self._opened(WIDENED)
        for first in range(0, len(old), _PIECE):
            self._write_chunk(old[first : first + _PIECE].astype(self._dtype), self.mark)
        self._pending = [each.astype(self._dtype) for each in self._pending]
        self._describe()
        for file in old_files:
            file.close()
            Path(file.name).unlink()


def as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values as they are when they have been written and read again: a tuple is a list then."""
    read_again: dict[str, Any] = json.loads(json.dumps(values))
    return read_again


def described(folder: Path) -> dict[str, Any]:
    """Return what the records in `folder` are of, in the words of `Rows`; nothing if there are none."""
    try:
        found = json.loads((folder / "rows.json").read_text())["about"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def read(folder: Path) -> Records:
    """Return the records in `folder` that are known to be whole, read-only, mapped into memory.

    Raises
    ------
    FileNotFoundError
        There are none yet.
    """
    described = json.loads((folder / "rows.json").read_text())
    dtype, path = _dtype(described["layout"]), folder / described["name"]
    lines = path.with_suffix(".log").read_bytes().split(b"\n")[:-1]
    count = json.loads(lines[-1])["rows"] if lines else 0
    if not count:
        return np.zeros(0, dtype)
    return np.memmap(path.with_suffix(".bin"), dtype, "r", shape=(count,))


def _whole(path: Path, itemsize: int) -> tuple[int, int, dict[str, Any]]:
    """Return how many records are whole, and where the log's line for the last of them ends, and the mark on it."""
    count, kept, mark = 0, 0, {}
    try:
        with path.with_suffix(".bin").open("rb") as data, path.with_suffix(".log").open("rb") as log:
            for line in log:
                entry = json.loads(line)
                chunk = data.read((entry["rows"] - count) * itemsize)
                if not line.endswith(b"\n") or zlib.crc32(chunk) != entry["crc"]:
                    break
                count, kept, mark = entry["rows"], kept + len(line), entry["mark"]
    except (OSError, ValueError, KeyError):
        pass
    return count, kept, mark


def _layout(prediction: Prediction) -> np.dtype[Any]:
    unknown = sorted(set(prediction) - set(FIELDS))
    if unknown:
        raise AnalysisFailed(f"DeepLabCut's prediction has {', '.join(unknown)}, which is not known here.")
    fields = [(name, np.float32, prediction[name].shape) for name in FIELDS if name in prediction]
    return np.dtype([*fields, (WIDE, np.uint8)])


def _fields(dtype: np.dtype[Any]) -> tuple[str, ...]:
    return (dtype.names or ())[:-1]


def _dtype(layout: Sequence[Sequence[Any]]) -> np.dtype[Any]:
    return np.dtype([(name, kind, tuple(shape)) for name, kind, shape in layout])


def _fits(values: np.ndarray[Any, Any]) -> bool:
    return values.dtype != np.float64 or bool(np.array_equal(values.astype(np.float32), values, equal_nan=True))
