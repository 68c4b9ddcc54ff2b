"""Where cameras stand to each other, by the boards that they see at the same time: a first guess, two by two.

Two cameras that see the same board are a pair. All cameras hang together through such pairs; those through which most
boards agree are taken. A board that looks the same when it is turned leaves open how it lies: every way is tried, and
the one in which the boards agree is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.boards import Board, Corners, Numbers
from dlc_jupyter.pose3d.bundle import View
from dlc_jupyter.pose3d.cameras import Array, Camera

#: How far from where two cameras expect a board it may be seen, in parts of the picture's width, to agree with them.
AGREEING = 0.02
#: Cameras that agree on a smaller share of the boards that both see are refused: nothing is known of where they stand.
DISAGREEING = 0.25
#: Pictures of a pair that are compared with each other, at most.
COMPARED = 60

_AT_ONCE = "Hold the board still where several cameras see it at the same time, and give the pictures of each moment."


@dataclass(frozen=True, eq=False)
class Sighting:
    """A board in one picture of one camera.

    Attributes
    ----------
    corners : Corners
    rotation, translation : ndarray of float64, shapes (3, 3) and (3,)
        A point b of the board is at ``rotation @ b + translation`` along the camera's axes.
    """

    corners: Corners
    rotation: Array
    translation: Array


@dataclass(frozen=True, eq=False)
class Guess:
    """What is known before all is adjusted together.

    Attributes
    ----------
    rotations, translations : ndarray of float64, shapes (cameras, 3, 3) and (cameras, 3)
        Of the cameras, in the scene of the first one.
    boards : dict of int to (ndarray, ndarray)
        Rotation and translation of the board, by the number of the picture.
    quarters : dict of (int, int) to int
        By camera and picture: how far the board's corners are to be turned so that all cameras mean the same ones.
    disagreeing : list of (int, int)
        Camera and picture in which the board is somewhere else than the other cameras say.
    shared : dict of (int, int) to (int, int)
        By pair through which the cameras hang together: on how many boards they agree, and of how many.
    """

    rotations: Array
    translations: Array
    boards: dict[int, tuple[Array, Array]]
    quarters: dict[tuple[int, int], int]
    disagreeing: list[tuple[int, int]]
    shared: dict[tuple[int, int], tuple[int, int]]


def pose_of(board: Board, corners: Corners, camera: Camera) -> tuple[Array, Array]:
    """Return rotation and translation from the board's axes to the camera's."""
    import cv2

    flat = np.ascontiguousarray(camera.normalised(corners.pixels))
    points = np.ascontiguousarray(board.points[corners.numbers])
    still = np.eye(3)
    # A plane seen from afar has two solutions that are almost alike; the better one is refined.
    _, turns, shifts, _ = cv2.solvePnPGeneric(points, flat, still, None, flags=cv2.SOLVEPNP_IPPE)
    turn, shift = cv2.solvePnPRefineLM(points, flat, still, None, turns[0], shifts[0])
    return np.asarray(cv2.Rodrigues(turn)[0]), np.asarray(shift).reshape(3)


def guess(board: Board, cameras: Sequence[Camera], sightings: Sequence[Mapping[int, Sighting]]) -> Guess:
    """Find where the cameras stand, and the boards.

    Parameters
    ----------
    cameras : sequence of Camera
        With their lenses; where they stand is not used.
    sightings : sequence of mapping of int to Sighting
        By camera, by the number of the picture.

    Raises
    ------
    AnalysisFailed
        Some cameras share no board with the others (kind ``CamerasApart``); cameras see most boards in different places
        (``CamerasDisagree``); or it cannot be told how the board lies, because it looks the same when it is turned
        (``BoardAmbiguous``).
    """
    pairs = {}
    for first in range(len(cameras)):
        for second in range(first + 1, len(cameras)):
            found = _pair(board, (cameras[first], cameras[second]), (sightings[first], sightings[second]))
            if found is not None:
                pairs[first, second] = found
    _check_together(cameras, pairs)
    rotations, translations, used = _hung(len(cameras), pairs)
    for pair in used:
        names = " and ".join(cameras[each].name for each in pair)
        if pairs[pair].ambiguous:
            raise _ambiguous(board, names)
        if pairs[pair].agreeing < DISAGREEING * pairs[pair].shared:
            raise _disagree(names, pairs[pair])
    boards, quarters, disagreeing = {}, {}, []
    for number in sorted(set().union(*sightings)):
        seeing = {index: each[number] for index, each in enumerate(sightings) if number in each}
        place, turns, far = _board(board, cameras, rotations, translations, seeing)
        boards[number] = place
        quarters.update({(index, number): turn for index, turn in turns.items()})
        disagreeing += [(index, number) for index in far]
    shared = {pair: (pairs[pair].agreeing, pairs[pair].shared) for pair in used}
    return Guess(rotations, translations, boards, quarters, disagreeing, shared)


# -- two cameras -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pair:
    """From the axes of the first camera to those of the second, and how many of the boards that both see say so."""

    rotation: Array
    translation: Array
    agreeing: int
    shared: int
    ambiguous: bool


def _pair(
    board: Board, cameras: tuple[Camera, Camera], sightings: tuple[Mapping[int, Sighting], Mapping[int, Sighting]]
) -> _Pair | None:
    """Return what the boards that two cameras share say; None where they share none."""
    shared = sorted(sightings[0].keys() & sightings[1].keys())
    if len(shared) > COMPARED:
        shared = [shared[at] for at in np.linspace(0, len(shared) - 1, COMPARED).round().astype(int)]
    if not shared:
        return None
    firsts, seconds = [sightings[0][each] for each in shared], [sightings[1][each] for each in shared]
    turns = [board.turned(quarters) for quarters in board.turns]
    # Each board, turned in each way, is a proposal.
    rotations, translations = [], []
    for one, two in zip(firsts, seconds, strict=True):
        for rotation, shift in turns:
            across = two.rotation @ rotation @ one.rotation.T
            rotations.append(across)
            translations.append(two.rotation @ shift + two.translation - across @ one.translation)
    by_turn = np.stack([_apart(board, cameras[1], rotations, translations, firsts, seconds, turn) for turn in turns])
    apart = by_turn.min(axis=0)  # (proposals, boards), in parts of the width of the second camera's picture
    agreeing = (apart < AGREEING).sum(axis=1)
    # Most boards, then the nearest. The board that a proposal comes from agrees with it anyway.
    best = min(range(len(rotations)), key=lambda each: (-agreeing[each], np.median(apart[each])))
    rotation, translation = _mean(best, rotations, translations, by_turn, len(turns))
    others = [
        agreeing[each]
        for each in range(len(rotations))
        if _differ(rotations[each], translations[each], rotations[best], translations[best])
    ]
    ambiguous = len(turns) > 1 and bool(others) and max(others) >= 0.9 * agreeing[best]
    # The mean of several is nearer to all than the best one.
    again = np.stack([_apart(board, cameras[1], [rotation], [translation], firsts, seconds, turn) for turn in turns])
    count = max(int(agreeing[best]), int((again.min(axis=0) < AGREEING).sum()))
    return _Pair(rotation, translation, count, len(shared), ambiguous)


def _apart(
    board: Board,
    camera: Camera,
    rotations: Sequence[Array],
    translations: Sequence[Array],
    firsts: Sequence[Sighting],
    seconds: Sequence[Sighting],
    turn: tuple[Array, Array],
) -> Array:
    """Return how far from where it is seen each proposal expects each board, shape (proposals, boards)."""
    some = _outermost(board)
    turned = some @ turn[0].T + turn[1]
    at = np.stack([some @ each.rotation.T + each.translation for each in firsts])
    seen = np.stack([turned @ each.rotation.T + each.translation for each in seconds])
    expected = np.einsum("pij,bnj->pbni", np.stack(rotations), at) + np.stack(translations)[:, None, None]
    behind = (expected[..., 2] <= 0).any(axis=-1)
    apart = expected[..., :2] / np.where(expected[..., 2:] <= 0, 1.0, expected[..., 2:]) - seen[..., :2] / seen[..., 2:]
    distance = np.sqrt(np.mean(np.sum(apart**2, axis=-1), axis=-1)) * camera.matrix[0, 0] / camera.size[0]
    return np.asarray(np.where(behind, np.inf, distance))


def _outermost(board: Board) -> Array:
    """Return the four outermost corners and the middle."""
    rows, columns = board.shape
    grid = board.points.reshape(rows, columns, 3)
    ends = np.stack([grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]])
    return np.concatenate([ends, ends.mean(axis=0, keepdims=True)])


def _mean(
    best: int, rotations: Sequence[Array], translations: Sequence[Array], by_turn: Array, turns: int
) -> tuple[Array, Array]:
    """Return the mean of the proposals that agree with the best one."""
    boards = by_turn.shape[2]
    alike = [
        number * turns + turn
        for number in range(boards)
        for turn in range(turns)
        if by_turn[:, best, number].min() < AGREEING
        and not _differ(
            rotations[number * turns + turn], translations[number * turns + turn], rotations[best], translations[best]
        )
    ] or [best]
    u, _, v = np.linalg.svd(np.sum([rotations[each] for each in alike], axis=0))
    flip = np.diag([1.0, 1.0, np.linalg.det(u @ v)])
    return u @ flip @ v, np.median([translations[each] for each in alike], axis=0)


def _differ(rotation: Array, translation: Array, other: Array, other_translation: Array) -> bool:
    """Say whether two placements are apart by more than 10 degrees, or by more than a fifth of their distance."""
    angle = np.arccos(np.clip((np.trace(rotation @ other.T) - 1) / 2, -1, 1))
    apart = np.linalg.norm(translation - other_translation)
    return bool(angle > np.deg2rad(10) or apart > 0.2 * float(np.linalg.norm(other_translation)))


# -- all cameras -----------------------------------------------------------------------------------------------------


def _check_together(cameras: Sequence[Camera], pairs: Mapping[tuple[int, int], _Pair]) -> None:
    groups = [{index} for index in range(len(cameras))]
    for first, second in pairs:
        one = next(group for group in groups if first in group)
        two = next(group for group in groups if second in group)
        if one is not two:
            one |= two
            groups.remove(two)
    if len(groups) > 1:
        named = "; ".join(" and ".join(cameras[index].name for index in sorted(group)) for group in groups)
        raise AnalysisFailed(
            "Where the cameras stand to each other is not known, because not all of them see a board together with "
            f"others. Those that do are: {named}.",
            hint=_AT_ONCE,
            kind="CamerasApart",
        )


def _ambiguous(board: Board, names: str) -> AnalysisFailed:
    return AnalysisFailed(
        f"How the board lies cannot be told: a {board} looks the same when it is turned, and the pictures of {names} "
        "fit in more than one way.",
        hint="Move the board more between the pictures, or use one with an odd and an even number of corners (or a "
        "ChArUco board).",
        kind="BoardAmbiguous",
    )


def _disagree(names: str, pair: _Pair) -> AnalysisFailed:
    return AnalysisFailed(
        f"{names} agree on where the board is in only {pair.agreeing} of the {pair.shared} pictures in which both see "
        "it.",
        hint="Check that picture by picture they show the same moment, that no camera was moved in between, and that "
        "columns and rows of the board are right.",
        kind="CamerasDisagree",
    )


def _hung(count: int, pairs: Mapping[tuple[int, int], _Pair]) -> tuple[Array, Array, list[tuple[int, int]]]:
    """Place all cameras, beginning with the first, through the pairs with most boards that agree (Prim's tree)."""
    rotations, translations = np.zeros((count, 3, 3)), np.zeros((count, 3))
    rotations[0] = np.eye(3)
    placed, used = {0}, []
    while len(placed) < count:
        open_pairs = [pair for pair in pairs if len(placed & set(pair)) == 1]
        first, second = max(open_pairs, key=lambda pair: (not pairs[pair].ambiguous, pairs[pair].agreeing))
        found = pairs[first, second]
        rotation, translation = found.rotation, found.translation
        known, new = first, second
        if second in placed:
            known, new = second, first
            rotation, translation = rotation.T, -rotation.T @ translation
        rotations[new] = rotation @ rotations[known]
        translations[new] = rotation @ translations[known] + translation
        placed.add(new)
        used.append((first, second))
    return rotations, translations, used


def _board(
    board: Board, cameras: Sequence[Camera], rotations: Array, translations: Array, seeing: Mapping[int, Sighting]
) -> tuple[tuple[Array, Array], dict[int, int], list[int]]:
    """Place one board where most cameras that see it expect it.

    Returns its place, by camera how far its corners are turned, and the cameras that see it somewhere else.
    """
    best: tuple[tuple[int, float], tuple[Array, Array], dict[int, int], list[int]] | None = None
    for index, sighting in seeing.items():
        rotation = rotations[index].T @ sighting.rotation
        translation = rotations[index].T @ (sighting.translation - translations[index])
        turns, apart = {}, {}
        for other, its in seeing.items():
            turns[other], apart[other] = _nearest_quarters(
                board,
                cameras[other],
                (rotations[other] @ rotation, rotations[other] @ translation + translations[other]),
                its,
            )
        # Where the first guess is made of one board, or of small ones, the others may be expected some way off.
        far = [other for other in seeing if apart[other] > 3 * AGREEING]
        rating = (len(far), float(sum(apart.values())))
        if best is None or rating < best[0]:
            best = rating, (rotation, translation), turns, far
    assert best is not None
    return best[1:]


def _nearest_quarters(board: Board, camera: Camera, expected: tuple[Array, Array], its: Sighting) -> tuple[int, float]:
    """Return how far the corners that a camera saw are turned, and how far from there they are seen, as `_apart`."""
    at = board.points[_some(its.corners)] @ expected[0].T + expected[1]
    found = []
    for quarters in board.turns:
        # What the camera calls point p is point order[p] of the board as the others name it, or the other way round.
        rotation, shift = board.turned(quarters)
        turned = board.points[_some(its.corners)] @ rotation.T + shift
        seen = turned @ its.rotation.T + its.translation
        if (at[:, 2] <= 0).any():
            found.append((np.inf, quarters))
            continue
        apart = at[:, :2] / at[:, 2:] - seen[:, :2] / seen[:, 2:]
        found.append(
            (float(np.sqrt(np.mean(np.sum(apart**2, axis=1)))) * camera.matrix[0, 0] / camera.size[0], quarters)
        )
    nearest, quarters = min(found)
    return quarters, nearest


def _some(corners: Corners) -> Numbers:
    return corners.numbers[:: max(1, len(corners) // 12)]


def view(board: Board, camera: int, place: int, corners: Corners, quarters: int = 0) -> View:
    """Return what a camera saw for `bundle.adjust`, with corners named as the other cameras name them."""
    # Named by this camera, the others' point p is turned to point order[p].
    named = np.argsort(board.order(quarters))
    return View(camera, place, board.points[named[corners.numbers]], corners.pixels)
