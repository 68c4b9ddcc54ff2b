"""Calibrated cameras, from pictures or videos of a board, or from the files that other programs have made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from dlc_jupyter.analyses.base import Analysis, InputFile, Inputs, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.cameras import Cameras
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.camera_names import wrong_names
from dlc_jupyter.pose.project_files import SQUARES

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor numpy
    from dlc_jupyter.pose3d.board_views import CameraViews, Source
    from dlc_jupyter.pose3d.cameras import Rig

#: How the names of pictures end; whatever else a camera has a single file of is taken for a video.
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

#: OpenCV's sets of markers, without DICT_.
Dictionary = Literal[
    "4X4_50",
    "4X4_100",
    "4X4_250",
    "4X4_1000",
    "5X5_50",
    "5X5_100",
    "5X5_250",
    "5X5_1000",
    "6X6_50",
    "6X6_100",
    "6X6_250",
    "6X6_1000",
    "7X7_50",
    "7X7_100",
    "7X7_250",
    "7X7_1000",
    "ARUCO_ORIGINAL",
    "APRILTAG_16h5",
    "APRILTAG_25h9",
    "APRILTAG_36h10",
    "APRILTAG_36h11",
]

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Calibrate(Analysis):
    """Calibrated cameras, from pictures or videos of a board, or from calibrations made elsewhere."""

    name = "calibrate"
    inputs = Inputs(at_least=2, at_most=None)
    by_camera = True
    results: ClassVar = {
        "calibration_file": "The calibration, as a calibration.toml: what POST /model takes, and Anipose.",
        "stereo_file": "The same as DeepLabCut's stereo_params.pickle, but for the floor, which it does not know; only "
        "for two cameras, without fisheye lenses.",
        "<camera>_picture_file": "How that camera was calibrated: corners that were found, how far they are from where "
        "they should be, and a picture without the lens's distortion. Only for method=board.",
        "error": "Reprojection error: root mean square of the distances between corners seen and expected, in pixels; "
        "null where an imported file does not say it.",
        "unit": "In which the cameras' distances, and all points later, are measured.",
        "axes": "Those of the scene, in words.",
        "floor": "The picture whose board lies on the floor: the scene's axes are that board's; null without. Only for "
        "method=board.",
        "cameras": "Their names, in order.",
        "camera_reports": "A list with one of each camera, in order: camera, error in pixels, size, focal_length, "
        "principal_point, distortion; how many pictures there were, the error of each that was used, and of each that "
        "was left_out the reason. Frames of videos are counted from 0.",
        "distances": "From camera to camera: check them with a ruler.",
        "boards": "How many boards, each seen by some of the cameras, the calibration is made of.",
        "warnings": "What should be looked at before the calibration is trusted, as sentences; also among the notes.",
        "source": "Where the calibration is from, in words.",
        "notes": "What you should know, as sentences; left out where there is nothing.",
    }

    class Parameters(BaseParameters):
        cameras: Cameras = None
        method: Annotated[
            Literal["board", "import"],
            Field(
                description="board: from pictures of a board, or a video, of each camera, taken at the same moments. "
                "import: from a calibration.toml, DeepLabCut's stereo_params.pickle (alone, or all files of "
                "camera_matrix), or OpenCV's YAML or XML (one file with all cameras, or one for each)."
            ),
        ] = "board"
        board: Annotated[
            Literal["checkerboard", "charuco"],
            Field(description="charuco: a checkerboard with a marker in each white square."),
        ] = "checkerboard"
        columns: Annotated[
            int | None,
            Field(
                ge=3,
                le=200,
                description="Of a checkerboard: inner corners along its longer side (DeepLabCut's cbcol); of a charuco "
                "board: squares.",
            ),
        ] = None
        rows: Annotated[
            int | None, Field(ge=3, le=200, description="The same along the other side (DeepLabCut's cbrow).")
        ] = None
        square: Annotated[
            float | None,
            Field(
                gt=0,
                le=1e6,
                description="The side of a square, in unit; needed where a unit is given. Left out: 1, and all "
                "distances are in squares. For method=import: what the file's length 1 is, such as square=30 unit=mm "
                "for what DeepLabCut has calibrated.",
            ),
        ] = None
        unit: Annotated[
            str | None,
            Field(
                min_length=1,
                max_length=20,
                description="The unit of square, such as mm, and so of all points. Left out: squares; for "
                "method=import what the file says.",
            ),
        ] = None
        marker: Annotated[
            float | None,
            Field(gt=0, description="Of a charuco board: the side of a marker, in unit. Left out: 3/4 of a square."),
        ] = None
        dictionary: Annotated[
            Dictionary,
            Field(description="Of a charuco board: its set of markers, as OpenCV calls it without DICT_."),
        ] = "4X4_50"
        every: Annotated[
            int | None,
            Field(
                ge=1,
                le=10**6,
                description="Look into every how many-th frame of the videos. Left out: into about 300 frames.",
            ),
        ] = None
        fisheye: Annotated[
            bool, Field(description="Use OpenCV's fisheye model, for lenses that see more than about 120 degrees.")
        ] = False
        floor: Annotated[
            int | None,
            Field(
                ge=0,
                le=10**9,
                description="The number of a picture (of videos: of a frame), counted from 0, in which the board lies "
                "on the floor: its first corner is the origin of the scene then, x goes along its columns, z up. Left "
                "out: the scene's axes are those of the first camera.",
            ),
        ] = None
        on_length_mismatch: Annotated[
            Literal["stop", "truncate"],
            Field(
                description="What to do where cameras have different numbers of pictures or frames: stop with an error "
                "that names them, or go on with the first ones."
            ),
        ] = "stop"
        names: Annotated[
            list[Name] | None,
            Field(
                max_length=100,
                description="For method=import: what the cameras are to be called, in the order of the file. Left out: "
                "as in the file.",
            ),
        ] = None
        size: Annotated[
            list[Annotated[int, Field(ge=1, le=100_000)]] | None,
            Field(
                min_length=2,
                max_length=2,
                description="For method=import: width and height of the cameras' pictures, where the file does not "
                "say it.",
            ),
        ] = None

        @field_validator("cameras", "names")
        @classmethod
        def _can_be_called(cls, value: Any) -> Any:
            if wrong := wrong_names([*(value or ())]):
                raise ValueError(wrong)
            return value

        @model_validator(mode="after")
        def _can_be_done(self) -> Self:
            if self.unit == SQUARES and self.square not in (None, 1):
                raise ValueError(f"A square is 1 square wide, not {self.square:g}: give its unit, such as unit=mm.")
            if self.method == "import":
                if self.square is not None and self.unit is None:
                    raise ValueError(f"Say in which unit a square is {self.square:g} wide: unit=mm, for example.")
                return self
            if self.columns is None or self.rows is None:
                missing = " and ".join(name for name in ("columns", "rows") if getattr(self, name) is None)
                raise ValueError(f"Say how many {missing} the board has.")
            if given := [name for name in ("names", "size") if getattr(self, name) is not None]:
                told = f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for method=import"
                raise ValueError(f"{told}; here cameras names them, and their pictures have their size.")
            if self.square is None and self.unit not in (None, SQUARES):
                # Distances would be wrong by the size of a square, and nothing would look wrong.
                raise ValueError(f"Say how large a square is, in {self.unit}: square=30, for example.")
            if self.marker is not None and self.marker >= (self.square or 1.0):
                raise ValueError(f"A marker ({self.marker:g}) must be smaller than a square ({self.square or 1.0:g}).")
            return self

    @classmethod
    def check_inputs(cls, parameters: Calibrate.Parameters, count: int) -> None:
        """Refuse less than a file for each camera; only what is imported may be a single file."""
        (Inputs(at_least=1) if parameters.method == "import" else cls.inputs).check(count)

    def run(self, job: Job[Calibrate.Parameters]) -> dict[str, Any]:
        """Look for the board and calibrate, or read what others have calibrated."""
        return _import(job) if job.parameters.method == "import" else _calibrate(job)


def _calibrate(job: Job[Calibrate.Parameters]) -> dict[str, Any]:
    from dlc_jupyter.pose3d import board_views, calibration, calibration_pictures
    from dlc_jupyter.pose3d.boards import Board

    wanted = job.parameters
    board = Board(
        wanted.board,
        wanted.columns or 0,
        wanted.rows or 0,
        wanted.square or 1.0,
        wanted.unit or SQUARES,
        wanted.marker or 0.0,
        wanted.dictionary,
    )

    def progress(done: int, total: int) -> None:
        # When all pictures were looked into, there is yet to calculate.
        job.progress(min(done, total - 1), total, "pictures")

    views = board_views.look(
        board,
        _sources(job.inputs),
        every=wanted.every,
        truncate=wanted.on_length_mismatch == "truncate",
        progress=progress,
    )
    floor = None if wanted.floor is None else _floor(wanted.floor, views)
    found = calibration.calibrate(board, views, fisheye=wanted.fisheye, floor=floor)
    pictures = {}
    for number, (report, each) in enumerate(zip(found.cameras, views, strict=True), start=1):
        target = job.scratch / f"calibration-camera-{number}.png"
        pictures[f"{report.camera.name}_picture_file"] = calibration_pictures.draw(report, each, board, target)
    for note in (*found.warnings, *(note for each in views for note in each.notes)):
        job.note(note)
    looked = sum(len(each.labels) for each in views)
    job.progress(looked, looked, "pictures")
    told, files = found.as_json(), _files(job, found.rig)
    if found.floor and files["stereo_file"]:
        job.note("stereo_file does not know the floor: its axes are those of the first camera. calibration_file does.")
    return {**told, **files, **pictures, "camera_reports": told["cameras"], **_names(found.rig)}


def _sources(inputs: Sequence[InputFile]) -> list[Source]:
    """Return what each camera has recorded: one video, or pictures."""
    from dlc_jupyter.pose3d.board_views import Source

    by_camera: dict[str, list[InputFile]] = {}
    for each in inputs:
        by_camera.setdefault(each.camera, []).append(each)
    sources = []
    for camera, files in by_camera.items():
        others = [each for each in files if each.path.suffix.lower() not in _PICTURES]
        if len(files) == 1 and others:
            sources.append(Source(camera, video=files[0].path))
        elif others:
            raise AnalysisFailed(
                f"{camera} has {len(files)} files, of which {others[0].filename} is no picture.",
                hint="Give one video for each camera, or pictures (PNG, JPEG, TIFF or BMP).",
                kind="NotAPicture",
            )
        else:
            sources.append(Source(camera, [each.path for each in files], labels=[each.filename for each in files]))
    return sources


def _floor(wanted: int, views: Sequence[CameraViews]) -> int:
    """Return which of the pictures that were looked into is the one of the floor: of a video, a frame's number."""
    numbers = views[0].numbers
    if len(numbers) == numbers[-1] + 1:  # all were looked into: one that is not among them there is not
        return wanted
    if wanted not in numbers:
        near = min(numbers, key=lambda number: abs(number - wanted))
        raise AnalysisFailed(
            f"Frame {wanted} was not looked into, and so cannot be that of the floor.",
            hint=f"Give floor={near}, or every=1.",
            kind="FloorNotSeen",
        )
    return numbers.index(wanted)


def _import(job: Job[Calibrate.Parameters]) -> dict[str, Any]:
    from dlc_jupyter.pose3d import calibrations

    wanted = job.parameters
    paths = [each.path for each in job.inputs]
    of_each = len(paths) > 1 and not calibrations.are_pickles(paths)
    names = wanted.names or ([each.camera for each in job.inputs] if of_each else [])
    size = (wanted.size[0], wanted.size[1]) if wanted.size else None
    rig = calibrations.read(paths, names=names, size=size)
    if wrong := wrong_names(rig.names):
        raise AnalysisFailed(
            wrong,
            hint=f"Give the {len(rig)} cameras other names with the parameter names.",
            kind="CalibrationUnreadable",
        )
    rig = _measured(job, rig)
    job.progress(1, 1, "files")
    return {
        "error": rig.error,
        "unit": rig.unit,
        "axes": rig.axes[1],
        "distances": rig.distances(),
        "camera_reports": [{"camera": camera.name, **camera.as_json()} for camera in rig.cameras],
        "warnings": [],
        **_files(job, rig),
        **_names(rig),
    }


def _measured(job: Job[Calibrate.Parameters], rig: Rig) -> Rig:
    """Return imported cameras in the unit that is wanted, where the file measures in squares or does not say it."""
    from dlc_jupyter.pose3d import calibrations

    unit, square = job.parameters.unit, job.parameters.square
    if rig.unit not in ("", SQUARES):
        if unit and (unit != rig.unit or square):
            job.note(f"The file says that it measures in {rig.unit}: it was taken as it is.")
        return rig
    if not unit:
        if not rig.unit:
            job.note("The file does not say in which unit it measures. Import it with unit, if you know.")
        return rig
    if rig.unit and unit != rig.unit and square is None:
        raise AnalysisFailed(
            f"The file does not say that it measures in {unit}: DeepLabCut measures in squares of its board.",
            hint=f"Say how large a square is, such as square=30 for 30 {unit}; or square=1, if you know that it "
            f"measures in {unit} already.",
            kind="SquareUnknown",
        )
    return calibrations.in_unit(rig, unit, square or 1.0)


def _names(rig: Rig) -> dict[str, Any]:
    return {"cameras": list(rig.names), "source": rig.source}


def _files(job: Job[Any], rig: Rig) -> dict[str, Path | None]:
    """Write the calibration in the forms that others read."""
    from dlc_jupyter.pose3d import calibrations

    two = len(rig) == 2 and not any(camera.fisheye for camera in rig.cameras)
    return {
        "calibration_file": calibrations.write_toml(rig, job.scratch / "calibration.toml"),
        "stereo_file": calibrations.write_stereo_pickle(rig, job.scratch / calibrations.STEREO) if two else None,
    }
