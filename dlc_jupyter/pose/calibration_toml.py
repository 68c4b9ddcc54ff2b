"""``calibration.toml``: the file in which Anipose keeps calibrated cameras, and this package too.

One table for each camera, ``[cam_0]`` and so on, and ``[metadata]``. Read and written without numpy and OpenCV, so that
a server can say what is in it.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlc_jupyter.errors import AnalysisFailed

#: Larger files hold something else.
MOST_BYTES = 4_000_000

#: How many coefficients of distortion OpenCV knows for a lens, and for a fisheye.
COEFFICIENTS = (4, 5, 8, 12, 14)
OF_FISHEYE = (4,)
#: Larger numbers are none that a camera could have.
LARGEST = 1e12

_NUMBER = re.compile(r"\d{1,9}")
_NEEDED = ("name", "size", "matrix", "distortions", "rotation", "translation")


def refused(message: str, hint: str = "") -> AnalysisFailed:
    """Return the error for a calibration that cannot be used."""
    # Files of other kinds may name cameras with what is no text.
    message = message.encode("utf-8", "backslashreplace").decode()
    return AnalysisFailed(message, hint=hint, kind="CalibrationUnreadable")


def summary(path: Path) -> dict[str, Any]:
    """Return what a ``calibration.toml`` holds: ``cameras`` (names), ``error`` in pixels, ``unit`` and ``source``.

    Raises
    ------
    AnalysisFailed
        It is no such file (kind ``CalibrationUnreadable``).
    """
    cameras, metadata = read(path)
    return {"cameras": [camera["name"] for camera in cameras], **origin(metadata)}


def origin(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``error`` (pixels, or None), ``unit`` and ``source`` of a calibration, as its metadata have them."""
    error, unit, source = (metadata.get(name) for name in ("error", "unit", "source"))
    return {
        "error": float(error) if error is not None and is_number(error) else None,
        "unit": unit if isinstance(unit, str) else "",
        "source": source if isinstance(source, str) else "Anipose",
    }


def is_number(value: Any) -> bool:
    """Whether it is a number that a camera could have; an integer in TOML may have any number of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def read(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the same as `parse` of a file."""
    return parse(_text(path))


def parse(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the tables of all cameras, in order, and that of the metadata.

    Raises
    ------
    AnalysisFailed
        It is no ``calibration.toml``, or something of a camera is missing (kind ``CalibrationUnreadable``).
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits too
        raise refused(f"The calibration is no TOML that can be read: {error}.") from error
    metadata = tables.pop("metadata", {})
    cameras = [tables[key] for key in sorted(tables, key=_position)]
    if not cameras or not all(isinstance(each, dict) for each in cameras) or not isinstance(metadata, dict):
        raise refused("The file is TOML, but no calibration: it has no tables [cam_0], [cam_1] …")
    for key, camera in zip(sorted(tables, key=_position), cameras, strict=True):
        missing = [name for name in _NEEDED if name not in camera]
        if missing:
            raise refused(f"In the calibration, [{key[:50]}] has no {', '.join(missing)}.")
        if not isinstance(camera["name"], str):
            raise refused(f"In the calibration, the name of [{key[:50]}] is no text.")
    return cameras, metadata


def compose(cameras: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> str:
    """Return the text of a ``calibration.toml``, as `parse` reads it."""
    width = len(str(len(cameras) - 1))  # Anipose sorts the names as text
    tables = {f"cam_{number:0{width}d}": camera for number, camera in enumerate(cameras)}
    parts = []
    for name, table in {**tables, "metadata": metadata}.items():
        parts.append(f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items()))
    return "\n".join(parts)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise refused("The file is too large for a calibration.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused("The calibration is no text.") from error


def _position(key: str) -> tuple[int, str]:
    number = _NUMBER.search(key)
    return (int(number[0]) if number else -1, key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be part of a calibration.")
        return repr(value)
    return "[" + ", ".join(_value(each) for each in value) + "]"
