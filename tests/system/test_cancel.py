"""Cancelled: within five seconds nothing of it is left, and the next one has its turn."""

from __future__ import annotations

import time

import psutil
import pytest

from dlc_jupyter.client import Client
from dlc_jupyter.errors import AnalysisFailed
from tests.system.conftest import FRAMES
from tests.system.servers import PROMISED, Family, alive, wait_until

pytestmark = pytest.mark.system


def cancel(client: Client, analysis_id: str, analysis: psutil.Process) -> None:
    """Cancel a running analysis, and see to it that its process is gone as soon as is promised."""
    asked = time.monotonic()
    client.cancel(analysis_id)
    wait_until(lambda: client.status(analysis_id)["state"] == "cancelled" and not alive(analysis))
    assert time.monotonic() - asked < PROMISED
    with pytest.raises(AnalysisFailed, match="was cancelled"):
        client.result(analysis_id)


def test_a_running_and_a_queued_analysis_are_cancelled(site):
    site.add_gpu()
    server = site.start()
    running, queued, last = (server.client.run("alone", hold=True) for _ in range(3))
    family = Family.of(site.wait_for("holds", running))

    server.client.cancel(queued)
    assert server.client.status(queued)["state"] == "cancelled"
    assert alive(family.analysis)
    cancel(server.client, running, family.analysis)

    site.wait_for("holds", last)
    assert site.events(queued) == []
    assert [each.analysis_id for each in site.diary() if each.event == "begins"] == [running, last]
    assert alive(family.engine), "it would have to be loaded anew"
    server.client.cancel(last)
    wait_until(site.gpu_is_free)


@pytest.mark.deeplabcut
def test_a_video_is_cancelled_in_the_middle_and_the_next_one_is_analysed(studio, clip):
    client = studio.running().client
    video = client.upload(clip)
    analysis_id = client.run("alone-video", video, model="demo-mouse", hold_at=20)
    family = Family.of(studio.wait_for("holds", analysis_id))
    wait_until(lambda: (client.status(analysis_id)["progress"] or {}).get("done") == 24)  # three batches
    assert client.status(analysis_id)["progress"]["total"] == FRAMES
    cancel(client, analysis_id, family.analysis)
    for fresh in (True, False):  # what is to run anew leaves it to the next one
        again = client.run("video", video, model="demo-mouse", save_as_csv=fresh, fresh=fresh)
        assert client.wait(again)["frames"] == FRAMES
        assert ("this one goes on with frame" in client.log(again)) is not fresh
    assert alive(family.engine)
