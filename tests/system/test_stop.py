"""A server stops and comes back: everything goes with it, nothing that was asked for is forgotten."""

from __future__ import annotations

import time

import pytest

from dlc_jupyter.jobs.record import State
from tests.system.conftest import FRAMES
from tests.system.servers import EXTENSION, LONG, PROMISED, Family, Site, alive, wait_until

pytestmark = pytest.mark.system

MANY = 100


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


def test_a_server_that_stops_takes_everything_with_it_and_goes_on_later(site):
    site.add_gpu()
    analysis_id = site.start(EXTENSION).client.run("alone", hold=True)
    stop(site, analysis_id)
    assert site.gpu_is_free()
    assert site.start().succeed(analysis_id)["attempt"] == 1  # by another kind of server, which is all the same
    assert [event for event, _ in site.events(analysis_id)] == ["begins", "holds", "begins", "ends"]


@pytest.mark.deeplabcut
def test_a_server_that_stops_in_the_middle_of_a_video_analyses_it_later(studio, clip):
    client = studio.running().client
    analysis_id = client.run("alone-video", client.upload(clip), model="demo-mouse", hold_at=20)
    wait_until(lambda: (client.status(analysis_id)["progress"] or {}).get("done"))
    stop(studio, analysis_id)
    waiting = studio.record(analysis_id).as_json()["progress"]
    assert (0 < waiting["done"] < FRAMES, waiting["total"], waiting["rate"]) == (True, FRAMES, None)
    server = studio.start()
    assert server.succeed(analysis_id)["attempt"] == 1
    assert "this one goes on with frame 16, counted from 0." in server.client.log(analysis_id)
    assert server.client.result(analysis_id)["frames"] == FRAMES


def test_a_hundred_that_were_queued_all_run_in_their_order_and_none_twice(site):
    """The power fails when all are queued, and once more when half of them are done."""
    site.options["start_worker"] = False
    server = site.start()
    asked = [server.client.run("sleep", time=0) for _ in range(MANY)]
    assert {record["state"] for record in server.client.analyses()} == {"queued"}
    server.kill()

    site.options["start_worker"] = True
    server = site.start()
    wait_until(lambda: server.client.status(asked[MANY // 2])["state"] == "succeeded")
    server.kill()

    client = site.start().client
    client.wait(asked[-1], timeout=LONG)
    records = {record["analysis_id"]: record for record in client.analyses()}
    assert {record["state"] for record in records.values()} == {"succeeded"}
    assert sorted(asked, key=lambda each: records[each]["started"]) == asked
    assert {record["attempt"] for record in records.values()} == {1}
    begun = sorted(client.log(each).count("--- sleep, attempt") for each in asked)
    assert begun[:-1] == [1] * (MANY - 1), "only the one that ran when the power failed may have begun again"
