"""The main job, with curl: the demo video in, its poses and a labelled video out; and DeepLabCut itself beside it."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter import demo
from tests.pose.test_tracks import assert_same
from tests.system.conftest import CROPPING
from tests.system.servers import Site, wait_until
from tests.system.shell import Shell

pytestmark = [pytest.mark.system, pytest.mark.deeplabcut]


@pytest.fixture(scope="module")
def shell(studio: Site, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(studio.running(), "", tmp_path_factory.mktemp("shell"))


def result(shell: Shell, asked: str, **values: str) -> dict[str, Any]:
    """Ask for an analysis, poll it until it has succeeded, and return its result."""
    analysis_id = json.loads(shell(asked, **values))["analysis_id"]
    poll = 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID -o result.json -w "%{http_code}"'
    code = wait_until(lambda: (found := shell(poll, ID=analysis_id)) != "202" and found, timeout=280, every=0.2)
    found: dict[str, Any] = json.loads((shell.folder / "result.json").read_text())
    assert code == "200", found
    return found


def fetch(shell: Shell, file_id: str, name: str) -> Path:
    shell('curl -H "Authorization: token $TOKEN" $URL/file/$ID -o $NAME', ID=file_id, NAME=name)
    return shell.folder / name


@pytest.fixture(scope="module")
def video(shell: Shell) -> str:
    uploaded = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F file=@openfield.mp4'))
    return str(uploaded["file_id"])


@pytest.fixture(scope="module")
def poses(shell: Shell, video: str) -> dict[str, Any]:
    """The result of the demo video: at once where another test has asked for the same."""
    ask = 'curl -H "Authorization: token $TOKEN" $URL/analysis -F analysis=video -F model=demo-mouse -F file_id=$ID'
    return result(shell, ask, ID=video)


def test_the_poses_of_the_demo_video_are_those_of_deeplabcut_value_for_value(shell, poses, direct):
    csv = fetch(shell, poses["csv_file"], "poses.csv")
    assert csv.read_bytes() == direct.made("whole", ".csv").read_bytes()
    made = pd.read_hdf(fetch(shell, poses["h5_file"], "poses.h5"))
    pd.testing.assert_frame_equal(made, pd.read_hdf(direct.made("whole", ".h5")), check_exact=True)
    assert len(made) == poses["frames"] == 600
    assert made.notna().all(axis=None)
    full = fetch(shell, poses["full_file"], "full.pickle")
    theirs = direct.made("whole", "_full.pickle")
    assert_same(pickle.loads(full.read_bytes()), pickle.loads(theirs.read_bytes()))


def test_the_poses_in_compact_form_are_the_same(shell, poses, video):
    shell('curl -H "Authorization: token $TOKEN" "$URL/file/$ID/poses?start=500" -o compact', ID=video)
    content = (shell.folder / "compact").read_bytes()
    length = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + length])
    assert (header["start"], header["count"], header["frames"], header["state"]) == (500, 100, 600, "succeeded")
    made = pd.read_hdf(fetch(shell, poses["h5_file"], "poses.h5"))
    numbers = np.frombuffer(content, "<f4", offset=12 + length).reshape(100, -1)
    assert np.array_equal(numbers, made.to_numpy()[500:])
    assert [part for _animal, part in header["points"]] == made.columns.get_level_values("bodyparts")[::3].tolist()


def test_what_the_video_holds_is_shown_with_the_file(shell, poses, video):
    listed = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file'))
    facts = next(each["media"] for each in listed if each["file_id"] == video)
    assert poses["provenance"]["video"] == {"file_id": video, "filename": "openfield.mp4", **facts}
    assert (facts["codec"], facts["frames"], facts["duration"], facts["missing"]) == ("h264", 600, 20.0, None)


def test_the_poses_of_a_part_of_the_picture_are_those_of_deeplabcut_too(shell, clip, direct):
    shutil.copy(clip, shell.folder)
    file_id = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F file=@clip.mp4'))["file_id"]
    ask = 'curl -H "Authorization: token $TOKEN" $URL/analysis -d file_id=$ID -d analysis=video -d model=demo-mouse'
    made = result(shell, f"{ask} -d cropping={','.join(map(str, CROPPING))}", ID=file_id)
    csv = fetch(shell, made["csv_file"], "cropped.csv")
    assert csv.read_bytes() == direct.made("cropped", ".csv").read_bytes()

    repeated = "".join(f" -d cropping={number}" for number in CROPPING)
    assert result(shell, f"{ask}{repeated}", ID=file_id)["csv_file"] == made["csv_file"]
    newest, *_ = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/analysis'))
    assert newest["attempt"] == 0, "the same request has its result at once"


def probe(video: Path) -> dict[str, str]:
    """Return what ffprobe says of a video, having decoded all of it."""
    show = ["-select_streams", "v:0", "-count_frames", "-show_entries", "stream=codec_name,pix_fmt,nb_read_frames"]
    command = ["ffprobe", "-v", "error", *show, "-of", "json", str(video)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found: dict[str, str] = said["streams"][0]
    return found


def test_the_labelled_video_plays_in_every_browser_and_has_every_frame(shell, video, poses):
    ask = 'curl -H "Authorization: token $TOKEN" $URL/dlc/analysis -F analysis=label -F model=demo-mouse'
    made = result(shell, f"{ask} -F file_id=$ID -F draw_skeleton=true -F trailpoints=5", ID=video)
    assert made["poses_from"], "the poses that there were"
    labelled = fetch(shell, made["video_file"], "labelled.mp4")
    assert probe(labelled) == {"codec_name": "h264", "pix_fmt": "yuv420p", "nb_read_frames": "600"}
    assert probe(demo.VIDEO)["nb_read_frames"] == "600"
    content = labelled.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat"), "a browser would have to fetch it to the end first"


def test_the_server_says_what_it_has(shell, poses):
    status = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/status'))
    assert (status["worker"]["alive"], status["engine"]["state"]) == (True, "ready")
    assert status["versions"]["deeplabcut"] == poses["deeplabcut_version"]
    models = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/model'))
    assert [(model["name"], model["kind"]) for model in models] == [("demo-mouse", "2d"), ("demo-mouse-3d", "3d")]
    assert models[0]["bodyparts"] == poses["bodyparts"]
