"""What can be read of a DeepLabCut project without DeepLabCut: its config.yaml, and which networks were trained."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

log = logging.getLogger(__name__)

Kind = Literal["2d", "3d"]
CONFIG = "config.yaml"
PYTORCH_MODELS = "dlc-models-pytorch"
TENSORFLOW_MODELS = "dlc-models"

_SHUFFLE = re.compile(r"-trainset(\d+)shuffle(\d+)$")
_SNAPSHOT = re.compile(r"^snapshot-(best-)?(\d+)\.pt$")


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


@dataclass(frozen=True)
class Snapshot:
    """A trained network; `index` is its ``snapshot_index``: sorted as DeepLabCut does, the best one last."""

    name: str
    shuffle: int
    trainingsetindex: int
    index: int

    def as_json(self) -> dict[str, Any]:
        """Return it as `GET /model` shows it."""
        return {
            "name": self.name,
            "shuffle": self.shuffle,
            "trainingsetindex": self.trainingsetindex,
            "snapshot_index": self.index,
        }


@dataclass(frozen=True)
class Model:
    """A DeepLabCut project under the name by which users call it.

    Attributes
    ----------
    bodyparts, individuals, cameras : tuple of str
        As in config.yaml; `individuals` is empty for a single animal, `cameras` for a 2D project. A 3D project has the
        body parts of the 2D project of its first camera.
    skeleton : tuple of (str, str)
        Pairs of body parts.
    snapshots : tuple of Snapshot
        The trained networks of the project's current iteration.
    problem : str or None
        Why it cannot be used, in a sentence for the user.
    """

    name: str
    kind: Kind
    config: Path
    task: str = ""
    bodyparts: tuple[str, ...] = ()
    individuals: tuple[str, ...] = ()
    skeleton: tuple[tuple[str, str], ...] = ()
    cameras: tuple[str, ...] = ()
    engine: str = "pytorch"
    net_type: str = ""
    snapshots: tuple[Snapshot, ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as `GET /model` shows it: everything but where it lies."""
        return {
            "name": self.name,
            "kind": self.kind,
            "task": self.task,
            "bodyparts": list(self.bodyparts),
            "individuals": list(self.individuals),
            "skeleton": [list(pair) for pair in self.skeleton],
            "cameras": list(self.cameras),
            "engine": self.engine,
            "net_type": self.net_type,
            "snapshots": [snapshot.as_json() for snapshot in self.snapshots],
            "problem": self.problem,
        }


def lacking_network(model: Model, trainingsetindex: int, shuffle: int) -> str:
    """Say that a model has no trained network for a shuffle, and which there are; "" where it has one."""
    trained = {(each.trainingsetindex, each.shuffle) for each in model.snapshots}
    if (trainingsetindex, shuffle) in trained:
        return ""
    there_are = ", ".join(f"shuffle {number} (trainingsetindex {index})" for index, number in sorted(trained))
    return (
        f"The model has no trained network for shuffle {shuffle} and trainingsetindex {trainingsetindex}. "
        f"There are: {there_are}."
    )


def lacking_snapshot(model: Model, trainingsetindex: int, shuffle: int, index: int) -> str:
    """Say that a network has no snapshot of a ``snapshot_index``, and which there are; "" where it has one."""
    wanted = (trainingsetindex, shuffle)
    names = [each.name for each in model.snapshots if (each.trainingsetindex, each.shuffle) == wanted]
    if -len(names) <= index < len(names):
        return ""
    return f"There is no snapshot {index}. Shuffle {shuffle} has {len(names)}, counted from 0: {', '.join(names)}."


def lacking_bodyparts(model: Model, bodyparts: Sequence[str]) -> str:
    """Say which body parts a model does not have, or that none is named, and which there are; "" where all is well."""
    unknown = sorted(set(bodyparts) - set(model.bodyparts))
    if bodyparts and not unknown:
        return ""
    wrong = f"The model has no body part {', '.join(unknown)}" if unknown else "No body part is to be drawn"
    return f"{wrong}. There are: {', '.join(model.bodyparts)}."


def read_model(name: str, config: Path) -> Model:
    """Read a project. Whatever is wrong with it becomes the model's `problem`; nothing is raised."""
    kind: Kind = "2d"
    try:
        if "camera_names" in read_yaml(config):
            kind = "3d"
        values = read_config(config)
        return _read_3d(name, config, values) if kind == "3d" else _read_2d(name, config, values)
    except Unreadable as error:
        problem = str(error)
    except Exception as error:  # one project that nobody thought of must not hide all others
        log.warning("The model %s cannot be read.", name, exc_info=True)
        problem = f"its project cannot be read ({type(error).__name__}); the server's log says more."
    return Model(name=name, kind=kind, config=config, problem=problem)


def _read_2d(name: str, config: Path, values: Mapping[str, Any]) -> Model:
    several = bool(values.get("multianimalproject"))
    trained = networks(config.parent, values)
    model = Model(
        name=name,
        kind="2d",
        config=config,
        task=str(values.get("Task") or ""),
        bodyparts=_names(
            values, "multianimalbodyparts" if several else "bodyparts", "uniquebodyparts" if several else ""
        ),
        individuals=_names(values, "individuals") if several else (),
        skeleton=_pairs(values.get("skeleton")),
        engine="pytorch" if (config.parent / PYTORCH_MODELS).is_dir() else _other_engine(config.parent, values),
        net_type=_net_type(trained) or str(values.get("default_net_type") or ""),
        snapshots=tuple(snapshot for network in trained for snapshot in network.snapshots()),
    )
    return replace(model, problem=_problem_2d(model))


def _problem_2d(model: Model) -> str | None:
    if not model.task:
        return "its config.yaml has no Task, so it is not the configuration of a DeepLabCut project."
    if model.engine == "tensorflow":
        return (
            "it was trained with DeepLabCut's TensorFlow engine, which this server does not run. "
            "Train a shuffle of the project with the PyTorch engine."
        )
    if not model.bodyparts:
        return "its config.yaml names no body parts."
    if not model.snapshots:
        return (
            "it has no snapshot of a trained network in its current iteration. Train it with "
            "deeplabcut.train_network, or set iteration in its config.yaml to one that was trained."
        )
    return None


def _read_3d(name: str, config: Path, values: Mapping[str, Any]) -> Model:
    cameras = _names(values, "camera_names")
    model = Model(
        name=name,
        kind="3d",
        config=config,
        task=str(values.get("Task") or ""),
        skeleton=_pairs(values.get("skeleton")),
        cameras=cameras,
    )
    parts = [read_model(name, path) for path in camera_configs(values, config).values()]
    if len(cameras) < 2:
        return replace(model, problem="its config.yaml names fewer than two cameras.")
    if not parts or any(f"config_file_{camera}" not in values for camera in cameras):
        return replace(model, problem="its config.yaml does not name a 2D project (config_file_…) for every camera.")
    problem = next((f"its 2D project: {part.problem}" for part in parts if part.problem), None)
    if problem is None and not (config.parent / "camera_matrix" / "stereo_params.pickle").is_file():
        problem = "its cameras have not been calibrated (there is no camera_matrix/stereo_params.pickle)."
    first = parts[0]
    return replace(
        model,
        bodyparts=first.bodyparts,
        individuals=first.individuals,
        engine=first.engine,
        net_type=first.net_type,
        snapshots=first.snapshots,
        problem=problem,
    )


def camera_configs(values: Mapping[str, Any], config: Path) -> dict[tuple[str, ...], Path]:
    """Return the 2D projects of a 3D project, each once, by the keys that name it.

    Raises
    ------
    Unreadable
        One of them is a 3D project, which might name this one again.
    """
    found: dict[Path, list[str]] = {}
    for camera in values.get("camera_names") or ():
        key = f"config_file_{camera}"
        if isinstance(values.get(key), str):
            path = config_of(config.parent / expanded(values[key]))
            if _is_3d(path):
                raise Unreadable(f"its {key} names a 3D project. Name the 2D project of that camera.")
            found.setdefault(path, []).append(key)
    return {tuple(keys): path for path, keys in found.items()}


def _is_3d(config: Path) -> bool:
    try:
        return "camera_names" in read_yaml(config)
    except Unreadable:
        return False


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


@dataclass(frozen=True)
class Network:
    """The folder of one shuffle, ``<Task><date>-trainset<percent>shuffle<number>``."""

    folder: Path
    shuffle: int
    trainingsetindex: int

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots in the order in which DeepLabCut counts them."""
        matches = [match for path in listed(self.folder / "train") if (match := _SNAPSHOT.match(path.name))]
        matches.sort(key=lambda match: (bool(match[1]), int(match[2])))
        return [
            Snapshot(match.string.removesuffix(".pt"), self.shuffle, self.trainingsetindex, index)
            for index, match in enumerate(matches)
        ]

    def files(self) -> list[Path]:
        """Return what decides the poses: the configurations and the snapshots."""
        train = [
            path for path in listed(self.folder / "train") if path.suffix == ".pt" or path.name == "pytorch_config.yaml"
        ]
        return train + [path for path in listed(self.folder / "test") if path.name == "pose_cfg.yaml"]


def networks(project: Path, values: Mapping[str, Any]) -> list[Network]:
    """Return the networks of the current iteration, in the order of their shuffles."""
    fractions = [_percent(fraction) for fraction in values.get("TrainingFraction") or ()]
    prefix = f"{values.get('Task')}{values.get('date')}-trainset"
    found = []
    for folder in listed(project / PYTORCH_MODELS / f"iteration-{values.get('iteration') or 0}"):
        match = _SHUFFLE.search(folder.name)
        if match and folder.name.startswith(prefix) and int(match[1]) in fractions:
            found.append(Network(folder, int(match[2]), fractions.index(int(match[1]))))
    return sorted(found, key=lambda network: (network.trainingsetindex, network.shuffle))


def _percent(fraction: Any) -> int:
    # int, not round: that is how DeepLabCut names the folders
    return int(fraction * 100) if isinstance(fraction, int | float) else -1


def _net_type(trained: Iterable[Network]) -> str:
    for network in trained:
        try:
            return str(read_yaml(network.folder / "train" / "pytorch_config.yaml").get("net_type") or "")
        except Unreadable:
            continue
    return ""


def _other_engine(project: Path, values: Mapping[str, Any]) -> str:
    # DeepLabCut makes an empty folder for TensorFlow's models in every project.
    return "tensorflow" if listed(project / TENSORFLOW_MODELS) else str(values.get("engine") or "pytorch")


def _names(values: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    found: list[str] = []
    for key in keys:
        value = values.get(key)
        if isinstance(value, list):
            found += [str(each) for each in value]
    return tuple(found)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = value if isinstance(value, list) else []
    return tuple((str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2)


def listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


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
