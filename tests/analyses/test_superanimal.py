"""`superanimal`: weights come from a folder or are asked for by name, and nothing is downloaded.

The weights of DeepLabCut's zoo are not here. The networks are real and of the right structure, with random weights, and
`deeplabcut.video_inference_superanimal` itself runs them; one test puts another in its place to see what it is given.
"""

import itertools
import json
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.analyses.base import InputFile, Job, find_analysis
from dlc_jupyter.analyses.superanimal import KNOWN
from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose import modelzoo
from dlc_jupyter.pose.weights import needed
from tests.analyses.conftest import Ran
from tests.pose.videos import ffmpeg, probe

QUADRUPED = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}
MOBILENET = "fasterrcnn_mobilenet_v3_large_fpn"
FILES = ["superanimal_quadruped_rtmpose_s.pt", f"superanimal_quadruped_{MOBILENET}.pt"]
FRAMES = 4


@pytest.fixture(scope="session")
def video(clip, tmp_path_factory) -> Path:
    """The first frames of the clip: these networks are slow."""
    target = tmp_path_factory.mktemp("short") / "short.mp4"
    return ffmpeg(["-i", str(clip), "-frames:v", str(FRAMES), "-c:v", "libx264", "-movflags", "+faststart"], target)


@pytest.fixture
def look(deeplabcut, tmp_path, video):
    """Run the analysis with the weights of a folder; keyword arguments are its parameters."""

    def start(folder: Path | None, source: Path = video, **values) -> Ran:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        staged = scratch / "video.mp4"
        staged.symlink_to(source)
        cls = find_analysis("superanimal")
        ran = Ran({}, scratch)
        job = Job(
            parameters=cls.validate({**QUADRUPED, **values}),
            inputs=[InputFile("0" * 40, staged, "my mouse.mp4")],
            scratch=scratch,
            superanimal_dir=folder,
            report=lambda kind, told: ran.told.append((kind, dict(told))),
        )
        ran.result = cls().run(job)
        return ran

    return start


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let every connection fail the test, and no cache of earlier downloads be found."""

    def connect(*_arguments, **_keywords):
        pytest.fail("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def nms(boxes, scores, threshold):
    """Non-maximum suppression as torchvision's compiled operator does it, which is not on every machine."""
    import torch
    from torchvision.ops import box_iou

    over = (box_iou(boxes, boxes) > threshold).numpy()
    gone, kept = np.zeros(len(scores), bool), []
    for each in scores.argsort(descending=True).tolist():
        if not gone[each]:
            kept.append(each)
            gone |= over[each]
    return torch.tensor(kept, dtype=torch.int64)


@pytest.fixture(scope="session")
def zoo(deeplabcut, tmp_path_factory):
    """A folder with random weights for the networks of `QUADRUPED`; the detector sees animals everywhere."""
    import torch
    from deeplabcut.pose_estimation_pytorch.config import PoseConfig
    from deeplabcut.pose_estimation_pytorch.models import PoseModel
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("zoo")
    config = PoseConfig.build_for_superanimal_inference(
        super_animal="superanimal_quadruped", model_name="rtmpose_s", detector_name=MOBILENET, max_individuals=2
    )
    pose = PoseModel.build(config["model"], pretrained_backbone=False).state_dict()
    torch.save({"model": pose, "metadata": {"epoch": 1}}, folder / FILES[0])
    detector = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    head = FastRCNNPredictor(detector.roi_heads.box_predictor.cls_score.in_features, 2)
    torch.nn.init.constant_(head.cls_score.bias[:1], -3)
    torch.nn.init.constant_(head.cls_score.bias[1:], 3)
    detector.roi_heads.box_predictor = head
    # Trained ones have frozen normalisation in the backbone, as torchvision makes it where the backbone is trained.
    weights = {f"model.{name}": value for name, value in detector.state_dict().items() if "num_batches" not in name}
    torch.save({"model": weights, "metadata": {"epoch": 1}}, folder / FILES[1])
    return folder


@pytest.fixture
def suppressing(deeplabcut, monkeypatch):
    """Put `nms` in the place of torchvision's where that was not compiled for this torch."""
    import torchvision

    if not torchvision.extension._has_ops():
        monkeypatch.setattr(torchvision.ops.boxes, "nms", nms)


@pytest.mark.deeplabcut
def test_a_video_is_analysed_with_the_weights_of_the_folder(look, zoo, offline, suppressing):
    ran = look(zoo, max_individuals=2, create_labeled_video=True, pcutoff=0.0)
    result = ran.result
    scorer = f"superanimal_quadruped_rtmpose_s_{MOBILENET}"
    assert result["scorer"] == scorer
    assert result["h5_file"].name == f"video_{scorer}.h5"
    poses = pd.read_hdf(result["h5_file"])[scorer]
    assert len(poses) == result["frames"] == FRAMES
    assert result["individuals"] == ["animal0", "animal1"]
    assert list(poses.columns.get_level_values("bodyparts").unique()) == result["bodyparts"]
    assert len(result["bodyparts"]) == 39
    assert poses["animal0"].notna().to_numpy().all()
    lines = result["csv_file"].read_text().splitlines()
    assert lines[0].startswith(f"scorer,{scorer}")
    assert len(lines) == 4 + FRAMES
    predictions = json.loads(result["json_file"].read_text())
    assert len(predictions) == FRAMES
    assert len(predictions[0]["bboxes"]) == 2
    assert probe(result["video_file"])["codec_name"] == "h264"
    assert probe(result["video_file"])["nb_read_frames"] == str(FRAMES)
    assert [each["name"] for each in result["provenance"]["model_files"]] == FILES
    assert all(len(each["sha256"]) == 64 for each in result["provenance"]["model_files"])
    assert result["provenance"]["batch_sizes"] == {"batch_size": 1, "detector_batch_size": 1}
    assert ["begins again with the first frame" in each for each in result["provenance"]["fallbacks"]] == [True]
    assert ran.progress[-1] == {"done": 2 * FRAMES, "total": 2 * FRAMES, "unit": "frames"}
    assert ran.notes == []


@pytest.fixture
def blind(deeplabcut, monkeypatch):
    """Let the detector see one animal, but none in the frames of these numbers."""
    import torch
    from deeplabcut.pose_estimation_pytorch.models.detectors.torchvision import TorchvisionDetectorAdaptor

    def put(empty):
        seen = []

        def forward(self, x, targets=None):
            seen.append(None)
            boxes = torch.tensor([[40.0, 40.0, 200.0, 200.0]])[: 0 if len(seen) - 1 in empty else None]
            return {}, [{"boxes": boxes, "scores": torch.ones(len(boxes)), "labels": torch.ones(len(boxes))}]

        monkeypatch.setattr(TorchvisionDetectorAdaptor, "forward", forward)

    return put


@pytest.mark.deeplabcut
def test_a_detector_that_finds_nothing_is_an_error(look, zoo, offline, blind):
    blind(range(FRAMES))
    with pytest.raises(AnalysisFailed) as failed:
        look(zoo)
    assert failed.value.kind == "NoAnimals"
    assert "detector_name" in failed.value.hint


@pytest.mark.deeplabcut
@pytest.mark.parametrize("empty", [[0, 1], [1, 2], [2, 3]], ids=["first", "between", "last"])
def test_frames_without_an_animal_have_rows(look, zoo, offline, blind, empty, monkeypatch):
    """DeepLabCut leaves out the last ones."""
    noted, original = ["The video was cut."], modelzoo.analyze
    monkeypatch.setattr(modelzoo, "analyze", lambda *given, **more: replace(original(*given, **more), notes=noted))
    blind(empty)
    ran = look(zoo)
    assert ran.notes == ran.result["provenance"]["notes"] == noted
    poses = pd.read_hdf(ran.result["h5_file"])
    seen = [number not in empty for number in range(FRAMES)]
    assert (poses > 0).any(axis=1).tolist() == seen
    assert (poses[~np.array(seen)] == -1).all(axis=None)
    assert len(ran.result["csv_file"].read_text().splitlines()) == 4 + FRAMES
    assert ran.result["frames"] == FRAMES
    assert ran.result["video_file"] is None


@pytest.mark.deeplabcut
@pytest.mark.parametrize("damaged", FILES)
def test_damaged_weights_are_an_error_that_says_where(look, zoo, offline, tmp_path, damaged):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((zoo / name).read_bytes()[: 10_000 if name == damaged else None])
    with pytest.raises(AnalysisFailed) as failed:
        look(folder)
    assert failed.value.kind == "BrokenModel"
    assert "superanimal_dir" in failed.value.hint
    assert str(tmp_path) not in failed.value.message


def missing(look, folder, **values):
    with pytest.raises(AnalysisFailed) as failed:
        look(folder, **values)
    assert failed.value.kind == "WeightsMissing"
    assert "superanimal_dir" in failed.value.hint
    for text in (failed.value.message, failed.value.hint):
        assert folder is None or str(folder) not in text
    return failed.value


@pytest.mark.deeplabcut
def test_missing_files_are_named_with_where_they_come_from(look, offline, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    repository = "mwmathis/DeepLabCutModelZoo-SuperAnimal-Quadruped at Hugging Face"
    assert missing(look, folder).message.endswith(
        f"Missing: {FILES[0]} (from {repository}); {FILES[1]} (from {repository})."
    )


@pytest.mark.deeplabcut
def test_only_what_is_missing_is_named(look, offline, tmp_path):
    (tmp_path / FILES[0]).write_bytes(b"weights")
    message = missing(look, tmp_path).message
    assert FILES[0] not in message
    assert FILES[1] in message


@pytest.mark.deeplabcut
@pytest.mark.parametrize(("folder", "hint"), [(None, "sets superanimal_dir"), ("nowhere", "no such folder")])
def test_a_folder_that_is_not_there_is_said(look, offline, tmp_path, folder, hint):
    assert hint in missing(look, folder and tmp_path / folder).hint


@pytest.mark.deeplabcut
def test_people_are_found_by_the_detector_of_torchvision(look, offline, tmp_path, zoo):
    human = {"superanimal_name": "superanimal_humanbody", "model_name": "rtmpose_x"}
    message = missing(look, tmp_path, **human).message
    pose = "superanimal_humanbody_rtmpose_x.pt (from DeepLabCut/HumanBody at Hugging Face"
    assert f"{pose}, where it is called rtmpose-x_simcc-body7.pt)" in message
    assert f"{MOBILENET}-fb6a3cc7.pth (from torchvision at download.pytorch.org)" in message


@pytest.mark.deeplabcut
def test_the_detector_of_torchvision_is_loaded_from_the_folder(deeplabcut, offline, tmp_path):
    import torch
    from deeplabcut.pose_estimation_pytorch.apis.utils import get_filtered_coco_detector_inference_runner
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn

    from dlc_jupyter.pose import modelzoo

    animal = modelzoo.SuperAnimal("superanimal_humanbody", "rtmpose_x", MOBILENET, tmp_path)
    weights = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None).state_dict()
    torch.save(weights, tmp_path / needed(animal.name, animal.model, animal.detector)[1].name)
    options = {"category_id": 1, "device": "cpu", "color_mode": "RGB", "max_individuals": 1}
    with modelzoo._nothing_downloaded(animal):
        runner = get_filtered_coco_detector_inference_runner(MOBILENET, **options)
    loaded = runner.model.base_model.state_dict()
    assert torch.equal(loaded["rpn.head.conv.0.0.weight"], weights["rpn.head.conv.0.0.weight"])
    with modelzoo._nothing_downloaded(animal), pytest.raises(AnalysisFailed) as failed:
        get_filtered_coco_detector_inference_runner("fasterrcnn_resnet50_fpn", **options)
    assert "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth" in failed.value.message


@pytest.mark.deeplabcut
def test_deeplabcut_is_asked_as_it_wants_to_be(look, deeplabcut, tmp_path, monkeypatch, offline):
    """Only `video_inference_superanimal` is replaced: by one that reads the video as it does, and writes its files."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"weights")
    asked = {}

    def infer(videos, name, model, **options):
        from deeplabcut.pose_estimation_pytorch.apis import videos as module

        asked.update(options, videos=videos, name=name, model=model)
        for _ in range(2):
            assert len(list(module.tqdm(module.VideoIterator(videos[0])))) == FRAMES
        levels = [["zoo"], ["animal0"], ["nose"], ["x", "y", "likelihood"]]
        columns = pd.MultiIndex.from_product(levels, names=["scorer", "individuals", "bodyparts", "coords"])
        table = pd.DataFrame(np.ones((FRAMES, 3)), columns=columns)
        table.to_hdf(Path(options["dest_folder"]) / "video_zoo.h5", key="df_with_missing")
        Path(options["dest_folder"], "video_zoo_before_adapt.json").write_text("[]")

    monkeypatch.setattr(deeplabcut, "video_inference_superanimal", infer)
    ran = look(tmp_path, max_individuals=3, pcutoff=0.2, batch_size=4, detector_batch_size=2)
    assert ran.result["bodyparts"] == ["nose"]
    ((file_id, facts),) = [(told["file_id"], told["facts"]) for kind, told in ran.told if kind == "media"]
    assert (file_id, facts["frames"], facts["codec"]) == ("0" * 40, FRAMES, "h264")
    assert [Path(asked.pop(f"customized_{part}_checkpoint")).name for part in ("pose", "detector")] == FILES
    assert Path(asked.pop("dest_folder")).parent == ran.scratch
    assert asked == {
        "videos": [str(ran.scratch / "video.mp4")],
        "name": "superanimal_quadruped",
        "model": "rtmpose_s",
        "detector_name": MOBILENET,
        "device": "cpu",
        "create_labeled_video": False,
        "video_adapt": False,
        "max_individuals": 3,
        "pcutoff": 0.2,
        "batch_size": 4,
        "detector_batch_size": 2,
    }


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            {"model_name": "rtmpose_x"},
            "model_name=rtmpose_x is not there for superanimal_quadruped. There are: hrnet_w32, resnet_50, rtmpose_s.",
        ),
        (
            {"detector_name": "fasterrcnn_resnet50_fpn"},
            "fasterrcnn_resnet50_fpn is not there for superanimal_quadruped. There are",
        ),
        ({"superanimal_name": "superanimal_fish"}, "superanimal_bird"),
        ({"max_individuals": 0}, "at least 1, not 0"),
    ],
)
def test_what_the_zoo_does_not_have_is_refused_at_once(values, why):
    with pytest.raises(BadRequest) as refused:
        find_analysis("superanimal").validate({**QUADRUPED, **values})
    (error,) = refused.value.as_json()["errors"]
    assert why in error["message"]


@pytest.mark.deeplabcut
def test_the_zoo_is_that_of_the_installed_deeplabcut(deeplabcut):
    from deeplabcut.pose_estimation_pytorch.apis.utils import TORCHVISION_DETECTORS
    from dlclibrary import get_available_datasets, get_available_detectors, get_available_models

    assert set(KNOWN) == set(get_available_datasets())
    for name, (models, detectors) in KNOWN.items():
        assert set(models) == set(get_available_models(name))
        there = TORCHVISION_DETECTORS if name == "superanimal_humanbody" else get_available_detectors(name)
        assert set(detectors) == set(there)


@pytest.mark.deeplabcut
def test_the_server_knows_the_names_of_the_weights_too(deeplabcut, tmp_path):
    """They are DeepLabCut's and torchvision's, and so is where they come from."""
    from deeplabcut.pose_estimation_pytorch.apis.utils import TORCHVISION_DETECTORS
    from deeplabcut.pose_estimation_pytorch.modelzoo.utils import MODEL_FILENAME_MAPPING
    from dlclibrary.dlcmodelzoo.modelzoo_download import _load_pytorch_dataset_models

    for name, (models, detectors) in KNOWN.items():
        addresses = {part: url for kind in _load_pytorch_dataset_models(name).values() for part, url in kind.items()}
        for model, detector in itertools.product(models, detectors):
            pose, finder = needed(name, model, detector)
            for part, each in ((model, pose), (detector, finder)):
                if part in addresses:
                    assert each.name == f"{name}_{part}.pt"
                    assert each.source.startswith(f"{addresses[part].rpartition('/')[0]} at Hugging Face")
                    renamed = MODEL_FILENAME_MAPPING.get(f"{name}_{part}")
                    assert each.source.endswith(f"called {renamed}") if renamed else "called" not in each.source
                else:
                    url = TORCHVISION_DETECTORS[part]["weights"].url
                    assert each.name == url.rpartition("/")[2]
                    assert each.source == f"torchvision at {url.split('/')[2]}"


def test_weights_that_are_there_decide_the_result(tmp_path):
    cls = find_analysis("superanimal")
    parameters = cls.validate(QUADRUPED)
    assert cls.weights_of(parameters, None) == cls.weights_of(parameters, tmp_path) == []
    for name in (*FILES, "superanimal_quadruped_hrnet_w32.pt"):
        (tmp_path / name).touch()
    assert cls.weights_of(parameters, tmp_path) == [tmp_path / name for name in FILES]
