"""Two servers on one data folder: one worker, and both see everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.servers import ALONE, EXTENSION, Family, Server, Site, alive, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("both"))
    yield site
    site.end()


@pytest.fixture
def pair(site: Site) -> list[Server]:
    """Two that live. The first two are started at the same moment, and both want to start the worker."""
    pair = [server for server in site.servers if alive(server.process)]
    pair += [site.begin(command) for command in (ALONE, EXTENSION)[len(pair) :]]
    return [server.wait() for server in pair]


def owner(site: Site, analysis_id: str) -> tuple[Family, Server]:
    """Return the processes of an analysis that holds, and the server whose worker runs it."""
    family = Family.of(site.wait_for("holds", analysis_id))
    return family, next(server for server in site.servers if server.process.pid == family.server.pid)


def test_both_see_what_was_sent_to_either_and_one_worker_does_it(site, pair, tmp_path):
    one, other = pair
    (tmp_path / "mouse.mp4").write_text("a mouse")
    file_id = one.client.upload(tmp_path / "mouse.mp4")
    assert [file["file_id"] for file in other.client.files()] == [file_id]

    asked = [server.client.run("alone", file_id) for server in (other, one, other, one)]
    for server in pair:
        assert [server.succeed(each)["attempt"] for each in asked] == [1] * 4
        assert {each["analysis_id"] for each in server.client.analyses()} == set(asked)
        assert server.client.result(asked[0]) == {"device": "cpu"}
    assert site.events(*asked) == [(event, each) for each in asked for event in ("begins", "ends")]
    wait_until(lambda: sum(len(server.workers()) for server in pair) == 1)
    wait_until(lambda: len({server.client.server()["worker"]["name"] for server in pair}) == 1, every=0.1)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_when_the_server_with_the_worker_is_gone_the_other_takes_over(site, pair, how):
    running, queued = pair[0].client.run("alone", hold=True), pair[1].client.run("alone")
    family, server = owner(site, running)
    [stays] = [each for each in pair if each is not server]
    wait_until(lambda: stays.workers() == [])  # the one that it has started finds the other one at work, and goes

    getattr(server, how)()

    assert stays.succeed(running)["attempt"] == 1
    assert stays.succeed(queued)["attempt"] == 1
    assert not any(map(alive, family))
    events = [("begins", running), ("holds", running), ("begins", running), ("ends", running)]
    assert site.events(running, queued) == [*events, ("begins", queued), ("ends", queued)]
    assert len(stays.workers()) == 1
