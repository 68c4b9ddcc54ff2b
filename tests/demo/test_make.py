"""``python -m dlc_jupyter.demo.make``: it makes the demo again, in full or a little of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dlc_jupyter import demo
from dlc_jupyter.demo import boards, make
from dlc_jupyter.demo.scene import BODYPARTS
from dlc_jupyter.pose.models import read_model

MAKE = [sys.executable, "-m", "dlc_jupyter.demo.make"]


def test_it_explains_itself() -> None:
    done = subprocess.run([*MAKE, "--help"], capture_output=True, text=True, check=True)
    for step in make.STEPS + make.ON_REQUEST:
        assert step in done.stdout
    assert "--epochs" in done.stdout


@pytest.mark.parametrize(
    ("asked", "made"), [([], list(make.STEPS)), (["measure"], ["measure"]), (["boards"], ["boards"])]
)
def test_it_makes_what_is_asked_for_or_everything(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    asked: list[str],
    made: list[str],
) -> None:
    called: list[str] = []
    monkeypatch.setattr(make, "make_video", lambda into: called.append("video"))
    monkeypatch.setattr(make, "make_model", lambda into, frames, epochs: called.append("model"))
    monkeypatch.setattr(make, "make_stereo", lambda into: called.append("stereo"))
    monkeypatch.setattr(boards, "write", lambda folder: called.append("boards"))
    monkeypatch.setattr(make, "measure", lambda into: called.append("measure"))
    monkeypatch.setattr(sys, "argv", ["make", *asked, "--into", str(tmp_path)])
    make.main()
    assert called == made
    assert ("calibration_images" in capsys.readouterr().out) == (asked == ["boards"])


def test_it_does_not_make_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make", "film"])
    with pytest.raises(SystemExit, match="2"):
        make.main()


def test_a_few_frames_are_the_beginning_of_the_video(tmp_path: Path) -> None:
    make.make_video(tmp_path, frames=5)
    packaged = demo.TRUTH.read_text().splitlines()
    assert (tmp_path / demo.TRUTH.name).read_text().splitlines() == packaged[:6]
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", tmp_path / demo.VIDEO.name]
    (stream,) = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["streams"]
    assert stream["nb_read_frames"] == "5"


@pytest.mark.deeplabcut
def test_a_model_is_trained_and_shrunk(tmp_path: Path) -> None:
    """Six frames and one epoch: it has learnt nothing, but it is whole."""
    done = subprocess.run(
        [*MAKE, "model", "--frames=6", "--epochs=1", "--into", tmp_path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    model = read_model("mouse", tmp_path / "model" / "config.yaml")
    assert model.problem is None
    assert tuple(model.bodyparts) == BODYPARTS
    assert [snapshot.name for snapshot in model.snapshots] == ["snapshot-001"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert not [path for path in files if path.suffix == ".yaml" and str(tmp_path.parent) in path.read_text()]
