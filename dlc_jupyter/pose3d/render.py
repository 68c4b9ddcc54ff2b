"""The 3D video: what every camera saw, with its poses, beside the scene that follows from it; H.264 for every browser.

Each camera's video is decoded once, in order, by a thread of its own (`Frames`); this thread draws into a few pictures
that are used again and again, and `Writer` gives them to ffmpeg. Poses are read in pieces. An error anywhere ends all.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.encoding import Encoder, Writer, check_playable
from dlc_jupyter.pose.frames import Batch, Frames, Pictures
from dlc_jupyter.pose.media import Media, seconds
from dlc_jupyter.pose3d.cameras import Array
from dlc_jupyter.pose3d.perspective import Box, box_around
from dlc_jupyter.pose3d.scene import SceneLook
from dlc_jupyter.pose3d.sheet import Moment, Sheet

#: Something that is sliced by frames, such as an array or a dataset of HDF5, or a function of the first frame and the
#: one behind the last. It need not be in memory.
Source = Any

#: Frames whose poses are in memory at once.
_PIECE = 256
#: Frames from which the limits of the scene follow; of a longer video, stretches from all over it.
_SAMPLE, _STRETCHES = 8192, 64
#: Pictures besides the one that is drawn on.
_AHEAD = 3
#: Bytes of a camera's pictures that are decoded at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class View:
    """What a camera saw.

    Attributes
    ----------
    video : Path
    media : Media
        What `inspect` says of it.
    pixels : Source of float, shape (frames, individuals, bodyparts, 2)
        x and y by the video's own frames, also where there is an `offset`.
    likelihood : Source of float, shape (frames, individuals, bodyparts)
    name : str
        Of the camera.
    offset : int
        Frame i of the scene is this video's frame i + offset. Frames are counted as rows of poses are: from the first
        one that can be decoded (see `Media.leading`).
    """

    video: Path
    media: Media
    pixels: Source
    likelihood: Source
    name: str
    offset: int = 0

    def frame(self, number: int) -> int | None:
        """Return which frame of the video belongs to one of the scene, if there is one."""
        found = number + self.offset
        return found if 0 <= found < self.media.frames else None


def render_scene(
    views: Sequence[View],
    points: Source,
    look: SceneLook,
    target: Path,
    *,
    span: range | None = None,
    error: Source | None = None,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Draw the 3D video, and check the outcome.

    Parameters
    ----------
    views : sequence of View
        In the order of the cameras; their videos may differ in size.
    points : Source of float, shape (frames, individuals, bodyparts, 3)
        In the scene's unit; NaN where there is none.
    target : Path
        The MP4 file to write, at the rate of the first video.
    span : range, optional
        Which frames of the scene are drawn, one after the other; all of them where this is left out.
    error : Source of float, shape (frames, individuals, bodyparts), optional
        Reprojection error of every point in pixels; each frame's median is written beside its time.
    progress : callable
        Told how many frames have been drawn. What it raises ends all.

    Returns
    -------
    dict
        ``frames``, ``fps``, ``limits`` (of x, y and z, in the scene's unit), ``notes`` (what the user should know), and
        what `check_playable` returns.

    Raises
    ------
    AnalysisFailed
        `look` cannot be meant, sizes do not fit together, a video cannot be decoded, or the result is not whole.
    """
    look.check()
    poses = _Poses(views, points, error, look)
    span = range(poses.frames) if span is None else span
    _check_span(span, poses.frames)
    box, whole, found = _limits(poses, look, span)
    sheet = Sheet([(view.name, view.media.width, view.media.height, view.offset) for view in views], look, box, found)
    fps = views[0].media.fps
    encoder = Encoder(target, fps)
    encoder.start(sheet.width, sheet.height)  # by this thread and before there are others: see there
    try:
        drawn = _draw(sheet, views, span, poses.moments(span, fps), encoder, progress)
        encoder.finish()
    finally:
        encoder.abandon()
    notes = []
    if not found:
        notes.append("No body part has a place in the scene in any of these frames: it was drawn empty.")
    elif not drawn:
        notes.append(_all_outside(look, whole))
    if sheet.width != look.width:
        notes.append(f"The video is {sheet.width} pixels wide, not {look.width}: H.264 wants an even number.")
    return {
        "frames": len(span),
        "fps": round(float(fps), 6),
        "limits": {axis: box.limits[at].tolist() for at, axis in enumerate("xyz")},
        "notes": notes,
        **check_playable(target, len(span)),
    }


def _draw(
    sheet: Sheet,
    views: Sequence[View],
    span: range,
    moments: Iterator[Moment],
    encoder: Encoder,
    progress: Callable[[int], None],
) -> bool:
    """Draw all frames for the encoder. Return whether a body part could be seen in the scene in any of them."""
    drawn = False
    free: queue.SimpleQueue[Pictures] = queue.SimpleQueue()
    for _ in range(_AHEAD + 1):
        free.put(sheet.blank())
    with ExitStack() as stack:
        reels = [stack.enter_context(_Reel(view, span)) for view in views]
        writer = stack.enter_context(Writer(encoder, lambda batch: free.put(batch.pictures[0])))
        for number, moment in enumerate(moments):
            moment.pictures = [reel.picture(moment.frame) for reel in reels]
            picture = free.get()
            sheet.draw(picture, moment)
            drawn = drawn or bool(sheet.scene.visible(moment.points[-1]).any())
            writer.put(Batch(range(number, number + 1), picture[None]))
            progress(number + 1)
        for reel in reels:
            reel.account()
    return drawn


class _Reel:
    """The pictures of a camera's video, as the scene comes to them."""

    def __init__(self, view: View, span: range) -> None:
        self._view = view
        first, stop = max(span.start + view.offset, 0), min(span.stop + view.offset, view.media.frames)
        size = max(1, min(8, _AT_ONCE // (view.media.width * view.media.height * 3)))
        self._frames: Frames | None = None
        if first < stop:
            self._frames = Frames(view.video, view.media, size=size, start=first, stop=stop, ahead=2)
        self._pictures = self._read()

    def __enter__(self) -> _Reel:
        if self._frames is not None:
            self._frames.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        if self._frames is not None:
            self._frames.__exit__(*what)

    def picture(self, number: int) -> Pictures | None:
        """Return the picture for a frame of the scene: until the next one is asked for. None where there is none."""
        frame = self._view.frame(number)
        if frame is None or self._frames is None:
            return None
        picture = next(self._pictures, None)
        if picture is None and self._frames.read < self._view.media.decodable:
            raise AnalysisFailed(
                f"{self._frames.name(frame)} of {self._view.name} could not be decoded for drawing.",
                kind="VideoCutShort",
            )
        return picture

    def account(self) -> None:
        """Refuse, when all is drawn, a video of which frames were left out: the poses would be on others."""
        try:
            if self._frames is not None:
                self._frames.account()
        except AnalysisFailed as error:
            raise AnalysisFailed(
                f"The video of {self._view.name}: {error.message}", hint=error.hint, kind=error.kind
            ) from error

    def _read(self) -> Iterator[Pictures]:
        assert self._frames is not None
        for batch in self._frames:
            yield from batch.pictures
            self._frames.release(batch)


class _Poses:
    """The poses of all views and of the scene, read in pieces, and found to fit together."""

    def __init__(self, views: Sequence[View], points: Source, error: Source | None, look: SceneLook) -> None:
        if not views:
            raise AnalysisFailed("There is no camera's video to show beside the scene.", kind="NoCameras")
        self._views, self._look = views, look
        self._points = _Pieces(points, (*look.shape, 3), "The points of the scene")
        self._error = None if error is None else _Pieces(error, look.shape, "The reprojection errors")
        self._pixels = [_Pieces(view.pixels, (*look.shape, 2), f"The poses of {view.name}") for view in views]
        self._likelihood = [_Pieces(view.likelihood, look.shape, f"The likelihoods of {view.name}") for view in views]
        ends = [view.media.frames - view.offset for view in views]
        self.frames = max(ends) if self._points.length is None else self._points.length

    def points(self, start: int, stop: int) -> Array:
        """Return the points of these frames."""
        return self._points.read(start, stop)

    def moments(self, span: range, fps: Any) -> Iterator[Moment]:
        """Yield all that is drawn in each frame, but for the pictures."""
        behind = self._look.trailpoints
        for start in range(span.start, span.stop, _PIECE):
            stop = min(start + _PIECE, span.stop)
            points = self._points.read(start - behind, stop)
            error = None if self._error is None else self._error.read(start, stop)
            pixels = [
                _likely(
                    pixels.read(start - behind + view.offset, stop + view.offset),
                    likelihood.read(start - behind + view.offset, stop + view.offset),
                    self._look.pcutoff,
                )
                for view, pixels, likelihood in zip(self._views, self._pixels, self._likelihood, strict=True)
            ]
            for frame in range(start, stop):
                at = frame - start
                now = slice(at, at + behind + 1)
                yield Moment(
                    frame=frame,
                    time=seconds(float(frame / fps)),
                    turned=self._look.turn * float((frame - span.start) / fps),
                    points=points[now],
                    pixels=[each[now] for each in pixels],
                    error=None if error is None else error[at],
                )


def _likely(pixels: Array, likelihood: Array, pcutoff: float) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where((likelihood > pcutoff)[..., None], pixels, np.nan)


class _Pieces:
    """Numbers by frame, from wherever they are; NaN before the first and behind the last."""

    def __init__(self, source: Source, shape: tuple[int, ...], name: str) -> None:
        self._source, self._shape, self._name = source, shape, name
        self.length: int | None = None if callable(source) else len(source)
        if not callable(source) and hasattr(source, "shape"):
            self._check(tuple(source.shape[1:]))

    def read(self, start: int, stop: int) -> Array:
        """Return those of the frames from `start` up to `stop`, as float64."""
        found = np.full((stop - start, *self._shape), np.nan)
        first, last = max(start, 0), stop if self.length is None else min(stop, self.length)
        if first < last:
            values = np.asarray(
                self._source(first, last) if callable(self._source) else self._source[first:last], np.float64
            )
            self._check(values.shape[1:])
            found[first - start : first - start + len(values)] = values[: last - first]
        return found

    def _check(self, shape: tuple[int, ...]) -> None:
        if shape != self._shape:
            raise AnalysisFailed(
                f"{self._name} are not those of {self._shape[0]} individuals and {self._shape[1]} body parts: "
                f"each frame has {' x '.join(map(str, shape))} numbers instead of "
                f"{' x '.join(map(str, self._shape))}.",
                hint="All cameras' poses and the points must have the same individuals and body parts.",
                kind="SizesDiffer",
            )


def _check_span(span: range, frames: int) -> None:
    if span.step != 1 or not 0 <= span.start < span.stop <= frames:
        raise AnalysisFailed(
            f"There are no frames from {span.start} up to {span.stop}: the scene has {frames}, counted from 0.",
            hint="Correct start and end.",
            kind="NoFrames",
        )


def _limits(poses: _Poses, look: SceneLook, span: range) -> tuple[Box, Box, bool]:
    """Return the box for the scene, the one without limits that were given, and whether there is any point at all."""
    stretches = [(span.start, span.stop)]
    if len(span) > _SAMPLE:
        starts = np.linspace(span.start, span.stop - _SAMPLE // _STRETCHES, _STRETCHES).astype(int).tolist()
        stretches = [(start, start + _SAMPLE // _STRETCHES) for start in starts]
    points = np.concatenate([poses.points(*each)[:, :, look.shown].reshape(-1, 3) for each in stretches])
    found = bool(np.isfinite(points).all(axis=1).any())
    if not found and len(span) > _SAMPLE:  # then all of it is looked through
        for start in range(span.start, span.stop, _SAMPLE):
            piece = poses.points(start, min(start + _SAMPLE, span.stop))[:, :, look.shown].reshape(-1, 3)
            if np.isfinite(piece).all(axis=1).any():
                points, found = piece, True
                break
    return box_around(points, look.limits), box_around(points), found


def _all_outside(look: SceneLook, whole: Box) -> str:
    """Return what to say where the limits leave nothing."""
    limits = zip("xyz", look.limits, strict=True)
    given = ", ".join(f"{axis}lim={pair[0]:g},{pair[1]:g}" for axis, pair in limits if pair is not None)
    reach = (f"{axis} from {low:.6g} to {high:.6g}" for axis, (low, high) in zip("xyz", whole.limits, strict=True))
    within = f"within {given}" if given else "in what is shown"
    there = ", ".join(reach)
    return f"No body part is {within} in any of these frames: the scene was drawn empty. They reach over {there}."
