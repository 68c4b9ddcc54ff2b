"""``dlc-jupyter check``: every finding, what it advises, and the exit status.

Environments that this machine does not have are an ``engine_python`` that answers the probe as they would.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter import demo
from dlc_jupyter.commands import check, findings
from dlc_jupyter.commands.findings import Finding
from dlc_jupyter.settings import Settings

#: What the probe finds in an environment where everything is there.
WELL: dict[str, Any] = {
    "python": "3.12.1",
    "versions": {
        "deeplabcut": "3.0.2",
        "torch": "2.13.0+cu130",
        "torchvision": "0.28.0+cu130",
        "av": "18.0.0",
        "pydantic": "2.14.0",
        "pyyaml": "6.0.1",
    },
    "opencv": {"opencv-python-headless": "4.12.0"},
    "torchvision_needs": ["torch==2.13.0"],
    "errors": {},
    "torch": {"cuda_build": "13.0", "gpus": ["NVIDIA H100"], "torchvision_operators": True},
}
#: torch and torchvision as our own installation pairs them where there is no GPU.
PAIRED: dict[str, Any] = {"gpus": [], "torchvision_operators": False, "torchvision_paired": True}


def program(path: Path, script: str) -> Path:
    """Write an executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def python_with(tmp_path: Path) -> Callable[..., Path]:
    """Make a Python that answers the probe as `WELL`, but for the changes; ``versions__torch=None`` is a nested one."""

    def make(**changes: Any) -> Path:
        answer = copy.deepcopy(WELL)
        for key, value in changes.items():
            *path, last = key.split("__")
            place = answer
            for part in path:
                place = place[part]
            place[last] = value
        return program(tmp_path / "engine" / "python", f"cat <<'END'\n{json.dumps(answer)}\nEND")

    return make


def found(settings: Settings, subject: str) -> list[Finding]:
    return [finding for finding in findings.engine(settings) if finding.subject == subject]


# -- the Python of the engine ------------------------------------------------------------------------------------------


def test_where_everything_is_there_every_finding_is_well(python_with: Callable[..., Path]) -> None:
    all_found = list(findings.engine(Settings(engine_python=str(python_with()))))
    assert [(finding.subject, finding.state, finding.advice) for finding in all_found] == [
        (subject, "ok", "") for subject in ("DeepLabCut", "torch", "OpenCV", "GPU")
    ]
    assert "3.0.2, Python 3.12.1" in all_found[0].text
    assert all_found[3].text == "NVIDIA H100"


@pytest.mark.parametrize(
    ("changes", "subject", "state", "text", "advice"),
    [
        ({"python": "3.8.10"}, "DeepLabCut", "missing", "Python is 3.8.10", "3.11 or newer"),
        ({"versions__deeplabcut": None}, "DeepLabCut", "missing", "not installed in", findings.INSTALL),
        ({"versions__deeplabcut": "2.3.9"}, "DeepLabCut", "missing", "2.3.9 is too old", "3.0.2 or newer"),
        ({"versions__deeplabcut": "3.0.1"}, "DeepLabCut", "missing", "3.0.1 is too old", "3.0.2 or newer"),
        (
            {"errors__deeplabcut": "ImportError: numpy.core"},
            *("DeepLabCut", "missing", "cannot be imported: ImportError: numpy.core", findings.INSTALL),
        ),
        ({"versions__deeplabcut": "3.0.2rc1"}, "DeepLabCut", "ok", "3.0.2rc1", ""),
        ({"versions__deeplabcut": "3.0.10"}, "DeepLabCut", "ok", "3.0.10", ""),
        ({"versions__deeplabcut": "3.0"}, "DeepLabCut", "missing", "3.0 is too old", "3.0.2 or newer"),
        ({"versions__deeplabcut": "10.0"}, "DeepLabCut", "ok", "10.0", ""),
        ({"errors__av": "ModuleNotFoundError: av"}, "av", "missing", "cannot be imported", "pip install 'av>=18,<19'"),
        ({"errors__pydantic": "ImportError: x"}, "pydantic", "missing", "cannot be imported", findings.INSTALL),
        ({"versions__torch": None}, "torch", "missing", "not installed", findings.INSTALL),
        ({"errors__torch": "OSError: libcudart.so"}, "torch", "missing", "libcudart.so", findings.INSTALL),
        ({"versions__torchvision": None}, "torch", "missing", "torchvision is not", findings.INSTALL),
        (
            {"torchvision_needs": ["torch (==2.12.0)"]},
            *("torch", "missing", "was built for torch 2.12.0, but torch is 2.13.0", "in one command"),
        ),
        ({"errors__torchvision": "RuntimeError: nms"}, "torch", "missing", "does not fit", "in one command"),
        ({"torch__torchvision_operators": False}, "torch", "warning", "compiled operators", "superanimal and models"),
        ({"torch": PAIRED}, "torch", "ok", "only superanimal and models that detect animals first (top-down)", ""),
        ({"opencv": {}}, "OpenCV", "missing", "not installed", findings.INSTALL),
        ({"errors__cv2": "ImportError: libGL.so.1"}, "OpenCV", "missing", "libGL.so.1", findings.INSTALL),
        (
            {"opencv": {"opencv-python": "4.10.0", "opencv-python-headless": "4.12.0"}},
            *("OpenCV", "warning", "overwrite each other", "pip uninstall opencv-python opencv-python-headless"),
        ),
        ({"opencv": {"opencv-python-headless": "5.0.0"}}, "OpenCV", "warning", "OpenCV 5", "opencv-python-headless<5"),
    ],
)
def test_what_an_engine_s_python_may_lack(
    python_with: Callable[..., Path], changes: dict[str, Any], subject: str, state: str, text: str, advice: str
) -> None:
    (finding,) = found(Settings(engine_python=str(python_with(**changes))), subject)
    assert finding.state == state
    assert text in finding.text
    assert advice in finding.advice
    assert bool(finding.advice) == (state != "ok")


@pytest.mark.parametrize("paired", [True, False])
def test_what_fails_without_torchvision_s_operators_is_named_where_it_is_set_up(
    python_with: Callable[..., Path], tmp_path: Path, paired: bool
) -> None:
    python = str(python_with(torch={**PAIRED, "torchvision_paired": paired}))
    shutil.copytree(demo.MODEL.parent, tmp_path / "rats")
    (network,) = (tmp_path / "rats").rglob("pytorch_config.yaml")
    network.write_text(network.read_text().replace("method: bu", "method: td"))
    models = {"mouse": str(demo.MODEL)}
    for settings, named in (
        (Settings(engine_python=python, superanimal_dir=str(tmp_path), models=models), "superanimal. "),
        (
            Settings(engine_python=python, models={**models, "rats": str(tmp_path / "rats")}),
            "the top-down model rats. ",
        ),
        (Settings(engine_python=python, models_dir=str(tmp_path)), "the top-down model rats. "),
    ):
        (finding,) = found(settings, "torch")
        assert finding.state == "warning"
        assert f"These fail without them: {named}" in finding.advice
        assert "pip install" in finding.advice
    (finding,) = found(Settings(engine_python=python, models=models), "torch")
    assert finding.state == ("ok" if paired else "warning")


GPUS = "echo '0, GPU-aaaa-1, NVIDIA T4, 15360'"


@pytest.mark.parametrize(
    ("device", "driver", "cuda", "state", "text", "advice"),
    [
        ("auto", None, None, "warning", "none is found: analyses run on the processor", "Nothing is wrong"),
        ("cpu", None, None, "warning", "none is found", "Nothing is wrong"),
        ("cuda:0", None, "13.0", "missing", "none is found, but device is cuda:0", "auto or cpu"),
        ("auto", "exit 9", "13.0", "warning", "none is found", "Nothing is wrong"),
        ("auto", GPUS, "13.0", "warning", "NVIDIA T4, but torch cannot use it", "driver"),
        ("cuda", GPUS, "13.0", "missing", "NVIDIA T4, but torch cannot use it", "driver"),
        ("auto", GPUS, None, "warning", "this torch computes on the processor only", "pytorch.org"),
        ("cuda", GPUS, None, "missing", "this torch computes on the processor only", "pytorch.org"),
    ],
)
def test_the_gpu(
    python_with: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    driver: str | None,
    cuda: str | None,
    state: str,
    text: str,
    advice: str,
) -> None:
    """No GPU that torch can use; the driver's own program knows of one, or of none, or is not there."""
    cat = program(tmp_path / "bin" / "cat", 'exec /bin/cat "$@"')
    if driver is not None:
        program(cat.with_name("nvidia-smi"), driver)
    monkeypatch.setenv("PATH", str(cat.parent))
    python = python_with(torch={"cuda_build": cuda, "gpus": [], "torchvision_operators": True})
    (finding,) = found(Settings(engine_python=str(python), device=device), "GPU")
    assert finding.state == state
    assert text in finding.text
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "No such file or directory"),
        ("exit 3", "it ended with status 3"),
        ("echo hello", "it ended with status 0"),
        ("echo 'ld.so: cannot open libpython' >&2; exit 127", "ld.so: cannot open libpython"),
        ("exec sleep 60", "it did not answer within 0.2 s"),
    ],
    ids=["not there", "dumb", "no python", "broken", "hangs"],
)
def test_a_python_that_does_not_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, why: str
) -> None:
    python = tmp_path / "bin" / "python"
    if script is not None:
        program(python, script)
    if "sleep" in (script or ""):
        monkeypatch.setattr(findings, "PROBE_SECONDS", 0.2)
    (finding,) = findings.engine(Settings(engine_python=str(python)))
    assert (finding.subject, finding.state) == ("DeepLabCut", "missing")
    assert str(python) in finding.text
    assert why in finding.text
    assert "engine_python" in finding.advice


def test_an_environment_without_deeplabcut(tmp_path: Path, command: Any) -> None:
    """A real one, and really empty."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    ended = command("check", "--json", f"--DLCApp.engine_python={python}", "--data-dir", tmp_path / "data")
    assert ended.status == 1
    lacking = {each["subject"]: each for each in json.loads(ended.out)["findings"] if each["state"] == "missing"}
    assert lacking["DeepLabCut"]["text"] == f"not installed in {python}"
    assert findings.INSTALL in lacking["DeepLabCut"]["advice"]
    assert {"torch", "OpenCV", "av", "pydantic"} <= set(lacking)


@pytest.mark.deeplabcut
def test_this_machine(command: Any, tmp_path: Path) -> None:
    """The probe in the Python that runs the tests, which has everything but perhaps a GPU."""
    ended = command("check", "--json", "--data-dir", tmp_path / "data", "--DLCApp.min_free_bytes=0")
    said = json.loads(ended.out)
    states = {finding["subject"]: finding["state"] for finding in said["findings"]}
    assert (ended.status, said["usable"]) == (0, True)
    assert list(states) == [
        *("Server", "Extension", "DeepLabCut", "torch", "OpenCV", "GPU"),
        *("ffmpeg", "Data folder", "Disk", "Worker", "Models"),
    ]
    assert all(states[subject] == "ok" for subject in ("Server", "DeepLabCut", "OpenCV", "ffmpeg", "Disk", "Worker"))
    assert not (tmp_path / "data").exists()  # to look changes nothing


# -- the rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "state", "text"),
    [(True, "ok", "load it"), (False, "warning", "switched off"), (None, "warning", "not enabled")],
)
def test_whether_jupyter_loads_the_extension(config_dir: Path, written: bool | None, state: str, text: str) -> None:
    if written is not None:
        folder = config_dir / "jupyter_server_config.d"
        folder.mkdir()
        enabled = {"ServerApp": {"jpserver_extensions": {"dlc_jupyter": written}}}
        (folder / "dlc_jupyter.json").write_text(json.dumps(enabled))
    finding = findings.extension()
    assert (finding.subject, finding.state) == ("Extension", state)
    assert text in finding.text
    assert written or "jupyter server extension enable dlc_jupyter" in finding.advice


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found; it is empty."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("installed", "text"), [(None, "not found: poses can be had"), ("V..... mpeg4", "cannot write H.264")]
)
def test_without_ffmpeg_analyses_run_but_for_labelled_videos(
    nothing_installed: Path, tmp_path: Path, installed: str | None, text: str
) -> None:
    if installed:
        program(nothing_installed / "ffmpeg", f"echo ' {installed}'")
    python = program(tmp_path / "python", "echo 'No module named imageio_ffmpeg' >&2; exit 1")
    finding = findings.ffmpeg(Settings(engine_python=str(python)))
    assert finding.state == "warning"
    assert text in finding.text
    assert "labelled videos cannot be made" in finding.text
    assert "apt-get install ffmpeg" in finding.advice


@pytest.mark.parametrize("python", ["does not work", "is not there"])
def test_without_ffmpeg_and_without_an_engine(nothing_installed: Path, tmp_path: Path, python: str) -> None:
    path = program(tmp_path / "python", "exit 9") if python == "does not work" else tmp_path / "nothing"
    assert findings.ffmpeg(Settings(engine_python=str(path))).state == "warning"


@pytest.mark.deeplabcut
def test_the_ffmpeg_that_comes_with_deeplabcut_will_do(nothing_installed: Path) -> None:
    finding = findings.ffmpeg(Settings(engine_python=sys.executable))
    assert finding.state == "ok"
    assert finding.text.endswith("with libx264, the one that came with DeepLabCut")


def test_ffmpeg_that_is_there() -> None:
    finding = findings.ffmpeg(Settings())
    assert finding.state == "ok"
    assert finding.text.endswith("with libx264")


def test_models_that_can_be_used_and_that_cannot(tmp_path: Path) -> None:
    (none,) = findings.models(Settings())
    assert (none.subject, none.state) == ("Models", "warning")
    gone, mouse = findings.models(Settings(models={"mouse": str(demo.MODEL), "gone": str(tmp_path / "config.yaml")}))
    assert (mouse.state, mouse.text) == ("ok", "mouse: 2D, 7 body parts, 1 snapshot")
    assert gone.state == "warning"
    assert "gone cannot be used" in gone.text
    assert gone.advice


# -- as it is printed --------------------------------------------------------------------------------------------------


def test_what_is_not_well_is_followed_by_what_to_do(
    command: Any, python_with: Callable[..., Path], tmp_path: Path
) -> None:
    options = ("--data-dir", tmp_path / "data", "--DLCApp.min_free_bytes=0")
    ended = command("check", *options, f"--DLCApp.engine_python={python_with()}")
    assert ended.status == 0
    assert "✓ DeepLabCut   3.0.2, Python 3.12.1" in ended.out
    assert "! Models       none is registered\n               Register your DeepLabCut projects" in ended.out
    assert ended.out.endswith("\nAnalyses can run. 2 things are limited, see above.\n")

    ended = command("check", *options, f"--DLCApp.engine_python={python_with(versions__deeplabcut=None)}")
    assert ended.status == 1
    assert "✗ DeepLabCut   not installed in" in ended.out
    assert f"\n               Run there: {findings.INSTALL}\n" in ended.out
    assert ended.out.endswith("\nOne thing is missing: analyses cannot run before that is mended.\n")
    assert "\x1b" not in ended.out  # no colours where it is no terminal


def test_programs_get_the_same_as_json(command: Any, python_with: Callable[..., Path], tmp_path: Path) -> None:
    ended = command("check", "--json", "--data-dir", tmp_path, f"--DLCApp.engine_python={python_with(opencv={})}")
    said = json.loads(ended.out)
    assert (ended.status, said["usable"]) == (1, False)
    (opencv,) = [finding for finding in said["findings"] if finding["subject"] == "OpenCV"]
    assert opencv == {
        "subject": "OpenCV",
        "state": "missing",
        "text": "not installed",
        "advice": f"Run: {findings.INSTALL}",
    }


class Screen(io.StringIO):
    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("encoding", "terminal", "no_colour", "mark"),
    [
        ("utf-8", True, False, "\x1b[31m✗\x1b[0m"),
        ("utf-8", True, True, "✗"),
        ("utf-8", False, False, "✗"),
        ("ascii", False, False, "x"),
        ("ascii", True, False, "\x1b[31mx\x1b[0m"),
    ],
)
def test_marks_and_colours_are_those_that_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, encoding: str, terminal: bool, no_colour: bool, mark: str
) -> None:
    monkeypatch.setattr(sys, "stdout", Screen(encoding, terminal))
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    assert check.line(findings.missing("GPU", "none", "")) == f"{mark} GPU          none"
