"""The scratch folder of an analysis: inputs, model and earlier poses staged into it, outputs taken out of it.

Everything in it has a name of our own making, so nothing depends on how a user named a file.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlc_jupyter.analyses.base import KEPT, find_analysis
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.pose.models import Models
from dlc_jupyter.pose.projects import expanded
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.files import FileStore

#: Endings by which DeepLabCut and OpenCV know a video; any other name gets the first.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


def scratch_root(root: Path) -> Path:
    """Return where the scratch folders lie in the data folder `root`, each named by its analysis's id."""
    return root / "scratch"


def kept_folder(root: Path, analysis_id: str) -> Path:
    """Return where a running analysis of the data folder `root` keeps what its next attempt goes on with."""
    return scratch_root(root) / analysis_id / KEPT


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
        for folder in (self._folder, log_folder(settings.root)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def log(self, analysis_id: str) -> Path:
        """Return the file to which everything is appended that an analysis prints."""
        return log_path(self._root, analysis_id)

    def prepare(self, record: Record) -> Order:
        """Make the scratch folder of an analysis, and return what the engine must know of it.

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
        return Order(
            analysis_id=record.analysis_id,
            analysis=record.analysis,
            parameters=record.parameters,
            scratch=str(scratch),
            log=str(self.log(record.analysis_id)),
            inputs=self._stage_inputs(record, scratch),
            model=self._stage_model(record, scratch),
            poses=self._stage_poses(record, scratch),
            superanimal_dir=self._superanimal_dir,
            memory=str(memory),
        )

    def _stage_inputs(self, record: Record, scratch: Path) -> list[dict[str, str]]:
        inputs = []
        for number, file_id in enumerate(record.file_ids, start=1):
            filename = self._files.find(file_id).filename
            suffix = Path(filename).suffix.lower()
            stem = "video" if len(record.file_ids) == 1 else f"video-{number}"
            path = scratch / (stem + (suffix if suffix in VIDEO_SUFFIXES else VIDEO_SUFFIXES[0]))
            self._files.stage(file_id, path)
            inputs.append({"file_id": file_id, "path": str(path), "filename": filename})
        return inputs

    def _stage_model(self, record: Record, scratch: Path) -> str | None:
        kind = find_analysis(record.analysis).model_kind
        if kind is None:
            return None
        model = self._models.find(str(record.parameters["model"]), kind)
        return str(self._models.stage(model, scratch / "model"))

    def _stage_poses(self, record: Record, scratch: Path) -> dict[str, Any] | None:
        """Stage poses that were made earlier of the same video by the same model, where the analysis wants them."""
        key = self._requests.pose_key(record)
        earlier = self._records.succeeded(key) if key else None
        if earlier is None or earlier.result is None:
            return None
        folder = scratch / "poses"
        folder.mkdir()
        staged = {}
        try:
            for field, file_id in _files_of(earlier.result).items():
                path = folder / (field + Path(self._files.find(file_id).filename).suffix)
                self._files.stage(file_id, path)
                staged[field] = str(path)
        except (Refusal, FileNotFoundError):  # removed at this very moment: they are made anew
            return None
        return {"analysis_id": earlier.analysis_id, "files": staged, "result": earlier.result}

    def store_outputs(self, order: Order, result: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Move the outputs into the store.

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
        paths = {field: (scratch / name).resolve() for field, name in _files_of(result).items()}
        for field, path in paths.items():
            if not path.is_file() or not path.is_relative_to(scratch):
                raise AnalysisFailed(f"The analysis ended without its {field}.", kind="MissingOutput")
        stored: dict[Path, str] = {}
        for path in paths.values():
            if path not in stored:
                stored[path] = self._files.add(path, path.name, origin=order.analysis_id).file_id
        ids = {field: stored[path] for field, path in paths.items()}
        return {**result, **ids}, list(dict.fromkeys(ids.values()))

    def discard_outputs(self, file_ids: list[str]) -> None:
        """Take stored outputs back out of the store that no analysis names: this one was no longer the worker's."""
        self._files.discard(file_ids)

    def note_media(self, file_id: str, facts: Mapping[str, Any]) -> None:
        """Write down what an analysis has found in the container of a video."""
        self._files.note_media(file_id, facts)

    def clear(self, analysis_id: str) -> None:
        """Remove the scratch folder of an analysis, and what it has stored unless it runs or has succeeded.

        What it has kept for its next attempt stays, as long as there may be one.
        """
        self._remove([self._folder / analysis_id])
        self._files.discard_outputs(analysis_id)

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
