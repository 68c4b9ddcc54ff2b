"""The main job, with curl: the demo video in, its poses and a labelled video out; and DeepLabCut itself beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dlc_jupyter import demo
from tests.system.servers import Site, wait_until
from tests.system.shell import Shell

pytestmark = [pytest.mark.system, pytest.mark.deeplabcut]

DIRECT = Path(__file__).with_name("direct.py")
#: Of the clip.
CROPPING = [20, 220, 10, 190]


class Direct:
    """DeepLabCut, called as its documentation says, in a process of its own that works while the server does.

    Both name the video ``video.mp4``: DeepLabCut writes that name into its results.
    """

    def __init__(self, folder: Path, clip: Path) -> None:
        shutil.copytree(demo.MODEL.parent, folder / "model")
        self.whole, self.cropped = folder / "whole", folder / "cropped"
        calls = []
        for place, video, options in ((self.whole, demo.VIDEO, {}), (self.cropped, clip, {"cropping": CROPPING})):
            place.mkdir()
            shutil.copy(video, place / "video.mp4")
            calls.append([str(folder / "model" / "config.yaml"), str(place / "video.mp4"), options])
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, DIRECT, json.dumps(calls)],
                env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._log = folder / "log"

    def made(self, place: Path, ending: str) -> Path:
        """Wait until DeepLabCut is done, and return the file that it wrote for a video."""
        assert self.process.wait(240) == 0, self._log.read_text()
        [found] = place.glob(f"video*{ending}")
        return found


@pytest.fixture(scope="module")
def deeplabcut(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Direct]:
    running = Direct(tmp_path_factory.mktemp("direct"), clip)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def shell(studio: Site, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(studio.running(), "", tmp_path_factory.mktemp("shell"))


def result(shell: Shell, asked: str, **values: str) -> dict[str, Any]:
    """Ask for an analysis, poll it, and return its result and, besides, its id."""
    analysis_id = json.loads(shell(asked, **values))["analysis_id"]
    poll = 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID -s -o result.json -w "%{http_code}"'
    answers = {wait_until(lambda: (found := shell(poll, ID=analysis_id)) != "202" and found, timeout=240, every=0.5)}
    found = json.loads((shell.folder / "result.json").read_text())
    assert answers == {"200"}, found
    return {**found, "analysis_id": analysis_id}


def fetch(shell: Shell, file_id: str, name: str) -> Path:
    shell('curl -H "Authorization: token $TOKEN" $URL/file/$ID -o $NAME', ID=file_id, NAME=name)
    return shell.folder / name


@pytest.fixture(scope="module")
def poses(shell: Shell, deeplabcut: Direct) -> dict[str, Any]:
    """The result of the demo video. `deeplabcut` is asked for so that it works at the same time."""
    uploaded = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F file=@openfield.mp4'))
    ask = 'curl -H "Authorization: token $TOKEN" $URL/analysis -F analysis=video -F model=demo-mouse -F file_id=$ID'
    return {**result(shell, ask, ID=uploaded["file_id"]), "file_id": uploaded["file_id"]}


def test_the_poses_of_the_demo_video_are_those_of_deeplabcut_value_for_value(shell, poses, deeplabcut):
    csv = fetch(shell, poses["csv_file"], "poses.csv")
    assert csv.read_bytes() == deeplabcut.made(deeplabcut.whole, ".csv").read_bytes()
    made = pd.read_hdf(fetch(shell, poses["h5_file"], "poses.h5"))
    expected = pd.read_hdf(deeplabcut.made(deeplabcut.whole, ".h5"))
    pd.testing.assert_frame_equal(made, expected, check_exact=True)
    assert len(made) == poses["frames"] == 600
    assert made.notna().all(axis=None)
    full = fetch(shell, poses["full_file"], "full.pickle")
    assert full.read_bytes() == deeplabcut.made(deeplabcut.whole, "_full.pickle").read_bytes()


def test_the_poses_of_a_part_of_the_picture_are_those_of_deeplabcut_too(shell, poses, clip, deeplabcut):
    shutil.copy(clip, shell.folder)
    file_id = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F file=@clip.mp4'))["file_id"]
    ask = 'curl -H "Authorization: token $TOKEN" $URL/analysis -d file_id=$ID -d analysis=video -d model=demo-mouse'
    made = result(shell, f"{ask} -d cropping={','.join(map(str, CROPPING))}", ID=file_id)
    csv = fetch(shell, made["csv_file"], "cropped.csv")
    assert csv.read_bytes() == deeplabcut.made(deeplabcut.cropped, ".csv").read_bytes()

    repeated = "".join(f" -d cropping={number}" for number in CROPPING)
    again = result(shell, f"{ask}{repeated}", ID=file_id)
    assert again["csv_file"] == made["csv_file"]
    records = shell('curl -H "Authorization: token $TOKEN" "$URL/analysis?limit=2"')
    assert [each["attempt"] for each in json.loads(records)] == [0, 1], "the same request has its result at once"


def probe(video: Path) -> dict[str, str]:
    """Return what ffprobe says of a video, having decoded all of it."""
    show = ["-select_streams", "v:0", "-count_frames", "-show_entries", "stream=codec_name,pix_fmt,nb_read_frames"]
    said = subprocess.run(
        ["ffprobe", "-v", "error", *show, "-of", "json", str(video)], check=True, capture_output=True
    ).stdout
    found: dict[str, str] = json.loads(said)["streams"][0]
    return found


def test_the_labelled_video_plays_in_every_browser_and_has_every_frame(shell, poses):
    ask = 'curl -H "Authorization: token $TOKEN" $URL/dlc/analysis'
    made = result(
        shell, f"{ask} -F analysis=label -F model=demo-mouse -F file_id=$ID -F draw_skeleton=true", ID=poses["file_id"]
    )
    assert made["poses_from"] == poses["analysis_id"], "the poses that there were"
    video = fetch(shell, made["video_file"], "labelled.mp4")
    assert probe(video) == {"codec_name": "h264", "pix_fmt": "yuv420p", "nb_read_frames": "600"}
    assert probe(demo.VIDEO)["nb_read_frames"] == "600"
    content = video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat"), "a browser would have to fetch it to the end first"


def test_the_server_says_what_it_has_and_does(shell, poses):
    status = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/status'))
    assert status["worker"]["alive"] is True
    assert status["engine"]["state"] == "ready"
    assert status["versions"]["deeplabcut"] == poses["deeplabcut_version"]
    [model] = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/model'))
    assert (model["name"], model["kind"], model["bodyparts"]) == ("demo-mouse", "2d", poses["bodyparts"])
