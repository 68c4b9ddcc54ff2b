"""`triangulate` where something is wrong with the recording, the poses or the project."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from dlc_jupyter.errors import BadRequest
from tests.analyses.recordings import CAMERAS, FRAMES, clips, exact, fails, points, project_3d, truth
from tests.pose.videos import cut_open, ffmpeg

pytestmark = pytest.mark.deeplabcut


def test_videos_of_different_length_are_refused_naming_both_or_cut_to_the_shorter(quick, walk, tmp_path) -> None:
    shorter = {**walk, "camera-2": clips(tmp_path, frames=FRAMES - 4)[1]}
    poses = exact(tmp_path / "given", (FRAMES, FRAMES - 4))
    failed = fails(quick, shorter, poses)
    assert failed.kind == "LengthMismatch"
    assert "camera-1 has 24 frames, camera-2 has 20" in failed.message
    assert "on_length_mismatch=truncate" in failed.hint
    ran = quick(shorter, poses, on_length_mismatch="truncate")
    assert ran.result["frames"] == len(pd.read_hdf(ran.result["h5_file"])) == FRAMES - 4
    [note] = ran.notes
    assert note.startswith("The videos are of different length (camera-1 has 24, camera-2 has 20 frames)")
    # It began four frames later: then the lengths are as they should be.
    late = quick(shorter, poses, frame_offset={"camera-2": -4}).result
    assert late["frames"] == len(pd.read_hdf(late["h5_file"])) == FRAMES


def test_videos_of_different_rate_are_refused_naming_both(quick, walk, tmp_path) -> None:
    slower = ffmpeg(["-r", "25", "-i", str(walk["camera-2"]), "-c:v", "libx264", "-crf", "18"], tmp_path / "slow.mp4")
    failed = fails(quick, {**walk, "camera-2": slower})
    assert failed.kind == "RateMismatch"
    assert "camera-1 has 30 frames a second, camera-2 has 25" in failed.message
    [note] = quick({**walk, "camera-2": slower}, on_length_mismatch="truncate").notes
    assert note.startswith(failed.message)


def test_a_late_video_is_told_and_mended_by_a_frame_offset(run_several, tmp_path) -> None:
    frames, late = 100, 3
    start = (0, late)  # the second camera began later
    videos = dict(zip(CAMERAS, clips(tmp_path, frames, start), strict=True))
    poses = exact(tmp_path / "given", (frames, frames), start)
    wanted = {"poses": poses, "filterpredictions": False}
    wrong = run_several("triangulate", videos, **wanted)
    [warning] = wrong.result["warnings"]
    assert (warning["kind"], warning["cameras"], warning["frames"]) == ("out-of-sync", ("camera-2",), -late)
    assert wrong.notes == [warning["message"]]
    assert "out of sync by about 3 frames" in warning["message"]
    right = run_several("triangulate", videos, frame_offset={"camera-2": -late}, **wanted)
    [note] = right.notes
    assert note.startswith("There are no points before frame 3 of the scene: with this frame_offset fewer than 2 ")
    assert right.result["frames"] == frames, "row i is frame i of the camera that began first"
    found = points(right.result["h5_file"])
    assert np.isnan(found[:late]).all()
    np.testing.assert_allclose(found[late:], truth()[late:frames], atol=1e-3)
    assert right.result["frame_offset"] == {"camera-1": 0, "camera-2": -late}


def test_swapped_videos_are_told(run_several, tmp_path) -> None:
    videos = dict(zip(CAMERAS, clips(tmp_path, 100)[::-1], strict=True))
    poses = exact(tmp_path / "given", (100, 100))[::-1]
    ran = run_several("triangulate", videos, poses=poses, filterpredictions=False)
    [warning] = ran.result["warnings"]
    assert (warning["kind"], warning["cameras"]) == ("swapped", CAMERAS)
    assert ran.notes == [warning["message"]]
    assert ran.notes[0].startswith("The videos of camera-1 and camera-2 may be swapped")


def test_the_same_poses_of_both_cameras_and_poses_of_nan_are_refused(quick, tmp_path) -> None:
    poses = exact(tmp_path / "given")
    assert fails(quick, poses=[poses[0], poses[0]]).kind == "SamePoses"
    nothing = pd.read_hdf(poses[0].files["h5_file"]) * np.nan
    for each in poses:
        nothing.to_hdf(each.files["h5_file"], key="df_with_missing", format="table", mode="w")
    assert fails(quick, poses=poses).kind == "NoPoses"


def test_a_video_of_another_size_than_the_calibrated_camera_is_refused(quick, walk, tmp_path) -> None:
    small = ffmpeg(["-i", str(walk["camera-2"]), "-vf", "scale=320:240"], tmp_path / "small.mp4")
    failed = fails(quick, {**walk, "camera-2": small})
    assert failed.kind == "SizeMismatch"
    assert "camera-2 has 320 x 240 pixels, but it had 640 x 480" in failed.message


def test_a_video_without_its_first_frames_is_refused(quick, walk, tmp_path) -> None:
    cut, leading, _ = cut_open(tmp_path / "cut.mp4")
    failed = fails(quick, {**walk, "camera-2": cut})
    assert failed.kind == "VideoDamaged"
    assert f"camera-2 begins with {leading} frames that cannot be decoded" in failed.message


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(quick, tmp_path) -> None:
    config = project_3d(tmp_path)
    (config.parent / "calibration.toml").unlink()
    proof = tmp_path / "it-ran"
    stereo = config.parent / "camera_matrix" / "stereo_params.pickle"
    code = b"cos\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR"
    stereo.write_bytes(b"(dS'camera-1-camera-2'\n" + code + b"s.")
    failed = fails(quick, model=config)
    assert failed.kind == "CalibrationUnreadable"
    assert not proof.exists()


def test_a_project_without_calibration_is_refused(quick, tmp_path) -> None:
    config = project_3d(tmp_path)
    (config.parent / "calibration.toml").unlink()
    (config.parent / "camera_matrix" / "stereo_params.pickle").unlink()
    with pytest.raises(BadRequest, match="have not been calibrated"):
        quick(model=config)


def test_a_scorer_that_is_no_file_name_is_not_used_as_one(quick, tmp_path) -> None:
    config = project_3d(tmp_path)
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "scorername_3d": "../out"}))
    assert quick(model=config).result["scorer"] == "DLC_3D"
    config.write_text(yaml.safe_dump({**values, "scorername_3d": "lab-3"}))
    ran = quick(model=config)
    assert (ran.result["scorer"], ran.result["h5_file"].name) == ("lab-3", "scene_lab-3.h5")
