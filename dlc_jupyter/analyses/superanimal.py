"""Poses of a video by a model of DeepLabCut's zoo, which nobody has to train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dlc_jupyter.analyses.base import Analysis, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.description import DESCRIPTION
from dlc_jupyter.analyses.poses import Device
from dlc_jupyter.analyses.provenance import provenance_of
from dlc_jupyter.analyses.refusals import refused
from dlc_jupyter.pose.weights import check_there, needed, weight_files

Name = Literal["superanimal_topviewmouse", "superanimal_quadruped", "superanimal_bird", "superanimal_humanbody"]
PoseModel = Literal["hrnet_w32", "resnet_50", "rtmpose_s", "rtmpose_x"]
Detector = Literal[
    "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn", "ssdlite"
]

_MOBILENET, _RESNET = "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn_v2"

#: The pose models and detectors that there are for each, by DeepLabCut 3.0.2. Those of TensorFlow are not among them.
KNOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "superanimal_topviewmouse": (("hrnet_w32", "resnet_50"), (_MOBILENET, _RESNET)),
    "superanimal_quadruped": (("hrnet_w32", "resnet_50", "rtmpose_s"), (_MOBILENET, _RESNET, "ssdlite")),
    "superanimal_bird": (("resnet_50",), (_MOBILENET, "ssdlite")),
    "superanimal_humanbody": (("rtmpose_x",), (_MOBILENET, _RESNET, "fasterrcnn_resnet50_fpn")),
}

#: What is not as with a model of one's own. It is so every time, so it is written down and not said.
OWN_LOOP = (
    "DeepLabCut's own loop was used, as always for a SuperAnimal model: an analysis that is interrupted begins again "
    "with the first frame."
)


class SuperAnimal(Analysis):
    """Poses of every frame of a video by a SuperAnimal model of DeepLabCut's zoo, without training."""

    name = "superanimal"
    uses_device = True
    results: ClassVar = {
        "h5_file": "The poses as DeepLabCut's other functions read them: pandas, key df_with_missing; x, y in pixels. "
        "Where an animal was not found, x, y and likelihood are -1.",
        "csv_file": "The same as CSV.",
        "json_file": "All predictions of each frame, with the boxes of the detector (bboxes, bbox_scores).",
        "video_file": "The labelled video; null with create_labeled_video=false.",
        "frames": "Rows of the files: row i is frame i of the video.",
        "provenance": "Video, weights with their SHA-256, parameters, versions and device; in fallbacks, that it was "
        "DeepLabCut's own loop that looked at it.",
        "superanimal_name, model_name, detector_name": "What looked at the video.",
        **{name: text for name, text in DESCRIPTION.items() if name != "model"},
    }

    class Parameters(BaseParameters):
        superanimal_name: Annotated[Name, Field(description="For which animals, seen from where.")]
        model_name: Annotated[
            PoseModel,
            Field(
                description="The network that finds the body parts. topviewmouse: hrnet_w32, resnet_50; quadruped: "
                "these and rtmpose_s; bird: resnet_50; humanbody: rtmpose_x."
            ),
        ]
        detector_name: Annotated[
            Detector,
            Field(
                description="The network that finds the animals first. fasterrcnn_mobilenet_v3_large_fpn is there for "
                "all; fasterrcnn_resnet50_fpn_v2 for all but bird; ssdlite for quadruped and bird; "
                "fasterrcnn_resnet50_fpn for humanbody."
            ),
        ] = "fasterrcnn_mobilenet_v3_large_fpn"
        max_individuals: Annotated[
            int, Field(ge=1, le=100, description="How many animals there are at most in a frame.")
        ] = 1
        pcutoff: Annotated[
            float,
            Field(
                ge=0,
                le=1,
                description="Body parts with a likelihood below this are not drawn on the labelled video. The files "
                "have them all.",
            ),
        ] = 0.1
        create_labeled_video: Annotated[bool, Field(description="Whether a labelled video is made too.")] = False
        batch_size: Annotated[
            int, Field(ge=1, le=1024, description="Animals that the network sees at once. More is faster on a GPU.")
        ] = 1
        detector_batch_size: Annotated[
            int, Field(ge=1, le=1024, description="Frames that the detector sees at once.")
        ] = 1
        device: Device = None

        @model_validator(mode="after")
        def _known_together(self) -> Self:
            models, detectors = KNOWN[self.superanimal_name]
            for name, there in (("model_name", models), ("detector_name", detectors)):
                if (wanted := getattr(self, name)) not in there:
                    raise ValueError(
                        f"{name}={wanted} is not there for {self.superanimal_name}. There are: {', '.join(there)}."
                    )
            return self

    @classmethod
    def weights_of(cls, parameters: SuperAnimal.Parameters, folder: Path | None) -> list[Path]:
        """Name the weights of the pose model and the detector, as far as they are there."""
        return weight_files(parameters.superanimal_name, parameters.model_name, parameters.detector_name, folder)

    @classmethod
    def lacking(cls, parameters: SuperAnimal.Parameters, folder: Path | None) -> Iterator[tuple[str, str]]:
        """Yield weights that are not there."""
        pose, detector = needed(parameters.superanimal_name, parameters.model_name, parameters.detector_name)
        there = weight_files(parameters.superanimal_name, parameters.model_name, parameters.detector_name, folder)
        only_detector = [each.name for each in there] == [pose.name]
        yield from refused("detector_name" if only_detector else "model_name", check_there, (pose, detector), folder)

    def run(self, job: Job[SuperAnimal.Parameters]) -> dict[str, Any]:
        """Find the weights, analyse the video, and describe the result."""
        import deeplabcut
        import torch

        from dlc_jupyter.pose import modelzoo
        from dlc_jupyter.pose.media import inspect
        from dlc_jupyter.pose.network import Poses

        wanted = job.parameters
        animal = modelzoo.SuperAnimal(
            wanted.superanimal_name, wanted.model_name, wanted.detector_name, job.superanimal_dir
        )
        animal.find()
        video = job.inputs[0].path
        media = inspect(video)
        job.tell_media(job.inputs[0].file_id, media.as_json())
        media.check_whole()
        total = 2 * media.frames  # the detector reads them first
        found = modelzoo.analyze(
            animal,
            video,
            media,
            job.scratch / "made",
            device=job.device,
            progress=lambda done: job.progress(min(done, total - 1), total, "frames"),
            labelled=wanted.create_labeled_video,
            max_individuals=wanted.max_individuals,
            pcutoff=wanted.pcutoff,
            batch_size=wanted.batch_size,
            detector_batch_size=wanted.detector_batch_size,
        )
        job.progress(total, total, "frames")
        for note in found.notes:
            job.note(note)
        poses = Poses(
            found.h5.parent,
            video.stem,
            found.scorer,
            "",
            found.rows,
            found.notes,
            fallbacks=[OWN_LOOP],
            model_files=found.model_files,
            batch_sizes={"batch_size": wanted.batch_size, "detector_batch_size": wanted.detector_batch_size},
        )
        facts = media.as_json()
        return {
            "h5_file": found.h5,
            "csv_file": found.csv,
            "json_file": found.json,
            "video_file": found.video,
            "frames": found.rows,
            **{name: facts[name] for name in ("fps", "width", "height", "duration", "codec", "variable_rate")},
            "superanimal_name": wanted.superanimal_name,
            "model_name": wanted.model_name,
            "detector_name": wanted.detector_name,
            "scorer": found.scorer,
            "bodyparts": found.bodyparts,
            "individuals": found.individuals,
            "device": job.device,
            "deeplabcut_version": deeplabcut.__version__,
            "torch_version": torch.__version__,
            "provenance": provenance_of(job, media, poses, wanted.model_dump(mode="json")),
        }
