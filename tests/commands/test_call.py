"""`jupyter dlc` ends where an option or a configuration file is named that is not there, and says which was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dlc_jupyter.app import APIServer, DLCApp
from dlc_jupyter.commands.call import complaint


def said(*arguments: str) -> str:
    return complaint(arguments, [APIServer(), DLCApp()])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--DLCApp.devise=cpu"], "There is no option --DLCApp.devise. Did you mean --DLCApp.device? "),
        (["--port=1", "--DLCApp.devise", "cpu"], "--DLCApp.devise"),
        (["--DLCapp.device=cpu"], "Did you mean --DLCApp.device? "),
        (["--ServerApp.prot=1"], "Did you mean --ServerApp.port? "),
        (["--prot=1"], "Did you mean --port? "),
        (["--nobrowser"], "Did you mean --no-browser? "),
        (["--zzzz"], "There is no option --zzzz. jupyter dlc --help-all lists them all."),
        (["--config=nowhere.py"], "There is no configuration file nowhere.py."),
        (["--config", "nowhere.py"], "There is no configuration file nowhere.py."),
        (["--ServerApp.config_file=nowhere.py"], "There is no configuration file nowhere.py."),
        (["--config"], "There is no configuration file"),
        (["--config=/"], "There is no configuration file /."),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], what: str) -> None:
    assert what in said(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--allow-root", "--port=0", "--ip", "0.0.0.0", "--no-browser", "--debug", "-y", "--log-level=DEBUG"],
        ["--DLCApp.device", "cpu", "--DLCApp.models", "mouse=/a/config.yaml", "--DLCApp.data_dir=~/dlc"],
        ["--ServerApp.token=abc", "--IdentityProvider.token=abc", "--ServerApp.tornado_settings={}"],
        ["--help", "--help-all", "--version", "--generate-config", "--show-config"],
        ["--TheirProvider.realm=lab"],  # of a class that a configuration may bring
        ["--", "--anything"],
    ],
)
def test_what_jupyter_knows_is_let_through(arguments: list[str]) -> None:
    assert said(*arguments) == ""


def test_a_configuration_file_is_found_as_jupyter_finds_it(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text("c.DLCApp.device = 'cpu'\n")
    for name in ("lab.py", "lab", "lab.json"):
        assert said(f"--config={tmp_path / name}") == ""
    assert said(f"--config={tmp_path / 'other.py'}") != ""


def test_the_server_does_not_start_without_its_configuration(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlc_jupyter.app", "--config=nowhere.py", f"--DLCApp.data_dir={tmp_path / 'dlc'}"]
    ended = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "jupyter dlc: There is no configuration file nowhere.py.\n"
    assert not (tmp_path / "dlc").exists()
