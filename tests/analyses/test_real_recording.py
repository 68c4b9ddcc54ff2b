"""A real recording of a mouse, with a network trained on human labels. It lies beside the checkout, or not at all."""

from pathlib import Path

import pandas as pd
import pytest

from dlc_jupyter.pose.models import Models
from tests.pose.videos import ffmpeg, probe

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "openfield"
RECORDING, MODEL = FOLDER / "m3v1.mp4", FOLDER / "model" / "config.yaml"
FRAMES = 90

pytestmark = [
    pytest.mark.deeplabcut,
    pytest.mark.skipif(not RECORDING.is_file(), reason="the real recording ../shared/data/openfield is not here"),
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Its first three seconds, the very bytes of the camera's file."""
    return ffmpeg(
        ["-i", str(RECORDING), "-frames:v", str(FRAMES), "-c", "copy"], tmp_path_factory.mktemp("m3") / "m3.mp4"
    )


def test_its_poses_are_those_of_deeplabcut(deeplabcut, run, recording, tmp_path):
    few = ffmpeg(["-i", str(recording), "-frames:v", "9", "-c", "copy"], tmp_path / "video.mp4")
    models = Models({"m3": str(MODEL)}, "")
    config = models.stage(models.find("m3"), tmp_path / "model")
    scorer = deeplabcut.analyze_videos(str(config), [str(few)], save_as_csv=True, device="cpu", batch_size=4)
    result = run("video", few, model=MODEL, batch_size=4).result
    wanted = pd.read_hdf(tmp_path / f"video{scorer}.h5")
    assert len(wanted) == 9
    pd.testing.assert_frame_equal(pd.read_hdf(result["h5_file"]), wanted, check_exact=True)
    assert result["csv_file"].read_bytes() == (tmp_path / f"video{scorer}.csv").read_bytes()


def test_a_real_mouse_is_found_and_its_labelled_video_plays(run, recording):
    ran = run("video", recording, model=MODEL)
    assert ran.result["frames"] == FRAMES
    assert ran.result["bodyparts"] == ["snout", "leftear", "rightear", "tailbase"]
    poses = pd.read_hdf(ran.result["h5_file"])[ran.result["scorer"]]
    likely = poses.xs("likelihood", axis=1, level=1) > 0.4
    assert likely.to_numpy().mean() > 0.8
    labelled = run("label", recording, model=MODEL, poses=ran).result
    assert labelled["frames"] == FRAMES
    assert probe(labelled["video_file"])["pix_fmt"] == "yuv420p"  # the recording is yuv444p, which browsers refuse
