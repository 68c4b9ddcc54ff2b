"""Calibrations in the files of OpenCV's ``FileStorage``, YAML or XML, as its samples and many programs write them.

Read without OpenCV, whose own reader may end the process when a file is damaged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.calibration_toml import refused
from dlc_jupyter.pose3d.cameras import Array, Camera, Rig, rotation_about

#: What programs call the same thing, in lower case and without what separates words. {} is the camera's number.
_STEREO = {
    "matrix": ("m{}", "k{}", "cameramatrix{}", "mtx{}", "cam{}matrix"),
    "distortion": ("d{}", "distcoeffs{}", "dist{}", "distortioncoefficients{}", "cam{}distortion"),
}
_ONE = {
    "matrix": ("cameramatrix", "matrix", "k", "mtx", "intrinsicmatrix", "intrinsics", "m"),
    "distortion": ("distortioncoefficients", "distcoeffs", "distortion", "distortions", "d", "dist"),
    "rotation": ("rotation", "r", "rvec", "rotationvector", "rotationmatrix"),
    "translation": ("translation", "t", "tvec", "translationvector"),
}
_SIDES = {1: ("1", "left", "l"), 2: ("2", "right", "r")}
_SIZE = ("imagesize", "imagesizes", "size", "imageshape", "resolution")
_NEED_SIZE = "Give the width and height of the cameras' pictures with the parameter size, such as size=640,480."
#: OpenCV's matrices lie two deep.
_DEEPEST = 16


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # A list that is named in itself never ends, and a few of them in each other fill any memory.
        if self.check_event(yaml.AliasEvent):
            raise refused("The calibration refers to other parts of itself (*), which OpenCV does not write.")
        return super().compose_node(parent, index)


def _matrix(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(problem="a matrix without rows and columns")
    return loader.construct_mapping(node, deep=True)


for _tag in ("opencv-matrix", "opencv-nd-matrix", "opencv-sparse-matrix"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _matrix)


def parse(text: str) -> dict[str, Any]:
    """Return what is at the top of a file, by its name; matrices are arrays.

    Raises
    ------
    AnalysisFailed
        It is neither YAML nor XML as OpenCV writes them (kind ``CalibrationUnreadable``).
    """
    try:
        if text.lstrip().startswith("<"):
            return _xml(text)
        # OpenCV's first line, %YAML:1.0, is not YAML's.
        found = yaml.load(re.sub(r"\A%YAML[^\n]*\n", "", text), _Loader)
    except AnalysisFailed:
        raise
    except Exception as error:  # a wrong tag makes the parser raise almost anything
        raise refused("The calibration can be read neither as OpenCV's YAML nor as its XML.") from error
    if not isinstance(found, dict):
        raise refused("The file holds no calibration: there are no names in it.")
    return {str(name): _as_array(value) for name, value in found.items()}


def _xml(text: str) -> dict[str, Any]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise refused("The calibration has declarations that OpenCV does not write.")
    root = ElementTree.fromstring(text)
    return {child.tag: _as_array(_xml_value(child)) for child in root}


def _xml_value(node: ElementTree.Element, depth: int = 1) -> Any:
    if len(node):
        if depth > _DEEPEST:
            raise refused("The calibration's XML is deeper than OpenCV writes it.")
        parts = [(child.tag, _xml_value(child, depth + 1)) for child in node]
        return [value for _, value in parts] if {tag for tag, _ in parts} == {"_"} else dict(parts)
    words = (node.text or "").replace('"', " ").split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        return (node.text or "").strip().strip('"')
    return values[0] if len(values) == 1 else values


def _as_array(value: Any) -> Any:
    """Return an OpenCV matrix, or nested lists of numbers, as an array; anything else as it is."""
    if isinstance(value, dict) and "data" in value:
        sizes = [int(size) for size in np.atleast_1d(value.get("sizes", [value.get("rows", 1), value.get("cols", -1)]))]
        made = np.asarray(value["data"], float)
        # What has three axes in Python is written as a matrix of two with several numbers in each place.
        deep = -1 not in sizes and made.size != math.prod(sizes)
        return made.reshape([*sizes, -1] if deep else sizes)
    if isinstance(value, list):
        try:
            return np.asarray(value, float)
        except (ValueError, TypeError):
            return value
    return value


class _Names:
    """What a file holds, by names that do not depend on how a program spells them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {re.sub(r"[^a-z0-9]", "", name.lower()): value for name, value in values.items()}

    def get(self, names: Sequence[str]) -> Any:
        return next((self._values[name] for name in names if name in self._values), None)

    def size(self, number: int) -> tuple[int, int] | None:
        wide, high = self.get(("imagewidth", "width")), self.get(("imageheight", "height"))
        if isinstance(wide, int | float) and isinstance(high, int | float):
            return int(wide), int(high)
        found = self.get(_SIZE)
        if not isinstance(found, np.ndarray) or found.size < 2 or found.size % 2:
            return None
        pairs = found.reshape(-1, 2)
        pair = pairs[number if number < len(pairs) else 0]
        return int(pair[0]), int(pair[1])


def rig_of(files: Sequence[Mapping[str, Any]], names: Sequence[str], size: tuple[int, int] | None) -> Rig:
    """Return the cameras of one file or several, as `parse` returns them.

    Three kinds are understood: a stereo pair (``M1``, ``D1``, ``M2``, ``D2``, ``R``, ``T``, in one file or two, as
    OpenCV's stereo_calib writes them), many cameras (``Ks``, ``distortions``, ``rvecs``, ``Ts``, of its
    multiview_calibration), and a file for each camera with its rotation and translation.

    Parameters
    ----------
    names : sequence of str
        Of the cameras; ``camera-1`` and so on where left out.
    size : (int, int), optional
        Of their pictures, where the files do not say it.

    Raises
    ------
    AnalysisFailed
        Something is missing (kind ``CalibrationUnreadable``).
    """
    together = _Names({name: value for each in files for name, value in each.items()})
    if together.get(("ks",)) is not None:
        cameras = _many(together, names, size)
    elif _stereo_name(together, "matrix", 2) is not None:
        cameras = _pair(together, names, size)
    else:
        cameras = [_one(_Names(each), number, names, size) for number, each in enumerate(files)]
    return Rig(tuple(cameras), source="OpenCV")


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else f"camera-{number + 1}"


def _stereo_name(values: _Names, what: str, number: int) -> Any:
    return values.get([pattern.format(side) for side in _SIDES[number] for pattern in _STEREO[what]])


def _pair(values: _Names, names: Sequence[str], size: tuple[int, int] | None) -> list[Camera]:
    rotation, translation = values.get(_ONE["rotation"]), values.get(_ONE["translation"])
    if rotation is None or translation is None:
        raise refused(
            "The calibration has two cameras, but not where the second one stands (R and T).",
            hint="OpenCV's stereo_calib writes two files, intrinsics.yml and extrinsics.yml: give both.",
        )
    places = [(np.eye(3), np.zeros(3)), (_rotation(rotation), translation)]
    return [
        _camera(
            _name(names, number - 1),
            values.size(number - 1) or size,
            _stereo_name(values, "matrix", number),
            _stereo_name(values, "distortion", number),
            *places[number - 1],
        )
        for number in (1, 2)
    ]


def _many(values: _Names, names: Sequence[str], size: tuple[int, int] | None) -> list[Camera]:
    parts = [values.get((name,)) for name in ("ks", "distortions", "rvecs", "ts")]
    if not all(isinstance(part, np.ndarray) for part in parts) or len({len(part) for part in parts}) != 1:
        raise refused("The calibration of many cameras needs Ks, distortions, rvecs and Ts, one of each for a camera.")
    named = values.get(("camids",))
    if not names and isinstance(named, str):
        names = [each.strip() for each in named.split(",")]
    fisheye = values.get(("isfisheye",))
    kinds = np.broadcast_to(np.asarray(0 if fisheye is None else fisheye).reshape(-1), len(parts[0]))
    return [
        _camera(_name(names, number), values.size(number) or size, matrix, lens, _rotation(turned), shift, bool(kind))
        for number, (matrix, lens, turned, shift, kind) in enumerate(zip(*parts, kinds, strict=True))
    ]


def _one(values: _Names, number: int, names: Sequence[str], size: tuple[int, int] | None) -> Camera:
    found = {what: values.get(known) for what, known in _ONE.items()}
    name = _name(names, number)
    if found["matrix"] is None:
        raise refused(f"The calibration of {name} has no camera matrix.")
    if found["rotation"] is None or found["translation"] is None:
        raise refused(
            f"The calibration of {name} says nothing of where it stands (a rotation and a translation).",
            hint="A lens alone is not enough: calibrate the cameras together.",
        )
    at = _rotation(found["rotation"]), found["translation"]
    return _camera(name, values.size(0) or size, found["matrix"], found["distortion"], *at)


def _rotation(value: Any) -> Array:
    """Return a rotation that is given as a matrix, or as a vector along its axis of the length of its angle."""
    found = np.asarray(value, np.float64)
    return found.reshape(3, 3) if found.size == 9 else rotation_by(found.reshape(-1))


def rotation_by(vector: Array) -> Array:
    """Return the rotation that a file gives as a vector: see `rotation_about`."""
    if vector.shape != (3,):
        raise refused("The calibration holds a rotation that is neither a matrix of 3 x 3 nor a vector of 3 numbers.")
    return rotation_about(vector)


def _camera(
    name: str,
    size: tuple[int, int] | None,
    matrix: Any,
    distortion: Any,
    rotation: Any,
    translation: Any,
    fisheye: bool = False,
) -> Camera:
    if size is None:
        raise refused("The calibration does not say the size of the pictures.", hint=_NEED_SIZE)
    lens = np.zeros(4 if fisheye else 5) if distortion is None else distortion
    return Camera(name, size, matrix, lens, rotation, translation, fisheye)
