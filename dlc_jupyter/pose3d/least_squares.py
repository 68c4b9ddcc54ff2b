"""Least squares of three unknowns, for many points at once: normal equations, and steps to the least distances."""

from __future__ import annotations

import numpy as np

from dlc_jupyter.pose3d.cameras import Array, Camera, Rig

#: Which nine numbers of a symmetric 4 x 4 matrix, the products of rows ``[a | b]``, are the equations ``a p + b = 0``.
UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (0, 3), (1, 3), (2, 3))

_STEPS = 6


def solve(equations: Array) -> Array:
    """Return the points, shape (3, n), that solve normal equations, shape (9, n): of a symmetric matrix and a side.

    By Cramer's rule: no subset of the cameras is so degenerate that it would fail for all. What has no solution is NaN.
    """
    a, b, c, d, e, f, u, v, w = equations
    xx, xy, xz = d * f - e * e, c * e - b * f, b * e - c * d
    yy, yz, zz = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = a * xx + b * xy + c * xz
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = -1 / np.where(determinant > 0, determinant, np.nan)
        return np.stack([xx * u + xy * v + xz * w, xy * u + yy * v + yz * w, xz * u + yz * v + zz * w]) * scale


def derivatives(camera: Camera, rays: Array, step: float = 1e-5) -> Array:
    """Return how pixels move with rays, shape (2, n): an array of shape (2, 2, n), pixels first."""
    moved = [camera.pixels((rays + np.array(way)[:, None]).T) for way in ((step, 0), (-step, 0), (0, step), (0, -step))]
    return np.stack([(moved[0] - moved[1]).T, (moved[2] - moved[3]).T], axis=1) / (2 * step)


def refined(rig: Rig, points: Array, pixels: Array, weights: Array, scales: Array) -> Array:
    """Move points, shape (3, n), to where their weighted distances in pixels cost least, by Huber's loss.

    A point stays where no step makes it better.
    """
    start, cost = _normal(rig, points, pixels, weights, scales)
    damping = np.full(points.shape[1], 1e-3)
    for _ in range(_STEPS):
        damped = start.copy()
        for index in (0, 3, 5):
            damped[index] *= 1 + damping
        there = points + solve(damped)
        equations, cost_there = _normal(rig, there, pixels, weights, scales)
        better = cost_there < cost
        points = np.where(better, there, points)
        start = np.where(better, equations, start)
        cost = np.where(better, cost_there, cost)
        damping = np.where(better, damping / 10, damping * 10)
    return points


def _normal(rig: Rig, points: Array, pixels: Array, weights: Array, scales: Array) -> tuple[Array, Array]:
    """Return the equations of a step, shape (9, n), and what points cost now, shape (n,)."""
    equations, cost = np.zeros((9, points.shape[1])), np.zeros(points.shape[1])
    for camera, seen, weight, scale in zip(rig.cameras, pixels, weights, scales, strict=True):
        used = weight > 0
        x, y, depth = camera.rotation @ points + camera.translation[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rays = np.stack([x / depth, y / depth])
            away = (camera.pixels(rays.T) - seen).T
            distance = np.hypot(*away)
            by_ray = derivatives(camera, rays)
            to_ray = np.stack(
                [np.stack([1 / depth, 0 * depth, -rays[0] / depth]), np.stack([0 * depth, 1 / depth, -rays[1] / depth])]
            )
            by_point = np.einsum("pri,rci,cs->psi", by_ray, to_ray, camera.rotation, optimize=True)
            loss = np.where(distance <= scale, distance**2, scale * (2 * distance - scale))
            factor = weight**2 * np.minimum(1.0, scale / np.maximum(distance, 1e-12))
            rows = np.concatenate([by_point, away[:, None]], axis=1)
            for index, (i, j) in enumerate(UPPER):
                equations[index] += np.where(used, factor * (rows[0, i] * rows[0, j] + rows[1, i] * rows[1, j]), 0.0)
            loss = np.where(depth > 0, weight**2 * loss, np.inf)
        cost += np.where(used, loss, 0.0)
    return equations, cost
