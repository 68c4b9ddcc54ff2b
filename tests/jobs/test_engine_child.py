"""What is told of an analysis that went wrong, and of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc_jupyter.errors import AnalysisFailed, NotFound
from dlc_jupyter.jobs.attempt import killed
from dlc_jupyter.jobs.engine_child import Teller, _job, _places, explain, with_relative_files
from dlc_jupyter.jobs.protocol import Order, line, parse, run_line


def test_an_error_is_one_line():
    told = explain(RuntimeError("\n  first line\nsecond line"))
    assert told == {"type": "RuntimeError", "message": "first line", "hint": "The log of the analysis says more."}


def test_an_error_without_words_is_named():
    assert explain(KeyError())["message"] == "The analysis ended with KeyError."


@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_an_error_names_no_folder_of_the_server(error):
    told = explain(error("no /srv/Jane Doe/dlc data/scratch/0a/labeled.mp4"), "/srv/Jane Doe/dlc data/scratch/0a")
    assert "no labeled.mp4" in told["message"]
    assert "Jane" not in told["message"]


def test_the_folder_of_the_zoo_reaches_the_analysis_and_no_error():
    order = Order("id", "sleep", {"time": 1}, "/s", "/l", superanimal_dir="/srv/Jane Doe/the zoo")
    assert _job(order, None, Teller(0)).superanimal_dir == Path("/srv/Jane Doe/the zoo")
    told = explain(OSError("cannot read /srv/Jane Doe/the zoo/a.pt"), *_places(order))
    assert told["message"] == "cannot read a.pt"
    assert _job(Order("id", "sleep", {}, "/s", "/l"), None, Teller(0)).superanimal_dir is None


def test_the_folder_for_what_is_remembered_reaches_the_analysis() -> None:
    order = Order("id", "sleep", {"time": 1}, "/s", "/l", memory="/srv/dlc/cache")
    assert _job(order, None, Teller(0)).memory == Path("/srv/dlc/cache")
    assert _job(Order("id", "sleep", {}, "/s", "/l"), None, Teller(0)).memory is None


def test_a_long_error_is_cut():
    assert len(explain(RuntimeError("x" * 9000))["message"]) == 500


def test_our_own_errors_speak_for_themselves():
    assert explain(AnalysisFailed("a", hint="b", kind="C")) == {"type": "C", "message": "a", "hint": "b"}
    assert explain(NotFound("gone")) == {"type": "NotFound", "message": "gone", "hint": ""}


def test_out_of_memory_on_the_gpu_has_a_hint():
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")
    assert "batch_size" in explain(error)["hint"]


@pytest.mark.parametrize(("attempts", "words"), [(1, "signal 9."), (3, "signal 9 three times."), (5, "9 5 times.")])
def test_killed_is_told_with_how_often(attempts, words):
    error = killed(9, attempts)
    assert error["message"].endswith(words)
    assert "memory" in error["hint"]
    assert "memory" not in killed(11, attempts)["hint"]


def test_files_of_a_result_are_named_within_the_scratch_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.csv").touch()
    result = with_relative_files({"csv_file": tmp_path / "sub" / "a.csv", "h5_file": None, "frames": 3}, tmp_path)
    assert result == {"csv_file": "sub/a.csv", "h5_file": None, "frames": 3}


def test_a_link_out_of_the_scratch_folder_is_no_output(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "secret").touch()
    (scratch / "a.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(AnalysisFailed, match="csv_file"):
        with_relative_files({"csv_file": scratch / "a.csv"}, scratch)


def test_a_line_is_one_line_whatever_is_in_it():
    message = {"event": "note", "message": "a\nb\r  c"}
    assert line(message).count(b"\n") == 1
    assert parse(line(message)) == message
    with pytest.raises(ValueError, match="JSON compliant"):
        line({"value": float("inf")})


@pytest.mark.parametrize("text", [b"", b"\n", b'{"event": "progr', b"[]", b"7", b"\xff"])
def test_a_broken_line_is_passed_over(text):
    assert parse(text) is None


def test_an_order_comes_through_whole():
    order = Order("id", "sleep", {"time": 1}, "/s", "/l", [{"file_id": "f", "path": "p", "filename": "n"}], "m")
    assert Order(**parse(run_line(order))["run"]) == order
