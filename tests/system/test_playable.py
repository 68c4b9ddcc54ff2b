"""A video that no browser plays, made playable through the HTTP API; it is found again, and can be cancelled."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pose.videos import decode_pictures, ffmpeg
from tests.system.servers import Server, alive, wait_until

pytestmark = pytest.mark.system

MOTION = ["-c:v", "mjpeg", "-q:v", "3"]


def playback(server: Server, file_id: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{server.url}dlc/file/{file_id}/playback")
    request.add_header("Authorization", f"token {server.token}")
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_playable_video_is_made_once_and_named_beside_the_one_that_it_was_made_of(site, tmp_path: Path):
    client = (server := site.start()).client
    video = ffmpeg(["-f", "lavfi", "-i", "testsrc=s=161x120:r=25:d=2", *MOTION], tmp_path / "mouse.avi")
    file_id = client.upload(video)
    assert (before := playback(server, file_id))["play"] == "proxy"
    assert (before["playable_file"], before["timing"]) == (None, None)

    analysis_id = client.run("playable", file_id)
    result = client.wait(analysis_id)
    assert (result["made"], result["frames"], result["checked"], result["fps"]) == ("proxy", 50, 50, 25.0)
    assert str(client.run("playable", file_id)) != str(analysis_id)
    assert client.result(client.run("playable", file_id)) == result  # at once: nothing is made again

    after = playback(server, file_id)
    assert (after["playable_file"], after["frames"], after["codec"]) == (result["video_file"], 50, "mjpeg")
    assert after["timing"] == {"times": f"file/{file_id}/times"}
    made = playback(server, after["playable_file"])
    assert (made["play"], made["timing"]) == ("direct", {"regular": {"start": 0, "step": 3600, "timescale": 90_000}})
    client.download(after["playable_file"], tmp_path / "made.mp4")
    before_pictures, after_pictures = decode_pictures(video), decode_pictures(tmp_path / "made.mp4")
    assert after_pictures.shape == (50, 120, 162, 3)
    assert abs(before_pictures.astype(int) - after_pictures[:, :, :161]).mean((1, 2, 3)).max() < 9


def test_making_one_is_cancelled_and_ffmpeg_goes_with_it(site, tmp_path: Path):
    client = (server := site.start()).client
    source = ["-f", "lavfi", "-i", "testsrc2=s=640x480:r=60:d=60", "-c:v", "mjpeg", "-q:v", "8"]
    file_id = client.upload(ffmpeg(source, tmp_path / "long.avi"))
    analysis_id = client.run("playable", file_id)
    wait_until(lambda: (client.status(analysis_id)["progress"] or {}).get("done"))
    assert client.status(analysis_id)["progress"]["total"] == 2 * 3600
    assert playback(server, file_id)["making"] == str(analysis_id)
    mine = [each for each in psutil.Process(server.process.pid).children(recursive=True) if each.name() == "ffmpeg"]
    assert len(mine) == 1
    client.cancel(analysis_id)
    wait_until(lambda: client.status(analysis_id)["state"] == "cancelled" and not alive(mine[0]))
    assert (found := playback(server, file_id))["making"] is None
    assert found["playable_file"] is None
