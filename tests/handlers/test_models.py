"""``model`` and ``model/<name>``: listed, described, and 3D ones made and removed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlc_jupyter.handlers.base import Services
from dlc_jupyter.jobs.records import Request
from dlc_jupyter.pose.made_models import MadeModels
from tests.stereo import calibration

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


# -- made --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rig(services: Services) -> str:
    """The id of a ``calibration.toml`` of the cameras ``left`` and ``right``."""
    incoming = services.files.receive()
    incoming.append(calibration().encode())
    return incoming.finish("calibration.toml").file_id


def refusal(answer: Any, status: int) -> dict[str, Any]:
    assert answer.code == status, answer.body
    body: dict[str, Any] = json.loads(answer.body)
    assert body["message"].endswith(".")
    return body


async def test_a_3d_model_is_made_of_a_calibration_and_can_be_used_at_once(
    api: Any, rig: str, services: Services, projects: Path
) -> None:
    answer = await api("model", json={"name": "my-rig", "calibration": rig, "models": "trained", "pcutoff": 0.5})
    assert answer.code == 201, answer.body
    assert answer.headers["Location"].endswith("/dlc/model/my-rig")
    made = json.loads(answer.body)
    assert (made["name"], made["kind"], made["cameras"]) == ("my-rig", "3d", ["left", "right"])
    assert made["calibration"] == {"error": 0.25, "unit": "mm", "source": "calibrate"}
    assert made["camera_models"][1] == {"camera": "right", "task": "reach", "shuffle": 1, "trainingsetindex": 0}
    assert made["bodyparts"] == ["paw", "nose"]
    assert str(projects) not in answer.body.decode()
    assert json.loads((await api("model", "my-rig")).body) == made
    assert made in json.loads((await api("model")).body)
    services.files.delete(rig)
    assert services.models.find("my-rig", "3d").problem is None


async def test_forms_and_json_make_the_same_model(api: Any, rig: str) -> None:
    each = {"left": "trained", "right": "reach 1/2"}
    asked = {"calibration": rig[:10], "models": json.dumps(each), "skeleton": '[["paw", "nose"]]', "shuffle": 1}
    by_form = await api("model", form={"name": "a", **asked})
    by_json = await api("model", json={"name": "b", **asked, "models": each, "skeleton": [["paw", "nose"]]})
    plain = await api("model", form={"name": "c", "calibration": rig, "models": "reach 1/2"})
    assert [answer.code for answer in (by_form, by_json, plain)] == [201] * 3, by_form.body
    made = [json.loads(answer.body) for answer in (by_form, by_json, plain)]
    assert len({json.dumps({**model, "name": "", "task": ""}) for model in made}) == 1


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"name": "trained"}, 409, "model-exists"),
        ({"models": "cat"}, 404, "unknown-model"),
        ({"models": {"left": "trained", "right": "cat"}}, 404, "unknown-model"),
        ({"models": "broken"}, 400, "broken-model"),
        ({"models": {"left": "trained"}}, 400, "missing-camera"),
        ({"models": {"left": "trained", "right": "trained", "top": "trained"}}, 400, "unknown-camera"),
        ({"calibration": "f" * 40}, 404, "unknown-file"),
        ({"calibration": "no hex"}, 404, "unknown-file"),
        ({"shuffle": 9}, 400, "unknown-network"),
        ({"skeleton": [["paw", "wing"]]}, 400, "bad-skeleton"),
    ],
)
async def test_what_cannot_be_made_is_refused(
    api: Any, rig: str, services: Services, changes: dict[str, Any], status: int, reason: str
) -> None:
    asked = {"name": "my-rig", "calibration": rig, "models": "trained"}
    assert refusal(await api("model", json=asked | changes), status)["reason"] == reason
    assert "my-rig" not in [model.name for model in services.models.all()]


async def test_wrong_values_are_refused_naming_each(api: Any, rig: str) -> None:
    wrong = {"name": "../rig", "calibration": rig, "models": [], "skeleton": [["paw"]], "pcutof": 2}
    body = refusal(await api("model", json=wrong), 400)
    assert body["reason"] == "bad-parameters"
    fields = {error["field"]: error["message"] for error in body["errors"]}
    assert set(fields) == {"name", "models", "skeleton.0", "pcutof"}
    assert fields["models"].startswith("Give the name of a 2D model")
    assert "Did you mean pcutoff?" in fields["pcutof"]
    assert refusal(await api("model", json={}), 400)["reason"] == "bad-parameters"


async def test_a_file_that_is_no_calibration_is_refused(api: Any, upload: Any) -> None:
    video = json.loads((await upload(b"\xff a video")).body)["file_id"]
    body = refusal(await api("model", json={"name": "my-rig", "calibration": video, "models": "trained"}), 400)
    assert body["reason"] == "bad-calibration"
    assert "calibration.toml" in body["message"]


async def test_a_3d_model_is_no_2d_model(api: Any, rig: str) -> None:
    asked = {"name": "my-rig", "calibration": rig, "models": "trained"}
    assert (await api("model", json=asked)).code == 201
    body = refusal(await api("model", json={**asked, "name": "other", "models": "my-rig"}), 400)
    assert body["reason"] == "wrong-model-kind"


async def test_a_model_that_was_made_is_removed_when_nothing_needs_it(api: Any, rig: str, services: Services) -> None:
    assert (await api("model", json={"name": "my-rig", "calibration": rig, "models": "trained"})).code == 201
    active = services.records.create(Request("triangulate", {"model": "my-rig"}), time.time()).analysis_id
    services.records.create(Request("video", {"model": "trained"}), time.time())
    for state in ("queued", "running"):
        body = refusal(await api("model", "my-rig", method="DELETE"), 409)
        assert (body["reason"], body["analyses"]) == ("model-in-use", [active]), state
        services.records.claim("me", time.time(), 30)
    services.records.fail(active, "me", time.time(), {"type": "A", "message": "b", "hint": ""})
    answer = await api("model", "my-rig", method="DELETE")
    assert (answer.code, answer.body) == (204, b"")
    assert refusal(await api("model", "my-rig", method="DELETE"), 404)["reason"] == "unknown-model"
    assert (await api("model", "my-rig")).code == 404


async def made(api: Any, rig: str, upload: Any) -> dict[str, Any]:
    """Make the model my-rig, and return what asks for an analysis with it."""
    assert (await api("model", json={"name": "my-rig", "calibration": rig, "models": "trained"})).code == 201
    videos = [json.loads((await upload(each)).body)["file_id"] for each in (b"left", b"right")]
    return {"analysis": "triangulate", "model": "my-rig", "cameras": dict(zip(("left", "right"), videos, strict=True))}


async def test_a_model_stays_that_is_asked_for_while_it_is_removed(
    api: Any, rig: str, upload: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, look, ids = await made(api, rig, upload), services.records.active_with_model, []

    def looked(name: str) -> list[str]:
        if needed_by := look(name):
            return needed_by
        ids.append(services.records.create(Request("triangulate", {"model": "my-rig"}), time.time()).analysis_id)
        return []

    monkeypatch.setattr(services.records, "active_with_model", looked)  # nothing yet, and a moment later one
    body = refusal(await api("model", "my-rig", method="DELETE"), 409)
    assert (body["reason"], body["analyses"]) == ("model-in-use", ids)
    assert json.loads((await api("model", "my-rig")).body)["problem"] is None
    assert (await api("analysis", json=asked)).code == 200


async def test_an_analysis_is_refused_whose_model_is_removed_while_it_is_asked_for(
    api: Any, rig: str, upload: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, create = await made(api, rig, upload), services.records.create

    def removed(*arguments: Any, **options: Any) -> Any:
        services.models.remove("my-rig")  # nothing needs it yet
        return create(*arguments, **options)

    monkeypatch.setattr(services.records, "create", removed)
    assert refusal(await api("analysis", json=asked), 404)["reason"] == "unknown-model"
    assert json.loads((await api("analysis")).body) == []


async def test_of_two_who_remove_a_model_at_once_one_is_told_that_it_is_gone(
    api: Any, rig: str, upload: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(api, rig, upload)
    remove = MadeModels.remove

    def twice(self: MadeModels, *arguments: Any) -> None:
        remove(self, *arguments)
        remove(self, *arguments)

    monkeypatch.setattr(MadeModels, "remove", twice)
    assert refusal(await api("model", "my-rig", method="DELETE"), 404)["reason"] == "unknown-model"
    assert [each.name for each in (services.settings.root / "models").iterdir()] == []


async def test_a_registered_model_is_not_removed(api: Any, projects: Path) -> None:
    assert refusal(await api("model", "trained", method="DELETE"), 409)["reason"] == "model-registered"
    assert (projects / "trained" / "config.yaml").is_file()


async def test_its_folder_is_its_owner_s_alone(api: Any, rig: str, services: Services) -> None:
    assert (await api("model", json={"name": "my-rig", "calibration": rig, "models": "trained"})).code == 201
    assert (services.settings.root / "models").stat().st_mode & 0o777 == 0o700
