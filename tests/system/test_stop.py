"""A server stops and comes back: everything goes with it, nothing that was asked for is forgotten."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from dlc_jupyter.jobs.record import State
from tests.system.conftest import FRAMES
from tests.system.servers import ALONE, EXTENSION, PROMISED, Family, Site, alive, wait_until

pytestmark = pytest.mark.system

MANY, SOME = 100, 30


def stop(site: Site, analysis_id: str) -> None:
    """Stop the server in the middle of an analysis, and see that all is as promised."""
    family = Family.of(site.wait_for("holds", analysis_id))
    asked = time.monotonic()
    site.servers[-1].stop()
    assert time.monotonic() - asked < PROMISED
    assert not any(map(alive, family))
    assert site.engine_pids() == []
    assert "Traceback" not in site.servers[-1].log
    record = site.record(analysis_id)
    assert (record.state, record.attempt, record.worker) == (State.QUEUED, 0, None)


@pytest.mark.parametrize("command", [ALONE, EXTENSION], ids=["jupyter-dlc", "jupyter-server"])
def test_a_server_that_stops_takes_everything_with_it_and_goes_on_later(site, command):
    site.add_gpu()
    analysis_id = site.start(command).client.run("alone", hold=True)
    stop(site, analysis_id)
    assert site.gpu_is_free()
    assert site.start(command).succeed(analysis_id)["attempt"] == 1
    assert [event for event, _ in site.events(analysis_id)] == ["begins", "holds", "begins", "ends"]


@pytest.mark.deeplabcut
def test_a_server_that_stops_in_the_middle_of_a_video_analyses_it_later(studio, clip):
    client = studio.running().client
    analysis_id = client.run("alone-video", client.upload(clip), model="demo-mouse", hold_at=20)
    stop(studio, analysis_id)
    server = studio.start()
    assert server.succeed(analysis_id)["attempt"] == 1
    assert server.client.result(analysis_id)["frames"] == FRAMES


def ask_without_worker(site: Site, count: int, analysis: str, **parameters: Any) -> list[str]:
    """Queue analyses on a server that has no worker, and let the power fail."""
    site.options["start_worker"] = False
    server = site.start()
    asked = [server.client.run(analysis, **parameters) for _ in range(count)]
    assert {record["state"] for record in server.client.analyses()} == {"queued"}
    server.kill()
    site.options["start_worker"] = True
    return asked


def test_a_hundred_that_were_queued_all_run_in_their_order_and_none_twice(site):
    asked = ask_without_worker(site, MANY, "sleep", time=0)
    client = site.start().client
    wait_until(lambda: client.server()["queue"]["succeeded"] == MANY, every=0.1)
    records = {record["analysis_id"]: record for record in client.analyses()}
    assert sorted(asked, key=lambda each: records[each]["started"]) == asked
    assert {record["attempt"] for record in records.values()} == {1}
    assert {client.log(each).count("--- sleep, attempt") for each in asked} == {1}


def test_power_that_fails_while_the_queue_is_worked_off_costs_nothing(site):
    asked = ask_without_worker(site, SOME, "alone")
    site.start()
    wait_until(lambda: len(site.diary()) > SOME)
    site.servers[-1].kill()
    client = site.start().client
    wait_until(lambda: client.server()["queue"]["succeeded"] == SOME, every=0.1)
    diary = site.diary()
    assert list(dict.fromkeys(entry.analysis_id for entry in diary)) == asked, "not in their order"
    begun = Counter(entry.analysis_id for entry in diary if entry.event == "begins")
    assert sorted(begun.values())[:-1] == [1] * (SOME - 1), "only the one that ran when the power failed may run again"
    assert "meets" not in {entry.event for entry in diary}
