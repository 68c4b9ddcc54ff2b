"""The 3D video: what every camera saw, with its poses, beside the body parts in space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from dlc_jupyter.analyses.base import Job
from dlc_jupyter.analyses.label import Colormap, Colour
from dlc_jupyter.analyses.points import (
    SPACE_FILE,
    Course,
    Space,
    check_sizes,
    find_points,
    part_of,
    set_up,
    write_compact,
)
from dlc_jupyter.analyses.poses import ColorBy, DisplayedBodyparts
from dlc_jupyter.analyses.rigs import rig_of, skeleton_of
from dlc_jupyter.analyses.space import SPACE, SpaceAnalysis, SpaceParameters
from dlc_jupyter.pose.camera_names import CAMERA_FIELDS
from dlc_jupyter.pose.project_files import read_config
from dlc_jupyter.pose.projects import Model, lacking_bodyparts, read_model

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor numpy
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose3d.scene import SceneLook

#: In inches, as deeplabcut.create_labeled_video_3d draws unless told otherwise.
_FIGURE = (20, 8)


def _in_order(limits: list[float] | None) -> list[float] | None:
    if limits is not None and limits[0] >= limits[1]:
        raise ValueError(f"The first number must be less than the second, not {limits[0]:g}, {limits[1]:g}.")
    return limits


Pair = Annotated[list[float] | None, Field(min_length=2, max_length=2)]


def _limits(axis: str) -> Any:
    return Field(
        description=f"What of the scene is shown along {axis}: from, to, in its unit. Left out: what follows from the "
        "points, but for outliers; the same in all frames."
    )


class Label3D(SpaceAnalysis):
    """A 3D video: every camera's view with its poses, beside the body parts in space, as an MP4 that plays anywhere."""

    name = "label_3d"
    results: ClassVar = {
        "video_file": "The video: MP4, H.264, at the rate of the first camera's video.",
        "frames": "Frames of it.",
        "fps": "Frames per second of it.",
        "width, height": "Of its picture, in pixels.",
        "codec": "h264.",
        "limits": "What of the scene is shown, along x, y and z, in its unit; not with renderer=deeplabcut.",
        "points_from": "The analysis triangulate whose points were drawn; null where they were found for this one: "
        "their files are then in the result as in that of triangulate. space_file is there in any case.",
        "scene_frames": "How many frames the scene has.",
        **{name: text for name, text in SPACE.items() if name not in ("frames", "fps")},
    }

    class Parameters(SpaceParameters):
        start: Annotated[
            int, Field(ge=0, le=10**9, description="The first frame of the scene that is shown, counted from 0.")
        ] = 0
        end: Annotated[
            int | None,
            Field(ge=1, le=10**9, description="The frame before which to stop. Left out: the end of the scene."),
        ] = None
        view: Annotated[
            Pair,
            Field(
                description="From where the scene is looked at: elevation above the ground and azimuth, in degrees. "
                "Where z goes up the azimuth counts from x to y; where -y does, from the side of the first camera to "
                "its right. With renderer=deeplabcut as create_labeled_video_3d has it. Left out: a view from above "
                "and from the side."
            ),
        ] = None
        xlim: Annotated[Pair, AfterValidator(_in_order), _limits("x")] = None
        ylim: Annotated[Pair, AfterValidator(_in_order), _limits("y")] = None
        zlim: Annotated[Pair, AfterValidator(_in_order), _limits("z")] = None
        up: Annotated[
            Literal["-y", "z"] | None,
            Field(
                description="Which axis of the scene goes up. Left out: z where the cameras were calibrated with "
                "floor, -y where the axes are a camera's, and else what goes up in the pictures."
            ),
        ] = None
        turn: Annotated[
            float, Field(ge=-360, le=360, description="By how many degrees the view turns around in a second.")
        ] = 0.0
        trailpoints: Annotated[
            int, Field(ge=0, le=1000, description="Length of the trail of earlier positions, in frames. 0: no trail.")
        ] = 0
        draw_skeleton: Annotated[
            bool, Field(description="Whether the skeleton's lines are drawn between the body parts.")
        ] = True
        skeleton_color: Annotated[
            Colour | None, Field(description="Colour of the skeleton's lines: a name such as white, or #rrggbb.")
        ] = None
        displayedbodyparts: DisplayedBodyparts = None
        color_by: ColorBy = "bodypart"
        colormap: Annotated[
            Colormap | None, Field(description="Colours of the body parts. Left out: as in the project's config.yaml.")
        ] = None
        dotsize: Annotated[
            float | None, Field(gt=0, le=200, description="Radius of the dots in the middle of the scene, in pixels.")
        ] = None
        width: Annotated[int, Field(ge=640, le=1920, description="Of the video, in pixels; its height follows.")] = 1920
        renderer: Annotated[
            Literal["own", "deeplabcut"],
            Field(
                description="deeplabcut: deeplabcut.create_labeled_video_3d draws, about a second for a frame, for two "
                "cameras, without trails, and of the body parts only those that the skeleton joins."
            ),
        ] = "own"

        @field_validator("end")
        @classmethod
        def _some_frame(cls, end: int | None, known: ValidationInfo) -> int | None:
            start = known.data.get("start", 0)
            if end is not None and end <= start:
                raise ValueError(f"end must be greater than start, which is {start}.")
            return end

        @field_validator("renderer")
        @classmethod
        def _can_be_drawn(cls, renderer: str, known: ValidationInfo) -> str:
            if renderer == "deeplabcut":
                own = [name for name in ("trailpoints", "turn", "displayedbodyparts", "up") if known.data.get(name)]
                if any((known.data.get("frame_offset") or {}).values()):
                    own.append("frame_offset")
                if not known.data.get("draw_skeleton", True):
                    own.append("draw_skeleton=false")
                if own:
                    raise ValueError(f"DeepLabCut's 3D video knows no {', '.join(own)}: leave renderer out.")
            return renderer

    @classmethod
    def starts_from(cls, parameters: Label3D.Parameters) -> tuple[str, dict[str, Any]]:
        """Name the analysis that finds the points."""
        return "triangulate", parameters.model_dump(mode="json", include=set(SpaceParameters.model_fields))

    @classmethod
    def misfits(cls, parameters: Label3D.Parameters, model: Model) -> Iterator[tuple[str, str]]:
        """Yield what the model does not have, and cameras that DeepLabCut does not draw."""
        yield from super().misfits(parameters, model)
        shown = parameters.displayedbodyparts
        if shown is not None and (message := lacking_bodyparts(model, shown)):
            yield "displayedbodyparts", message
        if parameters.renderer == "deeplabcut" and len(model.cameras) != 2:
            yield "renderer", f"DeepLabCut draws two cameras, and the model has {len(model.cameras)}."
        elif parameters.renderer == "deeplabcut" and not skeleton_of(model):
            yield (
                "renderer",
                "DeepLabCut draws only what a skeleton joins, and the model has none of its body parts: "
                f"{', '.join(model.bodyparts)}. Give it one, or leave renderer out.",
            )

    def run(self, job: Job[Label3D.Parameters]) -> dict[str, Any]:
        """Find the points, or those that were found earlier, and draw them."""
        wanted = job.parameters
        space = _earlier(job)
        points_from = None
        if space is None:
            setup = set_up(job)
            span = part_of(setup.scene, wanted.start, wanted.end)
            _look(job, setup.model).check()
            course = Course(job, setup.work + len(span))
            space = find_points(setup, course, save_as_csv=True)
        else:
            assert job.earlier is not None
            points_from = job.earlier.analysis_id
            space.result["space_file"] = _compact(job, space)
            span = part_of(space.frames, wanted.start, wanted.end)
            course = Course(job, len(span))
        target = job.scratch / "labeled_3d.mp4"
        drawer = _draw_as_deeplabcut if wanted.renderer == "deeplabcut" else _draw
        drawn = drawer(job, space, span, target, course.stage(len(span)))
        course.end()
        for note in (*space.notes, *drawn.pop("notes", ()), *_guess(wanted, space.model)):
            job.note(note)
        own = {
            "video_file": target,
            "scene_frames": space.frames,
            "fps": round(float(space.media[0].fps), 6),
            **drawn,
            "points_from": points_from,
        }
        return own | {name: value for name, value in space.result.items() if name not in own}


def _earlier(job: Job[Label3D.Parameters]) -> Space | None:
    """Return the points that triangulate has found of the same videos, where it has."""
    from dlc_jupyter.pose3d.multiview import MultiView

    earlier = job.earlier
    if earlier is None or job.model is None:
        return None
    result, files = earlier.result, earlier.files
    names = result["cameras"]
    tables = [files.get(f"{name}_filtered_h5_file", files.get(f"{name}_h5_file")) for name in names]
    needed = (files.get("h5_file"), files.get("quality_file"), *tables)
    there = [each for each in needed if each is not None and each.is_file()]
    if len(there) < len(needed):
        return None
    points, quality, *poses = there
    parts = [result["analysed_parts"][name] for name in names]
    views = MultiView(
        poses,
        names,
        [result["frame_offset"][name] for name in names],
        [(part[0], part[2]) if part else (0, 0) for part in parts],
    )
    views.order[:] = result["individual_order"]
    notes = [str(each) for each in result.get("notes", ())]
    return Space(read_model("", job.model), _media(job), views, points, quality, result["frames"], _told(result), notes)


def _compact(job: Job[Label3D.Parameters], space: Space) -> Path:
    """Return the file with the points that were found earlier, in the compact form."""
    given = job.earlier.files.get("space_file") if job.earlier else None
    if given is not None and given.is_file():
        return given
    target = job.scratch / SPACE_FILE
    write_compact(space, target)
    return target


def _media(job: Job[Any]) -> list[Media]:
    from dlc_jupyter.pose.media import inspect

    media = []
    for each in job.inputs:
        found = inspect(each.path)
        job.tell_media(each.file_id, found.as_json())
        found.check_whole()
        media.append(found)
    return media


def _told(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier result says of its points, but for their files: those are its own."""
    of_cameras = {f"{camera}_{field}" for camera in result["cameras"] for field in CAMERA_FIELDS}
    return {
        name: value
        for name, value in result.items()
        if not (name.endswith("_file") or name == "notes" or name in of_cameras)
    }


# -- drawing -----------------------------------------------------------------------------------------------------------


def _look(job: Job[Label3D.Parameters], model: Model, space: Space | None = None) -> SceneLook:
    """Return how the scene is drawn; without points, as far as that is known."""
    from dlc_jupyter.pose3d.scene import SceneLook

    wanted, rig = job.parameters, rig_of(model)
    colormap = wanted.colormap or read_config(model.config).get("colormap") or "rainbow"
    pairs = {name: getattr(wanted, name) for name in ("xlim", "ylim", "zlim", "view")}
    return SceneLook(
        bodyparts=model.bodyparts if space is None else space.result["bodyparts"],
        displayedbodyparts=wanted.displayedbodyparts,
        skeleton=skeleton_of(model) if wanted.draw_skeleton else (),
        skeleton_color=wanted.skeleton_color,
        pcutoff=0.0 if space is None else space.result["pcutoff"],
        color_by=wanted.color_by,
        colormap=str(colormap),
        dotsize=wanted.dotsize,
        trailpoints=wanted.trailpoints,
        up=wanted.up or rig.axes[0],
        turn=wanted.turn,
        unit=rig.unit,
        width=wanted.width,
        **{name: pair and (pair[0], pair[1]) for name, pair in pairs.items()},
    )


def _guess(wanted: Label3D.Parameters, model: Model) -> list[str]:
    """Return what to say where nobody has told what goes up in the scene."""
    rig = rig_of(model)
    if wanted.up or rig.up or wanted.renderer == "deeplabcut":
        return []
    up, axes = rig.axes
    reason = f"its axes are {axes}" if rig.first_is_origin else "it does so in most of the cameras' pictures"
    advice = f"Where it stands askew, calibrate with floor, or say up={'-y' if up == 'z' else 'z'}."
    return [f"{up} is taken to go up in the scene, as {reason}. {advice}"]


def _draw(
    job: Job[Label3D.Parameters], space: Space, span: range, target: Path, told: Callable[[float], None]
) -> dict[str, Any]:
    from dataclasses import replace

    from dlc_jupyter.pose3d import scene_arrays
    from dlc_jupyter.pose3d.render import View, render_scene

    check_sizes(rig_of(space.model), space.media)
    found = scene_arrays.write(space.views, space.poses, space.quality, space.frames, job.scratch / "arrays")
    look = replace(_look(job, space.model, space), bodyparts=found.bodyparts, individuals=found.individuals)
    views = [
        View(each.path, media, pixels, likelihood, name, offset)
        for each, media, pixels, likelihood, name, offset in zip(
            job.inputs,
            space.media,
            found.pixels,
            found.likelihood,
            space.views.names,
            space.views.offsets,
            strict=True,
        )
    ]
    return render_scene(views, found.points, look, target, span=span, error=found.error, progress=told)


def _draw_as_deeplabcut(
    job: Job[Label3D.Parameters], space: Space, span: range, target: Path, told: Callable[[float], None]
) -> dict[str, Any]:
    from dlc_jupyter.pose3d.deeplabcut import Look, labelled_video

    wanted, config = job.parameters, read_config(space.model.config)
    chosen = {name: getattr(wanted, name) for name in ("view", "xlim", "ylim", "zlim")}
    own: dict[str, Any] = {
        "dotsize": wanted.dotsize or config.get("dotsize"),
        "alpha": config.get("alphaValue"),
        "colormap": wanted.colormap or config.get("colormap"),
        "skeleton_color": wanted.skeleton_color or config.get("skeleton_color"),
    }
    look = Look(
        skeleton=skeleton_of(space.model),
        pcutoff=space.result["pcutoff"],
        arguments={
            "start": span.start,
            "end": span.stop,
            "draw_skeleton": True,
            "color_by": wanted.color_by,
            "figsize": _FIGURE,
            "dpi": wanted.width / _FIGURE[0],
            **{name: each for name, each in chosen.items() if each is not None},
        },
        **{name: each for name, each in own.items() if each is not None},
    )
    return labelled_video(
        space.poses,
        space.views,
        [each.path for each in job.inputs],
        look,
        target,
        fps=float(space.media[0].fps),
        scratch=job.scratch / "deeplabcut",
        progress=lambda share: told(share * len(span)),
    )
