"""The models of a server: DeepLabCut projects by name, and private copies of them to run from.

DeepLabCut rewrites a project's config.yaml whenever it opens the project at another place than the one written there.
So no project is ever opened where it lies: `Models.stage` makes a private copy, which costs links and some small files,
and lets a project that was moved, or that lies on a read-only disk, work unchanged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dlc_jupyter.errors import BadRequest, Conflict, NotFound
from dlc_jupyter.pose.digests import Digests, read_sha256
from dlc_jupyter.pose.made_models import MadeModels, New3D, model_exists
from dlc_jupyter.pose.project_files import (
    CALIBRATION,
    CAMERA_MATRIX,
    CONFIG,
    PYTORCH_MODELS,
    TENSORFLOW_MODELS,
    Unreadable,
    config_of,
    expanded,
    listed,
    read_config,
    read_yaml,
)
from dlc_jupyter.pose.projects import Kind, Model, Snapshot, camera_configs, networks, read_model

__all__ = ["Kind", "Model", "Models", "Snapshot", "discover", "read_model"]

#: How far below `Settings.models_dir` projects are looked for, and how many folders are looked into at most.
DEPTH = 4
FOLDERS = 20_000

_TEXT = (".yaml", ".yml")


class Models:
    """The models of one server: those registered by name, those made here, and those found below a folder.

    Where a name is taken twice, it is theirs in this order.

    Parameters
    ----------
    models : mapping of str to str
        A name, and the path of a config.yaml or of the project's folder (`Settings.models`).
    models_dir : str
        The folder to look below, or "" (`Settings.models_dir`).
    made_dir : Path, optional
        The folder of those made here; None: none is.
    """

    def __init__(self, models: Mapping[str, str], models_dir: str, made_dir: Path | None = None) -> None:
        self._registered = dict(models)
        self._models_dir = models_dir
        self._made = MadeModels(made_dir) if made_dir else None
        self._digests = Digests(_digest)

    def all(self) -> list[Model]:
        """Return every model, sorted by name. Those that cannot be used say why in `problem`."""
        return [read_model(name, path) for name, path in sorted(self._configs().items())]

    def registered(self) -> list[Model]:
        """Return those registered by name, sorted: what `all` returns of them, without looking for others."""
        return [read_model(name, path) for name, path in sorted(self._registered_configs().items())]

    def find(self, name: str, kind: Kind | None = None) -> Model:
        """Return the model of that name, ready to be used.

        Raises
        ------
        NotFound
            ``unknown-model``; ``models`` names those there are.
        BadRequest
            ``broken-model`` when it cannot be used, ``wrong-model-kind`` when it is not of the kind asked for.
        """
        config = self._config(name)
        if config is None:
            raise self._unknown(name)
        model = read_model(name, config)
        if model.problem is not None:
            raise BadRequest(f"The model {name!r} cannot be used: {model.problem}", reason="broken-model")
        if kind is not None and model.kind != kind:
            raise BadRequest(
                f"The model {name!r} is a {model.kind.upper()} project; this analysis needs a {kind.upper()} one.",
                reason="wrong-model-kind",
            )
        return model

    def make(self, new: New3D) -> Model:
        """Make a 3D model, and return it.

        Raises
        ------
        BadRequest
            See `MadeModels.make`.
        Conflict
            ``model-exists``: there is one of that name, wherever it lies.
        """
        if self._made is None or new.name in self._configs():
            raise model_exists(new.name)
        return read_model(new.name, self._made.make(new))

    def made_here(self, name: str) -> bool:
        """Whether a model of that name was made here, and is there."""
        return self._made is not None and name not in self._registered and name in self._made.configs()

    def remove(self, name: str, check: Callable[[], None] = lambda: None) -> None:
        """Remove a model that was made here.

        Parameters
        ----------
        check : callable
            Called when nobody finds the model any more: where it raises, the model is put back.

        Raises
        ------
        NotFound
            There is none of that name.
        Conflict
            ``model-registered``: it is there by the server's configuration.
        """
        if self._made is None or not self.made_here(name):
            if self._config(name) is None:
                raise self._unknown(name)
            raise Conflict(
                f"The model {name!r} was not made here: take it out of the server's configuration.",
                reason="model-registered",
            )
        try:
            self._made.remove(name, check)
        except FileNotFoundError:  # somebody else has removed it at the same moment
            raise self._unknown(name) from None

    def _unknown(self, name: str) -> NotFound:
        known = sorted(self._configs())
        there_are = f"There are: {', '.join(known)}." if known else "None is registered on this server."
        return NotFound(f"There is no model {name!r}. {there_are}", reason="unknown-model", models=known)

    def fingerprint(self, model: Model, *, trainingsetindex: int | None = None, shuffle: int | None = None) -> str:
        """Return a SHA-256 (hex) over the files that decide its results.

        Those are config.yaml but for the paths in it, the networks' configurations and snapshots, and for a 3D project
        the calibration and the 2D projects. A file is read again only when its size or time has changed, and once only
        however many ask at the same time.

        Parameters
        ----------
        model : Model
            As `find` returns it.
        trainingsetindex, shuffle : int, optional
            Leave out the networks of others than this one.
        """
        total = hashlib.sha256()
        with _usable(model):
            for name, path in _deciding_files(model, trainingsetindex, shuffle):
                total.update(f"{name}\0{self._digests.of(path)}\n".encode())
        return total.hexdigest()

    def stage(self, model: Model, folder: Path) -> Path:
        """Make a private copy of the project in `folder`, which DeepLabCut may write to.

        Returns
        -------
        Path
            Its config.yaml, with ``project_path`` set to the copy. A 3D project brings copies of its 2D projects,
            and its config.yaml names those.

        Raises
        ------
        BadRequest
            ``broken-model``: it has changed since it was found, and cannot be used any more.
        """
        with _usable(model):
            config = read_config(model.config)
            cameras = camera_configs(config, model.config)
        changes: dict[str, Any] = {"project_path": str(folder.absolute())}
        _mirror_project(model.config.parent, folder)
        for number, (keys, path) in enumerate(cameras.items(), start=1):
            part = Path(f"{folder}-camera-{number}")
            staged = self.stage(read_model(model.name, path), part)
            changes.update(dict.fromkeys(keys, str(staged)))
        target = folder / CONFIG
        target.write_text(yaml.safe_dump({**config, **changes}, sort_keys=False, allow_unicode=True), "utf-8")
        return target

    def _config(self, name: str) -> Path | None:
        """Return where a model lies; the folder with all models is looked through for those only that lie there."""
        if name in self._registered:
            return config_of(expanded(self._registered[name]).absolute())
        made = self._made_configs().get(name)
        return self._found().get(name) if made is None else made

    def _configs(self) -> dict[str, Path]:
        return self._found() | self._made_configs() | self._registered_configs()

    def _made_configs(self) -> dict[str, Path]:
        return self._made.configs() if self._made else {}

    def _registered_configs(self) -> dict[str, Path]:
        return {name: config_of(expanded(path).absolute()) for name, path in self._registered.items()}

    def _found(self) -> dict[str, Path]:
        return discover(expanded(self._models_dir)) if self._models_dir else {}


@contextmanager
def _usable(model: Model) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise BadRequest(f"The model {model.name!r} cannot be used: {error}", reason="broken-model") from None
    except FileNotFoundError:
        message = f"The model {model.name!r} cannot be used: its files are being changed, or are gone. Try again."
        raise BadRequest(message, reason="broken-model") from None


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
        return "camera_names" in read_yaml(config)
    except (OSError, Unreadable):
        return False


def _deciding_files(model: Model, trainingsetindex: int | None, shuffle: int | None) -> Iterator[tuple[str, Path]]:
    project = model.config.parent
    values = read_config(model.config)
    yield CONFIG, model.config
    if model.kind == "3d":
        for path in [project / CALIBRATION, *listed(project / CAMERA_MATRIX)]:
            if path.suffix == ".pickle" or (path.name == CALIBRATION and path.is_file()):
                yield str(path.relative_to(project)), path
        for each in model.camera_models:
            part = _deciding_files(read_model(model.name, each.config), each.trainingsetindex, each.shuffle)
            yield from ((f"{each.camera}/{name}", path) for name, path in part)
        return
    for network in networks(project, values):
        if trainingsetindex in (None, network.trainingsetindex) and shuffle in (None, network.shuffle):
            yield from ((str(path.relative_to(project)), path) for path in network.files())


def _digest(path: Path) -> str:
    if path.name == CONFIG:
        # Where the project lies, and which videos it was made from, changes no pose.
        values = {key: value for key, value in read_yaml(path).items() if not _is_place(key)}
        return hashlib.sha256(yaml.safe_dump(values, allow_unicode=True).encode()).hexdigest()
    return read_sha256(path)


def _is_place(key: Any) -> bool:  # YAML knows keys that are no text
    return key in ("project_path", "video_sets", "video_sets_original") or str(key).startswith("config_file_")


def _mirror_project(project: Path, folder: Path) -> None:
    """Rebuild a project, but for its config.yaml: real folders where DeepLabCut may write, links elsewhere."""
    folder.mkdir(parents=True)
    for entry in listed(project):
        target = folder / entry.name
        if entry.name in (PYTORCH_MODELS, TENSORFLOW_MODELS, "training-datasets", CAMERA_MATRIX):
            _mirror(entry, target)
        elif entry.name != CONFIG:
            target.symlink_to(entry)


def _mirror(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir()
        for entry in listed(source):
            _mirror(entry, target / entry.name)
    elif source.suffix in _TEXT:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source)
