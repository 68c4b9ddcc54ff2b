"""The scratch folder: everything under names of our own, and nothing in the store that did not succeed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.errors import AnalysisFailed, NoSpace, NotFound
from dlc_jupyter.jobs.cleanup import CleanUp, forget
from dlc_jupyter.jobs.scratch import Scratch, begin_anew
from dlc_jupyter.pose.models import Models
from tests.jobs.conftest import POSES, output

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
    path = f"{order.scratch}/{name}"
    assert order.inputs == [{"file_id": file_id, "path": path, "filename": filename, "camera": ""}]
    assert Path(order.inputs[0]["path"]).read_bytes() == b"bytes"


def test_the_model_is_a_copy_of_its_own(scratch, ask, upload):
    before = demo.MODEL.read_bytes()
    order = scratch.prepare(ask("video", [upload(b"bytes", "a.mp4")], model="mouse"))
    config = Path(order.model)
    assert config.is_relative_to(order.scratch)
    assert yaml.safe_load(config.read_text())["project_path"] == str(config.parent)
    assert demo.MODEL.read_bytes() == before


def content_of(staged):
    return {field: Path(path).read_bytes() for field, path in staged["files"].items()}


@pytest.mark.parametrize(("maker", "prefix"), [("video", ""), ("label", ""), ("plot", ""), ("filter", "unfiltered_")])
def test_poses_made_earlier_are_staged_whoever_has_made_them(scratch, ask, upload, files, make, maker, prefix):
    video = upload(b"bytes", "a.mp4")
    analysis_id, ids = make(maker, [video], POSES, prefix=prefix, model="mouse")
    for wanting in ("label", "plot", "filter"):
        own = {"windowlength": 9} if wanting == "filter" else {"pcutoff": 0.3}
        (staged,) = scratch.prepare(ask(wanting, [video], model="mouse", **own)).poses
        assert staged["analysis_id"] == analysis_id
        assert staged["result"] == {"scorer": "DLC", "frames": 7, "provenance": None}
        assert content_of(staged) == POSES
        assert {Path(path).suffix for path in staged["files"].values()} == {".bin"}
    assert scratch.prepare(ask("video", [video], model="mouse", formats=["parquet"])).poses == []
    assert scratch.prepare(ask("label", [video], model="mouse", batch_size=3)).poses == [None]
    assert scratch.prepare(ask("label", [video], model="mouse", pcutoff=0.4), "99.0").poses == [None]
    files.delete(ids[f"{prefix}meta_file"])
    assert scratch.prepare(ask("label", [video], model="mouse", pcutoff=0.5)).poses == [None]


def test_a_part_starts_from_the_poses_of_the_whole_or_else_from_those_of_the_same_part(scratch, ask, upload, make):
    video = upload(b"bytes", "a.mp4")
    part = {"model": "mouse", "start": 4, "stop": 9}
    of_part, _ = make("label", [video], POSES, rows=9, **part)
    (staged,) = scratch.prepare(ask("label", [video], dotsize=3, **part)).poses
    assert (staged["analysis_id"], staged["result"]["frames"]) == (of_part, 9), "rows of the poses, not pictures"
    for other in ({"model": "mouse"}, {**part, "start": 5}):
        assert scratch.prepare(ask("label", [video], **other)).poses == [None]
    of_whole, _ = make("video", [video], POSES, model="mouse")
    (staged,) = scratch.prepare(ask("label", [video], dotsize=4, **part)).poses
    assert (staged["analysis_id"], staged["result"]["frames"]) == (of_whole, 7)


@pytest.mark.parametrize(("made", "wanted"), [("stop", "mark"), ("mark", "stop")])
@pytest.mark.parametrize("part", [{}, {"start": 4, "stop": 9}])
def test_where_every_frame_can_be_decoded_poses_are_the_same_whether_others_were_to_be_marked(
    scratch, ask, upload, make, made, wanted, part
):
    video = upload(b"bytes", "a.mp4")
    asked = {"model": "mouse", **part}
    make("video", [video], POSES, provenance={"every_frame_decoded": False}, on_bad_frame=made, **asked)
    assert scratch.prepare(ask("label", [video], on_bad_frame=wanted, **asked)).poses == [None]
    told = {"every_frame_decoded": True}
    whole, _ = make("video", [video], POSES, provenance=told, on_bad_frame=made, save_as_csv=False, **asked)
    (staged,) = scratch.prepare(ask("label", [video], on_bad_frame=wanted, dotsize=3, **asked)).poses
    assert staged["analysis_id"] == whole


def test_where_the_newest_poses_are_gone_earlier_ones_are_staged(scratch, ask, upload, files, make):
    video = upload(b"bytes", "a.mp4")
    first, _ = make("video", [video], POSES, model="mouse")
    second, ids = make("label", [video], {**POSES, "h5_file": b"the same, made again"}, model="mouse")
    assert scratch.prepare(ask("label", [video], model="mouse", dotsize=3)).poses[0]["analysis_id"] == second
    files.delete(ids["h5_file"])
    assert scratch.prepare(ask("label", [video], model="mouse", dotsize=4)).poses[0]["analysis_id"] == first


def test_a_result_without_its_poses_offers_none(scratch, ask, upload, make):
    """Such as that of a labelled video for which poses were there already."""
    video = upload(b"bytes", "a.mp4")
    make("label", [video], {"video_file": b"labelled"}, model="mouse")
    assert scratch.prepare(ask("label", [video], model="mouse", dotsize=3)).poses == [None]


def test_poses_that_went_to_the_same_request_again_stay_when_the_first_analysis_goes(
    scratch, ask, upload, files, records, make
):
    video = upload(b"bytes", "a.mp4")
    first, _ = make("video", [video], POSES, model="mouse")
    again = ask("video", [video], model="mouse")
    assert again.state == "succeeded"
    forget(files, records, first)
    (staged,) = scratch.prepare(ask("label", [video], model="mouse")).poses
    assert staged["analysis_id"] == again.analysis_id
    forget(files, records, again.analysis_id)
    assert scratch.prepare(ask("label", [video], model="mouse", dotsize=3)).poses == [None]


@pytest.mark.usefixtures("more")
def test_poses_of_each_camera_are_staged_for_its_own_video(scratch, ask, upload, make):
    videos = [upload(content, f"{content.decode()}.mp4") for content in (b"one", b"two")]
    analysis_id, _ = make("video", [videos[1]], POSES, model="mouse")  # by the 2D model of both cameras
    order = scratch.prepare(ask("stereo", videos, model="tray"))
    assert order.poses[0] is None
    assert order.poses[1]["analysis_id"] == analysis_id
    assert content_of(order.poses[1]) == POSES
    assert [(Path(each["path"]).name, each["camera"]) for each in order.inputs] == [
        ("video-1.mp4", "camera-1"),
        ("video-2.mp4", "camera-2"),
    ]


@pytest.mark.usefixtures("more")
def test_poses_of_a_camera_are_staged_for_a_labelled_video(scratch, ask, upload, make):
    videos = [upload(content, f"{content.decode()}.mp4") for content in (b"one", b"two")]
    told = {"device": "cpu", "cameras": {"camera-1": {"notes": ["Dark."]}, "camera-2": {"notes": []}}}
    analysis_id, _ = make("stereo", videos, POSES, prefix="camera-2_", model="tray", provenance=told)
    assert scratch.prepare(ask("label", [videos[0]], model="mouse")).poses == [None]
    (staged,) = scratch.prepare(ask("label", [videos[1]], model="mouse")).poses
    assert staged["analysis_id"] == analysis_id
    assert staged["result"] == {"scorer": "DLC", "frames": 7, "provenance": {"device": "cpu", "notes": []}}


@pytest.mark.usefixtures("more")
def test_the_whole_result_of_an_earlier_analysis_is_staged_where_it_is_started_from(scratch, ask, upload, files, make):
    videos = [upload(content, f"{content.decode()}.mp4") for content in (b"one", b"two")]
    assert scratch.prepare(ask("after-stereo", videos, model="tray", size=2)).earlier is None
    made = {"csv_file": b"points", "left / top_file": b"any name"}
    analysis_id, ids = make("stereo", videos, made, model="tray", size=2)
    order = scratch.prepare(ask("after-stereo", videos, model="tray", size=2))
    assert order.earlier["analysis_id"] == analysis_id
    assert order.earlier["result"]["csv_file"] == ids["csv_file"]
    assert content_of(order.earlier) == made
    assert all(Path(path).is_relative_to(order.scratch) for path in order.earlier["files"].values())
    assert scratch.prepare(ask("after-stereo", videos, model="tray", size=1)).earlier is None
    files.delete(ids["csv_file"])
    assert scratch.prepare(ask("after-stereo", videos, model="tray", size=2)).earlier is None


@pytest.mark.usefixtures("more")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".toml", ".pickle", ".yaml", ".yml", ".xml"])
def test_pictures_and_calibrations_keep_their_suffix_and_have_their_camera(scratch, ask, upload, suffix):
    ids = [upload(bytes([number]), f"Bild {number}{suffix.upper()}") for number in range(3)]
    order = scratch.prepare(ask("boards", cameras={"top": ids[:2], "side": ids[2:]}))
    assert [Path(each["path"]).name for each in order.inputs] == [f"video-{number}{suffix}" for number in (1, 2, 3)]
    assert [each["camera"] for each in order.inputs] == ["top", "top", "side"]


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


# -- what outlives an analysis that has not succeeded ------------------------------------------------------------------


@pytest.fixture
def leaving(scratch, ask, upload, records, requests, settings):
    """Have an analysis of a video end with poses of a part of its frames; return its id and the video's."""

    def leaving(content=b"bytes", chunk="a chunk", besides=()):
        video = upload(content, "a.mp4")
        record = ask("video", [video], model="mouse")
        begin_anew(settings.root, record.analysis_id)
        kept = Path(scratch.prepare(record).scratch) / "kept/poses"
        kept.mkdir()
        (kept / "rows.log").write_text(chunk)
        records.cancel(record.analysis_id, time.time())
        scratch.leave(record, requests.keys(record, None), besides)
        scratch.clear(record.analysis_id)
        assert not kept.exists()
        return record.analysis_id, video

    return leaving


def taken(order):
    """Return what there is to go on with at the start of an attempt."""
    return {str(path.relative_to(order.scratch)): path.read_text() for path in Path(order.scratch).rglob("*.log")}


@pytest.mark.parametrize("analysis", ["video", "label"])
def test_who_wants_the_same_poses_goes_on_behind_those_that_were_left(scratch, ask, leaving, settings, analysis):
    _, video = leaving()
    assert taken(scratch.prepare(ask(analysis, [video], model="mouse", on_bad_frame="mark"))) == {}
    record = ask(analysis, [video], model="mouse")
    assert taken(scratch.prepare(record)) == {"kept/poses/rows.log": "a chunk"}
    assert taken(scratch.prepare(record)) == {"kept/poses/rows.log": "a chunk"}, "a second attempt has them too"
    assert taken(scratch.prepare(ask(analysis, [video], model="mouse"))) == {}, "they are there once"
    assert list((settings.root / "left").iterdir()) == []


def test_of_several_that_left_poses_the_last_one_counts(scratch, ask, leaving):
    leaving(chunk="the first")
    _, video = leaving(chunk="the second")
    assert taken(scratch.prepare(ask("video", [video], model="mouse"))) == {"kept/poses/rows.log": "the second"}
    assert taken(scratch.prepare(ask("video", [video], model="mouse"))) == {"kept/poses/rows.log": "the first"}


def test_what_is_to_run_anew_does_not_go_on_with_anything(scratch, ask, leaving, settings):
    _, video = leaving()
    record = ask("video", [video], model="mouse")
    begin_anew(settings.root, record.analysis_id)
    assert taken(scratch.prepare(record)) == {}


def test_poses_without_a_chunk_and_those_that_are_whole_are_not_left(leaving, requests, ask, upload, settings):
    leaving(chunk="")
    ((key, _),) = requests.keys(ask("video", [upload(b"bytes", "a.mp4")], model="mouse"), None).poses
    leaving(besides=[key])
    assert not (settings.root / "left").exists()


@pytest.mark.usefixtures("more")
def test_poses_of_each_camera_are_left_and_taken(scratch, ask, leaving, upload):
    one, two = upload(b"one", "1.mp4"), leaving(b"two")[1]
    assert taken(scratch.prepare(ask("stereo", [one, two], model="tray"))) == {"kept/video-2/poses/rows.log": "a chunk"}


def test_what_was_left_goes_with_its_analysis_or_after_a_week(leaving, settings, files, records):
    first, _ = leaving(b"one")
    second, _ = leaving(b"two")
    forget(files, records, first)
    assert [path.name for path in (settings.root / "left").iterdir()] == [second]
    clean_up, now = CleanUp(settings, files, records), time.time()
    assert list(clean_up.run(now + 6.9 * 86_400)) == []
    ((kind, name, why),) = [(each.kind, each.id, each.reason) for each in clean_up.run(now + 7.1 * 86_400)]
    assert (kind, name, why) == ("poses", second, "left 7 days ago: they wait for 7 days")
    assert list((settings.root / "left").iterdir()) == []


def test_what_was_left_by_an_analysis_that_is_not_listed_any_more_goes(leaving, settings, files, records):
    analysis_id, _ = leaving()
    records.delete(analysis_id)
    ((name, why),) = [(each.id, each.reason) for each in CleanUp(settings, files, records).run(time.time())]
    assert (name, why) == (analysis_id, "its analysis is gone")
