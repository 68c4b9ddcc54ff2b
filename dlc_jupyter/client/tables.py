"""Poses and points as tables: of pandas in DeepLabCut's layout, of xarray in movement's."""

from __future__ import annotations

import importlib
import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from dlc_jupyter.client.connection import Connection, one

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

COORDS = ("x", "y", "likelihood")
#: How movement calls the only animal of DeepLabCut's files that name none.
ONLY = "individual_0"

_START = struct.Struct("<4sII")
#: Most frames that the server gives at a time.
_RANGE = 10_000


class Poses(NamedTuple):
    """Poses as they come: a header, and x, y (pixels) and likelihood of each point of each frame.

    Attributes
    ----------
    about : dict
        ``scorer``, ``points`` (individual, "" for a single animal, and body part), ``state``, ``first``, ``cropping``.
    values : array of float32, shape (frames, points, 3)
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


def read_poses(server: Connection, file_id: str, analysis_id: str, start: int = 0, stop: int | None = None) -> Poses:
    """Fetch the poses that an analysis has made of a video, so far, some thousand frames at a time.

    Parameters
    ----------
    start, stop : int, optional
        Which frames: as in ``range``.

    Raises
    ------
    NotFound
        It has made none (yet).
    """
    numpy = needed("numpy")
    pieces: list[Any] = []
    begin = start
    while True:
        asked = {"analysis_id": analysis_id, "start": begin, "stop": min(begin + _RANGE, stop or begin + _RANGE)}
        with server.open("GET", f"file/{one(file_id)}/poses?{urlencode(asked)}") as answer:
            about, body = _compact(server.read(answer))
        pieces.append(numpy.frombuffer(body, "<f4").reshape(about["count"], len(about["points"]), len(COORDS)))
        begin += about["count"]
        if not about["count"] or begin >= (about["frames"] if stop is None else min(stop, about["frames"])):
            return Poses(about, numpy.concatenate(pieces), start)


def as_table(poses: Poses) -> pd.DataFrame:
    """Return poses as DeepLabCut's own files have them.

    Returns
    -------
    DataFrame of float, one row a frame
        The columns have the levels ``scorer, bodyparts, coords`` (``x, y`` in pixels, ``likelihood``), and where there
        are several animals ``individuals`` behind the scorer. ``attrs`` has what the numbers do not say: ``first`` and
        ``cropping``, where they differ from the usual.
    """
    pandas, numpy = needed("pandas"), needed("numpy")
    points: list[tuple[str, str]] = [(animal, part) for animal, part in poses.about["points"]]
    several = any(animal for animal, _ in points)
    names = ["scorer", *(["individuals"] if several else []), "bodyparts", "coords"]
    columns = pandas.MultiIndex.from_tuples(
        [
            (poses.about["scorer"], *((animal,) if several else ()), part, coord)
            for animal, part in points
            for coord in COORDS
        ],
        names=names,
    )
    values = poses.values.reshape(len(poses.values), len(columns)).astype(numpy.float64)
    table: pd.DataFrame = pandas.DataFrame(
        values, columns=columns, index=pandas.RangeIndex(poses.start, poses.start + len(values))
    )
    table.attrs |= {name: poses.about[name] for name in ("first", "cropping") if poses.about.get(name)}
    return table


def points_table(coordinates: bytes, quality: bytes | None) -> pd.DataFrame:
    """Return points in space as DeepLabCut's own files have them, with how good they are beside.

    Parameters
    ----------
    coordinates, quality : bytes
        CSV files of ``triangulate``: x, y, z, and error (of reprojection, in pixels) and cameras (how many).
    """
    pandas = needed("pandas")
    table: pd.DataFrame = _csv(coordinates)
    if quality is None:
        return table
    both = pandas.concat([table, _csv(quality)], axis=1)
    points = dict.fromkeys(column[:-1] for column in table.columns)
    ordered: pd.DataFrame = both[[(*point, coord) for point in points for coord in ("x", "y", "z", "error", "cameras")]]
    return ordered


def as_dataset(poses: Poses, fps: float | None, source: str = "") -> xr.Dataset:
    """Return poses in movement's layout (https://movement.neuroinformatics.dev, "movement datasets").

    Returns
    -------
    Dataset
        ``position`` (time, space, keypoints, individuals) in pixels and ``confidence`` (time, keypoints, individuals);
        time in seconds, or in frames where the rate is not known.
    """
    numpy = needed("numpy")
    points = [(animal or ONLY, part) for animal, part in poses.about["points"]]
    individuals, keypoints = (list(dict.fromkeys(names)) for names in zip(*points, strict=True))
    cube = numpy.full((len(poses.values), len(COORDS), len(keypoints), len(individuals)), numpy.nan)
    for number, (animal, part) in enumerate(points):
        cube[:, :, keypoints.index(part), individuals.index(animal)] = poses.values[:, number]
    return _dataset(cube[:, :2], cube[:, 2], keypoints, individuals, fps, start=poses.start, source=source)


def points_dataset(table: pd.DataFrame, fps: float | None, unit: str, source: str = "") -> xr.Dataset:
    """Return points in space in movement's layout; there is no confidence, but ``error`` beside it, in pixels."""
    numpy = needed("numpy")
    coords = list(table.columns.get_level_values("coords").unique())
    keypoints = list(table.columns.get_level_values("bodyparts").unique())
    several = "individuals" in table.columns.names
    individuals = list(table.columns.get_level_values("individuals").unique()) if several else [ONLY]
    cube = table.to_numpy(float).reshape(len(table), len(individuals), len(keypoints), len(coords))
    cube = numpy.moveaxis(cube, (1, 2, 3), (3, 2, 1))
    nothing = numpy.full((len(table), len(keypoints), len(individuals)), numpy.nan)
    made = _dataset(cube[:, :3], nothing, keypoints, individuals, fps, start=int(table.index[0]), source=source)
    if "error" in coords:
        made["error"] = (("time", "keypoints", "individuals"), cube[:, coords.index("error")])
    return made.assign_attrs(space_unit=unit)


def _dataset(
    position: Any,
    confidence: Any,
    keypoints: Sequence[str],
    individuals: Sequence[str],
    fps: float | None,
    *,
    start: int,
    source: str,
) -> xr.Dataset:
    xarray, numpy = needed("xarray"), needed("numpy")
    frames = numpy.arange(start, start + len(position))
    about: dict[str, Any] = {"source_software": "DeepLabCut", "ds_type": "poses", "source_file": source}
    about |= {"time_unit": "seconds", "fps": float(fps)} if fps else {"time_unit": "frames"}
    made: xr.Dataset = xarray.Dataset(
        {
            "position": (("time", "space", "keypoints", "individuals"), position),
            "confidence": (("time", "keypoints", "individuals"), confidence),
        },
        coords={
            "time": frames / fps if fps else frames,
            "space": ["x", "y", "z"][: position.shape[1]],
            "keypoints": list(keypoints),
            "individuals": list(individuals),
        },
        attrs=about,
    )
    return made


def rate(result: Mapping[str, Any] | None) -> float | None:
    """Return the frames a second of the video that a result is of; None where it does not say."""
    told = (result or {}).get("provenance") or {}
    cameras = list((told.get("cameras") or {}).values())
    for each in (told, *cameras):
        if fps := (each.get("video") or {}).get("fps"):
            return float(fps)
    return None


def _compact(body: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = _START.unpack_from(body)
    if magic != b"DLCP" or version > 2:
        raise ValueError("The server gives poses in a form that this client does not know: it is newer than this one.")
    begin = _START.size + length
    about: dict[str, Any] = json.loads(body[_START.size : begin])
    return about, body[begin : begin + about["count"] * len(about["points"]) * len(COORDS) * 4]


def _csv(text: bytes) -> pd.DataFrame:
    """Read one of DeepLabCut's CSV files: three header rows, or four where there are several animals."""
    pandas = needed("pandas")
    rows = [0, 1, 2, 3] if text.split(b"\n", 2)[1].startswith(b"individuals") else [0, 1, 2]
    table: pd.DataFrame = pandas.read_csv(io.BytesIO(text), header=rows, index_col=0)
    return table
