"""What the demo shows of its results: DeepLabCut's CSV read without pandas, and one frame as a picture."""

from __future__ import annotations

import csv
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Point = tuple[float, float, float]  # x, y (pixels), likelihood


@dataclass(frozen=True)
class Poses:
    """Poses of one animal: for each body part one point a frame."""

    points: dict[str, list[Point]]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(next(iter(self.points.values()), []))

    @property
    def likelihood(self) -> dict[str, float]:
        """Mean likelihood of each body part."""
        return {part: _mean([point[2] for point in points]) for part, points in self.points.items()}

    @property
    def clearest(self) -> int:
        """The frame whose least certain body part is the most certain."""
        return max(range(self.frames), key=lambda frame: min(points[frame][2] for points in self.points.values()))

    def mean_error(self, truth: Path) -> dict[str, float]:
        """Return each body part's mean distance in pixels from where it really is.

        Parameters
        ----------
        truth : Path
            CSV file with the columns ``<body part>_x`` and ``<body part>_y``, one row a frame.
        """
        with truth.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            part: _mean(
                [
                    math.hypot(x - float(row[f"{part}_x"]), y - float(row[f"{part}_y"]))
                    for (x, y, _), row in zip(points, rows, strict=True)
                ]
            )
            for part, points in self.points.items()
        }


def read_poses(path: Path) -> Poses:
    """Read DeepLabCut's CSV file of a single animal: three header rows, then one row a frame.

    Raises
    ------
    ValueError
        It is no such file.
    """
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    if len(rows) < 4 or [row[0] for row in rows[:3]] != ["scorer", "bodyparts", "coords"]:
        raise ValueError(f"{path.name} is not DeepLabCut's CSV file of a single animal.")
    parts = rows[1][1::3]
    frames = [[float(value) for value in row[1:]] for row in rows[3:]]
    return Poses({part: [_point(frame, 3 * index) for frame in frames] for index, part in enumerate(parts)})


def _point(values: Sequence[float], at: int) -> Point:
    return values[at], values[at + 1], values[at + 2]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def save_frame(ffmpeg: str, video: Path, frame: int, picture: Path) -> None:
    """Write one frame of a video, counted from 0, as a picture.

    Raises
    ------
    subprocess.CalledProcessError
        ffmpeg could not.
    """
    choose = ["-vf", f"select=eq(n\\,{frame})", "-frames:v", "1", "-update", "1"]
    command = [ffmpeg, "-y", "-loglevel", "error", "-i", str(video), *choose, str(picture)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
