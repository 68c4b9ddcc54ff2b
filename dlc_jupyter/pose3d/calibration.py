"""Calibrating cameras: from the corners of a board that they saw at the same moments, to a `Rig` and how good it is.

First the lens of each camera (Zhang's method, by OpenCV), then where the cameras stand to each other, two by two
(`extrinsics`), then all of it together (`bundle`). Pictures whose error stands out are left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose3d import extrinsics
from dlc_jupyter.pose3d.board_views import CameraViews
from dlc_jupyter.pose3d.boards import Board
from dlc_jupyter.pose3d.bundle import Scene, View, adjust
from dlc_jupyter.pose3d.cameras import Array, Camera, Rig
from dlc_jupyter.pose3d.lenses import FEWEST, Lens, calibrate_lens, outstanding, why_outstanding

#: Boards that are adjusted together, at most: those seen by most cameras, spread over their pictures.
BOARDS = 120
#: An error above this, in pixels for a picture of 1000 pixels' width, is warned of.
WARN_ERROR = 1.0
#: Fewer boards that a pair of cameras agrees on are warned of.
WARN_SHARED = 5
#: Cameras that agree on a smaller share of the boards that both see are warned of.
WARN_DISAGREE = 0.7
#: A focal length that is less sure than this share of it is warned of.
WARN_FOCAL = 0.01


@dataclass(frozen=True, eq=False)
class CameraReport:
    """What was found of one camera.

    Attributes
    ----------
    camera : Camera
    error : float
        Root mean square of the distances between corners seen and expected, in pixels.
    used : dict of int to float
        By number of the picture: the same for this picture alone.
    left_out : dict of int to str
        By number of the picture: why it was not used.
    labels : list of str
        What each picture is called, whether it was used or not.
    distances : dict of int to ndarray of float64, shape (n,)
        By number of a picture that was used: how far each of its corners is from where it is expected, in pixels.
    first : dict of int to int
        By number of a picture that was used: which of its corners the other cameras name the first one.
    """

    camera: Camera
    error: float
    used: dict[int, float]
    left_out: dict[int, str]
    labels: list[str]
    distances: dict[int, Array]
    first: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        """Return it for the result of an analysis."""
        return {
            "camera": self.camera.name,
            **self.camera.as_json(),
            "error": round(self.error, 4),
            "pictures": len(self.labels),
            "used": [{"picture": self.labels[number], "error": round(error, 4)} for number, error in self.used.items()],
            "left_out": [
                {"picture": self.labels[number], "reason": reason} for number, reason in self.left_out.items()
            ],
        }


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibrated cameras, and how good that is.

    Attributes
    ----------
    rig : Rig
        Its `error` is over all corners of all cameras, in pixels.
    board : Board
    cameras : tuple of CameraReport
    boards : dict of int to (ndarray, ndarray)
        By number of the picture: rotation and translation from the board's axes to the scene's.
    warnings : tuple of str
        What should be looked at before it is trusted.
    floor : str
        The picture whose board the scene's axes lie on; "" where they are those of the first camera.
    """

    rig: Rig
    board: Board
    cameras: tuple[CameraReport, ...]
    boards: dict[int, tuple[Array, Array]]
    warnings: tuple[str, ...] = ()
    floor: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for the result of an analysis."""
        return {
            "error": round(float(self.rig.error or 0.0), 4),
            "unit": self.rig.unit,
            "boards": len(self.boards),
            "axes": self.rig.axes[1],
            "floor": self.floor or None,
            "distances": self.rig.distances(),
            "cameras": [report.as_json() for report in self.cameras],
            "warnings": list(self.warnings),
        }


def calibrate(
    board: Board,
    views: Sequence[CameraViews],
    *,
    fisheye: bool = False,
    floor: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Calibration:
    """Calibrate two or more cameras.

    Parameters
    ----------
    board : Board
    views : sequence of CameraViews
        By camera, as `board_views.look` returns them. They are not changed.
    fisheye : bool
        Use OpenCV's fisheye model, for lenses that see more than about 120 degrees.
    floor : int, optional
        The picture, counted from 0 among those that were looked into, in which the board lies on the floor. The scene's
        axes are the board's then: the first corner is the origin, x goes along its columns, z up. Otherwise they are
        those of the first camera.
    check : callable
        Called now and then; what it raises ends the work.

    Raises
    ------
    AnalysisFailed
        Too few pictures of a camera can be used (kind ``TooFewPictures``); cameras share no board with the others
        (``CamerasApart``) or see most boards elsewhere (``CamerasDisagree``); it cannot be told how the board lies
        (``BoardAmbiguous``); no lens fits (``NotCalibrated``).
    BadRequest
        The picture of the floor cannot be used.
    """
    if len(views) < 2:
        raise AnalysisFailed("Two or more cameras are needed.", kind="TooFewCameras")
    left_out = [dict(each.left_out) for each in views]
    lenses = []
    for each, reasons in zip(views, left_out, strict=True):
        check()
        lenses.append(calibrate_lens(board, each, reasons, fisheye=fisheye))
    sightings = [
        _sightings(board, each, lens, reasons) for each, lens, reasons in zip(views, lenses, left_out, strict=True)
    ]
    check()
    guess = extrinsics.guess(board, [lens.camera for lens in lenses], sightings)
    for camera, number in guess.disagreeing:
        left_out[camera][number] = "the board is somewhere else than in the pictures of the other cameras"
    chosen = _chosen(views, left_out, floor)
    joint = _Joint(board, views, lenses, guess, left_out, chosen)
    scene = joint.adjusted(check)
    return _report(board, views, lenses, guess, joint, scene, floor)


def _sightings(
    board: Board, views: CameraViews, lens: Lens, left_out: dict[int, str]
) -> dict[int, extrinsics.Sighting]:
    """Return where the board is in each picture of a camera; add those in which that cannot be told to `left_out`."""
    found = {}
    for number in sorted(views.corners.keys() - left_out.keys()):
        corners = views.corners[number]
        try:
            found[number] = extrinsics.Sighting(corners, *extrinsics.pose_of(board, corners, lens.camera))
        except (cv2.error, IndexError):
            left_out[number] = "the corners that were found do not tell where the board is"
    return found


def _chosen(views: Sequence[CameraViews], left_out: Sequence[dict[int, str]], floor: int | None) -> list[int]:
    """Return which boards are adjusted together: of many, those that most cameras see, spread over all of the time."""
    seeing: dict[int, int] = {}
    for each, reasons in zip(views, left_out, strict=True):
        for number in each.corners.keys() - reasons.keys():
            seeing[number] = seeing.get(number, 0) + 1
    numbers = sorted(seeing)
    if len(numbers) > BOARDS:
        # From each stretch of time the board that most cameras see.
        parts = np.array_split(np.array(numbers), BOARDS)
        numbers = [max((int(number) for number in part), key=lambda each: seeing[each]) for part in parts]
        if floor in seeing and floor not in numbers:
            numbers = sorted([*numbers, floor])
    return numbers


class _Joint:
    """All cameras and boards together."""

    def __init__(
        self,
        board: Board,
        views: Sequence[CameraViews],
        lenses: Sequence[Lens],
        guess: extrinsics.Guess,
        left_out: list[dict[int, str]],
        numbers: Sequence[int],
    ) -> None:
        self.numbers = list(numbers)
        self.left_out = left_out
        self._free = [lens.free for lens in lenses]
        place = {number: at for at, number in enumerate(self.numbers)}
        self.views = [
            extrinsics.view(board, index, place[number], each.corners[number], guess.quarters[index, number])
            for index, each in enumerate(views)
            for number in sorted(each.corners)
            if number in place and number not in left_out[index]
        ]
        cameras = tuple(
            replace(lens.camera, rotation=guess.rotations[index], translation=guess.translations[index])
            for index, lens in enumerate(lenses)
        )
        places = [guess.boards[number] for number in self.numbers]
        self._scene = Scene(cameras, np.stack([each[0] for each in places]), np.stack([each[1] for each in places]))

    def adjusted(self, check: Callable[[], None]) -> Scene:
        """Adjust, leave out what stands out, and adjust again."""
        far = 4.0 * max(camera.size[0] for camera in self._scene.cameras) / 1000
        scene = adjust(self._scene, self.views, self._free, far=far, check=check)
        for _ in range(4):
            bad = self._outstanding(scene)
            far = max(3 * float(np.median(np.concatenate([scene.distances(view) for view in self.views]))), 0.05)
            self.views = [view for at, view in enumerate(self.views) if at not in bad]
            scene = adjust(scene, self.views, self._free, far=far, check=check)
            if not bad:
                break
        return scene

    def _outstanding(self, scene: Scene) -> set[int]:
        errors = scene.errors(self.views)
        bad: set[int] = set()
        for index in range(len(scene.cameras)):
            own = [at for at, view in enumerate(self.views) if view.camera == index]
            for at in outstanding(errors[own], fewest=FEWEST):
                number = self.numbers[self.views[own[at]].board]
                self.left_out[index][number] = why_outstanding(errors[own[at]], float(np.median(errors[own])))
                bad.add(own[at])
        return bad


def _report(
    board: Board,
    views: Sequence[CameraViews],
    lenses: Sequence[Lens],
    guess: extrinsics.Guess,
    joint: _Joint,
    scene: Scene,
    floor: int | None,
) -> Calibration:
    reports = []
    squares = []
    for index, (camera, each) in enumerate(zip(scene.cameras, views, strict=True)):
        own = [view for view in joint.views if view.camera == index]
        if not own:
            raise _apart(camera.name)
        distances = {joint.numbers[view.board]: scene.distances(view) for view in own}
        used = {number: float(np.sqrt(np.mean(each**2))) for number, each in distances.items()}
        squares.append(np.concatenate(list(distances.values())) ** 2)
        reasons = dict(joint.left_out[index])
        for number in each.corners.keys() - used.keys() - reasons.keys():
            reasons[number] = "there are enough others like it"
        error = float(np.sqrt(np.mean(squares[-1])))
        first = {number: int(board.order(guess.quarters[index, number])[0]) for number in used}
        reports.append(CameraReport(camera, error, used, dict(sorted(reasons.items())), each.labels, distances, first))
    _check_hanging(scene.cameras, joint.views)
    error = float(np.sqrt(np.mean(np.concatenate(squares))))
    rig = Rig(scene.cameras, unit=board.unit, error=error, source=f"calibrated with a {board}")
    boards = {
        joint.numbers[at]: (scene.rotations[at], scene.translations[at])
        for at in sorted({view.board for view in joint.views})
    }
    label = ""
    if floor is not None:
        rig, boards, label = _on_floor(rig, boards, floor, reports)
    reports = [replace(each, camera=camera) for camera, each in zip(rig.cameras, reports, strict=True)]
    warnings = tuple(_warnings(board, rig, reports, lenses, guess))
    return Calibration(rig, board, tuple(reports), boards, warnings, label)


def _apart(name: str) -> AnalysisFailed:
    return AnalysisFailed(
        f"No picture of {name} agrees with those of the other cameras.",
        hint="Check that picture by picture the cameras show the same moment, and that none was moved in between.",
        kind="CamerasApart",
    )


def _check_hanging(cameras: Sequence[Camera], views: Sequence[View]) -> None:
    """Check that the cameras still hang together, now that pictures were left out."""
    together = {0}
    by_board: dict[int, set[int]] = {}
    for view in views:
        by_board.setdefault(view.board, set()).add(view.camera)
    groups = list(by_board.values())
    while grown := [group for group in groups if group & together and not group <= together]:
        for group in grown:
            together |= group
    for index, camera in enumerate(cameras):
        if index not in together:
            raise _apart(camera.name)


def _on_floor(
    rig: Rig, boards: dict[int, tuple[Array, Array]], floor: int, reports: Sequence[CameraReport]
) -> tuple[Rig, dict[int, tuple[Array, Array]], str]:
    labels = reports[0].labels
    if not 0 <= floor < len(labels):
        raise BadRequest(f"There is no picture {floor} for the floor: they are counted from 0 to {len(labels) - 1}.")
    if floor not in boards:
        reasons = [f"{each.camera.name}: {each.left_out[floor]}" for each in reports if floor in each.left_out]
        raise BadRequest(f"The board of {labels[floor]} cannot be the floor: {'; '.join(reasons)}.")
    # A board's third axis goes into it, away from who sees it.
    rotation, translation = boards[floor][0] @ np.diag([1.0, -1.0, -1.0]), boards[floor][1]
    moved = {
        number: (rotation.T @ turn, rotation.T @ (shift - translation)) for number, (turn, shift) in boards.items()
    }
    return replace(rig.moved(rotation, translation), up="z"), moved, labels[floor]


def _warnings(
    board: Board, rig: Rig, reports: Sequence[CameraReport], lenses: Sequence[Lens], guess: extrinsics.Guess
) -> list[str]:
    said = []
    for report, lens in zip(reports, lenses, strict=True):
        name = report.camera.name
        if report.error > WARN_ERROR * report.camera.size[0] / 1000:
            said.append(
                f"{name}: its corners are {report.error:.2f} pixels from where they should be. Check that the board is "
                "flat, its rows and columns are right, no camera was moved, and the pictures show the same moments."
            )
        if lens.uncertainty > WARN_FOCAL:
            said.append(
                f"{name}: the focal length is sure only within {lens.uncertainty:.0%}. Show the board larger, tilted "
                "in several ways, and in all parts of the picture."
            )
        if _coverage(report, lens.corners) < 0.4:
            said.append(
                f"{name}: the board was seen in the middle of the picture only. Show it near the edges too: the lens's "
                "distortion is largest there."
            )
        said += lens.notes
    for (first, second), (count, of) in guess.shared.items():
        names = f"{rig.names[first]} and {rig.names[second]}"
        if count < WARN_SHARED:
            said.append(f"{names} agree on only {count} {'board' if count == 1 else 'boards'}. Show more to both.")
        elif count < WARN_DISAGREE * of:
            said.append(
                f"{names} agree on where the board is in only {count} of the {of} pictures in which both see it. Check "
                "that picture by picture they show the same moment, and that no camera was moved in between."
            )
    return said


def _coverage(report: CameraReport, corners: Array) -> float:
    """Return which share of the way from the middle to the corners of the picture the board came."""
    centre = np.array(report.camera.size) / 2
    reach: NDArray[np.float64] = np.linalg.norm(corners - centre, axis=1) / np.linalg.norm(centre)
    return float(reach.max(initial=0.0))
