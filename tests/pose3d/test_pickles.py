"""Pickles that are no calibration: none runs code, or fills the memory."""

from __future__ import annotations

import os
import pickle
import random
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose3d import pickles
from dlc_jupyter.pose3d.calibrations import read, read_stereo, stereo_parameters
from tests.pose3d.calibrated import refusal


class Runs:
    """Its pickle makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self._command = f"touch {path}"

    def __reduce__(self) -> Any:
        return os.system, (self._command,)


def test_a_pickle_cannot_run_code(pair, tmp_path) -> None:
    mark, path = tmp_path / "it-ran", tmp_path / "stereo_params.pickle"
    hidden = {**stereo_parameters(pair), "Q": Runs(mark)}
    holder = np.array([Runs(mark), None], object)
    for evil in (Runs(mark), {"camera-1-camera-2": hidden}, holder, {"a": [holder]}):
        for protocol in range(6):
            path.write_bytes(b"\x80" * (protocol < 2) + pickle.dumps(evil, protocol=protocol))
            refusal(lambda: read(path))
            assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))  # the real thing would
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04cbuiltins\ngetattr\n(c_codecs\nencode\nS'__globals__'\ntR.",
        b"\x80\x02(inumpy\nndarray\n.",  # INST
        b"\x80\x04\x82\x01.",  # EXT1
        b"\x80\x04Pname\n.",  # PERSID
        b"\x80\x04cnumpy\nndarray\n(I100000000000\ntR.",  # much memory
        b"\x80\x04cnumpy\ndtype\nS'O'\n\x85R.",
        b"\x80\x04c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"\x80\x04c_codecs\nencode\n}S'_call'\nNsb.",  # a change of what it may call
        b"\x80\x04.",
        b"\x80\x04",
        b"\x80",
        b"\x80\x09N.",
    ],
)
def test_pickles_made_by_hand_are_refused(tmp_path, content) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(content)
    refusal(lambda: read(path))


def test_a_pickle_cannot_ask_for_much_memory(tmp_path) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(b"\x80\x04Nr\xff\xff\xff\x7f.")  # remember something at place 2 147 483 647
    assert "a place in memory that nothing needs" in refusal(lambda: read(path))
    many = 1 << 40
    for kind in (b"\x96", b"\x8e"):  # an array of bytes, and bytes, of a terabyte
        path.write_bytes(b"\x80\x05" + kind + struct.pack("<Q", many) + b"x.")
        assert "cut off" in refusal(lambda: read(path))


def doubled(times: int) -> list[Any]:
    found: list[Any] = [1.0]
    for _ in range(times):
        found = [found, found]
    return found


def endless() -> list[Any]:
    found: list[Any] = []
    found += [found, found]
    return found


@pytest.mark.parametrize(
    "bomb",
    [
        doubled(40),
        endless(),
        [[[1.0] * 1000] * 1000] * 1000,
        [np.zeros(1000)] * 10**6,
        np.zeros(20_000),
    ],
    ids=["doubled", "endless", "wide", "arrays", "long"],
)
def test_lists_that_would_fill_the_memory_are_not_multiplied_out(pair, tmp_path, bomb) -> None:
    path = tmp_path / "stereo_params.pickle"
    path.write_bytes(pickle.dumps({"camera-1-camera-3": {**stereo_parameters(pair), "R": bomb}}))
    assert "far more numbers than cameras have" in refusal(lambda: read(path))
    with pytest.raises(AnalysisFailed, match="far more numbers"):
        read_stereo(tmp_path, pair.names)


def test_the_same_bytes_again_and_again_need_no_memory(tmp_path) -> None:
    size, times = 1 << 20, 4_000
    text = b"X" + struct.pack("<I", size) + b"a" * size + b"q\x000"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    (tmp_path / "texts").write_bytes(b"\x80\x02" + text + b"](" + again * times + b"e.")
    assert "more than the file's own size" in refusal(lambda: read(tmp_path / "texts"))
    array = pickle.dumps(np.zeros(size // 8), protocol=5).replace(b"\x94", b"")  # nothing else is remembered
    at = array.index(b"\x96")
    begin, end = array[2 + 9 : at], array[at + 9 + size + 9 : -1]  # without protocol, frames, and STOP
    content = b"\x96" + struct.pack("<Q", size) + b"\0" * size + b"q\x000]"
    content += (begin + b"h\x00" + end + b"a") * times
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(pickles.loads(b"\x80\x05" + content + b".")) == times
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # of 4 000 000


def test_a_pickle_with_bytes_changed_at_random_is_read_or_refused(pair, tmp_path) -> None:
    draw, path = random.Random(1), tmp_path / "stereo_params.pickle"
    refused, kinds = 0, set()
    for protocol in (2, 4, 5):
        whole = pickle.dumps({"camera-1-camera-3": stereo_parameters(pair)}, protocol=protocol)
        for _ in range(150):
            content = bytearray(whole)
            for _ in range(draw.choice([1, 1, 2, 8])):
                content[draw.randrange(1, len(content))] = draw.randrange(256)
            if draw.random() < 0.2:
                del content[draw.randrange(len(content)) :]
            path.write_bytes(bytes(content))
            try:
                read(path)
            except AnalysisFailed as error:
                kinds.add(error.kind)
                refused += 1
    assert kinds == {"CalibrationUnreadable"}
    assert refused > 100


def test_a_huge_file_is_not_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "stereo_params.pickle"
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        file.truncate(pickles.MOST_BYTES + 10)
    assert "too large" in refusal(lambda: read(path))
    with path.open("wb") as file:
        file.truncate(pickles.MOST_BYTES + 10)
    assert "too large" in refusal(lambda: read(path))


def test_numbers_come_back_exactly(tmp_path) -> None:
    values = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(1.5), 2], "c": np.asfortranarray(np.eye(3)[:2])}
    for protocol in range(2, 6):
        found = pickles.loads(pickle.dumps(values, protocol=protocol))
        assert np.array_equal(pickles.array(found["a"]), values["a"])
        assert np.array_equal(pickles.array(found["c"]), values["c"])
        assert found["b"] == [1.5, 2]
    big = pickles.loads(pickle.dumps(np.arange(3, dtype=">i4")))
    assert np.array_equal(pickles.array(big), [0, 1, 2])
