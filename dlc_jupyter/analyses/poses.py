"""What analyses of poses share: their parameters, the poses made or found, and where those are from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Analysis, Job, find_analysis
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.pose.projects import lacking_bodyparts, lacking_network, lacking_snapshot

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.analyze import Span, Task
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.models import Model
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


class PoseParameters(BaseParameters):
    """What decides the poses of a video."""

    model: Annotated[
        str,
        Field(min_length=1, max_length=200, description="The DeepLabCut project, by the name GET /model calls it."),
    ]
    shuffle: Annotated[int, Field(ge=0, le=10_000, description="Which shuffle of the training set was trained.")] = 1
    trainingsetindex: Annotated[
        int, Field(ge=0, le=1_000, description="Which training fraction of the project, counted from 0.")
    ] = 0
    snapshot_index: Annotated[
        int | None,
        Field(
            ge=-1_000,
            le=1_000,
            description="Which snapshot of the network, counted from 0; -1 is the last one. "
            "Left out: the one that the project's config.yaml names.",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Frames that the network sees at once. More is faster on a GPU and needs more of its memory. "
            "Left out: on a GPU as many as its memory suffices for, else as in the project's config.yaml.",
        ),
    ] = None
    detector_batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Frames that the detector of a top-down network sees at once. Left out: as for batch_size.",
        ),
    ] = None
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


#: What `describe` returns.
DESCRIPTION = {
    "fps": "Frames per second of the video; the mean where the rate varies.",
    "width, height": "Of its picture, in pixels.",
    "duration": "Of the video, in seconds.",
    "codec": "In which the video is coded, such as h264.",
    "variable_rate": "Whether the time between its frames varies.",
    "model": "The model's name.",
    "scorer": "DeepLabCut's name for the network: the first level of the columns in its files.",
    "bodyparts, individuals": "Their names; individuals is empty for a single animal.",
    "device": "cpu, or cuda:0 for a GPU.",
    "deeplabcut_version, torch_version": "Of the programs that made it.",
    "notes": "What you should know, as sentences; left out where there is nothing.",
}


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


class AfterPoses(PoseAnalysis):
    """Base of what starts from the poses that ``video`` has made, where it has."""

    @classmethod
    def poses_of(cls, parameters: PoseParameters) -> tuple[str, dict[str, Any]]:
        """Return ``video`` with the parameters that decide the poses."""
        return video_request(parameters)


def open_video(job: Job[Any]) -> tuple[Path, Media, Network, Model]:
    """Read the video's container and the model's project; what cannot be analysed is refused before any work."""
    from dlc_jupyter.pose.media import inspect
    from dlc_jupyter.pose.network import Network

    parameters = job.parameters
    assert job.model is not None
    video = job.inputs[0].path
    media = inspect(video)
    job.tell_media(job.inputs[0].file_id, media.as_json())
    media.check_whole()
    network = Network(
        config=job.model,
        shuffle=parameters.shuffle,
        trainingsetindex=parameters.trainingsetindex,
        snapshot_index=parameters.snapshot_index,
        batch_size=parameters.batch_size,
        detector_batch_size=parameters.detector_batch_size,
        cropping=parameters.cropping,
        device=job.device,
        measured_file=job.memory and job.memory / MEASURED,
    )
    return video, media, network, network.check(media)


def pose_task(
    job: Job[Any], video: Path, media: Media, network: Network, *, span: Span | None = None, mark: bool = False
) -> Task:
    """Return what `dlc_jupyter.pose.analyze` is to do for a job."""
    from dlc_jupyter.pose.analyze import Span, Task

    about = {"video": job.inputs[0].file_id, "dlc_jupyter": __version__}
    return Task(video, media, network, span or Span(), mark, about)


def find_poses(job: Job[Any], task: Task, *, save_as_csv: bool, progress: Callable[[int], None]) -> Poses:
    """Make the poses of a job's video, going on with those that an earlier attempt has kept.

    `progress` is told how many frames have poses.
    """
    from dlc_jupyter.pose import compact
    from dlc_jupyter.pose.analyze import analyze
    from dlc_jupyter.pose.network import COMPACT

    poses = analyze(task, job.scratch / "made", job.kept, save_as_csv=save_as_csv, progress=progress)
    compact.write(poses.h5, poses.folder / COMPACT, poses.rows)
    return poses


def video_request(parameters: PoseParameters) -> tuple[str, dict[str, Any]]:
    """Return ``video`` with the parameters that decide the poses, as `Analysis.poses_of` of what starts from them."""
    shared = {name: getattr(parameters, name) for name in PoseParameters.model_fields}
    return "video", find_analysis("video").validate(shared).model_dump()


def given_poses(job: Job[Any], network: Network) -> Poses | None:
    """Return the poses made earlier, under the names by which DeepLabCut finds them; None where there are none.

    Their notes are those of the analysis that has made them, with what did not go the usual way.
    """
    from dlc_jupyter.pose.network import Poses

    endings = {"h5_file": f"{network.tracker}.h5", "meta_file": "_meta.pickle", "full_file": "_full.pickle"}
    given = job.poses
    if given is None or any(field not in given.files or not given.files[field].is_file() for field in endings):
        return None
    folder = job.scratch / "given"
    folder.mkdir()
    video, result = job.inputs[0].path, given.result
    notes = [str(note) for note in result.get("notes") or ()]
    poses = Poses(folder, video.stem, result["scorer"], network.tracker, int(result["frames"]), notes)
    for field, ending in endings.items():
        poses.file(ending).symlink_to(given.files[field].absolute())
    return poses


def given_or_new_poses(
    job: Job[Any], video: Path, media: Media, network: Network, progress: Callable[[int], None]
) -> tuple[Poses, dict[str, Any]]:
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
    poses = given_poses(job, network)
    if poses is None or job.poses is None:
        poses = find_poses(job, pose_task(job, video, media, network), save_as_csv=True, progress=progress)
        poses_from, made = None, provenance(job, media, poses, video_request(job.parameters)[1])
    else:
        poses_from, made = job.poses.analysis_id, dict(job.poses.result.get("provenance") or {})
    own = set(type(job.parameters).model_fields) - set(PoseParameters.model_fields)
    afterwards = {"parameters": job.parameters.model_dump(mode="json", include=own), "versions": _versions()}
    return poses, {"poses_from": poses_from, "provenance": {**made, "afterwards": afterwards}}


#: What `given_or_new_poses` returns of where the poses are from.
ORIGIN = {
    "poses_from": "The analysis whose poses were used; null where they were made for this one.",
    "provenance": "That of the poses, as in the result of video, whichever analysis has made them; in afterwards, the "
    "parameters and versions of what was done with them.",
}


def provenance(
    job: Job[Any], media: Media, poses: Poses, parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return where poses come from: video, model, parameters, programs, device, and what did not go the usual way.

    Parameters
    ----------
    parameters : mapping, optional
        Those that decided the poses; all of the job's where they are left out.
    """
    import platform

    import torch

    from dlc_jupyter.pose.digests import sha256

    video = job.inputs[0]
    on_gpu = job.device.startswith("cuda")
    return {
        "video": {"file_id": video.file_id, "filename": video.filename, **media.as_json()},
        "model_files": [{"name": path.name, "sha256": sha256(path)} for path in poses.model_files],
        "parameters": job.parameters.model_dump(mode="json") if parameters is None else dict(parameters),
        "versions": _versions(),
        "device": torch.cuda.get_device_name(0) if on_gpu else platform.processor() or platform.machine(),
        "fallbacks": poses.fallbacks,
    }


def _versions() -> dict[str, str]:
    import platform

    import cv2
    import deeplabcut
    import numpy
    import torch

    return {
        "dlc_jupyter": __version__,
        "deeplabcut": deeplabcut.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def describe(job: Job[Any], media: Media, model: Model, scorer: str) -> dict[str, Any]:
    """Return what a result says of the video, the model and the software."""
    import deeplabcut
    import torch

    return {
        "fps": round(float(media.fps), 6),
        "width": media.width,
        "height": media.height,
        "duration": round(media.duration, 3),
        "codec": media.codec,
        "variable_rate": media.variable_rate,
        "model": job.parameters.model,
        "scorer": scorer,
        "bodyparts": list(model.bodyparts),
        "individuals": list(model.individuals),
        "device": job.device,
        "deeplabcut_version": deeplabcut.__version__,
        "torch_version": torch.__version__,
    }
