"""What is wrong when the cameras do not agree: found by trying what would make them agree.

Videos may be given in another order than the cameras', one may be some frames late, or a camera is not where it was
when it was calibrated. Each is tried on a sample of the poses (`dlc_jupyter.pose3d.epipolar`); what mends it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.epipolar import Pair, Sample, Three, matched, median

#: Cameras agree where the median distance is below this share of the picture's diagonal: 3.2 pixels in 640 x 480.
AGREED = 0.004
#: What is taken for the reason lowers the distances of the cameras that it is about to this share, or further.
MENDED = 0.6

_NOTICED = 1.2  # pixels; where cameras agree within that, nothing is wrong
_LATE = 0.1  # the share by which distances are lower, at least, where a video is said to be late: more than by chance
_CHANCE = 6.0  # the same, of one point; of many it is smaller by their number's root
_COARSE = 3  # frames from one try to the next, before it is looked at closely
_FEW = 0.1  # of the body parts; a camera that is sure of less is told
_ALL_ORDERS = 4  # cameras; of more, only two at a time are exchanged
_THREES = 40  # of the cameras, that are asked at most


@dataclass(frozen=True)
class Finding:
    """What is probably wrong.

    Attributes
    ----------
    kind : str
        ``swapped``, ``out-of-sync``, ``camera-moved``, ``calibration`` or ``unsure``.
    message : str
        A sentence for the user.
    cameras : tuple of str
        Which cameras it is about.
    frames : int or None
        The ``frame_offset`` that would be right for this camera: how many frames later its video must be read.
    """

    kind: str
    message: str
    cameras: tuple[str, ...]
    frames: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for a result."""
        return asdict(self)


def check_poses(names: Sequence[str], sample: Sample, pcutoff: float) -> None:
    """Refuse poses of which no point can be found, or of which two are the same.

    Raises
    ------
    AnalysisFailed
        There are no poses of at least two cameras (kind ``NoPoses``), or two cameras have the same (``SamePoses``).
    """
    some = sample.likely > 0
    if some.sum() < 2:
        empty = " and ".join(name for name, any_ in zip(names, some, strict=True) if not any_)
        raise AnalysisFailed(
            f"A point needs two cameras, and {empty} saw no body part with a likelihood of {pcutoff:g} or more.",
            hint="Look at the 2D poses, and give a smaller pcutoff if they are right nevertheless.",
            kind="NoPoses",
        )
    for one, other in combinations(np.flatnonzero(some).tolist(), 2):
        pixels = sample.pixels[one]
        if np.isfinite(pixels).any() and np.array_equal(pixels, sample.pixels[other], equal_nan=True):
            raise AnalysisFailed(
                f"{names[one]} and {names[other]} have the same poses: they are of one video.",
                hint="Give each camera its own video.",
                kind="SamePoses",
            )


def diagnose(rig: Rig, sample: Sample, frame_offset: Sequence[int] | None = None) -> list[Finding]:
    """Return what is probably wrong with videos or calibration; nothing where the cameras agree.

    Parameters
    ----------
    sample : Sample
        Of the poses, in the order of the rig's cameras.
    frame_offset : sequence of int, optional
        How many frames later each video was read already.
    """
    found = list(_unsure(rig, sample))
    trial = _Trial(rig, sample, frame_offset or [0] * len(rig))
    found += trial.swapped()
    found += trial.out_of_sync()
    found += trial.moved()
    return found


def _unsure(rig: Rig, sample: Sample) -> list[Finding]:
    return [
        Finding(
            "unsure",
            f"The network is rarely sure of what {name} sees: only {share:.0%} of the body parts are likely enough to "
            "be used.",
            (name,),
        )
        for name, share in zip(rig.names, sample.likely, strict=True)
        if share < _FEW
    ]


#: A camera, the video that is believed to be its own, and how many frames later that is read.
_View = tuple[int, int, int]


class _Trial:
    """The sample under assumptions: which video is of which camera, and how many frames late it is.

    What was found stays assumed, so that there may be more than one thing wrong.
    """

    def __init__(self, rig: Rig, sample: Sample, offsets: Sequence[int]) -> None:
        self._rig, self._sample, self._offsets = rig, sample, offsets
        self._count = len(rig)
        pairs, threes = (list(combinations(range(self._count), number)) for number in (2, 3))
        if len(threes) > _THREES:
            threes = [threes[each] for each in np.linspace(0, len(threes) - 1, _THREES).round().astype(int)]
        self._groups: list[tuple[int, ...]] = [*pairs, *threes]
        self._pairs = {each: Pair(*(rig.cameras[camera] for camera in each)) for each in pairs}
        self._threes = {each: Three([rig.cameras[camera] for camera in each]) for each in threes}
        diagonals = [np.hypot(*camera.size) for camera in rig.cameras]
        self._limit = AGREED * float(np.mean(diagonals))
        self._video = list(range(self._count))  # by camera
        self._late = [0] * self._count  # by video
        self._rays: dict[_View, Array] = {}
        self._known: dict[tuple[_View, ...], float] = {}
        self._orders_of: dict[tuple[_View, ...], NDArray[np.int64]] = {}

    # -- distances -----------------------------------------------------------------------------------------------------

    def _distance(self, *views: _View) -> float:
        """Return the median distance of two or three views, in pixels; NaN if nobody knows."""
        if views not in self._known:
            self._known[views] = self._pair(*views) if len(views) == 2 else self._three(*views)
        return self._known[views]

    def _pair(self, one: _View, other: _View) -> float:
        costs = self._pairs[one[0], other[0]].between(self._seen(one), self._seen(other))
        self._orders_of[one, other], found = matched(costs)
        return _mean(found)

    def _three(self, one: _View, other: _View, third: _View) -> float:
        rays = [self._seen(one)]
        for view in (other, third):
            self._distance(one, view)
            rays.append(self._seen(view)[:, self._orders_of[one, view]])
        return median(self._threes[one[0], other[0], third[0]].distances(rays))

    def _seen(self, view: _View) -> Array:
        if view not in self._rays:
            camera, video, late = view
            self._rays[view] = self._rig.cameras[camera].normalised(self._sample.seen(video, late))
        return self._rays[view]

    def _distances(self, video: Sequence[int], late: Sequence[int]) -> Array:
        """Return the distances of all groups of cameras, shape (groups,), in pixels; NaN where nobody knows."""
        views = [(camera, each, late[each]) for camera, each in enumerate(video)]
        return np.array([self._distance(*(views[camera] for camera in group)) for group in self._groups])

    def _now(self) -> Array:
        return self._distances(self._video, self._late)

    def _about(self, cameras: Sequence[int]) -> NDArray[np.bool_]:
        return np.array([bool(set(group) & set(cameras)) for group in self._groups])

    # -- what may be wrong -----------------------------------------------------------------------------------------

    def swapped(self) -> list[Finding]:
        """Try other orders of the videos."""
        now = self._now()
        best, video = _mean(now), self._video
        if not best > _NOTICED:
            return []
        for order in self._orders():
            distances = _mean(self._distances(order, self._late))
            if distances < best:
                best, video = distances, order
        changed = [camera for camera in range(self._count) if video[camera] != self._video[camera]]
        about = self._about(changed)
        then = self._distances(video, self._late)
        if not changed or not _mean(then[about]) < MENDED * _mean(now[about]):
            return []
        self._video = video
        names = [self._rig.names[camera] for camera in changed]
        told = f"they agree within {_mean(then[about]):.1f} pixels instead of {_mean(now[about]):.1f}"
        if len(changed) == 2:
            text = f"The videos of {names[0]} and {names[1]} may be swapped: the other way round {told}."
        else:
            pairs = ", ".join(
                f"that of {self._rig.names[video[camera]]} for {self._rig.names[camera]}" for camera in changed
            )
            text = f"The videos may be in another order than the cameras: with {pairs} {told}."
        return [Finding("swapped", text, tuple(names))]

    def _orders(self) -> list[list[int]]:
        if self._count <= _ALL_ORDERS:
            return [list(each) for each in permutations(range(self._count))]
        orders = []
        for one, other in combinations(range(self._count), 2):
            order = list(range(self._count))
            order[one], order[other] = order[other], order[one]
            orders.append(order)
        return orders

    def out_of_sync(self) -> list[Finding]:
        """Try each video some frames earlier and later, until no other one helps."""
        before = self._now()
        enough = 1 - max(_LATE, _CHANCE / np.sqrt(max(self._sample.count, 1)))
        for _ in range(self._count - 1):
            now = self._now()
            # Of two videos the second one is said to be late: nobody knows which one it is.
            tried = [self._best_shift(camera) for camera in range(self._count) if self._count > 2 or camera == 1]
            _, camera, shift = min(tried, key=lambda each: each[0])
            about, late = self._about([camera]), self._shifted(camera, shift)
            if not shift or not _mean(self._distances(self._video, late)[about]) < enough * _mean(now[about]):
                break
            self._late = late
        moved = [camera for camera in range(self._count) if self._late[self._video[camera]]]
        for camera in moved * (len(moved) > 1):  # the first one was found while the second one was still wrong
            self._late = self._shifted(camera, self._best_shift(camera, near=True)[2])
        after = self._now()
        if not _mean(after[self._about(moved)]) < self._limit:  # that was not it
            self._late = [0] * self._count
            return []
        return [self._told_late(camera, before, after) for camera in moved if self._late[self._video[camera]]]

    def _told_late(self, camera: int, before: Array, after: Array) -> Finding:
        name, video, about = self._rig.names[camera], self._video[camera], self._about([camera])
        late = abs(self._late[video])
        frames = self._offsets[video] + self._late[video]
        text = (
            f"The video of {name} may be out of sync by about {late} frame{'s' * (late > 1)}: with a "
            f"frame_offset of {frames} for it the cameras agree within {_mean(after[about]):.1f} pixels instead of "
            f"{_mean(before[about]):.1f}."
        )
        return Finding("out-of-sync", text, (name,), frames)

    def _best_shift(self, camera: int, near: bool = False) -> tuple[float, int, int]:
        """Return the least distance that all cameras can have if this one's video is read later, and how much later."""
        now = self._now()
        best = (_mean(now), camera, 0)
        if not near and not _mean(now[self._about([camera])]) > _NOTICED:
            return best
        reach = self._sample.margin

        def closer(shifts: Iterable[int]) -> tuple[float, int, int]:
            found = best
            for shift in sorted(shifts, key=abs):
                distances = self._distances(self._video, self._shifted(camera, shift))
                if np.isfinite(distances).sum() == np.isfinite(now).sum() and _mean(distances) < found[0]:
                    found = (_mean(distances), camera, shift)
            return found

        if not near:
            best = closer(range(-reach // _COARSE * _COARSE, reach + 1, _COARSE))
        return closer(range(best[2] - _COARSE + 1, best[2] + _COARSE))

    def _shifted(self, camera: int, shift: int) -> list[int]:
        late = list(self._late)
        video = self._video[camera]
        late[video] = int(np.clip(late[video] + shift, -self._sample.margin, self._sample.margin))
        return late

    def moved(self) -> list[Finding]:
        """Try to do without each camera."""
        now = self._now()
        if not (now > self._limit).any():
            return []
        threes = np.array([len(group) == 3 for group in self._groups])
        telling = threes if self._count > 3 and np.isfinite(now[threes]).any() else ~threes
        for camera, name in enumerate(self._rig.names):
            about = self._about([camera])
            with_it, without = now[about & telling], now[~about & telling]
            if not np.isfinite(without).any() or not np.isfinite(with_it).any():
                continue
            if _mean(without) < MENDED * _mean(with_it) and np.nanmin(with_it) > np.nanmax(without):
                text = (
                    f"{name} seems to be wrongly calibrated, or was moved since: the others agree within "
                    f"{_mean(without):.1f} pixels, and with it within {_mean(with_it):.1f}."
                )
                return [Finding("camera-moved", text, (name,))]
        if not np.nanmax(now) > 2 * self._limit:
            return []
        names = [self._rig.names[camera] for camera in self._groups[int(np.nanargmax(now))]]
        text = (
            f"The poses do not fit the calibration: {', '.join(names[:-1])} and {names[-1]} agree within "
            f"{np.nanmax(now):.1f} pixels only. Are the cameras still where they were, and are the 2D poses right?"
        )
        return [Finding("calibration", text, tuple(names))]


def _mean(distances: Array) -> float:
    known = distances[np.isfinite(distances)]
    return float(known.mean()) if len(known) else float("nan")
