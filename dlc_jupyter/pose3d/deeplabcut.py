"""DeepLabCut's own functions for 3D projects, which 3.0.1 and 3.0.2 refuse to read: repaired, and watched."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.encoding import check_playable, find_ffmpeg, make_playable
from dlc_jupyter.pose.network import LOG, explained
from dlc_jupyter.pose.tables import COORDS, SINGLE
from dlc_jupyter.pose.tracks import KEY
from dlc_jupyter.pose3d.multiview import MultiView
from dlc_jupyter.pose3d.tracks import SCORER, columns
from dlc_jupyter.pose3d.triangulation import PCUTOFF

#: Names of our making: DeepLabCut finds what belongs together by parts of the files' names.
_CAMERAS = ("camera-1", "camera-2")
_STEM, _SCORER_2D = "scene", "net"


@contextmanager
def readable_projects() -> Iterator[None]:
    """Let DeepLabCut's functions read the config.yaml of a 3D project, while the context lasts.

    From 3.0.1 on ``read_config`` takes every project for one of 2D and refuses the ``camera_names`` that only 3D
    projects have. Only where it refuses one with ``camera_names``, that is read as it is; and, as ``read_config`` does
    for others, the project's folder is that where the file is.
    """
    from deeplabcut.core.config import read_config_as_dict
    from deeplabcut.utils import auxiliaryfunctions
    from pydantic import ValidationError

    original = auxiliaryfunctions.read_config

    def read_config(configname: str | Path, *arguments: Any, **keywords: Any) -> Any:
        try:
            return original(configname, *arguments, **keywords)
        except ValidationError:
            values = read_config_as_dict(configname)
            if "camera_names" not in values:
                raise
            values["project_path"] = str(Path(configname).resolve().parent)
            return values

    auxiliaryfunctions.read_config = read_config
    try:
        yield
    finally:
        auxiliaryfunctions.read_config = original


def individual_order(paths: Sequence[Path], stereo: Mapping[str, Any], pcutoff: float) -> NDArray[np.int64] | None:
    """Return which individual of the second camera DeepLabCut's ``triangulate`` takes for each one of the first.

    It sees the tables of both views as a whole, so they are read as a whole.

    Parameters
    ----------
    paths : sequence of Path
        The ``.h5`` of both cameras.
    stereo : mapping
        What ``stereo_params.pickle`` has of them.

    Returns
    -------
    ndarray of int64, shape (2, individuals), or None
        As `dlc_jupyter.pose3d.epipolar.match_individuals`. None where DeepLabCut ends with an error, such as for an
        animal that one camera never saw, or takes an animal for the body parts that there are once.
    """
    from deeplabcut.pose_estimation_3d import triangulation
    from deeplabcut.utils import auxiliaryfunctions_3d

    tables = [pd.read_hdf(path) for path in paths]
    rows = min(map(len, tables))
    tables = triangulation._undistort_views([tables], {"": dict(stereo)})[0]
    views = []
    for table in tables:
        values = table.to_numpy(copy=True).reshape(len(table), -1, len(COORDS))
        values[values[..., 2] < pcutoff, :2] = np.nan
        views.append(pd.DataFrame(values.reshape(len(table), -1)[:rows], table.index[:rows], table.columns))
    animals = views[0].columns.get_level_values("individuals").unique().drop(SINGLE, errors="ignore").size
    try:
        _, voting = auxiliaryfunctions_3d.cross_view_match_dataframes(*views, stereo["F"])
        second = [int(voting[each]) for each in range(animals)]
    except Exception:  # whatever DeepLabCut makes of tracks that it does not expect
        return None
    return np.array([range(animals), second]) if sorted(second) == list(range(animals)) else None


# -- the labelled video ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How DeepLabCut draws: arguments of ``create_labeled_video_3d``, and what it takes from the project.

    Attributes
    ----------
    skeleton : sequence of (str, str)
        Body parts to connect. Only these are drawn.
    pcutoff : float
        A body part with a lower likelihood in either view is not drawn.
    arguments : mapping
        ``start``, ``end``, ``view``, ``xlim``, ``ylim``, ``zlim``, ``draw_skeleton``, ``color_by``,
        ``figsize`` and ``dpi``; DeepLabCut's defaults for what is left out.
    dotsize, alpha, colormap, skeleton_color
        As in the project's config.yaml.
    """

    skeleton: Sequence[Sequence[str]]
    pcutoff: float = PCUTOFF
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dotsize: float = 15
    alpha: float = 0.8
    colormap: str = "jet"
    skeleton_color: str = "black"


def labelled_video(
    poses: Path,
    views: MultiView,
    videos: Sequence[Path],
    look: Look,
    target: Path,
    *,
    fps: float,
    scratch: Path,
    progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, Any]:
    """Have ``create_labeled_video_3d`` draw the 3D poses of two cameras.

    Parameters
    ----------
    poses : Path
        The ``.h5`` with the 3D poses.
    views : MultiView
        The 2D poses, and which individual is which.
    videos : sequence of Path
        Of both cameras.
    target : Path
        The MP4 file.
    fps : float
        Frames per second.
    scratch : Path
        A folder that is made and deleted.
    progress : callable
        Told which share of the frames is drawn, from 0 to 1. What it raises ends the work.

    Returns
    -------
    dict
        ``width``, ``height`` (pixels), ``codec`` and ``frames`` of the video.

    Raises
    ------
    AnalysisFailed
        There are not two cameras (kind ``TwoCameras``), trails are asked for (``NoTrails``), no body part of the
        skeleton is there (``NoSkeleton``), no point is there in these frames (``NoPoses``), or DeepLabCut fails.
    """
    if len(views.names) != 2 or any(views.offsets):
        raise AnalysisFailed(
            "DeepLabCut draws 3D videos of two cameras whose videos begin at the same moment, and no others.",
            hint="Leave renderer=deeplabcut out.",
            kind="TwoCameras",
        )
    parts = [*views.keypoints.bodyparts, *views.keypoints.unique_bodyparts]
    skeleton = [list(edge) for edge in look.skeleton if all(part in parts for part in edge)]
    if not skeleton:
        raise AnalysisFailed(
            "DeepLabCut draws the body parts that its skeleton connects, and there are none.",
            hint=f"Give a skeleton of these body parts: {', '.join(parts)}.",
            kind="NoSkeleton",
        )
    if look.arguments.get("trailpoints"):
        # It gives matplotlib more points than colours, which ends in an error at the second frame.
        raise AnalysisFailed(
            "DeepLabCut cannot draw trails in 3D videos.",
            hint="Leave trailpoints out, or renderer=deeplabcut.",
            kind="NoTrails",
        )
    scratch.mkdir(parents=True)
    try:
        frames = _stage(poses, views, videos, scratch)
        start, end = (look.arguments.get(name) for name in ("start", "end"))
        wanted = range(frames)[start or 0 : end]
        _check_points(poses, skeleton, wanted)
        config = _write_config(scratch, skeleton, look)
        made = scratch / f"{_STEM}_{SCORER}.mp4"
        with readable_projects(), _drawing(len(wanted), progress):
            _draw(config, scratch, look, fps)
        if not made.is_file():
            raise AnalysisFailed("DeepLabCut ended without an error, but drew no 3D video.", hint=LOG, kind="NoVideo")
        make_playable(made, target)
        return {**check_playable(target, len(wanted)), "frames": len(wanted)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _stage(poses: Path, views: MultiView, videos: Sequence[Path], folder: Path) -> int:
    """Put together what DeepLabCut looks for, under names of our making; return the number of frames."""
    points = pd.read_hdf(poses)
    points.to_hdf(folder / f"{_STEM}_{SCORER}.h5", key=KEY, format="table", mode="w")
    metadata = {"stereo_matrix": {}, "stereo_matrix_file": "", "scorer_name": dict.fromkeys(_CAMERAS, _SCORER_2D)}
    (folder / f"{_STEM}_{SCORER}_meta.pickle").write_bytes(pickle.dumps(metadata))
    named = columns(views.keypoints, _SCORER_2D, COORDS)
    rows = np.empty((len(_CAMERAS), len(points), len(named)))
    for numbers, pixels, likelihood in views.pieces(len(points)):
        piece = np.concatenate([pixels, likelihood[..., None]], -1)
        rows[:, numbers.start : numbers.stop] = piece.reshape(len(rows), len(numbers), -1)
    for name, values, video in zip(_CAMERAS, rows, videos, strict=True):
        table = pd.DataFrame(values, columns=named)
        table.to_hdf(folder / f"{_STEM}_{name}{_SCORER_2D}.h5", key=KEY, format="table", mode="w")
        # One ending for both: DeepLabCut looks for the second one with the ending of the first. Decoders do not care.
        (folder / f"{_STEM}_{name}.mp4").symlink_to(video.resolve())
    return len(points)


def _check_points(poses: Path, skeleton: Sequence[Sequence[str]], wanted: range) -> None:
    points = pd.read_hdf(poses)
    drawn = points.columns.get_level_values("bodyparts").isin({part for edge in skeleton for part in edge})
    if not np.isfinite(points.loc[:, drawn].to_numpy()[wanted.start : wanted.stop]).any():
        raise AnalysisFailed(
            "There is no point to draw in these frames: all 3D poses are NaN.",
            hint="Look at the share of points that were found, and why.",
            kind="NoPoses",
        )


def _write_config(folder: Path, skeleton: Sequence[Sequence[str]], look: Look) -> Path:
    import yaml

    values = {
        "project_path": str(folder),
        "camera_names": list(_CAMERAS),
        "num_cameras": 2,
        "scorername_3d": SCORER,
        "pcutoff": look.pcutoff,
        "dotsize": look.dotsize,
        "alphaValue": look.alpha,
        "colormap": look.colormap,
        "skeleton": skeleton,
        "skeleton_color": look.skeleton_color,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@contextmanager
def _drawing(frames: int, progress: Callable[[float], None]) -> Iterator[None]:
    """Let matplotlib find ffmpeg, tell of each frame, and close the figures that DeepLabCut leaves open."""
    import matplotlib.pyplot as plt
    from deeplabcut.pose_estimation_3d import plotting3D

    def told(numbers: Iterable[int]) -> Iterator[int]:
        for done, number in enumerate(numbers):
            progress(done / frames)
            yield number
        progress(1.0)

    tqdm, open_before = plotting3D.tqdm, set(plt.get_fignums())
    plotting3D.tqdm = told
    try:
        with plt.rc_context({"animation.ffmpeg_path": find_ffmpeg()}):
            yield
    finally:
        plotting3D.tqdm = tqdm
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)


def _draw(config: Path, folder: Path, look: Look, fps: float) -> None:
    import deeplabcut

    poses = folder / f"{_STEM}_{SCORER}.h5"
    with explained():
        deeplabcut.create_labeled_video_3d(
            str(config), [str(poses)], videofolder=str(folder), videotype=".mp4", fps=fps, **look.arguments
        )
