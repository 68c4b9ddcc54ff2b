"""The options that every subcommand takes: the same ones, from the same files, as the server's."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import (
    ConfigFileNotFound,
    JSONFileConfigLoader,
    KVArgParseConfigLoader,
    PyFileConfigLoader,
)

from dlc_jupyter.settings import Settings, read_settings

PREFIX = "--DLCApp."


class CommandError(Exception):
    """A command cannot do what it was asked for; the message says what to do."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a subcommand take the server's options."""
    group = parser.add_argument_group("configuration")
    group.add_argument("--data-dir", metavar="FOLDER", help="the data folder, instead of the configured one")
    group.add_argument("--config", metavar="FILE", type=Path, help="a further configuration file (.py or .json)")
    group.add_argument(
        "--DLCApp.OPTION",
        dest="_shown_only",
        metavar="VALUE",
        help="any option of docs/configuration.md, as for the server: --DLCApp.device=cpu",
    )


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the ``--DLCApp.…`` options, with their values, from the other arguments."""
    overrides: list[str] = []
    others: list[str] = []
    waiting = False  # the value of `--DLCApp.device cpu` is an argument of its own
    for argument in arguments:
        if argument.startswith(PREFIX):
            overrides.append(argument)
            waiting = "=" not in argument
        elif waiting and not argument.startswith("-"):
            overrides[-1] += f"={argument}"
            waiting = False
        else:
            others.append(argument)
    return overrides, others


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Read the configuration files, then the command line's options.

    Raises
    ------
    CommandError
        An option is not known or has a value it cannot have, or a file cannot be read.
    """
    try:
        return read_settings(_overrides(arguments))
    except CommandError:
        raise
    except TraitError as error:
        raise CommandError(f"An option has a value that it cannot have: {error}") from error
    except Exception as error:  # a configuration file is a program: anything may come out of it
        raise CommandError(f"A configuration file cannot be read: {type(error).__name__}: {error}") from error


def _overrides(arguments: argparse.Namespace) -> Config:
    config = Config()
    if arguments.config:
        config.merge(_file(arguments.config))
    for override in arguments.overrides:
        if "=" not in override:
            raise CommandError(f"{override} needs a value: {override}=…")
    given = KVArgParseConfigLoader(argv=arguments.overrides).load_config()
    for name in given.get("DLCApp", {}):
        _known(name)
    config.merge(given)
    if arguments.data_dir:
        config.DLCApp.data_dir = str(Path(arguments.data_dir).absolute())
    return config


def _file(path: Path) -> Config:
    loader = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    try:
        return loader(path.name, path=str(path.absolute().parent)).load_config()
    except ConfigFileNotFound:
        raise CommandError(f"There is no configuration file {path}.") from None


def _known(name: str) -> None:
    options = Settings.option_names()
    if name in options:
        return
    near = difflib.get_close_matches(name, options, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise CommandError(f"There is no option {name}.{meant} docs/configuration.md lists them all.")
