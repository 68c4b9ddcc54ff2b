"""What outputs are called: after their video, each otherwise, and as before where they were there already."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dlc_jupyter.jobs.engine_child import with_relative_files
from dlc_jupyter.jobs.scratch import output_name
from dlc_jupyter.storage.names import clean_filename
from tests.jobs.conftest import POSES, output


@pytest.mark.parametrize(
    ("filenames", "name", "stored"),
    [
        (["day 1.mp4"], "videoDLC_Resnet50_mouse.h5", "day 1DLC_Resnet50_mouse.h5"),
        (["day 1.mp4"], "video_superanimal_bird.json", "day 1_superanimal_bird.json"),
        (["day.1.AVI"], "labeled.mp4", "day.1_labeled.mp4"),
        (["day 1.mp4"], "videos.csv", "day 1_videos.csv"),
        (["left.mp4", "right.mp4"], "video-2DLC_Resnet50_mouse.csv", "rightDLC_Resnet50_mouse.csv"),
        (["left.mp4", "right.mp4"], "points.csv", "points.csv"),
        (["stereo_params.pickle"], "calibration.toml", "calibration.toml"),
        (["ü" * 200 + ".mp4"], "labeled.mp4", "ü" * 60 + "_labeled.mp4"),
        (["録画" * 12 + ".mp4"], "videoDLC_Resnet50_mouse.h5", "録画" * 12 + "DLC_Resnet50_mouse.h5"),
        (["day.mp4", "Day.mp4", "night.mp4"], "video-2DLC_Resnet50_mouse.csv", "Day_2DLC_Resnet50_mouse.csv"),
        (["day.mp4", "Day.mp4", "night.mp4"], "video-3DLC_Resnet50_mouse.csv", "night_3DLC_Resnet50_mouse.csv"),
        ([], "sleep.csv", "sleep.csv"),
    ],
)
def test_outputs_are_called_after_their_video(scratch, ask, upload, files, filenames, name, stored):
    if not filenames:
        record = ask("sleep", time=0)
    else:
        given = [upload(each.encode(), each) for each in filenames]
        record = replace(ask("sleep", time=0), file_ids=tuple(given))
    order = scratch.prepare(record)
    assert [each["path"].rpartition("/")[2].partition(".")[0] for each in order.inputs] == (
        ["video"] if len(filenames) == 1 else [f"video-{number + 1}" for number in range(len(filenames))]
    )
    _, ids = scratch.store_outputs(order, {"a_file": output(order, name, "a")})
    assert files.find(ids[0]).filename == stored


@pytest.mark.parametrize("name", ["録画" * 40, "m" * 240, "é" * 119])
def test_the_outputs_of_a_video_of_a_long_name_have_all_different_names(name):
    scorer, inputs = (
        "videoDLC_Resnet50_mouseOct1shuffle1_snapshot_200",
        [{"path": "/s/video.mp4", "filename": f"{name}.mp4"}],
    )
    made = [scorer + each for each in (".h5", ".csv", "_meta.pickle", "_full.pickle", "_filtered.h5", "_filtered.csv")]
    made.append("video" + "DLC" * 70 + ".h5")
    stored = [clean_filename(output_name(each, inputs)) for each in made]
    assert [each[-20:] for each in stored] == [each[-20:] for each in made]
    assert len(set(stored)) == len(made)
    assert all(len(each.encode()) <= 255 for each in stored)


@pytest.mark.usefixtures("more")
def test_what_cameras_have_made_under_the_same_name_can_lie_in_one_folder(scratch, ask, upload, files):
    videos = [upload(content, "day.mp4") for content in (b"one", b"two")]
    order = scratch.prepare(ask("stereo", videos, model="tray"))
    made = {f"{number}_file": output(order, f"video-{number}DLC_R.h5", str(number)) for number in (1, 2)}
    _, ids = scratch.store_outputs(order, made)
    assert [files.find(each).filename for each in ids] == ["day_camera-1DLC_R.h5", "day_camera-2DLC_R.h5"]
    (other,) = [{"path": "/s/video-1.mp4", "filename": "day.mp4", "camera": "a/b"}]
    assert output_name("video-1DLC_R.h5", [other, {**other, "path": "/s/video-2.mp4"}]) == "day_a-bDLC_R.h5"


@pytest.mark.parametrize("filename", ["stereo_params.pkl", "calibration.txt", "cameras"])
@pytest.mark.usefixtures("more")
def test_what_is_made_of_a_calibration_keeps_its_name_however_that_ends(scratch, ask, upload, files, filename):
    order = scratch.prepare(ask("calibrate", [upload(b"cameras", filename)], method="import"))
    _, ids = scratch.store_outputs(order, {"calibration_file": output(order, "calibration.toml", "a")})
    assert files.find(ids[0]).filename == "calibration.toml"


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("links", ["hard", "symbolic"])
def test_poses_that_were_used_keep_the_name_that_they_have(scratch, ask, upload, files, make, links, monkeypatch):
    videos = [upload(content, "day.mp4") for content in (b"one", b"two")]
    _, ids = make("video", [videos[0]], POSES, model="mouse")
    files.add(named(files, ids["h5_file"], "dayDLC_R.h5"), "dayDLC_R.h5", origin="upload")
    if links == "symbolic":  # as on file systems without hard links
        monkeypatch.setattr(Path, "hardlink_to", no_hard_links)
    order = scratch.prepare(ask("stereo", videos, model="tray"))
    used = order.poses[0]["files"]["h5_file"]
    told = with_relative_files({"camera-1_h5_file": used}, Path(order.scratch), {used})
    stored, _ = scratch.store_outputs(order, told)
    assert stored == {"camera-1_h5_file": ids["h5_file"]}
    found = files.find(ids["h5_file"])
    assert found.filename == "dayDLC_R.h5"
    assert files.path(found.file_id).read_bytes() == b"poses"


def named(files, file_id, name):
    """Copy a stored file to be stored once more under another name."""
    return Path(shutil.copy(files.path(file_id), files.path(file_id).parent / name))


def no_hard_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")
