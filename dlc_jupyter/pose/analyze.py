"""From a video to the files with its poses: every frame accounted for, resumed where an earlier attempt stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import assemblies, compat, direct, inference, memory, runners, tracks
from dlc_jupyter.pose.batches import Prediction, Seam
from dlc_jupyter.pose.digests import sha256
from dlc_jupyter.pose.frames import Frames, Pictures
from dlc_jupyter.pose.limits import check_start
from dlc_jupyter.pose.media import REPAIR, Media
from dlc_jupyter.pose.network import LOG, Network, Poses, explained
from dlc_jupyter.pose.rows import UNREADABLE, WIDE, Rows, as_written, described
from dlc_jupyter.pose.sizes import Sizes

#: Seconds after which the poses that there are go to the disk: at most so much work is ever done again.
CHUNK_SECONDS = 1.0

#: The part of the work that it counts as to follow several animals from frame to frame, in what `progress` is told.
FOLLOWING = 0.1

#: Where the records lie in the folder that outlives an attempt.
ROWS = "poses"

#: Under which name they say how many pictures or animals the networks saw at once.
SIZES = "batch_size"


@dataclass(frozen=True)
class Span:
    """Which frames of a video are looked at: as in ``range``. A `stop` of None is the end of the video."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    def frames(self, media: Media) -> range:
        """Return the numbers of the frames, as far as the container promises them.

        Raises
        ------
        AnalysisFailed
            There are none.
        """
        check_start(self.start, media.frames)
        return range(self.start, min(self.stop or media.frames, media.frames), self.step)


@dataclass(frozen=True)
class Task:
    """A video whose poses are wanted.

    Attributes
    ----------
    video : Path
        Its file; its stem begins the names of the files with the poses.
    media : Media
        What `inspect` says of it.
    network : Network
        What looks at it.
    span : Span
        At which frames.
    mark : bool
        Give a frame that cannot be decoded a row of NaN, and go on.
    about : mapping
        JSON values that say what these are poses of: an attempt goes on with those of an earlier one only where all of
        them are the same.
    """

    video: Path
    media: Media
    network: Network
    span: Span = Span()
    mark: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)


def analyze(task: Task, folder: Path, kept: Path, *, save_as_csv: bool, progress: Callable[[int], None]) -> Poses:
    """Make the poses of a video, and write them as DeepLabCut would.

    Parameters
    ----------
    folder : Path
        Where the files go; it must not exist.
    kept : Path
        Where poses lie as they come, for another attempt to go on with.
    progress : callable
        Told how many frames have poses, of ``len(task.span.frames(task.media))``. Where several animals must then be
        followed through the video, that counts as a tenth: see `FOLLOWING`.

    Raises
    ------
    AnalysisFailed
        The network or the video cannot be used, or frames have no pose.
    """
    task.span.frames(task.media)
    changed = compat.changed()
    if changed:
        return _by_deeplabcut(task, folder, changed, save_as_csv, progress)
    folder.mkdir(parents=True)
    began, run = time.time(), _Run(task, progress)
    with explained(task.network, lambda: run.done):
        built = _build(task)
        about = _about(task, built)
        sizes = _choose_sizes(task, built, about, kept / ROWS)
        loop = inference.make_loop(built, sizes.correct if sizes else None)
        with Rows(kept / ROWS, about | {SIZES: [built.batch_size, loop.size]}) as rows:
            if len(rows):
                print(
                    f"An earlier attempt has found the poses of {len(rows)} frames: this one goes on with frame "
                    f"{task.span.start + len(rows) * task.span.step}, counted from 0.",
                    flush=True,
                )
            run.predict(built, loop, rows)
            made = _tracks(task, built, rows.records(), began)
            tracks.write(made, folder, task.video.stem, save_as_csv=save_as_csv, save_as_df=not built.several)
        if built.several:
            _follow_animals(task, built, made, folder, save_as_csv, run.followed)
    return _poses(task, built, made, folder, run, loop)


def _build(task: Task) -> runners.Runners:
    """Load the network; refuse what it cannot be asked for."""
    built = runners.build(task.network)
    if built.several and task.span.step > 1:
        raise AnalysisFailed(
            "Several animals can only be followed from one frame to the next, so step must be 1.",
            hint="Leave step out, or give start and stop.",
            kind="BadSpan",
        )
    return built


def _poses(
    task: Task, built: runners.Runners, made: tracks.Tracks, folder: Path, run: _Run, loop: inference.Loop
) -> Poses:
    """Describe the files that were written."""
    unreadable = made.frames[0] + np.flatnonzero(made.rows[WIDE] & UNREADABLE) * made.frames.step
    poses = Poses(
        folder=folder,
        stem=task.video.stem,
        scorer=built.scorer,
        tracker=task.network.tracker,
        rows=len(made),
        notes=[*task.media.notes, *run.notes],
        unreadable=unreadable.tolist(),
        fallbacks=run.fallbacks,
        model_files=list(built.files),
        batch_sizes={portions.name: portions.size for portions in loop.portions},
    )
    if not poses.h5.is_file():
        raise AnalysisFailed("DeepLabCut ended without an error, but wrote no poses.", hint=LOG, kind="NoPoses")
    return poses


def _about(task: Task, built: runners.Runners) -> dict[str, Any]:
    """Return all that decides the numbers, but for `SIZES`."""
    import deeplabcut
    import torch

    return {
        **task.about,
        "model": [[path.name, sha256(path)] for path in built.files],
        "scorer": built.scorer,
        "points": built.points,
        "device": task.network.device,
        "cropping": (part := built.part(task.media)) and list(part),
        "span": [task.span.start, task.span.step],
        "mark": task.mark,
        "first": task.media.first(marked=task.mark),
        "deeplabcut": deeplabcut.__version__,
        "torch": torch.__version__,
    }


def _choose_sizes(task: Task, built: runners.Runners, about: Mapping[str, Any], folder: Path) -> Sizes | None:
    """Set the sizes of batches that the user has not set, where a GPU's memory limits them.

    An attempt keeps to those of the one before: on a GPU the last digit of a number depends on them.
    """
    network = task.network
    if not network.device.startswith("cuda"):
        return None
    crop = built.part(task.media) or (0, task.media.width, 0, task.media.height)
    picture = crop[1] - crop[0], crop[3] - crop[2]
    sizes = Sizes(built, memory.Cuda(network.device), about["model"], picture, network.measured_file)
    earlier = described(folder)
    before = earlier.pop(SIZES, None)
    if before and earlier == as_written(about):
        sizes.keep_to(*before)
    else:
        sizes.choose(lambda: _first_picture(task, crop))
    return sizes


def _first_picture(task: Task, crop: tuple[int, int, int, int]) -> Pictures:
    """Return the first picture of the video; a black one if it cannot be decoded."""
    with Frames(task.video, task.media, size=1, stop=1, crop=crop, mark=task.mark) as frames:
        for batch in frames:
            picture: Pictures = batch.pictures[0]
            return picture
    return np.zeros((crop[3] - crop[2], crop[1] - crop[0], 3), np.uint8)


class _Run:
    """The way of a video's frames through the network to the records."""

    def __init__(self, task: Task, progress: Callable[[int], None]) -> None:
        self._task, self._progress, self._share = task, progress, 1.0
        self._held: list[Prediction] = []
        #: How many frames have poses.
        self.done = 0
        #: What the user should know of the video.
        self.notes: list[str] = []
        #: What did not go the usual way, in this attempt and those before.
        self.fallbacks: list[str] = []
        self._earlier: list[str] = []

    def predict(self, built: runners.Runners, loop: inference.Loop, rows: Rows) -> None:
        """Have the network look at the frames without a record."""
        task, span = self._task, self._task.span
        before, written = len(rows), time.monotonic()
        seam = self._go_on(loop, rows)
        self._share = 1 - FOLLOWING if built.several else 1.0
        self._tell()
        frames = Frames(
            task.video,
            task.media,
            size=loop.size,
            start=span.start + (before - seam.back) * span.step,
            stop=span.stop,
            step=span.step,
            crop=built.part(task.media),
            mark=task.mark,
            allocate=page_locked if task.network.device.startswith("cuda") else None,
        )
        with frames:
            for ready in inference.predict(loop, frames):
                self.done += len(ready)
                self._held += ready
                self._tell()
                if time.monotonic() - written >= CHUNK_SECONDS:
                    count, seam = loop.seam()
                    self._hand_on(rows, frames, loop, before + count - len(rows), seam)
                    written = time.monotonic()
        self.notes = frames.account()
        self._hand_on(rows, frames, loop, len(self._held), Seam())
        self.fallbacks = list(dict.fromkeys(self._earlier + loop.notes))

    def followed(self, part: float) -> None:
        """Tell through which part of the frames, from 0 to 1, the animals have been followed."""
        self._progress(round((1 - FOLLOWING * (1 - part)) * self.done))

    def _tell(self) -> None:
        self._progress(round(self._share * self.done))

    def _go_on(self, loop: inference.Loop, rows: Rows) -> Seam:
        """Have the loop begin as the mark of the last record says; return where that is."""
        mark = rows.mark
        seam = Seam(*mark.get("seam", (0, 0)))
        loop.go_on(seam)
        for portions in loop.portions:
            portions.most = min(mark.get("most", {}).get(portions.name, portions.size), portions.size)
        self.done, self._earlier = len(rows), list(mark.get("fallbacks", []))
        return seam

    def _hand_on(self, rows: Rows, frames: Frames, loop: inference.Loop, count: int, seam: Seam) -> None:
        """Write the first poses that are held: a chunk, with what another attempt must know to go on behind it."""
        if count <= 0:
            return
        span, first = self._task.span, self.done - len(self._held)
        places = ((number - span.start) // span.step - first for number in frames.unreadable)
        rows.append(self._held[:count], [place for place in places if 0 <= place < count])
        rows.flush(self._mark(loop, seam))
        del self._held[:count]

    def _mark(self, loop: inference.Loop, seam: Seam) -> dict[str, Any]:
        """Return what the next attempt must know: see `_go_on`. What `most` says will be among its own notes."""
        said = [note for portions in loop.portions for note in portions.notes]
        return {
            "seam": [seam.back, seam.skip],
            "most": {portions.name: portions.most for portions in loop.portions},
            "fallbacks": [note for note in dict.fromkeys(self._earlier + loop.notes) if note not in said],
        }


def page_locked(shape: tuple[int, ...]) -> Pictures:
    """Return memory from which a GPU fetches pictures by itself."""
    import torch

    memory: Pictures = torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
    return memory


def _tracks(task: Task, built: runners.Runners, records: Any, began: float) -> tracks.Tracks:
    if not len(records) or (records[WIDE] & UNREADABLE).all():
        raise AnalysisFailed("No frame of the video could be decoded.", hint=REPAIR, kind="NotDecodable")
    span = task.span
    origin = tracks.Origin(
        scorer=built.scorer,
        bodyparts=built.names("bodyparts"),
        individuals=built.names("individuals"),
        unique_bodyparts=built.names("unique_bodyparts"),
        multi_animal=built.several,
        pose_cfg=built.pose_cfg,
        metadata=runners.metadata(
            built,
            task.video,
            batch_size=built.batch_size,
            began=began,
            ended=time.time(),
            frames=task.media.frames,
        ),
    )
    return tracks.Tracks(origin, records, range(span.start, span.start + len(records) * span.step, span.step))


def _follow_animals(
    task: Task,
    built: runners.Runners,
    made: tracks.Tracks,
    folder: Path,
    save_as_csv: bool,
    progress: Callable[[float], None],
) -> None:
    """Have DeepLabCut make tracks of what was seen in each frame, as ``analyze_videos`` does.

    It calls the table in their file ``tracks``; here it has the name of a single animal's, without which other tools
    (movement) refuse it, and which DeepLabCut's own do not ask for.
    """
    import tables
    from deeplabcut.pose_estimation_pytorch.apis.tracklets import convert_detections2tracklets
    from deeplabcut.refine_training_dataset.stitch import stitch_tracklets

    network = task.network
    chosen: dict[str, Any] = {"destfolder": str(folder), "snapshot_index": network.snapshot_index}
    with assemblies.not_from_files(made, progress):
        convert_detections2tracklets(
            config=network.config,
            videos=str(task.video),
            shuffle=network.shuffle,
            trainingsetindex=network.trainingsetindex,
            **chosen,
        )
    stitch_tracklets(
        network.config,
        [str(task.video)],
        shuffle=network.shuffle,
        trainingsetindex=network.trainingsetindex,
        save_as_csv=save_as_csv,
        **chosen,
    )
    for path in folder.glob(f"{task.video.stem}{built.scorer}{network.tracker}.h5"):
        with tables.open_file(path, "a") as file:
            if "/tracks" in file:
                file.rename_node("/tracks", "df_with_missing")
    progress(1.0)


def _by_deeplabcut(
    task: Task, folder: Path, changed: Sequence[str], save_as_csv: bool, progress: Callable[[int], None]
) -> Poses:
    """Run DeepLabCut's own loop: this DeepLabCut is not the one that ours was written against."""
    if task.span != Span() or task.mark:
        raise AnalysisFailed(
            "start, stop, step and on_bad_frame=mark cannot be used with the DeepLabCut of this server, which is "
            "another release than the one they were written for.",
            hint="Leave them out, or ask whoever runs the server for DeepLabCut 3.0.2.",
            kind="OtherDeepLabCut",
        )
    passes = task.network.passes
    return direct.analyze(
        task.network,
        task.video,
        task.media,
        folder,
        save_as_csv=save_as_csv,
        progress=lambda done: progress(done // passes),
        why="DeepLabCut's own loop was used, because this DeepLabCut is another than the one that ours was written for "
        f"({changed[0].rpartition(':')[2]} differs).",
    )
