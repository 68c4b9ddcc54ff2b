"""What can be read of a DeepLabCut project without DeepLabCut: its config.yaml, and which networks were trained."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import calibration_toml
from dlc_jupyter.pose.camera_names import unclear_names
from dlc_jupyter.pose.project_files import (
    CALIBRATION,
    CAMERA_MATRIX,
    CONFIG,
    PYTORCH_MODELS,
    STEREO,
    TENSORFLOW_MODELS,
    Unreadable,
    config_of,
    expanded,
    folders_of,
    listed,
    pickled_texts,
    project_named,
    read_config,
    read_yaml,
    stereo_unit,
)

__all__ = [
    "CONFIG",
    "PYTORCH_MODELS",
    "TENSORFLOW_MODELS",
    "CameraModel",
    "Kind",
    "Model",
    "Network",
    "Snapshot",
    "Unreadable",
    "camera_configs",
    "config_of",
    "expanded",
    "folders_of",
    "lacking_bodyparts",
    "lacking_network",
    "lacking_snapshot",
    "listed",
    "networks",
    "read_config",
    "read_model",
    "read_yaml",
]

log = logging.getLogger(__name__)

Kind = Literal["2d", "3d"]
_SHUFFLE = re.compile(r"-trainset(\d+)shuffle(\d+)$")
_SNAPSHOT = re.compile(r"^snapshot-(best-)?(\d+)\.pt$")


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
class CameraModel:
    """The network of one camera of a 3D project: which shuffle of which 2D project (its `config`)."""

    camera: str
    config: Path
    task: str
    shuffle: int
    trainingsetindex: int

    def as_json(self) -> dict[str, Any]:
        """Return it as `GET /model` shows it: everything but where it lies."""
        return {
            "camera": self.camera,
            "task": self.task,
            "shuffle": self.shuffle,
            "trainingsetindex": self.trainingsetindex,
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
    camera_models : tuple of CameraModel
        Of a 3D project: the network of each of its cameras, in their order.
    calibration : mapping or None
        Of a 3D project whose cameras are calibrated: the reprojection ``error`` in pixels or None, the ``unit`` in
        which it measures, and the ``source``, in words.
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
    camera_models: tuple[CameraModel, ...] = ()
    calibration: Mapping[str, Any] | None = None
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
            "camera_models": [each.as_json() for each in self.camera_models],
            "calibration": self.calibration and dict(self.calibration),
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
    parts = {path: read_model(name, path) for path in camera_configs(values, config).values()}
    if len(cameras) < 2:
        return replace(model, problem="its config.yaml names fewer than two cameras.")
    if len(set(cameras)) < len(cameras):
        return replace(model, problem="two cameras in its config.yaml have the same name.")
    if unclear := unclear_names(cameras):
        return replace(model, problem=f"its config.yaml names cameras that results could not tell apart. {unclear}")
    if not all(isinstance(values.get(f"config_file_{camera}"), str) for camera in cameras):
        return replace(model, problem="its config.yaml does not name a 2D project (config_file_…) for every camera.")
    networks_of = tuple(_camera_model(values, config, camera, parts) for camera in cameras)
    first = parts[networks_of[0].config]
    model = replace(
        model,
        bodyparts=first.bodyparts,
        individuals=first.individuals,
        engine=first.engine,
        net_type=first.net_type,
        snapshots=first.snapshots,
        camera_models=networks_of,
    )
    try:
        model = replace(model, calibration=_calibration(config.parent, cameras))
    except Unreadable as error:
        return replace(model, problem=_problem_3d(model, parts) or str(error))
    return replace(model, problem=_problem_3d(model, parts))


def _camera_model(values: Mapping[str, Any], config: Path, camera: str, parts: Mapping[Path, Model]) -> CameraModel:
    path = _camera_config(values, config, camera)
    return CameraModel(
        camera=camera,
        config=path,
        task=parts[path].task,
        shuffle=int(values.get(f"shuffle_{camera}", 1)),
        trainingsetindex=int(values.get(f"trainingsetindex_{camera}", 0)),
    )


def _problem_3d(model: Model, parts: Mapping[Path, Model]) -> str | None:
    for each in model.camera_models:
        part = parts[each.config]
        if part.problem:
            return f"its 2D project: {part.problem}"
        if lacking := lacking_network(part, each.trainingsetindex, each.shuffle):
            return f"its 2D project for {each.camera}: {lacking}"
        if set(part.bodyparts) != set(model.bodyparts):
            return f"the 2D projects of {model.cameras[0]} and {each.camera} have different body parts."
        if len(part.individuals) != len(model.individuals):
            return (
                f"the 2D projects of {model.cameras[0]} and {each.camera} are of different numbers of animals "
                f"({len(model.individuals) or 1} and {len(part.individuals) or 1})."
            )
    return None


def _calibration(project: Path, cameras: Sequence[str]) -> dict[str, Any]:
    """Return what is known of how a project's cameras were calibrated.

    Raises
    ------
    Unreadable
        They were not, or others were.
    """
    path = project / CALIBRATION
    if not path.is_file():
        stereo = project / CAMERA_MATRIX / STEREO
        if len(cameras) == 2 and stereo.is_file():
            texts = pickled_texts(stereo)
            if texts and "-".join(cameras) not in texts:
                raise Unreadable(
                    f"its {STEREO} is of the cameras {texts[0][:100]!r}, but its config.yaml names "
                    f"{'-'.join(cameras)!r}. Calibrate these, in this order."
                )
            unit = stereo_unit(dict(pairwise(texts)).get("unit"))  # a value comes behind its name
            return {"error": None, "unit": unit, "source": "DeepLabCut"}
        deeplabcut = f" and no {CAMERA_MATRIX}/{STEREO}" if len(cameras) == 2 else ""
        raise Unreadable(f"its cameras have not been calibrated (there is no {CALIBRATION}{deeplabcut}).")
    try:
        found = calibration_toml.summary(path)
    except AnalysisFailed as error:
        raise Unreadable(f"its {CALIBRATION} cannot be used. {error.message}") from None
    except OSError as error:
        raise Unreadable(f"its {CALIBRATION} cannot be read ({error.strerror}).") from None
    if sorted(found["cameras"]) != sorted(cameras):
        raise Unreadable(
            f"its {CALIBRATION} is of the cameras {', '.join(found['cameras'])}, but its config.yaml names "
            f"{', '.join(cameras)}."
        )
    return {name: found[name] for name in ("error", "unit", "source")}


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
            path = _camera_config(values, config, camera)
            if _is_3d(path):
                raise Unreadable(f"its {key} names a 3D project. Name the 2D project of that camera.")
            found.setdefault(path, []).append(key)
    return {tuple(keys): path for path, keys in found.items()}


def _camera_config(values: Mapping[str, Any], config: Path, camera: Any) -> Path:
    # DeepLabCut writes whole paths.
    return project_named(values[f"config_file_{camera}"], values.get("project_path"), config.parent)


def _is_3d(config: Path) -> bool:
    try:
        return "camera_names" in read_yaml(config)
    except Unreadable:
        return False


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
