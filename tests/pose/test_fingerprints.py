"""Fingerprints of models: they change with what decides poses, and with nothing else, and cost little."""

import shutil
import threading

import pytest
import yaml

from dlc_jupyter.pose import models
from dlc_jupyter.pose.models import Models
from tests.pose.conftest import CONFIG
from tests.stereo import write_calibration


def test_the_fingerprint_changes_with_what_decides_the_poses_only(project):
    config = project()
    train = next(config.parent.rglob("train"))
    known = Models({"arm": str(config)}, "")
    first = known.fingerprint(known.find("arm"))

    def now():
        return known.fingerprint(known.find("arm"))

    config.write_text(yaml.safe_dump({**CONFIG, "project_path": "/elsewhere", "video_sets": {}}))
    assert now() == first
    (train / "learning_stats.csv").write_text("epoch\n1\n")
    assert now() == first
    config.write_text(yaml.safe_dump({**CONFIG, "batch_size": 2}))
    assert (second := now()) != first
    (train / "snapshot-090.pt").write_bytes(b"other weights")
    assert (third := now()) != second
    (train / "pytorch_config.yaml").write_text("net_type: hrnet\n")
    assert now() not in (first, second, third)


def test_the_fingerprint_is_the_same_for_a_copy_elsewhere(project, tmp_path):
    config = project()
    shutil.copytree(config.parent, tmp_path / "copy")
    known = Models({"a": str(config), "b": str(tmp_path / "copy")}, "")
    assert known.fingerprint(known.find("a")) == known.fingerprint(known.find("b"))


def test_the_fingerprint_is_not_read_anew_each_time(project, monkeypatch):
    known = Models({"arm": str(project())}, "")
    first = known.fingerprint(known.find("arm"))
    monkeypatch.setattr(models, "_digest", lambda path: pytest.fail("read again"))
    assert known.fingerprint(known.find("arm")) == first


def test_the_fingerprint_of_one_network_does_not_depend_on_the_others(project, monkeypatch):
    config = project()
    other = shutil.copytree(
        config.parent / "dlc-models-pytorch/iteration-1/reachNov1-trainset95shuffle2",
        config.parent / "dlc-models-pytorch/iteration-1/reachNov1-trainset80shuffle2",
    )
    known = Models({"arm": str(config)}, "")
    read, digest = [], models._digest
    monkeypatch.setattr(models, "_digest", lambda path: (read.append(path), digest(path))[1])

    def now(trainingsetindex):
        return known.fingerprint(known.find("arm"), trainingsetindex=trainingsetindex, shuffle=2)

    first = now(0)
    assert not [path for path in read if other in path.parents]
    second, whole = now(1), known.fingerprint(known.find("arm"))
    (other / "train/snapshot-090.pt").write_bytes(b"trained longer")
    assert now(0) == first
    assert now(1) != second
    assert known.fingerprint(known.find("arm")) != whole


def test_many_who_ask_at_once_read_a_file_once(project, monkeypatch):
    known = Models({"arm": str(project())}, "")
    model, digest = known.find("arm"), models._digest
    read, asked, all_asked = [], [], threading.Event()

    def slowly(path):
        read.append(path)
        all_asked.wait(20)
        return digest(path)

    def ask():
        asked.append(None)
        if len(asked) == 4:
            all_asked.set()
        found.append(known.fingerprint(model))

    found: list[str] = []
    monkeypatch.setattr(models, "_digest", slowly)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(read) == len(set(read))


def test_a_registered_model_is_found_without_looking_through_the_models_folder(project, tmp_path, monkeypatch):
    known = Models({"arm": str(project())}, str(tmp_path))
    monkeypatch.setattr(models, "discover", lambda root: pytest.fail("looked through"))
    assert known.find("arm").problem is None


def test_the_fingerprint_of_a_3d_project_covers_calibration_and_2d_project(three_d):
    config = three_d()
    known = Models({"arm": str(config)}, "")
    seen = {known.fingerprint(known.find("arm"))}
    (config.parent / "camera_matrix/stereo_params.pickle").write_bytes(b"other cameras")
    seen.add(known.fingerprint(known.find("arm")))
    next(config.parent.parent.rglob("snapshot-090.pt")).write_bytes(b"other weights")
    seen.add(known.fingerprint(known.find("arm")))
    write_calibration(config.parent / "calibration.toml")
    seen.add(known.fingerprint(known.find("arm")))
    toml = config.parent / "calibration.toml"
    toml.write_text(toml.read_text().replace("-100.0", "-101.0"))
    seen.add(known.fingerprint(known.find("arm")))
    assert len(seen) == 5
