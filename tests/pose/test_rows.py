"""Records are on disk as they come; whatever kills the writer, the next one goes on behind the last whole chunk."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.rows import UNREADABLE, Rows, described, read

ABOUT = {"video": "ab" * 20, "batch_size": 8, "parts": ["snout", "tail"]}


def prediction(number, individuals=2, parts=3, kind=np.float32):
    values = np.arange(individuals * parts * 3).reshape(individuals, parts, 3) + 100 * number
    return {"bodyparts": (values / 7).astype(np.float32).astype(kind)}


def predictions(first, last, **options):
    return [prediction(number, **options) for number in range(first, last)]


def write(folder, first, last, about=ABOUT, **options):
    with Rows(folder, about) as rows:
        assert len(rows) == first
        for number in range(first, last):
            rows.append(predictions(number, number + 1, **options))
            if number % 5 == 4:
                rows.flush()
        rows.flush()


def test_records_are_what_was_appended(tmp_path):
    write(tmp_path, 0, 23)
    records = read(tmp_path)
    assert np.array_equal(records["bodyparts"], np.stack([each["bodyparts"] for each in predictions(0, 23)]))
    assert not records["wide"].any()
    assert not records.flags.writeable
    assert (tmp_path / "rows.bin").stat().st_size == 23 * (2 * 3 * 3 * 4 + 1)


def test_only_what_was_flushed_can_be_read(tmp_path):
    with Rows(tmp_path, ABOUT) as rows:
        with pytest.raises(FileNotFoundError):
            read(tmp_path)
        rows.append(predictions(0, 3))
        assert len(read(tmp_path)) == len(rows) == 0
        rows.flush()
        rows.append(predictions(3, 4))
        assert len(read(tmp_path)) == len(rows) == 3
        assert len(rows.records()) == 3


def test_another_attempt_goes_on_where_the_last_one_stopped(tmp_path):
    write(tmp_path / "at-once", 0, 30)
    write(tmp_path / "in-parts", 0, 10)
    write(tmp_path / "in-parts", 10, 17)
    write(tmp_path / "in-parts", 17, 30)
    assert (tmp_path / "in-parts/rows.bin").read_bytes() == (tmp_path / "at-once/rows.bin").read_bytes()


@pytest.mark.parametrize("change", [{"video": "cd" * 20}, {"batch_size": 4}, {"more": None}])
def test_records_of_something_else_are_thrown_away(tmp_path, change):
    write(tmp_path, 0, 10)
    write(tmp_path, 0, 3, about={**ABOUT, **change})
    assert len(read(tmp_path)) == 3


def cut(path, count):
    os.truncate(path, path.stat().st_size - count)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda folder: cut(folder / "rows.bin", 1), 15),  # the power went before all was on the disk
        (lambda folder: cut(folder / "rows.log", 1), 15),
        (lambda folder: cut(folder / "rows.log", 50), 10),
        (lambda folder: (folder / "rows.log").write_bytes(b""), 0),
        (lambda folder: (folder / "rows.bin").unlink(), 0),
        (lambda folder: flip(folder / "rows.bin", 73 * 12), 10),
        (lambda folder: flip(folder / "rows.bin", 0), 0),
        (lambda folder: (folder / "rows.log").open("ab").write(b"\x00\x00\x00"), 20),
        (lambda folder: (folder / "rows.bin").open("ab").write(b"half a record"), 20),
        (lambda folder: (folder / "rows.json").write_text("{"), 0),
    ],
)
def test_only_whole_chunks_survive(tmp_path, damage, left):
    write(tmp_path, 0, 20)
    damage(tmp_path)
    write(tmp_path, left, 25)
    assert np.array_equal(read(tmp_path)["bodyparts"], np.stack([each["bodyparts"] for each in predictions(0, 25)]))


WRITER = """
import sys
from pathlib import Path
from dlc_jupyter.pose.rows import Rows
from tests.pose.test_rows import ABOUT, predictions
with Rows(Path(sys.argv[1]), ABOUT) as rows:
    for number in range(len(rows), 10**9, 8):
        rows.append(predictions(number, number + 8))
        rows.flush()
"""


def test_a_writer_that_is_killed_loses_at_most_the_chunk_it_was_at(tmp_path):
    done = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        try:
            end = time.monotonic() + 30
            while not (tmp_path / "rows.json").exists() or len(read(tmp_path)) < done + 40:
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with Rows(tmp_path, ABOUT) as rows:
            assert len(rows) >= done + 40
            done = len(rows)
        assert done % 8 == 0
    wanted = np.stack([each["bodyparts"] for each in predictions(0, done)])
    assert np.array_equal(read(tmp_path)["bodyparts"], wanted)


def test_records_of_frames_without_a_picture_are_nan(tmp_path):
    with Rows(tmp_path, ABOUT) as rows:
        rows.append(predictions(0, 4, kind=np.float64), unreadable=[1, 3])
        rows.flush()
    records = read(tmp_path)
    assert np.isnan(records["bodyparts"]).all(axis=(1, 2, 3)).tolist() == [False, True, False, True]
    assert records["wide"].tolist() == [1, UNREADABLE, 1, UNREADABLE]


def test_every_field_of_a_prediction_has_its_place(tmp_path):
    made = {
        "bodyparts": np.ones((2, 3, 3), np.float32),
        "bboxes": np.full((2, 4), 5, np.float32),
        "bbox_scores": np.array([0.5, -1], np.float32),
        "identity_scores": np.full((2, 3, 2), 0.25),
        "unique_bodyparts": np.full((1, 4, 3), 7, np.float32),
    }
    with Rows(tmp_path, ABOUT) as rows:
        rows.append([made])
        rows.flush()
    records = read(tmp_path)
    assert records.dtype.names == (
        "bodyparts", "unique_bodyparts", "identity_scores", "bboxes", "bbox_scores", "wide",
    )  # fmt: skip
    for name, values in made.items():
        assert np.array_equal(records[name][0], values)
    assert records["wide"].tolist() == [0b100]


def test_numbers_that_32_bits_cannot_hold_are_kept_whole(tmp_path):
    narrow, third = predictions(0, 6), {"bodyparts": np.full((2, 3, 3), 1 / 3)}
    with Rows(tmp_path, ABOUT) as rows:
        rows.append(narrow[:4])
        rows.flush()
        rows.append(narrow[4:])
        rows.append([third])
        rows.flush()
        assert len(rows) == 7
    with Rows(tmp_path, ABOUT) as rows:
        rows.append(narrow[:1])
        rows.flush()
    records = read(tmp_path)
    assert records["bodyparts"].dtype == np.float64
    wanted = [each["bodyparts"] for each in [*narrow, third, narrow[0]]]
    assert np.array_equal(records["bodyparts"], np.stack(wanted))
    assert records["wide"].tolist() == [0] * 6 + [1, 0]


def test_a_field_that_is_not_known_is_an_error(tmp_path):
    with Rows(tmp_path, ABOUT) as rows, pytest.raises(AnalysisFailed, match="features"):
        rows.append([{**prediction(0), "features": np.zeros(3)}])


FULL = """
import resource, signal, sys
from pathlib import Path
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.rows import Rows
from tests.pose.test_rows import ABOUT, predictions
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with Rows(Path(sys.argv[1]), ABOUT) as rows:
    try:
        for number in range(100):
            rows.append(predictions(number, number + 1))
            rows.flush()
    except AnalysisFailed as error:
        print(error.kind, len(rows))
"""


def test_a_full_disk_is_said_and_what_was_whole_stays(tmp_path):
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["NoSpace", str(5000 // 73)]
    write(tmp_path, 5000 // 73, 90)
    assert len(read(tmp_path)) == 90


def test_the_mark_of_the_last_whole_chunk_is_there_for_the_next_writer(tmp_path):
    with Rows(tmp_path, ABOUT) as rows:
        assert rows.mark == {}
        rows.append(predictions(0, 3))
        rows.flush({"seam": (4, 1)})
        assert rows.mark == {"seam": [4, 1]}
        rows.append(predictions(3, 7))
        rows.flush({"seam": (2, 5)})
    with Rows(tmp_path, ABOUT) as rows:
        assert rows.mark == {"seam": [2, 5]}
    data = tmp_path / "rows.bin"
    os.truncate(data, data.stat().st_size - 1)
    with Rows(tmp_path, ABOUT) as rows:
        assert (len(rows), rows.mark) == (3, {"seam": [4, 1]})
    with Rows(tmp_path, {**ABOUT, "batch_size": 4}) as rows:
        assert (len(rows), rows.mark) == (0, {})


def test_the_mark_outlives_that_records_are_written_anew_in_64_bits(tmp_path):
    with Rows(tmp_path, ABOUT) as rows:
        rows.append(predictions(0, 3))
        rows.flush({"number": 1})
        rows.append(predictions(3, 4))
        rows.append([{"bodyparts": np.full((2, 3, 3), 0.1)}])
        assert (len(rows), rows.mark) == (3, {"number": 1})
        rows.flush({"number": 2})
    with Rows(tmp_path, ABOUT) as rows:
        assert (len(rows), rows.mark) == (5, {"number": 2})
        assert rows.records()["bodyparts"][4, 0, 0, 0] == 0.1
        assert np.array_equal(rows.records()["bodyparts"][3], predictions(3, 4)[0]["bodyparts"])


def test_what_records_are_of_can_be_asked(tmp_path):
    assert described(tmp_path) == {}
    write(tmp_path, 0, 3)
    assert described(tmp_path) == ABOUT
    (tmp_path / "rows.json").write_text("[1")
    assert described(tmp_path) == {}
