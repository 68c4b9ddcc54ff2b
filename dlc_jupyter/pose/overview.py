"""The likelihood of all poses of a video at one look: the least and the mean of every so many frames.

A player's time line shows where poses are bad. Files of compact poses (`dlc_jupyter.pose.compact`) have behind their
numbers, for each point a row of each 16 frames: the least likelihood (unsigned 8-bit; 0 to 254 for 0 to 1; 255: none
is known); for each point, of how many of them it is known (unsigned 8-bit); for each point, the sum of their
likelihoods, each from 0 to 254 (unsigned 16-bit, little-endian). What is not there, of older files and while poses are
being made, is found of the numbers themselves.

An answer (`answer`) begins as compact poses do, but with ``DLCO``, version 1. Its header has ``span``, how many frames
a bin is of, and ``bins``, how many there are. Then come, as unsigned 8-bit numbers of the same meaning, for each point
the least likelihood of each bin, and for each point the mean of each bin.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc_jupyter.pose.compact import Finished, Source, head

if TYPE_CHECKING:  # the server imports this module, and has no numpy
    import numpy as np

MAGIC, VERSION = b"DLCO", 1
#: How many frames a row behind compact poses is of.
SPAN = 16
#: Most bins in an answer.
MOST_BINS = 10_000

#: The number for a likelihood of 1, and the one for none.
_ONE, _NONE = 254, 255


def answer(source: Source, bins: int, **more: Any) -> bytes:
    """Return the least and the mean likelihood of each point in up to so many parts of the video.

    Parameters
    ----------
    **more
        For the header, as JSON values.
    """
    span = max(1, -(-source.frames // bins))
    rows = source.span if isinstance(source, Finished) else 0
    if rows and span >= rows:
        span = -(-span // rows) * rows
        least, mean = _of_rows(source, span // rows)  # type: ignore[arg-type]
    else:
        least, mean = _of_numbers(source, span)
    count = -(-source.frames // span)
    return head(source, MAGIC, VERSION, span=span, bins=count, **more) + least + mean


def _of_rows(source: Finished, rows: int) -> tuple[bytes, bytes]:
    """Gather so many rows behind the numbers for each bin."""
    content, points = source.overview(), len(source.points)
    each = -(-source.frames // source.span)
    cells = each * points
    if len(content) < 4 * cells:
        raise ValueError("The overview of these compact poses is cut off.")
    least, known, sums = content[:cells], content[cells : 2 * cells], array("H")
    sums.frombytes(content[2 * cells : 4 * cells])
    if sys.byteorder == "big":
        sums.byteswap()
    found_least, found_mean = bytearray(), bytearray()
    for begin in range(0, cells, each):
        for start in range(begin, begin + each, rows):
            stop = min(start + rows, begin + each)
            number = sum(known[start:stop])
            found_least.append(min(least[start:stop]))
            found_mean.append(round(sum(sums[start:stop]) / number) if number else _NONE)
    return bytes(found_least), bytes(found_mean)


def _of_numbers(source: Source, span: int) -> tuple[bytes, bytes]:
    """Go through all likelihoods."""
    points = range(len(source.points))
    least, mean = [bytearray() for _ in points], [bytearray() for _ in points]
    for start in range(0, source.frames, span):
        for at, values in enumerate(source.likelihoods(start, min(start + span, source.frames))):
            lowest, middle = _of(values)
            least[at].append(lowest)
            mean[at].append(middle)
    return b"".join(least), b"".join(mean)


def _of(values: Sequence[float]) -> tuple[int, int]:
    total = sum(values)
    if not math.isfinite(total):
        values = [each for each in values if math.isfinite(each)]
        total = sum(values)
    return (_whole(min(values)), _whole(total / len(values))) if values else (_NONE, _NONE)


def _whole(likelihood: float) -> int:
    return min(max(round(likelihood * _ONE), 0), _ONE)


class Gathered:
    """The likelihoods of poses that are being written, for the rows behind them.

    Parameters
    ----------
    frames, points : int
        How many there are.
    """

    def __init__(self, frames: int, points: int) -> None:
        import numpy as np

        self._values = np.full((-(-frames // SPAN) * SPAN, points), _NONE, np.uint8)

    def add(self, numbers: range, likelihood: np.ndarray[Any, Any]) -> None:
        """Take those of some frames, shape (frames, points)."""
        import numpy as np

        known = np.isfinite(likelihood)
        whole = np.clip(np.rint(np.where(known, likelihood, 0) * _ONE), 0, _ONE)
        self._values[numbers.start : numbers.stop] = np.where(known, whole, _NONE)

    def as_bytes(self) -> bytes:
        """Return the rows."""
        import numpy as np

        values = self._values.reshape(-1, SPAN, self._values.shape[1])
        known = values != _NONE
        sums = np.where(known, values, 0).sum(1, dtype="<u2")
        rows = (values.min(1), known.sum(1, dtype=np.uint8), sums)
        return b"".join(np.ascontiguousarray(each.T).tobytes() for each in rows)
