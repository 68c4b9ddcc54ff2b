"""DeepLabCut projects with small networks of random weights, one of each kind that looks at pictures in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlc_jupyter.pose.batches import Prediction, Seam
from dlc_jupyter.pose.frames import Batch
from dlc_jupyter.pose.memory import Portions
from dlc_jupyter.pose.network import Network

PARTS = ["snout", "body", "tail"]
CHANNELS = 96  # of timm's test_resnet, a network of 0.4 million weights
SEED = 3

#: How a top-down project's animals are found here: the detectors of torchvision need its compiled operators, which are
#: not everywhere. It is registered with DeepLabCut like any other.
DETECTOR = "FewBoxes"


KINDS = ["single", "resized", "several", "identity", "top-down", "conditional"]


def of(kind: str) -> str:
    """Return the clip for a kind of network: those that put animals together take long over random body parts."""
    return "small.mp4" if kind in ("several", "identity", "conditional") else "clip.mp4"


def network(config: Path, **options) -> Network:
    return Network(config=config, shuffle=2 if "conditional" in str(config) else 1, **options)


def project(folder: Path, clip: Path, kind: str) -> Path:
    """Make a project in `folder`; return its config.yaml.

    Parameters
    ----------
    clip : Path
        A video, which DeepLabCut wants to see when a project is made.
    kind : str
        ``single``, ``resized`` (its pictures are), ``several`` (two animals, by part affinity fields), ``identity``
        (and told apart, with body parts that there are once), ``top-down`` or ``conditional``.
    """
    import deeplabcut
    import torch
    from deeplabcut.utils import auxiliaryfunctions

    torch.manual_seed(SEED)
    several = kind not in ("single", "resized")
    config = Path(
        deeplabcut.create_new_project(kind, "me", [str(clip)], str(folder), copy_videos=True, multianimal=several)
    )
    changes: dict[str, Any] = {"skeleton": [["snout", "body"], ["body", "tail"]], "TrainingFraction": [0.95]}
    if several:
        changes |= {"multianimalbodyparts": PARTS, "individuals": ["left", "right"], "uniquebodyparts": []}
        changes |= {"default_track_method": "ellipse", "identity": kind == "identity"}
    else:
        changes |= {"bodyparts": PARTS}
    if kind == "identity":
        changes["uniquebodyparts"] = ["door", "lamp"]
    auxiliaryfunctions.edit_config(str(config), changes)
    if kind == "conditional":
        _network(config, 1, "several")
        _network(config, 2, kind)
    else:
        _network(config, 1, kind)
    return config


def _network(config: Path, shuffle: int, kind: str) -> None:
    """Write the untrained network of a shuffle."""
    import torch
    from deeplabcut.pose_estimation_pytorch.config import PoseConfig
    from deeplabcut.pose_estimation_pytorch.config.make_pose_config import (
        make_pytorch_pose_config,
        make_pytorch_test_config,
    )
    from deeplabcut.pose_estimation_pytorch.models import PoseModel
    from deeplabcut.utils import auxiliaryfunctions

    values = auxiliaryfunctions.read_config(str(config))
    name = f"{values['Task']}{values['date']}-trainset95shuffle{shuffle}"
    folder = config.parent / "dlc-models-pytorch/iteration-0" / name
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    path = folder / "train/pytorch_config.yaml"
    options: dict[str, Any] = {"net_type": "resnet_50", "top_down": kind == "top-down"}
    if kind == "conditional":
        options = {"net_type": "ctd_prenet_rtmpose_s", "ctd_conditions": (1, -1)}
    make_pytorch_pose_config(values, path, save=True, **options)
    pose = PoseConfig.from_yaml(path)
    if kind != "conditional":
        pose.set_nested("model.backbone.model_name", "test_resnet")
        pose.set_nested("model.backbone_output_channels", CHANNELS)
        for head, outputs in pose["model"]["heads"].items():
            for part in ("heatmap_config", "locref_config", "paf_config"):
                if outputs.get(part):
                    channels = outputs[part]["channels"]
                    pose.set_nested(f"model.heads.{head}.{part}.channels", [CHANNELS, *channels[1:][-1:]])
    if kind == "resized":
        pose.set_nested("data.inference.resize", {"height": 200, "width": 260, "keep_ratio": False})
    if kind == "top-down":
        register_detector()
        pose.set_nested("detector.model", {"type": DETECTOR})
    pose.to_yaml(path)
    make_pytorch_test_config(pose, folder / "test/pose_cfg.yaml", save=True)
    model = PoseModel.build(pose["model"], pretrained_backbone=False)
    torch.save({"model": model.state_dict(), "metadata": {"epoch": 1}}, folder / "train/snapshot-001.pt")
    if kind == "top-down":
        from deeplabcut.pose_estimation_pytorch.models.detectors import DETECTORS

        detector = DETECTORS.build({"type": DETECTOR})
        state = {"model": detector.state_dict(), "metadata": {"epoch": 1}}
        torch.save(state, folder / "train/snapshot-detector-001.pt")


def register_detector() -> None:
    """Tell DeepLabCut of a detector that finds none, one or two boxes in a picture, whatever is on it."""
    import torch
    from deeplabcut.pose_estimation_pytorch.models.detectors import DETECTORS, BaseDetector

    if DETECTOR in DETECTORS.module_dict:
        return

    class FewBoxes(BaseDetector):
        """Boxes from the mean colours of a picture, through random weights."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 8, 5, stride=4)

        def forward(self, x: Any, targets: Any = None) -> Any:
            height, width = x.shape[-2:]
            found = []
            for numbers in self.layer(x).mean((2, 3)).mul(37).frac().abs():
                count = int(numbers[0] * 3 % 3)
                corners = torch.stack([numbers[1:3] * width / 2, numbers[3:5] * height / 2], 1).T
                boxes = torch.cat([corners, corners + torch.tensor([width, height]) / 3], 1)
                found.append({"boxes": boxes[:count], "scores": numbers[5 : 5 + count]})
            return {}, found

        def get_target(self, labels: Any) -> Any:
            return [labels]

    DETECTORS.register_module(FewBoxes)


class Seeing:
    """A loop whose network sees what a function says: the frame's number to animals x body parts x 3."""

    size = 4

    def __init__(self, animals: Callable[[int], np.ndarray]) -> None:
        self.notes: list[str] = []
        self.portions: list[Portions] = []
        self._animals = animals
        self._done = 0

    def go_on(self, seam: Seam) -> None:
        pass

    def seam(self) -> tuple[int, Seam]:
        return self._done - self._done % self.size, Seam()

    def feed(self, batch: Batch) -> list[Prediction]:
        self._done += len(batch)
        return [{"bodyparts": self._animals(number)} for number in batch.numbers]

    def finish(self) -> list[Prediction]:
        return []


def walking(frame: int) -> np.ndarray:
    """Two animals beside each other (x, y in pixels, likelihood)."""
    first = np.array([[60, 60, 0.9], [90, 85, 0.9], [120, 55, 0.9]]) + np.array([frame, 0, 0])
    return np.stack([first, first + np.array([0, 100, 0])]).astype(np.float32)


def find_walkers(monkeypatch: Any) -> None:
    """Have every network find two animals, and those of the n-th picture where they are by then, in whatever loop.

    A network that is shown a whole picture says where both are in it (`walking`). One that is shown an animal, cut out,
    says where its parts are in there; a detector always draws the same two boxes.
    """
    import torch
    from deeplabcut.pose_estimation_pytorch.models import PoseModel
    from deeplabcut.pose_estimation_pytorch.models.detectors import DETECTORS
    from deeplabcut.pose_estimation_pytorch.models.predictors import PartAffinityFieldPredictor

    register_detector()

    def get_predictions(self: Any, outputs: Any) -> Any:
        found = {
            name: head.predictor(self._strides[name], outputs[name])
            for name, head in self.heads.items()
            if name != "bodypart"
        }
        whole = isinstance(self.heads["bodypart"].predictor, PartAffinityFieldPredictor)
        first, count = getattr(self, "seen", 0), len(next(iter(outputs["bodypart"].values())))
        self.seen = first + count
        poses = [walking(number) if whole else walking(number // 2)[:1] for number in range(first, self.seen)]
        made = np.zeros((count, *poses[0].shape[:2], 5 if whole else 3), np.float32)
        made[..., :3] = poses
        return {"bodypart": {"poses": torch.from_numpy(made)}, **found}

    def forward(_self: Any, x: Any, targets: Any = None) -> Any:
        boxes = torch.tensor([[30.0, 20.0, 130.0, 100.0], [30.0, 130.0, 130.0, 210.0]])
        return {}, [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8])} for _ in x]

    monkeypatch.setattr(PoseModel, "get_predictions", get_predictions)
    monkeypatch.setattr(DETECTORS.module_dict[DETECTOR], "forward", forward)
