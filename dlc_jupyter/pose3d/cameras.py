"""What a calibrated camera is: how a point in space becomes a pixel, and what a pixel says of the point.

The model is OpenCV's: a pinhole with lens distortion, or its fisheye. All that is known of several cameras that look
at the same scene is a `Rig`; the order of its cameras is the order in which videos are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera. A point p of the scene is seen by it at ``rotation @ p + translation``.

    Attributes
    ----------
    name : str
    size : (int, int)
        Width and height of its picture in pixels.
    matrix : ndarray of float64, shape (3, 3)
        Focal lengths and principal point, in pixels.
    distortion : ndarray of float64, shape (n,)
        OpenCV's coefficients: k1, k2, p1, p2, k3 … with n from 4 to 14, or the 4 of a fisheye.
    rotation : ndarray of float64, shape (3, 3)
        From the axes of the scene to those of the camera: x goes right, y down, z into the picture.
    translation : ndarray of float64, shape (3,)
        Where the scene's origin is as the camera sees it, in the rig's unit.
    fisheye : bool
        Whether `distortion` is that of OpenCV's fisheye model.
    """

    name: str
    size: tuple[int, int]
    matrix: Array
    distortion: Array
    rotation: Array
    translation: Array
    fisheye: bool = False

    def __post_init__(self) -> None:
        """Take what OpenCV and others return: matrices of any kind of number, and vectors of any shape."""
        shapes = {"matrix": (3, 3), "distortion": (-1,), "rotation": (3, 3), "translation": (3,)}
        for name, shape in shapes.items():
            values = np.asarray(getattr(self, name), np.float64).reshape(shape)
            if not np.isfinite(values).all():
                raise ValueError(f"The {name} of camera {self.name} holds a value that is no number.")
            object.__setattr__(self, name, values)
        if not np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-4):
            raise ValueError(f"The rotation of camera {self.name} is no rotation.")

    @property
    def pose(self) -> Array:
        """Rotation and translation side by side, shape (3, 4)."""
        return np.column_stack([self.rotation, self.translation])

    def as_json(self) -> dict[str, Any]:
        """Return what its lens is like, for a result."""
        (fx, _, cx), (_, fy, cy), _ = self.matrix
        return {
            "size": list(self.size),
            "focal_length": [round(float(fx), 3), round(float(fy), 3)],
            "principal_point": [round(float(cx), 3), round(float(cy), 3)],
            "distortion": [round(float(each), 6) for each in self.distortion],
            "fisheye": self.fisheye,
        }

    @property
    def centre(self) -> Array:
        """Where the camera is in the scene, shape (3,)."""
        return np.asarray(-self.rotation.T @ self.translation)

    def seen(self, points: Array) -> Array:
        """Return points of the scene, shape (..., 3), along the axes of the camera. Its third number is the depth."""
        return np.asarray(points @ self.rotation.T + self.translation)

    def project(self, points: Array) -> Array:
        """Return the pixels, shape (..., 2), at which the camera sees points of the scene, shape (..., 3).

        Those behind the camera, and NaN, become NaN.
        """
        points = np.asarray(points, np.float64)
        flat = self.seen(points.reshape(-1, 3))
        with np.errstate(invalid="ignore", divide="ignore"):
            depth = np.where(flat[:, 2] > 0, flat[:, 2], np.nan)  # NaN for NaN
            at = flat[:, :2] / depth[:, None]
        return self.pixels(at).reshape(*points.shape[:-1], 2)

    def pixels(self, normalised: Array) -> Array:
        """Return the pixels, shape (..., 2), of rays that meet the plane at depth 1 there, shape (..., 2): the lens.

        The formulas are those of OpenCV's ``projectPoints`` and ``fisheye.projectPoints``, which are slow for many
        points, since they always find the derivatives too.
        """
        normalised = np.asarray(normalised, np.float64)
        x, y = normalised[..., 0], normalised[..., 1]
        if self.fisheye:
            x, y = _fisheye(x, y, self.distortion)
        elif self.distortion[12:].any():  # the sensor is tilted
            return self._tilted(normalised)
        else:
            x, y = _distorted(x, y, np.pad(self.distortion, (0, 14 - len(self.distortion))))
        (fx, _, cx), (_, fy, cy), _ = self.matrix
        return np.stack([fx * x + cx, fy * y + cy], -1)

    def _tilted(self, normalised: Array) -> Array:
        import cv2

        flat = normalised.reshape(-1, 2)
        found = np.full(flat.shape, np.nan)
        known = np.isfinite(flat).all(1)
        if known.any():
            still: Any = np.zeros(3)
            at = np.column_stack([flat[known], np.ones(known.sum())])[:, None]
            found[known] = cv2.projectPoints(at, still, still, self.matrix, self.distortion)[0].reshape(-1, 2)
        return found.reshape(normalised.shape)

    def normalised(self, pixels: Array) -> Array:
        """Return where the rays through pixels, shape (..., 2), meet the plane at depth 1, along the camera's axes.

        Lens distortion is taken away. NaN stays NaN.
        """
        import cv2

        pixels = np.asarray(pixels, np.float64)
        flat = np.ascontiguousarray(pixels.reshape(-1, 1, 2))
        if not len(flat):
            return pixels.copy()
        if self.fisheye:
            found = cv2.fisheye.undistortPoints(flat, self.matrix, self.distortion)
        else:
            precise = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-10)
            found = cv2.undistortPointsIter(flat, self.matrix, self.distortion, None, None, precise)
        return np.asarray(found.reshape(pixels.shape))


def _distorted(x: Array, y: Array, coefficients: Array) -> tuple[Array, Array]:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, _, _ = coefficients
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if k4 or k5 or k6:
        radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    across = 2 * x * y
    return (
        x * radial + p1 * across + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2),
        y * radial + p2 * across + p1 * (r2 + 2 * y * y) + r2 * (s3 + r2 * s4),
    )


def _fisheye(x: Array, y: Array, coefficients: Array) -> tuple[Array, Array]:
    k1, k2, k3, k4 = coefficients
    r = np.hypot(x, y)
    angle = np.arctan(r)
    a2 = angle * angle
    bent = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))
    factor = np.where(r > 1e-12, bent / np.maximum(r, 1e-12), np.where(np.isnan(r), np.nan, 1.0))
    return x * factor, y * factor


@dataclass(frozen=True, eq=False)
class Rig:
    """Cameras that look at the same scene, in the order in which their videos are given.

    Attributes
    ----------
    cameras : tuple of Camera
    unit : str
        In which the scene is measured: ``mm``, ``squares`` of the board, …; "" where nobody has said.
    error : float or None
        Root mean square of the distances, in pixels, between the corners of the board that were seen and those that
        this calibration expects. None where it is not known.
    source : str
        Where the calibration comes from, in words.
    up : str
        ``z`` where somebody has said that this axis of the scene goes up; "" where nobody has.
    """

    cameras: tuple[Camera, ...]
    unit: str = ""
    error: float | None = None
    source: str = ""
    up: str = ""

    def __post_init__(self) -> None:
        """Refuse two cameras of one name."""
        if len(set(self.names)) != len(self.cameras):
            raise ValueError(f"Two cameras have the same name: {', '.join(self.names)}.")

    def __len__(self) -> int:
        return len(self.cameras)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The cameras' names."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def poses(self) -> Array:
        """Rotations and translations of all cameras, shape (cameras, 3, 4)."""
        return np.stack([camera.pose for camera in self.cameras])

    def distances(self) -> list[dict[str, Any]]:
        """Return how far the cameras are from each other, for a result: to be checked with a ruler."""
        return [
            {
                "cameras": [one.name, two.name],
                "distance": float(f"{np.linalg.norm(one.centre - two.centre):.6g}"),
                "unit": self.unit,
            }
            for one, two in combinations(self.cameras, 2)
        ]

    def project(self, points: Array) -> Array:
        """Return the pixels, shape (cameras, ..., 2), at which each camera sees points, shape (..., 3)."""
        return np.stack([camera.project(points) for camera in self.cameras])

    def normalised(self, pixels: Array) -> Array:
        """Return `Camera.normalised` for the pixels, shape (cameras, ..., 2), of each camera."""
        return np.stack([camera.normalised(each) for camera, each in zip(self.cameras, pixels, strict=True)])

    def moved(self, rotation: Array, translation: Array) -> Rig:
        """Return the same cameras in a scene whose point p is this one's ``rotation @ p + translation``.

        What goes up there is not said.
        """
        return replace(
            self,
            up="",
            cameras=tuple(
                replace(
                    camera,
                    rotation=camera.rotation @ rotation,
                    translation=camera.rotation @ translation + camera.translation,
                )
                for camera in self.cameras
            ),
        )

    @property
    def first_is_origin(self) -> bool:
        """Whether the scene's origin is the first camera, and so its axes are that camera's."""
        size = max(np.linalg.norm(each.centre) for each in self.cameras)
        return bool(np.abs(self.cameras[0].translation).max() <= 1e-9 * size)

    @property
    def axes(self) -> tuple[str, str]:
        """The axis of the scene that goes up, and in words what its axes are.

        They are the first camera's where that is in the origin, as with most calibrations: then y goes down. Otherwise,
        where nobody has said what goes up, it is the axis that does so in most of the pictures.
        """
        if self.up:
            return self.up, f"those of the calibration, {self.up} up"
        first = self.cameras[0]
        if not self.first_is_origin:
            down = sum(each.rotation[1] for each in self.cameras)
            return "z" if -down[2] > down[1] else "-y", "those of the calibration, as its file has them"
        if np.allclose(first.rotation, np.eye(3), atol=1e-9):
            return "-y", f"those of {first.name}: x right, y down, z into its picture"
        return "-y", f"those of {first.name}, rectified as DeepLabCut does: x right, y down, z into its picture"

    def chosen(self, names: Sequence[str]) -> Rig:
        """Return the cameras of these names, in this order. KeyError where there is none of a name."""
        known = {camera.name: camera for camera in self.cameras}
        return replace(self, cameras=tuple(known[name] for name in names))


def rotation_about(vector: Array) -> Array:
    """Return the rotation about a vector, shape (3,), by its length in radians (Rodrigues' formula)."""
    angle = math.sqrt(float(vector @ vector))
    x, y, z = vector if angle == 0 else vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)
