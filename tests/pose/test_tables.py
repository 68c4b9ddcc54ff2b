"""DeepLabCut's tables are read in pieces: every number as it is, every row with its frame, and little memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose import tables as module
from dlc_jupyter.pose.movement import read_keypoints
from dlc_jupyter.pose.tables import PoseTable
from dlc_jupyter.pose.tracks import from_h5

COORDS = ["x", "y", "likelihood"]


def table_of(kind: str, index, seed: int = 0) -> pd.DataFrame:
    """A table as DeepLabCut has it: of a network's poses, of tracks, or of tracks and a body part of no animal."""
    values = np.random.default_rng(seed)
    if kind == "poses":
        columns = pd.MultiIndex.from_product([["DLC"], ["a", "b"], COORDS], names=["scorer", "bodyparts", "coords"])
        return pd.DataFrame(values.random((len(index), 6), np.float32), index, columns)
    names = ["scorer", "individuals", "bodyparts", "coords"]
    columns = pd.MultiIndex.from_product([["DLC"], ["left", "right"], ["a", "b"], COORDS], names=names)
    table = pd.DataFrame(values.random((len(index), 12)), index, columns)
    if kind == "tracks":
        return table
    once = pd.MultiIndex.from_product([["DLC"], ["single"], ["lamp"], COORDS], names=names)
    return table.join(pd.DataFrame(values.random((len(index), 3), np.float32), index, once), how="outer")


KINDS = ["poses", "tracks", "with a lamp"]


@pytest.fixture(params=KINDS)
def table(request) -> pd.DataFrame:
    return table_of(request.param, [*range(3, 20), 22, 25, 26])


@pytest.fixture(params=["table", "fixed"])
def path(request, table, tmp_path) -> Path:
    """It in a file of either of pandas' forms: the GUI writes the other one."""
    table.to_hdf(tmp_path / "poses.h5", key="tracks", format=request.param, mode="w")
    return tmp_path / "poses.h5"


def test_what_a_file_says_besides_numbers(table, path):
    read = PoseTable(path)
    assert read.columns.equals(table.columns)
    assert read.kinds == table.dtypes.to_list()
    assert read.scorer == "DLC"
    animals = [(each, part) for each in ("left", "right") for part in "ab"]
    points = {6: [("", "a"), ("", "b")], 12: animals, 15: [*animals, ("single", "lamp")]}
    assert read.points == points[len(table.columns)]
    assert read.several == (len(table.columns) > 6)


@pytest.mark.parametrize("frames", [range(30), range(4, 30, 3), range(10, 12), range(24, 40), range(2)])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_every_row_comes_with_its_frame_and_the_others_are_nan(table, path, frames, size):
    pieces = list(PoseTable(path).pieces(frames, size))
    assert [number for numbers, _ in pieces for number in numbers] == list(frames)
    assert max(len(values) for _, values in pieces) <= size
    values = np.concatenate([values for _, values in pieces])
    np.testing.assert_array_equal(values, table.reindex(frames).to_numpy(), strict=True)


def test_all_of_it_at_once(table, path):
    expected = table.reindex(range(40))
    pd.testing.assert_frame_equal(PoseTable(path).frame(40), expected.astype(np.result_type(*expected.dtypes)))


def test_rows_in_another_order_are_refused(tmp_path):
    table_of("poses", [0, 2, 1]).to_hdf(tmp_path / "poses.h5", key="tracks")
    with pytest.raises(ValueError, match="not in the order"):
        list(PoseTable(tmp_path / "poses.h5").pieces(range(3)))


def test_tracks_keep_all_their_digits(table, path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 400)
    frames = range(2, 29, 2)
    tracks = from_h5(path, frames)
    assert tracks.rows.base is not None  # mapped, not in memory
    found = pd.concat([tracks.table(numbers, records) for numbers, records in tracks.pieces()])
    expected = table.reindex(range(29))
    expected.loc[[each for each in range(29) if each not in frames]] = np.nan
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert list(path.parent.iterdir()) == [path]  # the file from which they are mapped has no name


def test_keypoints_are_mapped_from_a_file_too(table, path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 400)
    wanted = table.reindex(range(30))
    several = "individuals" in table.columns.names
    found = read_keypoints(path, 30, ["b"])
    assert [(each.individual, each.bodypart) for each in found] == [
        each for each in PoseTable(path).points if each[1] == "b"
    ]
    for each in found:
        columns = wanted["DLC"][each.individual, each.bodypart] if several else wanted["DLC"][each.bodypart]
        assert each.x.dtype == np.float64
        np.testing.assert_array_equal([each.x, each.y, each.likelihood], columns.to_numpy().T)
    assert list(path.parent.iterdir()) == [path]


LITTLE = """
import resource, sys
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from dlc_jupyter.pose import compact, formats, movement, plots, tracks

def spend(path, frames):
    folder = path.parent
    times = np.arange(frames) / 30
    if sys.argv[1] == "compact":
        compact.write(path, folder / "poses.dlcp", frames)
    elif sys.argv[1] == "plots":
        keypoints = movement.read_keypoints(path, frames)
        plots.draw_all(plots.Movement(keypoints, times, 640, 480, 0.5), folder, "png")
    else:
        found = tracks.from_h5(path, range(frames))
        if sys.argv[1] == "parquet":
            formats.write_parquet(found, folder / "poses.parquet", times)
        else:
            start = datetime(2026, 1, 1, tzinfo=timezone.utc)
            formats.write_nwb(found, folder / "poses.nwb", times, session_start=start, video="a.mp4")

def data():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) << 10

spend(Path(sys.argv[2]), int(sys.argv[3]))
limit = data() + int(sys.argv[6])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
spend(Path(sys.argv[4]), int(sys.argv[5]))
"""


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> list[tuple[Path, int]]:
    """A short table of twelve body parts and a long one, of 70 MB."""
    made = []
    names = ["scorer", "bodyparts", "coords"]
    columns = pd.MultiIndex.from_product([["DLC"], [f"part {n}" for n in range(12)], COORDS], names=names)
    for frames in (20_000, 240_000):
        values = np.cumsum(np.random.default_rng(1).normal(0, 1, (frames, 36)), axis=0) % 400
        values[:, 2::3] = 0.9
        made.append((tmp_path_factory.mktemp("long") / "poses.h5", frames))
        pd.DataFrame(values, columns=columns).to_hdf(made[-1][0], key="tracks", format="table", mode="w")
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")
@pytest.mark.parametrize("what", ["compact", "parquet", "nwb", "plots"])
def test_a_long_video_needs_less_room_than_its_numbers_take(long, what):
    """What is mapped from files does not count: the system takes that memory back when it needs it."""
    (short, few), (path, many) = long
    room = many * 36 * 8 // 2
    command = [sys.executable, "-c", LITTLE, what, short, str(few), path, str(many), str(room)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
