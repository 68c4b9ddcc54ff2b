"""The files of a DeepLabCut project, read without DeepLabCut: where they lie, and what its config.yaml says."""

from __future__ import annotations

import contextlib
import math
import ntpath
import pickletools
import posixpath
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

CONFIG = "config.yaml"
PYTORCH_MODELS = "dlc-models-pytorch"
TENSORFLOW_MODELS = "dlc-models"
CAMERA_MATRIX = "camera_matrix"
CALIBRATION = "calibration.toml"
STEREO = "stereo_params.pickle"

#: The unit of a scene that is measured in sides of the board's squares, as DeepLabCut's own always are.
SQUARES = "squares"
_LONGEST_UNIT = 20

#: Larger files are not looked into by a server.
_MOST_BYTES = 1_000_000


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads as DeepLabCut does: only true and false are truth values; a body part may be called ``no``.

    The parser in C reads a configuration with ten thousand videos in a tenth of the time.
    """


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class Unreadable(Exception):
    """A file of a project cannot be used; the message is a sentence without a path."""


def expanded(path: str) -> Path:
    """Return a path with the user's folder in the place of ``~``; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def config_of(path: Path) -> Path:
    """Return the config.yaml that is meant by its own path, or by that of the project's folder."""
    try:
        return path / CONFIG if path.is_dir() else path
    except (OSError, ValueError):  # whoever reads it will say what is wrong
        return path


def project_named(named: str, before: Any, now: Path) -> Path:
    """Return the config.yaml of a project that another one names in its own.

    Parameters
    ----------
    named : str
        A path, from the other project's folder on where it is not a whole one.
    before : str
        That folder when the path was written (``project_path``), if that is known; of Windows too.
    now : Path
        That folder now. If nothing lies at the path, both may have been moved together.
    """
    path = config_of(now / expanded(named))
    if _is_there(path) or not isinstance(before, str):
        return path
    paths = ntpath if ntpath.splitdrive(before)[0] else posixpath
    if not (paths.isabs(named) and paths.isabs(before)):
        return path
    try:
        moved = config_of(now / paths.relpath(named, before).replace(paths.sep, "/"))
    except ValueError:  # on another drive
        return path
    return moved if _is_there(moved) else path


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def is_top_down(config: Path, shuffle: int | None = None) -> bool:
    """Return whether networks of a project look for the animals first: those of a shuffle, or any of them."""
    name = "*" if shuffle is None else f"*shuffle{shuffle}"
    for path in config.parent.glob(f"{PYTORCH_MODELS}/iteration-*/{name}/train/pytorch_config.yaml"):
        with contextlib.suppress(Unreadable):
            if read_yaml(path).get("method") == "td":
                return True
    return False


def folders_of(config: Path) -> list[Path]:
    """Return the folders in which a project lies: its own, and where the links of a private copy lead to."""
    links = [path.readlink() for path in listed(config.parent) if path.is_symlink()]
    return [config.parent, *{link.parent for link in links}]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the values of a YAML file; it is parsed again only when its size or time has changed.

    Raises
    ------
    Unreadable
        It is not there, cannot be read, or is not what it should be.
    """
    try:
        stat = path.stat()
        return _parse_yaml(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise Unreadable(f"its {path.name} is not there any more, or was never where the server was told.") from None
    except OSError as error:
        raise Unreadable(f"its {path.name[:100]} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise Unreadable("its config.yaml is not there: a character in its path is not allowed.") from None


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of a project's config.yaml, of which those that are used here are what they should be.

    Raises
    ------
    Unreadable
        As for `read_yaml`, or a value is of the wrong kind; the message names it.
    """
    values = read_yaml(path)
    for key, (is_right, should_be) in _TYPES.items():
        if values.get(key) is not None and not is_right(values[key]):
            raise Unreadable(f"{key} in its config.yaml should be {should_be}. Correct it in a text editor.")
    return values


def pickled_texts(path: Path) -> list[str]:
    """Return the texts in a pickle, in order, without carrying out what it says; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            return []
        return [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)]
    except Exception:  # instructions that there are none of; whoever opens it says what is wrong
        return []


def stereo_unit(said: object) -> str:
    """Return the unit of a `STEREO` that has this as its ``unit``.

    DeepLabCut writes none, and this package "" for an unknown one. What could not be written into other files is none.
    """
    ours = isinstance(said, str) and len(said) <= _LONGEST_UNIT and said.isprintable()
    return str(said) if ours else SQUARES


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_list_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


#: What the values of a config.yaml must be, where they are there at all.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "TrainingFraction": (_is_list_of(_is_number), "a list of numbers, such as [0.95]"),
    "iteration": (lambda value: isinstance(value, int), "a whole number"),
    "camera_names": (_is_list_of(lambda name: isinstance(name, str | int)), "a list of names, such as [left, right]"),
    **dict.fromkeys(("x1", "x2", "y1", "y2"), (_is_number, "a number of pixels")),
}


@lru_cache(maxsize=256)
def _parse_yaml(path: Path, _mtime: int, _size: int) -> dict[str, Any]:
    text = path.read_bytes()
    try:
        values = yaml.load(text.decode(), Loader=_Loader)
    except Exception as error:  # a wrong tag makes the parser raise almost anything
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise Unreadable(f"its {path.name} is not valid YAML{where}. Correct it in a text editor.") from None
    if not isinstance(values, dict):
        raise Unreadable(f"its {path.name} is empty, or not a list of names and values.")
    return values
