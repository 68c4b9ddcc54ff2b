"""3D models made here: DeepLabCut projects of calibrated cameras and the 2D models that look at their videos.

Such a project is as `deeplabcut.create_new_project_3d` makes it, with a ``calibration.toml`` beside its config.yaml. It
has no ``camera_matrix/stereo_params.pickle``: this package needs none, and writing one takes OpenCV, which a server has
not.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from dlc_jupyter.errors import AnalysisFailed, BadRequest, Conflict
from dlc_jupyter.pose import calibration_toml
from dlc_jupyter.pose.camera_names import wrong_names
from dlc_jupyter.pose.project_files import CALIBRATION, CAMERA_MATRIX, CONFIG, listed
from dlc_jupyter.pose.projects import Model, lacking_bodyparts, lacking_network, read_model

#: What a model may be called that is made here: its folder has that name.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_NAME = re.compile(NAME.replace("$", r"\Z"))

#: Below this likelihood DeepLabCut leaves positions out, in a new 3D project.
PCUTOFF = 0.4

# What is being made or removed, and after so many seconds was left by a process that was killed.
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\Z")
_LEFT = 3600.0


@dataclass(frozen=True)
class New3D:
    """A 3D model that is to be made.

    Attributes
    ----------
    name : str
        As `NAME` allows.
    calibration : Path
        A ``calibration.toml``; it names the cameras.
    models : mapping of str to Model
        The 2D model of each camera, by the camera's name.
    shuffle, trainingsetindex : int or None
        Which network of theirs. None: the first one, where the usual one (1 and 0) was not trained.
    skeleton : sequence of (str, str), optional
        Pairs of body parts. None: as in the first camera's model.
    pcutoff : float
        Positions with a likelihood below this are left out.
    """

    name: str
    calibration: Path
    models: Mapping[str, Model]
    shuffle: int | None = None
    trainingsetindex: int | None = None
    skeleton: Sequence[Sequence[str]] | None = None
    pcutoff: float = PCUTOFF


class MadeModels:
    """The 3D models of one folder, each in a folder of its own name.

    Parameters
    ----------
    folder : Path
        It is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def configs(self) -> dict[str, Path]:
        """Return the config.yaml of each, by its name."""
        return {path.name: path / CONFIG for path in listed(self._folder) if _NAME.match(path.name) and path.is_dir()}

    def make(self, new: New3D) -> Path:
        """Make a model, which is there whole or not at all, and return its config.yaml.

        Raises
        ------
        BadRequest
            The name is none, the file is no calibration of two cameras or more, or the 2D models do not fit it.
        Conflict
            There is one of that name (``model-exists``).
        """
        if not _NAME.match(new.name):
            raise BadRequest(
                "The name of a model has up to 100 letters, digits, dots, hyphens and underscores, and begins with a "
                "letter or digit.",
                reason="bad-model-name",
            )
        cameras = cameras_of(new.calibration)
        values = _config(new, cameras)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clean()
        unfinished = self._folder / f".{secrets.token_hex(8)}"
        try:
            (unfinished / CAMERA_MATRIX).mkdir(parents=True)
            shutil.copyfile(new.calibration, unfinished / CALIBRATION)
            (unfinished / CONFIG).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "utf-8")
            for path in (unfinished / CALIBRATION, unfinished / CONFIG, unfinished):
                _sync(path)
            problem = read_model(new.name, unfinished / CONFIG).problem
            if problem is not None:
                raise BadRequest(f"Such a model could not be used: {problem}", reason="broken-model")
            self._take(unfinished, new.name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return self._folder / new.name / CONFIG

    def _take(self, unfinished: Path, name: str) -> None:
        try:
            unfinished.rename(self._folder / name)
        except OSError:
            if not (self._folder / name).exists():
                raise
            raise model_exists(name) from None
        _sync(self._folder)

    def remove(self, name: str, check: Callable[[], None] = lambda: None) -> None:
        """Remove the model of that name.

        Parameters
        ----------
        check : callable
            Called when nobody finds the model any more: where it raises, the model is put back.

        Raises
        ------
        FileNotFoundError
            There is none of that name.
        """
        gone = self._folder / f".{secrets.token_hex(8)}"
        (self._folder / name).rename(gone)
        try:
            check()
        except BaseException:
            with contextlib.suppress(OSError):  # a new one of that name was made meanwhile
                gone.rename(self._folder / name)
            raise
        finally:
            shutil.rmtree(gone, ignore_errors=True)
        self._clean()

    def _clean(self) -> None:
        """Remove what was left half made, or half removed."""
        for path in listed(self._folder):
            if _UNFINISHED.match(path.name) and _age(path) > _LEFT:
                shutil.rmtree(path, ignore_errors=True)


def model_exists(name: str) -> Conflict:
    """Return the refusal of a name that is taken."""
    return Conflict(f"There is a model {name!r} already. Give the new one another name.", reason="model-exists")


def cameras_of(calibration: Path) -> list[str]:
    """Return the names of the cameras in a ``calibration.toml``.

    Raises
    ------
    BadRequest
        It is none, or not of two cameras or more (``bad-calibration``).
    """
    try:
        cameras, _ = calibration_toml.read(calibration)
    except AnalysisFailed as error:
        how = "Give the calibration.toml that the analysis calibrate has made; of other files, such as DeepLabCut's "
        raise _bad(f"{error.message} {how}stereo_params.pickle, it makes one with method=import.") from None
    names = [str(camera["name"]) for camera in cameras]
    if len(names) < 2:
        raise _bad(f"It has one camera only ({names[0][:50]}). A 3D model needs two or more.")
    if len(set(names)) < len(names):
        raise _bad("Two cameras have the same name.")
    if wrong := wrong_names(names):
        raise _bad(wrong)
    for name, camera in zip(names, cameras, strict=True):
        for field, wanted in _SHAPES.items():
            if not _has_shape(camera[field], wanted):
                raise _bad(f"{field} of {name} is not what it should be: {' x '.join(map(str, wanted))} numbers.")
        _check_lens(name, camera)
    return names


def _check_lens(name: str, camera: Mapping[str, Any]) -> None:
    if not all(each > 0 and each == int(each) for each in camera["size"]):
        raise _bad(f"size of {name} is not what it should be: two whole numbers of pixels.")
    if min(camera["matrix"][0][0], camera["matrix"][1][1]) <= 0:
        raise _bad(f"The focal length of {name} must be larger than 0.")
    fisheye = camera.get("fisheye", False)
    if not isinstance(fisheye, bool):
        raise _bad(f"fisheye of {name} is neither true nor false.")
    counts, lens = calibration_toml.OF_FISHEYE if fisheye else calibration_toml.COEFFICIENTS, camera["distortions"]
    if not any(_has_shape(lens, (count,)) for count in counts):
        raise _bad(f"distortions of {name} are not what they should be: {', '.join(map(str, counts))} numbers.")


#: How many numbers there are of each kind in the table of a camera; those of the distortion depend on the lens.
_SHAPES = {"size": (2,), "matrix": (3, 3), "rotation": (3,), "translation": (3,)}


def _has_shape(value: Any, shape: Sequence[int]) -> bool:
    if not shape:
        return calibration_toml.is_number(value)
    return isinstance(value, list) and len(value) == shape[0] and all(_has_shape(each, shape[1:]) for each in value)


def _bad(message: str) -> BadRequest:
    return BadRequest(f"The calibration cannot be used. {message}", reason="bad-calibration")


def _config(new: New3D, cameras: Sequence[str]) -> dict[str, Any]:
    """Return the values of config.yaml, in DeepLabCut's order."""
    if unknown := sorted(set(new.models) - set(cameras)):
        raise BadRequest(
            f"The calibration has no camera {', '.join(unknown)}. There are: {', '.join(cameras)}.",
            reason="unknown-camera",
            cameras=list(cameras),
        )
    if missing := [camera for camera in cameras if camera not in new.models]:
        raise BadRequest(
            f"There is no 2D model for {', '.join(missing)}. The calibration has the cameras {', '.join(cameras)}.",
            reason="missing-camera",
            cameras=list(cameras),
        )
    first = new.models[cameras[0]]
    networks = {camera: _network(new, camera, new.models[camera]) for camera in cameras}
    skeleton = [list(pair) for pair in (first.skeleton if new.skeleton is None else new.skeleton)]
    if skeleton and (lacking := lacking_bodyparts(first, [name for pair in skeleton for name in pair])):
        raise BadRequest(f"The skeleton cannot be drawn. {lacking}", reason="bad-skeleton")
    return {
        "Task": new.name,
        "scorer": "dlc_jupyter",
        "date": f"{date.today():%b}{date.today().day}",
        "project_path": new.name,
        "skeleton": skeleton,
        "skeleton_color": "black",
        "pcutoff": new.pcutoff,
        "colormap": "jet",
        "dotsize": 15,
        "alphaValue": 0.8,
        "markerType": "*",
        "markerColor": "r",
        "num_cameras": len(cameras),
        "camera_names": list(cameras),
        "scorername_3d": "DLC_3D",
        **{f"config_file_{camera}": str(new.models[camera].config) for camera in cameras},
        **{
            f"{key}_{camera}": value
            for camera, network in networks.items()
            for key, value in zip(("shuffle", "trainingsetindex"), network, strict=True)
        },
    }


def _network(new: New3D, camera: str, model: Model) -> tuple[int, int]:
    """Return shuffle and trainingsetindex of the network of a camera's 2D model."""
    shuffle = 1 if new.shuffle is None else new.shuffle
    index = 0 if new.trainingsetindex is None else new.trainingsetindex
    lacking = lacking_network(model, index, shuffle)
    if lacking and new.shuffle is None and new.trainingsetindex is None:
        return model.snapshots[0].shuffle, model.snapshots[0].trainingsetindex
    if lacking:
        raise BadRequest(f"{camera}: {lacking}", reason="unknown-network")
    return shuffle, index


def _age(path: Path) -> float:
    """Return how long a folder has not been changed, in seconds; 0 where it is gone by now."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
