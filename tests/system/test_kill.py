"""kill -9, in the middle of an analysis: none is lost, none runs twice at once, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter.jobs.record import State
from tests.system.servers import Family, Server, Site, alive, wait_until

pytestmark = pytest.mark.system

#: Who is killed, and which attempt succeeds. A worker that loses its server gives its analysis back: none is counted.
VICTIMS = {"analysis": 2, "engine": 2, "worker": 2, "server": 1}

ONCE = ["begins", "ends"]
TWICE = ["begins", "holds", "begins", "ends"]


def kill(victim: str, site: Site, analysis_id: str) -> Server:
    """Kill a process while the analysis holds, and wait until all below it are gone. Return the server that runs."""
    family = Family.of(site.wait_for("holds", analysis_id))
    getattr(family, victim).kill()
    wait_until(lambda: not any(map(alive, family.until(victim))))
    if victim != "server":
        return site.servers[-1]
    site.servers[-1].process.wait()
    record = site.record(analysis_id)
    assert (record.state, record.attempt, record.worker) == (State.QUEUED, 0, None)
    assert site.gpu_is_free()
    assert site.engine_pids() == []
    return site.start()


# -- what needs no DeepLabCut, on a GPU --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("bare"))
    site.add_gpu()
    yield site
    site.end()


@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_9_loses_no_analysis_and_repeats_none(bare, victim):
    server = bare.running()
    first, second = server.client.run("alone", hold=True), server.client.run("alone")
    bare.wait_for("holds", first)
    assert not bare.gpu_is_free()

    server = kill(victim, bare, first)

    assert server.succeed(first)["attempt"] == VICTIMS[victim]
    assert server.succeed(second)["attempt"] == 1
    assert server.client.result(first) == {"device": "cuda:0"}
    assert bare.events(first, second) == [(event, first) for event in TWICE] + [(event, second) for event in ONCE]
    wait_until(bare.gpu_is_free)


def test_kill_9_of_everything_at_once(bare):
    """As when the power fails: nobody is left to tidy up."""
    analysis_id = bare.running().client.run("alone", hold=True)
    family = Family.of(bare.wait_for("holds", analysis_id))
    for process in reversed(family):  # so that none of them sees another one die
        process.suspend()
    for process in family:
        process.kill()
    bare.servers[-1].process.wait()
    wait_until(lambda: not any(map(alive, family)))
    assert bare.record(analysis_id).state is State.RUNNING
    assert bare.gpu_is_free()
    assert bare.start().succeed(analysis_id)["attempt"] == 2
    assert [event for event, _ in bare.events(analysis_id)] == TWICE


# -- in the middle of a real video -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(studio: Site, clip: Path) -> dict[str, Any]:
    """The result of `video` where nobody is killed."""
    client = studio.running().client
    return client.wait(client.run("video", client.upload(clip), model="demo-mouse"))


@pytest.mark.deeplabcut
@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_9_in_the_middle_of_a_video_costs_no_frame(studio, undisturbed, clip, victim):
    client = studio.running().client
    analysis_id = client.run("alone-video", client.upload(clip), model="demo-mouse", hold_at=20)

    server = kill(victim, studio, analysis_id)

    assert server.succeed(analysis_id)["attempt"] == VICTIMS[victim]
    assert [event for event, _ in studio.events(analysis_id)] == TWICE
    result = server.client.result(analysis_id)
    assert result["csv_file"] == undisturbed["csv_file"], "not the same bytes"
    assert result["h5_file"] == undisturbed["h5_file"]
    assert result["frames"] == undisturbed["frames"]
    assert result["begun_at"] == 16, "the poses that there were are not made again, but for one chunk"
