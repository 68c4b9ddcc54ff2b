"""The scratch folder of an analysis: inputs, model and earlier poses staged into it, outputs taken out of it.

Everything in it has a name of our own making, so nothing depends on how a user named a file.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dlc_jupyter.analyses.base import KEPT, POSE_FILES, find_analysis
from dlc_jupyter.analyses.cameras import camera_of
from dlc_jupyter.analyses.provenance import in_result
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.jobs import left
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Keys, Requests
from dlc_jupyter.pose.models import Models
from dlc_jupyter.pose.projects import expanded
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.names import LONGEST, shortened

#: Endings by which DeepLabCut and OpenCV know a video; any other name gets the first.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


#: Those of pictures of a board, and of calibrations.
OTHER_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"),
    *(".toml", ".pickle", ".yaml", ".yml", ".xml"),
)

#: How much of a video's name its outputs' begin with, in bytes of UTF-8: DeepLabCut's own ending is long too.
_LONGEST_STEM = 120

#: What would end a folder's name in the name of a file.
_SEPARATORS = re.compile(r"[/\\]")

#: The names of fields that may be names of files as they are; those of cameras may be anything.
_FIELD = re.compile(r"^\w[\w.-]{0,99}$", re.ASCII)


def scratch_root(root: Path) -> Path:
    """Return where the scratch folders lie in the data folder `root`, each named by its analysis's id."""
    return root / "scratch"


def kept_folder(root: Path, analysis_id: str) -> Path:
    """Return where a running analysis of the data folder `root` keeps what its next attempt goes on with."""
    return scratch_root(root) / analysis_id / KEPT


def begin_anew(root: Path, analysis_id: str) -> None:
    """Have an analysis that waits in the data folder `root` take nothing that others have left."""
    kept_folder(root, analysis_id).mkdir(mode=0o700, parents=True, exist_ok=True)


def kept_poses(root: Path, record: Record, number: int) -> Path:
    """Return where a running analysis writes the poses of one of its files, counted from 0, while it finds them."""
    kept = kept_folder(root, record.analysis_id)
    return (kept if len(record.file_ids) == 1 else kept / input_stem(record, number)) / "poses"


def input_stem(record: Record, number: int) -> str:
    """Return what one of an analysis's files, counted from 0, is called in the scratch folder, without its suffix."""
    return "video" if len(record.file_ids) == 1 else f"video-{number + 1}"


def output_name(name: str, inputs: Sequence[Mapping[str, str]], *, of_video: bool = True) -> str:
    """Return under which name an output is stored: one that begins with the video's own.

    Where several videos have the same name, that of the camera (or the video's number) comes behind it.

    Parameters
    ----------
    name : str
        Its name in the scratch folder, where the video has a name of our making: ``videoDLC_Resnet50_….csv``.
    inputs : sequence of mapping
        Those of the `Order`. What is made of several, and does not begin as one of them, keeps its name.
    of_video : bool
        Whether a single input that does not end as something else is a video, whose name all outputs begin with.
    """
    stems = [shortened(Path(each["filename"]).stem, _LONGEST_STEM) for each in inputs]
    alike = len({stem.casefold() for stem in stems}) < len(stems)
    for number, (each, own) in enumerate(zip(inputs, stems, strict=True), start=1):
        stem = Path(each["path"]).stem
        if re.match(rf"{re.escape(stem)}(DLC|[._]|$)", name):
            behind = name[len(stem) :]
            if alike:
                behind = f"_{_SEPARATORS.sub('-', each['camera']) or number}{behind}"
        elif len(inputs) == 1 and of_video and Path(each["path"]).suffix in VIDEO_SUFFIXES:
            behind = f"_{name}"
        else:
            continue
        return shortened(own, LONGEST - len(behind.encode())) + behind
    return name


def offered(keys: Keys, result: Mapping[str, Any]) -> dict[str, str]:
    """Return which poses are in a result: how their fields begin, by their keys."""
    found = {}
    for (key, prefix), twin in zip(keys.poses, keys.twins, strict=True):
        if all(isinstance(result.get(prefix + field), str) for field in POSE_FILES):
            found[key] = prefix
            if (in_result(result, prefix) or {}).get("every_frame_decoded"):
                found[twin] = prefix
    return found


def memory_folder(root: Path) -> Path:
    """Return where analyses remember what makes later ones quicker, in the data folder `root`; it may be deleted."""
    return root / "cache"


def log_folder(root: Path) -> Path:
    """Return where the logs lie in the data folder `root`."""
    return root / "logs"


def log_path(root: Path, analysis_id: str) -> Path:
    """Return where the log of an analysis lies in the data folder `root`."""
    return log_folder(root) / f"{analysis_id}.log"


class Scratch:
    """The scratch folders and logs of one data folder.

    Parameters
    ----------
    settings : Settings
        Where they lie.
    files, records, models, requests
        What is staged, and where outputs go.
    """

    def __init__(
        self, settings: Settings, files: FileStore, records: Records, models: Models, requests: Requests
    ) -> None:
        self._root = settings.root
        self._folder = scratch_root(settings.root)
        self._files = files
        self._records = records
        self._models = models
        self._requests = requests
        self._superanimal_dir = str(expanded(settings.superanimal_dir)) if settings.superanimal_dir else None
        self._stored: dict[Path, str] = {}  # outputs of the analysis that runs, which are gone from there
        self._names: dict[Path, str] = {}  # what others have made and it starts from, as it is called in the store
        for folder in (self._folder, log_folder(settings.root)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def log(self, analysis_id: str) -> Path:
        """Return the file to which everything is appended that an analysis prints."""
        return log_path(self._root, analysis_id)

    def prepare(self, record: Record, deeplabcut: str | None = None) -> Order:
        """Make the scratch folder of an analysis, and return what the engine must know of it.

        Parameters
        ----------
        record : Record
        deeplabcut : str, optional
            The engine's version of it: nothing is given that another one has made.

        Raises
        ------
        Refusal
            An input or the model is gone, or was changed.
        OSError
            The disk is full, for example.
        """
        self.clear(record.analysis_id)
        scratch = self._folder / record.analysis_id
        scratch.mkdir(mode=0o700, exist_ok=True)
        memory = memory_folder(self._root)
        memory.mkdir(mode=0o700, exist_ok=True)
        keys = self._requests.keys(record, deeplabcut)
        order = Order(
            analysis_id=record.analysis_id,
            analysis=record.analysis,
            parameters=record.parameters,
            scratch=str(scratch),
            log=str(self.log(record.analysis_id)),
            inputs=self._stage_inputs(record, scratch),
            model=self._stage_model(record, scratch),
            poses=self._stage_poses(record, keys, scratch / "poses"),
            earlier=self._stage_earlier(keys, scratch / "earlier"),
            superanimal_dir=self._superanimal_dir,
            memory=str(memory),
        )
        self._take_left(record, keys)
        return order

    def _take_left(self, record: Record, keys: Keys) -> None:
        """Have a first attempt go on behind poses that others have left, unless all is to be made anew."""
        if not kept_folder(self._root, record.analysis_id).exists():
            for number, (key, _prefix) in enumerate(keys.poses):
                left.take(self._root, key, kept_poses(self._root, record, number))

    def leave(self, record: Record, keys: Keys, besides: Collection[str] = ()) -> None:
        """Leave the poses that an analysis has found in part, and has ended without, to whoever wants them next.

        Parameters
        ----------
        besides : collection of str
            The keys of those that are whole.
        """
        for number, (key, _prefix) in enumerate(keys.poses):
            if key not in besides:
                left.leave(self._root, record.analysis_id, key, kept_poses(self._root, record, number))

    def _stage_inputs(self, record: Record, scratch: Path) -> list[dict[str, str]]:
        inputs = []
        cameras = record.parameters.get("cameras") if find_analysis(record.analysis).by_camera else None
        for number, file_id in enumerate(record.file_ids):
            filename = self._files.find(file_id).filename
            suffix = Path(filename).suffix.lower()
            known = suffix in VIDEO_SUFFIXES or suffix in OTHER_SUFFIXES
            path = scratch / (input_stem(record, number) + (suffix if known else VIDEO_SUFFIXES[0]))
            self._files.stage(file_id, path)
            camera = camera_of(cameras, file_id)
            inputs.append({"file_id": file_id, "path": str(path), "filename": filename, "camera": camera})
        return inputs

    def _stage_model(self, record: Record, scratch: Path) -> str | None:
        kind = find_analysis(record.analysis).model_kind
        if kind is None:
            return None
        model = self._models.find(str(record.parameters["model"]), kind)
        return str(self._models.stage(model, scratch / "model"))

    def _stage_poses(self, record: Record, keys: Keys, folder: Path) -> list[dict[str, Any] | None]:
        """Stage poses that were made earlier of the same videos by the same networks, where the analysis wants them."""
        if not find_analysis(record.analysis).starts_from_poses:
            return []
        wanted = zip(keys.wholes, (key for key, _ in keys.poses), strict=True)
        return [self._poses_with(either, folder / str(number)) for number, either in enumerate(wanted, start=1)]

    def _poses_with(self, either: Iterable[str], folder: Path) -> dict[str, Any] | None:
        """Stage the poses of one of these keys: of the first one of which there are any."""
        for earlier, prefix in chain.from_iterable(map(self._records.poses, dict.fromkeys(either))):
            result = earlier.result or {}
            files = {field: str(result[prefix + field]) for field in POSE_FILES}
            # What is the same for all poses in a result goes without the prefix.
            about = {name: result.get(prefix + name, result.get(name)) for name in ("scorer", "frames")}
            about["frames"] = result.get(f"{prefix}rows", about["frames"])
            if staged := self._stage_files(files, folder):
                about["provenance"] = in_result(result, prefix)
                return {"analysis_id": earlier.analysis_id, "files": staged, "result": about}
        return None

    def _stage_earlier(self, keys: Keys, folder: Path) -> dict[str, Any] | None:
        """Stage the result from which the analysis can start, where there is one."""
        earlier = self._records.succeeded(keys.earlier) if keys.earlier else None
        if earlier is None or earlier.result is None:
            return None
        staged = self._stage_files(_files_of(earlier.result), folder)
        return staged and {"analysis_id": earlier.analysis_id, "files": staged, "result": earlier.result}

    def _stage_files(self, files: Mapping[str, str], folder: Path) -> dict[str, str] | None:
        """Stage files by the names of their fields. None: one is gone, so that they are to be made anew."""
        staged = {}
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for number, (field, file_id) in enumerate(files.items(), start=1):
                filename = self._files.find(file_id).filename
                path = folder / ((field if _FIELD.match(field) else f"{number}") + Path(filename).suffix)
                self._files.stage(file_id, path)
                staged[field] = str(path)
                self._names[folder.resolve() / path.name] = filename
        except (Refusal, FileNotFoundError):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return staged

    def store_outputs(self, order: Order, result: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Move the outputs into the store. What others have made, and is in the result too, keeps its name.

        Returns
        -------
        result : dict
            With the ids of the files in the place of their paths.
        file_ids : list of str
            Those ids.

        Raises
        ------
        AnalysisFailed
            An output is missing. Nothing was stored.
        OSError, Refusal
            It could not be stored. What was stored before it goes with `clear`, when the analysis has ended.
        """
        scratch = Path(order.scratch).resolve()
        paths = {field: self._output(scratch / name) for field, name in _files_of(result).items()}
        for field, path in paths.items():
            ours = path in self._names or path.is_relative_to(scratch)
            if path not in self._stored and not (path.is_file() and ours):
                raise AnalysisFailed(f"The analysis ended without its {field}.", kind="MissingOutput")
        of_video = not find_analysis(order.analysis).by_camera
        for path in paths.values():
            if path not in self._stored:
                name = self._names.get(path) or output_name(path.name, order.inputs, of_video=of_video)
                self._stored[path] = self._files.add(path, name, origin=order.analysis_id).file_id
        ids = {field: self._stored[path] for field, path in paths.items()}
        return {**result, **ids}, list(dict.fromkeys(ids.values()))

    def _output(self, path: Path) -> Path:
        """Return where an output really lies; of what was staged, which may be a link, where it was staged."""
        return path if path in self._names else path.resolve()

    def discard_outputs(self, file_ids: list[str]) -> None:
        """Take stored outputs back out of the store that no analysis names: this one was no longer the worker's."""
        self._files.discard(file_ids)

    def note_media(self, file_id: str, facts: Mapping[str, Any]) -> None:
        """Write down what an analysis has found in the container of a video."""
        self._files.note_media(file_id, facts)

    def clear(self, analysis_id: str, besides: Collection[str] = ()) -> None:
        """Remove the scratch folder of an analysis, and what it has stored unless it runs or has succeeded.

        What it has kept for its next attempt stays, as long as there may be one.

        Parameters
        ----------
        besides : collection of str
            Ids of stored files that stay although it has failed: see `dlc_jupyter.jobs.record.Made`.
        """
        self._stored.clear()
        self._names.clear()
        self._remove([self._folder / analysis_id])
        self._files.discard_outputs(analysis_id, besides)

    def clear_all(self) -> None:
        """Remove all scratch folders: no analysis of this data folder is running."""
        self._remove(list(self._folder.iterdir()))

    def _remove(self, folders: list[Path]) -> None:
        states = self._records.states(folder.name for folder in folders)
        for folder in folders:
            if folder.name in states and states[folder.name].active:
                _remove_all_but_kept(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_all_but_kept(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            if path.name != KEPT:
                shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something is kept, or the folder is not there
        folder.rmdir()


def _files_of(result: Mapping[str, Any]) -> dict[str, str]:
    return {field: value for field, value in result.items() if field.endswith("_file") and isinstance(value, str)}
