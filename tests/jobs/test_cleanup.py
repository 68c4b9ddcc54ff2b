"""Clean-up: what goes and why, and above all what stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dlc_jupyter.errors import NotFound
from dlc_jupyter.jobs.cleanup import CleanUp, forget
from dlc_jupyter.jobs.record import Request, State
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.scratch import log_folder, log_path, scratch_root
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.disk import free_bytes
from dlc_jupyter.storage.files import FileStore, StoredFile
from dlc_jupyter.storage.retention import HOUR, Removal, make_room
from dlc_jupyter.storage.uploads import Uploads

DAY = 86_400.0
#: The day on which everything in these tests begins.
THEN = 1_800_000_000.0


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> None:
    settings.min_free_bytes = 0
    settings.expire_files_days = 30.0
    settings.expire_analyses_days = 90.0


class Folder:
    """A data folder in which the time is what the test says."""

    def __init__(self, settings: Settings, files: FileStore, records: Records) -> None:
        self.settings = settings
        self.files = files
        self.records = records
        self.now = THEN
        files.clock = lambda: self.now
        self.clean_up = CleanUp(settings, files, records)

    def upload(self, content: bytes, filename: str = "mouse.mp4") -> StoredFile:
        incoming = self.files.receive()
        incoming.append(content)
        return incoming.finish(filename)

    def ask(self, *file_ids: str, key: str | None = None) -> str:
        request = Request("video", {}, file_ids=file_ids, request_key=key)
        return self.records.create(request, self.now).analysis_id

    def claim(self) -> str:
        record = self.records.claim("worker", self.now, 30.0)
        assert record is not None
        return record.analysis_id

    def succeed(self, analysis_id: str, content: bytes = b"poses") -> StoredFile:
        """Finish a running analysis with one file, and leave a log."""
        path = scratch_root(self.settings.root) / analysis_id / "poses.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        output = self.files.add(path, path.name, origin=analysis_id)
        path.parent.rmdir()
        assert self.records.succeed(analysis_id, "worker", self.now, {"csv_file": output.file_id}, [output.file_id])
        self.log(analysis_id)
        return output

    def log(self, analysis_id: str) -> Path:
        log_folder(self.settings.root).mkdir(exist_ok=True)
        path = log_path(self.settings.root, analysis_id)
        path.write_text("done\n")
        return path

    def plan(self) -> list[Removal]:
        return self.clean_up.plan(self.now)

    def run(self) -> list[tuple[str, str]]:
        return [(removal.kind, removal.id) for removal in self.clean_up.run(self.now)]

    def there(self, file_id: str) -> bool:
        try:
            return self.files.path(file_id).exists()
        except NotFound:
            return False


@pytest.fixture
def folder(settings: Settings, files: FileStore, records: Records) -> Folder:
    return Folder(settings, files, records)


# -- what is old -----------------------------------------------------------------------------------------------------


def test_a_file_that_nobody_used_for_its_age_goes(folder: Folder) -> None:
    old = folder.upload(b"old")
    folder.now += 20 * DAY
    young = folder.upload(b"young")
    folder.now += 11 * DAY
    assert folder.run() == [("file", old.file_id)]
    assert not folder.there(old.file_id)
    assert folder.there(young.file_id)


def test_models_that_were_made_here_stay(folder: Folder) -> None:
    path = folder.settings.root / "models" / "my-rig" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("camera_names: [left, right]")
    os.utime(path, (0, 0))
    folder.settings.min_free_bytes = 1 << 60  # no room at all
    assert folder.plan() == folder.run() == []
    assert path.is_file()


def test_a_plan_names_what_would_go_and_why_and_removes_nothing(folder: Folder) -> None:
    old = folder.upload(b"12345", "day 1.mp4")
    folder.now += 31 * DAY
    (removal,) = folder.plan()
    assert (removal.kind, removal.id, removal.name, removal.size) == ("file", old.file_id, "day 1.mp4", 5)
    assert removal.reason == "not used for 31 days: files are kept for 30 days"
    assert folder.there(old.file_id)


def test_using_a_file_again_makes_it_young(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    folder.now += 29 * DAY
    folder.ask(file.file_id)
    folder.succeed(folder.claim())
    folder.now += 29 * DAY
    assert folder.run() == []
    folder.upload(b"mouse", "again.mp4")
    folder.now += 29 * DAY
    assert folder.run() == []


def test_a_long_analysis_counts_as_use_until_its_end(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    folder.ask(file.file_id)
    running = folder.claim()
    folder.now += 40 * DAY
    folder.succeed(running)
    folder.now += 10 * DAY
    assert folder.run() == []


def test_what_a_queued_analysis_needs_stays_however_old_it_is(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    folder.ask(file.file_id)
    folder.now += 1000 * DAY
    assert folder.run() == []
    assert folder.there(file.file_id)


def test_what_a_running_analysis_needs_stays_however_old_it_is(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    folder.ask(file.file_id)
    running = folder.claim()
    folder.now += 1000 * DAY
    assert folder.run() == []
    assert folder.there(file.file_id)
    assert folder.records.find(running).state is State.RUNNING


def test_an_analysis_goes_with_its_files_and_its_log_when_it_is_old_enough(folder: Folder) -> None:
    folder.ask()
    analysis_id = folder.claim()
    output = folder.succeed(analysis_id)
    folder.now += 89 * DAY
    assert folder.run() == []
    assert folder.there(output.file_id)
    folder.now += 2 * DAY
    (removal,) = folder.plan()
    assert (removal.kind, removal.name, removal.size) == ("analysis", "video", len(b"poses"))
    assert removal.reason == "ended 91 days ago: analyses are kept for 90 days"
    assert folder.run() == [("analysis", analysis_id)]
    assert not folder.there(output.file_id)
    assert not log_path(folder.settings.root, analysis_id).exists()
    with pytest.raises(NotFound):
        folder.records.find(analysis_id)


def test_a_result_that_is_deleted_meanwhile_stops_no_clean_up(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    old = folder.upload(b"old")
    folder.ask()
    done = folder.claim()
    output = folder.succeed(done)
    folder.now += 91 * DAY
    sole_outputs = folder.records.sole_outputs

    def deleted_behind(analysis_id: str) -> list[str]:
        outputs = sole_outputs(analysis_id)
        folder.files.delete(output.file_id)
        return outputs

    monkeypatch.setattr(folder.records, "sole_outputs", deleted_behind)
    assert folder.run() == [("analysis", done), ("file", old.file_id)]


def test_failed_and_cancelled_analyses_age_as_well(folder: Folder) -> None:
    folder.ask()
    failed = folder.claim()
    folder.records.fail(failed, "worker", folder.now, {"type": "X", "message": "broken", "hint": ""})
    cancelled = folder.ask()
    folder.records.cancel(cancelled, folder.now)
    folder.now += 91 * DAY
    assert sorted(folder.run()) == sorted([("analysis", failed), ("analysis", cancelled)])


def test_a_result_is_not_older_than_the_youngest_analysis_that_has_it(folder: Folder) -> None:
    folder.ask(key="same")
    first = folder.claim()
    output = folder.succeed(first)
    folder.now += 60 * DAY
    second = folder.ask(key="same")
    assert folder.records.find(second).state is State.SUCCEEDED
    folder.now += 31 * DAY
    (removal,) = folder.plan()
    assert removal.size == 0
    assert folder.run() == [("analysis", first)]
    assert folder.there(output.file_id)
    folder.now += 60 * DAY
    assert folder.run() == [("analysis", second)]
    assert not folder.there(output.file_id)


def test_a_result_that_somebody_uploaded_too_stays_as_long_as_its_analysis(folder: Folder) -> None:
    folder.ask()
    analysis_id = folder.claim()
    output = folder.succeed(analysis_id, b"poses")
    folder.upload(b"poses", "poses.csv")
    folder.now += 60 * DAY
    assert folder.run() == []
    folder.now += 31 * DAY
    assert folder.run() == [("analysis", analysis_id), ("file", output.file_id)]


def test_an_output_that_went_into_another_analysis_outlives_its_own(folder: Folder) -> None:
    folder.ask()
    first = folder.claim()
    output = folder.succeed(first, b"labelled video")
    folder.now += 80 * DAY
    folder.ask(output.file_id)
    second = folder.claim()
    folder.succeed(second)
    folder.now += 11 * DAY
    assert folder.run() == [("analysis", first)]
    assert folder.there(output.file_id)
    folder.now += 30 * DAY
    assert folder.run() == [("file", output.file_id)]


def test_ages_of_zero_keep_everything(folder: Folder) -> None:
    folder.settings.expire_files_days = folder.settings.expire_analyses_days = 0
    folder.upload(b"mouse")
    folder.ask()
    folder.succeed(folder.claim())
    folder.now += 10_000 * DAY
    assert folder.plan() == []
    assert folder.run() == []


# -- when there is no room -------------------------------------------------------------------------------------------


def test_when_the_quota_is_exceeded_the_longest_unused_uploads_go(folder: Folder) -> None:
    oldest, older = folder.upload(b"a" * 600), folder.upload(b"b" * 500)
    folder.now += DAY
    new = folder.upload(b"c" * 400)
    folder.now += 0.5 * DAY
    folder.settings.store_quota_bytes = 1000
    (removal,) = folder.plan()
    assert removal.id == oldest.file_id
    assert removal.reason == "not used for 36 hours: the disk or the quota is full"
    assert folder.run() == [("file", oldest.file_id)]
    assert folder.there(older.file_id)
    assert folder.there(new.file_id)


def test_when_the_disk_is_nearly_full_unused_uploads_go(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder.upload(b"a" * 1000)
    folder.now += 2 * DAY
    folder.settings.min_free_bytes = 5000
    monkeypatch.setattr(
        "dlc_jupyter.storage.content.free_bytes", lambda _: 4500 if folder.there(file.file_id) else 5500
    )
    assert folder.run() == [("file", file.file_id)]


def test_nothing_is_sacrificed_where_that_would_not_do(folder: Folder) -> None:
    file = folder.upload(b"a" * 1000)
    folder.now += 2 * DAY
    folder.settings.min_free_bytes = free_bytes(folder.settings.root) * 1000
    assert folder.run() == []
    assert not make_room(folder.files, 10)
    assert folder.there(file.file_id)


def test_results_are_never_sacrificed(folder: Folder) -> None:
    folder.ask()
    output = folder.succeed(folder.claim(), b"p" * 1000)
    folder.now += 80 * DAY
    folder.settings.store_quota_bytes = 100
    assert folder.run() == []
    assert folder.there(output.file_id)


def test_an_upload_makes_room_for_itself_from_what_nobody_used(folder: Folder) -> None:
    old = folder.upload(b"a" * 800)
    folder.now += 2 * DAY
    folder.settings.store_quota_bytes = 1000
    assert make_room(folder.files, 500)
    assert not folder.there(old.file_id)


def test_what_was_used_today_makes_no_room(folder: Folder) -> None:
    file = folder.upload(b"a" * 800)
    folder.now += 0.5 * DAY
    folder.settings.store_quota_bytes = 1000
    assert not make_room(folder.files, 500)
    assert folder.there(file.file_id)


def test_evicting_can_be_turned_off(folder: Folder) -> None:
    folder.settings.evict_unused_hours = 0
    folder.settings.store_quota_bytes = 100
    file = folder.upload(b"a" * 100)
    folder.now += 20 * DAY
    assert not make_room(folder.files, 500)
    assert folder.run() == []
    assert folder.there(file.file_id)


def test_a_link_to_a_users_own_file_is_not_sacrificed_for_it_takes_no_room(folder: Folder, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    own.write_bytes(b"o" * 900)
    linked = folder.files.register(own, "own.mp4")
    if linked.linked_mtime_ns is None:
        pytest.skip("this file system shares blocks: nothing is linked")
    sent = folder.upload(b"s" * 900)
    folder.now += 2 * DAY
    folder.settings.store_quota_bytes = 1000
    assert make_room(folder.files, 500)
    assert folder.there(linked.file_id)
    assert not folder.there(sent.file_id)


def test_what_goes_by_its_age_is_not_counted_twice(folder: Folder) -> None:
    old, older = folder.upload(b"a" * 600), folder.upload(b"b" * 300)
    folder.now += 29 * DAY
    folder.upload(b"b" * 300, "used again.mp4")
    folder.now += 2 * DAY
    folder.settings.store_quota_bytes = 500
    assert [removal.id for removal in folder.plan()] == [old.file_id]
    assert folder.run() == [("file", old.file_id)]
    assert folder.there(older.file_id)


def test_a_file_that_is_used_between_the_look_and_the_removal_stays(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    folder.now += 31 * DAY
    (removal,) = folder.plan()
    folder.ask(file.file_id)
    assert not removal.remove()
    assert folder.there(file.file_id)


def test_an_upload_that_an_analysis_makes_between_the_look_and_the_removal_stays(folder: Folder) -> None:
    file = folder.upload(b"poses", "poses.csv")
    folder.now += 31 * DAY
    (removal,) = folder.plan()
    folder.ask()
    assert folder.succeed(folder.claim(), b"poses").file_id == file.file_id
    assert not removal.remove()
    assert folder.there(file.file_id)


# -- what crashes leave ----------------------------------------------------------------------------------------------


def test_an_upload_whose_writer_is_dead_goes_and_one_that_goes_on_stays(folder: Folder) -> None:
    going_on = folder.files.receive()
    going_on.append(b"half")
    dead = folder.files.incoming / ("0" * 32 + ".part")
    dead.write_bytes(b"half a video")
    os.utime(dead, (folder.now - 7200, folder.now - 7200))
    (removal,) = folder.plan()
    assert (removal.kind, removal.size, removal.reason) == ("upload", 12, "broke off 2 hours ago")
    assert folder.run() == [("upload", "0" * 32)]
    assert not dead.exists()
    going_on.append(b" and half")
    assert going_on.finish("whole.mp4").size == len(b"half and half")


def test_unfinished_uploads_go_when_nobody_went_on_with_them_for_long(folder: Folder) -> None:
    folder.settings.expire_uploads_hours = 48
    uploads = Uploads(folder.files)
    old, young = uploads.create("anna", "day 1.mp4", 100), uploads.create("anna", "day 2.mp4", 100)
    for upload, content in ((old, b"1234"), (young, b"12")):
        writer = uploads.open(upload.upload_id, "anna", 0, 4)
        writer.append(content)
        writer.commit()
    folder.now += 30 * HOUR
    writer = uploads.open(young.upload_id, "anna", 2, 1)
    writer.append(b"3")
    writer.commit()
    assert folder.plan() == []
    folder.now += 20 * HOUR
    (removal,) = folder.plan()
    assert (removal.kind, removal.id, removal.name, removal.size) == ("upload", old.upload_id, "day 1.mp4", 4)
    assert removal.reason == "unfinished, nothing has come for 2 days: they are kept for 48 hours"
    assert folder.run() == [("upload", old.upload_id)]
    assert [upload.offset for upload in uploads.unfinished("anna")] == [3]
    folder.settings.expire_uploads_hours = 0
    folder.now += 1000 * DAY
    assert folder.run() == []


def test_what_a_crash_has_left_of_an_upload_goes(folder: Folder) -> None:
    left = folder.files.unfinished / ("0" * 32 + ".part")
    left.write_bytes(b"half")
    kept = Uploads(folder.files).create("anna", "day 1.mp4", 100)
    (removal,) = folder.plan()
    assert (removal.kind, removal.id, removal.size) == ("remains", "0" * 32, 4)
    assert folder.run() == [("remains", "0" * 32)]
    assert [path.stem for path in folder.files.unfinished.iterdir()] == [kept.upload_id]


def test_scratch_folders_of_what_does_not_run_go(folder: Folder) -> None:
    running, queued = folder.ask(), folder.ask()
    assert folder.claim() == running
    ended = folder.ask()
    folder.records.cancel(ended, folder.now)
    unknown = "f" * 40
    for analysis_id in (queued, running, ended, unknown):
        (scratch_root(folder.settings.root) / analysis_id).mkdir(parents=True)
        (scratch_root(folder.settings.root) / analysis_id / "poses.h5").write_bytes(b"12345678")
    assert [removal.size for removal in folder.plan()] == [8, 8]
    assert sorted(folder.run()) == sorted([("remains", ended), ("remains", unknown)])
    assert {path.name for path in scratch_root(folder.settings.root).iterdir()} == {queued, running}


def test_a_staged_video_frees_nothing_because_the_store_has_it_too(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    scratch = scratch_root(folder.settings.root) / ("f" * 40)
    scratch.mkdir(parents=True)
    folder.files.stage(file.file_id, scratch / "video.mp4")
    (removal,) = folder.plan()
    assert (removal.kind, removal.size) == ("remains", 0)
    folder.run()
    assert folder.there(file.file_id)


def test_bytes_that_no_file_names_go(folder: Folder) -> None:
    file = folder.upload(b"mouse")
    nameless = folder.files.content / "ab" / ("c" * 38)
    nameless.parent.mkdir(exist_ok=True)
    nameless.write_bytes(b"123")
    (removal,) = folder.plan()
    assert (removal.kind, removal.id, removal.size) == ("remains", "ab" + "c" * 38, 3)
    assert folder.run() == [("remains", "ab" + "c" * 38)]
    assert not nameless.exists()
    assert folder.there(file.file_id)


def test_logs_of_analyses_that_are_gone_go_and_the_engines_own_stays(folder: Folder) -> None:
    kept = folder.log(folder.ask())
    gone = folder.log("f" * 40)
    engine = log_folder(folder.settings.root) / "engine.log"
    engine.write_text("ready\n")
    assert folder.run() == [("log", "f" * 40)]
    assert kept.exists()
    assert engine.exists()
    assert not gone.exists()


def test_the_worker_cleans_up_soon_after_its_start(
    settings: Settings, room: object, wait_until: Callable[..., object]
) -> None:
    dead = settings.root / "incoming" / ("0" * 32 + ".part")
    dead.write_bytes(b"half a video")
    room.start_worker()  # type: ignore[attr-defined]
    wait_until(lambda: not dead.exists())


def test_forgetting_an_analysis_takes_its_log_and_its_files_along(folder: Folder) -> None:
    folder.ask()
    analysis_id = folder.claim()
    output = folder.succeed(analysis_id)
    forget(folder.files, folder.records, analysis_id)
    assert not folder.there(output.file_id)
    assert not log_path(folder.settings.root, analysis_id).exists()
