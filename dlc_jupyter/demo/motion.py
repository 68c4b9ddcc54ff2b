"""How the demo mouse moves: bouts of walking, pauses and turns, a body and a tail that follow the head.

Only the neck is steered. The spine behind it and the tail behind that are chains that are pulled along, each joint with
a limit to its bend and a slow pull back to its resting shape; so body and tail lag and bend as they do in a mouse.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FPS = 30
SUBSTEPS = 4
"""Steps of the simulation in one frame."""

SEGMENT = 3.5
"""Length of one segment of spine and tail in pixels, for a mouse of size 1."""
HEAD_SEGMENTS = 10
BODY_SEGMENTS = 20
TAIL_SEGMENTS = 26
SPINE_LENGTH = SEGMENT * (HEAD_SEGMENTS + BODY_SEGMENTS)

ROAM = np.array([[105.0, 95.0], [535.0, 385.0]])
"""Where the neck may be sent: (left, top) and (right, bottom) in pixels; the rest of the frame is for turning."""


@dataclass(frozen=True)
class Pose:
    """One posture.

    Attributes
    ----------
    spine
        Points from the tip of the snout to the base of the tail, in pixels, shape (31, 2).
    tail
        Points from the base to the tip of the tail, in pixels, shape (27, 2).
    girth
        Width of the body against its usual width: breathing, and crouching in a pause.
    phase
        Phase of the gait in radians.
    stride
        How much of a step the legs make: 0 standing, 1 walking.
    """

    spine: Array
    tail: Array
    girth: float
    phase: float
    stride: float


@dataclass
class Bout:
    """A stretch of one behaviour: walking towards `goal`, or a pause (`speed` 0) in which the mouse looks around."""

    ends: float
    speed: float
    goal: Array


@dataclass
class Drift:
    """A smooth random walk around zero (two low-passes of white noise) with standard deviation near `spread`."""

    spread: float
    seconds: float
    value: float = 0.0
    _inner: float = 0.0

    def step(self, rng: np.random.Generator, dt: float) -> float:
        """Advance by `dt` seconds and return the new value."""
        rate = dt / self.seconds
        self._inner += -self._inner * rate + 2.0 * self.spread * np.sqrt(rate) * rng.standard_normal()
        self.value += (self._inner - self.value) * rate
        return self.value


def wrap(angle: float) -> float:
    """Bring an angle in radians into [-pi, pi)."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


@dataclass
class Walker:
    """A mouse in motion; :meth:`step` advances it and :meth:`pose` says how it looks now."""

    rng: np.random.Generator
    size: float = 1.0
    time: float = 0.0
    speed: float = 0.0
    turning: float = 0.0
    phase: float = 0.0
    crouch: float = 0.0
    neck: Array = field(init=False)
    heading: float = field(init=False)
    body: Array = field(init=False)
    tail: Array = field(init=False)
    bout: Bout = field(init=False)
    glance: Drift = field(default_factory=lambda: Drift(0.42, 0.16))
    sway: Drift = field(default_factory=lambda: Drift(0.5, 0.5))
    curl: Drift = field(default_factory=lambda: Drift(1.0, 0.45))

    def __post_init__(self) -> None:
        self.neck = self.rng.uniform(ROAM[0], ROAM[1])
        self.heading = self.rng.uniform(-np.pi, np.pi)
        self.body = np.full(BODY_SEGMENTS, self.heading + np.pi)
        self.tail = np.full(TAIL_SEGMENTS, self.heading + np.pi)
        self.bout = Bout(0.0, 0.0, self.neck)

    def step(self, dt: float) -> None:
        """Advance by `dt` seconds."""
        self.time += dt
        if self.time >= self.bout.ends or np.linalg.norm(self.bout.goal - self.neck) < 30:
            self.bout = self._next_bout()
        self._steer(dt)
        before = _joints(self.neck, self.body, self.size)
        self.neck = self.neck + self.speed * dt * np.array([np.cos(self.heading), np.sin(self.heading)])
        self.glance.step(self.rng, dt)
        tail_before = _joints(before[-1], self.tail, self.size)
        rest = 0.012 * self.sway.step(self.rng, dt) * np.ones(BODY_SEGMENTS)
        self.body = _follow(before, self.neck, self.heading + np.pi, rest, limit=0.115, recover=1.2 * dt)
        base = _joints(self.neck, self.body, self.size)[-1]
        along = np.linspace(0.3, 1.0, TAIL_SEGMENTS)
        rest = 0.085 * self.curl.step(self.rng, dt) * along
        self.tail = _follow(tail_before, base, self.body[-1], rest, limit=0.2, recover=1.6 * dt)
        self.phase += 2 * np.pi * self.speed / (46 * self.size) * dt
        self.crouch += (float(self.bout.speed == 0) - self.crouch) * dt / 0.35

    def pose(self) -> Pose:
        """Return the posture of this moment."""
        look = self.glance.value * (0.45 + 0.55 * self.crouch)
        head = np.clip(wrap(self.heading + look - (self.body[2] + np.pi)), -0.95, 0.95) + self.body[2]
        angles = np.unwrap(np.concatenate([np.full(HEAD_SEGMENTS, head), self.body, self.tail]))
        smooth = _blur(angles, 2.2)
        stride = min(1.0, self.speed / 70)
        # A wave runs down the back with each step: the hips swing more than the shoulders.
        number = np.arange(HEAD_SEGMENTS + BODY_SEGMENTS)
        wave = np.sin(self.phase - 0.22 * number) * np.linspace(0.2, 1.0, len(number)) * 0.075 * stride
        spine, tail = smooth[: len(number)] + wave, smooth[len(number) :]
        length = self.size * (1 - 0.05 * self.crouch)
        front = _joints(self.neck, spine[:HEAD_SEGMENTS][::-1] + np.pi, length)[::-1]
        back = _joints(self.neck, spine[HEAD_SEGMENTS:], length)
        breath = 0.012 * np.sin(2 * np.pi * 2.6 * self.time)
        return Pose(
            spine=np.concatenate([front, back[1:]]),
            tail=_joints(back[-1], tail, self.size),
            girth=self.size * (1 + 0.06 * self.crouch + breath),
            phase=self.phase,
            stride=stride,
        )

    def _next_bout(self) -> Bout:
        goal = self.bout.goal
        while np.linalg.norm(goal - self.neck) < 190:
            goal = self.rng.uniform(ROAM[0], ROAM[1])
        if self.bout.speed > 0 and self.rng.random() < 0.6:
            return Bout(self.time + self.rng.uniform(0.8, 1.9), 0.0, goal)
        return Bout(self.time + self.rng.uniform(1.3, 3.0), self.rng.uniform(95, 185), goal)

    def _steer(self, dt: float) -> None:
        """Turn towards the goal, and slow down for it; in a pause only the head turns, as far as the neck allows."""
        towards = self.bout.goal - self.neck
        error = wrap(float(np.arctan2(towards[1], towards[0])) - self.heading)
        pausing = self.bout.speed == 0
        if pausing:
            bend = wrap(self.heading - (self.body[3] + np.pi))
            error = float(np.clip(error, -0.5 - bend, 0.5 - bend))
        wanted = float(np.clip(3.5 * error, -2.9, 2.9)) * (0.6 if pausing else 1.0)
        self.turning += (wanted - self.turning) * dt / 0.13
        self.heading += self.turning * dt
        fast = self.bout.speed * (0.35 + 0.65 * max(0.0, float(np.cos(error))))
        self.speed += (fast - self.speed) * dt / (0.16 if pausing else 0.3)


def walk(frames: int, seed: int, size: float = 1.0) -> list[Pose]:
    """Let a mouse of `size` walk for a number of frames at 30 frames/s; the same seed gives the same walk."""
    walker = Walker(np.random.default_rng([seed, 1]), size)
    dt = 1 / (FPS * SUBSTEPS)
    poses = []
    settle = 2 * FPS
    for frame in range(settle + frames):
        for _ in range(SUBSTEPS):
            walker.step(dt)
        if frame >= settle:
            poses.append(walker.pose())
    return poses


def _joints(start: Array, angles: Array, size: float) -> Array:
    """Lay segments end to end from `start`; returns len(angles) + 1 points."""
    steps = SEGMENT * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([start[None], start + np.cumsum(steps, axis=0)])


def _follow(before: Array, lead: Array, first: float, rest: Array, limit: float, recover: float) -> Array:
    """Pull a chain of joints along by its first one.

    Parameters
    ----------
    before
        The joints before the pull, in pixels, shape (n + 1, 2).
    lead
        Where the first joint is now, in pixels.
    first
        Direction that the first segment bends from, in radians.
    rest
        Bend of each joint at rest, in radians, shape (n,).
    limit
        Largest bend of a joint, in radians.
    recover
        Share of its bend (less `rest`) that a joint loses in this step.

    Returns
    -------
    Direction of each segment in radians, shape (n,).
    """
    angles = np.empty(len(rest))
    length = np.linalg.norm(before[1] - before[0])
    here, previous = lead, first
    for i in range(len(rest)):
        pull = before[i + 1] - here
        bend = wrap(float(np.arctan2(pull[1], pull[0])) - previous)
        bend += (rest[i] - bend) * recover
        previous = previous + float(np.clip(bend, -limit, limit))
        angles[i] = previous
        here = here + length * np.array([np.cos(previous), np.sin(previous)])
    return angles


def _blur(values: Array, sigma: float) -> Array:
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
