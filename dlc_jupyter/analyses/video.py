"""Poses of a video, by a 2D project's network, with a row for every frame, in DeepLabCut's own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, Field, ValidationInfo, field_validator

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Analysis, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.analyze import Span, Task
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.models import Model
    from dlc_jupyter.pose.network import Network, Poses


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
            "Left out: as in the project's config.yaml.",
        ),
    ] = None
    detector_batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Frames that the detector of a top-down network sees at once. "
            "Left out: as in the project's config.yaml.",
        ),
    ] = None
    device: Annotated[
        str | None,
        Field(
            pattern=r"^(cpu|cuda(:\d{1,2})?)$",
            description="Where the network runs: cpu, cuda, or cuda:<number>. Left out: as the server is set up.",
        ),
    ] = None
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


class Video(Analysis):
    """Poses of every frame of a video, as CSV and as DeepLabCut's own files."""

    name = "video"
    model_kind = "2d"
    uses_device = True
    results: ClassVar = {
        "h5_file": "The poses as DeepLabCut's other functions read them: pandas, key df_with_missing; x, y in pixels.",
        "csv_file": "The same as CSV; null with save_as_csv=false.",
        "meta_file": "DeepLabCut's _meta.pickle.",
        "poses_file": "The same in the compact form of GET /file/{file_id}/poses, all frames.",
        "full_file": "DeepLabCut's _full.pickle: all that the network has found.",
        "parquet_file, nwb_file": "The further files that formats asked for.",
        "frames": "Rows of the files: row i is frame i of the video.",
        "unreadable_frames": "Numbers, counted from 0, of the frames that could not be decoded (on_bad_frame=mark).",
        "provenance": "Video, model files with their SHA-256, parameters, versions, device, and what did not go the "
        "usual way (fallbacks).",
        **DESCRIPTION,
    }

    class Parameters(PoseParameters):
        start: Annotated[
            int, Field(ge=0, le=10**9, description="The first frame that is looked at, counted from 0.")
        ] = 0
        stop: Annotated[
            int | None,
            Field(ge=1, le=10**9, description="The frame before which to stop. Left out: the end of the video."),
        ] = None
        step: Annotated[
            int,
            Field(
                ge=1,
                le=10**6,
                description="Look at every how many-th frame. In all files row i stays frame i: the frames that are "
                "not looked at have rows of NaN.",
            ),
        ] = 1
        on_bad_frame: Annotated[
            Literal["stop", "mark"],
            Field(
                description="What to do about a frame that cannot be decoded: stop with an error that names it, or "
                "give it a row of NaN and go on (MP4 and MOV)."
            ),
        ] = "stop"
        save_as_csv: Annotated[
            bool, Field(description="Whether the poses are written as a CSV file besides DeepLabCut's HDF5 file.")
        ] = True

        formats: Annotated[
            list[Literal["parquet", "nwb"]],
            Field(
                description="Further files with the poses and the times at which the frames are shown: parquet (a row "
                "for each body part in each frame), nwb (Neurodata Without Borders, ndx-pose)."
            ),
        ] = Field(default_factory=list)
        session_start: Annotated[
            AwareDatetime | None,
            Field(
                validate_default=True,
                description="For nwb: when the recording began, such as 2026-01-31T10:00:00+01:00.",
            ),
        ] = None

        @field_validator("session_start")
        @classmethod
        def _known_for_nwb(cls, session_start: datetime | None, known: ValidationInfo) -> datetime | None:
            if session_start is None and "nwb" in known.data.get("formats", ()):
                raise ValueError("NWB wants to know when the recording began, such as 2026-01-31T10:00:00+01:00.")
            return session_start

        @field_validator("stop")
        @classmethod
        def _some_frame(cls, stop: int | None, known: ValidationInfo) -> int | None:
            start = known.data.get("start", 0)
            if stop is not None and stop <= start:
                raise ValueError(f"stop must be greater than start, which is {start}.")
            return stop

    def run(self, job: Job[Video.Parameters]) -> dict[str, Any]:
        """Analyse the video, and describe the result."""
        from dlc_jupyter.pose.analyze import Span

        wanted = job.parameters
        video, media, network, model = open_video(job)
        span = Span(wanted.start, wanted.stop, wanted.step)
        task = pose_task(job, video, media, network, span=span, mark=wanted.on_bad_frame == "mark")
        total = len(span.frames(media))
        poses = find_poses(
            job,
            task,
            save_as_csv=wanted.save_as_csv,
            # When all frames have poses, the files are yet to be written.
            progress=lambda done: job.progress(min(done, total - 1), total, "frames"),
        )
        job.progress(total, total, "frames")
        for note in (*poses.notes, *poses.fallbacks, *_unreadable(poses)):
            job.note(note)
        return {
            **poses.as_result(),
            **_further(job, media, model, poses, span.frames(media)),
            "frames": poses.rows,
            "unreadable_frames": poses.unreadable,
            **describe(job, media, model, poses.scorer),
            "provenance": provenance(job, media, poses),
        }


def _further(job: Job[Video.Parameters], media: Media, model: Model, poses: Poses, looked_at: range) -> dict[str, Path]:
    """Write the further files that were asked for."""
    from dlc_jupyter.pose import formats, tracks

    wanted = job.parameters
    if not wanted.formats:
        return {}
    import numpy as np

    found, stem = tracks.from_h5(poses.h5, range(looked_at.start, poses.rows, looked_at.step)), poses.file("").name
    # Row 0 is the first frame that could be decoded. A stream may hold a frame more than it has times for.
    times = np.asarray(media.times)[0 if wanted.on_bad_frame == "mark" else media.leading :]
    times = np.append(times, times[-1] + media.gap * np.arange(1, poses.rows - len(times) + 1))
    made: dict[str, Path] = {}
    if "parquet" in wanted.formats:
        made["parquet_file"] = poses.folder / f"{stem}.parquet"
        formats.write_parquet(found, made["parquet_file"], times)
    if "nwb" in wanted.formats:
        assert wanted.session_start is not None
        made["nwb_file"] = poses.folder / f"{stem}.nwb"
        formats.write_nwb(
            found,
            made["nwb_file"],
            times,
            session_start=wanted.session_start,
            video=job.inputs[0].filename,
            skeleton=[(one, other) for one, other in model.skeleton],
        )
    return made


def _unreadable(poses: Poses) -> Iterator[str]:
    if poses.unreadable:
        frames = ", ".join(str(each + 1) for each in poses.unreadable[:10])
        more = len(poses.unreadable) - 10
        yield (
            f"{len(poses.unreadable)} frames could not be decoded and have rows of NaN: {frames}"
            + (f" and {more} more." if more > 0 else ".")
        )


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
    return Video.name, Video.Parameters(**shared).model_dump()


def given_poses(job: Job[Any], network: Network) -> Poses | None:
    """Return the poses made earlier, under the names by which DeepLabCut finds them; None where there are none."""
    from dlc_jupyter.pose.network import Poses

    endings = {"h5_file": f"{network.tracker}.h5", "meta_file": "_meta.pickle", "full_file": "_full.pickle"}
    given = job.poses
    if given is None or any(field not in given.files or not given.files[field].is_file() for field in endings):
        return None
    folder = job.scratch / "given"
    folder.mkdir()
    video, result = job.inputs[0].path, given.result
    poses = Poses(folder, video.stem, result["scorer"], network.tracker, int(result["frames"]), [])
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
        ``poses_from``, the analysis that has made them (None: this one), and ``provenance``.
    """
    poses = given_poses(job, network)
    if poses is None or job.poses is None:
        poses = find_poses(job, pose_task(job, video, media, network), save_as_csv=True, progress=progress)
        return poses, {"poses_from": None, "provenance": provenance(job, media, poses)}
    earlier = job.poses.result.get("provenance") or {}
    made = {name: earlier[name] for name in ("model_files", "device", "fallbacks") if name in earlier}
    origin = {"poses_from": job.poses.analysis_id, "provenance": {**provenance(job, media, poses), **made}}
    return poses, origin


def provenance(job: Job[Any], media: Media, poses: Poses) -> dict[str, Any]:
    """Return where poses come from: video, model, parameters, programs, device, and what did not go the usual way."""
    import platform

    import cv2
    import deeplabcut
    import numpy
    import torch

    from dlc_jupyter.pose.analyze import sha256

    video = job.inputs[0]
    on_gpu = job.device.startswith("cuda")
    return {
        "video": {"file_id": video.file_id, "filename": video.filename, **media.as_json()},
        "model_files": [{"name": path.name, "sha256": sha256(path)} for path in poses.model_files],
        "parameters": job.parameters.model_dump(mode="json"),
        "versions": {
            "dlc_jupyter": __version__,
            "deeplabcut": deeplabcut.__version__,
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "device": torch.cuda.get_device_name(0) if on_gpu else platform.processor() or platform.machine(),
        "fallbacks": poses.fallbacks,
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
