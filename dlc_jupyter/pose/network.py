"""Which trained network of a project looks at a video, on which device, and whether it can."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlc_jupyter.errors import AnalysisFailed, without_paths
from dlc_jupyter.pose.limits import check_cropping
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.memory import lacking, lacking_here
from dlc_jupyter.pose.project_files import is_top_down
from dlc_jupyter.pose.projects import (
    Model,
    folders_of,
    lacking_network,
    lacking_snapshot,
    read_model,
    read_yaml,
)

#: How DeepLabCut ends the names of the files with the tracks of several animals, by the way they were tracked.
TRACKERS = {"ellipse": "_el", "box": "_bx", "skeleton": "_sk"}

#: The name of the file with the poses in a compact form (`dlc_jupyter.pose.compact`).
COMPACT = "poses.dlcp"

LOG = "See the analysis's log."

#: The function of DeepLabCut's runners that reads a snapshot. What it raises is about that file, whatever torch says.
_LOADING = "load_snapshot"


@dataclass(frozen=True)
class Network:
    """Which trained network of a project, and where it runs.

    Attributes
    ----------
    config : Path
        config.yaml of a private copy of the project.
    snapshot_index : int or None
        None: what the project's config.yaml says.
    batch_size, detector_batch_size : int or None
        None: on a GPU as many as its memory suffices for (`dlc_jupyter.pose.sizes`), else what the project's
        config.yaml says.
    cropping : list of int or None
        x1, x2, y1, y2 in pixels; None: what the project's config.yaml says.
    device : str
        As torch calls it: ``cpu``, ``cuda:0``.
    measured_file : Path or None
        Where it is kept how much of a GPU's memory networks take, for other analyses. None: it is measured each time.
    """

    config: Path
    shuffle: int = 1
    trainingsetindex: int = 0
    snapshot_index: int | None = None
    batch_size: int | None = None
    detector_batch_size: int | None = None
    cropping: list[int] | None = None
    device: str = "cpu"
    measured_file: Path | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """The arguments by which every function of DeepLabCut finds this network; those left out are not passed."""
        index = {} if self.snapshot_index is None else {"snapshot_index": self.snapshot_index}
        return {"shuffle": self.shuffle, "trainingsetindex": self.trainingsetindex, **index}

    def check(self, media: Media) -> Model:
        """Refuse a network that is not there, a device that is not there, and cropping outside of the picture."""
        model = read_model("", self.config)
        if model.problem:
            raise AnalysisFailed(f"The model cannot be used: {model.problem}", kind="BrokenModel")
        self._check_snapshot(model)
        self._check_device()
        self._check_tracking()
        check_cropping(self.cropping, self._project(), media.width, media.height)
        return model

    def _check_snapshot(self, model: Model) -> None:
        chosen = self.trainingsetindex, self.shuffle
        if lacking := lacking_network(model, *chosen):
            raise AnalysisFailed(lacking, kind="UnknownShuffle")
        index = self.snapshot_index
        if index is None:
            index = self._project().get("snapshotindex", -1)
        if isinstance(index, int) and (lacking := lacking_snapshot(model, *chosen, index)):
            raise AnalysisFailed(
                lacking,
                hint="Leave snapshot_index out, or set snapshotindex in config.yaml to -1, for the last one.",
                kind="UnknownSnapshot",
            )

    def _check_device(self) -> None:
        import torch

        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise AnalysisFailed(
                "There is no GPU that PyTorch can use on this computer.",
                hint="Ask for device=cpu, or leave device out.",
                kind="NoGPU",
            )

    def _check_tracking(self) -> None:
        """Refuse several animals where DeepLabCut cannot follow even one that stands still.

        filterpy 2.0.0, which DeepLabCut 3.0.2 admits, adds rows to columns in its Kalman filter: every track is lost
        after two frames, or jumps, without a word.
        """
        if not self.tracker:
            return
        import numpy as np
        from deeplabcut.core.trackingutils import EllipseTracker

        still = [100.0, 80.0, 60.0, 30.0, 0.5]
        tracker = EllipseTracker(still)
        tracker.predict()
        tracker.update(still)
        if not np.allclose(np.ravel(tracker.state), still, atol=1):
            raise AnalysisFailed(
                "Several animals cannot be tracked on this server: its filterpy does not work with DeepLabCut.",
                hint="Whoever runs the server can mend it: pip install 'filterpy<2'.",
                kind="TrackingBroken",
            )

    def _project(self) -> dict[str, Any]:
        return read_yaml(self.config)

    @property
    def tracker(self) -> str:
        """How the name of the file with the poses ends: "" for a single animal, else by how animals are tracked."""
        project = self._project()
        several = bool(project.get("multianimalproject"))
        return TRACKERS.get(str(project.get("default_track_method") or "ellipse"), "_el") if several else ""

    @property
    def passes(self) -> int:
        """How often the video is read: a top-down network looks for the animals first."""
        return 2 if is_top_down(self.config, self.shuffle) else 1


@dataclass(frozen=True)
class Poses:
    """The files with the poses of a video, in one folder, under the names that DeepLabCut gives them.

    Attributes
    ----------
    rows : int
        How many frames of the video the files go through.
    notes : list of str
        What the user should know.
    unreadable : list of int
        The numbers of the frames that could not be decoded and have rows of NaN.
    fallbacks : list of str
        What did not go the usual, quick way, and why.
    model_files : list of Path
        The network's configuration and weights.
    batch_sizes : dict
        ``batch_size``, and ``detector_batch_size`` where there is a detector: how many pictures or animals were in a
        batch. On a GPU the last digit of a number depends on it.
    """

    folder: Path
    stem: str
    scorer: str
    tracker: str
    rows: int
    notes: list[str]
    unreadable: list[int] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    model_files: list[Path] = field(default_factory=list)
    batch_sizes: dict[str, int] = field(default_factory=dict)

    def file(self, ending: str) -> Path:
        """Return the path of ``<stem><scorer><ending>``."""
        return self.folder / f"{self.stem}{self.scorer}{ending}"

    @property
    def h5(self) -> Path:
        """The poses, as DeepLabCut's other functions read them."""
        return self.file(f"{self.tracker}.h5")

    def as_result(self) -> dict[str, Path | None]:
        """Return the files that there are, as fields of a result."""
        csv, compact = self.file(f"{self.tracker}.csv"), self.folder / COMPACT
        return {
            "csv_file": csv if csv.is_file() else None,
            "poses_file": compact if compact.is_file() else None,
            "h5_file": self.h5,
            "meta_file": self.file("_meta.pickle"),
            "full_file": self.file("_full.pickle"),
        }


@contextmanager
def explained(network: Network | None = None, done: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Turn what DeepLabCut and torch raise into sentences for the user. `done` returns how many frames were done."""
    try:
        yield
    except AnalysisFailed:
        raise
    except Exception as error:
        if lacking(error):
            raise AnalysisFailed(
                "The GPU's memory is too small for this video and network.",
                hint="Ask for a smaller batch_size, crop the picture, or use device=cpu.",
                kind="OutOfMemory",
            ) from error
        if lacking_here(error):
            raise AnalysisFailed(
                "The computer's memory is too small for this video and network.",
                hint="Ask for a smaller batch_size, or crop the picture.",
                kind="OutOfMemory",
            ) from error
        raise _explain(network, done(), error) from error


def _explain(network: Network | None, done: int, error: Exception) -> AnalysisFailed:
    folders = folders_of(network.config) if network is not None else []
    text = " ".join(without_paths(str(error), *folders).split())[:500]
    if any(call.name == _LOADING for call in traceback.extract_tb(error.__traceback__)):
        return AnalysisFailed(
            "The model's snapshot cannot be loaded: the file is damaged, or belongs to another network.",
            hint="Choose another one with snapshot_index, or copy the project again.",
            kind="BrokenModel",
        )
    if done and network is not None and network.tracker and "track" in text.lower():
        return AnalysisFailed(
            f"The animals could not be tracked through the video: {text}",
            hint="The network may see none of them. Analyse a video that is like those it was trained on.",
            kind="NotTracked",
        )
    where = f" after {done} frames" if done else ""
    return AnalysisFailed(
        f"DeepLabCut stopped{where} with {type(error).__name__}: {text}",
        hint=LOG,
        kind="DeepLabCutFailed",
    )
