"""The engine with DeepLabCut in it, as users have it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dlc_jupyter.jobs.record import State

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def environment(environment):
    return {**environment, "DLC_JUPYTER_PRELOAD": "deeplabcut"}


def test_deeplabcut_is_imported_once_and_every_analysis_is_a_fork_of_that(room, settings):
    settings.threads = 2
    worker = room.start_worker()
    record = room.finished(room.ask("numbers"), timeout=120)  # torch, in a fork, on two threads
    assert record.result == {"threads": 2, "product": 600.0, "mixed": 27.0}

    host = room.host_pid()
    assert len(list(Path(f"/proc/{host}/task").iterdir())) == 1, "a host with threads cannot be forked safely"
    waits = []
    for _ in range(5):
        asked = time.monotonic()
        assert room.finished(room.ask("numbers")).state is State.SUCCEEDED
        waits.append(time.monotonic() - asked)
    assert sorted(waits)[2] < 1.0, waits
    assert room.host_pid() == host

    asked = time.monotonic()
    room.running(room.ask("sleep", time=600))
    worker.terminate()
    assert worker.wait(5) == 0
    assert time.monotonic() - asked < 5
    assert room.engine_pids() == []


def test_a_worker_stops_at_once_while_deeplabcut_is_being_imported(room, wait_until):
    worker = room.start_worker()
    wait_until(room.engine_pids)
    asked = time.monotonic()
    worker.terminate()
    assert worker.wait(5) == 0
    assert time.monotonic() - asked < 3
    assert room.engine_pids() == []


def test_kill_9_of_the_worker_while_deeplabcut_is_being_imported(room, wait_until):
    worker = room.start_worker()
    wait_until(room.engine_pids)
    wait_until(lambda: "torch" in Path(f"/proc/{room.host_pid()}/maps").read_text())
    worker.kill()
    worker.wait()
    wait_until(lambda: not room.engine_pids(), timeout=5)
