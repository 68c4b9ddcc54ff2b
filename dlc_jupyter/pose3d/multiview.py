"""The 2D poses of several cameras that filmed the same, read together, some thousand frames at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.media import REPAIR
from dlc_jupyter.pose.tables import COORDS, SINGLE, PoseTable
from dlc_jupyter.pose3d.epipolar import Sample

_POINTS = 1 << 16  # of a camera at a time
_SAME_RATE = 1.0005  # of rates that are called equal: 30 and 29.97 are not


@dataclass(frozen=True)
class Keypoints:
    """What a frame has points of.

    Attributes
    ----------
    individuals : tuple of str
        As the first camera names them; ("",) for a single animal.
    bodyparts : tuple of str
        Of each individual.
    unique_bodyparts : tuple of str
        That there are once.
    several : bool
        Whether it is a project for several animals.
    """

    individuals: tuple[str, ...]
    bodyparts: tuple[str, ...]
    unique_bodyparts: tuple[str, ...]
    several: bool

    @classmethod
    def of(cls, table: PoseTable) -> Keypoints:
        """Return those of a table."""
        individuals = [name for name, _ in table.points if name != SINGLE or not table.several]
        first = individuals[0] if individuals else ""
        return cls(
            tuple(dict.fromkeys(individuals)),
            tuple(part for name, part in table.points if name == first),
            tuple(part for name, part in table.points if table.several and name == SINGLE),
            table.several,
        )

    @property
    def points(self) -> list[tuple[str, str]]:
        """The individual and body part of each point of a frame, in the order of the columns."""
        named = [(individual, part) for individual in self.individuals for part in self.bodyparts]
        return named + [(SINGLE, part) for part in self.unique_bodyparts]

    def __len__(self) -> int:
        return len(self.individuals) * len(self.bodyparts) + len(self.unique_bodyparts)


class MultiView:
    """The poses of all cameras.

    Parameters
    ----------
    paths : sequence of Path
        DeepLabCut's ``.h5`` of each camera.
    names : sequence of str
        The cameras' names.
    frame_offset : sequence of int, optional
        What frame 0 is for each camera: frame i of the scene is frame i + offset of its video.
    corners : sequence of (int, int), optional
        Where in each camera's picture x and y are counted from, in pixels: the upper left corner of the part that was
        analysed. That of the whole picture, where this is left out.

    Raises
    ------
    AnalysisFailed
        The cameras have not the same body parts (kind ``DifferentBodyparts``) or number of individuals
        (``DifferentIndividuals``).
    """

    def __init__(
        self,
        paths: Sequence[Path],
        names: Sequence[str],
        frame_offset: Sequence[int] | None = None,
        corners: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.names = tuple(names)
        self._corners = np.array(corners, np.float32) if corners and any(map(any, corners)) else None
        self.offsets = tuple(frame_offset or (0,) * len(names))
        self.tables = [PoseTable(path) for path in paths]
        if not len(self.tables) == len(self.names) == len(self.offsets):
            raise ValueError(f"{len(self.tables)} tables and {len(self.offsets)} offsets of {len(self.names)} cameras.")
        own = [Keypoints.of(table) for table in self.tables]
        self.keypoints = own[0]
        self._own = own
        for name, each in zip(self.names[1:], own[1:], strict=True):
            self._check(name, each)
        self.order = np.tile(np.arange(len(self.keypoints.individuals)), (len(self.names), 1))

    def _check(self, name: str, other: Keypoints) -> None:
        first = self.keypoints
        for mine, theirs in (
            (first.bodyparts, other.bodyparts),
            (first.unique_bodyparts, other.unique_bodyparts),
        ):
            if set(mine) != set(theirs):
                only = " and ".join(
                    f"{', '.join(sorted(names))} only in {camera}"
                    for camera, names in ((self.names[0], set(mine) - set(theirs)), (name, set(theirs) - set(mine)))
                    if names
                )
                raise AnalysisFailed(
                    f"{self.names[0]} and {name} have different body parts: {only}.",
                    hint="Use models with the same body parts for all cameras.",
                    kind="DifferentBodyparts",
                )
        if len(first.individuals) != len(other.individuals) or first.several != other.several:
            raise AnalysisFailed(
                f"The poses of {self.names[0]} are of {_animals(first)}, those of {name} of {_animals(other)}.",
                hint="Use models for the same number of animals for all cameras.",
                kind="DifferentIndividuals",
            )

    def pieces(self, frames: int, start: int = 0) -> Iterator[tuple[range, NDArray[Any], NDArray[Any]]]:
        """Go through the scene's frames, from `start` to before `frames`; individuals in the order of `order`.

        Yields
        ------
        range
            The numbers of the frames.
        ndarray, shape (cameras, frames, points, 2)
            x and y in pixels; NaN before a video begins and after its end.
        ndarray, shape (cameras, frames, points)
            The likelihood.
        """
        size = max(1, _POINTS // len(self.keypoints))
        columns = [self._columns(camera) for camera in range(len(self.names))]
        read = [
            table.pieces(range(offset + start, offset + frames), size)
            for table, offset in zip(self.tables, self.offsets, strict=True)
        ]
        first = start
        for pieces in zip(*read, strict=True):
            values = np.stack(
                [
                    piece.reshape(len(piece), -1, len(COORDS))[:, chosen]
                    for (_, piece), chosen in zip(pieces, columns, strict=True)
                ]
            )
            if self._corners is not None:
                values[..., :2] += self._corners[:, None, None]
            numbers = range(first, first + values.shape[1])
            yield numbers, values[..., :2], values[..., 2]
            first = numbers.stop

    def _columns(self, camera: int) -> list[int]:
        """Return where in a camera's table each point of the scene is."""
        own = self._own[camera]
        at = {point: index for index, point in enumerate(self.tables[camera].points)}
        named = [own.individuals[each] for each in self.order[camera]]
        points = [(individual, part) for individual in named for part in self.keypoints.bodyparts]
        return [at[point] for point in [*points, *((SINGLE, part) for part in self.keypoints.unique_bodyparts)]]

    def sample(self, frames: int, pcutoff: float, start: int = 0) -> Sample:
        """Read the scene as `pieces` does, keep some of it, and count how much of it was seen."""
        shape = (len(self.names), frames - start, len(self.keypoints.individuals), len(self.keypoints.bodyparts))
        pieces = self.pieces(frames, start)
        counted = ((range(at.start - start, at.stop - start), pixels, sure) for at, pixels, sure in pieces)
        return Sample.of(counted, shape, pcutoff)


def common_frames(
    names: Sequence[str], frames: Sequence[int], frame_offset: Sequence[int] | None = None, *, truncate: bool = False
) -> int:
    """Return how many frames all cameras have, from the scene's frame 0 on.

    Parameters
    ----------
    frames : sequence of int
        The number of frames of each camera's video.
    frame_offset : sequence of int, optional
        Frame i of the scene is frame i + offset of the video.
    truncate : bool
        Whether what only longer videos have is left out; else they must be of one length, unless it is said by
        `frame_offset` that they began at different moments.

    Raises
    ------
    AnalysisFailed
        They are of different length (kind ``LengthMismatch``), or have no frame in common (``NoCommonFrames``).
    """
    longest, shortest = int(np.argmax(frames)), int(np.argmin(frames))
    if frames[longest] != frames[shortest] and not truncate and not any(frame_offset or ()):
        raise AnalysisFailed(
            f"The videos are of different length: {names[longest]} has {frames[longest]} frames, {names[shortest]} has "
            f"{frames[shortest]}.",
            hint="If they begin at the same moment, go on with on_length_mismatch=truncate; if not, say by how many "
            "frames each is late with frame_offset.",
            kind="LengthMismatch",
        )
    offsets = frame_offset or [0] * len(frames)
    common = min(count - offset for count, offset in zip(frames, offsets, strict=True))
    if common <= max(0, -min(offsets)):
        raise AnalysisFailed(
            "With this frame_offset the videos have no frame in common.",
            hint="An offset is a number of frames: how much later the video of a camera must be read.",
            kind="NoCommonFrames",
        )
    return common


def check_rates(names: Sequence[str], rates: Sequence[float], *, truncate: bool = False) -> list[str]:
    """Refuse videos of different frame rates, in frames a second.

    Parameters
    ----------
    truncate : bool
        Whether frames with the same number are taken for the same moment nevertheless.

    Returns
    -------
    list of str
        What the user should know, where that is so.

    Raises
    ------
    AnalysisFailed
        They differ by more than containers round them (kind ``RateMismatch``).
    """
    if not rates:
        return []
    fastest, slowest = int(np.argmax(rates)), int(np.argmin(rates))
    if rates[fastest] <= rates[slowest] * _SAME_RATE:
        return []
    told = (
        f"The videos are of different frame rate: {names[fastest]} has {rates[fastest]:.6g} frames a second, "
        f"{names[slowest]} has {rates[slowest]:.6g}."
    )
    if not truncate:
        raise AnalysisFailed(
            told,
            hint="Cameras must take their pictures at the same moments. If they did, and only the files say otherwise, "
            "go on with on_length_mismatch=truncate.",
            kind="RateMismatch",
        )
    return [f"{told} Frame by frame they were taken for the same moments."]


def check_beginnings(names: Sequence[str], leading: Sequence[int]) -> None:
    """Refuse videos without their first frames: what is decoded first is of another moment than that of the others.

    Parameters
    ----------
    leading : sequence of int
        With how many frames that cannot be decoded each video begins, see `dlc_jupyter.pose.media.Media`.

    Raises
    ------
    AnalysisFailed
        One begins with such frames (kind ``VideoDamaged``).
    """
    for name, count in zip(names, leading, strict=True):
        if count:
            raise AnalysisFailed(
                f"The video of {name} begins with {count} frames that cannot be decoded, because what was before them "
                "was cut away: its frames would not belong to those of the others.",
                hint=REPAIR,
                kind="VideoDamaged",
            )


def _animals(keypoints: Keypoints) -> str:
    count = len(keypoints.individuals)
    return f"{count} animals" if count > 1 else "one animal of several" if keypoints.several else "a single animal"
