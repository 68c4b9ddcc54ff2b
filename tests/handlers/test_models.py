"""``GET /model`` and ``GET /model/<name>``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = {
    "Task": "reach",
    "date": "Nov1",
    "bodyparts": ["paw", "nose"],
    "skeleton": [["paw", "nose"]],
    "TrainingFraction": [0.95],
    "iteration": 0,
}


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """A folder with a trained project, one whose config.yaml is broken, and one that was never trained."""
    folder = tmp_path / "projects"
    for name in ("trained", "broken", "untrained"):
        train = folder / name / "dlc-models-pytorch/iteration-0/reachNov1-trainset95shuffle1/train"
        train.mkdir(parents=True)
        (train / "pytorch_config.yaml").write_text("net_type: resnet_50\n")
        (folder / name / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "trained/dlc-models-pytorch/iteration-0/reachNov1-trainset95shuffle1/train/snapshot-010.pt").touch()
    (folder / "broken/config.yaml").write_text("bodyparts: [paw\n")
    return folder


@pytest.fixture
def dlc_options(dlc_options: dict[str, Any], projects: Path) -> dict[str, Any]:
    return {**dlc_options, "models_dir": str(projects), "models": {"reach 1/2": str(projects / "trained")}}


async def test_models_are_listed_by_name_with_what_is_wrong_with_them(api: Any, projects: Path) -> None:
    answer = await api("model")
    models = {model["name"]: model for model in json.loads(answer.body)}
    assert list(models) == sorted(["reach 1/2", "trained", "broken", "untrained"])
    trained = models["trained"]
    assert trained["kind"] == "2d"
    assert trained["bodyparts"] == ["paw", "nose"]
    assert trained["skeleton"] == [["paw", "nose"]]
    assert [snapshot["name"] for snapshot in trained["snapshots"]] == ["snapshot-010"]
    assert trained["problem"] is None
    assert models["broken"]["problem"]
    assert models["untrained"]["problem"]
    assert str(projects) not in answer.body.decode()


async def test_a_model_is_described_by_its_name(api: Any) -> None:
    one = json.loads((await api("model", "trained")).body)
    assert one in json.loads((await api("model")).body)


async def test_a_model_that_cannot_be_used_says_why(api: Any) -> None:
    answer = await api("model", "untrained")
    assert answer.code == 200
    assert "snapshot" in json.loads(answer.body)["problem"]


async def test_a_name_with_a_slash_is_quoted(jp_fetch: Any, http_server_client: Any, jp_auth_header: Any) -> None:
    answer = await http_server_client.fetch("/a%40b/dlc/model/reach%201%2F2", headers=jp_auth_header)
    assert json.loads(answer.body)["name"] == "reach 1/2"


async def test_an_unknown_model_is_refused_naming_those_there_are(api: Any) -> None:
    answer = await api("model", "cat")
    assert answer.code == 404
    body = json.loads(answer.body)
    assert body["reason"] == "unknown-model"
    assert "trained" in body["models"]


async def test_an_analysis_with_a_model_that_cannot_be_used_is_refused(api: Any, upload: Any) -> None:
    video = json.loads((await upload(b"video")).body)["file_id"]
    for name in ("broken", "untrained"):
        answer = await api("analysis", json={"analysis": "video", "file_id": video, "model": name})
        assert answer.code == 400
        assert json.loads(answer.body)["reason"] == "broken-model"
