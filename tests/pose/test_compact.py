"""The compact form holds the numbers of DeepLabCut's file, and those of records that are still being written."""

import json
import struct

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose.compact import MOST_FRAMES, Finished, Growing, answer, write
from dlc_jupyter.pose.rows import Rows

PARTS = ["snout", "tail"]
POINTS = [*[[each, part] for each in ("left", "right") for part in PARTS], ["single", "door"]]


def parse(content):
    """What a client does: the header, and frames x points x 3 numbers."""
    magic, version, length = struct.unpack_from("<4sII", content)
    header = json.loads(content[12 : 12 + length])
    # Files have more behind their numbers; answers are as they always were.
    assert (magic, version, length % 4) == (b"DLCP", 1 if "count" in header else 2, 0)
    shape = header.get("count", header["frames"]), len(header["points"]), 3
    return header, np.frombuffer(content, "<f4", int(np.prod(shape)), offset=12 + length).reshape(shape)


@pytest.fixture
def table():
    """Make a table as DeepLabCut has it, of one animal or two with a body part that there is once."""

    def make(frames, several):
        levels = [["DLC_net"], PARTS, ["x", "y", "likelihood"]]
        names = ["scorer", "bodyparts", "coords"]
        columns = pd.MultiIndex.from_product(levels, names=names)
        if several:
            two = [("DLC_net", each, part, c) for each in ("left", "right") for part in PARTS for c in levels[2]]
            once = [("DLC_net", "single", "door", c) for c in levels[2]]
            columns = pd.MultiIndex.from_tuples([*two, *once], names=["scorer", "individuals", *names[1:]])
        values = np.random.default_rng(1).random((frames, len(columns)), np.float32)
        return pd.DataFrame(values, columns=columns)

    return make


@pytest.mark.parametrize("several", [False, True])
def test_a_file_holds_the_numbers_of_deeplabcuts(tmp_path, table, several):
    made = table(30, several)
    made.to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 30)
    header, numbers = parse((tmp_path / "poses.dlcp").read_bytes())
    assert header["scorer"] == "DLC_net"
    assert header["frames"] == 30
    assert np.array_equal(numbers.reshape(30, -1), made.to_numpy())
    assert header["points"] == (POINTS if several else [["", "snout"], ["", "tail"]])


@pytest.mark.parametrize(("start", "stop", "count"), [(0, 30, 30), (7, 12, 5), (25, 99, 5), (30, 31, 0), (99, 120, 0)])
def test_a_range_of_frames(tmp_path, table, start, stop, count):
    made = table(30, True)
    made.to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 30)
    header, numbers = parse(answer(Finished.open(tmp_path / "poses.dlcp"), start, stop, state="succeeded"))
    assert (header["start"], header["count"], header["state"]) == (start, count, "succeeded")
    assert np.array_equal(numbers.reshape(count, 15), made.to_numpy()[start:stop])


def test_frames_without_a_row_in_the_table_are_nan(tmp_path, table):
    made = table(10, False).drop(index=[0, 4])
    made.to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 12)
    numbers = parse((tmp_path / "poses.dlcp").read_bytes())[1]
    assert np.flatnonzero(np.isnan(numbers).all(axis=(1, 2))).tolist() == [0, 4, 10, 11]


def test_where_the_points_of_a_cropped_video_begin(tmp_path, table):
    table(5, False).to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 5, cropping=(20, 300, 10, 230))
    assert Finished.open(tmp_path / "poses.dlcp").cropping == [20, 300, 10, 230]
    header, numbers = parse(answer(Finished.open(tmp_path / "poses.dlcp"), 1, 3))
    assert header["cropping"] == [20, 300, 10, 230]
    assert len(numbers) == 2


def test_which_frame_of_the_video_row_0_is(tmp_path, table):
    table(5, False).to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 5, first=3)
    assert parse(answer(Finished.open(tmp_path / "poses.dlcp"), 1, 3))[0]["first"] == 3
    about = {"scorer": "net", "points": [["", "a"]], "span": [2, 1], "first": 3}
    with Rows(tmp_path, about) as rows:
        rows.append([{"bodyparts": np.zeros((1, 1, 3), np.float32)}])
        rows.flush()
    header = parse(answer(Growing.open(tmp_path), 0, 9))[0]
    assert (header["first"], header["count"]) == (3, 3)


def test_of_the_whole_picture_and_of_files_written_before_nothing_is_said(tmp_path, table):
    table(5, False).to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", 5)
    content = (tmp_path / "poses.dlcp").read_bytes()
    assert set(parse(content)[0]) == {"scorer", "points", "frames", "first", "overview"}
    assert "cropping" not in parse(answer(Finished.open(tmp_path / "poses.dlcp"), 0, 5))[0]


def test_no_more_than_so_many_frames_are_sent_at_a_time(tmp_path, table):
    table(MOST_FRAMES + 5, False).to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    write(tmp_path / "poses.h5", tmp_path / "poses.dlcp", MOST_FRAMES + 5)
    header, numbers = parse(answer(Finished.open(tmp_path / "poses.dlcp"), 0, 1 << 60))
    assert header["count"] == len(numbers) == MOST_FRAMES
    assert header["frames"] == MOST_FRAMES + 5


def test_what_is_no_such_file_is_an_error(tmp_path):
    for content in (b"", b"DLC", b"a text of some length"):
        (tmp_path / "poses.dlcp").write_bytes(content)
        with pytest.raises(ValueError, match="no compact poses"):
            Finished.open(tmp_path / "poses.dlcp")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_records_that_are_being_written_are_read_as_they_come(tmp_path, kind):
    about = {"scorer": "DLC_net", "points": POINTS, "span": [3, 2]}
    values = np.random.default_rng(1).random((6, 2, 2, 4)).astype(kind)
    door = np.random.default_rng(2).random((6, 1, 1, 3)).astype(np.float32)
    with pytest.raises(FileNotFoundError):
        Growing.open(tmp_path)
    with Rows(tmp_path, about) as rows:
        rows.append([{"bodyparts": values[0], "unique_bodyparts": door[0]}])
        assert Growing.open(tmp_path).frames == 0
        rows.append([{"bodyparts": a, "unique_bodyparts": b} for a, b in zip(values[1:4], door[1:4], strict=True)])
        rows.flush()
        header, numbers = parse(answer(Growing.open(tmp_path), 0, 100))
        rows.append([{"bodyparts": values[4], "unique_bodyparts": door[4]}])
        rows.flush()
        assert Growing.open(tmp_path).frames == 3 + 4 * 2 + 1
    assert header["frames"] == header["count"] == 10  # frames 3, 5, 7 and 9 were looked at
    wanted = np.full((10, 5, 3), np.nan, np.float32)
    wanted[3::2, :4] = values[:4, ..., :3].reshape(4, 4, 3)
    wanted[3::2, 4] = door[:4, 0, 0]
    assert np.array_equal(numbers, wanted, equal_nan=True)
    assert np.array_equal(parse(answer(Growing.open(tmp_path), 4, 6))[1], wanted[4:6], equal_nan=True)


@pytest.mark.parametrize("cropping", [[20, 300, 10, 230], None])
def test_records_of_a_cropped_video_say_so(tmp_path, cropping):
    about = {"scorer": "net", "points": [["", "a"]], "span": [0, 1], "cropping": cropping}
    with Rows(tmp_path, about) as rows:
        rows.append([{"bodyparts": np.zeros((1, 1, 3), np.float32)}])
        rows.flush()
    assert parse(answer(Growing.open(tmp_path), 0, 9))[0].get("cropping") == cropping


def test_only_the_animals_that_have_names_are_handed_on(tmp_path):
    values = np.random.default_rng(1).random((3, 3, 2, 3)).astype(np.float32)
    with Rows(tmp_path, {"scorer": "net", "points": POINTS[:4], "span": [0, 1]}) as rows:
        rows.append([{"bodyparts": each} for each in values])
        rows.flush()
    assert np.array_equal(parse(answer(Growing.open(tmp_path), 0, 9))[1], values[:, :2].reshape(3, 4, 3))
