"""One attempt, with a real engine and a real table: what becomes of the analysis when something else goes wrong."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dlc_jupyter import demo
from dlc_jupyter.analyses import base
from dlc_jupyter.analyses.base import POSE_FILES, registry
from dlc_jupyter.analyses.sleep import Sleep
from dlc_jupyter.jobs import processes
from dlc_jupyter.jobs.attempt import KEPT_POSES, Attempt, Place
from dlc_jupyter.jobs.cleanup import forget
from dlc_jupyter.jobs.engine_process import Engine
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.record import Record, State
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.jobs.scratch import Scratch
from dlc_jupyter.jobs.watch import Watch
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import poses
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.retention import DAY, expired_files
from tests.jobs.plugin.trial_analyses import Seen

WORKER = "attempts/"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    settings.models = {"mouse": str(tmp_path / "project")}
    return settings


@pytest.fixture
def requests(settings: Settings) -> Requests:
    return Requests(settings, Models(settings.models, ""))


@pytest.fixture
def scratch(settings: Settings, files: FileStore, records: Records, requests: Requests) -> Scratch:
    return Scratch(settings, files, records, Models(settings.models, ""), requests)


@pytest.fixture
def engine(
    settings: Settings, scratch: Scratch, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    engine = Engine(settings, WORKER, threads=1)
    engine.start()
    assert engine.wait(20.0)
    yield engine
    engine.close()


@pytest.fixture
def video(files: FileStore) -> str:
    incoming = files.receive()
    incoming.append(b"a video")
    return incoming.finish("mouse.mp4").file_id


Try = Callable[..., Record]


@pytest.fixture
def attempt(settings: Settings, records: Records, scratch: Scratch, requests: Requests, engine: Engine) -> Try:
    """Ask for an analysis and try it once; return what became of it."""

    def once(name: str, file_ids: Sequence[str] = (), **parameters: object) -> Record:
        asked = records.create(requests.prepare(name, parameters, file_ids), 1.0)
        record = records.claim(WORKER, time.time(), 30.0)
        assert record is not None
        assert record.analysis_id == asked.analysis_id
        assert engine.wait(20.0)
        Attempt(settings, records, scratch, requests, engine, WORKER, record, threading.Event()).perform(Place())
        return records.find(record.analysis_id)

    return once


def test_a_worker_that_errs_ends_what_it_has_started_and_the_next_analysis_is_none_the_worse(
    attempt: Try, engine: Engine, records: Records, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., object]
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the worker's own fault")

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "progress", broken)
        asked = attempt("sleep", time=600)
    assert (asked.state, asked.attempt) == (State.QUEUED, 1)
    wait_until(lambda: not processes.marked(WORKER) or engine.status()["state"] == "ready")
    records.cancel(asked.analysis_id, time.time())
    after = attempt("sleep", time=0)
    assert (after.state, after.attempt) == (State.SUCCEEDED, 1)


def test_an_error_of_the_worker_s_own_that_comes_each_time_is_a_failure_that_says_so(
    attempt: Try, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the worker's own fault")

    settings.max_attempts = 1
    monkeypatch.setattr(Watch, "progress", broken)
    failed = attempt("sleep", time=600)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error["type"] == "WorkerError"


def test_a_disk_that_is_full_before_the_first_line_of_the_log_is_called_so(
    attempt: Try, scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_analysis_id: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch, "log", full)
    failed = attempt("sleep", time=0)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert "no space left" in failed.error["message"]


@pytest.fixture
def reusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the smallest analysis be one whose result answers the same request again."""
    monkeypatch.setattr(Sleep, "reusable", True)


@pytest.mark.usefixtures("reusable")
def test_the_same_request_is_answered_with_the_same_result(attempt: Try, records: Records, requests: Requests) -> None:
    done = attempt("sleep", time=0)
    again = records.create(requests.prepare("sleep", {"time": 0}, []), 2.0)
    assert (again.state, again.result) == (State.SUCCEEDED, done.result)


@pytest.mark.usefixtures("reusable")
def test_a_result_made_by_another_deeplabcut_than_it_was_asked_of_answers_no_other_request(
    attempt: Try, engine: Engine, records: Records, requests: Requests
) -> None:
    engine.versions = {**engine.versions, "deeplabcut": "2.0.0"}
    assert attempt("sleep", time=0).state is State.SUCCEEDED
    assert records.create(requests.prepare("sleep", {"time": 0}, []), 2.0).state is State.QUEUED


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model ``mouse`` whose files can be changed, and an analysis that makes poses without looking."""
    shutil.copytree(demo.MODEL.parent, tmp_path / "project")
    known = {**registry(), "seen": Seen}
    monkeypatch.setattr(base, "registry", lambda: known)
    return tmp_path / "project"


@pytest.mark.parametrize("meta", [True, False])
def test_poses_in_a_result_are_there_for_others_where_all_files_are(
    attempt: Try, project: Path, records: Records, requests: Requests, video: str, meta: bool
) -> None:
    done = attempt("seen", [video], model="mouse", meta=meta)
    assert done.state is State.SUCCEEDED, done.error
    ((key, prefix),) = requests.keys(done, None).poses
    assert prefix == ""
    assert [record.analysis_id for record, _ in records.poses(key)] == ([done.analysis_id] if meta else [])


def test_what_was_made_before_is_given_to_the_analysis_that_starts_from_it(
    attempt: Try, project: Path, video: str
) -> None:
    first = attempt("seen", [video], model="mouse")
    assert first.result is not None
    assert (first.result["given"], first.result["earlier"]) == ([None], None)
    again = attempt("seen", [video], model="mouse", start_from_meta=True)
    assert again.result is not None
    contents = {field: f"{field} of {video}" for field in POSE_FILES}
    told = {"from": first.analysis_id, "contents": contents, "frames": 3}
    assert again.result["given"] == [{"kind": "Poses", **told}]
    assert again.result["earlier"] == {"kind": "Earlier", **told}
    other = attempt("seen", [video], model="mouse", start_from_meta=False)
    assert other.result is not None
    assert other.result["earlier"] is None


@pytest.mark.parametrize(
    ("then", "error"),
    [
        ("fail", {"type": "NoDrawing", "hint": f"Draw otherwise. {KEPT_POSES}"}),
        ("crash", {"type": "Killed"}),
    ],
)
def test_poses_that_were_there_when_an_analysis_failed_are_there_for_the_next_and_go_with_it(
    attempt: Try,
    project: Path,
    records: Records,
    requests: Requests,
    files: FileStore,
    settings: Settings,
    video: str,
    then: str,
    error: dict[str, str],
) -> None:
    settings.max_attempts = 1
    failed = attempt("seen", [video], model="mouse", then=then)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert {name: failed.error[name] for name in error} == error
    assert failed.error["hint"].endswith(KEPT_POSES)
    assert failed.result is not None
    made = {failed.result[field] for field in POSE_FILES}
    assert set(records.outputs(failed.analysis_id)) == made == {each.file_id for each in files.page()} - {video}
    assert [each.analysis_id for each in records.looking_at(video)] == [failed.analysis_id]
    again = attempt("seen", [video], model="mouse")
    assert again.result is not None
    contents = {field: f"{field} of {video}" for field in POSE_FILES}
    assert again.result["given"] == [
        {"kind": "Poses", "from": failed.analysis_id, "contents": contents, "frames": 3},
    ]
    records.delete(again.analysis_id)
    later = time.time() + 1000 * DAY
    assert {each.id for each in expired_files(files, later)} <= {video}, "a listed analysis has made them"
    forget(files, records, failed.analysis_id)
    assert [each.file_id for each in files.page()] == [video]
    ((key, _),) = requests.keys(again, None).poses
    assert records.poses(key) == []


def test_poses_that_were_there_when_an_analysis_was_cancelled_are_there_for_the_next(
    attempt: Try, project: Path, records: Records, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Watch.progress

    def cancel(self: Watch, event: Any) -> None:
        write(self, event)
        [running] = [each for each in records.page() if each.state is State.RUNNING]
        records.cancel(running.analysis_id, time.time())

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "progress", cancel)
        cancelled = attempt("seen", [video], model="mouse", then="wait")
    assert (cancelled.state, cancelled.error) == (State.CANCELLED, None)
    again = attempt("seen", [video], model="mouse")
    assert again.result is not None
    assert [each["from"] for each in again.result["given"]] == [cancelled.analysis_id]


@pytest.mark.parametrize("then", ["fail early", "wait early", "draw"])
def test_who_wants_poses_of_which_a_part_was_found_goes_on_with_those(
    attempt: Try,
    project: Path,
    scratch: Scratch,
    records: Records,
    requests: Requests,
    video: str,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
) -> None:
    prepare, write = scratch.prepare, Watch.progress

    def begun(record: Record, deeplabcut: str | None = None) -> Order:
        order = prepare(record, deeplabcut)
        poses = Path(order.scratch, "kept/poses")
        poses.mkdir(parents=True)
        (poses / "rows.log").write_text("a chunk")
        return order

    def cancel(self: Watch, event: Any) -> None:
        write(self, event)
        [running] = [each for each in records.page() if each.state is State.RUNNING]
        records.cancel(running.analysis_id, time.time())

    with monkeypatch.context() as patched:
        patched.setattr(scratch, "prepare", begun)
        patched.setattr(Watch, "progress", cancel)
        ended = attempt("seen", [video], model="mouse", then=then)
    again = records.create(requests.prepare("seen", {"model": "mouse"}, [video]), time.time())
    found = {path.name: path.read_text() for path in Path(prepare(again).scratch, "kept").rglob("*.log")}
    if then == "draw":
        assert (ended.state, found) == (State.SUCCEEDED, {}), "whose poses are whole"
    else:
        assert ended.state is {"fail early": State.FAILED, "wait early": State.CANCELLED}[then]
        assert found == {"rows.log": "a chunk"}


def test_poses_are_kept_where_the_result_cannot_be_stored_and_nothing_else_is(
    attempt: Try, project: Path, files: FileStore, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = files.add

    def full(path: Path, *arguments: Any, **keywords: Any) -> Any:
        if path.name == "drawn.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(path, *arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(files, "add", full)
        failed = attempt("seen", [video], model="mouse", then="draw")
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert "no space left" in failed.error["message"]
    assert failed.result is not None
    made = {failed.result[field] for field in POSE_FILES}
    assert {each.file_id for each in files.page()} == {video, *made}
    again = attempt("seen", [video], model="mouse")
    assert again.result is not None
    assert [each["from"] for each in again.result["given"]] == [failed.analysis_id]


def test_an_analysis_that_failed_before_it_had_poses_leaves_nothing(
    attempt: Try, project: Path, files: FileStore, video: str
) -> None:
    failed = attempt("seen", [video], model="mouse", then="fail early")
    assert (failed.state, failed.result) == (State.FAILED, None)
    assert [each.file_id for each in files.page()] == [video]


def test_neither_poses_nor_result_are_for_others_where_the_model_changes_meanwhile(
    attempt: Try,
    project: Path,
    records: Records,
    requests: Requests,
    scratch: Scratch,
    video: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare, snapshot = scratch.prepare, next(project.rglob("snapshot*.pt"))

    def trained_meanwhile(*arguments: Any) -> Any:
        order = prepare(*arguments)
        change.append(lambda: snapshot.write_bytes(b"trained longer"))
        return order

    change: list[Callable[[], object]] = []
    store = scratch.store_outputs

    def changed(*arguments: Any) -> Any:
        for each in change:
            each()
        return store(*arguments)

    monkeypatch.setattr(scratch, "prepare", trained_meanwhile)
    monkeypatch.setattr(scratch, "store_outputs", changed)
    before = requests.prepare("seen", {"model": "mouse"}, [video]).request_key
    done = attempt("seen", [video], model="mouse")
    assert done.state is State.SUCCEEDED
    assert done.request_key is None
    assert before is not None
    assert records.succeeded(before) is None
    with records.database.read() as connection:
        assert connection.execute(sa.select(poses)).all() == []


def test_a_model_that_is_gone_at_the_end_costs_no_result(
    attempt: Try, project: Path, scratch: Scratch, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = scratch.store_outputs

    def gone(*arguments: Any) -> Any:
        (project / "config.yaml").unlink()
        return store(*arguments)

    monkeypatch.setattr(scratch, "store_outputs", gone)
    done = attempt("seen", [video], model="mouse")
    assert (done.state, done.request_key) == (State.SUCCEEDED, None)


def test_another_version_installed_is_noticed_while_the_engine_runs(engine: Engine) -> None:
    assert not engine.outdated({"deeplabcut": engine.versions["deeplabcut"]})
    assert not engine.outdated({"deeplabcut": None})
    assert engine.outdated({"deeplabcut": "99.0"})


def test_a_cancel_while_the_result_is_being_stored_still_counts(
    attempt: Try, records: Records, scratch: Scratch, monkeypatch: pytest.MonkeyPatch, files: FileStore
) -> None:
    store = scratch.store_outputs

    def cancelled_meanwhile(order: object, result: object) -> object:
        stored = store(order, result)  # type: ignore[arg-type]
        [running] = [each for each in records.page() if each.state is State.RUNNING]
        assert records.cancel(running.analysis_id, time.time()) is State.RUNNING
        return stored

    monkeypatch.setattr(scratch, "store_outputs", cancelled_meanwhile)
    monkeypatch.setattr(Watch, "write_progress", lambda _self: None)
    assert attempt("sleep", time=0).state is State.CANCELLED
    assert files.page() == []
