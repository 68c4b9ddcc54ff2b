"""What an analysis is: a name, parameters that validate themselves, and ``run(job)``.

The class is all there is to write: the HTTP validation, the OpenAPI document and the launch forms come from it. A lab
adds its own through the entry point group ``dlc_jupyter.analyses``. Nothing here knows HTTP, the queue or the database,
and importing an analysis imports neither DeepLabCut nor torch: `Analysis.run` does, in the engine.
"""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic import ConfigDict

from dlc_jupyter.analyses.refusals import wrong_fields
from dlc_jupyter.errors import BadRequest

log = logging.getLogger(__name__)

ENTRY_POINTS = "dlc_jupyter.analyses"


class Parameters(pydantic.BaseModel):
    """The parameters of an analysis. Unknown names, NaN and infinity are refused.

    Values from a form arrive as text: ``5``, ``true``, and for lists ``0,640,0,480``, ``[0, 640, 0, 480]`` or the field
    repeated. All mean the same as the JSON values.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, protected_namespaces=())

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_form(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: cls._value_from_form(name, value) for name, value in values.items()}

    @classmethod
    def _value_from_form(cls, name: str, value: Any) -> Any:
        """Read the text of one form field as the list or mapping that the field wants, where it wants one."""
        known = cls.model_fields.get(name)
        if known is None or not isinstance(value, str) or not _is_container(known.annotation):
            return value
        text = value.strip()
        if text[:1] in ("[", "{"):
            try:
                return json.loads(text)
            except ValueError:
                return value
        if str in _options(known.annotation):  # a text will do
            return value
        return [part.strip() for part in text.split(",")] if text else None


def _is_container(annotation: Any) -> bool:
    """Whether an annotation such as ``list[int] | None`` admits a list, a tuple or a mapping."""
    return any((get_origin(option) or option) in (list, tuple, dict) for option in _options(annotation))


def _options(annotation: Any) -> tuple[Any, ...]:
    """Return what a union is made of; anything else as it is, but for what is said of it."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(get_args(option)[0] if get_origin(option) is Annotated else option for option in options)


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Inputs:
    """How many videos an analysis takes."""

    at_least: int = 1
    at_most: int | None = None

    def check(self, count: int) -> None:
        """Refuse a number of files that the analysis cannot take."""
        if count < self.at_least:
            raise BadRequest(
                f"This analysis needs {_files(self.at_least)}: give file_id"
                + (" once for each." if self.at_least > 1 else "."),
                reason="missing-file",
            )
        if self.at_most is not None and count > self.at_most:
            raise BadRequest(
                f"This analysis takes at most {_files(self.at_most)}, not {count}.", reason="too-many-files"
            )


def _files(count: int) -> str:
    return "one file" if count == 1 else "no file" if count == 0 else f"{count} files"


@dataclass(frozen=True)
class InputFile:
    """A stored file as an analysis sees it: `path` is in the scratch folder, under a name of our own making.

    `camera` is the one that made it, where files are given by camera (`Analysis.by_camera`).
    """

    file_id: str
    path: Path
    filename: str
    camera: str = ""


@dataclass(frozen=True)
class Earlier:
    """What an earlier analysis has made, staged in the scratch folder: its result, and the files that it names."""

    analysis_id: str
    files: Mapping[str, Path]  # by the result's fields, such as "h5_file"
    result: Mapping[str, Any]


class Poses(Earlier):
    """Poses made earlier of the same video by the same network.

    `files` are ``h5_file``, ``meta_file`` and ``full_file``; `result` has ``scorer``, ``frames`` and ``provenance``: so
    they are called here, whatever they are called in the result of the analysis that made them (`PosesOf.prefix`).
    """


@dataclass(frozen=True)
class PosesOf:
    """Which poses of a video: by which network, looking how. They decide the poses, but for `prefix`.

    Attributes
    ----------
    config : Path
        config.yaml of the 2D project.
    prefix : str
        How the fields of the result begin that have such poses: ``""``, or ``camera-1_`` and so on.
    mark : bool
        Whether frames that cannot be decoded have rows of NaN; otherwise there are no poses of such a video.
    frames : (int, int or None), optional
        The first frame that is looked at, and the one before which to stop (None: the end). All, where it is left out.
        Poses of all frames will do as well.
    """

    config: Path
    shuffle: int = 1
    trainingsetindex: int = 0
    snapshot_index: int | None = None
    batch_size: int | None = None
    detector_batch_size: int | None = None
    cropping: list[int] | None = None
    device: str | None = None
    prefix: str = ""
    mark: bool = False
    frames: tuple[int, int | None] | None = None

    def parameters(self) -> dict[str, Any]:
        """Return how the network looks, as parameters of an analysis: where the project lies is not among them."""
        besides = ("config", "prefix", "mark", "frames")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in besides}


#: The fields of a result without which no other analysis can start from its poses.
POSE_FILES = ("h5_file", "meta_file", "full_file")


#: The part of the scratch folder that outlives an attempt.
KEPT = "kept"

#: What a job tells the worker: ("progress", {...}), ("note", {...}), ("media", {...}) or ("made", {...}).
Report = Callable[[str, Mapping[str, Any]], None]


@dataclass
class Job(Generic[P]):
    """One run of an analysis, in a process and a scratch folder of its own.

    Attributes
    ----------
    parameters : Parameters
        Validated.
    inputs : sequence of InputFile
        The videos, in the order in which they were given, or in that of the cameras (`Analysis.by_camera`).
    scratch : Path
        A folder that goes when the analysis ends; outputs are written here. It is empty but for `kept`.
    model : Path or None
        The config.yaml of a private copy of the model's project, which DeepLabCut may write to.
    device : str
        ``cpu`` or ``cuda:0`` (the one visible GPU).
    threads : int
        Processor threads this analysis may use.
    poses : sequence of (Poses or None)
        Poses made earlier, for each of `inputs`, where the analysis starts from them (`Analysis.poses`).
    earlier : Earlier or None
        The earlier analysis from which this one starts (`Analysis.starts_from`), where there is one.
    superanimal_dir : Path or None
        The folder with the weights of DeepLabCut's SuperAnimal models, where the server has one.
    memory : Path or None
        A folder in which analyses remember what makes later ones quicker. It may go at any time, and decides no result.
    """

    parameters: P
    inputs: Sequence[InputFile]
    scratch: Path
    model: Path | None = None
    device: str = "cpu"
    threads: int = 1
    poses: Sequence[Poses | None] = ()
    earlier: Earlier | None = None
    superanimal_dir: Path | None = None
    memory: Path | None = None
    report: Report = field(default=lambda _kind, _values: None)
    _reported: float = 0.0

    @property
    def kept(self) -> Path:
        """A folder in `scratch` that the next attempt finds as this one leaves it, where this one is interrupted."""
        folder = self.scratch / KEPT
        folder.mkdir(exist_ok=True)
        return folder

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Tell how far the work has come; at most twice a second it is really told, and always at the end."""
        now = time.monotonic()
        if now - self._reported >= 0.5 or done == total:
            self._reported = now
            self.report("progress", {"done": done, "total": total, "unit": unit})

    T = TypeVar("T")

    def track(self, items: Iterable[T], total: int, unit: str) -> Iterator[T]:
        """Yield the items, telling after each how many are done."""
        self.progress(0, total, unit)
        for done, item in enumerate(items, start=1):
            yield item
            self.progress(done, total, unit)

    def note(self, message: str) -> None:
        """Leave a remark in the result's ``notes``: something the user should know, though it is no error."""
        self.report("note", {"message": message})

    def tell_media(self, file_id: str, facts: Mapping[str, Any]) -> None:
        """Have it written down what the container of a video says, for everyone who looks at the file."""
        self.report("media", {"file_id": file_id, "facts": dict(facts)})

    def offer(self, result: Mapping[str, Any]) -> None:
        """Tell which poses are there already: others can start from them, even if this analysis ends without a result.

        Parameters
        ----------
        result : mapping
            Fields as in the result of the analysis. Its files are finished: nobody writes to them any more.
        """
        told = {name: str(value) if isinstance(value, Path) else value for name, value in result.items()}
        self.report("made", {"result": told})

    def save_csv(self, name: str, rows: Iterable[tuple[Any, ...]]) -> Path:
        """Write rows to a CSV file in the scratch folder, and return its path for the result."""
        path = self.scratch / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return path


class Analysis:
    """An analysis: subclass it, name it, describe its parameters, and write `run`.

    The class docstring's first line is what users read. `run` returns the result: a mapping of JSON values, in which
    every field whose name ends in ``_file`` is the path of an output in the scratch folder; the worker stores that file
    and puts its id there. Raise `dlc_jupyter.errors.AnalysisFailed` for what the user can mend.
    """

    name: ClassVar[str]
    inputs: ClassVar[Inputs] = Inputs(at_least=1, at_most=1)
    #: The kind of model its ``model`` parameter names, if it takes one.
    model_kind: ClassVar[Literal["2d", "3d"] | None] = None
    #: Whether it computes on the device, and so must wait for a GPU.
    uses_device: ClassVar[bool] = False

    #: Whether its files may be given by camera: ``cameras={"camera-1": <id>, …}``. Then it has that parameter
    #: (`dlc_jupyter.analyses.cameras`). With a 3D model there is one file for each of its cameras, in their order.
    by_camera: ClassVar[bool] = False
    #: Whether `run` starts from `poses` that others have made. Its own are there for others in any case.
    starts_from_poses: ClassVar[bool] = False

    #: Whether the same request may be answered with an earlier result.
    reusable: ClassVar[bool] = True

    #: What the fields of its result mean, for those who read the result.
    results: ClassVar[Mapping[str, str]] = {}

    #: Its own subclass of `Parameters`, nested in the class under that name.
    Parameters: ClassVar[type[pydantic.BaseModel]]

    def run(self, job: Any) -> dict[str, Any]:
        """Do it. Runs in the engine; the only place that may import DeepLabCut."""
        raise NotImplementedError

    @classmethod
    def poses(cls, parameters: Any, model: Any) -> Sequence[PosesOf]:
        """Return which poses the result has, of each input by the model's networks; none where others have no use for.

        Parameters
        ----------
        parameters : Parameters
            Validated.
        model : dlc_jupyter.pose.projects.Model
            As it is registered, or as it is staged.
        """
        return ()

    @classmethod
    def starts_from(cls, parameters: Any) -> tuple[str, dict[str, Any]] | None:
        """Name the analysis of the same files, and its parameters, from whose result `run` starts (`Job.earlier`)."""
        return None

    @classmethod
    def check_inputs(cls, parameters: Any, count: int) -> None:
        """Refuse a number of files that the analysis cannot take."""
        cls.inputs.check(count)

    @classmethod
    def misfits(cls, parameters: Any, model: Any) -> Iterable[tuple[str, str]]:
        """Yield parameters that do not fit the model (`dlc_jupyter.pose.projects.Model`), and what would."""
        return ()

    @classmethod
    def unfit(cls, parameters: Any, model: Any, media: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Yield parameters that do not fit a video, and what would. What is not known yet, `run` has to find out.

        Parameters
        ----------
        parameters : Parameters
            Validated.
        model : dlc_jupyter.pose.projects.Model
            As it is registered.
        media : mapping
            What an earlier analysis has found in the video's container (`dlc_jupyter.pose.media.Media.as_json`).
        """
        return ()

    @classmethod
    def lacking(cls, parameters: Any, folder: Path | None) -> Iterable[tuple[str, str]]:
        """Yield parameters for which `Settings.superanimal_dir` lacks weights, and which."""
        return ()

    @classmethod
    def weights_of(cls, parameters: Any, folder: Path | None) -> Sequence[Path]:
        """Name the files in `Settings.superanimal_dir` with which `run` looks at a video: they decide its result."""
        return ()

    @classmethod
    def summary(cls) -> str:
        """The docstring's first line."""
        return (cls.__doc__ or cls.name).strip().splitlines()[0]

    @classmethod
    def validate(cls, values: Mapping[str, Any]) -> pydantic.BaseModel:
        """Return the parameters, or refuse them naming every field that is wrong."""
        try:
            return cls.Parameters.model_validate(dict(values))
        except pydantic.ValidationError as error:
            raise cls.refusal(wrong_fields(error, cls.Parameters)) from None

    @classmethod
    def refusal(cls, errors: Sequence[Mapping[str, str]]) -> BadRequest:
        """Return the refusal of parameters that are not right; `errors` are the ``field`` and ``message`` of each."""
        return BadRequest(
            f"The parameters of {cls.name} are not right: see errors. GET /schema describes them.",
            reason="bad-parameters",
            errors=list(errors),
        )


@cache
def registry() -> dict[str, type[Analysis]]:
    """Return every analysis by name: the built-in ones, and those of other packages' entry points.

    What cannot be loaded is left out, and the log says so: the analyses of others go on.
    """
    from dlc_jupyter.analyses.calibrate import Calibrate
    from dlc_jupyter.analyses.filter import Filter
    from dlc_jupyter.analyses.label import Label
    from dlc_jupyter.analyses.label_3d import Label3D
    from dlc_jupyter.analyses.playable import Playable
    from dlc_jupyter.analyses.plot import Plot
    from dlc_jupyter.analyses.sleep import Sleep
    from dlc_jupyter.analyses.superanimal import SuperAnimal
    from dlc_jupyter.analyses.triangulate import Triangulate
    from dlc_jupyter.analyses.video import Video

    built_in = (Sleep, Video, Label, Filter, Plot, SuperAnimal, Calibrate, Triangulate, Label3D, Playable)
    found: dict[str, type[Analysis]] = {each.name: each for each in built_in}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            added = _load(entry)
        except (Exception, SystemExit) as error:
            package = entry.dist.name if entry.dist else "an unknown package"
            log.warning(
                "The analysis %s of %s is left out: %s: %s",
                *(entry.name, package, type(error).__name__, error),
                exc_info=True,
            )
        else:
            found.setdefault(added.name, added)
    return found


def _load(entry: EntryPoint) -> type[Analysis]:
    """Return the analysis of an entry point, which can be described to users."""
    added = entry.load()
    if not (isinstance(added, type) and issubclass(added, Analysis)):
        raise TypeError(f"{entry.value} is no subclass of dlc_jupyter.analyses.base.Analysis")
    if not isinstance(getattr(added, "name", None), str):
        raise TypeError(f"{entry.value} has no name")
    added.Parameters.model_json_schema()
    return added


def find_analysis(name: str) -> type[Analysis]:
    """Return the analysis of that name, or refuse, naming those there are."""
    try:
        return registry()[name]
    except KeyError:
        known = sorted(registry())
        raise BadRequest(
            f"There is no analysis {name!r}. There are: {', '.join(known)}.", reason="unknown-analysis", analyses=known
        ) from None
