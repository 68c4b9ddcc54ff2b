"""Looking for a board in the pictures or videos of several cameras, taken at the same moments.

Pictures are read one after another, and videos once from start to end: memory holds corners, and some pictures in a
compressed form to be shown later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.media import Media, inspect, seconds
from dlc_jupyter.pose3d.boards import Board, Corners, NotSeen, Other, Picture
from dlc_jupyter.pose3d.multiview import check_beginnings, check_rates

#: Into so many pictures of a video is looked, unless it is said which ones.
LOOKED_INTO = 300
#: So many pictures of each camera are kept to be shown.
KEPT = 12
#: Pictures that are looked into at the same time.
_TOGETHER = 4

#: In so many pictures another board is looked for, where the one that was named is not to be seen.
_TRIED = 16
#: So many answers to that are enough.
_AGREEING = 3

#: What may be wrong where a board is nowhere to be seen.
_CHECK = {
    "checkerboard": "Check columns and rows (corners within it, not squares), that the whole board with a white rim is "
    "in the picture, and that it is sharp and evenly lit.",
    "charuco": "Check columns and rows (squares), the dictionary and the marker's side, that enough of the board is in "
    "the picture, and that it is sharp and evenly lit.",
}
_MOMENTS = "Give the same number for every camera, in the same order: picture by picture the same moment."


@dataclass(frozen=True)
class Source:
    """What one camera has recorded: pictures or a video.

    Attributes
    ----------
    camera : str
        Its name.
    pictures : sequence of Path
        In the same order as those of the other cameras.
    video : Path, optional
        Instead of pictures.
    labels : sequence of str
        How people know the pictures; their file names where left out.
    """

    camera: str
    pictures: Sequence[Path] = ()
    video: Path | None = None
    labels: Sequence[str] = ()


@dataclass
class CameraViews:
    """What was found in the pictures of one camera.

    Attributes
    ----------
    camera : str
    size : (int, int)
        Width and height in pixels.
    labels : list of str
        A name for each picture that was looked into.
    corners : dict of int to Corners
        By the picture's number; only where the board was found.
    left_out : dict of int to str
        Why a picture was not used.
    numbers : list of int
        Which picture, or which frame of the video, each of `labels` is: counted from 0.
    notes : list of str
        What the user should know of the videos.
    instead : Other, optional
        What board is seen, where the one that was named was not found in most pictures.
    """

    camera: str
    size: tuple[int, int] = (0, 0)
    labels: list[str] = field(default_factory=list)
    corners: dict[int, Corners] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    instead: Other | None = None
    _kept: dict[int, bytes] = field(default_factory=dict)
    _every: int = 1

    @property
    def mostly_not(self) -> bool:
        """Whether the board was not found in most of the pictures that were looked into so far."""
        return 2 * len(self.corners) < len(self.labels)

    @property
    def shown(self) -> list[int]:
        """Numbers of the pictures that can be shown."""
        return sorted(self._kept)

    def picture(self, number: int) -> Picture:
        """Return one of those, shape (height, width)."""
        return np.asarray(cv2.imdecode(np.frombuffer(self._kept[number], np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)

    def keep(self, number: int, grey: Picture) -> None:
        """Keep a picture with a board, so that those kept are spread over all."""
        if (len(self.corners) - 1) % self._every == 0:
            self._kept[number] = cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        if len(self._kept) >= 2 * KEPT:
            self._every *= 2
            self._kept = {each: self._kept[each] for each in self.shown[::2]}


def look(
    board: Board,
    sources: Sequence[Source],
    *,
    every: int | None = None,
    truncate: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[CameraViews]:
    """Look for a board in what every camera has recorded.

    Parameters
    ----------
    sources : sequence of Source
        By camera.
    every : int, optional
        Look into every so-maniest frame of the videos; where left out, into about `LOOKED_INTO` of them.
    truncate : bool
        Leave the rest of longer videos, or pictures beyond the number of the others, out, and take the frames of
        videos of different rates for the same moments.
    progress : callable
        Called with the number of pictures looked into, and of all.

    Returns
    -------
    list of CameraViews
        By camera; a number means the same moment in all of them.

    Raises
    ------
    AnalysisFailed
        Different numbers of pictures (kind ``LengthMismatch``), videos of different rates (``RateMismatch``), different
        sizes within a camera (``SizeChanges``), no readable picture (``NotAPicture``), a video that cannot be read or
        is damaged, or a board that is nowhere to be seen (``BoardNotFound``).
    """
    _check_cameras([source.camera for source in sources])
    readers = [_reader(source) for source in sources]
    count = _common_length(readers, truncate)
    videos = [reader for reader in readers if isinstance(reader, _Video)]
    notes = _check_moments(videos, truncate)
    step = (every or max(1, count // LOOKED_INTO)) if videos else 1
    numbers = range(0, count, step)
    total = len(numbers) * len(readers)
    found: list[CameraViews] = []
    with ThreadPoolExecutor(min(_TOGETHER, os.cpu_count() or 1)) as pool:
        for reader in readers:
            before = len(numbers) * len(found)
            views = CameraViews(reader.source.camera)
            for done in _look_through(board, reader, numbers, views, pool):
                progress(before + done, total)
            found.append(views)
    found[0].notes += notes
    return found


def _look_through(
    board: Board, reader: _Pictures | _Video, numbers: range, views: CameraViews, pool: ThreadPoolExecutor
) -> Iterator[int]:
    """Look for the board in what one camera has recorded; yield now and then how many pictures were looked into."""
    others = _Others(board, len(numbers))
    for some in reader.read(numbers):
        without = []
        for number, (grey, seen) in zip(some.numbers, pool.map(_find(board), some.pictures), strict=True):
            views.numbers.append(number)
            _take(views, number // numbers.step, reader.label(number), grey, seen)
            if grey is not None and isinstance(seen, str):
                without.append(grey)
        others.look(views, without)
        yield len(views.labels)
    views.notes += [f"{views.camera}: {note}" for note in reader.notes]
    views.instead = others.usual(views)
    _check_found(board, views)
    if views.instead:
        usable = f"{len(views.corners)} of {len(views.labels)} pictures"
        views.notes.append(f"{views.camera}: the board was found in {usable}; in others {views.instead}.")


class _Others:
    """Other boards in the pictures of a camera, where the one that was named is mostly not to be seen."""

    def __init__(self, board: Board, total: int) -> None:
        self._board, self._total = board, total
        self._seen: list[Other] = []
        self._tried = 0

    def look(self, views: CameraViews, without: Sequence[Picture]) -> None:
        """Look into one of the pictures without the named board, if it is time: those that are tried lie far apart."""
        due = len(views.labels) * _TRIED > self._tried * self._total
        if not views.mostly_not or not due or len(self._telling(views)) >= _AGREEING:
            return
        self._tried += 1
        other = self._board.instead(without[0]) if without else None
        self._seen += [other] if other else []

    def usual(self, views: CameraViews) -> Other | None:
        """Return what is seen most. Where the named board is seen too, one look may have seen a part of the other."""
        telling = self._telling(views)
        if not telling or not views.mostly_not:
            return None
        usual = max(telling, key=telling.count)
        return usual if not views.corners or telling.count(usual) > 1 else None

    def _telling(self, views: CameraViews) -> list[Other]:
        """Return those that are boards of their own: where the named board is seen at all, parts of it are none."""
        return [each for each in self._seen if not (views.corners and each.part)]


def _find(board: Board) -> Callable[[Picture | None], tuple[Picture | None, Corners | str]]:
    def find(grey: Picture | None) -> tuple[Picture | None, Corners | str]:
        if grey is None:
            return None, "it is no picture that can be read"
        try:
            return grey, board.find(grey)
        except NotSeen as reason:
            return grey, str(reason)

    return find


def _take(views: CameraViews, number: int, label: str, grey: Picture | None, seen: Corners | str) -> None:
    views.labels.append(label)
    if grey is not None:
        size = grey.shape[1], grey.shape[0]
        if views.size == (0, 0):
            views.size = size
        elif views.size != size:
            raise AnalysisFailed(
                f"Not all pictures of {views.camera} have the same size: {label} has {size[0]} x {size[1]} pixels, "
                f"those before it have {views.size[0]} x {views.size[1]}.",
                hint="Calibrate with pictures of the size that will be recorded, none of them cut or scaled.",
                kind="SizeChanges",
            )
    if isinstance(seen, str):
        views.left_out[number] = seen
        return
    views.corners[number] = seen
    assert grey is not None
    views.keep(number, grey)


def _check_found(board: Board, views: CameraViews) -> None:
    if views.size == (0, 0):
        raise AnalysisFailed(
            f"None of the {len(views.labels)} pictures of {views.camera} can be read as a picture.",
            hint="Give PNG, JPEG, TIFF or BMP files.",
            kind="NotAPicture",
        )
    if views.corners:
        return
    reasons = list(views.left_out.values())
    usual = max(set(reasons), key=reasons.count)
    seen = f" Instead, {views.instead.seen}." if views.instead else ""
    count = len(views.labels)
    raise AnalysisFailed(
        f"In none of the {count} pictures of {views.camera} is there a {board} that can be used: {usual}.{seen}",
        hint=_CHECK[board.kind],
        kind="BoardNotFound",
    )


# -- reading ---------------------------------------------------------------------------------------------------------


def _check_cameras(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise AnalysisFailed(f"Two cameras have the same name: {', '.join(names)}.", hint="Name them apart.")
    if len(names) < 2:
        raise AnalysisFailed(
            "One camera alone has nothing to be seen in three dimensions with.",
            hint="Give what two or more cameras have recorded at the same time.",
            kind="TooFewCameras",
        )


@dataclass(frozen=True)
class _Some:
    numbers: Sequence[int]
    pictures: Sequence[Picture | None]


class _Pictures:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = len(source.pictures)
        self.notes: list[str] = []

    def label(self, number: int) -> str:
        labels = self.source.labels
        return labels[number] if number < len(labels) else self.source.pictures[number].name

    def read(self, numbers: range) -> Iterator[_Some]:
        for start in range(0, len(numbers), 8):
            part = numbers[start : start + 8]
            yield _Some(part, [_read(self.source.pictures[number]) for number in part])


def _read(path: Path) -> Picture | None:
    try:
        # Turned as the camera's sensor sees it: what a viewer is told to do is not done to videos either.
        picture: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):
        return None
    return None if picture is None else np.asarray(picture, np.uint8)


class _Video:
    def __init__(self, source: Source, video: Path) -> None:
        self.source = source
        self._video, self.media = video, _inspected(source.camera, video)
        self.count = self.media.frames
        self.notes = list(self.media.notes)

    def label(self, number: int) -> str:
        return f"frame {number} ({seconds(self.media.times[number])})"

    def read(self, numbers: range) -> Iterator[_Some]:
        with Frames(self._video, self.media, size=8, stop=numbers.stop, step=numbers.step) as frames:
            for batch in frames:
                grey = [np.asarray(cv2.cvtColor(each, cv2.COLOR_BGR2GRAY), np.uint8) for each in batch.pictures]
                some = _Some(batch.numbers, grey)
                frames.release(batch)
                yield some
        with _explained(self.source.camera):
            self.notes += frames.account()


def _inspected(camera: str, video: Path) -> Media:
    with _explained(camera):
        media = inspect(video)
        media.check_whole()
        return media


@contextmanager
def _explained(camera: str) -> Iterator[None]:
    """Say of which camera's video an error is."""
    try:
        yield
    except AnalysisFailed as error:
        raise AnalysisFailed(f"The video of {camera}: {error.message}", hint=error.hint, kind=error.kind) from error


def _check_moments(videos: Sequence[_Video], truncate: bool) -> list[str]:
    """Refuse videos whose frames are not of the same moments; return what the user should know."""
    names = [each.source.camera for each in videos]
    check_beginnings(names, [each.media.leading for each in videos])
    return check_rates(names, [float(each.media.fps) for each in videos], truncate=truncate)


def _reader(source: Source) -> _Pictures | _Video:
    return _Pictures(source) if source.video is None else _Video(source, source.video)


def _common_length(readers: Sequence[_Pictures | _Video], truncate: bool) -> int:
    counts = [reader.count for reader in readers]
    kinds = {type(reader) for reader in readers}
    if len(kinds) > 1:
        raise AnalysisFailed(
            "Some cameras have pictures and others a video.",
            hint="Give pictures for all cameras, or a video for each.",
            kind="LengthMismatch",
        )
    what = "frames" if _Video in kinds else "pictures"
    if len(set(counts)) > 1 and not truncate:
        named = ", ".join(f"{reader.source.camera} has {reader.count}" for reader in readers)
        raise AnalysisFailed(
            f"The cameras have different numbers of {what}: {named}.", hint=_MOMENTS, kind="LengthMismatch"
        )
    if not min(counts):
        raise AnalysisFailed("There are no pictures.", hint=_MOMENTS, kind="LengthMismatch")
    return min(counts)
