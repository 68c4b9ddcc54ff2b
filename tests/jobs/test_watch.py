"""A running analysis is watched over: its lease, its progress, a cancel, a loss."""

from __future__ import annotations

import threading
import time

import pytest

from dlc_jupyter.jobs.records import Request, State
from dlc_jupyter.jobs.watch import Pace, Watch


@pytest.fixture
def claimed(records):
    records.create(Request("sleep", {"time": 1}), time.time())
    return records.claim("me", time.time(), 30)


@pytest.fixture
def interrupted():
    return threading.Event()


@pytest.fixture
def watch(records, claimed, interrupted):
    with Watch(records, claimed, "me", 30, interrupted.set) as watch:
        yield watch


def test_rate_and_eta_of_the_last_seconds():
    pace = Pace()
    assert pace.update(0, 100, "frames", 0) == {"done": 0, "total": 100, "unit": "frames", "rate": None, "eta": None}
    assert pace.update(10, 100, "frames", 1) == {"done": 10, "total": 100, "unit": "frames", "rate": 10.0, "eta": 9.0}
    for second in range(2, 40):  # it becomes slower: 1 a second
        last = pace.update(8 + second, 100, "frames", second)
    assert last["rate"] == 1.0
    assert last["eta"] == 53.0


def test_no_eta_where_the_total_is_unknown_or_nothing_moves():
    pace = Pace()
    pace.update(0, None, "frames", 0)
    assert pace.update(5, None, "frames", 1) == {"done": 5, "total": None, "unit": "frames", "rate": 5.0, "eta": None}
    still = Pace()
    still.update(5, 10, "frames", 0)
    assert still.update(5, 10, "frames", 3)["eta"] is None


def test_another_part_of_the_work_begins_with_a_rate_of_its_own():
    pace = Pace()
    pace.update(0, 100, "frames", 0)
    pace.update(100, 100, "frames", 1)
    assert pace.update(0, 50, "frames", 2)["rate"] is None
    assert pace.update(5, 50, "frames", 3)["rate"] == 5.0


def test_progress_is_written(watch, records, claimed, wait_until):
    watch.progress({"done": 3, "total": 10, "unit": "frames"})
    progress = wait_until(lambda: records.find(claimed.analysis_id).progress)
    assert progress["done"] == 3
    watch.progress({"done": 10, "total": 10, "unit": "frames"})
    watch.write_progress()
    assert records.find(claimed.analysis_id).progress["done"] == 10


def test_a_cancel_is_heard_within_half_a_second(watch, records, claimed, interrupted):
    asked = time.monotonic()
    records.cancel(claimed.analysis_id, time.time())
    assert interrupted.wait(5)
    assert time.monotonic() - asked < 1.0
    assert watch.cancelled
    assert not watch.lost


def test_a_loss_is_heard(watch, records, claimed, interrupted):
    records.recover(time.time(), 3, {}, worker_prefix="me")
    assert interrupted.wait(5)
    assert watch.lost
    assert not watch.cancelled


def test_the_lease_is_renewed_for_as_long_as_it_lasts(records, claimed, wait_until):
    before = time.time()
    with Watch(records, claimed, "me", 3, lambda: None):
        wait_until(lambda: time.time() > before + 4)
        assert records.recover(time.time(), 3, {}) == []
    assert records.recover(time.time() + 3.1, 3, {})[0].analysis_id == claimed.analysis_id


def test_a_database_out_of_reach_for_as_long_as_the_lease_is_a_loss(records, claimed, interrupted, monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise OSError("no route to the database")

    monkeypatch.setattr(records, "heartbeat", unreachable)
    monkeypatch.setattr(records, "asked_to_cancel", unreachable)
    with Watch(records, claimed, "me", 1, interrupted.set) as watch:
        assert interrupted.wait(10)
        assert watch.lost
    assert records.find(claimed.analysis_id).state is State.RUNNING
