"""The options that every subcommand takes: the same ones, from the same files, as the server's."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import KVArgParseConfigLoader

from dlc_jupyter.settings import ConfigFileError, Settings, read_config, read_settings

PREFIX = "--DLCApp."
WHERE_LISTED = "jupyter dlc --help-all"


class CommandError(Exception):
    """A command cannot do what it was asked for; the message says what to do."""


def add_options(parser: argparse.ArgumentParser, *, data_dir: bool = True) -> None:
    """Let a subcommand take the server's options; `data_dir` False: it has a data folder of its own."""
    group = parser.add_argument_group("configuration")
    if data_dir:
        group.add_argument("--data-dir", metavar="FOLDER", help="the data folder, instead of the configured one")
    else:
        parser.set_defaults(data_dir=None)
    group.add_argument(
        "--config", metavar="FILE", type=Path, help="a configuration file, instead of jupyter_server_config"
    )
    group.add_argument(
        "--DLCApp.OPTION",
        dest="_shown_only",
        metavar="VALUE",
        help=f"any option of the server, such as --DLCApp.device=cpu ({WHERE_LISTED} lists them)",
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
    overrides = _overrides(arguments)
    if arguments.config and not arguments.config.exists():
        raise CommandError(f"There is no configuration file {arguments.config}.")
    try:
        config = read_config(arguments.config)
        for name in config.get("DLCApp", {}):
            if meant := _near(name):  # others may be Jupyter's own, such as open_browser
                print(f"A configuration file sets {name}, which is no option. Did you mean {meant}?", file=sys.stderr)
        config.merge(overrides)
        return read_settings(config)
    except ConfigFileError as error:
        raise CommandError(str(error)) from error
    except (TraitError, ValueError) as error:
        raise CommandError(f"An option has a value that it cannot have: {_plain(error)}") from error


def _overrides(arguments: argparse.Namespace) -> Config:
    for override in arguments.overrides:
        if "=" not in override:
            raise CommandError(f"{override} needs a value: {override}=…")
    config: Config = KVArgParseConfigLoader(argv=arguments.overrides).load_config()
    for name in config.get("DLCApp", {}):
        if name not in Settings.option_names():
            meant = f" Did you mean {_near(name)}?" if _near(name) else ""
            raise CommandError(f"There is no option {name}.{meant} {WHERE_LISTED} lists them all.")
    if arguments.data_dir:
        config.DLCApp.data_dir = str(Path(arguments.data_dir).absolute())
    return config


def _near(name: str) -> str:
    """Return the option that a name which is none was perhaps meant to be, or nothing."""
    options = Settings.option_names()
    return "" if name in options else next(iter(difflib.get_close_matches(name, options, n=1)), "")


def _plain(error: Exception) -> str:
    """Return traitlets' message without its words for programmers."""
    return re.sub(r"(?:the )?'(\w+)' trait of an? \w+ instance", r"\1", str(error), flags=re.IGNORECASE)
