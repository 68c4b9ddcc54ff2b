"""What the demo reads of its results."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dlc_jupyter import demo
from dlc_jupyter.commands.results import read_poses, save_frame

CSV = """\
scorer,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x
bodyparts,snout,snout,snout,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,1.0,2.0,0.9,10.0,20.0,0.1
1,3.0,4.0,0.5,30.0,40.0,0.6
"""
TRUTH = """\
frame,snout_x,snout_y,tail_x,tail_y
0,1.0,2.0,13.0,24.0
1,3.0,14.0,30.0,40.0
"""


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    path = tmp_path / "poses.csv"
    path.write_text(CSV)
    return path


def test_poses_are_read_as_deeplabcut_writes_them(poses: Path) -> None:
    found = read_poses(poses)
    assert found.frames == 2
    assert found.points == {
        "snout": [(1.0, 2.0, 0.9), (3.0, 4.0, 0.5)],
        "tail": [(10.0, 20.0, 0.1), (30.0, 40.0, 0.6)],
    }
    assert found.likelihood == pytest.approx({"snout": 0.7, "tail": 0.35})


def test_the_clearest_frame_is_the_one_where_no_body_part_is_doubtful(poses: Path) -> None:
    assert read_poses(poses).clearest == 1


def test_the_error_is_the_mean_distance_from_the_truth(poses: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(TRUTH)
    assert read_poses(poses).mean_error(truth) == {"snout": 5.0, "tail": 2.5}
    truth.write_text(TRUTH + "2,0,0,0,0\n")
    with pytest.raises(ValueError, match="longer"):
        read_poses(poses).mean_error(truth)


@pytest.mark.parametrize("text", ["", "frame,x\n1,2\n", CSV.replace("bodyparts", "individuals")])
def test_another_table_is_refused_by_its_name(poses: Path, text: str) -> None:
    poses.write_text(text)
    with pytest.raises(ValueError, match=r"poses\.csv is not DeepLabCut's CSV file of a single animal"):
        read_poses(poses)


def test_a_frame_becomes_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "frame.png"
    save_frame("ffmpeg", demo.VIDEO, 12, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "thirteenth.png"
    save_frame("ffmpeg", demo.VIDEO, 13, again)
    assert picture.read_bytes() != again.read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        save_frame("ffmpeg", tmp_path / "nothing.mp4", 0, picture)
