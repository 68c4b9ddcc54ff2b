"""Frames to poses by ``deeplabcut.analyze_videos`` itself, watched, and held to account for every frame.

DeepLabCut tells nobody how far it has come, so the progress bar that it draws is replaced (`watched`): what is put in
its place sees every frame that is read, and when that frame is shown by the word of the decoder.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.network import LOG, Network, Poses, explained
from dlc_jupyter.pose.projects import read_yaml


def analyze(
    network: Network,
    video: Path,
    media: Media,
    folder: Path,
    *,
    save_as_csv: bool,
    progress: Callable[[int], None],
    why: str = "",
) -> Poses:
    """Run ``deeplabcut.analyze_videos`` on one video.

    Parameters
    ----------
    folder : Path
        Where the poses are written; it must not exist, so that DeepLabCut finds nothing "already analyzed".
    progress : callable
        Told how many frames have been read, over all `Network.passes`.
    why : str
        Why this way was taken, for the user.

    Raises
    ------
    AnalysisFailed
        The network or the video cannot be used, or frames have no pose.
    """
    import deeplabcut

    optional: dict[str, Any] = {
        "batch_size": network.batch_size,
        "detector_batch_size": network.detector_batch_size,
        "cropping": network.cropping,
    }
    folder.mkdir(parents=True)
    with watched(progress, media.frames) as seen, loaded() as weights, explained(network, lambda: len(seen.shown)):
        scorer = deeplabcut.analyze_videos(
            str(network.config),
            [str(video)],
            save_as_csv=save_as_csv,
            destfolder=str(folder),
            in_random_order=False,
            device=network.device,
            **network.chosen,
            **{name: value for name, value in optional.items() if value is not None},
        )
    poses = Poses(
        folder,
        video.stem,
        str(scorer),
        network.tracker,
        len(seen.shown),
        list(media.notes),
        fallbacks=[why] if why else [],
        model_files=list(dict.fromkeys(each for path in weights for each in (*_settings(path), path))),
        batch_sizes=_batch_sizes(network),
    )
    if not poses.h5.is_file() or not poses.file("_full.pickle").is_file():
        raise AnalysisFailed("DeepLabCut ended without an error, but wrote no poses.", hint=LOG, kind="NoPoses")
    poses.notes.extend(media.account(len(seen.shown), seen.shown))
    _check_rows(poses)
    return poses


@contextmanager
def loaded() -> Iterator[list[Path]]:
    """Note which files of weights torch loads while the context lasts: with those DeepLabCut looks at the video."""
    import torch

    paths, original = [], torch.load

    def load(file: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(file, str | Path) and Path(file) not in paths:
            paths.append(Path(file))
        return original(file, *arguments, **keywords)

    torch.load = load
    try:
        yield paths
    finally:
        torch.load = original


def _settings(weights: Path) -> list[Path]:
    """Return the configuration that lies beside a network's weights, if one does."""
    path = weights.with_name("pytorch_config.yaml")
    return [path] if path.is_file() else []


def _batch_sizes(network: Network) -> dict[str, int]:
    """Return how many pictures, or animals, DeepLabCut has in a batch."""
    names = ["batch_size", *(["detector_batch_size"] if network.passes > 1 else [])]
    project = read_yaml(network.config)
    return {name: int(getattr(network, name) or project.get(name) or 1) for name in names}


def _check_rows(poses: Poses) -> None:
    """Refuse poses that lack rows. Tracks of several animals have a row only where one of them was seen."""
    import pandas as pd

    rows = len(pd.read_hdf(poses.h5))
    if rows != poses.rows and not poses.tracker:
        raise AnalysisFailed(f"DeepLabCut wrote {rows} rows for {poses.rows} frames.", hint=LOG, kind="RowsMissing")


@dataclass
class Seen:
    """When the frames read in the present pass over the video are shown, in seconds; how many were read before."""

    shown: array[float] = field(default_factory=lambda: array("d"))
    before: int = 0


class _Watch:
    """In the place of tqdm's progress bar: passes a video's frames on, and notes each."""

    def __init__(self, seen: Seen, progress: Callable[[int], None], video: Any, frames: int) -> None:
        self._seen, self._progress, self._video = seen, progress, video
        if video._n_frames < 0:  # OpenCV's count where the file does not say how long it is: DeepLabCut fails over it
            video._n_frames = frames

    def __iter__(self) -> Iterator[Any]:
        seen = self._seen
        seen.before += len(seen.shown)
        del seen.shown[:]
        capture = self._video.video
        for frame in self._video:
            seen.shown.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield frame
            self._progress(seen.before + len(seen.shown))


@contextmanager
def watched(progress: Callable[[int], None], frames: int) -> Iterator[Seen]:
    """Put `_Watch` in the place of the name ``tqdm`` in the module that reads the video, while the context lasts.

    ``video_inference`` in that module, and nothing else, wraps the video in ``tqdm(video)``, once for each pass
    (DeepLabCut 3.0.0 to 3.0.2).
    """
    from deeplabcut.pose_estimation_pytorch.apis import videos

    seen, original = Seen(), videos.tqdm
    videos.tqdm = lambda video, *_args, **_kwargs: _Watch(seen, progress, video, frames)
    try:
        yield seen
    finally:
        videos.tqdm = original
