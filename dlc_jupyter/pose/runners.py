"""DeepLabCut's model, runners and naming for one network, as ``analyze_videos`` puts them together for a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlc_jupyter.pose.cropping import Part, cut_out, of_project
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.network import Network


@dataclass(frozen=True)
class Runners:
    """What DeepLabCut needs to look at a video with one network.

    Attributes
    ----------
    network : Network
        Which one it is.
    task : str
        ``bu`` (all body parts at once), ``td`` (animals first, then each one's body parts) or ``ctd`` (conditional
        top-down: poses of another network first).
    pose : deeplabcut's PoseInferenceRunner
        Holds the network, and what comes before and after it.
    detector : deeplabcut's DetectorInferenceRunner or None
        Finds the animals, for ``td``.
    scorer : str
        By which DeepLabCut names this network in files.
    pose_cfg : dict
        ``test/pose_cfg.yaml``.
    cropping : sequence of int or None
        x1, x2, y1, y2 in pixels: what was asked for, or what the project's config.yaml says.
    files : tuple of Path
        The network's configuration, and the files of weights that are used.
    """

    network: Network
    task: str
    pose: Any
    detector: Any
    scorer: str
    loader: Any = field(repr=False)
    pose_cfg: dict[str, Any] = field(repr=False)
    cropping: Sequence[int] | None = None
    files: tuple[Path, ...] = ()

    @property
    def several(self) -> bool:
        """Whether it is a project of several animals."""
        return bool(self.loader.project_cfg["multianimalproject"])

    @property
    def batch_size(self) -> int:
        """How many pictures, or animals, the network sees at once."""
        return int(self.pose.batch_size)

    def part(self, media: Media) -> Part | None:
        """Return which pixels of a video's picture it looks at; None for all of them."""
        return None if self.cropping is None else cut_out(self.cropping, media.width, media.height)

    def names(self, kind: str) -> list[str]:
        """Return the names of the ``bodyparts``, the ``unique_bodyparts`` or the ``individuals``."""
        return list(self.loader.model_cfg["metadata"][kind])

    @property
    def points(self) -> list[tuple[str, str]]:
        """Individual ("" for a single animal) and body part of all that it finds, in the order of its predictions."""
        animals = self.names("individuals") if self.several else [""]
        each = [(animal, part) for animal in animals for part in self.names("bodyparts")]
        return each + [("single", part) for part in self.names("unique_bodyparts")]


def build(network: Network) -> Runners:
    """Load a network as ``deeplabcut.analyze_videos`` does.

    Raises
    ------
    Exception
        Whatever DeepLabCut and torch raise: see `dlc_jupyter.pose.network.explained`.
    """
    from deeplabcut.pose_estimation_pytorch import DLCLoader
    from deeplabcut.pose_estimation_pytorch.apis import utils
    from deeplabcut.pose_estimation_pytorch.config.ctd_conditions import ConditionsModelConfig
    from deeplabcut.pose_estimation_pytorch.task import Task
    from deeplabcut.utils import auxiliaryfunctions

    loader = DLCLoader(network.config, trainset_index=network.trainingsetindex, shuffle=network.shuffle)
    project, model = loader.project_cfg, loader.model_cfg
    model["device"] = network.device
    index, detector_index = utils.parse_snapshot_index_for_analysis(project, model, network.snapshot_index, None)
    snapshot = utils.get_model_snapshots(index, loader.model_folder, loader.pose_task)[0]
    individuals = len(model["metadata"]["individuals"])
    conditions = None
    if loader.pose_task == Task.COND_TOP_DOWN:
        if model.inference.conditions is None:
            raise ValueError("CTD conditions are required for video analysis with cond-top-down models")
        conditions = ConditionsModelConfig.resolve_from_conditions(model.inference.conditions, config=network.config)
    pose = utils.get_pose_inference_runner(
        model_config=model,
        snapshot_path=snapshot.path,
        max_individuals=individuals,
        batch_size=network.batch_size or project.get("batch_size", 1),
        cond_provider=conditions,
    )
    detector, detector_snapshot = None, None
    if loader.pose_task == Task.TOP_DOWN:
        if detector_index is None:
            raise ValueError("The project's config.yaml names no detector_snapshotindex.")
        detector_snapshot = utils.get_model_snapshots(detector_index, loader.model_folder, Task.DETECT)[0]
        detector = utils.get_detector_inference_runner(
            model_config=model,
            snapshot_path=detector_snapshot.path,
            max_individuals=individuals,
            batch_size=network.detector_batch_size or project.get("detector_batch_size", 1),
        )
    used = [
        loader.model_folder / "pytorch_config.yaml",
        snapshot.path,
        *([detector_snapshot.path] if detector_snapshot else []),
    ]
    if conditions is not None:
        used += [conditions.config_path, conditions.snapshot_path]
    return Runners(
        network=network,
        task={Task.BOTTOM_UP: "bu", Task.TOP_DOWN: "td", Task.COND_TOP_DOWN: "ctd"}[loader.pose_task],
        pose=pose,
        detector=detector,
        scorer=str(loader.scorer(snapshot, detector_snapshot)),
        loader=loader,
        pose_cfg=auxiliaryfunctions.read_plainconfig(loader.model_folder.parent / "test" / "pose_cfg.yaml"),
        cropping=network.cropping or of_project(project),
        files=tuple(Path(each) for each in used),
    )


def metadata(
    runners: Runners, video: Path, *, batch_size: int, began: float, ended: float, frames: int
) -> dict[str, Any]:
    """Return what goes into ``_meta.pickle``. `frames` stands in where the file does not say how many it has."""
    from deeplabcut.pose_estimation_pytorch.apis.videos import VideoIterator, _generate_metadata

    project = runners.loader.project_cfg
    iterator = VideoIterator(video, cropping=runners.cropping)
    try:
        if iterator._n_frames < 0:
            iterator._n_frames = frames
        made: dict[str, Any] = _generate_metadata(
            cfg=project,
            pytorch_config=runners.loader.model_cfg,
            dlc_scorer=runners.scorer,
            train_fraction=project["TrainingFraction"][runners.network.trainingsetindex],
            batch_size=batch_size,
            cropping=runners.cropping,
            runtime=(began, ended),
            video=iterator,
        )
    finally:
        iterator.close()
    return made
