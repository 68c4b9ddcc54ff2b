"""Poses of a video, by a 2D project's network: ``deeplabcut.analyze_videos``, and a check that every frame was seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from dlc_jupyter.analyses.base import Analysis, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.models import Model
    from dlc_jupyter.pose.network import Network


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


class Video(Analysis):
    """Poses of every frame of a video, as CSV and as DeepLabCut's own files."""

    name = "video"
    model_kind = "2d"
    uses_device = True

    class Parameters(PoseParameters):
        save_as_csv: Annotated[
            bool, Field(description="Whether the poses are written as a CSV file besides DeepLabCut's HDF5 file.")
        ] = True

    def run(self, job: Job[Video.Parameters]) -> dict[str, Any]:
        """Analyse the video with DeepLabCut, check that every frame has its row, and describe the result."""
        from dlc_jupyter.pose.direct import analyze

        video, media, network, model = open_video(job)
        total = media.frames * network.passes
        poses = analyze(
            network,
            video,
            media,
            job.scratch / "made",
            save_as_csv=job.parameters.save_as_csv,
            # The last frames are still in the network when all have been read.
            progress=lambda done: job.progress(min(done, total - 1), total, "frames"),
        )
        job.progress(total, total, "frames")
        for note in poses.notes:
            job.note(note)
        return {**poses.as_result(), "frames": poses.rows, **describe(job, media, model, poses.scorer)}


def open_video(job: Job[Any]) -> tuple[Path, Media, Network, Model]:
    """Read the video's container and the model's project; what cannot be analysed is refused before any work."""
    from dlc_jupyter.pose.media import inspect
    from dlc_jupyter.pose.network import Network

    parameters = job.parameters
    assert job.model is not None
    video = job.inputs[0].path
    media = inspect(video)
    media.check_whole()
    network = Network(
        config=job.model,
        shuffle=parameters.shuffle,
        trainingsetindex=parameters.trainingsetindex,
        snapshot_index=parameters.snapshot_index,
        batch_size=parameters.batch_size,
        cropping=parameters.cropping,
        device=job.device,
    )
    return video, media, network, network.check(media)


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
