"""A server keeps one worker alive, leaves another server's alone, and takes its own with it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from dlc_jupyter.jobs import supervisor
from dlc_jupyter.jobs.lock import has_worker, worker_lock
from dlc_jupyter.jobs.record import State
from dlc_jupyter.jobs.supervisor import WorkerSupervisor


@pytest.fixture
def supervise(room, monkeypatch):
    for name, value in room.environment.items():
        monkeypatch.setenv(name, value)
    supervisors: list[WorkerSupervisor] = []

    def supervise() -> WorkerSupervisor:
        supervisors.append(WorkerSupervisor(room.settings, logging.getLogger("server")))
        supervisors[-1].start()
        return supervisors[-1]

    yield supervise
    for each in supervisors:
        each.stop_now()


def worker_pid(room) -> int:
    text = (room.settings.root / "worker.lock").read_text()
    return json.loads(text)["pid"] if text and has_worker(room.settings) else 0


def test_a_worker_is_started_and_ended_with_all_it_runs(room, supervise, alive, caplog):
    caplog.set_level(logging.INFO)
    supervised = supervise()
    analysis_id = room.ask("tree")
    pids = [*room.printed_pids(analysis_id), worker_pid(room)]
    assert all(map(alive, pids))
    asked = time.monotonic()
    asyncio.run(supervised.stop())
    assert time.monotonic() - asked < 5
    assert not any(map(alive, pids))
    assert room.engine_pids() == []
    assert room.record(analysis_id).state is State.QUEUED
    assert "The worker is at work" in caplog.text


def test_a_worker_that_dies_is_started_again(room, supervise, wait_until):
    supervise()
    analysis_id = room.ask("sleep", time=1)
    wait_until(lambda: room.record(analysis_id).state is State.RUNNING)
    first = worker_pid(room)
    os.kill(first, signal.SIGKILL)
    record = room.finished(analysis_id)
    assert (record.state, record.attempt) == (State.SUCCEEDED, 2)
    assert worker_pid(room) not in (0, first)


def test_two_servers_share_one_worker_and_the_second_takes_over(room, supervise, wait_until):
    first = supervise()
    room.finished(room.ask("sleep", time=0))
    pid = worker_pid(room)
    supervise()
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED
    assert worker_pid(room) == pid
    first.stop_now()
    assert room.finished(room.ask("sleep", time=0)).state is State.SUCCEEDED
    assert worker_pid(room) not in (0, pid)


def test_a_worker_that_will_not_stop_is_killed(room, supervise, alive, monkeypatch):
    monkeypatch.setattr(supervisor, "PATIENCE", 0.5)
    supervised = supervise()
    analysis_id = room.ask("tree")
    pids = [*room.printed_pids(analysis_id), worker_pid(room)]
    os.kill(worker_pid(room), signal.SIGSTOP)
    supervised.stop_now()
    assert not any(map(alive, pids))


def test_stopping_before_anything_has_begun(room, supervise):
    supervise().stop_now()
    assert not has_worker(room.settings)


def test_kill_9_of_the_server_leaves_nothing_behind(room, wait_until, alive):
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import logging, sys, time\n"
            "from dlc_jupyter.jobs.supervisor import WorkerSupervisor\n"
            "from dlc_jupyter.settings import Settings\n"
            "WorkerSupervisor(Settings.from_json(sys.stdin.readline()), logging.getLogger()).start()\n"
            "time.sleep(600)\n",
        ],
        stdin=subprocess.PIPE,
        env=os.environ | room.environment,
    )
    server.stdin.write(room.settings.to_json().encode() + b"\n")
    server.stdin.flush()
    analysis_id = room.ask("tree")
    pids = [*room.printed_pids(analysis_id), worker_pid(room)]
    server.kill()
    server.communicate()
    wait_until(lambda: not any(map(alive, pids)) and not room.engine_pids(), timeout=5)
    assert room.record(analysis_id).state is State.QUEUED


def test_the_lock_is_one_processs(settings):
    assert not has_worker(settings)
    with worker_lock(settings) as ours:
        assert ours
        assert has_worker(settings)
        with worker_lock(settings) as theirs:
            assert not theirs
    assert not has_worker(settings)


def test_log_lines_keep_their_level(settings, caplog):
    caplog.set_level(logging.DEBUG)
    supervised = WorkerSupervisor(settings, logging.getLogger("server"))
    supervised._pass_on("ERROR it went wrong")
    supervised._pass_on("Traceback (most recent call last):")
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", "worker: it went wrong"),
        ("WARNING", "worker: Traceback (most recent call last):"),
    ]
