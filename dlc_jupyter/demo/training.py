"""Train the demo model: a real DeepLabCut project, labelled with what the scene knows, trained from random weights.

DeepLabCut has no network small enough to come with a package, but builds any of timm's ResNets by name:
`test_resnet` has 0.4 million parameters with DeepLabCut's heads, 0.8 MB in half precision.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import deeplabcut
import numpy as np
import pandas as pd
import torch
from deeplabcut.core.engine import Engine
from deeplabcut.pose_estimation_pytorch.config import PoseConfig
from deeplabcut.pose_estimation_pytorch.models import PoseModel
from deeplabcut.utils import auxiliaryfunctions
from numpy.typing import NDArray

from dlc_jupyter.demo.scene import BODYPARTS, FPS, SKELETON, Look, Scene

TASK = "mouse"
SCORER = "demo"
CLIP = "training"
"""Name of the video that the labelled frames are said to come from."""

PER_RECORDING = 6
"""Frames labelled in one recording, two seconds apart; each recording has another mouse in another light."""

BACKBONE = "test_resnet"
BACKBONE_CHANNELS = 96
LEARNING_RATES = (2e-3, 5e-4, 1e-4)


def make_project(folder: Path, clip: Path, frames: int, seed: int) -> Path:
    """Create a DeepLabCut project with labelled frames and a training dataset.

    Parameters
    ----------
    folder
        Where the project's folder is made.
    clip
        A video to begin the project with, named :data:`CLIP`.
    frames
        Number of frames to draw and label.
    seed
        Of the first recording; the others count up from it.

    Returns
    -------
    Path of the project's config.yaml.
    """
    config = Path(
        deeplabcut.create_new_project(TASK, SCORER, [str(clip)], working_directory=str(folder), copy_videos=True)
    )
    auxiliaryfunctions.edit_config(
        str(config),
        {
            "bodyparts": list(BODYPARTS),
            "skeleton": [list(bone) for bone in SKELETON],
            "skeleton_color": "white",
            "colormap": "rainbow",
            "dotsize": 5,
            "alphavalue": 0.8,
            "pcutoff": 0.4,
            "TrainingFraction": [0.95],
            "batch_size": 8,
        },
    )
    _label(config.parent / "labeled-data" / CLIP, frames, seed)
    deeplabcut.create_training_dataset(
        str(config), num_shuffles=1, net_type="resnet_50", engine=Engine.PYTORCH, userfeedback=False
    )
    return config


def train(config: Path, epochs: int) -> None:
    """Train the project's network on the CPU from random weights."""
    settings = next(config.parent.glob("dlc-models-pytorch/**/pytorch_config.yaml"))
    updates = _network(epochs)
    network = PoseConfig.from_yaml(settings)
    for key, value in updates.items():
        network.set_nested(key, value)
    torch.manual_seed(0)
    model = PoseModel.build(network["model"], pretrained_backbone=False)
    # DeepLabCut downloads pretrained weights unless training goes on from a snapshot.
    start = config.parent / "random.pt"
    torch.save({"model": model.state_dict(), "metadata": {"epoch": 0}}, start)
    deeplabcut.train_network(
        str(config), shuffle=1, epochs=epochs, snapshot_path=str(start), device="cpu", pytorch_cfg_updates=updates
    )


def shrink(config: Path, into: Path) -> None:
    """Copy what `deeplabcut.analyze_videos` needs: weights in half precision, nothing that names this machine."""
    project = config.parent
    shutil.rmtree(into, ignore_errors=True)
    names = {"config.yaml", "metadata.yaml", "pose_cfg.yaml", "pytorch_config.yaml"}
    for source in sorted(project.rglob("*")):
        target = into / source.relative_to(project)
        if source.name in names:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text().replace(str(project), f"{TASK}-{SCORER}"))
        elif source.name.startswith("snapshot-") and source.suffix == ".pt":
            target.parent.mkdir(parents=True, exist_ok=True)
            snapshot = torch.load(source, map_location="cpu")
            weights = {k: v.half() if v.is_floating_point() else v for k, v in snapshot["model"].items()}
            torch.save({"model": weights, "metadata": {"epoch": snapshot["metadata"]["epoch"]}}, target)


def analyze(config: Path, video: Path, scratch: Path) -> NDArray[np.float64]:
    """Run the shrunk project on a video, as a user would.

    Returns
    -------
    x and y in pixels and the likelihood, shape (frames, body parts, 3).
    """
    copy = scratch / "model"
    # DeepLabCut writes the project's new place into config.yaml, so it gets a copy.
    shutil.copytree(config.parent, copy)
    scorer = deeplabcut.analyze_videos(str(copy / config.name), [str(video)], destfolder=str(scratch))
    table = pd.read_hdf(scratch / f"{video.stem}{scorer}.h5")
    return np.asarray(table.to_numpy(np.float64).reshape(len(table), len(BODYPARTS), 3))


def _label(folder: Path, frames: int, seed: int) -> None:
    """Draw frames of many recordings, and write them with their labels as DeepLabCut's labelling window does."""
    folder.mkdir(parents=True, exist_ok=True)
    labels: dict[tuple[str, str, str], NDArray[np.float64]] = {}
    for recording in range(-(-frames // PER_RECORDING)):
        scene = Scene(2 * FPS * PER_RECORDING, seed + recording, Look.vary(seed + recording))
        for number in range(0, len(scene), 2 * FPS):
            name = f"img{len(labels):04d}.png"
            cv2.imwrite(str(folder / name), scene.frame(number))
            labels["labeled-data", folder.name, name] = scene.truth[number].ravel()
    columns = pd.MultiIndex.from_product([[SCORER], BODYPARTS, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    table = pd.DataFrame(list(labels.values()), index=pd.MultiIndex.from_tuples(labels), columns=columns)
    table.to_hdf(folder / f"CollectedData_{SCORER}.h5", key="df_with_missing", mode="w")
    table.to_csv(folder / f"CollectedData_{SCORER}.csv")


def _network(epochs: int) -> dict[str, Any]:
    """What differs from DeepLabCut's own settings for `resnet_50`."""
    first, *later = LEARNING_RATES
    return {
        "device": "cpu",
        "model.backbone.model_name": BACKBONE,
        "model.backbone.output_stride": 16,
        "model.backbone_output_channels": BACKBONE_CHANNELS,
        "model.heads.bodypart.heatmap_config.channels": [BACKBONE_CHANNELS, len(BODYPARTS)],
        "model.heads.bodypart.locref_config.channels": [BACKBONE_CHANNELS, 2 * len(BODYPARTS)],
        "data.train.crop_sampling.width": 288,
        "data.train.crop_sampling.height": 288,
        "data.train.affine.scaling": [0.85, 1.15],
        "data.train.motion_blur": False,
        "train_settings.batch_size": 8,
        "train_settings.display_iters": 100,
        "runner.eval_interval": 1000,
        "runner.optimizer.params.lr": first,
        "runner.scheduler.params.lr_list": [[rate] for rate in later],
        "runner.scheduler.params.milestones": [int(epochs * 0.7), int(epochs * 0.9)],
        "runner.snapshots.max_snapshots": 1,
        "runner.snapshots.save_epochs": epochs,
    }
