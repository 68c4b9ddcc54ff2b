"""Three dimensions, with curl: the demo's stereo recording becomes points in space and a 3D video; a rig calibrated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter import demo
from dlc_jupyter.demo import boards
from dlc_jupyter.demo.make import read_truth
from dlc_jupyter.demo.scene import BODYPARTS
from dlc_jupyter.demo.stereo import RIG
from tests.system.servers import Site
from tests.system.shell import Shell
from tests.system.test_video import fetch, probe, result

pytestmark = [pytest.mark.system, pytest.mark.deeplabcut]

ASK = 'curl -s -H "Authorization: token $TOKEN" $URL/analysis'
FRAMES = 240
#: From the cameras to what they look at, in mm.
DISTANCE = float(np.mean([np.linalg.norm(camera.centre) for camera in RIG.cameras]))
PICTURES = 12


@pytest.fixture(scope="module")
def shell(studio: Site, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(studio.running(), "", tmp_path_factory.mktemp("shell"))


def upload(shell: Shell, path: Path) -> str:
    shutil.copy(path, shell.folder)
    said = shell('curl -s -H "Authorization: token $TOKEN" $URL/file -F file=@$NAME', NAME=path.name)
    return str(json.loads(said)["file_id"])


@pytest.fixture(scope="module")
def videos(shell: Shell) -> dict[str, str]:
    one, two = (upload(shell, video) for video in demo.VIDEOS_3D)
    return {"ONE": one, "TWO": two}


@pytest.fixture(scope="module")
def points(shell: Shell, videos: dict[str, str]) -> dict[str, Any]:
    """What triangulate makes of the videos in the order of the cameras."""
    ask = f"{ASK} -F analysis=triangulate -F model=demo-mouse-3d -F file_id=$ONE -F file_id=$TWO"
    return result(shell, ask, **videos)


def positions(table: Path) -> np.ndarray:
    return pd.read_hdf(table).to_numpy().reshape(-1, len(BODYPARTS), 3)


def newest(shell: Shell) -> dict[str, Any]:
    record, *_ = json.loads(shell(ASK))
    return dict(record)


def test_the_body_parts_are_in_space_where_they_really_are(shell, points):
    found = positions(fetch(shell, points["h5_file"], "points.h5"))
    error = np.linalg.norm(found - read_truth(demo.TRUTH_3D, 3), axis=-1)
    assert found.shape == (FRAMES, len(BODYPARTS), 3)
    assert np.nanmedian(error) < 0.01 * DISTANCE
    assert points["found"] > 0.9
    assert points["reprojection_error"]["median"] < 2
    assert (points["frames"], points["unit"], points["warnings"]) == (FRAMES, "mm", [])
    rows = fetch(shell, points["csv_file"], "points.csv").read_text().splitlines()
    assert len(rows) == FRAMES + 3
    quality = pd.read_hdf(fetch(shell, points["quality_file"], "quality.h5"))
    assert len(quality) == FRAMES


def test_videos_given_by_camera_are_the_same_request_in_any_order(shell, videos, points):
    ask = f"{ASK} -F analysis=triangulate -F model=demo-mouse-3d"
    by_camera = """ -F "cameras={\\"camera-2\\": \\"$TWO\\", \\"camera-1\\": \\"$ONE\\"}" """
    again = result(shell, ask + by_camera, **videos)
    assert again["h5_file"] == points["h5_file"]
    assert newest(shell)["attempt"] == 0, "it has its result at once"


def test_the_2d_poses_of_each_camera_are_there_for_others(shell, videos, points):
    ask = f"{ASK} -F analysis=label -F model=demo-mouse -F file_id=$TWO"
    labelled = result(shell, ask, **videos)
    assert labelled["poses_from"], "those of the second camera"
    shell('curl -s -H "Authorization: token $TOKEN" "$URL/file/$TWO/poses?start=0" -o compact', **videos)
    content = (shell.folder / "compact").read_bytes()
    header = json.loads(content[12 : 12 + int.from_bytes(content[8:12], "little")])
    assert header["frames"] == FRAMES


def test_the_3d_video_has_every_frame_and_plays_in_every_browser(shell, videos, points):
    ask = f"{ASK} -F analysis=label_3d -F model=demo-mouse-3d -F file_id=$ONE -F file_id=$TWO -F trailpoints=10"
    made = result(shell, ask, **videos)
    assert made["points_from"], "the points that there were"
    video = fetch(shell, made["video_file"], "labeled_3d.mp4")
    assert probe(video) == {"codec_name": "h264", "pix_fmt": "yuv420p", "nb_read_frames": str(FRAMES)}
    assert (made["frames"], made["width"], made["height"], made["fps"]) == (FRAMES, 1920, 1080, 30.0)
    content = video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat"), "a browser would have to fetch it to the end first"


def test_cameras_are_calibrated_become_a_model_and_find_the_same_points(shell, videos, points, tmp_path):
    boards.write(tmp_path, PICTURES)
    cameras = {camera: [upload(shell, path) for path in sorted(tmp_path.glob(f"{camera}-*"))] for camera in RIG.names}
    asked = f'{ASK} -F analysis=calibrate -F columns=8 -F rows=5 -F square=30 -F unit=mm -F "cameras=$CAMERAS"'
    calibrated = result(shell, asked, CAMERAS=json.dumps(cameras))
    assert calibrated["error"] < 0.1
    assert fetch(shell, calibrated["camera-2_picture_file"], "camera-2.png").read_bytes()[:4] == b"\x89PNG"
    made = json.loads(
        shell(
            'curl -s -H "Authorization: token $TOKEN" $URL/model '
            "-d name=my-rig -d calibration=$ID -d models=demo-mouse",
            ID=calibrated["calibration_file"],
        )
    )
    assert (made["kind"], made["cameras"], made["problem"]) == ("3d", list(RIG.names), None)
    assert made["calibration"]["error"] == pytest.approx(calibrated["error"], abs=1e-3)
    ask = f"{ASK} -F analysis=triangulate -F model=my-rig -F file_id=$ONE -F file_id=$TWO"
    own = result(shell, ask, **videos)
    origins = [each["poses_from"] for each in own["provenance"]["cameras"].values()]
    assert all(origins), "the 2D poses are those that there were"
    truth = RIG.cameras[0].seen(read_truth(demo.TRUTH_3D, 3))  # the scene's axes are the first camera's
    error = np.linalg.norm(positions(fetch(shell, own["h5_file"], "own.h5")) - truth, axis=-1)
    assert np.nanmedian(error) < 0.01 * DISTANCE
    shell('curl -s -f -H "Authorization: token $TOKEN" $URL/model/my-rig -X DELETE')


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ("-F file_id=$ONE -F file_id=$ONE", "same-file-twice", "for camera-1 and camera-2"),
        ("-F file_id=$ONE", "wrong-number-of-files", "in the order camera-1, camera-2"),
        ("", "missing-file", "in the order camera-1, camera-2"),
        (' -F \'cameras={"camera-1": "%ONE", "top": "%TWO"}\'', "unknown-camera", "no camera top"),
        (' -F \'cameras={"camera-1": "%ONE"}\'', "missing-camera", "no file for camera-2"),
        (' -F \'cameras={"camera-1": "%ONE"}\' -F file_id=$TWO', "cameras-and-file-id", "not as both"),
        ("-F file_id=$ONE -F file_id=$TWO -F model=demo-mouse", "wrong-model-kind", "needs a 3D one"),
        ("-F file_id=$ONE -F file_id=$TWO -F min_cameras=3", "bad-parameters", "min_cameras"),
    ],
)
@pytest.mark.parametrize("analysis", ["triangulate", "label_3d"])
def test_what_cannot_be_meant_is_refused_at_once(shell, videos, analysis, fields, reason, says):
    for name, file_id in videos.items():
        fields = fields.replace(f"%{name}", file_id)
    model = "" if "model=" in fields else " -F model=demo-mouse-3d"
    before = newest(shell)["analysis_id"]
    said = shell(f"{ASK} -F analysis={analysis}{model} {fields}", **videos)
    assert json.loads(said)["reason"] == reason
    assert says in said
    assert newest(shell)["analysis_id"] == before


def test_the_model_is_listed_with_its_cameras_and_its_calibration(shell):
    models = json.loads(shell('curl -s -H "Authorization: token $TOKEN" $URL/model'))
    [model] = [each for each in models if each["name"] == "demo-mouse-3d"]
    assert (model["kind"], model["cameras"], model["bodyparts"]) == ("3d", list(RIG.names), list(BODYPARTS))
    assert model["calibration"] == {"error": 0.0, "unit": "mm", "source": RIG.source}
