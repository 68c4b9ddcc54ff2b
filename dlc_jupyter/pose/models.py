"""Registered DeepLabCut projects: what can be read of them without DeepLabCut, and private copies to run them from.

DeepLabCut rewrites a project's config.yaml whenever it opens the project at another place than the one written there.
So no project is ever opened where it lies: `stage` makes a private copy, which costs links and some small files, and
lets a project that was moved, or that lies on a read-only disk, work unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from dlc_jupyter.errors import BadRequest, NotFound

Kind = Literal["2d", "3d"]
CONFIG = "config.yaml"
PYTORCH_MODELS = "dlc-models-pytorch"
TENSORFLOW_MODELS = "dlc-models"

#: How far below `Settings.models_dir` projects are looked for, and how many folders are looked into at most.
DEPTH = 4
FOLDERS = 20_000

_SHUFFLE = re.compile(r"-trainset(\d+)shuffle(\d+)$")
_SNAPSHOT = re.compile(r"^snapshot-(best-)?(\d+)\.pt$")
_TEXT = (".yaml", ".yml")


class _Unreadable(Exception):
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


class Models:
    """The models of one server: those registered by name, and those found below a folder. Registered names win.

    Parameters
    ----------
    models : mapping of str to str
        A name, and the path of a config.yaml or of the project's folder (`Settings.models`).
    models_dir : str
        The folder to look below, or "" (`Settings.models_dir`).
    """

    def __init__(self, models: Mapping[str, str], models_dir: str) -> None:
        self._registered = dict(models)
        self._models_dir = models_dir
        self._fingerprints: dict[Path, tuple[tuple[Any, ...], str]] = {}

    def all(self) -> list[Model]:
        """Return every model, sorted by name. Those that cannot be used say why in `problem`."""
        return [read_model(name, path) for name, path in sorted(self._configs().items())]

    def find(self, name: str, kind: Kind | None = None) -> Model:
        """Return the model of that name, ready to be used.

        Raises
        ------
        NotFound
            ``unknown-model``; ``models`` names those there are.
        BadRequest
            ``broken-model`` when it cannot be used, ``wrong-model-kind`` when it is not of the kind asked for.
        """
        configs = self._configs()
        if name not in configs:
            known = sorted(configs)
            there_are = f"There are: {', '.join(known)}." if known else "None is registered on this server."
            raise NotFound(f"There is no model {name!r}. {there_are}", reason="unknown-model", models=known)
        model = read_model(name, configs[name])
        if model.problem is not None:
            raise BadRequest(f"The model {name!r} cannot be used: {model.problem}", reason="broken-model")
        if kind is not None and model.kind != kind:
            raise BadRequest(
                f"The model {name!r} is a {model.kind.upper()} project; this analysis needs a {kind.upper()} one.",
                reason="wrong-model-kind",
            )
        return model

    def fingerprint(self, model: Model) -> str:
        """Return a SHA-256 (hex) over the files that decide its results.

        Those are config.yaml but for the paths in it, the networks' configurations and snapshots, and for a 3D project
        the calibration and the 2D projects. It is read again only when a file's size or time has changed.
        """
        files = [(name, path, path.stat()) for name, path in _deciding_files(model)]
        stamp = tuple((name, str(path), stat.st_mtime_ns, stat.st_size) for name, path, stat in files)
        known = self._fingerprints.get(model.config)
        if known is not None and known[0] == stamp:
            return known[1]
        total = hashlib.sha256()
        for name, path, _ in files:
            total.update(f"{name}\0{_digest(path)}\n".encode())
        self._fingerprints[model.config] = stamp, total.hexdigest()
        return total.hexdigest()

    def stage(self, model: Model, folder: Path) -> Path:
        """Make a private copy of the project in `folder`, which DeepLabCut may write to.

        Returns
        -------
        Path
            Its config.yaml, with ``project_path`` set to the copy. A 3D project brings copies of its 2D projects,
            and its config.yaml names those.
        """
        config = _read_yaml(model.config)
        changes: dict[str, Any] = {"project_path": str(folder.absolute())}
        _mirror_project(model.config.parent, folder)
        for number, (keys, path) in enumerate(_camera_configs(config, model.config).items(), start=1):
            part = Path(f"{folder}-camera-{number}")
            staged = self.stage(read_model(model.name, path), part)
            changes.update(dict.fromkeys(keys, str(staged)))
        target = folder / CONFIG
        target.write_text(yaml.safe_dump({**config, **changes}, sort_keys=False, allow_unicode=True), "utf-8")
        return target

    def _configs(self) -> dict[str, Path]:
        found = discover(Path(self._models_dir).expanduser()) if self._models_dir else {}
        return found | {name: _config_of(path) for name, path in self._registered.items()}


def _config_of(path: str) -> Path:
    given = Path(path).expanduser().absolute()
    return given / CONFIG if given.is_dir() else given


def discover(root: Path) -> dict[str, Path]:
    """Return the config.yaml of every project below `root`, by the name of the project's folder.

    Projects are not looked into, hidden folders and links to folders neither, and no more than `FOLDERS` folders down
    to `DEPTH` levels. Projects whose folders have the same name are told apart by the folders above them.
    """
    found: dict[str, list[Path]] = {}
    for config in _walk(root):
        found.setdefault(config.parent.name, []).append(config)
    named = {}
    for name, configs in found.items():
        for config in configs:
            unique = name if len(configs) == 1 else ".".join(config.parent.relative_to(root).parts)
            named[unique or name] = config
    return named


def _walk(root: Path) -> Iterator[Path]:
    level, looked = [root.absolute()], 0
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            looked += 1
            if looked > FOLDERS:
                return
            if _is_project(folder):
                yield folder / CONFIG
                continue
            try:
                with os.scandir(folder) as entries:
                    below += sorted(
                        Path(e.path) for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)
                    )
            except OSError:
                continue  # what cannot be read is no model of ours
        level = below


def _is_project(folder: Path) -> bool:
    config = folder / CONFIG
    try:
        if not config.is_file():
            return False
        if any((folder / models).is_dir() for models in (PYTORCH_MODELS, TENSORFLOW_MODELS)):
            return True
        return "camera_names" in _read_yaml(config)
    except (OSError, _Unreadable):
        return False


def read_model(name: str, config: Path) -> Model:
    """Read a project. Whatever is wrong with it becomes the model's `problem`; nothing is raised."""
    try:
        values = _read_yaml(config)
        return _read_3d(name, config, values) if "camera_names" in values else _read_2d(name, config, values)
    except _Unreadable as error:
        return Model(name=name, kind="2d", config=config, problem=str(error))


def _read_2d(name: str, config: Path, values: Mapping[str, Any]) -> Model:
    several = bool(values.get("multianimalproject"))
    networks = _networks(config.parent, values)
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
        net_type=_net_type(networks) or str(values.get("default_net_type") or ""),
        snapshots=tuple(snapshot for network in networks for snapshot in network.snapshots()),
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
    parts = [read_model(name, path) for path in _camera_configs(values, config).values()]
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


def _camera_configs(values: Mapping[str, Any], config: Path) -> dict[tuple[str, ...], Path]:
    """Return the 2D projects of a 3D project, each once, by the keys that name it."""
    found: dict[Path, list[str]] = {}
    for camera in values.get("camera_names") or ():
        key = f"config_file_{camera}"
        if isinstance(values.get(key), str):
            path = config.parent / Path(values[key]).expanduser()
            found.setdefault(path / CONFIG if path.is_dir() else path, []).append(key)
    return {tuple(keys): path for path, keys in found.items()}


@dataclass(frozen=True)
class _Network:
    """The folder of one shuffle, ``<Task><date>-trainset<percent>shuffle<number>``."""

    folder: Path
    shuffle: int
    trainingsetindex: int

    def snapshots(self) -> list[Snapshot]:
        matches = [match for path in _listed(self.folder / "train") if (match := _SNAPSHOT.match(path.name))]
        matches.sort(key=lambda match: (bool(match[1]), int(match[2])))
        return [
            Snapshot(match.string.removesuffix(".pt"), self.shuffle, self.trainingsetindex, index)
            for index, match in enumerate(matches)
        ]

    def files(self) -> list[Path]:
        """Return what decides the poses: the configurations and the snapshots."""
        train = [
            path
            for path in _listed(self.folder / "train")
            if path.suffix == ".pt" or path.name == "pytorch_config.yaml"
        ]
        return train + [path for path in _listed(self.folder / "test") if path.name == "pose_cfg.yaml"]


def _networks(project: Path, values: Mapping[str, Any]) -> list[_Network]:
    """Return the networks of the current iteration, in the order of their shuffles."""
    fractions = [_percent(fraction) for fraction in values.get("TrainingFraction") or ()]
    prefix = f"{values.get('Task')}{values.get('date')}-trainset"
    found = []
    for folder in _listed(project / PYTORCH_MODELS / f"iteration-{values.get('iteration') or 0}"):
        match = _SHUFFLE.search(folder.name)
        if match and folder.name.startswith(prefix) and int(match[1]) in fractions:
            found.append(_Network(folder, int(match[2]), fractions.index(int(match[1]))))
    return sorted(found, key=lambda network: (network.trainingsetindex, network.shuffle))


def _percent(fraction: Any) -> int:
    # int, not round: that is how DeepLabCut names the folders
    return int(fraction * 100) if isinstance(fraction, int | float) else -1


def _net_type(networks: Iterable[_Network]) -> str:
    for network in networks:
        try:
            return str(_read_yaml(network.folder / "train" / "pytorch_config.yaml").get("net_type") or "")
        except _Unreadable:
            continue
    return ""


def _other_engine(project: Path, values: Mapping[str, Any]) -> str:
    return "tensorflow" if (project / TENSORFLOW_MODELS).is_dir() else str(values.get("engine") or "pytorch")


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


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        stat = path.stat()
        return _parse_yaml(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise _Unreadable(f"its {path.name} is not there any more, or was never where the server was told.") from None
    except OSError as error:
        raise _Unreadable(f"its {path.name} cannot be read ({error.strerror}).") from None


@lru_cache(maxsize=256)
def _parse_yaml(path: Path, _mtime: int, _size: int) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text("utf-8"), Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _Unreadable(f"its {path.name} is not valid YAML{where}. Correct it in a text editor.") from None
    if not isinstance(values, dict):
        raise _Unreadable(f"its {path.name} is empty, or not a list of names and values.")
    return values


# The loader in C reads a configuration with ten thousand videos in a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _deciding_files(model: Model) -> Iterator[tuple[str, Path]]:
    project = model.config.parent
    values = _read_yaml(model.config)
    yield CONFIG, model.config
    if model.kind == "3d":
        for path in _listed(project / "camera_matrix"):
            if path.suffix == ".pickle":
                yield f"camera_matrix/{path.name}", path
        for keys, config in _camera_configs(values, model.config).items():
            yield from ((f"{keys[0]}/{name}", path) for name, path in _deciding_files(read_model(model.name, config)))
        return
    for network in _networks(project, values):
        yield from ((str(path.relative_to(project)), path) for path in network.files())


def _digest(path: Path) -> str:
    if path.name == CONFIG:
        # Where the project lies, and which videos it was made from, changes no pose.
        values = {key: value for key, value in _read_yaml(path).items() if not _is_place(key)}
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_place(key: str) -> bool:
    return key in ("project_path", "video_sets", "video_sets_original") or key.startswith("config_file_")


def _mirror_project(project: Path, folder: Path) -> None:
    """Rebuild a project, but for its config.yaml: real folders where DeepLabCut may write, links elsewhere."""
    folder.mkdir(parents=True)
    for entry in _listed(project):
        target = folder / entry.name
        if entry.name in (PYTORCH_MODELS, TENSORFLOW_MODELS, "training-datasets", "camera_matrix"):
            _mirror(entry, target)
        elif entry.name != CONFIG:
            target.symlink_to(entry)


def _mirror(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir()
        for entry in _listed(source):
            _mirror(entry, target / entry.name)
    elif source.suffix in _TEXT:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source)
