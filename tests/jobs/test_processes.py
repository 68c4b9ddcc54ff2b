"""Processes are found by the worker they belong to, wherever they have gone, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

import pytest

from dlc_jupyter.jobs import processes

SLEEP = ["sleep", "600"]


@pytest.fixture
def start():
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: str, command: list[str] = SLEEP, **how) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, env=os.environ | {processes.MARK: mark}, **how))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture
def worker():
    return f"host/{uuid.uuid4().hex}/"


def test_all_of_a_worker_are_ended_and_nobody_else(start, worker, wait_until):
    tree = start(worker + "1", ["sh", "-c", "setsid sleep 600 & sleep 600 & wait"])
    wait_until(lambda: len(processes.marked(worker)) == 3)
    other = start(worker + "2")
    wait_until(lambda: len(processes.marked(worker)) == 4)
    assert processes.end_marked(worker + "1") == 3
    tree.wait()
    assert processes.marked(worker) == [other.pid]
    assert processes.end_marked(worker) == 1
    assert other.wait() == -signal.SIGKILL
    assert processes.end_marked(worker) == 0


def test_one_never_ends_oneself(worker):
    code = f"import os; from dlc_jupyter.jobs import processes; processes.end_marked({worker!r}); print('alive')"
    env = os.environ | {processes.MARK: worker}
    assert subprocess.check_output([sys.executable, "-c", code], env=env) == b"alive\n"


def test_a_name_must_begin_so_not_merely_hold_it(start, worker, wait_until):
    mine = start(worker)
    wait_until(lambda: mine.pid in processes.marked(worker))
    assert mine.pid not in processes.marked(worker[1:])


def test_children_are_the_direct_ones(start, worker):
    mine = start(worker)
    assert mine.pid in processes.children(os.getpid())
    assert processes.children(mine.pid) == []
