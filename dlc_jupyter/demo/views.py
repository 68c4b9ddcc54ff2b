"""What a calibrated camera sees of flat faces and of a relief: each ray of each pixel is followed to where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose3d.cameras import Camera

Image = NDArray[np.float32]
Array = NDArray[np.float64]
Window = tuple[slice, slice]

FINE = 3
"""Rays for one pixel of the picture, in each direction."""

STEPS = 24
"""Steps in which a ray sinks through a relief."""


@dataclass(frozen=True)
class Face:
    """A rectangle in space.

    Attributes
    ----------
    corner
        Where (0, 0) of its own coordinates is in the scene, in mm, shape (3,).
    across, down
        Directions of its two coordinates, of unit length, shape (3,).
    size
        How far it reaches in both, in mm.
    """

    corner: Array
    across: Array
    down: Array
    size: tuple[float, float]

    @property
    def normal(self) -> Array:
        """Towards the side from which `across` points to the right and `down` downwards, shape (3,)."""
        return -np.cross(self.across, self.down)

    @property
    def corners(self) -> Array:
        """Its four corners, shape (4, 3)."""
        width, height = self.size
        return self.at(np.array([[0, 0], [width, 0], [width, height], [0, height]]))

    def at(self, points: Array) -> Array:
        """Return points of the scene, shape (..., 3), from the face's own coordinates, shape (..., 2)."""
        return np.asarray(self.corner + points[..., :1] * self.across + points[..., 1:] * self.down)

    def moved(self, rotation: Array, translation: Array) -> Face:
        """Return the face after a motion of the thing that it belongs to."""
        return Face(rotation @ self.corner + translation, rotation @ self.across, rotation @ self.down, self.size)


class Eye:
    """The rays of one camera, :data:`FINE` times as fine as its pixels, and the picture that they see."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        width, height = camera.size
        x, y = np.meshgrid(np.arange(width * FINE), np.arange(height * FINE))
        # The middle of a pixel is where its coordinates are whole.
        pixels = (np.stack([x, y], axis=-1) + 0.5) / FINE - 0.5
        self.rays = camera.normalised(pixels).astype(np.float32)

    def faces(self, face: Face) -> bool:
        """Whether the camera sees the front of a face."""
        return bool(face.normal @ (self.camera.centre - face.corner) > 0)

    def window(self, points: Array) -> Window:
        """Return the part of the rays that may meet what lies between points of the scene, shape (n, 3)."""
        pixels = (self.camera.project(points) + 0.5) * FINE
        room = 4 * FINE  # the lens bends straight edges a little
        height, width = self.rays.shape[:2]
        left, top = np.clip(np.floor(pixels.min(0)).astype(int) - room, 0, (width, height))
        right, bottom = np.clip(np.ceil(pixels.max(0)).astype(int) + room, 0, (width, height))
        return slice(top, bottom), slice(left, right)

    def meet(self, face: Face, window: Window) -> tuple[Image, Image]:
        """Return where the rays of a window meet the plane of a face, in its own coordinates (mm)."""
        turn = self.camera.rotation
        plane = np.column_stack([turn @ face.across, turn @ face.down, self.camera.seen(face.corner)])
        (a, b, c), (d, e, f), (g, h, i) = np.linalg.inv(plane).astype(np.float32)
        x, y = self.rays[window][..., 0], self.rays[window][..., 1]
        with np.errstate(divide="ignore", invalid="ignore"):  # a ray beside the plane meets it nowhere
            depth = 1 / (g * x + h * y + i)
            return (a * x + b * y + c) * depth, (d * x + e * y + f) * depth

    def sink(self, face: Face, relief: Image, scale: float, window: Window) -> tuple[Image, Image]:
        """Return where the rays of a window meet a relief that rises from a face.

        Parameters
        ----------
        face
            The ground of the relief, seen from its front.
        relief
            Heights above the face in pixels of the relief, shape (h, w); (0, 0) is at the face's own (0, 0).
        scale
            Millimetres of one pixel of the relief.
        window
            The rays to follow.

        Returns
        -------
        Column and row of the relief (pixels, not whole), each of the window's shape.
        """
        u, v = (each / np.float32(scale) - np.float32(0.5) for each in self.meet(face, window))
        offset = self.camera.centre - face.corner
        up = offset @ face.normal / scale
        # Going up by one pixel, a ray moves by so much beside the face.
        du = (np.float32(offset @ face.across / scale - 0.5) - u) / np.float32(up)
        dv = (np.float32(offset @ face.down / scale - 0.5) - v) / np.float32(up)
        levels = np.linspace(float(relief.max()), 0, STEPS + 1, dtype=np.float32)
        found = np.zeros_like(u)
        open_ = np.ones(u.shape, bool)
        above = np.full_like(u, np.inf)
        for before, level in pairwise(levels):
            gap = level - cv2.remap(relief, u + level * du, v + level * dv, cv2.INTER_LINEAR)
            hit = open_ & (gap <= 0)
            # Between two levels both ray and relief are taken as straight.
            share = np.where(np.isfinite(above), gap / np.minimum(gap - above, -1e-6), 0)
            found[hit] = (level + (before - level) * share)[hit]
            open_ &= ~hit
            above = gap
        return u + found * du, v + found * dv

    def picture(self, fine: Image) -> Image:
        """Return the picture (h, w, 3) of what all rays have met, shape (FINE h, FINE w, 3)."""
        return np.asarray(cv2.resize(fine, self.camera.size, interpolation=cv2.INTER_AREA), np.float32)


def within(u: Image, v: Image, size: tuple[float, float]) -> NDArray[np.bool_]:
    """Say which points in the coordinates of a face lie on it."""
    return np.asarray((u >= 0) & (v >= 0) & (u <= size[0]) & (v <= size[1]))


def looking(name: str, place: Array, at: Array, focal: float, middle: tuple[float, float], distortion: Array) -> Camera:
    """Return a camera at a place in the scene (mm) that looks at a point, the scene's y upwards in its picture.

    Parameters
    ----------
    name
        Of the camera.
    place, at
        Where it is, and what it looks at, shape (3,).
    focal
        Focal length in pixels.
    middle
        Principal point in pixels.
    distortion
        OpenCV's k1, k2, p1, p2, k3.
    """
    ahead = (at - place) / np.linalg.norm(at - place)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    matrix = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
    return Camera(name, (640, 480), matrix, distortion, rotation, -rotation @ place)
