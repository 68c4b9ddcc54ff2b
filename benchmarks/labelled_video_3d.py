"""3D videos: `dlc_jupyter.pose3d.render.render_scene` against DeepLabCut's `create_labeled_video_3d` at its defaults.

Two cameras of 640 x 480 pixels, 12 body parts and their skeleton; ours has trails of 20 points too, which DeepLabCut
cannot draw. Both begin with the same poses and videos on disk, and end with a file that browsers play. DeepLabCut takes
more than a second for a frame, so it draws fewer of them (``--theirs``); held against each other are the times for one
frame. A picture of each is left in the folder that ``--pictures`` names, to be looked at.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Claim, arguments, conclude, in_milliseconds, ratio, scratch_folder, take_turns
from dlc_jupyter import demo

WIDTH, HEIGHT = 640, 480
PARTS = [f"part{number}" for number in range(12)]
SKELETON = [list(pair) for pair in pairwise(PARTS)]
TRAIL = 20
PCUTOFF = 0.4
SECONDS = 5.0
OURS, THEIRS = "ours", "DeepLabCut"


def main() -> int:
    options = arguments(__doc__, rounds=3, frames=300, theirs=30, pictures="")
    os.environ.setdefault("MPLBACKEND", "Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut  # noqa: F401  ten seconds, which are nobody's
    with scratch_folder() as folder:
        case = prepare(folder, options.frames)
        case.by_us()  # imports what it needs
        figures = take_turns(
            options.rounds,
            {
                OURS: timed(case.by_us, options.frames),
                THEIRS: timed(lambda: case.by_deeplabcut(options.theirs), options.theirs),
            },
            in_milliseconds,
        )
        for name in (OURS, THEIRS):
            print(f"{name}: {case.describe(name)}")
            if options.pictures:
                case.leave_picture(name, options.theirs - 1, Path(options.pictures))
    whole = sorted(each * options.frames for each in figures[OURS])[len(figures[OURS]) // 2]
    return conclude(
        "labelled_video_3d",
        Claim("times as fast as DeepLabCut", ratio(figures[THEIRS], figures[OURS]), least=20.0),
        Claim(f"seconds for {options.frames} frames", whole, most=SECONDS * options.frames / 300),
    )


def timed(work: Callable[[], None], frames: int) -> Callable[[], float]:
    """Return what says how long one frame takes, in seconds."""

    def turn() -> float:
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            work()
        return (time.perf_counter() - began) / frames

    return turn


@dataclass
class Case:
    """Videos of two cameras, with 2D and 3D poses."""

    folder: Path
    videos: list[Path]
    names: list[str]
    tables: list[Path]
    pixels: np.ndarray[Any, Any]
    likelihood: np.ndarray[Any, Any]
    points: np.ndarray[Any, Any]
    poses: Path

    def by_us(self) -> None:
        from dlc_jupyter.pose.media import inspect
        from dlc_jupyter.pose3d.render import View, render_scene
        from dlc_jupyter.pose3d.scene import SceneLook

        views = [
            View(video, inspect(video), pixels[:, None], likelihood[:, None], name)
            for video, pixels, likelihood, name in zip(
                self.videos, self.pixels, self.likelihood, self.names, strict=True
            )
        ]
        look = SceneLook(PARTS, skeleton=SKELETON, pcutoff=PCUTOFF, trailpoints=TRAIL, up="z", unit="mm")
        render_scene(views, self.points[:, None], look, self._target(OURS), progress=lambda done: None)

    def by_deeplabcut(self, frames: int) -> None:
        from dlc_jupyter.pose3d.deeplabcut import Look, labelled_video
        from dlc_jupyter.pose3d.multiview import MultiView

        look = Look(SKELETON, PCUTOFF, {"end": frames})
        labelled_video(
            self.poses,
            MultiView(self.tables, self.names),
            self.videos,
            look,
            self._target(THEIRS),
            fps=30,
            scratch=self.folder / "theirs",
        )

    def describe(self, name: str) -> str:
        from dlc_jupyter.pose.media import inspect

        made = inspect(self._target(name))
        size = self._target(name).stat().st_size / made.frames / 1000
        return f"{made.width} x {made.height} pixels, {size:.1f} kB for a frame"

    def leave_picture(self, name: str, frame: int, folder: Path) -> None:
        import cv2

        capture = cv2.VideoCapture(str(self._target(name)))
        for _ in range(frame + 1):
            _found, picture = capture.read()
        capture.release()
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), picture)

    def _target(self, name: str) -> Path:
        return self.folder / f"{name}.mp4"


def prepare(folder: Path, frames: int) -> Case:
    """Put the demo's video, as if two cameras had seen it, and poses that wander through its space into a folder."""
    from dlc_jupyter.demo.stereo import RIG
    from dlc_jupyter.pose.encoding import find_ffmpeg

    points = wander(frames)
    pixels = RIG.project(points)
    likelihood = np.random.default_rng(1).uniform(0.36, 1, pixels.shape[:-1])  # fifteen of sixteen are seen
    videos, tables = [], []
    for name, xy, sure in zip(RIG.names, pixels, likelihood, strict=True):
        videos.append(folder / f"{name}.mp4")
        command: list[str | Path] = [find_ffmpeg(), "-loglevel", "error", "-nostdin", "-y", "-stream_loop", "-1"]
        command += ["-i", demo.VIDEO, "-vf", f"scale={WIDTH}:{HEIGHT}", "-frames:v", str(frames), "-c:v", "libx264"]
        subprocess.run([*command, "-preset", "veryfast", videos[-1]], check=True)
        tables.append(folder / f"{name}.h5")
        write(tables[-1], "net", ["x", "y", "likelihood"], np.concatenate([xy, sure[..., None]], axis=-1))
    poses = folder / "scene_DLC_3D.h5"
    write(poses, "DLC_3D", ["x", "y", "z"], points)
    return Case(folder, videos, list(RIG.names), tables, pixels, likelihood, points, poses)


def wander(frames: int) -> np.ndarray[Any, Any]:
    """Return where body parts are, shape (frames, 12, 3), in mm: in a bent row that runs in circles and rears."""
    angle = np.linspace(0, 2 * np.pi * frames / 150, frames)[:, None] - np.linspace(0, 1.2, len(PARTS))
    reach = 80 + 25 * np.sin(3.1 * angle)
    height = 25 + 20 * np.sin(2.3 * angle) + 5 * np.arange(len(PARTS)) % 3
    return np.stack([reach * np.cos(angle), reach * np.sin(angle), height], axis=-1)


def write(path: Path, scorer: str, coords: list[str], values: np.ndarray[Any, Any]) -> None:
    columns = pd.MultiIndex.from_product([[scorer], PARTS, coords], names=["scorer", "bodyparts", "coords"])
    table = pd.DataFrame(values.reshape(len(values), -1), columns=columns)
    table.to_hdf(path, key="df_with_missing", format="table", mode="w")


if __name__ == "__main__":
    sys.exit(main())
