"""The options: where they are read from, who wins, how they travel, and the page that documents them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from dlc_jupyter.commands.options import add_options, settings_of, split_overrides
from dlc_jupyter.handlers.base import SERVICES
from dlc_jupyter.settings import ConfigFileError, Settings, read_config, read_settings

ROOT = Path(__file__).parent.parent


# -- read as the server reads them -------------------------------------------------------------------------------------


@pytest.fixture
def written(jp_environ: Any, jp_config_dir: Path) -> Callable[..., Path]:
    """Write options into a configuration file, of Jupyter's own folder where no other is named."""

    def write(name: str, folder: Path = jp_config_dir, **options: Any) -> Path:
        path = folder / name
        if path.suffix == ".json":
            path.write_text(json.dumps({"DLCApp": options}))
        else:
            path.write_text("".join(f"c.DLCApp.{option} = {value!r}\n" for option, value in options.items()))
        return path

    return write


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """A server that knows its options from files and its command line only."""
    return {"ServerApp": {"jpserver_extensions": {"dlc_jupyter": True}, "reraise_server_extension_failures": True}}


def of_command_line(*arguments: str) -> Settings:
    """The options as a subcommand of ``dlc-jupyter`` reads them."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    overrides, others = split_overrides(arguments)
    given = parser.parse_args(others)
    given.overrides = overrides
    return settings_of(given)


@pytest.mark.parametrize("on_the_command_line", [[], ["--DLCApp.threads=7", "--DLCApp.models=arm=/arm"]])
@pytest.mark.parametrize("named", [None, "lab.py", "lab.json"])
def test_the_server_and_the_command_line_read_the_same_options(
    written: Callable[..., Path],
    jp_system_config_path: Path,
    jp_configurable_serverapp: Any,
    tmp_path: Path,
    named: str | None,
    on_the_command_line: list[str],
) -> None:
    """Every file, in every folder, sets one option of its own and some that others set too: who wins?"""
    data = {"data_dir": str(tmp_path / "dlc"), "start_worker": False}
    written("jupyter_server_config.py", jp_system_config_path, lease_seconds=20, threads=1, max_attempts=1)
    written("jupyter_dlc_config.py", cleanup_hours=2, threads=2, max_attempts=2, max_upload_bytes=2, **data)
    written("jupyter_config.json", evict_unused_hours=3, threads=3, max_attempts=3, max_upload_bytes=3)
    written("jupyter_server_config.py", threads=4, max_attempts=4, models={"leg": "/leg"}, expire_files_days=4)
    written("jupyter_server_config.json", threads=5, device="cpu")
    arguments = [*on_the_command_line]
    if named:
        arguments += [f"--config={written(named, tmp_path, threads=6, database_url='')}"]
    app = jp_configurable_serverapp(argv=arguments)
    served: Settings = app.web_app.settings[SERVICES].settings
    assert json.loads(served.to_json()) == json.loads(of_command_line(*arguments).to_json())
    assert (served.cleanup_hours, served.evict_unused_hours) == (2, 3)  # the files were read at all
    assert served.threads == (7 if on_the_command_line else 6 if named else 5)


def test_without_any_file_everything_has_its_default(jp_environ: Any, jp_data_dir: Path) -> None:
    settings = read_settings(read_config())
    assert settings.root == jp_data_dir / "dlc"
    assert settings.engine_python == sys.executable
    assert json.loads(settings.to_json()) == json.loads(Settings().to_json())


def test_options_of_jupyter_itself_are_left_to_it(
    written: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    written("jupyter_server_config.py", open_browser=True, threads=2)
    assert of_command_line().threads == 2
    assert capfd.readouterr().err == ""


def test_a_file_that_cannot_be_read_is_named(written: Callable[..., Path]) -> None:
    path = written("jupyter_config.py")
    path.write_text("c.DLCApp.threads = 1 / 0")
    with pytest.raises(ConfigFileError, match=rf"^{path} cannot be read: ZeroDivisionError: division by zero$"):
        read_config()


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices(device: str) -> None:
    assert Settings(device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:one", "CPU", "mps"])
def test_a_device_that_is_none_is_refused_naming_those_there_are(device: str) -> None:
    with pytest.raises(TraitError, match=r"must be auto, cpu, cuda or cuda:<number>"):
        Settings(device=device)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_upload_bytes", 0),
        ("min_free_bytes", -1),
        ("store_quota_bytes", -1),
        ("expire_files_days", -0.5),
        ("max_attempts", 0),
        ("lease_seconds", 0.5),
        ("threads", "many"),
        ("models", ["mouse"]),
        ("models", {"mouse": 3}),
        ("start_worker", "perhaps"),
        ("data_dir", None),
        ("data_dir", " "),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused(option: str, value: Any) -> None:
    with pytest.raises(TraitError, match=option):
        read_settings(Config({"DLCApp": {option: value}}))


def test_the_data_folder_may_be_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Settings(data_dir="~/dlc").root == Settings(data_dir="dlc").root == tmp_path / "dlc"


# -- handed on ---------------------------------------------------------------------------------------------------------

#: A value for every option that is not its default.
OTHERS: dict[str, Any] = {
    "data_dir": "/data/dlc",
    "models": {"mouse": "/mouse/config.yaml", "Maus ü": "/m"},
    "models_dir": "/models",
    "superanimal_dir": "/data/zoo",
    "max_upload_bytes": 1,
    "min_free_bytes": 0,
    "store_quota_bytes": 5,
    "expire_files_days": 0.5,
    "expire_uploads_hours": 1.5,
    "expire_analyses_days": 0.0,
    "evict_unused_hours": 1.0,
    "cleanup_hours": 0.0,
    "start_worker": False,
    "engine_python": "/env/bin/python",
    "engine_idle_minutes": 5.0,
    "device": "cuda:1",
    "device_lock_dir": "/locks",
    "threads": 2,
    "max_attempts": 1,
    "lease_seconds": 1.0,
    "database_url": "sqlite:////x.db",
}


def test_every_option_survives_the_way_to_another_process() -> None:
    assert list(OTHERS) == Settings.option_names()  # a new option needs its value above
    settings = Settings(**OTHERS)
    there = Settings.from_json(settings.to_json())
    assert {name: getattr(there, name) for name in OTHERS} == OTHERS
    assert "\n" not in settings.to_json()  # the worker reads it as one line


def test_a_frozen_copy_has_every_option_and_does_not_follow_the_original() -> None:
    settings = Settings(**OTHERS)
    frozen = settings.frozen()
    assert type(frozen) is Settings
    assert frozen.to_json() == settings.to_json()
    settings.threads = 99
    assert frozen.threads == OTHERS["threads"]


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_configuration_page_is_what_the_options_say() -> None:
    tool = [sys.executable, ROOT / "tools" / "write_configuration_page.py", "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_option_is_on_the_configuration_page_with_its_help() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for name in Settings.option_names():
        row = f"| [`{name}`](#{name}) |"
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert row in page
        assert Settings.class_traits()[name].help in section
        assert "Default: " in section


def test_every_configurable_trait_is_an_option() -> None:
    assert set(Settings.option_names()) == set(Settings.class_trait_names(config=True))
