"""What a video's container promises, and what of it is in the file: read from start to end, and nothing decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from dlc_jupyter.pose.containers import is_torn

#: Where the frames of a container are listed one by one, so that what was lost can be counted.
_INDEXED = ("mov", "avi")
#: MPEG-4 part 2 packets this small hold no picture: they stand for the second one of the packet before ("packed").
_PLACEHOLDER_BYTES = 19
#: How many pictures a decoder holds back at most until one that is shown before them is there (H.264, H.265).
_HELD_BACK = 16


class Contents:
    """What is in a container.

    Parameters
    ----------
    path : Path
        The file.
    container, stream : PyAV's
        It, open, and which of its streams has the pictures.

    Attributes
    ----------
    form : str
        The container's format, as FFmpeg calls it: ``mov``, ``avi``, ``matroska``.
    torn : bool or None
        See `is_torn`.
    times : list of int
        When each picture is shown, by the stream's clock, in order; hidden ones are left out.
    tiny : int
        How many packets hold no picture of their own.
    """

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.form = str(container.format.name.split(",")[0])
        self.torn = is_torn(path)
        self.times: list[int] = []
        self.tiny = 0
        self._good = 0
        self._decoded_until = 0
        self._decoded_last: int | None = None
        self._ends: dict[int, Fraction] = {}
        for packet in container.demux():
            self._add(packet)
        self.times.sort()

    def _add(self, packet: Any) -> None:
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            return
        index = packet.stream.index
        end = Fraction(time + (packet.duration or 0)) * packet.time_base
        self._ends[index] = max(self._ends.get(index, end), end)
        if index != self._stream.index or packet.is_corrupt:
            return
        self._good += 1
        self.tiny += packet.size <= _PLACEHOLDER_BYTES
        self._decoded_until = max(self._decoded_until, (packet.dts or 0) + (packet.duration or 0))
        if packet.dts is not None:
            self._decoded_last = packet.dts
        if not packet.is_discard:
            self.times.append(time)

    @property
    def begin(self) -> Fraction:
        """When the first picture is shown, by the container's own clock, in seconds."""
        return Fraction(self.times[0] * self._stream.time_base)

    @property
    def promised(self) -> float | None:
        """How long the pictures should last, in seconds; None where the container does not say."""
        return self._promise()[0]

    def _promise(self) -> tuple[float | None, float]:
        """Return how long the pictures should last, and how long they do, in seconds from the start of the file."""
        container, stream, ends = self._container, self._stream, self._ends
        reached = float(ends.get(stream.index, self.begin) - self.begin)
        if self.form == "avi":
            # A header counts the frames, those without data too, in the order of decoding.
            length = float(stream.frames * stream.time_base) if stream.frames else None
            return length, float(self._decoded_until * stream.time_base)
        if self.form == "mov":
            return float(stream.duration * stream.time_base) if stream.duration else None, reached
        if self.form == "matroska":
            tag = stream.metadata.get("DURATION")
            if tag:
                hours, minutes, rest = tag.split(":")
                return int(hours) * 3600 + int(minutes) * 60 + float(rest), float(ends[stream.index])
            if container.duration:
                # That of the longest stream, so any of them may keep it.
                return container.duration / av.time_base, float(max(ends.values()))
        return None, reached

    @property
    def _listed(self) -> int:
        """How many pictures an index lists."""
        return sum(1 for entry in self._stream.index_entries if entry.size) if self.form in _INDEXED else 0

    @property
    def lost(self) -> int:
        """How many pictures that the index lists are not in a file that has its end."""
        return max(0, self._listed - self._good) if self.torn is False else 0

    def is_cut(self, gap: float) -> bool:
        """Tell whether pictures are missing at the end.

        That the file is torn decides together with what the container promises: either alone is true of whole files
        too, such as one that lost the end of its sound, or one with a careless header. Half a frame is the tolerance
        where the file is known to be torn, one and a half where that cannot be known: a container may or may not count
        how long the last frame stays.

        Parameters
        ----------
        gap : float
            The usual time from one picture to the next, in seconds.
        """
        if self.torn is False:
            return False
        torn = bool(self.torn)
        if self.form == "mov":
            # Or a fragment's own index is lost.
            return self._listed > self._good or (torn and self._stream.frames < self._listed)
        promised, reached = self._promise()
        if promised is None or (torn and self.form == "matroska" and len(self._container.streams) == 1):
            return torn
        return promised - reached > gap * (0.75 if torn else 1.5)

    def ends_early(self, gap: float) -> bool:
        """Tell whether pictures are missing at the end of a file that is whole, but was not read without complaint.

        Only where no index lists the pictures: else see `lost`. A careless header alone is no reason.
        """
        promised, reached = self._promise()
        return self.form not in _INDEXED and promised is not None and promised - reached > 1.5 * gap

    @property
    def unbroken(self) -> int:
        """How many of `times`, from the first one on, have no missing picture before them where the end is missing.

        Pictures lie in the order of decoding. One that is predicted from a later one comes behind it, and may be
        missing where the later one is there. But none is shown before its turn to be decoded. AVI has no times of
        showing: there as many are doubtful as a codec can hold back.
        """
        if self.form == "avi":
            context = self._stream.codec_context
            return max(0, len(self.times) - (_HELD_BACK if context is None or context.has_b_frames else 0))
        return len(self.times) if self._decoded_last is None else bisect_right(self.times, self._decoded_last)


def hole(complaints: Sequence[str], times: Sequence[float], gap: float) -> tuple[float, float] | None:
    """Find where pictures are missing in a container that could not be read without complaint: from when till when."""
    if not complaints or len(times) < 2:
        return None
    width, start = max((b - a, a) for a, b in pairwise(times))
    return (start, start + width) if width > 1.5 * gap else None
