"""Whether the engine can run models: told before the first one is asked for, with what to install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import dlc_jupyter
from dlc_jupyter.jobs import bootstrap
from dlc_jupyter.jobs.engine import BESIDES

PACKAGE = Path(dlc_jupyter.__file__).parent
ROOT = PACKAGE.parent


def ready(folder: Path, **modules: str) -> dict[str, Any]:
    """What an engine says when it is ready, in a Python whose modules of these names hold these texts."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    code = Path(bootstrap.__file__).read_text()
    command = [sys.executable, "-c", code, str(PACKAGE), "--preload", "deeplabcut"]
    environment = {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return dict(json.loads(done.stdout))


ABSENT = "raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')"


@pytest.mark.parametrize(("absent", "install"), [("av", "'av>=18,<19'"), ("deeplabcut", "'dlc-jupyter[deeplabcut]'")])
def test_what_is_absent_is_named_with_what_to_install(tmp_path: Path, absent: str, install: str) -> None:
    modules = {"deeplabcut": "", "av": "", absent: ABSENT.format(absent)}
    problem = ready(tmp_path, **modules)["problem"]
    assert problem.startswith(f"{absent} cannot be imported in the engine's Python")
    assert f"No module named '{absent}'" in problem
    assert f"Install it there with pip install {install}" in problem


def test_where_all_is_there_nothing_is_said(tmp_path: Path) -> None:
    assert ready(tmp_path, deeplabcut="", av="")["problem"] is None


def test_what_is_advised_is_what_the_package_asks_for() -> None:
    """In the README too, for an environment that has DeepLabCut but not this package's extra."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["deeplabcut"]
    [advised] = re.findall(r"what DeepLabCut does not bring: `pip install (.*)`", (ROOT / "README.md").read_text())
    in_readme = re.findall(r"'([^']+)'", advised)
    assert set(BESIDES.values()) <= set(in_readme) <= set(extra)
