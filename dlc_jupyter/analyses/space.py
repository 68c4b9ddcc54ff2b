"""What analyses of several cameras share: their parameters, and what their results say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from dlc_jupyter.analyses.base import Analysis, Inputs, PosesOf
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.cameras import Cameras
from dlc_jupyter.analyses.poses import (
    BatchSize,
    DetectorBatchSize,
    Device,
    ModelName,
    SnapshotIndex,
    poses_by,
)
from dlc_jupyter.pose.projects import Model, lacking_snapshot, read_model


class SpaceParameters(BaseParameters):
    """What decides points in space."""

    model: ModelName
    cameras: Cameras = None
    snapshot_index: SnapshotIndex = None
    batch_size: BatchSize = None
    detector_batch_size: DetectorBatchSize = None
    device: Device = None
    filterpredictions: Annotated[
        bool, Field(description="Whether the 2D poses are smoothed first, as deeplabcut.triangulate does.")
    ] = True
    filtertype: Annotated[
        Literal["median", "arima"], Field(description="How they are smoothed: see the analysis filter.")
    ] = "median"
    pcutoff: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="2D positions with a likelihood below this are left out. Left out: as in the 3D project's "
            "config.yaml.",
        ),
    ] = None
    method: Annotated[
        Literal["consensus", "linear", "deeplabcut"] | None,
        Field(
            description="How a point follows from the pixels. consensus: cameras count by their likelihood, and those "
            "that disagree with the others are left out. linear: none is left out. deeplabcut: the numbers of "
            "deeplabcut.triangulate to the last bit, for two cameras. Left out: deeplabcut where the model has "
            "DeepLabCut's own calibration of two cameras (stereo_params.pickle), else consensus."
        ),
    ] = None
    min_cameras: Annotated[
        int, Field(ge=2, le=100, description="A point that fewer cameras agree on is left out (NaN).")
    ] = 2
    max_error: Annotated[
        float | None,
        Field(
            gt=0,
            le=10_000,
            description="How far a camera's pixel may be from that of the point, in pixels, to agree; where there are "
            "three cameras or more. Left out: a hundredth of its picture's diagonal.",
        ),
    ] = None
    refine: Annotated[
        bool,
        Field(
            description="Whether each point is moved to where the distances in the pictures are least, large ones "
            "counting less. Not for method=deeplabcut."
        ),
    ] = False
    on_length_mismatch: Annotated[
        Literal["stop", "truncate"],
        Field(
            description="What to do about videos of different length or frame rate: stop with an error that names "
            "them, or go on up to the end of the first one that ends. With frame_offset different lengths are no error."
        ),
    ] = "stop"
    frame_offset: Annotated[
        dict[str, Annotated[int, Field(ge=-(10**7), le=10**7)]] | None,
        Field(
            description='By how many frames the videos of some cameras are read later, such as {"camera-2": 3}: frame '
            "i of the scene is then frame i + 3 of that video. A negative number is for a video that began later: it "
            "has no frame for the scene's first ones, which keep their numbers. Left out: by none."
        ),
    ] = None

    @field_validator("refine")
    @classmethod
    def _can_be_refined(cls, refine: bool, known: ValidationInfo) -> bool:
        if refine and known.data.get("method") == "deeplabcut":
            raise ValueError("method=deeplabcut gives DeepLabCut's numbers, which are not refined.")
        return refine


#: What a result says of points in space.
SPACE = {
    "frames": "Rows of the files: row i is frame i of the scene, which is frame i + frame_offset of each video. The "
    "scene ends with the first video that ends; rows in which too few videos have begun are NaN.",
    "space_file": "The points and their errors in the compact form of GET /analysis/{analysis_id}/space, all frames.",
    "unit": "In which x, y and z are measured.",
    "axes": "Along what they are measured, in words.",
    "scorer": "The first level of the columns in the files.",
    "reprojection_error": "Distances in pixels between where the cameras saw a body part and where they should have: "
    "the median and the 95th percentile (p95), of all points, by body part (bodyparts; found is the share of frames in "
    "which it was found) and by camera (cameras; used is the share of its pixels that agreed). Null where no point was "
    "found.",
    "found": "The share of all points that were found, from 0 to 1.",
    "behind": "The share of points that would be behind a camera; those of method=deeplabcut are kept.",
    "warnings": "What is probably wrong, as kind, message, cameras and frames: cameras swapped, a video out of sync "
    "(found by trying the alternatives; frames is the frame_offset that would mend it, else null), a camera that was "
    "moved. Empty where the cameras agree.",
    "cameras": "Their names, in order.",
    "<camera>_h5_file": "The 2D poses of that camera's video, as in the result of video; so are <camera>_scorer and "
    "<camera>_frames.",
    "<camera>_csv_file, <camera>_poses_file, <camera>_meta_file, <camera>_full_file": "So are these; null where the "
    "poses are those of another analysis (poses_from in provenance), whose result has them.",
    "<camera>_filtered_h5_file": "The 2D poses, smoothed; only with filterpredictions, and where the video has frames "
    "enough.",
    "frame_offset": "By camera, as it was given.",
    "individual_order": "By camera, which of its individuals is each individual of the first camera, counted from 0.",
    "analysed_parts": "By camera, the part of its picture that was analysed (x1, x2, y1, y2); null for all of it.",
    "method": "The one that was used.",
    "pcutoff": "The likelihood below which 2D positions were left out.",
    "skeleton": "Pairs of body parts, as in the 3D project.",
    "device": "cpu, or cuda:0 for a GPU.",
    "calibration": "The error in pixels (null where its file does not say it), the unit and the source of the "
    "calibration.",
    "fps": "Frames per second of the first camera's video.",
    "bodyparts, individuals": "Their names; individuals is empty for a single animal.",
    "model": "The model's name.",
    "provenance": "Where the 2D poses come from, as in the result of video: what is the same for all cameras once, and "
    "the rest by camera, in cameras. There poses_from names the analysis that has made them; null is this one. In "
    "afterwards, the parameters and versions of what was done with them.",
    "notes": "What you should know, as sentences; left out where there is nothing.",
}


class SpaceAnalysis(Analysis):
    """Base of what finds points in space. Its parameters are `SpaceParameters`."""

    inputs = Inputs(at_least=2, at_most=None)
    model_kind = "3d"
    uses_device = True
    by_camera = True
    starts_from_poses = True

    @classmethod
    def poses(cls, parameters: Any, model: Model) -> list[PosesOf]:
        """Return which poses the result has: those of each camera."""
        return poses_by(parameters, model)

    @classmethod
    def misfits(cls, parameters: Any, model: Model) -> Iterator[tuple[str, str]]:
        """Yield what the model's networks or cameras do not have."""
        cameras = model.cameras
        if parameters.snapshot_index is not None:
            for each in model.camera_models:
                part = read_model("", each.config)
                lacking = lacking_snapshot(part, each.trainingsetindex, each.shuffle, parameters.snapshot_index)
                if lacking:
                    yield "snapshot_index", f"{each.camera}: {lacking}"
                    break
        if parameters.min_cameras > len(cameras):
            yield "min_cameras", f"The model has {len(cameras)} cameras: {', '.join(cameras)}."
        if unknown := sorted(set(parameters.frame_offset or ()) - set(cameras)):
            yield "frame_offset", f"The model has no camera {', '.join(unknown)}. There are: {', '.join(cameras)}."
        if parameters.method == "deeplabcut" and len(cameras) != 2:
            yield "method", f"DeepLabCut triangulates two cameras, and the model has {len(cameras)}. Leave method out."
