"""Clean-up: what has lived long enough, what has to go when room runs out, and what crashes have left behind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dlc_jupyter.errors import Conflict, NotFound
from dlc_jupyter.jobs import left
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.scratch import log_folder, log_path, scratch_root
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import abandoned, remove_abandoned
from dlc_jupyter.storage.retention import DAY, Removal, ago, evicted_files, expired_files
from dlc_jupyter.storage.uploads import Uploads


def forget(files: FileStore, records: Records, analysis_id: str) -> None:
    """Remove a finished analysis, its log, and the files that it made unless something else uses them.

    Raises
    ------
    NotFound, Conflict
        There is none, or it is queued or running.
    """
    files.discard(records.delete(analysis_id))
    log_path(files.root, analysis_id).unlink(missing_ok=True)
    left.drop(files.root, analysis_id)


class CleanUp:
    """What may go from a data folder.

    Nothing that a queued or running analysis needs, and no result that is younger than its age.

    Parameters
    ----------
    settings, files, records
        The data folder's.
    """

    def __init__(self, settings: Settings, files: FileStore, records: Records) -> None:
        self._settings = settings
        self._files = files
        self._records = records
        self._uploads = Uploads(files)

    def plan(self, now: float) -> list[Removal]:
        """Return what `run` would remove at a time (seconds since 1970). Removes nothing."""
        removals = list(self._aged(now))
        going = {removal.id for removal in removals}
        lacking = self._files.lacking_bytes() - sum(removal.size for removal in removals)
        return removals + evicted_files(self._files, now, lacking, besides=going)

    def run(self, now: float) -> Iterator[Removal]:
        """Remove what may go, and yield each thing that is gone."""
        for removal in self._aged(now):
            if removal.remove():
                yield removal
        for removal in evicted_files(self._files, now, self._files.lacking_bytes()):
            if removal.remove():
                yield removal

    def _aged(self, now: float) -> Iterator[Removal]:
        yield from self._analyses(now)
        yield from expired_files(self._files, now)
        yield from self._broken_off(now)
        yield from self._unfinished_uploads(now)
        yield from self._nameless()
        yield from self._scratch_folders()
        yield from self._left(now)
        yield from self._logs()

    def _analyses(self, now: float) -> Iterator[Removal]:
        days = self._settings.expire_analyses_days
        old = self._records.finished_before(now - days * DAY) if days else []
        for analysis_id, name, finished in old:
            why = f"ended {ago(now - finished)} ago: analyses are kept for {days:g} days"
            remove = partial(self._forget, analysis_id)
            yield Removal("analysis", analysis_id, name, self._size_of_results(analysis_id), why, remove)

    def _size_of_results(self, analysis_id: str) -> int:
        """Return how many bytes only this analysis keeps."""
        return self._files.size_of(self._records.sole_outputs(analysis_id))

    def _forget(self, analysis_id: str) -> bool:
        with contextlib.suppress(Conflict, NotFound):
            forget(self._files, self._records, analysis_id)
            return True
        return False

    def _unfinished_uploads(self, now: float) -> Iterator[Removal]:
        """Those that nobody has gone on with for long, and what a crash has left of others."""
        for upload in self._uploads.expired(now):
            kept = f"they are kept for {self._settings.expire_uploads_hours:g} hours"
            why = f"unfinished, nothing has come for {ago(now - upload.changed)}: {kept}"
            remove = partial(self._uploads.remove_expired, upload.upload_id, now)
            yield Removal("upload", upload.upload_id, upload.filename, upload.offset, why, remove)
        for upload_id, status in self._uploads.remains():
            remove = partial(self._uploads.reclaim, upload_id)
            why = "left by a crash: no upload has these bytes"
            yield Removal("remains", upload_id, "unfinished upload", status.st_size, why, remove)

    def _broken_off(self, now: float) -> Iterator[Removal]:
        """Files that were sent in one request, which broke off: nobody can go on with them."""
        for path, status in abandoned(self._files.incoming):
            why = f"broke off {ago(now - status.st_mtime)} ago"
            remove = partial(remove_abandoned, path)
            yield Removal("upload", path.stem, "unfinished upload", status.st_size, why, remove)

    def _nameless(self) -> Iterator[Removal]:
        for file_id, status in self._files.nameless():
            size = status.st_size if status.st_nlink == 1 else 0
            remove = partial(self._files.reclaim, file_id)
            yield Removal("remains", file_id, "stored bytes", size, "left by a crash: no file has these bytes", remove)

    def _scratch_folders(self) -> Iterator[Removal]:
        """Those of what is neither queued nor running: such an analysis never comes back to use it."""
        folders = {path.name: path for path in _listed(scratch_root(self._settings.root)) if path.is_dir()}
        states = self._records.states(folders)
        for analysis_id, folder in folders.items():
            if analysis_id not in states or not states[analysis_id].active:
                remove = partial(_remove_folder, folder)
                why = "left by a crash: its analysis does not run any more"
                yield Removal("remains", analysis_id, "scratch folder", _size(folder), why, remove)

    def _left(self, now: float) -> Iterator[Removal]:
        """Poses that were found in part, and that nobody has wanted for long or whose analysis is gone."""
        folders = {path.name: path for path in _listed(left.left_root(self._settings.root)) if path.is_dir()}
        states = self._records.states(folders)
        for analysis_id, folder in folders.items():
            age = now - max((each.stat().st_mtime for each in _listed(folder)), default=0.0)
            why = f"left {ago(age)} ago: they wait for {left.LEFT_DAYS:g} days"
            if analysis_id not in states:
                why = "its analysis is gone"
            elif age <= left.LEFT_DAYS * DAY:
                continue
            yield Removal("poses", analysis_id, "poses in part", _size(folder), why, partial(_remove_folder, folder))

    def _logs(self) -> Iterator[Removal]:
        """Those of analyses that are not listed any more. The engine's own log stays."""
        logs = {path.stem: path for path in _listed(log_folder(self._settings.root)) if len(path.stem) == 40}
        states = self._records.states(logs)
        for analysis_id, path in logs.items():
            if analysis_id not in states:
                yield Removal("log", analysis_id, "log", _size(path), "its analysis is gone", partial(_unlink, path))


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove_folder(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _unlink(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True


def _size(path: Path) -> int:
    """Return the bytes that go with a file or folder; what is linked from elsewhere, as staged videos are, stays."""
    size = 0
    for each in [path, *path.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            status = each.lstat()
            size += status.st_size if each.is_file() and status.st_nlink == 1 else 0
    return size
