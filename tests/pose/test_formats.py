"""Parquet and NWB files hold the poses at the times of their frames."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from pyarrow import parquet

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import tracks as module
from dlc_jupyter.pose.formats import write_nwb, write_parquet
from tests.pose.predictions import Case

CASE = Case(animals=2, bodyparts=3, unique=2, identity=True)
FRAMES = range(4, 304, 3)
TIMES = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.05, 310))  # a variable rate
NWB = {
    "session_start": datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2))),
    "video": "open field.mp4",
    "skeleton": [("part 0", "part 2"), ("part 2", "nowhere")],
}


@pytest.fixture
def predictions():
    return CASE.predictions(100)


@pytest.fixture
def tracks(predictions, tmp_path):
    return CASE.tracks(predictions, tmp_path / "rows", FRAMES)


# -- Parquet -----------------------------------------------------------------------------------------------------------


def test_a_parquet_file_has_a_row_for_each_body_part(tracks, predictions, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1024)  # in many pieces
    write_parquet(tracks, tmp_path / "poses.parquet", TIMES)
    table = pd.read_parquet(tmp_path / "poses.parquet")
    assert list(table) == ["frame", "time", "individual", "bodypart", "x", "y", "likelihood"]
    assert table.dtypes.map(str).tolist() == ["int64", "float64", "category", "category"] + 3 * ["float32"]
    assert len(table) == len(FRAMES) * (2 * 3 + 2)
    assert table["frame"].unique().tolist() == list(FRAMES)
    np.testing.assert_array_equal(table["time"], TIMES[table["frame"]])
    coords = ["x", "y", "likelihood"]
    for (individual, bodypart), part in table.groupby(["individual", "bodypart"], observed=True):
        if individual == "single":
            expected = [each["unique_bodyparts"][0, int(bodypart[-1])] for each in predictions]
        else:
            expected = [each["bodyparts"][int(individual[-1]), int(bodypart[-1])] for each in predictions]
        np.testing.assert_array_equal(part[coords], expected)
    assert table.groupby(["individual", "bodypart"], observed=True).ngroups == 8


def test_the_same_poses_give_the_same_parquet_file(tracks, tmp_path):
    for name in ("one", "other"):
        write_parquet(tracks, tmp_path / name, TIMES)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_parquet_file_of_a_cropped_video_says_where_its_corner_is(tracks, tmp_path):
    write_parquet(tracks, tmp_path / "whole", TIMES)
    write_parquet(tracks, tmp_path / "part", TIMES, cropping=(20, 300, 10, 230))
    whole, part = (parquet.read_schema(tmp_path / name).metadata for name in ("whole", "part"))
    assert part[b"cropping"] == b"20,300,10,230"
    assert b"(20, 10)" in part[b"reference_frame"]
    assert b"cropping" not in whole
    assert b"upper left corner of the picture;" in whole[b"reference_frame"]


# -- NWB ---------------------------------------------------------------------------------------------------------------


def test_an_nwb_file_has_the_poses_of_each_individual(tracks, predictions, tmp_path):
    path = tmp_path / "poses.nwb"
    write_nwb(tracks, path, TIMES, **NWB)
    assert not pynwb.validate(path=str(path))
    with pynwb.NWBHDF5IO(str(path), "r") as source:
        file = source.read()
        assert file.session_start_time == NWB["session_start"]
        video = file.acquisition["video"]
        assert video.external_file[:].tolist() == ["open field.mp4"]
        np.testing.assert_array_equal(video.timestamps[:], TIMES)
        assert video.dimension[:].tolist() == [640, 480]
        behavior = file.processing["behavior"]
        for animal in range(2):
            poses = behavior[f"PoseEstimation_mouse{animal}"]
            assert (poses.scorer, poses.source_software) == (CASE.origin.scorer, "DeepLabCut")
            assert poses.source_video is video
            assert list(poses.skeleton.nodes[:]) == ["part 0", "part 1", "part 2"]
            assert poses.skeleton.edges[:].tolist() == [[0, 2]]
            for part in range(3):
                series = poses[f"part {part}"]
                expected = np.array([each["bodyparts"][animal, part] for each in predictions])
                np.testing.assert_array_equal(series.data[:], expected[:, :2])
                np.testing.assert_array_equal(series.confidence[:], expected[:, 2])
                np.testing.assert_array_equal(series.timestamps[:], TIMES[list(FRAMES)])
                assert series.unit == "pixels"
        corner = behavior["PoseEstimation_single"]["corner1"]
        np.testing.assert_array_equal(corner.data[:], [each["unique_bodyparts"][0, 1, :2] for each in predictions])


def test_an_nwb_file_says_when_it_was_written_and_points_to_the_video_without_poses_drawn_on_it(tracks, tmp_path):
    before = datetime.now(UTC)
    write_nwb(tracks, tmp_path / "poses.nwb", TIMES, **NWB)
    with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), "r") as source:
        file = source.read()
        [written] = file.file_create_date
        assert before <= written <= datetime.now(UTC)
        assert file.session_start_time == file.timestamps_reference_time == NWB["session_start"]
    with h5py.File(tmp_path / "poses.nwb") as file:
        poses = file["processing/behavior/PoseEstimation_mouse0"]
        assert poses.get("source_video", getlink=True).path == "/acquisition/video"
        assert not {"labeled_video", "labeled_videos", "original_videos"} & set(poses)
        assert "nothing drawn on it" in file["acquisition/video"].attrs["description"]


def test_timestamps_are_in_an_nwb_file_once(tracks, tmp_path):
    write_nwb(tracks, tmp_path / "poses.nwb", TIMES, **NWB)
    with h5py.File(tmp_path / "poses.nwb") as file:
        poses = file["processing/behavior/PoseEstimation_mouse1"]
        assert isinstance(poses["part 0"].get("timestamps", getlink=True), h5py.HardLink)
        assert isinstance(poses["part 2"].get("timestamps", getlink=True), h5py.SoftLink)


def test_one_animal_without_a_skeleton(tmp_path):
    case = Case(multi_animal=False)
    tracks = case.tracks(case.predictions(20), tmp_path / "rows")
    write_nwb(tracks, tmp_path / "poses.nwb", TIMES, session_start=NWB["session_start"], video="a.avi")
    assert not pynwb.validate(path=str(tmp_path / "poses.nwb"))
    with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), "r") as source:
        poses = source.read().processing["behavior"]["PoseEstimation"]
        assert poses.skeleton.edges.shape == (0, 2)
        assert len(poses.pose_estimation_series) == 4


def test_the_identifier_is_that_of_the_poses(tracks, tmp_path):
    def identifier(times):
        write_nwb(tracks, tmp_path / "poses.nwb", times, **NWB)
        with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), "r") as source:
            return source.read().identifier

    assert identifier(TIMES) == identifier(TIMES)
    assert identifier(TIMES) != identifier(TIMES + 1)


def test_an_nwb_file_of_a_cropped_video_says_where_its_corner_is(tracks, tmp_path):
    identifiers = set()
    for cropping in (None, (20, 300, 10, 230)):
        write_nwb(tracks, tmp_path / "poses.nwb", TIMES, **NWB, cropping=cropping)
        assert not pynwb.validate(path=str(tmp_path / "poses.nwb"))
        with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), "r") as source:
            file = source.read()
            behavior = file.processing["behavior"]
            for series in (behavior["PoseEstimation_mouse1"]["part 2"], behavior["PoseEstimation_single"]["corner0"]):
                assert ("x from 20 to 300 and y from 10 to 230" in series.reference_frame) == bool(cropping)
                assert ("upper left corner of the picture;" in series.reference_frame) != bool(cropping)
            identifiers.add(file.identifier)
    assert len(identifiers) == 2


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_numbers_are_those_of_the_h5_file_with_all_their_digits(tmp_path, kind):
    levels = [["net"], ["left", "right"], ["a", "b"], ["x", "y", "likelihood"]]
    columns = pd.MultiIndex.from_product(levels, names=["scorer", "individuals", "bodyparts", "coords"])
    table = pd.DataFrame(np.random.default_rng(2).random((30, 12)).astype(kind), columns=columns)
    table.to_hdf(tmp_path / "poses.h5", key="tracks", format="table")
    tracks = module.from_h5(tmp_path / "poses.h5", range(32))
    write_parquet(tracks, tmp_path / "poses.parquet", TIMES)
    write_nwb(tracks, tmp_path / "poses.nwb", TIMES, session_start=NWB["session_start"], video="a.avi")
    tidy = pd.read_parquet(tmp_path / "poses.parquet")
    wanted = table.reindex(range(32))["net"]
    with pynwb.NWBHDF5IO(str(tmp_path / "poses.nwb"), "r") as source:
        behavior = source.read().processing["behavior"]
        for (individual, bodypart), rows in tidy.groupby(["individual", "bodypart"], observed=True):
            expected = wanted[individual, bodypart].to_numpy()
            np.testing.assert_array_equal(rows[["x", "y", "likelihood"]], expected, strict=True)
            series = behavior[f"PoseEstimation_{individual}"][bodypart]
            np.testing.assert_array_equal(series.data[:], expected[:, :2], strict=True)
            np.testing.assert_array_equal(series.confidence[:], expected[:, 2], strict=True)


WRITERS = {
    "parquet": lambda tracks, target: write_parquet(tracks, target, TIMES),
    "nwb": lambda tracks, target: write_nwb(tracks, target, TIMES, **NWB),
}


@pytest.mark.parametrize(("ending", "package"), [("parquet", "pyarrow"), ("nwb", "pynwb"), ("nwb", "ndx_pose")])
def test_it_is_said_what_to_install(tracks, tmp_path, monkeypatch, ending, package):
    monkeypatch.setitem(sys.modules, package, None)  # so that importing it fails
    with pytest.raises(AnalysisFailed) as failed:
        WRITERS[ending](tracks, tmp_path / "poses")
    assert failed.value.kind == "MissingPackage"
    assert package.replace("_", "-") in failed.value.message
    assert "dlc-jupyter[formats]" in failed.value.hint
    assert not (tmp_path / "poses").exists()


@pytest.mark.parametrize("ending", WRITERS)
def test_every_frame_must_have_a_time(tracks, tmp_path, ending, monkeypatch):
    monkeypatch.setitem(globals(), "TIMES", TIMES[:301])
    with pytest.raises(ValueError, match="times for 301 frames, but poses up to frame 301"):
        WRITERS[ending](tracks, tmp_path / "poses")


LIMITED = """
import resource, sys
from pathlib import Path
from dlc_jupyter.errors import AnalysisFailed
from tests.pose.test_formats import CASE, FRAMES, WRITERS
tracks = CASE.tracks(CASE.predictions(100), Path(sys.argv[1]) / "more rows", FRAMES)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    WRITERS[sys.argv[2]](tracks, Path(sys.argv[1]) / f"poses.{sys.argv[2]}")
except AnalysisFailed as failed:
    print(failed.kind, failed.message)
"""


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
@pytest.mark.parametrize("ending", WRITERS)
def test_a_full_disk_leaves_nothing(tracks, tmp_path, ending, share):
    WRITERS[ending](tracks, tmp_path / "whole")
    limit = int((tmp_path / "whole").stat().st_size * share)
    (tmp_path / "whole").unlink()
    command = [sys.executable, "-c", LIMITED, tmp_path, ending, str(limit)]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout == "NoSpace The server's disk is full. The poses could not be written.\n"
    assert {path.name for path in tmp_path.iterdir()} == {"rows", "more rows"}


SILENT = """
import resource, sys
from dlc_jupyter.pose.formats import _Reporting
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with _Reporting(sys.argv[1], "w+") as file:
    for _ in range(2):
        try:
            file.write(bytes(800))
        except OSError:
            print("unheard")
    file.seek(0)
    file.write(bytes(800))
    file.check()
"""


def test_that_something_was_not_written_is_known_although_h5py_ignores_it(tmp_path):
    command = [sys.executable, "-c", SILENT, tmp_path / "file"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout == "unheard\n"
    assert done.stderr.endswith("OSError: [Errno 27] File too large\n")
