"""What users notice of the worker and the engine, with real processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from dlc_jupyter.jobs.lock import worker_prefix
from dlc_jupyter.jobs.queue import POLL
from dlc_jupyter.jobs.record import State
from dlc_jupyter.jobs.worker import LOCK_TAKEN
from dlc_jupyter.storage.database import workers


def test_an_analysis_runs_and_its_output_is_in_the_store(room):
    room.start_worker()
    analysis_id = room.ask("sleep", time=0.2)
    record = room.finished(analysis_id)
    assert record.state is State.SUCCEEDED
    assert record.result["sleep_time"] == 0.2
    assert room.files.path(record.result["csv_file"]).read_text().split() == ["sleep_time", "0.2"]
    assert room.records.outputs(analysis_id) == [record.result["csv_file"]]
    assert record.progress["done"] == record.progress["total"] == 0.2
    assert "sleep, attempt 1" in room.log(analysis_id)
    assert list((room.settings.root / "scratch").iterdir()) == []


def test_what_was_queued_while_no_worker_was_there_is_done(room):
    asked = [room.ask("sleep", time=0, ring=False) for _ in range(5)]
    room.start_worker()
    assert [room.finished(each).state for each in asked] == [State.SUCCEEDED] * 5
    order = sorted(asked, key=lambda each: room.record(each).started)
    assert order == asked


def test_an_analysis_whose_ring_was_lost_is_done_all_the_same(room):
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    assert room.finished(room.ask("sleep", time=0, ring=False), timeout=6).state is State.SUCCEEDED


def test_the_bell_wakes_an_idle_worker_long_before_it_would_look_by_itself(room):
    room.start_worker()
    waits = []
    for _ in range(5):
        room.finished(room.ask("sleep", time=0))
        asked = time.time()
        waits.append(room.finished(room.ask("sleep", time=0)).started - asked)
    assert sorted(waits)[2] < POLL / 2, waits


def test_it_runs_in_surroundings_of_its_own(room):
    room.start_worker()
    first = room.upload(b"one", "Maus 1.MOV").file_id
    second = room.upload(b"two", "../../etc/passwd").file_id
    result = room.finished(room.ask("surroundings", first, second)).result
    assert result == {
        "cwd_is_scratch": True,
        "environment": {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        "device": "cpu",
        "threads": 1,
        "inputs": ["video-1.mov", "video-2.mp4"],
        "names": [room.files.find(first).filename, room.files.find(second).filename],
        "content": ["one", "two"],
        "session_leader": True,
        "start_method": "spawn",
        "package_only": [],
    }


def test_whatever_is_printed_goes_to_the_log_and_never_into_the_result(room):
    room.start_worker()
    analysis_id = room.ask("talk")
    record = room.finished(analysis_id)
    assert record.result == {"stdin": "", "long": "y" * 200_000, "notes": ["x" * 200_000]}
    log = room.log(analysis_id)
    for line in ("by print", "by stderr", "forged", "by a child"):
        assert line in log


def test_outputs_and_notes_are_in_the_result(room):
    room.start_worker()
    analysis_id = room.ask("outputs")
    result = room.finished(analysis_id).result
    assert result["first_file"] == result["again_file"]
    assert room.files.path(result["second_file"]).read_text() == "the second"
    assert (result["none_file"], result["rows"], result["notes"]) == (None, 1, ["Frame 3 was empty."])
    assert next(iter(result)) == "notes", "what should be known is read first"
    assert room.records.outputs(analysis_id) == [result["first_file"], result["second_file"]]
    assert {each.origin for each in room.files.page(10, None)} == {analysis_id}


@pytest.mark.parametrize("how", [{"missing": True}, {"elsewhere": True}])
def test_a_missing_output_fails_and_leaves_nothing_in_the_store(room, how):
    room.start_worker()
    record = room.finished(room.ask("outputs", **how))
    assert record.state is State.FAILED
    assert record.error["type"] == "MissingOutput"
    assert "second_file" in record.error["message"]
    assert room.files.page(10, None) == []


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("refused", {"type": "TruncatedVideo", "message": "The video ends at frame 7.", "hint": "Send it again."}),
        ("error", {"type": "FileNotFoundError", "message": "no such thing: config.yaml"}),
        ("memory", {"type": "MemoryError"}),
        ("leave", {"type": "SystemExit"}),
        ("vanish", {"type": "EngineError"}),
        ("silence", {"type": "EngineError"}),
        ("nan", {"type": "ValueError"}),
    ],
)
def test_a_failure_is_explained_without_a_path_of_the_server(room, how, error):
    room.start_worker()
    record = room.finished(room.ask("wrong", how=how))
    assert (record.state, record.attempt) == (State.FAILED, 1)
    assert error.items() <= record.error.items()
    assert record.error["message"]
    assert record.error["hint"]
    assert str(room.settings.root) not in json.dumps(record.error)
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED


def test_the_traceback_is_in_the_log(room):
    room.start_worker()
    analysis_id = room.ask("wrong", how="error")
    room.finished(analysis_id)
    assert "Traceback" in room.log(analysis_id)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_is_killed_is_tried_again_and_fails_in_the_end(room, number):
    room.start_worker()
    analysis_id = room.ask("crash", number=int(number))
    record = room.finished(analysis_id)
    assert (record.state, record.attempt, record.error["type"]) == (State.FAILED, 3, "Killed")
    assert f"killed by signal {int(number)} three times" in record.error["message"]
    assert room.log(analysis_id).count("--- crash, attempt") == 3


def test_an_unknown_model_fails_with_the_reason(room):
    room.start_worker()
    video = room.upload(b"no video", "mouse.mp4").file_id
    record = room.finished(room.ask("video", video, model="nobody", save_as_csv=True))
    assert record.state is State.FAILED
    assert "nobody" in record.error["message"]


def test_cancel_ends_the_whole_tree_soon(room, alive):
    room.start_worker()
    analysis_id = room.ask("tree")
    pids = room.printed_pids(analysis_id)
    assert len(pids) == 5
    assert all(map(alive, pids))
    asked = time.monotonic()
    assert room.records.cancel(analysis_id, time.time()) is State.RUNNING
    assert room.finished(analysis_id).state is State.CANCELLED
    assert time.monotonic() - asked < 5.0  # as is promised
    assert not any(map(alive, pids))
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED


def test_cancel_ends_what_will_not_end_by_itself(room, alive):
    room.start_worker()
    analysis_id = room.ask("tree", stubborn=True)
    pids = room.printed_pids(analysis_id)
    asked = time.monotonic()
    room.records.cancel(analysis_id, time.time())
    assert room.finished(analysis_id).state is State.CANCELLED
    assert time.monotonic() - asked < 5.0
    assert not any(map(alive, pids))


def test_nothing_that_an_analysis_started_outlives_it(room, alive):
    room.start_worker()
    analysis_id = room.ask("tree", seconds=0)
    assert room.finished(analysis_id).state is State.SUCCEEDED
    assert not any(map(alive, room.printed_pids(analysis_id)))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, "stdin"])
def test_a_worker_that_stops_gives_its_analysis_back(room, how, alive):
    worker = room.start_worker()
    analysis_id = room.ask("tree")
    pids = room.printed_pids(analysis_id)
    asked = time.monotonic()
    if how == "stdin":
        worker.stdin.close()
    else:
        worker.send_signal(how)
        worker.send_signal(how)  # a second one must not lose anything
    assert worker.wait(5) == 0
    assert time.monotonic() - asked < 5
    record = room.record(analysis_id)
    assert (record.state, record.attempt, record.worker) == (State.QUEUED, 0, None)
    assert not any(map(alive, pids))
    assert room.engine_pids() == []


def test_a_worker_under_nohup_outlives_the_terminal(room):
    worker = room.start_worker(ignored=(signal.SIGHUP,))
    analysis_id = room.ask("sleep", time=0.5)
    room.running(analysis_id)
    worker.send_signal(signal.SIGHUP)
    assert room.finished(analysis_id).attempt == 1
    assert worker.poll() is None


def test_everything_told_to_stop_at_once_gives_the_analysis_back(room):
    """As a service manager does: every process gets the signal, in whichever order."""
    worker = room.start_worker()
    analysis_id = room.ask("sleep", time=600)
    child = room.running(analysis_id)
    for pid in (child, room.host_pid(), worker.pid):
        os.kill(pid, signal.SIGTERM)
    assert worker.wait(5) == 0
    assert (room.record(analysis_id).state, room.record(analysis_id).attempt) == (State.QUEUED, 0)


def test_cancelled_at_the_moment_of_stopping_is_cancelled(room):
    worker = room.start_worker()
    analysis_id = room.ask("sleep", time=600)
    room.running(analysis_id)
    room.records.cancel(analysis_id, time.time())
    worker.terminate()
    worker.wait(5)
    assert room.record(analysis_id).state is State.CANCELLED


def test_kill_9_of_the_analysis_tries_it_again(room):
    room.start_worker()
    analysis_id = room.ask("sleep", time=1)
    os.kill(room.running(analysis_id), signal.SIGKILL)
    record = room.finished(analysis_id)
    assert (record.state, record.attempt) == (State.SUCCEEDED, 2)


def test_kill_9_of_the_engine_host_leaves_nothing_behind_and_tries_it_again(room, alive, wait_until):
    room.start_worker()
    analysis_id = room.ask("tree", seconds=1)
    pids = room.printed_pids(analysis_id)
    host = room.host_pid()
    os.kill(host, signal.SIGKILL)
    wait_until(lambda: room.record(analysis_id).attempt == 2)
    assert not any(map(alive, pids))
    assert room.finished(analysis_id).state is State.SUCCEEDED
    assert room.host_pid() != host


def test_kill_9_of_the_worker_ends_everything_and_the_next_worker_takes_over(room, alive, wait_until):
    worker = room.start_worker()
    analysis_id = room.ask("tree", seconds=1)
    pids = room.printed_pids(analysis_id)
    worker.kill()
    worker.wait()
    wait_until(lambda: room.engine_pids() == [], timeout=5)
    assert not any(map(alive, pids))
    assert room.record(analysis_id).state is State.RUNNING  # nobody has noticed yet
    room.start_worker()
    record = room.finished(analysis_id)
    assert (record.state, record.attempt) == (State.SUCCEEDED, 2)


def test_kill_9_of_worker_host_and_analysis_together_leaves_nothing_once_a_worker_is_back(room, alive):
    worker = room.start_worker()
    analysis_id = room.ask("tree", seconds=0.5)
    pids = room.printed_pids(analysis_id)
    host = room.host_pid()
    for pid in (host, worker.pid):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    room.start_worker()
    assert room.finished(analysis_id).attempt == 2
    assert not any(map(alive, pids))


def test_a_worker_lost_too_often_fails_the_analysis(room, settings):
    settings.max_attempts = 1
    worker = room.start_worker()
    analysis_id = room.ask("sleep", time=600)
    room.running(analysis_id)
    worker.kill()
    worker.wait()
    room.start_worker()
    record = room.finished(analysis_id)
    assert (record.state, record.error["type"]) == (State.FAILED, "WorkerLost")


def test_the_analysis_of_a_worker_elsewhere_is_taken_back_when_its_lease_has_run_out(room):
    analysis_id = room.ask("sleep", time=0, ring=False)
    room.records.claim("elsewhere/abc/1", time.time() - 60, 30)
    room.start_worker()
    record = room.finished(analysis_id)
    assert (record.state, record.attempt) == (State.SUCCEEDED, 2)


def test_a_worker_that_has_lost_its_analysis_stops_it(room, alive, wait_until, database):
    room.start_worker()
    analysis_id = room.ask("sleep", time=600)
    child = room.running(analysis_id)
    room.records.recover(time.time(), 3, {}, worker_prefix=worker_prefix(room.settings))
    assert room.records.claim("elsewhere/abc/1", time.time(), 600).analysis_id == analysis_id
    wait_until(lambda: not alive(child), timeout=5)
    record = room.record(analysis_id)
    assert (record.state, record.worker) == (State.RUNNING, "elsewhere/abc/1")


def test_a_second_worker_finds_the_lock_taken(room):
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    assert room.start_worker().wait(10) == LOCK_TAKEN


def test_old_scratch_folders_go(room):
    old = room.settings.root / "scratch" / ("0" * 40)
    old.mkdir(parents=True)
    (old / "video.mp4").write_bytes(b"old")
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    assert not old.exists()


def test_a_damaged_queue_file_costs_nothing(room):
    analysis_id = room.ask("sleep", time=0, ring=False)
    (room.settings.root / "queue.db").write_bytes(b"this is no database" * 500)
    room.start_worker()
    assert room.finished(analysis_id).state is State.SUCCEEDED
    later = room.ask("sleep", time=0)
    assert room.finished(later).state is State.SUCCEEDED


def test_a_hostile_message_is_dropped(room):
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    with sqlite3.connect(room.settings.root / "queue.db") as queue:
        queue.execute(
            "insert into task (queue, data) values ('dlc', ?)", (b"\x80\x04cos\nsystem\n(S'touch /tmp/x'\ntR.",)
        )
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED


def test_the_worker_shows_itself_and_goes(room, database, wait_until):
    worker = room.start_worker()

    def shown():
        with database.read() as connection:
            return [row.status for row in connection.execute(sa.select(workers)) if row.name.startswith(prefix)]

    prefix = worker_prefix(room.settings)
    status = wait_until(lambda: [each for each in shown() if each["engine"]["state"] == "ready"])[0]
    assert status["pid"] == worker.pid
    assert status["engine"]["pid"] == room.host_pid()
    assert status["engine"]["problem"] is None
    assert status["engine"]["versions"]["dlc_jupyter"]
    analysis_id = room.ask("sleep", time=600)
    wait_until(lambda: [each for each in shown() if each["analysis_id"] == analysis_id and each["state"] == "running"])
    worker.terminate()
    worker.wait(5)
    assert shown() == []


# -- the engine --------------------------------------------------------------------------------------------------------


def test_an_engine_without_deeplabcut_runs_what_needs_no_model(room):
    room.environment["DLC_JUPYTER_PRELOAD"] = "no_such_module"
    room.start_worker()
    video = room.upload(b"no video", "mouse.mp4").file_id
    record = room.finished(room.ask("video", video, model="any"))
    assert record.state is State.FAILED
    assert record.error["type"] == "EngineUnavailable"
    assert "no_such_module cannot be imported" in record.error["message"]
    assert "pip install" in record.error["message"]
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED


def test_an_engine_python_that_is_not_there_is_a_clear_failure(room, settings):
    settings.engine_python = "/nowhere/python"
    room.start_worker()
    record = room.finished(room.ask("sleep", time=0))
    assert record.state is State.FAILED
    assert "engine_python" in record.error["message"]
    assert "/nowhere" not in json.dumps(record.error)


def test_what_was_mended_between_two_failures_costs_no_further_analysis(room, settings, tmp_path):
    """The engine's Python cannot start three times, while something is installed in it, and then it can."""
    python, starts = tmp_path / "python", tmp_path / "starts"
    python.write_text(
        f'#!/bin/sh\necho >> {starts}\n[ $(wc -l < {starts}) -gt 3 ] || exit 1\nexec {sys.executable} "$@"\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    settings.engine_python = str(python)
    first, second = (room.ask("sleep", time=0, ring=False) for _ in range(2))
    room.start_worker()
    assert room.finished(first).error["type"] == "EngineUnavailable"
    assert room.finished(second).state is State.SUCCEEDED


def test_the_log_of_an_engine_that_died_is_kept_beside_that_of_the_next(room, wait_until):
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    logs = room.settings.root / "logs"
    (logs / "engine.log").write_text("what it said at last")
    os.kill(room.host_pid(), signal.SIGKILL)
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED
    assert (logs / "engine-before.log").read_text() == "what it said at last"


def test_an_engine_that_cannot_start_is_a_clear_failure(room, settings, tmp_path):
    """A Python in which pydantic is missing, for example."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')  # without site-packages
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    settings.engine_python = str(python)
    room.start_worker()
    record = room.finished(room.ask("sleep", time=0))
    assert record.state is State.FAILED
    assert "No module named" in record.error["message"]


def test_the_engine_needs_this_package_from_its_own_folder_only(room, settings, tmp_path):
    """Another interpreter, which has pydantic but not dlc_jupyter, and nothing else from here."""
    import pydantic

    elsewhere = tmp_path / "site"
    elsewhere.mkdir()
    for package in Path(pydantic.__file__).parent.parent.iterdir():
        if package.name.lower().startswith(("pydantic", "typing_", "annotated_", "yaml", "_yaml")):
            (elsewhere / package.name).symlink_to(package)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHONPATH={elsewhere}\nexec {sys.executable} -S "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    settings.engine_python = str(python)
    room.start_worker()
    record = room.finished(room.ask("sleep", time=0))
    assert record.state is State.SUCCEEDED, record.error


def test_an_idle_engine_is_stopped_and_started_again_when_it_is_needed(room, settings, wait_until):
    settings.engine_idle_minutes = 0.5 / 60
    room.start_worker()
    room.finished(room.ask("sleep", time=0))
    wait_until(lambda: room.engine_pids() == [], timeout=10)
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED


def test_the_host_survives_whatever_is_sent_to_its_group(room):
    worker = room.start_worker()
    room.finished(room.ask("sleep", time=0))
    host = room.host_pid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(host, number)
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED
    assert room.host_pid() == host
    assert psutil.Process(host).ppid() == worker.pid


# -- the GPU -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_gpus(room, tmp_path):
    """A stand-in for nvidia-smi, so that the way to a GPU can be walked where there is none."""
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "0, GPU-aaaa, NVIDIA Trial, 1000"\necho "1, GPU-bbbb, NVIDIA Trial, 1000"\n')
    command.chmod(0o755)
    room.environment["PATH"] = f"{command.parent}:{os.environ['PATH']}"


@pytest.mark.usefixtures("two_gpus")
def test_an_analysis_sees_its_gpu_only_and_gives_it_back(room):
    room.start_worker()
    result = room.finished(room.ask("surroundings", device="cuda:1")).result
    assert (result["device"], result["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cuda:0", "GPU-bbbb")
    result = room.finished(room.ask("surroundings", device="cpu")).result
    assert (result["device"], result["environment"]["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
    tickets = [each for each in Path(room.settings.device_lock_dir).rglob("*") if each.is_file()]
    assert tickets == []


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_fails_the_analysis(room):
    room.start_worker()
    record = room.finished(room.ask("surroundings", device="cuda:7"))
    assert record.state is State.FAILED
    assert "cuda:7" in record.error["message"]


@pytest.mark.usefixtures("two_gpus")
def test_an_analysis_waits_queued_for_a_gpu_that_another_user_has(room, wait_until):
    from dlc_jupyter.jobs.devices import DeviceLock

    held = DeviceLock(room.settings.device_lock_dir, ["GPU-aaaa"]).acquire()
    worker = room.start_worker()
    first = room.ask("surroundings", device="cuda:0")
    second = room.ask("surroundings", device="cuda:0")
    queue = Path(room.settings.device_lock_dir) / "GPU-aaaa"
    wait_until(lambda: len(list(queue.iterdir())) == 2)
    assert room.record(first).state is State.QUEUED
    room.records.cancel(first, time.time())
    held.release()
    assert room.finished(second).state is State.SUCCEEDED

    held = DeviceLock(room.settings.device_lock_dir, ["GPU-aaaa"]).acquire()
    third = room.ask("surroundings", device="cuda:0")
    wait_until(lambda: len(list(queue.iterdir())) == 2)
    worker.terminate()
    assert worker.wait(5) == 0
    assert room.record(third).state is State.QUEUED
    assert len(list(queue.iterdir())) == 1
    held.release()


@pytest.mark.usefixtures("two_gpus")
def test_the_gpu_is_free_after_kill_9_of_the_worker(room, wait_until):
    from dlc_jupyter.jobs.devices import DeviceLock

    worker = room.start_worker()
    child = room.running(room.ask("surroundings", device="cuda:0", seconds=600))
    lock = DeviceLock(room.settings.device_lock_dir, ["GPU-aaaa"])
    os.kill(room.host_pid(), signal.SIGSTOP)  # so that the child stays when the worker is killed
    worker.kill()
    worker.wait()
    assert psutil.pid_exists(child)
    asked = iter(range(3))
    assert lock.acquire(lambda: next(asked, None) is None) is None, "taken while the analysis may still use it"
    for pid in room.engine_pids():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    ticket = lock.acquire(lambda: time.monotonic() > deadline)
    assert ticket is not None
    ticket.release()
