"""What a calibrated camera is: how a point in space becomes a pixel, and what a pixel says of the point.

The model is OpenCV's: a pinhole with lens distortion, or its fisheye. All that is known of several cameras that look
at the same scene is a `Rig`; the order of its cameras is the order in which videos are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
        import cv2

        points = np.asarray(points, np.float64)
        flat = self.seen(points.reshape(-1, 3))
        pixels = np.full((len(flat), 2), np.nan)
        front = flat[:, 2] > 0  # False for NaN
        if front.any():
            still: Any = np.zeros(3)
            at = np.ascontiguousarray(flat[front][:, None])
            project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
            pixels[front] = project(at, still, still, self.matrix, self.distortion)[0].reshape(-1, 2)
        return pixels.reshape(*points.shape[:-1], 2)

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
    """

    cameras: tuple[Camera, ...]
    unit: str = ""
    error: float | None = None
    source: str = ""

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

    def project(self, points: Array) -> Array:
        """Return the pixels, shape (cameras, ..., 2), at which each camera sees points, shape (..., 3)."""
        return np.stack([camera.project(points) for camera in self.cameras])

    def normalised(self, pixels: Array) -> Array:
        """Return `Camera.normalised` for the pixels, shape (cameras, ..., 2), of each camera."""
        return np.stack([camera.normalised(each) for camera, each in zip(self.cameras, pixels, strict=True)])

    def moved(self, rotation: Array, translation: Array) -> Rig:
        """Return the same cameras in a scene whose point p is this one's ``rotation @ p + translation``."""
        return replace(
            self,
            cameras=tuple(
                replace(
                    camera,
                    rotation=camera.rotation @ rotation,
                    translation=camera.rotation @ translation + camera.translation,
                )
                for camera in self.cameras
            ),
        )

    def chosen(self, names: Sequence[str]) -> Rig:
        """Return the cameras of these names, in this order. KeyError where there is none of a name."""
        known = {camera.name: camera for camera in self.cameras}
        return replace(self, cameras=tuple(known[name] for name in names))
