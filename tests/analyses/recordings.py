"""Short recordings by the demo's two cameras, and 2D poses of them that are exact, so that no network need look."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import Poses
from dlc_jupyter.demo.make import read_truth
from dlc_jupyter.demo.scene import BODYPARTS
from dlc_jupyter.demo.stereo import RIG
from dlc_jupyter.errors import AnalysisFailed
from tests.pose.videos import ffmpeg
from tests.pose3d.test_tracks import write_2d

CAMERAS = RIG.names
FRAMES = 24
SCORER = "network"
#: From the cameras to what they look at, in mm.
DISTANCE = float(np.mean([np.linalg.norm(camera.centre) for camera in RIG.cameras]))


def truth() -> NDArray[np.float64]:
    """Where the body parts are, in mm, shape (frames, body parts, 3)."""
    return read_truth(demo.TRUTH_3D, 3)


def clips(folder: Path, frames: int = FRAMES, start: Sequence[int] = (0, 0), more: Sequence[str] = ()) -> list[Path]:
    """Make the beginnings of the demo's stereo recording, each from a frame of its own on."""
    made = []
    for number, (video, first) in enumerate(zip(demo.VIDEOS_3D, start, strict=True), start=1):
        cut = ["-vf", f"trim=start_frame={first},setpts=PTS-STARTPTS", "-frames:v", str(frames), *more]
        coding = ["-c:v", "libx264", "-crf", "18", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
        made.append(ffmpeg(["-i", str(video), *cut, *coding], folder / f"walk_{number}.mp4"))
    return made


def exact(
    folder: Path,
    frames: Sequence[int] = (FRAMES, FRAMES),
    start: Sequence[int] = (0, 0),
    likelihood: float = 0.9,
    cropped_at: tuple[int, int] | None = None,
) -> list[Poses]:
    """Return the poses of `clips` as another analysis would have made them, but exact."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = RIG.project(truth())
    made = []
    for number, (count, first) in enumerate(zip(frames, start, strict=True)):
        x, y = cropped_at or (0, 0)
        seen = pixels[number, first : first + count] - [x, y]
        made.append(given(folder, number, seen, likelihood=likelihood, part=(x, 640, y, 480)))
    return made


def given(
    folder: Path,
    number: int,
    seen: NDArray[np.float64],
    likelihood: float = 0.9,
    part: tuple[int, int, int, int] = (0, 640, 0, 480),
    bodyparts: Sequence[str] = BODYPARTS,
    individuals: Sequence[str] = (),
) -> Poses:
    """Write pixels, shape (frames, points, 2), as poses that were made earlier."""
    meta = folder / f"meta-{number}.pickle"
    meta.write_bytes(pickle.dumps({"data": {"cropping_parameters": part}}))
    table = write_2d(
        folder / f"{number}.h5", seen, bodyparts, individuals, likelihood=likelihood, scorer=SCORER, kind=np.float64
    )
    files = {"h5_file": table, "meta_file": meta, "full_file": meta}
    about = {"scorer": SCORER, "frames": len(seen), "provenance": {"notes": [], "fallbacks": []}}
    return Poses(f"poses-{number + 1}", files, about)


def fails(start: Callable[..., object], /, *arguments: Any, **parameters: Any) -> AnalysisFailed:
    """Return the error with which an analysis ends; it names no file of the machine."""
    with pytest.raises(AnalysisFailed) as failed:
        start(*arguments, **parameters)
    for text in (failed.value.message, failed.value.hint):
        assert "/" not in text, text
    return failed.value


def points(path: Path) -> NDArray[np.float64]:
    """Read points in space, shape (frames, body parts, 3)."""
    return pd.read_hdf(path).to_numpy().reshape(-1, len(BODYPARTS), 3)


def project_3d(tmp_path: Path) -> Path:
    """A copy of the demo's 3D project that may be changed."""
    shutil.copytree(demo.MODEL.parent, tmp_path / "broken" / "model")
    return shutil.copytree(demo.MODEL_3D.parent, tmp_path / "broken" / "model3d") / "config.yaml"
