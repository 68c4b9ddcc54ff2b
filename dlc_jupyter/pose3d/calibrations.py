"""Calibrations in the files that people have, to and from a `Rig`.

Read are ``calibration.toml`` (Anipose's, and this package's own), DeepLabCut's ``stereo_params.pickle`` or the folder
``camera_matrix`` with it, and OpenCV's YAML and XML. What a file is, is seen from its content, not from its name.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import calibration_toml
from dlc_jupyter.pose.calibration_toml import refused
from dlc_jupyter.pose.project_files import SQUARES, stereo_unit
from dlc_jupyter.pose3d import opencv_files, pickles
from dlc_jupyter.pose3d.cameras import Camera, Rig

#: DeepLabCut's file of two calibrated cameras, and the folder of a project in which it lies.
STEREO = "stereo_params.pickle"
FOLDER = "camera_matrix"
#: Where DeepLabCut cuts undistorted pictures, from 0 to 1; its own default. The points in space do not depend on it.
ALPHA = 0.4

#: How pickles begin, but for those of protocols that were old when DeepLabCut was young.
_PICKLED = b"\x80"

_KNOWN = (
    "Give a calibration.toml (from `calibrate`, or from Anipose), DeepLabCut's stereo_params.pickle, or OpenCV's YAML "
    "or XML with the cameras' matrices, rotations and translations."
)
_STEREO_NEEDED = ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2", "R", "T")
_MATRICES = (*_STEREO_NEEDED, "E", "F", "R1", "R2", "P1", "P2", "Q")
# What DeepLabCut triangulates with, besides.
_RECTIFIED = {"R1": (3, 3), "R2": (3, 3), "P1": (3, 4), "P2": (3, 4)}


def read(path: Path | Sequence[Path], *, names: Sequence[str] = (), size: tuple[int, int] | None = None) -> Rig:
    """Read calibrated cameras.

    Parameters
    ----------
    path : Path, or sequence of Path
        A file; DeepLabCut's folder ``camera_matrix``, or the one above it, or the files in it; or several OpenCV files:
        those of a stereo pair, or one for each camera, in order.
    names : sequence of str
        What the cameras are to be called, in order. Where left out, as in the file. A project's folder must have the
        calibration of cameras that are called so, in this order: nothing is renamed there.
    size : (int, int), optional
        Width and height of the cameras' pictures, where an OpenCV file does not say it.

    Returns
    -------
    Rig
        The scene's axes are those of the file. For DeepLabCut's they are the rectified first camera's, in squares of
        the board: those in which `deeplabcut.triangulate` gives its points. Its unit is "" where no file says it.

    Raises
    ------
    AnalysisFailed
        It is no calibration, or holds something impossible (kind ``CalibrationUnreadable``).
    """
    paths = [path] if isinstance(path, Path) else list(path)
    contents = [_content(each) for each in paths]
    with _impossible_refused():
        if isinstance(path, Path) and path.is_dir():
            rig = _renamed(_stereo(*_of_project(pickles.loads(contents[0]), names)), names)
        else:
            rig = _read(contents, names, size)
        _check(rig)
    return rig


def _read(contents: Sequence[bytes], names: Sequence[str], size: tuple[int, int] | None) -> Rig:
    if all(content.startswith(_PICKLED) for content in contents):
        return _renamed(_stereo(*_of_pair(_of_both([pickles.loads(content) for content in contents]), names)), names)
    texts = [_text(content) for content in contents]
    if len(texts) == 1 and not texts[0].lstrip().startswith(("<", "%YAML")) and _is_toml(texts[0]):
        return _renamed(_toml(texts[0]), names)
    return opencv_files.rig_of([opencv_files.parse(text) for text in texts], names, size)


def are_pickles(paths: Sequence[Path]) -> bool:
    """Return whether files are DeepLabCut's: what several of them are of does not follow from their number."""
    return all(_content(path).startswith(_PICKLED) for path in paths)


def in_unit(rig: Rig, unit: str, square: float = 1.0) -> Rig:
    """Return the same cameras, measured in `unit`: what has been the length 1 is `square` of it."""
    cameras = tuple(replace(camera, translation=camera.translation * square) for camera in rig.cameras)
    return replace(rig, cameras=cameras, unit=unit)


def write_toml(rig: Rig, path: Path) -> Path:
    """Write a ``calibration.toml``, which Anipose reads too."""
    cameras = [
        {
            "name": camera.name,
            "size": list(camera.size),
            "matrix": camera.matrix.tolist(),
            "distortions": camera.distortion.tolist(),
            "rotation": _vector(camera.rotation),
            "translation": camera.translation.tolist(),
            **({"fisheye": True} if camera.fisheye else {}),
        }
        for camera in rig.cameras
    ]
    metadata: dict[str, Any] = {"adjusted": False, "unit": rig.unit, "source": rig.source}
    if rig.up:
        metadata["up"] = rig.up
    if rig.error is not None:
        metadata["error"] = float(rig.error)
    path.write_text(calibration_toml.compose(cameras, metadata), "utf-8")
    return path


def write_stereo_pickle(rig: Rig, path: Path, *, alpha: float = ALPHA) -> Path:
    """Write two cameras as DeepLabCut's ``calibrate_cameras`` does: its ``stereo_params.pickle``.

    `deeplabcut.triangulate` reads it. Its points come along the axes of the rectified first camera, in the rig's unit,
    which is written beside what DeepLabCut needs, where `read` finds it and DeepLabCut does not look; also where it is
    not known. Only squares need no word: that is what DeepLabCut's own files are measured in.

    Raises
    ------
    AnalysisFailed
        There are more than two cameras, or one is a fisheye: DeepLabCut knows neither.
    """
    values = stereo_parameters(rig, alpha=alpha) | ({} if rig.unit == SQUARES else {"unit": rig.unit})
    path.write_bytes(pickle.dumps({"-".join(rig.names): values}, protocol=4))
    return path


def stereo_parameters(rig: Rig, *, alpha: float = ALPHA) -> dict[str, Any]:
    """Return what DeepLabCut keeps of two cameras: what OpenCV's ``stereoCalibrate`` and ``stereoRectify`` return."""
    import cv2

    if len(rig) != 2 or any(camera.fisheye for camera in rig.cameras):
        raise AnalysisFailed(
            "DeepLabCut's calibration file has two cameras, without fisheye lenses.",
            hint="Keep more, or others, in a calibration.toml.",
            kind="CalibrationUnreadable",
        )
    one, two = rig.cameras
    rotation = two.rotation @ one.rotation.T
    translation = (two.translation - rotation @ one.translation).reshape(3, 1)
    lenses = one.matrix, one.distortion.reshape(1, -1), two.matrix, two.distortion.reshape(1, -1)
    # The corners of undistorted pictures, on which P1 and P2 depend, may be those of the larger camera.
    size = max(one.size, two.size)
    turn_1, turn_2, project_1, project_2, depth, part_1, part_2 = cv2.stereoRectify(
        *lenses, size, rotation, translation, alpha=alpha
    )
    x, y, z = translation.ravel()
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    fundamental = np.linalg.inv(two.matrix).T @ essential @ np.linalg.inv(one.matrix)
    return {
        "cameraMatrix1": lenses[0],
        "cameraMatrix2": lenses[2],
        "distCoeffs1": lenses[1],
        "distCoeffs2": lenses[3],
        "R": rotation,
        "T": translation,
        "E": essential,
        "F": fundamental / fundamental[2, 2],
        "R1": turn_1,
        "R2": turn_2,
        "P1": project_1,
        "P2": project_2,
        "roi1": part_1,
        "roi2": part_2,
        "Q": depth,
        "image_shape": [one.size, two.size],
    }


def read_stereo(folder: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a project's ``camera_matrix/stereo_params.pickle`` has of two cameras, as `stereo_parameters` does.

    Parameters
    ----------
    folder : Path
        The project's, or its ``camera_matrix``.
    names : sequence of str
        Of the two cameras.

    Raises
    ------
    AnalysisFailed
        As `read`, which looks closer at it; or what DeepLabCut triangulates with is not there.
    """
    with _impossible_refused():
        values = _of_project(pickles.loads(_content(folder)), names)[1]
        found = {name: pickles.array(each) if name in _MATRICES else each for name, each in values.items()}
    for name, shape in _RECTIFIED.items():
        if name not in found or found[name].shape != shape or not np.isfinite(found[name]).all():
            raise refused(
                f"The pickle has no {name} of {' x '.join(map(str, shape))} numbers, which DeepLabCut needs.",
                hint="Calibrate the cameras again, or give method=consensus.",
            )
    return found


# -- files -----------------------------------------------------------------------------------------------------------


def _content(path: Path) -> bytes:
    if path.is_dir():
        found = next((each for each in (path / STEREO, path / FOLDER / STEREO) if each.is_file()), None)
        if found is None:
            raise refused(
                f"There is no {STEREO} in the folder.",
                hint="DeepLabCut writes it at the end of calibrate_cameras(..., calibrate=True).",
            )
        path = found
    try:
        with path.open("rb") as file:
            return file.read(pickles.MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise refused(f"There is no file {path.name}.") from error


def _text(content: bytes) -> str:
    if len(content) > calibration_toml.MOST_BYTES:
        raise refused("The file is too large for a calibration.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("The file is no calibration that can be read.", hint=_KNOWN) from None
    if "\0" in text or not text.strip():
        raise refused("The file is no calibration that can be read.", hint=_KNOWN)
    return text


def _is_toml(text: str) -> bool:
    try:
        calibration_toml.parse(text)
    except AnalysisFailed:
        # A file that has Anipose's tables is to be refused for what is wrong in them.
        return any(line.strip().startswith("[cam") for line in text.splitlines())
    return True


def _toml(text: str) -> Rig:
    cameras, metadata = calibration_toml.parse(text)
    made = [
        Camera(
            name=each["name"],
            size=_size(each["size"]),
            matrix=each["matrix"],
            distortion=each["distortions"],
            rotation=opencv_files.rotation_by(np.asarray(each["rotation"], np.float64).reshape(-1)),
            translation=each["translation"],
            fisheye=bool(each.get("fisheye", False)),
        )
        for each in cameras
    ]
    return Rig(tuple(made), **calibration_toml.origin(metadata), up="z" if metadata.get("up") == "z" else "")


def _of_both(found: Sequence[Any]) -> Any:
    """Return what stereo_params.pickle holds, given alone or with the lenses that lie beside it, which it has too."""
    both = [each for each in found if not _is_lenses(each)]
    if not both:
        raise refused("A pickle is the calibration of a single lens.", hint=f"Give {STEREO}, which has both cameras.")
    if len(both) > 1:
        raise refused(
            f"{len(both)} of the pickles are no calibrations of a single lens.",
            hint=f"Give one {STEREO}, alone or with the files beside it.",
        )
    return both[0]


def _is_lenses(values: Any) -> bool:
    """Return whether they are those of a ``<camera>_intrinsic_params.pickle``."""
    each = list(values.values()) if isinstance(values, Mapping) else []
    return bool(each) and all(isinstance(lens, Mapping) and "mtx" in lens for lens in each)


def _of_pair(pairs: Any, names: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the pair of cameras in a pickle, and what it has of them."""
    if not isinstance(pairs, Mapping) or not pairs or not all(isinstance(each, Mapping) for each in pairs.values()):
        raise refused("The pickle is no stereo_params.pickle of DeepLabCut.", hint=_KNOWN)
    key = "-".join(names) if "-".join(names) in pairs else next(iter(pairs))
    if len(pairs) > 1 and key != "-".join(names):
        raise refused(
            f"The pickle has several pairs of cameras: {', '.join(map(str, pairs))[:500]}.",
            hint="Say with names which two.",
        )
    return str(key), pairs[key]


def _of_project(pairs: Any, cameras: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Return the same, where it must be of a project's cameras, in their order."""
    if not cameras:
        return _of_pair(pairs, cameras)
    key, values = _of_pair(pairs, cameras)
    if key != "-".join(cameras):
        raise refused(
            f"The pickle is of the cameras {key[:200]}, but the project has {'-'.join(cameras)}.",
            hint="Calibrate the project's own cameras, in the order of camera_names in its config.yaml.",
        )
    return key, values


def _stereo(key: str, values: Mapping[str, Any]) -> Rig:
    missing = [name for name in _STEREO_NEEDED if name not in values]
    if missing:
        raise refused(f"The pickle has no {', '.join(missing)}.", hint=f"Give {STEREO}, which has both cameras.")
    parts = {name: pickles.array(values[name]) for name in _STEREO_NEEDED}
    sizes = values.get("image_shape")
    if not isinstance(sizes, list | tuple) or len(sizes) != 2:
        raise refused("The pickle does not say the size of the cameras' pictures (image_shape).")
    between, shift = parts["R"].reshape(3, 3), parts["T"].reshape(3)
    upright = pickles.array(values["R1"]).reshape(3, 3) if "R1" in values else np.eye(3)
    own = _names_in(key)
    cameras = (
        Camera(own[0], _size(sizes[0]), parts["cameraMatrix1"], parts["distCoeffs1"], upright.T, np.zeros(3)),
        Camera(own[1], _size(sizes[1]), parts["cameraMatrix2"], parts["distCoeffs2"], between @ upright.T, shift),
    )
    return Rig(cameras, unit=stereo_unit(values.get("unit")), source="DeepLabCut")


def _names_in(key: str) -> tuple[str, str]:
    """Return the two names that DeepLabCut has put together with a hyphen; they may have hyphens themselves."""
    words = key.split("-")
    half = len(words) // 2
    return ("-".join(words[:half]), "-".join(words[half:])) if half else ("camera-1", "camera-2")


# -- what they hold --------------------------------------------------------------------------------------------------


def _size(value: Any) -> tuple[int, int]:
    width, height = (int(each) for each in np.asarray(pickles.array(value)).reshape(2))
    return width, height


def _vector(rotation: np.ndarray[Any, Any]) -> list[float]:
    import cv2

    return [float(each) for each in cv2.Rodrigues(rotation)[0].reshape(3)]


def _renamed(rig: Rig, names: Sequence[str]) -> Rig:
    if not names or tuple(names) == rig.names:
        return rig
    if len(names) != len(rig):
        raise refused(
            f"The calibration has {len(rig)} cameras ({', '.join(rig.names)}), but {len(names)} names are given."
        )
    cameras = [replace(camera, name=name) for camera, name in zip(rig.cameras, names, strict=True)]
    return replace(rig, cameras=tuple(cameras))


@contextmanager
def _impossible_refused() -> Iterator[None]:
    """Turn numbers that do not fit, in shape or value, into a sentence."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise refused(f"The calibration holds something impossible. {error}") from error


def _check(rig: Rig) -> None:
    if len(rig) < 2:
        raise refused(f"The calibration has one camera only ({rig.names[0]}).", hint="Two or more are needed.")
    for camera in rig.cameras:
        allowed = calibration_toml.OF_FISHEYE if camera.fisheye else calibration_toml.COEFFICIENTS
        if len(camera.distortion) not in allowed:
            kind = "a fisheye" if camera.fisheye else "a lens"
            raise refused(
                f"The lens of {camera.name} has {len(camera.distortion)} coefficients of distortion; OpenCV knows "
                f"{', '.join(map(str, allowed))} for {kind}."
            )
        if min(camera.matrix[0, 0], camera.matrix[1, 1]) <= 0 or min(camera.size) <= 0:
            raise refused(f"The focal length and the size of {camera.name} must be larger than 0.")
        if np.linalg.det(camera.rotation) < 0:
            raise refused(f"The rotation of {camera.name} is a mirror.")
