"""Several animals: tracks and drawings come out under the names that DeepLabCut gives them.

There is no network trained on several animals here. The project and the network are real, but what the network would
see is put in by hand; DeepLabCut's own assembly, tracking, stitching and drawing follow.
"""

import numpy as np
import pandas as pd
import pytest

from tests.analyses.conftest import FRAMES

pytestmark = pytest.mark.deeplabcut
PARTS = ["snout", "body", "tail"]
CHANNELS = 96  # of timm's test_resnet


@pytest.fixture(scope="session")
def pair(deeplabcut, clip, tmp_path_factory):
    """config.yaml of a project with two animals and an untrained network."""
    import torch
    from deeplabcut.pose_estimation_pytorch.config import PoseConfig
    from deeplabcut.pose_estimation_pytorch.config.make_pose_config import (
        make_pytorch_pose_config,
        make_pytorch_test_config,
    )
    from deeplabcut.pose_estimation_pytorch.models import PoseModel
    from deeplabcut.utils import auxiliaryfunctions

    folder = tmp_path_factory.mktemp("pair")
    config = deeplabcut.create_new_project("pair", "me", [str(clip)], str(folder), copy_videos=True, multianimal=True)
    changes = {
        "multianimalbodyparts": PARTS,
        "individuals": ["left", "right"],
        "uniquebodyparts": [],
        "skeleton": [["snout", "body"], ["body", "tail"]],
        "TrainingFraction": [0.95],
        "default_track_method": "ellipse",
    }
    auxiliaryfunctions.edit_config(str(config), changes)
    project = auxiliaryfunctions.read_config(str(config))
    network = config.parent / f"dlc-models-pytorch/iteration-0/{project['Task']}{project['date']}-trainset95shuffle1"
    for part in ("train", "test"):
        (network / part).mkdir(parents=True)
    path = network / "train/pytorch_config.yaml"
    make_pytorch_pose_config(project, path, net_type="resnet_50", save=True)
    values = PoseConfig.from_yaml(path)
    values.set_nested("model.backbone.model_name", "test_resnet")
    values.set_nested("model.backbone_output_channels", CHANNELS)
    for kind, count in (("heatmap", 1), ("locref", 2)):
        values.set_nested(f"model.heads.bodypart.{kind}_config.channels", [CHANNELS, count * len(PARTS)])
    graph = len(PARTS) * (len(PARTS) - 1) // 2
    values.set_nested("model.heads.bodypart.paf_config.channels", [CHANNELS, 2 * graph])
    values.to_yaml(path)
    make_pytorch_test_config(values, network / "test/pose_cfg.yaml", save=True)
    model = PoseModel.build(values["model"], pretrained_backbone=False)
    torch.save({"model": model.state_dict(), "metadata": {"epoch": 1}}, network / "train/snapshot-001.pt")
    return config


@pytest.fixture
def seen(monkeypatch, deeplabcut):
    """Put in what the network sees: a function of the frame's number that returns animals x body parts x 3."""
    from deeplabcut.pose_estimation_pytorch.apis import videos

    def put_in(animals):
        def predict(video, **_keywords):
            return [{"bodyparts": animals(number)} for number, _frame in enumerate(videos.tqdm(video))]

        monkeypatch.setattr(videos, "video_inference", predict)

    return put_in


def walking(frame):
    """Two animals beside each other (x, y in pixels, likelihood)."""
    first = np.array([[60, 60, 0.9], [90, 85, 0.9], [120, 55, 0.9]]) + np.array([frame, 0, 0])
    return np.stack([first, first + np.array([0, 100, 0])]).astype(np.float32)


def nowhere(frame):
    """No animal at all."""
    return np.full((2, len(PARTS), 3), [np.nan, np.nan, 0], np.float32)


def test_the_tracks_of_two_animals_are_the_result(run, clip, pair, seen):
    seen(walking)
    result = run("video", clip, model=pair).result
    assert result["individuals"] == ["left", "right"]
    assert result["bodyparts"] == PARTS
    assert result["h5_file"].name.endswith("_el.h5")
    assert result["csv_file"].name.endswith("_el.csv")
    poses = pd.read_hdf(result["h5_file"])[result["scorer"]]
    assert len(poses) == result["frames"] == FRAMES
    heights = {name: poses[name]["body"]["y"].median() for name in ("left", "right")}
    assert sorted(heights.values()) == pytest.approx([85, 185], abs=1)


@pytest.mark.parametrize("options", [{}, {"color_by": "individual", "draw_skeleton": True}, {"filtered": True}])
def test_two_animals_are_drawn(run, clip, pair, seen, options):
    seen(walking)
    ran = run("label", clip, model=pair, **options)
    assert ran.result["frames"] == FRAMES
    again = run("label", clip, model=pair, poses=ran, **options)
    assert again.result["poses_from"] is not None


def test_animals_that_are_nowhere_are_a_failure_in_plain_words(fails, clip, pair, seen):
    seen(nowhere)
    failed = fails("video", clip, model=pair)
    assert failed.kind == "NotTracked"
    assert "could not be tracked" in failed.message


def test_a_tracker_that_loses_an_animal_that_stands_still_is_refused(fails, clip, pair, monkeypatch):
    from deeplabcut.core.trackingutils import EllipseTracker

    original = EllipseTracker.update

    def adds_rows_to_columns(self, ellipse):  # as filterpy 2.0.0 does
        original(self, np.asarray(ellipse) - 53)

    monkeypatch.setattr(EllipseTracker, "update", adds_rows_to_columns)
    failed = fails("video", clip, model=pair)
    assert failed.kind == "TrackingBroken"
    assert "filterpy<2" in failed.hint
