"""Whether ``jupyter dlc`` is called with options that there are: Jupyter itself goes on without all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from traitlets.config import Application, Configurable

from dlc_jupyter.commands.options import WHERE_LISTED

#: What traitlets itself knows, besides the flags and aliases of an application.
_ALWAYS = {"help", "help-all", "version"}


def complaint(arguments: Sequence[str], apps: Sequence[Application]) -> str:
    """Say what is wrong with a command line, and what would be right; "" where nothing is.

    Options of a class that none of the applications knows are left alone: a configuration may bring that class.

    Parameters
    ----------
    arguments : sequence of str
        Those behind the command's name.
    apps : sequence of Application
        Those that read them.
    """
    words, sections = _words(apps), _sections(apps)
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == "--":
            break
        if not argument.startswith("--"):
            continue
        name, equals, value = argument[2:].partition("=")
        section, _, option = name.partition(".")
        if option and section in sections:
            option = option.partition(".")[0]
            if option not in sections[section]:
                return _no_such(name, (f"{section}.{near}" for near in get_close_matches(option, sections[section], 1)))
        elif option:
            if meant := get_close_matches(section, sections, 1, cutoff=0.8):
                return _no_such(name, (f"{near}.{option}" for near in meant))
        elif name not in words:
            return _no_such(name, get_close_matches(name, words, 1))
        path = value if equals else following
        if name.rpartition(".")[2] in ("config", "config_file") and not _is_there(path):
            return f"There is no configuration file {path or '(none is named)'}."
    return ""


def _no_such(name: str, near: Iterable[str]) -> str:
    meant = "".join(f" Did you mean --{each}?" for each in near)
    return f"There is no option --{name}.{meant} {WHERE_LISTED} lists them all."


def _is_there(path: str) -> bool:
    """Whether Jupyter finds a configuration file: it puts the two endings in the place of any other."""
    return bool(Path(path).name) and any(Path(path).with_suffix(ending).is_file() for ending in (".py", ".json"))


def _words(apps: Iterable[Application]) -> set[str]:
    """Return what may stand behind ``--`` alone; a flag may have several names."""

    def names() -> Iterator[str]:
        for app in apps:
            for key in (*app.flags, *app.aliases):
                yield from (key,) if isinstance(key, str) else key

    return {*names(), *_ALWAYS}


def _sections(apps: Iterable[Application]) -> dict[str, list[str]]:
    """Return the names of the options of each class, as in ``--Class.option``."""
    classes = {each for app in apps for known in (type(app), *app.classes) for each in known.__mro__}
    return {
        each.__name__: sorted(each.class_trait_names(config=True))
        for each in sorted(classes, key=lambda each: each.__name__)
        if issubclass(each, Configurable)
    }
