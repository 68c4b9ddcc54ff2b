"""The work of all analyses of several cameras: the 2D poses found or made, and the points in space that follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc_jupyter.analyses import provenance
from dlc_jupyter.analyses.base import Job, PosesOf
from dlc_jupyter.analyses.poses import (
    Recording,
    given_or_new_poses,
    open_video,
    poses_as_result,
    poses_by,
)
from dlc_jupyter.analyses.rigs import rig_of, skeleton_of
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.limits import MEDIAN
from dlc_jupyter.pose.project_files import CALIBRATION, read_config
from dlc_jupyter.pose.projects import Model, read_model

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor numpy
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose3d.cameras import Rig
    from dlc_jupyter.pose3d.multiview import MultiView
    from dlc_jupyter.pose3d.tracks import Poses3D
    from dlc_jupyter.pose3d.triangulation import Method

#: The name of the file with the points in the compact form.
SPACE_FILE = "space.dlcp"
#: What a scorer may be called: the name is part of those of files.
_SCORER = re.compile(r"[\w.-]{1,80}\Z")


class Course:
    """One progress bar for several stages, one after the other.

    Parameters
    ----------
    total : int
        Of all stages.
    """

    def __init__(self, job: Job[Any], total: int, unit: str = "frames") -> None:
        self._job, self._total, self._unit = job, total, unit
        self._before = self._size = 0

    def stage(self, size: int) -> Callable[[float], None]:
        """Begin the next stage; return what is to be told how much of it is done."""
        self._before, self._size = self._before + self._size, size
        before = self._before

        def told(done: float) -> None:
            # When all is done, files are yet to be written and checked.
            self._job.progress(min(int(before + done), self._total - 1), self._total, self._unit)

        return told

    def end(self) -> None:
        """Tell that all is done."""
        self._job.progress(self._total, self._total, self._unit)


@dataclass(frozen=True)
class Space:
    """Points in space that were found, now or earlier.

    Attributes
    ----------
    model : Model
        As it is staged.
    media : list of Media
        The videos, by camera.
    views : MultiView
        The 2D poses that the points were made of.
    poses, quality : Path
        The tables with the points, and with how good they are.
    frames : int
        Of the scene.
    result : dict
        What is told of them: the fields of `SPACE` and the files.
    notes : list of str
        What the user should know.
    """

    model: Model
    media: list[Media]
    views: MultiView
    poses: Path
    quality: Path
    frames: int
    result: dict[str, Any]
    notes: list[str]


# -- before any work ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What points are to be found of: cameras, videos, and all that could be refused at once.

    Attributes
    ----------
    job : Job
    model : Model
        As it is staged.
    rig : Rig
        In the order of the model's cameras.
    stereo : dict or None
        What DeepLabCut's own calibration has of the two cameras, where its numbers are wanted.
    recordings : list of Recording
        By camera.
    method : Method
    offsets : list of int
        By how many frames each video is read later.
    scene : int
        How many frames the scene has.
    part : range
        Which of them points are found of.
    """

    job: Job[Any]
    model: Model
    rig: Rig
    stereo: dict[str, Any] | None
    recordings: list[Recording]
    method: Method
    offsets: list[int]
    scene: int
    part: range

    @property
    def media(self) -> list[Media]:
        """Of each video."""
        return [each.media for each in self.recordings]

    @property
    def work(self) -> int:
        """In how many frames poses or points are to be found."""
        smoothed = bool(self.job.parameters.filterpredictions)
        looked_at = sum(len(each.looked_at) * ((each.given is None) + smoothed) for each in self.recordings)
        return looked_at + len(self.part)


def set_up(
    job: Job[Any],
    poses: Callable[[Any, Model], Sequence[PosesOf]] = poses_by,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Setup:
    """Read cameras and videos; what cannot be done is refused before any work.

    Parameters
    ----------
    poses : callable
        Returns those of each camera that are needed, for the parameters and the model.
    start, stop : int, optional
        Which frames of the scene points are to be found of: as in ``range``.

    Raises
    ------
    AnalysisFailed
        The calibration cannot be used, a video cannot be read or is not as large as its camera's picture was when it
        was calibrated, or the videos are of different length or rate.
    """
    from dlc_jupyter.pose3d.multiview import check_beginnings, check_rates, common_frames

    assert job.model is not None
    wanted, model = job.parameters, read_model("", job.model)
    if model.problem:
        raise AnalysisFailed(f"The model cannot be used: {model.problem}", kind="BrokenModel")
    rig = rig_of(model)
    stereo = _stereo(model, rig, wanted)
    recordings = [open_video(job, number, each) for number, each in enumerate(poses(wanted, model))]
    media = [each.media for each in recordings]
    check_beginnings(rig.names, [each.leading for each in media])
    check_sizes(rig, media)
    truncate = wanted.on_length_mismatch == "truncate"
    check_rates(rig.names, [float(each.fps) for each in media], truncate=truncate)
    given = wanted.frame_offset or {}
    offsets = [int(given.get(name, 0)) for name in rig.names]
    frames = common_frames(rig.names, [each.frames for each in media], offsets, truncate=truncate)
    part = part_of(frames, start, stop)
    return Setup(job, model, rig, stereo, recordings, _method(model, wanted, stereo), offsets, frames, part)


def part_of(frames: int, start: int, stop: int | None) -> range:
    """Return which frames of a scene of so many are wanted, or refuse, where there are none (kind ``NoFrames``)."""
    if start >= frames:
        raise AnalysisFailed(
            f"start is {start}, but the scene has {frames} frames, counted from 0.",
            hint="Give a smaller start.",
            kind="NoFrames",
        )
    return range(frames)[start:stop]


def _stereo(model: Model, rig: Rig, wanted: Any) -> dict[str, Any] | None:
    """Return what DeepLabCut knows of two cameras, where its numbers are wanted."""
    from dlc_jupyter.pose3d import calibrations

    folder = model.config.parent
    if (folder / CALIBRATION).is_file():
        return calibrations.stereo_parameters(rig) if wanted.method == "deeplabcut" else None
    if wanted.method == "deeplabcut" or (wanted.method is None and not wanted.refine):
        return calibrations.read_stereo(folder, model.cameras)
    return None


def check_sizes(rig: Rig, media: Sequence[Media]) -> None:
    """Refuse videos whose pictures are not as large as when the cameras were calibrated."""
    for camera, each in zip(rig.cameras, media, strict=True):
        if camera.size != (each.width, each.height):
            raise AnalysisFailed(
                f"The picture of {camera.name} has {each.width} x {each.height} pixels, but it had "
                f"{camera.size[0]} x {camera.size[1]} when it was calibrated.",
                hint="Give videos as the cameras took them, neither cut nor scaled, in the order of the cameras "
                f"({', '.join(rig.names)}); or calibrate with pictures of this size.",
                kind="SizeMismatch",
            )


def _method(model: Model, wanted: Any, stereo: dict[str, Any] | None) -> Method:
    from dlc_jupyter.pose3d.triangulation import PCUTOFF, Method

    said = read_config(model.config).get("pcutoff")
    pcutoff = wanted.pcutoff if wanted.pcutoff is not None else said if isinstance(said, int | float) else PCUTOFF
    return Method(
        pcutoff=float(pcutoff),
        min_cameras=wanted.min_cameras,
        reject=wanted.method != "linear",
        threshold=wanted.max_error,
        refine=wanted.refine,
        as_deeplabcut=stereo,
    )


# -- the work ----------------------------------------------------------------------------------------------------------


def find_points(setup: Setup, course: Course, *, save_as_csv: bool) -> Space:
    """Find or make the 2D poses of all cameras, and the points that follow from them."""
    from dlc_jupyter.pose import cropping
    from dlc_jupyter.pose3d import tracks as tracks3d
    from dlc_jupyter.pose3d.multiview import MultiView

    job, rig = setup.job, setup.rig
    of_cameras: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    tables: list[Path] = []
    parts: list[Sequence[int] | None] = []
    notes: list[str] = []
    for name, recording in zip(rig.names, setup.recordings, strict=True):
        table, told, about = _poses_of(recording, f"{name}_", course)
        tables.append(table)
        of_cameras |= told
        origins[name] = about.pop("provenance") | {"poses_from": about["poses_from"]}
        notes += [f"{name}: {note}" for note in about["notes"]]
        parts.append(cropping.part_of(about["meta"], recording.media))
    corners = [(part[0], part[2]) if part else (0, 0) for part in parts]
    views = MultiView(tables, rig.names, setup.offsets, corners)
    told_points = course.stage(len(setup.part))
    scorer = str(read_config(setup.model.config).get("scorername_3d") or "")
    folder = job.scratch / "points"
    folder.mkdir()
    order, told_order = _order(tables, setup, views, corners)
    made = tracks3d.make(
        rig,
        views,
        setup.part.stop,
        folder,
        "scene",
        setup.method,
        start=setup.part.start,
        scorer=scorer if _SCORER.match(scorer) else tracks3d.SCORER,
        order=order,
        stereo=setup.stereo,
        save_as_csv=save_as_csv,
        threads=job.threads,
        progress=lambda share: told_points(share * len(setup.part)),
    )
    notes += [*told_order, *(finding.message for finding in made.findings), *_remarks(setup, made)]
    afterwards = next(iter(origins.values())).get("afterwards", {})
    cameras = {name: {key: each[key] for key in each if key != "afterwards"} for name, each in origins.items()}
    result = {
        **_told(setup, made, views),
        "space_file": job.scratch / SPACE_FILE,
        "analysed_parts": dict(zip(rig.names, parts, strict=True)),
        **of_cameras,
        "provenance": {**provenance.of_cameras(cameras), "afterwards": afterwards},
    }
    poses, quality = made.files[".h5"], made.files["_quality.h5"]
    space = Space(setup.model, setup.media, views, poses, quality, setup.part.stop, result, notes)
    write_compact(space, result["space_file"])
    return space


def write_compact(space: Space, target: Path) -> None:
    """Write the points in the compact form that ``GET /analysis/{analysis_id}/space`` hands on."""
    from dlc_jupyter.pose.compact import write_space

    about = {
        "bodyparts": space.result["bodyparts"],
        "individuals": space.result["individuals"],
        "skeleton": [list(pair) for pair in skeleton_of(space.model)],
        "unit": space.result["unit"],
        "up": rig_of(space.model).axes[0],
        "fps": round(float(space.media[0].fps), 6),
    }
    write_space(space.poses, space.quality, target, space.frames, about)


def _poses_of(recording: Recording, prefix: str, course: Course) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return the table with the 2D poses that are to be used, its fields of the result, and what is known of it."""
    from dlc_jupyter.pose import filters

    wanted, work = recording.job.parameters, len(recording.looked_at)
    told = course.stage(work) if recording.given is None else None
    poses, origin = given_or_new_poses(recording, told or (lambda _done: None))
    result = poses_as_result(poses, origin, prefix)
    del result[f"{prefix}provenance"]  # the result has one for all cameras
    if recording.given is not None and origin["poses_from"]:
        # The poses are offered by the analysis that has made them; here is what was used of them.
        used = recording.given.files["h5_file"]
        result |= {f"{prefix}h5_file": used, f"{prefix}meta_file": None, f"{prefix}full_file": None}
    about = {**origin, "meta": poses.file("_meta.pickle"), "notes": [*poses.notes, *poses.fallbacks]}
    if not wanted.filterpredictions:
        return poses.h5, result, about
    share = course.stage(work)
    if wanted.filtertype == "median" and poses.rows < MEDIAN:
        about["notes"].append(f"It has {poses.rows} frames, too few to be smoothed.")
        return poses.h5, result, about
    smoothed = filters.filter_poses(
        recording.network,
        poses,
        recording.video,
        filters.Filter(filtertype=wanted.filtertype, windowlength=MEDIAN),
        start=recording.looked_at.start,
        progress=lambda done: share(done * work),
    )
    about["notes"] += smoothed.notes
    return smoothed.h5, {**result, f"{prefix}filtered_h5_file": smoothed.h5}, about


def _order(
    tables: Sequence[Path], setup: Setup, views: MultiView, corners: Sequence[tuple[int, int]]
) -> tuple[Any, list[str]]:
    """Return which animal is which where DeepLabCut says it, and what the user should know of that."""
    from dlc_jupyter.pose3d import deeplabcut as deeplabcut3d
    from dlc_jupyter.pose3d.epipolar import match_individuals

    if setup.stereo is None or len(views.keypoints.individuals) < 2:
        return None, []
    if any(setup.offsets) or any(map(any, corners)) or setup.part != range(setup.scene):
        # It reads the tables as they are: row by row, from the corner of the part that was analysed.
        return None, [
            "Which animal is which was found by the cameras' geometry: DeepLabCut cannot tell where videos are read "
            "later, or where parts of the pictures or of the scene were analysed."
        ]
    order = deeplabcut3d.individual_order(tables, setup.stereo, setup.method.pcutoff)
    if order is None:
        return None, ["DeepLabCut cannot tell which animal is which: they were matched by the cameras' geometry."]
    own = match_individuals(setup.rig, views.sample(setup.scene, setup.method.pcutoff))
    if (order == own).all():
        return order, []
    return order, [
        "DeepLabCut takes other animals of the two cameras for the same ones than the cameras' geometry says. Look at "
        "the reprojection error with method=consensus, which goes by the geometry."
    ]


def _remarks(setup: Setup, made: Poses3D) -> Iterator[str]:
    from dlc_jupyter.pose3d.multiview import check_rates

    if not made.summary["found"]:
        yield (
            "No point was found: no body part was seen by enough cameras in the same frame with a likelihood of "
            f"{setup.method.pcutoff:g} or more."
        )
    begun = sorted(max(0, -each) for each in setup.offsets)[setup.method.min_cameras - 1]
    if begun > setup.part.start:
        yield (
            f"There are no points before frame {begun} of the scene: with this frame_offset fewer than "
            f"{setup.method.min_cameras} videos have begun there. Those rows are NaN, so that rows keep their numbers."
        )
    counts = {name: each.frames for name, each in zip(setup.rig.names, setup.media, strict=True)}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {frames}" for name, frames in counts.items())
        yield f"The videos are of different length ({told} frames): the scene has {setup.scene}."
    # What is not to go on has been refused before.
    yield from check_rates(setup.rig.names, [float(each.fps) for each in setup.media], truncate=True)


def _told(setup: Setup, made: Poses3D, views: MultiView) -> dict[str, Any]:
    files, summary, rig, model = made.files, made.summary, setup.rig, setup.model
    error = {**summary["error"]}
    for kind in ("bodyparts", "individuals", "cameras"):
        if kind in summary:
            error[kind] = {
                name: {**each["error"], **{key: each[key] for key in each if key != "error"}}
                for name, each in summary[kind].items()
            }
    method = setup.job.parameters.method or ("deeplabcut" if setup.stereo else "consensus")
    several = views.keypoints.several
    # Whoever reads it from the front learns first how good it is.
    return {
        "warnings": [finding.as_json() for finding in made.findings],
        "reprojection_error": error,
        "found": summary["found"],
        "behind": summary["behind"],
        "frames": setup.part.stop,
        "unit": rig.unit,
        "axes": rig.axes[1],
        "csv_file": files.get(".csv"),
        "h5_file": files[".h5"],
        "quality_file": files["_quality.h5"],
        "quality_csv_file": files.get("_quality.csv"),
        "meta_file": files["_meta.pickle"],
        "scorer": made.files[".h5"].stem.removeprefix("scene_"),
        "cameras": list(rig.names),
        "frame_offset": dict(zip(rig.names, setup.offsets, strict=True)),
        "individual_order": made.order,
        "method": method,
        "pcutoff": setup.method.pcutoff,
        "calibration": {"error": rig.error, "unit": rig.unit, "source": rig.source},
        "fps": round(float(setup.media[0].fps), 6),
        "model": setup.job.parameters.model,
        "bodyparts": [*views.keypoints.bodyparts, *views.keypoints.unique_bodyparts],
        "individuals": list(views.keypoints.individuals) if several else [],
        "device": setup.job.device,
        "skeleton": [list(pair) for pair in model.skeleton],
    }
