"""3D models made here: whole or not at all, what DeepLabCut makes, and refused with a reason."""

import dataclasses
import os
import pickle
import threading

import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.errors import BadRequest, Conflict, NotFound
from dlc_jupyter.pose import made_models
from dlc_jupyter.pose.made_models import MadeModels, New3D
from dlc_jupyter.pose.models import Models
from tests.stereo import calibration, write_calibration


@pytest.fixture
def models(tmp_path):
    """The models of a server that knows the demo's."""
    return Models({"mouse": str(demo.MODEL), "tray": str(demo.MODEL_3D)}, "", tmp_path / "models")


@pytest.fixture
def new(models, tmp_path):
    """A model that can be made."""
    mouse = models.find("mouse")
    return New3D("rig", write_calibration(tmp_path / "some.toml"), {"left": mouse, "right": mouse})


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_model_is_made_of_a_calibration_and_a_2d_model(models, new, tmp_path):
    made = models.make(new)
    assert made == models.find("rig", "3d")
    assert made.cameras == ("left", "right")
    assert made.calibration == {"error": 0.25, "unit": "mm", "source": "calibrate"}
    assert made.skeleton == models.find("mouse").skeleton
    assert {each.config for each in made.camera_models} == {demo.MODEL.absolute()}
    assert [model.name for model in models.all()] == ["mouse", "rig", "tray"]
    new.calibration.unlink()
    assert models.find("rig").problem is None
    staged = models.stage(made, tmp_path / "scratch")
    assert (staged.parent / "calibration.toml").read_text() == calibration()
    (staged.parent / "camera_matrix" / "stereo_params.pickle").write_bytes(b"new")
    assert names_in(made.config.parent / "camera_matrix") == []


def test_its_config_has_what_deeplabcut_writes(models, new):
    made = models.make(dataclasses.replace(new, pcutoff=0.7, skeleton=[["snout", "tailbase"]]))
    values = yaml.safe_load(made.config.read_text())
    of_demo = yaml.safe_load(demo.MODEL_3D.read_text())
    assert [key.replace("left", "camera-1").replace("right", "camera-2") for key in values] == list(of_demo)
    assert (values["pcutoff"], values["skeleton"]) == (0.7, [["snout", "tailbase"]])


def test_many_cameras_with_names_of_all_kinds(models, new, tmp_path):
    names = ("no", "top view", "3", "Käfig_links", "a.b")
    mouse = models.find("mouse")
    path = write_calibration(tmp_path / "many.toml", names)
    made = models.make(dataclasses.replace(new, calibration=path, models=dict.fromkeys(names, mouse)))
    assert made.problem is None
    assert tuple(each.camera for each in made.camera_models) == made.cameras == names


def test_a_name_that_is_taken_is_refused_wherever_the_model_lies(models, new):
    models.make(new)
    for name in ("rig", "mouse"):
        with pytest.raises(Conflict) as refused:
            models.make(dataclasses.replace(new, name=name))
        assert refused.value.reason == "model-exists"


def test_of_many_at_once_one_makes_it(models, new, tmp_path):
    ends = []

    def make():
        try:
            ends.append(models.make(new).name)
        except Conflict as error:
            ends.append(error.reason)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["model-exists"] * 7 + ["rig"]
    assert names_in(tmp_path / "models") == ["rig"]


@pytest.mark.parametrize("name", ["", ".", "..", ".rig", "a/b", "-rig", "rig\n", "Maus ä", "x" * 101])
def test_a_name_that_is_none_is_refused(models, new, name, tmp_path):
    with pytest.raises(BadRequest) as refused:
        models.make(dataclasses.replace(new, name=name))
    assert refused.value.reason == "bad-model-name"
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "no toml [", "no TOML"),
        (lambda text: "a = 1", "no calibration"),
        (lambda text: text[text.index("[cam_1]") :], "one camera only"),
        (lambda text: text.replace('"right"', '"left"'), "the same name"),
        (lambda text: text.replace('"right"', '"../right"'), "cannot be called"),
        (lambda text: text.replace('"right"', '""'), "cannot be called"),
        (lambda text: text.replace('"right"', '"left_filtered"'), "both would have left_filtered_h5_file"),
        (lambda text: text.replace("[640, 480]", "[640]"), "size of left"),
        (lambda text: text.replace("[0.0, 0.5, 0.0]", "[nan, 0.5, 0.0]"), "rotation of right"),
        (lambda text: text.replace("[-100.0, 0.0, 0.0]", '"far"'), "translation of right"),
        (lambda text: text.replace("matrix = [[800.0, 0.0, 320.0], ", "matrix = ["), "matrix of left"),
        (lambda text: text.replace("[640, 480]", f"[640, 1{'0' * 400}]"), "size of left"),
        (lambda text: text.replace("[640, 480]", "[640, 480.5]"), "size of left"),
        (lambda text: text.replace("[640, 480]", "[0, 480]"), "size of left"),
        (lambda text: text.replace("[[800.0", "[[-800.0"), "focal length of left"),
        (lambda text: text.replace("[0.0, 0.0, 0.0, 0.0, 0.0]", '"no"'), "distortions of left .* 4, 5, 8, 12, 14"),
        (lambda text: text.replace("[0.0, 0.0, 0.0, 0.0, 0.0]", "[0.0, 0.0]"), "distortions of left"),
        (lambda text: text.replace("[cam_1]", "[cam_1]\nfisheye = true"), "distortions of right .*: 4 numbers"),
        (lambda text: text.replace("[cam_1]", '[cam_1]\nfisheye = "no"'), "fisheye of right"),
        (lambda text: text + f"more = 1{'0' * 5000}\n", "no TOML"),
        (lambda text: text.replace('"left"', f"0x{'f' * 5000}"), r"the name of \[cam_0\] is no text"),
        (lambda text: text.replace('"left"', '"a/b"').replace("cam_0", "cam_" + "9" * 5000), "cannot be called 'a/b'"),
    ],
)
def test_what_is_no_calibration_is_refused(models, new, change, says, tmp_path):
    new.calibration.write_text(change(calibration()))
    with pytest.raises(BadRequest, match=says) as refused:
        models.make(new)
    assert refused.value.reason == "bad-calibration"
    assert str(tmp_path) not in refused.value.message


@pytest.mark.parametrize("error", [f"1{'0' * 400}", "nan", "inf", '"small"', "true"])
def test_an_error_that_is_no_number_is_not_known(models, new, error):
    new.calibration.write_text(calibration().replace("error = 0.25", f"error = {error}"))
    assert models.make(new).calibration == {"error": None, "unit": "mm", "source": "calibrate"}


def test_a_unit_or_source_that_is_no_text_is_not_known(models, new):
    huge = f"0x{'f' * 5000}"  # Python refuses to write it out
    text = calibration().replace('unit = "mm"', f"unit = {huge}").replace('"calibrate"', huge)
    new.calibration.write_text(text)
    assert models.make(new).calibration == {"error": 0.25, "unit": "", "source": "Anipose"}


def test_deeplabcut_s_own_calibration_is_refused_with_the_way_to_use_it(models, new):
    new.calibration.write_bytes(pickle.dumps({"left-right": {"R": [1.0]}}, protocol=4))
    with pytest.raises(BadRequest, match=r"stereo_params\.pickle, it makes one with method=import"):
        models.make(new)


def test_a_video_is_no_calibration(models, new):
    with pytest.raises(BadRequest, match="cannot be used"):
        models.make(dataclasses.replace(new, calibration=demo.VIDEO))


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"models": ["left"]}, "missing-camera", "no 2D model for right"),
        ({"models": ["left", "right", "top"]}, "unknown-camera", "no camera top"),
        ({"shuffle": 7}, "unknown-network", "left: .*shuffle 7 .*There are: shuffle 1"),
        ({"trainingsetindex": 3}, "unknown-network", "trainingsetindex 3"),
        ({"skeleton": [["snout", "wing"]]}, "bad-skeleton", "no body part wing"),
    ],
)
def test_what_does_not_fit_together_is_refused(models, new, changes, reason, says, tmp_path):
    if "models" in changes:
        changes = {"models": dict.fromkeys(changes["models"], models.find("mouse"))}
    with pytest.raises(BadRequest, match=says) as refused:
        models.make(dataclasses.replace(new, **changes))
    assert refused.value.reason == reason
    assert not (tmp_path / "models").exists()


def test_a_3d_model_looks_at_no_camera(models, new, tmp_path):
    """The handlers refuse it before; nothing is left of it here either."""
    tray = models.find("tray")
    with pytest.raises(BadRequest, match="3D project") as refused:
        models.make(dataclasses.replace(new, models={"left": tray, "right": tray}))
    assert refused.value.reason == "broken-model"
    assert names_in(tmp_path / "models") == []


def test_a_disk_that_fails_leaves_nothing(models, new, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(made_models, "_sync", full)
    with pytest.raises(OSError, match="No space"):
        models.make(new)
    assert names_in(tmp_path / "models") == []
    assert [model.name for model in models.all()] == ["mouse", "tray"]


def test_the_only_network_of_a_model_is_taken_where_it_is_not_shuffle_1(models, new, tmp_path):
    import shutil

    project = tmp_path / "second"
    shutil.copytree(demo.MODEL.parent, project)
    (folder,) = (project / "dlc-models-pytorch" / "iteration-0").iterdir()
    folder.rename(folder.with_name(folder.name.replace("shuffle1", "shuffle4")))
    known = Models({"mouse": str(project)}, "", tmp_path / "models")
    mouse = known.find("mouse")
    made = known.make(dataclasses.replace(new, models={"left": mouse, "right": mouse}))
    assert [each.shuffle for each in made.camera_models] == [4, 4]


def test_a_model_made_here_is_removed_and_no_other(models, new, tmp_path):
    models.make(new)
    for name in ("mouse", "tray"):
        with pytest.raises(Conflict) as refused:
            models.remove(name)
        assert refused.value.reason == "model-registered"
    for name in ("cat", "..", "../models/rig", ""):
        with pytest.raises(NotFound):
            models.remove(name)
    models.remove("rig")
    assert names_in(tmp_path / "models") == []
    with pytest.raises(NotFound):
        models.find("rig")
    models.make(new)


@pytest.mark.parametrize("work", ["make", "remove"])
def test_what_a_killed_server_left_is_removed_with_the_next_model(models, new, tmp_path, work):
    if work == "remove":
        models.make(new)
    old, young, mine = (tmp_path / "models" / name for name in (f".{'0a' * 8}", f".{'b1' * 8}", ".my own"))
    for folder in (old, young, mine):
        (folder / "camera_matrix").mkdir(parents=True)
    for folder in (old, mine):
        os.utime(folder, (0, 0))
    models.make(new) if work == "make" else models.remove("rig")
    assert {old.name, young.name, mine.name} & set(names_in(tmp_path / "models")) == {young.name, mine.name}


def test_what_else_lies_in_the_folder_is_no_model(tmp_path):
    (tmp_path / "models" / ".half-made").mkdir(parents=True)
    (tmp_path / "models" / "notes.txt").write_text("mine")
    assert MadeModels(tmp_path / "models").configs() == {}
