"""What analyses of poses share: their parameters, the poses made or found, and where those are from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Analysis, InputFile, Job, PosesOf
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.marking import NO_MARK, marking_mentioned, unreadable_frames
from dlc_jupyter.analyses.provenance import provenance_of, versions
from dlc_jupyter.analyses.refusals import refused
from dlc_jupyter.pose.limits import check_cropping, check_start
from dlc_jupyter.pose.projects import Model, lacking_bodyparts, lacking_network, lacking_snapshot, read_yaml

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.analyses.base import Poses as GivenPoses
    from dlc_jupyter.pose.analyze import Span
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.network import Network, Poses


#: The file in `Job.memory` in which it is kept how much of a GPU's memory networks take.
MEASURED = "batch_sizes.json"

#: On what an analysis computes.
Device = Annotated[
    str | None,
    Field(
        pattern=r"^(cpu|cuda(:\d{1,2})?)$",
        description="Where the network runs: cpu, cuda, or cuda:<number>. Left out: as the server is set up.",
    ),
]

# What is drawn of poses, by whatever draws them.

DisplayedBodyparts = Annotated[
    list[str] | None, Field(description="The body parts that are drawn. Left out: all of them.")
]
PCutoff = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="Positions with a likelihood below this are not drawn. Left out: as in the project's config.yaml.",
    ),
]
ColorBy = Annotated[
    Literal["bodypart", "individual"],
    Field(description="Whether each body part or each individual has a colour of its own."),
]
Filtered = Annotated[
    bool, Field(description="Whether the poses are smoothed first (deeplabcut.filterpredictions, median of 5).")
]


def _four_in_order(cropping: list[int] | None) -> list[int] | None:
    if cropping is None:
        return None
    if len(cropping) != 4:
        raise ValueError(f"Four numbers are wanted: x1, x2, y1, y2, not {len(cropping)}.")
    x1, x2, y1, y2 = cropping
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"The order is x1, x2, y1, y2 with x1 < x2 and y1 < y2, not {x1}, {x2}, {y1}, {y2}.")
    return cropping


def _behind_start(stop: int | None, known: ValidationInfo) -> int | None:
    start = known.data.get("start", 0)
    if stop is not None and stop <= start:
        raise ValueError(f"stop must be greater than start, which is {start}.")
    return stop


#: A frame of a video, counted from 0; the parameter before `Stop`.
Start = Annotated[int, Field(ge=0, le=10**9)]
#: The frame before which to stop, behind the parameter ``start``.
Stop = Annotated[int | None, Field(ge=1, le=10**9), AfterValidator(_behind_start)]


# What decides the poses.

ModelName = Annotated[
    str, Field(min_length=1, max_length=200, description="The DeepLabCut project, by the name GET /model calls it.")
]
SnapshotIndex = Annotated[
    int | None,
    Field(
        ge=-1_000,
        le=1_000,
        description="Which snapshot of the network, counted from 0; -1 is the last one. "
        "Left out: the one that the project's config.yaml names.",
    ),
]
BatchSize = Annotated[
    int | None,
    Field(
        ge=1,
        le=1024,
        description="Frames that the network sees at once. More is faster on a GPU and needs more of its memory. "
        "Left out: on a GPU as many as its memory suffices for, else as in the project's config.yaml.",
    ),
]
DetectorBatchSize = Annotated[
    int | None,
    Field(
        ge=1,
        le=1024,
        description="Frames that the detector of a top-down network sees at once. Left out: as for batch_size.",
    ),
]


class PoseParameters(BaseParameters):
    """What decides the poses of a video."""

    model: ModelName
    shuffle: Annotated[int, Field(ge=0, le=10_000, description="Which shuffle of the training set was trained.")] = 1
    trainingsetindex: Annotated[
        int, Field(ge=0, le=1_000, description="Which training fraction of the project, counted from 0.")
    ] = 0
    snapshot_index: SnapshotIndex = None
    batch_size: BatchSize = None
    detector_batch_size: DetectorBatchSize = None
    device: Device = None
    cropping: Annotated[
        list[Annotated[int, Field(ge=0, le=100_000)]] | None,
        AfterValidator(_four_in_order),
        Field(
            json_schema_extra={"minItems": 4, "maxItems": 4},
            description="Only this part of the picture is analysed: x1, x2, y1, y2 in pixels. The poses are relative "
            "to its upper left corner. Left out: as in the project's config.yaml.",
        ),
    ] = None
    on_bad_frame: Annotated[
        Literal["stop", "mark"],
        Field(
            description="What to do about a frame that cannot be decoded: stop with an error that names it, or give it "
            "a row of NaN and go on (MP4 and MOV); what starts from poses then starts from those made so."
        ),
    ] = "stop"


class PoseAnalysis(Analysis):
    """Base of what needs the poses of one video by a 2D project's network. Its parameters are `PoseParameters`."""

    model_kind = "2d"
    uses_device = True

    @classmethod
    def misfits(cls, parameters: Any, model: Model) -> Iterator[tuple[str, str]]:
        """Yield a shuffle, a snapshot and body parts that the model does not have."""
        index, shuffle = parameters.trainingsetindex, parameters.shuffle
        if message := lacking_network(model, index, shuffle):
            yield "shuffle", message
        elif parameters.snapshot_index is not None and (
            message := lacking_snapshot(model, index, shuffle, parameters.snapshot_index)
        ):
            yield "snapshot_index", message
        shown = getattr(parameters, "displayedbodyparts", None)
        if shown is not None and (message := lacking_bodyparts(model, shown)):
            yield "displayedbodyparts", message

    @classmethod
    def unfit(cls, parameters: Any, model: Model, media: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield a start behind the last frame, and cropping outside of the picture, the project's own too."""
        yield from refused("start", check_start, getattr(parameters, "start", 0), media["frames"])
        config = read_yaml(model.config)
        yield from refused("cropping", check_cropping, parameters.cropping, config, media["width"], media["height"])

    @classmethod
    def poses(cls, parameters: Any, model: Model) -> list[PosesOf]:
        """Return which poses the result has: those of the whole video."""
        return poses_by(parameters, model)


class AfterPoses(PoseAnalysis):
    """Base of what starts from the poses that another analysis has made, where one has."""

    starts_from_poses = True


def poses_by(parameters: Any, model: Model) -> list[PosesOf]:
    """Return which poses a model's networks make, each looking at the whole of its video as `parameters` say.

    Parameters
    ----------
    parameters : Parameters
        With some of those of `PoseParameters`.
    model : Model
        Of a 3D one there is a network for each camera, in their order, whose fields begin with ``<camera>_``.
    """
    names = ("snapshot_index", "batch_size", "detector_batch_size", "cropping", "device")
    shared: dict[str, Any] = {name: getattr(parameters, name, None) for name in names}
    shared["mark"] = getattr(parameters, "on_bad_frame", "stop") == "mark"
    if model.kind == "2d":
        return [PosesOf(model.config, parameters.shuffle, parameters.trainingsetindex, **shared)]
    return [
        PosesOf(each.config, each.shuffle, each.trainingsetindex, **{**shared, "prefix": f"{each.camera}_"})
        for each in model.camera_models
    ]


@dataclass(frozen=True)
class Recording:
    """One video of a job, opened, and the network that is to look at it.

    Attributes
    ----------
    number : int
        Which of the job's inputs, counted from 0.
    wanted : PosesOf
        The poses that are looked for, by a project staged for this job.
    model : Model
        That 2D project.
    notes : sequence of str
        What is missing of the video, where nobody wanted it.
    """

    job: Job[Any]
    number: int
    wanted: PosesOf
    media: Media
    network: Network
    model: Model
    notes: Sequence[str] = ()

    @property
    def input(self) -> InputFile:
        """The video as it was stored."""
        return self.job.inputs[self.number]

    @property
    def video(self) -> Path:
        """The video in the scratch folder."""
        return self.input.path

    @property
    def given(self) -> GivenPoses | None:
        """The poses of it that were made earlier, where they are to be used."""
        return self.job.poses[self.number] if self.number < len(self.job.poses) else None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that decide the poses."""
        on_bad_frame = "mark" if self.wanted.mark else "stop"
        part = dict(zip(("start", "stop"), self.wanted.frames or (), strict=False))
        return {"model": self.job.parameters.model, **self.wanted.parameters(), "on_bad_frame": on_bad_frame, **part}

    @property
    def looked_at(self) -> range:
        """Which frames are looked at, where there are no poses yet."""
        from dlc_jupyter.pose.analyze import Span

        return Span(*(self.wanted.frames or ())).frames(self.media)

    def folder(self, parent: Path) -> Path:
        """Return where in a folder its files lie: in one of its own, where there are several videos."""
        return parent if len(self.job.inputs) == 1 else parent / self.video.stem


def open_video(job: Job[Any], number: int = 0, wanted: PosesOf | None = None, *, stop: int | None = None) -> Recording:
    """Read a video's container and its model's project; what cannot be analysed is refused before any work.

    Parameters
    ----------
    number : int
        Which of the job's inputs, counted from 0.
    wanted : PosesOf, optional
        Which poses, of those that `poses_by` returns for the model as it is staged; those of a 2D model are known.
    stop : int, optional
        How many rows are wanted: what is missing of the file behind them is no error then, but noted. Left out: as
        `wanted` says, or all.
    """
    from dlc_jupyter.pose.media import inspect
    from dlc_jupyter.pose.network import Network

    if wanted is None:
        assert job.model is not None
        wanted = poses_by(job.parameters, Model("", "2d", job.model))[0]
    if stop is None and wanted.frames:
        stop = wanted.frames[1]
    given = job.inputs[number]
    media = inspect(given.path)
    job.tell_media(given.file_id, media.as_json())
    notes = media.check_whole(stop, marked=wanted.mark)
    if wanted.mark and not media.markable:
        job.note(NO_MARK)
    network = Network(
        config=wanted.config,
        **{**wanted.parameters(), "device": job.device},
        measured_file=job.memory and job.memory / MEASURED,
    )
    return Recording(job, number, wanted, media, network, network.check(media), notes)


def find_poses(
    recording: Recording,
    *,
    save_as_csv: bool,
    progress: Callable[[int], None],
    span: Span | None = None,
) -> Poses:
    """Make the poses of a video, going on with those that an earlier attempt has kept.

    Parameters
    ----------
    progress : callable
        Told how many frames have poses.
    span : Span, optional
        Which frames are looked at. Left out: as the recording says.
    """
    from dlc_jupyter.pose import compact
    from dlc_jupyter.pose.analyze import Span, Task, analyze
    from dlc_jupyter.pose.cropping import part_of
    from dlc_jupyter.pose.network import COMPACT

    job, media = recording.job, recording.media
    about = {"video": recording.input.file_id, "dlc_jupyter": __version__}
    span = span or Span(*(recording.wanted.frames or ()))
    task = Task(recording.video, media, recording.network, span, recording.wanted.mark, about)
    made, kept = recording.folder(job.scratch / "made"), recording.folder(job.kept)
    for folder in (made.parent, kept):
        folder.mkdir(exist_ok=True)
    with marking_mentioned(job.parameters, media):
        poses = analyze(task, made, kept, save_as_csv=save_as_csv, progress=progress)
    cropping, first = part_of(poses.file("_meta.pickle"), media), media.first(marked=recording.wanted.mark)
    compact.write(poses.h5, poses.folder / COMPACT, poses.rows, first=first, cropping=cropping)
    poses.notes.extend((*recording.notes, *unreadable_frames(poses.unreadable)))
    return poses


def beyond(stop: int | None, frames: int, what: str = "video") -> Iterator[str]:
    """Yield a note about a `stop` behind the last frame of a video, or of a scene."""
    if stop is not None and stop > frames:
        yield f"stop={stop} is beyond the {what}'s end: it has {frames} frames."


def given_poses(recording: Recording) -> Poses | None:
    """Return the poses made earlier, under the names by which DeepLabCut finds them; None where there are none.

    Their notes are those of the analysis that has made them, with what did not go the usual way.
    """
    from dlc_jupyter.pose.network import Poses

    tracker, given = recording.network.tracker, recording.given
    endings = {"h5_file": f"{tracker}.h5", "meta_file": "_meta.pickle", "full_file": "_full.pickle"}
    if given is None or any(field not in given.files or not given.files[field].is_file() for field in endings):
        return None
    folder = recording.folder(recording.job.scratch / "given")
    folder.mkdir(parents=True)
    result, about = given.result, given.result.get("provenance") or {}
    notes, fallbacks = (list(map(str, about.get(name) or ())) for name in ("notes", "fallbacks"))
    rows = int(result["frames"])
    poses = Poses(folder, recording.video.stem, result["scorer"], tracker, rows, notes, fallbacks=fallbacks)
    for field, ending in endings.items():
        poses.file(ending).symlink_to(given.files[field].absolute())
    return poses


def given_or_new_poses(recording: Recording, progress: Callable[[int], None]) -> tuple[Poses, dict[str, Any]]:
    """Return the poses made earlier, or else make them.

    Parameters
    ----------
    progress : callable
        Told how many frames have poses, where they are made.

    Returns
    -------
    poses : Poses
        Those poses.
    origin : dict
        ``poses_from``, the analysis that has made them (None: this one), and ``provenance``: that of the poses,
        whoever has made them, and as ``afterwards`` what this analysis does with them.
    """
    poses, given, parameters = given_poses(recording), recording.given, recording.job.parameters
    if poses is None or given is None:
        poses = find_poses(recording, save_as_csv=True, progress=progress)
        poses_from, made = None, provenance(recording, poses)
        offer_poses(recording, poses, made)
    else:
        poses_from, made = given.analysis_id, dict(given.result.get("provenance") or {})
    own = set(type(parameters).model_fields) - set(PoseParameters.model_fields)
    afterwards = {"parameters": parameters.model_dump(mode="json", include=own), "versions": versions()}
    return poses, {"poses_from": poses_from, "provenance": {**made, "afterwards": afterwards}}


def offer_poses(recording: Recording, poses: Poses, made: Mapping[str, Any]) -> None:
    """Offer poses to others as soon as they are there, whatever becomes of the rest of the analysis.

    Parameters
    ----------
    made : mapping
        Their `provenance`.
    """
    job, prefix = recording.job, recording.wanted.prefix
    cameras = {"cameras": [each.camera for each in job.inputs]} if prefix else {}
    job.offer(poses_as_result(poses, {"provenance": made}, prefix) | cameras)


#: What `given_or_new_poses` returns of where the poses are from.
ORIGIN = {
    "poses_from": "The analysis whose poses were used; null where they were made for this one.",
    "provenance": "That of the poses, as in the result of video, whichever analysis has made them; in afterwards, the "
    "parameters and versions of what was done with them.",
}


def poses_as_result(poses: Poses, origin: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return poses as the fields of a result from which other analyses can start.

    Parameters
    ----------
    origin : mapping
        Its ``provenance`` is that of the poses.
    prefix : str
        As in `PosesOf`.
    """
    about = {key: value for key, value in origin["provenance"].items() if key != "afterwards"}
    found = {**poses.as_result(), "scorer": poses.scorer, "frames": poses.rows, "provenance": about}
    return {f"{prefix}{name}": value for name, value in found.items()}


def provenance(recording: Recording, poses: Poses, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return where poses come from: video, model, parameters, programs, device, and what did not go the usual way.

    Parameters
    ----------
    parameters : mapping, optional
        Those that decided the poses, where there are more than the recording's.
    """
    decisive = recording.parameters if parameters is None else parameters
    return provenance_of(recording.job, recording.media, poses, decisive, recording.number)
