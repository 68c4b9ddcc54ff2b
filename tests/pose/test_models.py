"""Models: found, told apart, refused with a reason, fingerprinted, and staged without touching the project."""

import hashlib
import pickle
import shutil
import sys

import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.errors import BadRequest, NotFound
from dlc_jupyter.pose import models
from dlc_jupyter.pose.models import Models, discover, read_model
from tests.pose.conftest import CONFIG, THREE_D
from tests.stereo import write_calibration


def contents(folder):
    """Everything in a folder: names, bytes, and times of change."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.is_file() and hashlib.sha1(path.read_bytes()).digest(),
        )
        for path in folder.rglob("*")
    }


def test_what_is_shown_of_a_model(project):
    config = project()
    assert Models({"arm": str(config)}, "").find("arm").as_json() == {
        "name": "arm",
        "kind": "2d",
        "task": "reach",
        "bodyparts": ["paw", "no"],
        "individuals": [],
        "skeleton": [["paw", "no"]],
        "cameras": [],
        "engine": "pytorch",
        "net_type": "resnet_50",
        "snapshots": [
            {"name": "snapshot-010", "shuffle": 2, "trainingsetindex": 0, "snapshot_index": 0},
            {"name": "snapshot-090", "shuffle": 2, "trainingsetindex": 0, "snapshot_index": 1},
            {"name": "snapshot-best-008", "shuffle": 2, "trainingsetindex": 0, "snapshot_index": 2},
        ],
        "camera_models": [],
        "calibration": None,
        "problem": None,
    }


def test_the_demo_model_is_read_as_what_it_is():
    model = Models({demo.MODEL_NAME: str(demo.MODEL)}, "").find(demo.MODEL_NAME, "2d")
    assert model.problem is None
    assert len(model.snapshots) == 1
    assert "snout" in model.bodyparts


def test_reading_models_needs_neither_deeplabcut_nor_opencv(project):
    assert "cv2" not in vars(models)
    assert not {"cv2", "torch", "deeplabcut", "av"} & {
        name.split(".")[0] for name in _imported_with("dlc_jupyter.pose.models")
    }


def _imported_with(module):
    import subprocess

    code = f"import sys, {module}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_several_animals(project):
    config = project(
        multianimalproject=True,
        bodyparts="MULTI!",
        individuals=["a", "b"],
        multianimalbodyparts=["paw"],
        uniquebodyparts=["corner"],
    )
    model = read_model("m", config)
    assert model.bodyparts == ("paw", "corner")
    assert model.individuals == ("a", "b")


def test_projects_are_found_by_their_folder_and_not_looked_into(tmp_path, project):
    project("lab/reach")
    project("lab/reach/labeled-data/inner")
    project("lab/.hidden/secret")
    (tmp_path / "lab/other").mkdir()
    (tmp_path / "lab/other/config.yaml").write_text("something: else\n")
    (tmp_path / "lab/again").symlink_to(tmp_path / "lab/reach")
    assert discover(tmp_path) == {"reach": tmp_path / "lab/reach/config.yaml"}


def test_projects_of_the_same_name_are_told_apart_by_the_folders_above(tmp_path, project):
    project("a/reach")
    project("b/reach")
    project("b/grasp")
    assert sorted(discover(tmp_path)) == ["a.reach", "b.reach", "grasp"]


def test_a_models_folder_that_is_not_there_has_no_models(tmp_path):
    assert Models({}, str(tmp_path / "gone")).all() == []


def test_looking_for_projects_ends_in_a_huge_folder(tmp_path, project, monkeypatch):
    project("a/b/c/reach")
    project("a/b/c/d/e/too-deep")
    assert sorted(discover(tmp_path)) == ["reach"]
    monkeypatch.setattr(models, "FOLDERS", 3)
    assert discover(tmp_path) == {}


def test_registered_names_win_over_found_ones(tmp_path, project):
    project("found/reach")
    mine = project("mine/elsewhere")
    found = Models({"reach": str(mine.parent)}, str(tmp_path / "found"))
    assert [model.config for model in found.all()] == [mine]


def test_an_unknown_model_is_refused_naming_those_there_are(project):
    with pytest.raises(NotFound, match=r"There is no model .leg.\. There are: arm, hand") as refused:
        Models({"hand": str(project("a/a")), "arm": str(project("b/b"))}, "").find("leg")
    assert refused.value.reason == "unknown-model"
    assert refused.value.fields == {"models": ["arm", "hand"]}


def test_a_2d_and_a_3d_project_are_told_apart(three_d, tmp_path):
    three_d()
    known = Models({}, str(tmp_path / "lab"))
    assert {model.name: model.kind for model in known.all()} == {"reach": "2d", "reach3d": "3d"}
    assert known.find("reach3d", "3d").cameras == ("left", "right")
    assert known.find("reach3d", "3d").bodyparts == ("paw", "no")
    with pytest.raises(BadRequest, match="is a 3D project; this analysis needs a 2D one") as refused:
        known.find("reach3d", "2d")
    assert refused.value.reason == "wrong-model-kind"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda config: config.write_text("bodyparts: [paw\nTask: reach\n"), r"not valid YAML \(line 2\)"),
        (lambda config: config.write_bytes(b"Task: \xff\xfe"), "not valid YAML"),
        (lambda config: config.write_text(""), "is empty"),
        (lambda config: config.write_text("- a\n- b\n"), "not a list of names and values"),
        (lambda config: config.write_text("a: &x [*x]\n" + "[" * 5000), "not valid YAML"),
        (lambda config: config.unlink(), "is not there"),
        (lambda config: (config.unlink(), config.mkdir()), "is not there|cannot be read"),
        (lambda config: config.write_text(yaml.safe_dump({**CONFIG, "Task": ""})), "has no Task"),
        (lambda config: config.write_text(yaml.safe_dump({**CONFIG, "bodyparts": []})), "names no body parts"),
        (lambda config: config.write_text(yaml.safe_dump({**CONFIG, "iteration": 7})), "no snapshot .* iteration"),
        (lambda config: [path.unlink() for path in config.parent.rglob("snapshot-*")], "no snapshot"),
        (lambda config: shutil.rmtree(config.parent / "dlc-models-pytorch"), "no snapshot"),
        (lambda config: (config.parent / "dlc-models-pytorch").rename(config.parent / "dlc-models"), "TensorFlow"),
    ],
)
def test_a_project_that_cannot_be_used_says_why(project, break_it, says):
    config = project()
    break_it(config)
    known = Models({"arm": str(config)}, "")
    with pytest.raises(BadRequest, match=says) as refused:
        known.find("arm", "2d")
    assert refused.value.reason == "broken-model"
    assert refused.value.message.startswith("The model 'arm' cannot be used: ")
    assert str(config.parent) not in refused.value.message
    assert known.all()[0].problem is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"calibrated": False}, "have not been calibrated"),
        ({"camera_names": ["left"]}, "fewer than two cameras"),
        ({"config_file_right": None}, "does not name a 2D project"),
        ({"config_file_left": "/nowhere/config.yaml"}, "its 2D project: its config.yaml is not there"),
        ({"shuffle_right": 3}, "its 2D project for right: .*no trained network for shuffle 3 .*shuffle 2"),
        ({"camera_names": ["left", "left"]}, "the same name"),
        ({"camera_names": ["left", "right", "top"], "config_file_top": "2d"}, r"calibrated \(there is no .*toml\)"),
    ],
)
def test_a_3d_project_that_cannot_be_used_says_why(three_d, changes, says):
    config = three_d(**changes)
    if changes.get("config_file_top"):  # as the others
        values = yaml.safe_load(config.read_text())
        values |= {"config_file_top": values["config_file_left"], "shuffle_top": 2}
        config.write_text(yaml.safe_dump(values))
    with pytest.raises(BadRequest, match=says) as refused:
        Models({"arm": str(config)}, "").find("arm", "3d")
    assert refused.value.reason == "broken-model"


@pytest.mark.parametrize("was", ["/old/lab", "C:\\Users\\me\\lab"])
def test_a_3d_project_may_be_moved_together_with_its_2d_project(three_d, tmp_path, was):
    """DeepLabCut writes whole paths: they are of where both were."""
    sep = "\\" if "\\" in was else "/"
    named = sep.join([was, "reach", "config.yaml"])
    config = three_d(config_file_left=named, config_file_right=named, project_path=sep.join([was, "reach3d"]))
    model = Models({"arm": str(config)}, "").find("arm", "3d")
    assert [each.config.resolve() for each in model.camera_models] == [tmp_path / "lab/reach/config.yaml"] * 2
    staged = Models({"arm": str(config)}, "").stage(model, tmp_path / "scratch/model")
    assert read_model("arm", staged).problem is None
    (tmp_path / "lab/reach").rename(tmp_path / "elsewhere")
    assert "is not there any more" in read_model("arm", config).problem


@pytest.mark.parametrize("before", [None, 7, "relative", "C:\\lab", "/lab\0", "/" + "x" * 5000])
def test_a_project_that_does_not_say_where_it_was_is_looked_for_where_it_is_named(three_d, before):
    config = three_d(config_file_left="/old/reach/config.yaml", project_path=before)
    assert read_model("arm", config).problem.startswith("its 2D project: its config.yaml is not there")


def test_what_is_shown_of_a_3d_model(three_d):
    config = three_d(calibrated=False)
    write_calibration(config.parent / "calibration.toml")
    shown = Models({"arm": str(config)}, "").find("arm", "3d").as_json()
    assert shown["cameras"] == ["left", "right"]
    assert shown["calibration"] == {"error": 0.25, "unit": "mm", "source": "calibrate"}
    assert shown["camera_models"] == [
        {"camera": camera, "task": "reach", "shuffle": 2, "trainingsetindex": 0} for camera in ("left", "right")
    ]
    assert str(config.parent.parent) not in str(shown)


def test_deeplabcut_s_calibration_will_do_for_two_cameras_and_ours_comes_first(three_d):
    config = three_d()
    known = Models({"arm": str(config)}, "")
    assert known.find("arm").calibration == {"error": None, "unit": "squares", "source": "DeepLabCut"}
    write_calibration(config.parent / "calibration.toml", ("right", "left"))  # in whatever order
    assert known.find("arm").calibration["unit"] == "mm"


def test_three_cameras_need_a_calibration_of_three(three_d):
    config = three_d(camera_names=["left", "right", "top"], shuffle_top=2, config_file_top="2d")
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "config_file_top": values["config_file_left"]}))
    known = Models({"arm": str(config)}, "")
    write_calibration(config.parent / "calibration.toml", ("left", "right", "top"))
    assert [each.camera for each in known.find("arm").camera_models] == ["left", "right", "top"]
    write_calibration(config.parent / "calibration.toml", ("left", "right"))
    with pytest.raises(BadRequest, match=r"of the cameras left, right, but its config\.yaml names left, right, top"):
        known.find("arm")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[cam_0", "no TOML"),
        ("a = 1\n", "no calibration"),
        ("[cam_0]\nname = 'left'\n", "has no size"),
        (b"\xff", "no text"),
    ],
)
def test_a_calibration_that_is_none_says_what_is_wrong(three_d, text, says):
    config = three_d()
    (config.parent / "calibration.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadRequest, match=f"its calibration.toml cannot be used.*{says}") as refused:
        Models({"arm": str(config)}, "").find("arm")
    assert str(config.parent) not in refused.value.message


@pytest.mark.parametrize(("said", "unit"), [({}, "squares"), ({"unit": "mm"}, "mm"), ({"unit": ""}, "")])
def test_a_stereo_file_that_says_its_unit_is_believed(three_d, said, unit):
    config = three_d()
    content = pickle.dumps({"left-right": {"R": [1.0], "image_shape": [(640, 480)] * 2, **said}})
    (config.parent / "camera_matrix/stereo_params.pickle").write_bytes(content)
    assert Models({"arm": str(config)}, "").find("arm").calibration["unit"] == unit


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_deeplabcuts_calibration_of_other_cameras_is_none(three_d, protocol):
    config = three_d()
    known = Models({"arm": str(config)}, "")
    for pair, is_right in (("left-right", True), ("right-left", False), ("left-top", False)):
        path = config.parent / "camera_matrix/stereo_params.pickle"
        path.write_bytes(pickle.dumps({pair: {"R": [1.0], "image_shape": [(640, 480)] * 2}}, protocol))
        if is_right:
            assert known.find("arm").problem is None
            continue
        says = rf"stereo_params\.pickle is of the cameras '{pair}', but its config\.yaml names 'left-right'"
        with pytest.raises(BadRequest, match=says):
            known.find("arm")


def test_cameras_that_results_could_not_tell_apart_are_no_model(three_d):
    config = three_d()
    two_d = yaml.safe_load(config.read_text())["config_file_left"]
    names = ("a", "a_filtered")
    values = {**THREE_D, "camera_names": list(names), **{f"config_file_{name}": two_d for name in names}}
    config.write_text(yaml.safe_dump(values))
    with pytest.raises(BadRequest, match=r"could not tell apart.*both would have a_filtered_h5_file"):
        Models({"arm": str(config)}, "").find("arm")


def test_cameras_for_other_numbers_of_animals_are_no_model(three_d, project):
    two = {"multianimalproject": True, "multianimalbodyparts": ["paw", "no"], "individuals": ["one", "two"]}
    other = project("lab/other", **two)
    with pytest.raises(BadRequest, match=r"left and right are of different numbers of animals \(1 and 2\)"):
        Models({"arm": str(three_d(config_file_right=str(other)))}, "").find("arm")


def test_cameras_with_other_body_parts_are_no_model(three_d, project):
    other = project("lab/other", bodyparts=["nose"])
    with pytest.raises(BadRequest, match="left and right have different body parts"):
        Models({"arm": str(three_d(config_file_right=str(other)))}, "").find("arm")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("TrainingFraction: 0.95", "TrainingFraction in its config.yaml should be a list of numbers"),
        ("TrainingFraction: [.nan]", "TrainingFraction in its config.yaml should be a list of numbers"),
        ("TrainingFraction: [.inf]", "TrainingFraction in its config.yaml should be a list of numbers"),
        ("TrainingFraction: [95%]", "TrainingFraction in its config.yaml should be a list of numbers"),
        ("iteration: one", "iteration in its config.yaml should be a whole number"),
        ("x1: left", "x1 in its config.yaml should be a number of pixels"),
        ("camera_names: 5", "camera_names in its config.yaml should be a list of names"),
        ("camera_names: [[left]]", "camera_names in its config.yaml should be a list of names"),
        ("note: !!timestamp soon", "not valid YAML"),
    ],
)
def test_a_mistyped_value_is_named_and_hides_no_other_model(project, typed, says):
    broken = project("lab/broken")
    key = typed.partition(":")[0]
    kept = yaml.safe_dump({name: value for name, value in CONFIG.items() if name != key})
    broken.write_text(f"{kept}{typed}\n")
    known = Models({"arm": str(project("lab/whole")), "broken": str(broken)}, "")
    assert [(model.name, model.problem is None) for model in known.all()] == [("arm", True), ("broken", False)]
    with pytest.raises(BadRequest, match=says) as refused:
        known.find("broken")
    assert refused.value.reason == "broken-model"


def test_what_nobody_thought_of_hides_no_other_model(project, monkeypatch, caplog):
    def fail(value):
        raise TypeError("nobody thought of this")

    known = Models({"arm": str(project())}, "")
    monkeypatch.setattr("dlc_jupyter.pose.projects._pairs", fail)
    (model,) = known.all()
    assert model.problem == "its project cannot be read (TypeError); the server's log says more."
    assert "nobody thought of this" in caplog.text


@pytest.mark.parametrize("path", ["/lab/a\0b/config.yaml", "/lab/" + "x" * 5000, "~nobody-of-that-name/config.yaml"])
def test_a_path_that_cannot_be_is_told_of_its_own_model_only(project, three_d, path):
    known = Models({"arm": str(three_d(config_file_left=path)), "typo": path}, "")
    arm, typo = known.all()
    assert arm.problem.startswith("its 2D project: its ")
    assert typo.problem.startswith("its ")
    assert len(arm.problem + typo.problem) < 400


@pytest.mark.parametrize("camera", ["config_file_left", "config_file_right"])
def test_a_3d_project_that_names_itself_is_refused(three_d, tmp_path, camera):
    itself = tmp_path / "lab/reach3d/config.yaml"
    known = Models({"arm": str(three_d(**{camera: str(itself)}))}, "")
    assert known.all()[0].kind == "3d"
    with pytest.raises(BadRequest, match=f"its {camera} names a 3D project"):
        known.find("arm", "3d")
    with pytest.raises(BadRequest, match=f"its {camera} names a 3D project"):
        known.stage(read_model("arm", itself), tmp_path / "scratch")


def test_a_key_that_is_no_text_does_no_harm(project, tmp_path):
    config = project()
    config.write_text(config.read_text() + "7: note\n2026-11-01: {1: one, two: 2}\n")
    known = Models({"arm": str(config)}, "")
    first = known.fingerprint(known.find("arm"))
    staged = known.stage(known.find("arm"), tmp_path / "model")
    assert yaml.safe_load(staged.read_text())[7] == "note"
    config.write_text(config.read_text().replace("two: 2", "two: 3"))
    assert known.fingerprint(known.find("arm")) != first


def test_a_project_that_was_never_trained_is_not_taken_for_one_of_tensorflow(project):
    config = project()
    shutil.rmtree(config.parent / "dlc-models-pytorch")
    (config.parent / "dlc-models").mkdir()
    with pytest.raises(BadRequest, match=r"no snapshot .* deeplabcut.train_network"):
        Models({"arm": str(config)}, "").find("arm")


def test_a_broken_project_is_found_in_the_models_folder_all_the_same(project, tmp_path):
    project().write_text("Task: [")
    assert [model.name for model in Models({}, str(tmp_path)).all()] == ["reach"]


def test_a_staged_copy_is_a_project_of_its_own(project, tmp_path):
    config = project()
    before = contents(config.parent)
    staged = Models({"arm": str(config)}, "").stage(read_model("arm", config), tmp_path / "scratch/model")
    values = yaml.safe_load(staged.read_text())
    assert values["project_path"] == str(tmp_path / "scratch/model")
    assert read_model("arm", staged).snapshots == read_model("arm", config).snapshots
    assert read_model("arm", staged).bodyparts == ("paw", "no")
    for path in (tmp_path / "scratch").rglob("*.yaml"):  # whatever DeepLabCut may write to is a copy
        path.write_text("changed")
    (next(staged.parent.rglob("train")) / "new.txt").write_text("new")
    assert contents(config.parent) == before


def test_a_staged_3d_project_brings_its_2d_projects(three_d, tmp_path):
    config = three_d()
    staged = Models({"arm": str(config)}, "").stage(read_model("arm", config), tmp_path / "scratch/model")
    values = yaml.safe_load(staged.read_text())
    assert values["config_file_left"] == values["config_file_right"]
    assert values["config_file_left"].startswith(str(tmp_path / "scratch"))
    assert read_model("arm", staged).problem is None
