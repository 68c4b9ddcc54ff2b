"""The options of the command line: taken from anywhere on it, checked, and explained where they are wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter import __version__
from dlc_jupyter.cli import COMMANDS
from dlc_jupyter.commands.options import add_options, settings_of, split_overrides
from dlc_jupyter.settings import Settings


def settings(*arguments: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_options(parser)
    overrides, others = split_overrides(arguments)
    given = parser.parse_args(others)
    given.overrides = overrides
    return settings_of(given)


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        (["--DLCApp.device=cpu"], "device", "cpu"),
        (["--DLCApp.device", "cpu"], "device", "cpu"),
        (["--DLCApp.threads=3"], "threads", 3),
        (["--DLCApp.start_worker=False"], "start_worker", False),
        (["--DLCApp.expire_files_days=0.5"], "expire_files_days", 0.5),
        (["--DLCApp.models=a=/a", "--DLCApp.models=b c=/b=c"], "models", {"a": "/a", "b c": "/b=c"}),
        (["--DLCApp.database_url=postgresql://u@h/d?x=1"], "database_url", "postgresql://u@h/d?x=1"),
        (["--DLCApp.data_dir=/data", "--data-dir", "/other"], "data_dir", "/other"),
    ],
)
def test_options_as_the_server_takes_them(arguments: list[str], option: str, value: Any) -> None:
    assert getattr(settings(*arguments), option) == value


def test_the_command_line_wins_over_the_files(config_dir: Path, tmp_path: Path) -> None:
    (config_dir / "jupyter_server_config.py").write_text("c.DLCApp.threads = 1\nc.DLCApp.max_attempts = 1\n")
    assert settings("--DLCApp.threads=2").threads == 2
    assert settings("--DLCApp.threads=2").max_attempts == 1
    other = tmp_path / "other.py"
    other.write_text("c.DLCApp.threads = 3\n")
    assert settings(f"--config={other}").threads == 3
    assert settings(f"--config={other}").max_attempts == Settings().max_attempts  # it is read instead


def test_a_folder_is_taken_from_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings("--data-dir", "here").root == tmp_path / "here"


@pytest.mark.parametrize("before", [True, False])
def test_options_may_stand_before_the_subcommand_or_behind(command: Any, before: bool) -> None:
    option = "--DLCApp.models=gone=/nowhere/config.yaml"
    ended = command(option, "models") if before else command("models", option)
    assert ended.status == 1
    assert "gone" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--DLCApp.devise=cpu"], "There is no option devise. Did you mean device?"),
        (["--DLCApp.qqq=1"], "There is no option qqq. jupyter dlc --help-all lists them all."),
        (["--DLCApp.device"], "--DLCApp.device needs a value: --DLCApp.device=…"),
        (["--DLCApp.device", "--json"], "--DLCApp.device needs a value"),
        (["--DLCApp.device=tpu"], "device must be auto, cpu, cuda or cuda:<number>, not 'tpu'"),
        (["--DLCApp.threads=1", "--DLCApp.threads=3"], "threads only accepts one value, got 2"),
        (["--DLCApp.models=/config.yaml"], "models"),
        (["--DLCApp.threads=x"], "threads expected an int, not the str 'x'"),
        (["--DLCApp.max_attempts=0"], "The value of max_attempts should not be less than 1, but a value of 0"),
        (["--config=/nowhere/lab.py"], "There is no configuration file /nowhere/lab.py."),
    ],
)
def test_a_wrong_option_is_explained_in_one_line(command: Any, arguments: list[str], said: str) -> None:
    ended = command("models", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("dlc-jupyter models: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jupyter_config.py", "c.DLCApp.threads = (", "SyntaxError"),
        ("jupyter_server_config.py", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("jupyter_server_config.json", "{", "JSONDecodeError"),
        ("jupyter_dlc_config.py", "c.DLCApp.threads = 'x'", "threads expected an int"),
    ],
)
def test_a_broken_configuration_file_is_explained_in_one_line(
    command: Any, config_dir: Path, name: str, text: str, said: str
) -> None:
    (config_dir / name).write_text(text)
    ended = command("models")
    assert ended.status == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert said == "threads expected an int" or str(config_dir / name) in ended.err


def test_a_misspelt_option_in_a_file_is_pointed_out(command: Any, config_dir: Path) -> None:
    (config_dir / "jupyter_server_config.py").write_text("c.DLCApp.model_dir = '/models'\n")
    ended = command("models")
    assert ended.status == 0
    assert ended.err == "A configuration file sets model_dir, which is no option. Did you mean models_dir?\n"


# -- the whole command line --------------------------------------------------------------------------------------------


def test_without_a_command_it_says_which_there_are(command: Any) -> None:
    ended = command()
    assert ended.status == 2
    assert all(f"\n    {name} " in ended.err for name in COMMANDS)


def test_an_unknown_command_is_refused_naming_those_there_are(command: Any) -> None:
    ended = command("frobnicate")
    assert ended.status == 2
    assert all(name in ended.err for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command: Any, name: str) -> None:
    ended = command(name, "--help")
    assert ended.status == 0
    assert "--DLCApp.OPTION" in ended.out
    summary, _, more = ended.out.partition("\n\n")[2].partition("\n\n")
    assert summary.endswith(".")
    assert more


def test_the_version(command: Any) -> None:
    assert command("--version").out == f"dlc-jupyter {__version__}\n"
