"""Poses and points as tables: of pandas in DeepLabCut's layout, of xarray in movement's."""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from dlc_jupyter.client.connection import Connection

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

COORDS = ("x", "y", "likelihood")
#: How movement calls the only animal of DeepLabCut's files that name none.
ONLY = "individual_0"

_START = struct.Struct("<4sII")
#: Layouts of the compact form that are known here.
_VERSIONS = (1, 2)
#: Most frames that the server gives at a time.
_RANGE = 10_000


class Poses(NamedTuple):
    """Poses as they come: a header, and the numbers of each point of each frame.

    Attributes
    ----------
    about : dict
        ``scorer``, ``points`` (individual, "" for a single animal, and body part), ``values`` (what the numbers of a
        point are), ``state``, ``first``, ``cropping``; in space ``unit`` and ``fps``.
    values : array of float32, shape (frames, points, values)
    start : int
        The first frame.
    """

    about: dict[str, Any]
    values: np.ndarray[Any, np.dtype[np.float32]]
    start: int


def needed(name: str) -> Any:
    """Import a package, or say in a sentence that it is missing.

    Raises
    ------
    ModuleNotFoundError
        It is not installed here.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f"This needs {name}, which is not installed in this Python: pip install {name}.", name=name
        ) from None


def read(server: Connection, path: str, start: int = 0, stop: int | None = None, **asked: str) -> Poses:
    """Fetch poses in the compact form, some thousand frames at a time, as far as there are any yet.

    Parameters
    ----------
    path : str
        Of the call: that of a file's poses, or of an analysis's points in space.
    start, stop : int, optional
        Which frames: as in ``range``.
    **asked
        What else the call takes.

    Raises
    ------
    NotFound
        There are none (yet).
    """
    numpy = needed("numpy")
    pieces: list[Any] = []
    begin = start
    while True:
        end = begin + _RANGE if stop is None else min(begin + _RANGE, stop)
        with server.open("GET", f"{path}?{urlencode({**asked, 'start': begin, 'stop': max(end, begin)})}") as answer:
            about, body = _compact(server.read(answer))
        shape = about["count"], len(about["points"]), len(about["values"])
        pieces.append(numpy.frombuffer(body, "<f4").reshape(shape))
        begin += about["count"]
        if not about["count"] or begin >= (about["frames"] if stop is None else min(stop, about["frames"])):
            return Poses(about, numpy.concatenate(pieces), start)


def as_table(poses: Poses) -> pd.DataFrame:
    """Return poses as DeepLabCut's own files have them.

    Returns
    -------
    DataFrame of float, one row a frame
        The columns have the levels ``scorer, bodyparts, coords``, and where there are several animals ``individuals``
        behind the scorer. ``coords`` are ``x, y`` in pixels and ``likelihood``, or ``x, y, z`` and ``error``. ``attrs``
        has what the numbers do not say: ``first``, ``cropping`` and ``unit``, where there is something to be said.
    """
    pandas, numpy = needed("pandas"), needed("numpy")
    points: list[tuple[str, str]] = [(animal, part) for animal, part in poses.about["points"]]
    several = any(animal for animal, _ in points)
    columns = pandas.MultiIndex.from_tuples(
        [
            (poses.about["scorer"], *((animal,) if several else ()), part, coord)
            for animal, part in points
            for coord in poses.about["values"]
        ],
        names=["scorer", *(["individuals"] if several else []), "bodyparts", "coords"],
    )
    values = poses.values.reshape(len(poses.values), len(columns)).astype(numpy.float64)
    table: pd.DataFrame = pandas.DataFrame(
        values, columns=columns, index=pandas.RangeIndex(poses.start, poses.start + len(values))
    )
    table.attrs |= {name: poses.about[name] for name in ("first", "cropping", "unit") if poses.about.get(name)}
    return table


def as_dataset(poses: Poses, fps: float | None, source: str = "") -> xr.Dataset:
    """Return poses in movement's layout (https://movement.neuroinformatics.dev, "movement datasets").

    Returns
    -------
    Dataset
        ``position`` (time, space, keypoints, individuals) in pixels, or in ``space_unit``; ``confidence`` (time,
        keypoints, individuals), which points in space do not have: they have their reprojection ``error`` in pixels
        beside it. Time is in seconds, or in frames where the rate is not known.
    """
    xarray, numpy = needed("xarray"), needed("numpy")
    points = [(animal or ONLY, part) for animal, part in poses.about["points"]]
    individuals, keypoints = (list(dict.fromkeys(names)) for names in zip(*points, strict=True))
    coords = list(poses.about["values"])
    cube = numpy.full((len(poses.values), len(coords), len(keypoints), len(individuals)), numpy.nan)
    for number, (animal, part) in enumerate(points):
        cube[:, :, keypoints.index(part), individuals.index(animal)] = poses.values[:, number]
    space = [each for each in ("x", "y", "z") if each in coords]
    of_points = ("time", "keypoints", "individuals")
    known = {name: (of_points, cube[:, coords.index(name)]) for name in coords if name not in space}
    confidence = known.pop("likelihood", (of_points, numpy.full_like(cube[:, 0], numpy.nan)))
    frames = numpy.arange(poses.start, poses.start + len(cube))
    about: dict[str, Any] = {"source_software": "DeepLabCut", "ds_type": "poses", "source_file": source}
    about |= {"time_unit": "seconds", "fps": float(fps)} if fps else {"time_unit": "frames"}
    about |= {"space_unit": poses.about["unit"]} if poses.about.get("unit") else {}
    position = (("time", "space", "keypoints", "individuals"), cube[:, : len(space)])
    made: xr.Dataset = xarray.Dataset(
        {"position": position, "confidence": confidence, **known},
        coords={
            "time": frames / fps if fps else frames,
            "space": space,
            "keypoints": keypoints,
            "individuals": individuals,
        },
        attrs=about,
    )
    return made


def rate(result: Mapping[str, Any] | None) -> float | None:
    """Return the frames a second of the video that a result is of; None where it does not say."""
    told = ((result or {}).get("provenance") or {}).get("video") or {}
    return float(told["fps"]) if told.get("fps") else None


def _compact(body: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = _START.unpack_from(body)
    if magic != b"DLCP" or version not in _VERSIONS:
        raise ValueError("The server gives poses in a form that this client does not know: it is newer than this one.")
    begin = _START.size + length
    about: dict[str, Any] = {"values": COORDS, **json.loads(body[_START.size : begin])}
    return about, body[begin : begin + about["count"] * len(about["points"]) * len(about["values"]) * 4]
