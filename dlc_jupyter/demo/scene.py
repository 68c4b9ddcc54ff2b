"""The demo scene: a dark mouse in a bright arena, seen from above, with every body part's true position.

The same seed and look give the same pixels. `python -m dlc_jupyter.demo.make` makes the demo video and model from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo import arena, mouse
from dlc_jupyter.demo.arena import HEIGHT, WIDTH
from dlc_jupyter.demo.motion import FPS, SPINE_LENGTH, Pose, walk

__all__ = ["BODYPARTS", "FPS", "HEIGHT", "SKELETON", "WIDTH", "Look", "Scene", "keypoints"]

BODYPARTS = ("snout", "leftear", "rightear", "bodycentre", "tailbase", "tailmid", "tailtip")

SKELETON = (
    ("snout", "leftear"),
    ("snout", "rightear"),
    ("leftear", "rightear"),
    ("leftear", "bodycentre"),
    ("rightear", "bodycentre"),
    ("bodycentre", "tailbase"),
    ("tailbase", "tailmid"),
    ("tailmid", "tailtip"),
)

BODYCENTRE = 0.60
"""Where the middle of the body is, as a share of the way from snout to base of the tail."""


@dataclass(frozen=True)
class Look:
    """All that may differ between two recordings of two mice."""

    size: float = 1.08
    coat: mouse.Coat = field(default_factory=mouse.Coat)
    floor: arena.Floor = field(default_factory=arena.Floor)
    light: mouse.Light = field(default_factory=mouse.Light)
    exposure: float = 1.0
    noise: float = 1.6
    """Noise of the camera's sensor: standard deviation in grey levels."""
    flicker: float = 0.004
    """Flicker of the lamps: standard deviation as a share of their light."""

    @classmethod
    def vary(cls, seed: int) -> Look:
        """Another mouse in another light: what a network must learn to ignore."""
        rng = np.random.default_rng([seed, 4])
        usual = cls()
        dark = rng.uniform(0.7, 1.3)
        angle, slope = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 0.8)
        return cls(
            size=rng.uniform(0.92, 1.24),
            coat=mouse.Coat(
                fur=_tinted(usual.coat.fur, dark, rng),
                tips=_tinted(usual.coat.tips, dark, rng),
                ear=_tinted(usual.coat.ear, rng.uniform(0.85, 1.2), rng),
                rim=_tinted(usual.coat.rim, rng.uniform(0.85, 1.15), rng),
                skin=_tinted(usual.coat.skin, rng.uniform(0.8, 1.15), rng),
            ),
            floor=arena.Floor(
                tint=_tinted(usual.floor.tint, rng.uniform(0.85, 1.12), rng),
                lamp=(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)),
                falloff=rng.uniform(0.08, 0.32),
                bedding=int(rng.integers(10, 90)),
            ),
            light=mouse.Light((slope * np.cos(angle), slope * np.sin(angle), 0.76), rng.uniform(0.15, 0.45)),
            exposure=rng.uniform(0.85, 1.1),
            noise=rng.uniform(0.5, 4.0),
        )


class Scene:
    """A recording that can be drawn frame by frame, in any order.

    Parameters
    ----------
    frames
        Number of frames, at 30 frames/s.
    seed
        Of the walk, the arena's texture, the fur and the noise.
    look
        Of mouse, arena and light.
    """

    def __init__(self, frames: int, seed: int, look: Look | None = None) -> None:
        self.look = look or Look()
        self.seed = seed
        self.poses = walk(frames, seed, self.look.size)
        self._arena = arena.draw(self.look.floor, seed)
        self._painting = mouse.paint(self.look.coat, seed)

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def truth(self) -> NDArray[np.float64]:
        """Where each body part is, in pixels, shape (frames, 7, 2), in the order of :data:`BODYPARTS`."""
        return np.stack([keypoints(pose) for pose in self.poses])

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Draw one frame: BGR, shape (480, 640, 3)."""
        rng = np.random.default_rng([self.seed, 5, number])
        picture = self._arena.copy()
        mouse.draw(picture, self._painting, self.poses[number], self.look.coat, self.look.light)
        picture *= self.look.exposure * (1 + self.look.flicker * rng.standard_normal())
        picture += self.look.noise * rng.standard_normal(picture.shape, np.float32)
        return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def keypoints(pose: Pose) -> NDArray[np.float64]:
    """Where the body parts of a posture are, in pixels, shape (7, 2), in the order of :data:`BODYPARTS`."""
    along, side = mouse.EAR
    # The picture's y grows downwards: with the snout ahead, the mouse's left is at the right-hand side of the spine,
    # which runs from the snout backwards.
    return np.stack(
        [
            pose.spine[0],
            mouse.place(pose, along, side),
            mouse.place(pose, along, -side),
            mouse.place(pose, BODYCENTRE * SPINE_LENGTH, 0.0),
            pose.spine[-1],
            pose.tail[len(pose.tail) // 2],
            pose.tail[-1],
        ]
    )


def _tinted(
    colour: tuple[float, float, float], brightness: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    b, g, r = (brightness * c * rng.uniform(0.95, 1.05) for c in colour)
    return b, g, r
