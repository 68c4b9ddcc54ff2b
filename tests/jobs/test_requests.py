"""Requests: validated, completed, and given a key that changes with whatever changes the result."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dlc_jupyter.analyses.sleep import Sleep
from dlc_jupyter.errors import BadRequest, NotFound, Refusal
from dlc_jupyter.jobs.devices import Gpu
from dlc_jupyter.jobs.installed import Installed
from dlc_jupyter.jobs.records import Record, Records
from dlc_jupyter.jobs.requests import Keys, Requests
from dlc_jupyter.pose.models import Models, read_model
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database
from dlc_jupyter.storage.files import FileStore
from tests.stereo import Stereo, make_known

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
    settings = Settings(data_dir=str(tmp_path / "dlc"), superanimal_dir=str(tmp_path))
    return Requests(settings, Models({}, str(tmp_path)))


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


def weights(folder: Path) -> tuple[Path, Path]:
    """Put weights of a SuperAnimal model into a folder: those of the pose model, and of the detector."""
    parts = ("rtmpose_s", "fasterrcnn_mobilenet_v3_large_fpn")
    pose, detector = (folder / f"superanimal_quadruped_{part}.pt" for part in parts)
    for path in (pose, detector):
        path.write_bytes(b"weights")
    return pose, detector


def test_other_weights_of_the_same_name_have_another_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "dlc"), superanimal_dir=str(tmp_path))
    values = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}

    def key() -> str | None:
        return Requests(settings, Models({}, "")).prepare("superanimal", values, [VIDEO]).request_key

    files = weights(tmp_path)
    keys = [key()]
    for path in files:
        path.write_bytes(b"WEIGHTS")
        keys.append(key())
    assert len(set(keys)) == 3
    (tmp_path / "superanimal_quadruped_hrnet_w32.pt").write_bytes(b"of another model")
    assert key() == keys[-1]


def test_weights_that_are_replaced_while_the_server_runs_are_noticed(tmp_path: Path) -> None:
    requests = Requests(Settings(data_dir=str(tmp_path / "dlc"), superanimal_dir=str(tmp_path)), Models({}, ""))
    values = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}
    pose, _detector = weights(tmp_path)
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
    requests: Requests, tmp_path: Path, analysis: str, values: dict[str, Any], field: str, what: str
) -> None:
    weights(tmp_path)
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


FACTS = {"frames": 600, "width": 640, "height": 480}


@pytest.mark.parametrize(
    ("analysis", "values", "field", "what"),
    [
        ("video", {"start": 600}, "start", "none is left from start=600 on. Give a start below 600."),
        ("label", {"start": 601, "stop": 700}, "start", "The video has 600 frames, counted from 0"),
        ("video", {"cropping": [0, 641, 0, 480]}, "cropping", "641, 0, 480) reaches outside of it. Give cropping"),
        ("plot", {"cropping": [0, 640, 0, 481]}, "cropping", "The video's picture is 640 x 480 pixels, and cropping"),
        ("filter", {"windowlength": 601}, "windowlength", "Give a windowlength of at most 599."),
        ("filter", {"cropping": [700, 701, 0, 1]}, "cropping", "reaches outside of it"),
    ],
)
def test_what_does_not_fit_a_video_that_was_looked_at_is_refused(
    requests: Requests, analysis: str, values: dict[str, Any], field: str, what: str
) -> None:
    asked = {"model": "reach", **values}
    with pytest.raises(BadRequest) as refused:
        requests.prepare(analysis, asked, [VIDEO], media={VIDEO: FACTS}.get)
    (error,) = refused.value.as_json()["errors"]
    assert refused.value.reason == "bad-parameters"
    assert error["field"] == field
    assert what in error["message"]
    for unknown in ({}, {VIDEO: None}, {VIDEO: {}}, {OTHER: FACTS}, {VIDEO: {"frames": 3}}):
        requests.prepare(analysis, asked, [VIDEO], media=unknown.get)  # the analysis will see


def test_what_fits_a_video_that_was_looked_at_is_not_refused(requests: Requests) -> None:
    for analysis, values in (
        ("video", {"start": 599}),
        ("video", {"stop": 10_000}),  # the video's end
        ("label", {"cropping": [0, 640, 0, 480]}),
        ("filter", {"windowlength": 599}),
        ("filter", {"windowlength": 9999, "filtertype": "arima"}),
    ):
        requests.prepare(analysis, {"model": "reach", **values}, [VIDEO], media={VIDEO: FACTS}.get)


def test_the_project_s_own_cropping_is_held_against_a_video_that_was_looked_at(
    requests: Requests, tmp_path: Path
) -> None:
    config = tmp_path / "reach" / "config.yaml"
    own = {"cropping": True, "x1": 0, "x2": 700, "y1": 0, "y2": 400}
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **own}))
    with pytest.raises(BadRequest) as refused:
        requests.prepare("video", {"model": "reach"}, [VIDEO], media={VIDEO: FACTS}.get)
    (error,) = refused.value.as_json()["errors"]
    assert error["field"] == "cropping"
    assert "the cropping in the project's config.yaml (x1, x2, y1, y2 = 0, 700, 0, 400)" in error["message"]
    requests.prepare("video", {"model": "reach", "cropping": [0, 9, 0, 9]}, [VIDEO], media={VIDEO: FACTS}.get)


@pytest.mark.parametrize(
    ("there", "field", "lacking"), [("", "model_name", 2), ("rtmpose", "detector_name", 1), ("faster", "model_name", 1)]
)
def test_weights_that_are_not_there_are_refused_naming_them(
    requests: Requests, tmp_path: Path, there: str, field: str, lacking: int
) -> None:
    files = weights(tmp_path)
    for path in files:
        if not there or there not in path.name:
            path.unlink()
    values = {"superanimal_name": "superanimal_quadruped", "model_name": "rtmpose_s"}
    with pytest.raises(BadRequest) as refused:
        requests.prepare("superanimal", values, [VIDEO])
    (error,) = refused.value.as_json()["errors"]
    assert error["field"] == field
    assert [path.name in error["message"] for path in files] == [not path.exists() for path in files]
    assert error["message"].count("at Hugging Face") == lacking
    assert "superanimal_dir" in error["message"]
    assert str(tmp_path) not in error["message"]


def test_without_a_folder_for_weights_there_are_none(tmp_path: Path) -> None:
    requests = Requests(Settings(data_dir=str(tmp_path / "dlc")), Models({}, ""))
    values = {"superanimal_name": "superanimal_humanbody", "model_name": "rtmpose_x"}
    with pytest.raises(BadRequest) as refused:
        requests.prepare("superanimal", values, [VIDEO])
    (error,) = refused.value.as_json()["errors"]
    assert "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth (from torchvision" in error["message"]
    assert "sets superanimal_dir to a folder" in error["message"]


def written(
    tmp_path: Path, requests: Requests, analysis: str, values: dict[str, Any], content: bytes = b"a video"
) -> Record:
    """Write a request about a stored video down, and return its record."""
    (tmp_path / "dlc").mkdir(exist_ok=True)
    database = Database(f"sqlite:///{tmp_path / 'dlc' / 'dlc.db'}")
    incoming = FileStore(Settings(data_dir=str(tmp_path / "dlc"), min_free_bytes=0), database).receive()
    incoming.append(content)
    files = [incoming.finish("mouse.mp4").file_id]
    return Records(database).create(requests.prepare(analysis, values, files if analysis != "sleep" else []), 0.0)


def poses(tmp_path: Path, requests: Requests, analysis: str, deeplabcut: str | None = None, **values: Any) -> str:
    """Return the key of the poses that an analysis makes of its one video."""
    record = written(tmp_path, requests, analysis, {"model": "reach", **values})
    ((key, _prefix),) = requests.keys(record, deeplabcut).poses
    return key


def test_marked_poses_are_others_and_shared_by_what_asks_for_them(tmp_path: Path, requests: Requests) -> None:
    marked = poses(tmp_path, requests, "video", on_bad_frame="mark")
    assert marked != poses(tmp_path, requests, "video")
    assert marked == poses(tmp_path, requests, "label", on_bad_frame="mark")
    for mark, twin in (("mark", poses(tmp_path, requests, "video")), ("stop", marked)):
        record = written(tmp_path, requests, "plot", {"model": "reach", "on_bad_frame": mark})
        assert requests.keys(record, None).twins == (twin,)


def test_poses_are_the_same_whichever_analysis_makes_them(tmp_path: Path, requests: Requests) -> None:
    made = poses(tmp_path, requests, "video")
    assert poses(tmp_path, requests, "label", pcutoff=0.3) == made
    assert poses(tmp_path, requests, "plot", format="png") == poses(tmp_path, requests, "filter") == made


def test_poses_of_a_part_are_others_than_those_of_the_whole_which_will_do_too(
    tmp_path: Path, requests: Requests
) -> None:
    whole, part = (poses(tmp_path, requests, "video", **values) for values in ({}, {"start": 2, "stop": 9}))
    assert part == poses(tmp_path, requests, "label", start=2, stop=9, pcutoff=0.3)
    assert len({whole, part, poses(tmp_path, requests, "label", start=2, stop=8)}) == 3
    longer = poses(tmp_path, requests, "label", start=6, stop=9, trailpoints=4)
    assert longer == part, "a trail begins before the first frame that is shown"
    assert poses(tmp_path, requests, "label", start=4, stop=7, filtered=True) == part, "smoothing looks around"
    label = written(tmp_path, requests, "label", {"model": "reach", "start": 2, "stop": 9})
    assert requests.keys(label, None).wholes == (whole,)
    every_second = written(tmp_path, requests, "video", {"model": "reach", "step": 2})
    assert requests.keys(every_second, None).poses == ()


def test_poses_are_the_same_under_every_name_of_a_model(tmp_path: Path, requests: Requests, snapshot: Path) -> None:
    """The same project may be registered under another name, and may lie elsewhere."""
    shutil.copytree(tmp_path / "reach", tmp_path / "copies" / "again")
    other = Requests(Settings(data_dir=str(tmp_path / "dlc")), Models({"arm": str(tmp_path / "copies" / "again")}, ""))
    assert poses(tmp_path, other, "video", model="arm") == poses(tmp_path, requests, "video")


def test_poses_of_a_camera_are_those_of_its_2d_model(tmp_path: Path, requests: Requests, three_d: Path) -> None:
    videos = [written(tmp_path, requests, "video", {"model": "reach"}, content) for content in (b"left", b"right")]
    both = tuple(video.file_ids[0] for video in videos)
    parameters = Stereo.validate({"model": "reach3d"})
    model = read_model("reach3d", three_d)
    found = list(requests._pose_keys(Stereo, parameters, model, both, None))
    assert [key for key, *_ in found] == [requests.keys(video, None).poses[0][0] for video in videos]
    assert [prefix for _, prefix, *_ in found] == ["left_", "right_"]


def test_other_poses_have_another_key(tmp_path: Path, requests: Requests, snapshot: Path) -> None:
    keys = [
        poses(tmp_path, requests, "video"),
        poses(tmp_path, requests, "video", snapshot_index=-1),
        poses(tmp_path, requests, "video", batch_size=3),
        poses(tmp_path, requests, "video", detector_batch_size=3),
        poses(tmp_path, requests, "video", cropping=[0, 5, 0, 5]),
        poses(tmp_path, requests, "video", device="cpu"),
        poses(tmp_path, requests, "video", deeplabcut="99.0"),
        requests.keys(written(tmp_path, requests, "video", {"model": "reach"}, b"another"), None).poses[0][0],
    ]
    snapshot.write_bytes(b"other weights")
    keys.append(poses(tmp_path, requests, "video"))
    assert len(set(keys)) == len(keys)


def test_what_has_no_model_has_no_poses(tmp_path: Path, requests: Requests) -> None:
    assert requests.keys(written(tmp_path, requests, "sleep", {"time": 1}), None) == Keys()


def test_a_model_that_is_gone_has_no_keys(tmp_path: Path, requests: Requests, snapshot: Path) -> None:
    label = written(tmp_path, requests, "label", {"model": "reach"})
    snapshot.unlink()
    with pytest.raises(Refusal):
        requests.keys(label, None)


# -- by camera ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let analyses of several cameras be known."""
    make_known(monkeypatch)


@pytest.fixture
def three_d(tmp_path: Path, snapshot: Path) -> Path:
    """A 3D project of two cameras, ``left`` and ``right``, whose name is ``reach3d``."""
    folder = tmp_path / "reach3d"
    (folder / "camera_matrix").mkdir(parents=True)
    (folder / "camera_matrix" / "stereo_params.pickle").write_bytes(b"calibrated")
    two_d = {f"config_file_{camera}": "../reach/config.yaml" for camera in ("left", "right")}
    config = {"Task": "reach3d", "camera_names": ["left", "right"], **two_d}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


LEFT, RIGHT = {"left": [VIDEO]}, {"right": [OTHER]}


@pytest.mark.usefixtures("by_camera", "three_d")
def test_files_go_to_the_model_s_cameras_in_their_order_however_they_are_given(requests: Requests) -> None:
    in_order = requests.prepare("stereo", {"model": "reach3d"}, [VIDEO, OTHER])
    assert in_order.file_ids == (VIDEO, OTHER)
    assert in_order.parameters["cameras"] == {**LEFT, **RIGHT}
    named = requests.prepare("stereo", {"model": "reach3d", "cameras": {**RIGHT, **LEFT}}, [])
    assert named == in_order
    as_text = requests.prepare(
        "stereo", {"model": "reach3d", "cameras": f'{{"right": "{OTHER}", "left": "{VIDEO}"}}'}, []
    )
    assert as_text == in_order
    swapped = requests.prepare("stereo", {"model": "reach3d"}, [OTHER, VIDEO])
    assert swapped.request_key != in_order.request_key


@pytest.mark.usefixtures("by_camera", "three_d")
@pytest.mark.parametrize(
    ("cameras", "files", "reason", "says"),
    [
        ({**LEFT, "top": [OTHER]}, [], "unknown-camera", "no camera top. There are: left, right"),
        (LEFT, [], "missing-camera", "no file for right"),
        ({**LEFT, "right": [OTHER, VIDEO]}, [], "too-many-files", "for right"),
        ({**LEFT, "right": [VIDEO]}, [], "same-file-twice", "for left and right"),
        ({**LEFT, **RIGHT}, [VIDEO], "cameras-and-file-id", "not as both"),
        ({**LEFT, "right": []}, [], "bad-parameters", "see errors"),
        ({}, [], "bad-parameters", "see errors"),
        ([VIDEO, OTHER], [], "bad-parameters", "see errors"),
        (None, [VIDEO], "wrong-number-of-files", "2 cameras: .* left, right; .* There is 1"),
        (None, [VIDEO, OTHER, "c" * 40], "wrong-number-of-files", "There are 3"),
        (None, [VIDEO, VIDEO], "same-file-twice", "left and right"),
        (None, [], "missing-file", "2 cameras"),
    ],
)
def test_files_that_do_not_fit_the_model_s_cameras_are_refused(
    requests: Requests, cameras: Any, files: list[str], reason: str, says: str
) -> None:
    values = {"model": "reach3d"} | ({} if cameras is None else {"cameras": cameras})
    with pytest.raises(BadRequest, match=says) as refused:
        requests.prepare("stereo", values, files)
    assert refused.value.reason == reason


@pytest.mark.usefixtures("by_camera")
def test_without_a_model_the_request_names_the_cameras(requests: Requests) -> None:
    cameras = {"top": [VIDEO, "c" * 40], "side": [OTHER]}
    request = requests.prepare("boards", {"cameras": cameras}, [])
    assert request.file_ids == (VIDEO, "c" * 40, OTHER)
    assert list(request.parameters["cameras"].items()) == list(cameras.items())
    in_order = requests.prepare("boards", {}, [VIDEO, OTHER])
    assert in_order.parameters["cameras"] == {"camera-1": [VIDEO], "camera-2": [OTHER]}
    assert requests.prepare("boards", {}, [VIDEO]).parameters["cameras"] is None


@pytest.mark.usefixtures("by_camera")
@pytest.mark.parametrize(
    ("cameras", "reason"),
    [({"top": [VIDEO, OTHER]}, "one-camera"), ({"top": [VIDEO, VIDEO], **LEFT}, "same-file-twice")],
)
def test_one_camera_and_one_picture_twice_are_refused(requests: Requests, cameras: Any, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.prepare("boards", {"cameras": cameras}, [])
    assert refused.value.reason == reason


def test_what_takes_one_video_has_no_cameras(requests: Requests) -> None:
    with pytest.raises(BadRequest) as refused:
        requests.prepare("video", {"model": "reach", "cameras": {**LEFT, **RIGHT}}, [VIDEO])
    assert refused.value.fields["errors"] == [{"field": "cameras", "message": "There is no such parameter."}]


@pytest.mark.usefixtures("by_camera", "three_d")
def test_an_analysis_starts_from_the_result_of_the_same_request(tmp_path: Path, requests: Requests) -> None:
    first, second = (
        written(tmp_path, requests, "video", {"model": "reach"}, each).file_ids[0] for each in (b"1", b"2")
    )
    asked = requests.prepare("stereo", {"model": "reach3d"}, [first, second])
    then = requests.prepare("after-stereo", {"model": "reach3d"}, [first, second])
    record = Records(Database(f"sqlite:///{tmp_path / 'dlc' / 'dlc.db'}")).create(then, 0.0)
    keys = requests.keys(record, None)
    assert keys.earlier == asked.request_key
    assert keys.request == then.request_key != asked.request_key


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
