"""Requests: validated, completed, and given a key that changes with whatever changes the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlc_jupyter.analyses.label import Label
from dlc_jupyter.analyses.sleep import Sleep
from dlc_jupyter.errors import BadRequest, NotFound, Refusal
from dlc_jupyter.jobs.devices import Gpu
from dlc_jupyter.jobs.installed import Installed
from dlc_jupyter.jobs.records import Record, Records
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database
from dlc_jupyter.storage.files import FileStore

VIDEO, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """The snapshot of a project whose name is ``reach``."""
    project = tmp_path / "reach"
    train = project / "dlc-models-pytorch/iteration-0/reachNov1-trainset95shuffle1/train"
    train.mkdir(parents=True)
    (train / "pytorch_config.yaml").write_text("net_type: resnet_50\n")
    config = {"Task": "reach", "date": "Nov1", "bodyparts": ["paw"], "TrainingFraction": [0.95], "iteration": 0}
    (project / "config.yaml").write_text(yaml.safe_dump(config))
    (train / "snapshot-010.pt").write_bytes(b"weights")
    return train / "snapshot-010.pt"


@pytest.fixture
def requests(tmp_path: Path, snapshot: Path) -> Requests:
    return Requests(Settings(data_dir=str(tmp_path / "dlc")), Models({}, str(tmp_path)))


def key(requests: Requests, analysis: str = "video", files: tuple[str, ...] = (VIDEO,), **values: Any) -> str:
    found = requests.prepare(analysis, {"model": "reach", **values}, files).request_key
    assert found is not None
    return found


def test_parameters_that_were_left_out_are_filled_in(requests: Requests) -> None:
    request = requests.prepare("video", {"model": "reach", "shuffle": "1"}, [VIDEO], "me", "today")
    assert request.parameters["shuffle"] == 1
    assert request.parameters["save_as_csv"] is True
    assert set(request.parameters) >= {"batch_size", "cropping", "device"}
    assert (request.owner, request.idempotency_key, request.file_ids) == ("me", "today", (VIDEO,))


def test_the_same_request_has_the_same_key(requests: Requests) -> None:
    assert key(requests) == key(requests, shuffle="1") == key(requests, save_as_csv="true")


def test_another_file_parameter_or_analysis_has_another_key(requests: Requests) -> None:
    keys = [key(requests), key(requests, files=(OTHER,)), key(requests, batch_size=4), key(requests, "label")]
    assert len(set(keys)) == 4


def test_another_snapshot_has_another_key(requests: Requests, snapshot: Path) -> None:
    before = key(requests)
    snapshot.write_bytes(b"trained longer")
    assert key(requests) != before


def test_other_weights_of_the_same_name_have_another_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "dlc"), superanimal_dir=str(tmp_path))
    values = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}

    def key() -> str | None:
        return Requests(settings, Models({}, "")).prepare("superanimal", values, [VIDEO]).request_key

    pose = tmp_path / "superanimal_quadruped_rtmpose_s.pt"
    detector = tmp_path / "superanimal_quadruped_fasterrcnn_mobilenet_v3_large_fpn.pt"
    keys = [key()]
    for path in (pose, detector):
        for content in (b"weights", b"WEIGHTS"):
            path.write_bytes(content)
            keys.append(key())
    assert len(set(keys)) == 5
    (tmp_path / "superanimal_quadruped_hrnet_w32.pt").write_bytes(b"of another model")
    assert key() == keys[-1]


def test_weights_that_are_replaced_while_the_server_runs_are_noticed(tmp_path: Path) -> None:
    requests = Requests(Settings(data_dir=str(tmp_path / "dlc"), superanimal_dir=str(tmp_path)), Models({}, ""))
    values = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}
    pose = tmp_path / "superanimal_quadruped_rtmpose_s.pt"
    pose.write_bytes(b"weights")
    before = requests.prepare("superanimal", values, [VIDEO]).request_key
    pose.write_bytes(b"trained longer")
    assert requests.prepare("superanimal", values, [VIDEO]).request_key != before


def test_another_deeplabcut_has_another_key(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(requests)
    monkeypatch.setattr(requests, "versions", lambda: {"deeplabcut": "9.0"})
    assert key(requests) != before


def test_what_is_not_to_be_reused_has_no_key(requests: Requests) -> None:
    assert not Sleep.reusable
    assert requests.prepare("sleep", {"time": 1}, []).request_key is None


@pytest.mark.parametrize(
    ("analysis", "values", "files", "kind", "reason"),
    [
        ("slumber", {}, [], BadRequest, "unknown-analysis"),
        ("sleep", {"time": "long"}, [], BadRequest, "bad-parameters"),
        ("video", {"model": "reach"}, [], BadRequest, "missing-file"),
        ("video", {"model": "reach"}, [VIDEO, OTHER], BadRequest, "too-many-files"),
        ("video", {"model": "cat"}, [VIDEO], NotFound, "unknown-model"),
    ],
)
def test_what_cannot_be_done_is_refused(
    requests: Requests, analysis: str, values: Any, files: list[str], kind: type[Refusal], reason: str
) -> None:
    with pytest.raises(kind) as refused:
        requests.prepare(analysis, values, files)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("analysis", "values", "field", "what"),
    [
        ("video", {"shuffle": 3}, "shuffle", "There are: shuffle 1 (trainingsetindex 0)."),
        ("filter", {"trainingsetindex": 1}, "shuffle", "trainingsetindex 1"),
        ("video", {"snapshot_index": 1}, "snapshot_index", "Shuffle 1 has 1, counted from 0: snapshot-010."),
        ("plot", {"snapshot_index": -2}, "snapshot_index", "There is no snapshot -2."),
        ("label", {"displayedbodyparts": "paw,tail"}, "displayedbodyparts", "no body part tail. There are: paw."),
        ("plot", {"displayedbodyparts": []}, "displayedbodyparts", "No body part is to be drawn. There are: paw."),
        ("video", {"device": "cuda"}, "device", "There is no GPU cuda on this machine"),
        ("superanimal", {"device": "cuda:1"}, "device", "There is no GPU cuda:1 on this machine"),
    ],
)
def test_what_the_model_or_the_worker_does_not_have_is_refused_by_the_name_of_the_parameter(
    requests: Requests, analysis: str, values: dict[str, Any], field: str, what: str
) -> None:
    zoo = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}
    start = zoo if analysis == "superanimal" else {"model": "reach"}
    with pytest.raises(BadRequest) as refused:
        requests.prepare(analysis, {**start, **values}, [VIDEO], gpus=[])
    (error,) = refused.value.as_json()["errors"]
    assert refused.value.reason == "bad-parameters"
    assert error["field"] == field
    assert what in error["message"]


def test_what_is_there_is_not_refused(requests: Requests) -> None:
    gpu = Gpu(1, "GPU-b", "NVIDIA T4", 1 << 34)
    for device in ("cpu", "cuda", "cuda:1", None):
        requests.prepare("video", {"model": "reach", "snapshot_index": -1, "device": device}, [VIDEO], gpus=[gpu])
    requests.prepare("label", {"model": "reach", "displayedbodyparts": ["paw"]}, [VIDEO], gpus=[])
    requests.prepare("video", {"model": "reach", "device": "cuda"}, [VIDEO])  # who knows what the worker has


def written(tmp_path: Path, requests: Requests, analysis: str, values: dict[str, Any]) -> Record:
    """Write a request about a stored video down, and return its record."""
    (tmp_path / "dlc").mkdir(exist_ok=True)
    database = Database(f"sqlite:///{tmp_path / 'dlc' / 'dlc.db'}")
    incoming = FileStore(Settings(data_dir=str(tmp_path / "dlc"), min_free_bytes=0), database).receive()
    incoming.append(b"a video")
    files = [incoming.finish("mouse.mp4").file_id]
    return Records(database).create(requests.prepare(analysis, values, files), 0.0)


def test_label_starts_from_the_poses_that_video_would_make(tmp_path: Path, requests: Requests, snapshot: Path) -> None:
    label = written(tmp_path, requests, "label", {"model": "reach", "pcutoff": 0.3})
    wanted = Label.poses_of(Label.validate(label.parameters))
    assert wanted is not None
    assert requests.pose_key(label) == requests.prepare(*wanted, label.file_ids).request_key
    snapshot.unlink()
    assert requests.pose_key(label) is None


def test_sleep_starts_from_no_poses(tmp_path: Path, requests: Requests) -> None:
    assert requests.pose_key(written(tmp_path, requests, "sleep", {"time": 1})) is None


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first where Python looks for packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def install(folder: Path, version: str) -> None:
    about = folder / f"deeplabcut-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: deeplabcut\nVersion: {version}\n")


def test_versions_are_found_without_importing_anything(packages: Path) -> None:
    install(packages, "9.1")
    (packages / "deeplabcut.py").write_text("raise SystemExit('I was imported')")
    versions = Installed(sys.executable).versions()
    assert versions["deeplabcut"] == "9.1"
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def test_an_upgrade_is_noticed_and_nothing_else_is_asked_for(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(packages, "9.1")
    installed = Installed(sys.executable)
    asked = []
    ask = installed._ask
    monkeypatch.setattr(installed, "_ask", lambda: (asked.append(1), ask()))
    assert [installed.versions()["deeplabcut"] for _ in range(3)] == ["9.1"] * 3
    assert len(asked) == 1
    (packages / "deeplabcut-9.1.dist-info/METADATA").unlink()
    (packages / "deeplabcut-9.1.dist-info").rmdir()
    install(packages, "9.2")
    assert installed.versions()["deeplabcut"] == "9.2"


def test_a_python_that_is_not_there_has_no_versions() -> None:
    assert set(Installed("/nowhere/python").versions().values()) == {None}
