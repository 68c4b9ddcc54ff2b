"""The demo's model: a real DeepLabCut project that is small and lies anywhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import yaml

from dlc_jupyter import demo
from dlc_jupyter.demo.scene import BODYPARTS, SKELETON
from dlc_jupyter.pose.models import Models, read_model

FILES = sorted(path for path in demo.MODEL.parent.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """The bytes of all files, and when they were written."""
    return {
        str(path.relative_to(folder)): (hashlib.sha1(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_can_be_used_and_has_the_scene_s_body_parts() -> None:
    model = read_model(demo.MODEL_NAME, demo.MODEL)
    assert model.problem is None
    assert tuple(model.bodyparts) == BODYPARTS
    assert tuple(tuple(bone) for bone in model.skeleton) == SKELETON
    assert len(model.snapshots) == 1


def test_it_is_smaller_than_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in FILES) < 1_000_000


def test_it_names_nothing_of_the_machine_it_was_made_on() -> None:
    for path in FILES:
        if path.suffix == ".yaml":
            text = path.read_text()
            assert not [word for word in text.split() if word.startswith(("/", "~", "C:"))], path
            yaml.safe_load(text)
        else:
            assert not re.search(rb"/[a-z]+/[\w./-]+\.(py|pt|yaml|mp4)", path.read_bytes()), path


def test_it_runs_from_where_it_lies_and_is_never_rewritten(tmp_path: Path) -> None:
    before = contents(demo.MODEL.parent)
    models = Models({demo.MODEL_NAME: str(demo.MODEL)}, "")
    staged = models.stage(models.find(demo.MODEL_NAME), tmp_path / "model")
    assert yaml.safe_load(staged.read_text())["project_path"] == str(tmp_path / "model")
    assert contents(demo.MODEL.parent) == before
