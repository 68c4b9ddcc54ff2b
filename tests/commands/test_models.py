"""``dlc-jupyter models``: which there are, and what is wrong with those that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter import demo
from dlc_jupyter.pose.made_models import New3D
from dlc_jupyter.pose.models import Models
from tests.stereo import write_calibration

REGISTERED = f"--DLCApp.models={demo.MODEL_NAME}={demo.MODEL}"


def test_a_model_is_a_line_of_the_table(command: Any) -> None:
    ended = command("models", REGISTERED)
    assert (ended.status, ended.err) == (0, "")
    header, line = ended.out.splitlines()
    assert header.split() == ["NAME", "KIND", "BODY", "PARTS", "INDIVIDUALS", "NETWORK", "SNAPSHOTS", "CAMERAS"]
    assert line.startswith("demo-mouse  2d    7 (snout, leftear, rightear, bodycentre, …)")
    assert line.index("1", line.index("resnet")) == header.index("SNAPSHOTS")


def test_a_3d_model_says_which_cameras_it_has_and_how_they_were_calibrated(command: Any, tmp_path: Path) -> None:
    ended = command("models", f"--DLCApp.models=tray={demo.MODEL_3D}")
    assert ended.status == 0
    header, line = ended.out.splitlines()
    assert line.split()[:2] == ["tray", "3d"]
    assert line[header.index("CAMERAS") :] == "2 (camera-1, camera-2): 0.00 px, mm"


def test_models_that_were_made_here_are_listed_too(command: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    models = Models({demo.MODEL_NAME: str(demo.MODEL)}, "", data / "models")
    mouse = models.find(demo.MODEL_NAME)
    models.make(New3D("my-rig", write_calibration(tmp_path / "rig.toml"), {"left": mouse, "right": mouse}))
    ended = command("models", REGISTERED, f"--DLCApp.data_dir={data}")
    assert [line.split()[0] for line in ended.out.splitlines()[1:]] == ["demo-mouse", "my-rig"]
    assert "2 (left, right): 0.25 px, mm" in ended.out


def test_models_below_a_folder_are_found_and_named_by_their_folders(command: Any, tmp_path: Path) -> None:
    for name in ("mouse-b", "mouse-a"):
        shutil.copytree(demo.MODEL.parent, tmp_path / "projects" / name)
    ended = command("models", f"--DLCApp.models_dir={tmp_path / 'projects'}")
    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines()[1:]] == ["mouse-a", "mouse-b"]


def test_a_model_that_cannot_be_used_says_why_and_the_exit_status_shows_it(command: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.yaml").write_text("Task: [mouse\n")
    ended = command("models", REGISTERED, f"--DLCApp.models=broken={broken / 'config.yaml'}")
    assert ended.status == 1
    table, _, why = ended.out.partition("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["NAME", "broken", "demo-mouse"]
    assert why.startswith(f"broken cannot be used ({broken / 'config.yaml'}):\n    ")
    assert "config.yaml" in why.splitlines()[1]


def test_without_any_model_it_says_how_to_register_one(command: Any) -> None:
    ended = command("models")
    assert ended.status == 0
    assert "No model is registered." in ended.out
    assert "c.DLCApp.models = {" in ended.out
    assert "dlc-jupyter demo" in ended.out


def test_what_is_said_of_registering_works(command: Any, config_dir: Path) -> None:
    line = next(line for line in command("models").out.splitlines() if "c.DLCApp.models =" in line)
    (config_dir / "jupyter_server_config.py").write_text(line.strip())
    assert command("models").out.splitlines()[1].split()[0] == "my-mouse"


@pytest.mark.parametrize("options", [[], [REGISTERED]])
def test_programs_get_json(command: Any, options: list[str]) -> None:
    listed = json.loads(command("models", "--json", *options).out)
    assert [model["name"] for model in listed] == ([demo.MODEL_NAME] if options else [])
    assert not options or listed[0]["bodyparts"][0] == "snout"
