"""The scratch folder: everything under names of our own, and nothing in the store that did not succeed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import yaml

import dlc_jupyter
from dlc_jupyter.errors import AnalysisFailed, NoSpace, NotFound
from dlc_jupyter.jobs.cleanup import CleanUp, forget
from dlc_jupyter.jobs.protocol import Order
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.jobs.scratch import Scratch
from dlc_jupyter.pose.models import Models

MODEL = Path(dlc_jupyter.__file__).parent / "demo" / "model" / "config.yaml"


@pytest.fixture
def requests(settings):
    return Requests(settings, Models({"mouse": str(MODEL)}, ""))


@pytest.fixture
def scratch(settings, files, records, requests):
    return Scratch(settings, files, records, Models({"mouse": str(MODEL)}, ""), requests)


@pytest.fixture
def upload(files):
    def upload(content: bytes, filename: str) -> str:
        incoming = files.receive()
        incoming.append(content)
        return incoming.finish(filename).file_id

    return upload


@pytest.fixture
def ask(records, requests):
    def ask(analysis, file_ids=(), **values):
        return records.create(requests.prepare(analysis, values, file_ids), time.time())

    return ask


@pytest.fixture
def order(scratch, ask):
    return scratch.prepare(ask("sleep", time=0))


@pytest.fixture
def running(scratch, ask, records):
    """Have ``me`` claim a new analysis, and stage it."""

    def running() -> Order:
        ask("sleep", time=0)
        return scratch.prepare(records.claim("me", time.time(), 30))

    return running


def output(order: Order, name: str, content: str) -> str:
    (Path(order.scratch) / name).write_text(content)
    return name


# -- in ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("mouse.mp4", "video.mp4"),
        ("Maus Ä 1.MOV", "video.mov"),
        ("x.mkv", "video.mkv"),
        ("x.exe", "video.mp4"),
        ("x", "video.mp4"),
        (".mp4", "video.mp4"),
        ("x_labeled.mp4", "video.mp4"),
    ],
)
def test_a_video_is_called_video(scratch, ask, upload, filename, name):
    file_id = upload(b"bytes", filename)
    order = scratch.prepare(ask("video", [file_id], model="mouse"))
    assert order.inputs == [{"file_id": file_id, "path": f"{order.scratch}/{name}", "filename": filename}]
    assert Path(order.inputs[0]["path"]).read_bytes() == b"bytes"


def test_the_model_is_a_copy_of_its_own(scratch, ask, upload):
    before = MODEL.read_bytes()
    order = scratch.prepare(ask("video", [upload(b"bytes", "a.mp4")], model="mouse"))
    config = Path(order.model)
    assert config.is_relative_to(order.scratch)
    assert yaml.safe_load(config.read_text())["project_path"] == str(config.parent)
    assert MODEL.read_bytes() == before


def test_poses_made_earlier_are_staged_for_a_labelled_video(scratch, ask, upload, files, records, tmp_path):
    video = upload(b"bytes", "a.mp4")
    made = ask("video", [video], model="mouse")
    records.claim("me", time.time(), 30)
    (tmp_path / "poses.h5").write_bytes(b"poses")
    poses = files.add(tmp_path / "poses.h5", "poses.h5", origin=made.analysis_id).file_id
    records.succeed(made.analysis_id, "me", time.time(), {"h5_file": poses, "frames": 7}, [poses])

    order = scratch.prepare(ask("label", [video], model="mouse"))
    assert order.poses["analysis_id"] == made.analysis_id
    assert order.poses["result"] == {"h5_file": poses, "frames": 7}
    assert {field: Path(path).read_bytes() for field, path in order.poses["files"].items()} == {"h5_file": b"poses"}
    assert Path(order.poses["files"]["h5_file"]).suffix == ".h5"

    assert scratch.prepare(ask("label", [video], model="mouse", batch_size=3)).poses is None
    files.delete(poses)
    assert scratch.prepare(ask("label", [video], model="mouse")).poses is None


@pytest.mark.parametrize(("option", "told"), [("", None), ("/srv/the zoo", "/srv/the zoo"), ("~/zoo", "/home/me/zoo")])
def test_the_folder_of_the_zoo_is_told_to_the_engine(
    settings, files, records, requests, ask, monkeypatch, option, told
):
    monkeypatch.setenv("HOME", "/home/me")
    settings.superanimal_dir = option
    scratch = Scratch(settings, files, records, Models({}, ""), requests)
    assert scratch.prepare(ask("sleep", time=0)).superanimal_dir == told


def test_what_an_earlier_attempt_left_is_gone(scratch, ask):
    record = ask("sleep", time=0)
    first = scratch.prepare(record)
    output(first, "half.csv", "half")
    assert list(Path(scratch.prepare(record).scratch).iterdir()) == []


def test_an_input_whose_bytes_are_gone_is_refused(scratch, ask, upload, files):
    file_id = upload(b"bytes", "a.mp4")
    record = ask("video", [file_id], model="mouse")
    files.path(file_id).unlink()
    with pytest.raises(NotFound, match="gone"):
        scratch.prepare(record)


# -- out ---------------------------------------------------------------------------------------------------------------


def test_outputs_get_ids(scratch, order, files):
    result = {"csv_file": output(order, "a.csv", "a"), "h5_file": output(order, "a.h5", "b"), "no_file": None, "n": 1}
    stored, ids = scratch.store_outputs(order, result)
    assert [files.path(each).read_text() for each in ids] == ["a", "b"]
    assert stored == {"csv_file": ids[0], "h5_file": ids[1], "no_file": None, "n": 1}
    assert files.find(ids[0]).filename == "a.csv"


def test_nothing_is_stored_where_one_is_missing(scratch, order, files):
    with pytest.raises(AnalysisFailed, match="h5_file"):
        scratch.store_outputs(order, {"csv_file": output(order, "a.csv", "a"), "h5_file": "a.h5"})
    assert files.page(10, None) == []


@pytest.mark.parametrize("name", ["../../../dlc.db", "/etc/hostname"])
def test_only_what_lies_in_the_scratch_folder_is_an_output(scratch, order, name):
    with pytest.raises(AnalysisFailed, match="csv_file"):
        scratch.store_outputs(order, {"csv_file": name})


def test_nothing_stays_stored_where_the_disk_is_full_halfway(scratch, running, files, records, upload, monkeypatch):
    order = running()
    mine = upload(b"mine", "mine.txt")
    result = {
        "a_file": output(order, "a", "mine"),  # the same bytes as an upload: they stay
        "b_file": output(order, "b", "second"),
        "c_file": output(order, "c", "third"),
    }
    add = files.add

    def until_full(path, *rest, **how):
        if path.name == "c":
            raise NoSpace("The disk is full.", reason="disk-full")
        return add(path, *rest, **how)

    monkeypatch.setattr(files, "add", until_full)
    with pytest.raises(NoSpace):
        scratch.store_outputs(order, result)
    assert records.fail(order.analysis_id, "me", time.time(), {"type": "NoSpace", "message": "full", "hint": ""})
    scratch.clear(order.analysis_id)
    assert [each.file_id for each in files.page(10, None)] == [mine]
    assert records.outputs(order.analysis_id) == []
    files.delete(mine, unused_since=time.time())  # nothing holds it any more


@pytest.mark.parametrize("again", [True, False])
def test_a_result_keeps_its_file_when_an_equal_one_goes_at_this_moment(scratch, running, files, records, again):
    """Everything that makes the same bytes twice: sleep, ``fresh=true``, a second try."""

    def store(order):
        return scratch.store_outputs(order, {"csv_file": output(order, "sleep.csv", "0")})

    earlier = running()
    result, ids = store(earlier)
    assert records.succeed(earlier.analysis_id, "me", time.time(), result, ids)

    later = running()
    result, ids = store(later)
    forget(files, records, earlier.analysis_id)
    if again:
        assert records.succeed(later.analysis_id, "me", time.time(), result, ids)
        scratch.clear(later.analysis_id)
        assert files.path(result["csv_file"]).read_text() == "0"
        assert records.outputs(later.analysis_id) == ids
        forget(files, records, later.analysis_id)
    else:
        assert records.fail(later.analysis_id, "me", time.time(), {"type": "Error", "message": "", "hint": ""})
        scratch.clear(later.analysis_id)
    assert files.page(10, None) == []


def test_who_has_lost_an_analysis_takes_no_file_from_who_has_it_now(scratch, running, files, records):
    order = running()
    result = {"csv_file": output(order, "sleep.csv", "0")}
    _result, ids = scratch.store_outputs(order, result)
    records.recover(time.time() + 60, 2, {})
    assert records.claim("you", time.time(), 30).analysis_id == order.analysis_id
    output(order, "sleep.csv", "0")
    scratch.store_outputs(order, result)

    assert not records.succeed(order.analysis_id, "me", time.time(), {"csv_file": ids[0]}, ids)
    scratch.discard_outputs(ids)
    scratch.clear(order.analysis_id)
    assert records.succeed(order.analysis_id, "you", time.time(), {"csv_file": ids[0]}, ids)
    assert files.path(ids[0]).read_text() == "0"
    assert records.outputs(order.analysis_id) == ids


def test_logs_outlive_the_scratch_folder(scratch, order):
    scratch.log(order.analysis_id).write_text("what happened")
    scratch.clear(order.analysis_id)
    assert not Path(order.scratch).exists()
    assert scratch.log(order.analysis_id).read_text() == "what happened"


# -- what outlives an attempt ------------------------------------------------------------------------------------------


def test_what_an_attempt_has_kept_is_there_for_the_next_one(scratch, running, records):
    order = running()
    folder = Path(order.scratch)
    (folder / "kept").mkdir()
    (folder / "kept" / "half").write_text("work")
    (folder / "rest").mkdir()
    records.release(order.analysis_id, "me")
    scratch.clear(order.analysis_id)
    assert sorted(path.name for path in folder.rglob("*")) == ["half", "kept"]
    scratch.clear_all()
    again = scratch.prepare(records.find(order.analysis_id))
    assert (Path(again.scratch) / "kept" / "half").read_text() == "work"


def test_what_analyses_remember_outlives_them(scratch, running, settings, files, records):
    order = running()
    remembered = Path(order.memory, "batch_sizes.json")
    remembered.write_text("{}")
    records.fail(order.analysis_id, "me", time.time(), {"type": "A", "message": "b.", "hint": ""})
    scratch.clear(order.analysis_id)
    scratch.clear_all()
    years_later = time.time() + 10 * 365 * 86_400
    assert [removal.kind for removal in CleanUp(settings, files, records).run(years_later)] == ["analysis"]
    assert remembered.is_file()
    assert running().memory == order.memory


def test_what_analyses_remember_may_be_deleted(scratch, running):
    order = running()
    shutil.rmtree(order.memory)
    assert Path(running().memory).is_dir()


def test_nothing_is_kept_of_what_has_ended(scratch, running, records):
    order = running()
    (Path(order.scratch) / "kept").mkdir()
    records.fail(order.analysis_id, "me", time.time(), {"type": "E", "message": "m", "hint": ""})
    scratch.clear(order.analysis_id)
    assert not Path(order.scratch).exists()


def test_an_empty_scratch_folder_is_not_left_for_what_waits(scratch, running, records):
    order = running()
    records.release(order.analysis_id, "me")
    scratch.clear(order.analysis_id)
    assert not Path(order.scratch).exists()
