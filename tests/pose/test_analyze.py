"""The files are those of ``analyze_videos``, whatever interrupts the work, and rows stay with their frames."""

import contextlib
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import analyze as module
from dlc_jupyter.pose import compat, inference, memory, runners
from dlc_jupyter.pose.analyze import Span, Task, analyze
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.network import Poses
from dlc_jupyter.pose.rows import read
from tests.pose import networks
from tests.pose.networks import KINDS, Seeing, network, of, walking
from tests.pose.test_sizes import Invented
from tests.pose.test_tracks import assert_same
from tests.pose.videos import blank

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def make(tmp_path):
    """Make the poses of a video in a folder of its own; what is kept goes to ``kept`` of the test's folder."""
    runs = 0

    def start(video: Path, chosen, kept: Path | None = None, **options) -> Poses:
        nonlocal runs
        runs += 1
        start.told = told = []
        task = Task(video, inspect(video), chosen, about={"video": "ab"}, **options)
        return analyze(
            task,
            tmp_path / f"made-{runs}",
            kept or tmp_path / f"kept-{runs}",
            save_as_csv=True,
            progress=told.append,
        )

    return start


def by_deeplabcut(deeplabcut, video: Path, chosen, folder: Path) -> None:
    """Let ``analyze_videos`` write its files."""
    options = {"cropping": chosen.cropping, "batch_size": chosen.batch_size}
    deeplabcut.analyze_videos(
        str(chosen.config),
        [str(video)],
        shuffle=chosen.shuffle,
        destfolder=str(folder),
        save_as_csv=True,
        device="cpu",
        **{name: value for name, value in options.items() if value is not None},
    )


def assert_same_files(ours: Path, theirs: Path) -> set[str]:
    """Refuse any difference between the files in two folders, but for the time of day; return how their names end."""
    ours, theirs = ({path.name: path for path in each.iterdir()} for each in (ours, theirs))
    assert set(ours) == set(theirs)
    for name, path in theirs.items():
        if path.suffix == ".h5":
            exactly = {"check_exact": True, "check_index_type": "exact", "check_column_type": "exact"}
            pd.testing.assert_frame_equal(pd.read_hdf(ours[name]), pd.read_hdf(path), **exactly)
        elif path.suffix == ".csv":
            assert ours[name].read_bytes() == path.read_bytes()
        else:
            mine, its = (pickle.loads(each.read_bytes()) for each in (ours[name], path))
            for made in (mine, its) if name.endswith("_meta.pickle") else ():
                for time in ("start", "stop", "run_duration"):
                    assert made["data"].pop(time) > 0
            assert_same(mine, its, name)
    [meta] = [name for name in theirs if name.endswith("_meta.pickle")]
    return {name.removeprefix(meta.removesuffix("_meta.pickle")) for name in theirs}


TABLE = {".h5", ".csv", "_full.pickle", "_meta.pickle"}
FOUND = {"_full.pickle", "_meta.pickle", "_assemblies.pickle", "_el.pickle"}
TRACKS = {"_el.h5", "_el.csv"}

#: The animals that random weights see in these are nowhere for long.
LOST = ("top-down",)
SEVERAL = ("several", "identity", "top-down", "conditional")


@pytest.mark.parametrize("options", [{}, {"cropping": [11, 120, 20, 87], "batch_size": 3}], ids=["plain", "options"])
@pytest.mark.parametrize("kind", [*KINDS, "demo"])
def test_the_files_are_those_of_deeplabcut(deeplabcut, model, clip, make, tmp_path, kind, options):
    video, chosen = clip(of(kind)), network(model(kind), **options)
    if kind in LOST:
        with pytest.raises(OSError, match=r"^Tracklets are empty\.$"):
            by_deeplabcut(deeplabcut, video, chosen, tmp_path / "theirs")
        with pytest.raises(AnalysisFailed, match="could not be tracked") as failed:
            make(video, chosen)
        assert failed.value.kind == "NotTracked"
    else:
        by_deeplabcut(deeplabcut, video, chosen, tmp_path / "theirs")
        assert make(video, chosen).h5.name.endswith(f"{chosen.tracker}.h5")
    found = FOUND | (set() if kind in LOST else TRACKS) if kind in SEVERAL else TABLE
    assert assert_same_files(tmp_path / "made-1", tmp_path / "theirs") == found


@pytest.mark.parametrize("kind", SEVERAL)
def test_the_tracks_are_those_of_deeplabcut(deeplabcut, model, clip, make, tmp_path, monkeypatch, kind):
    """The weights are random, but what the networks say that they see is put in: two animals that walk on."""
    video, chosen = clip("short.mp4" if kind == "conditional" else "clip.mp4"), network(model(kind), batch_size=4)
    assert compat.changed() == ()  # but for what is put in here
    networks.find_walkers(monkeypatch)
    by_deeplabcut(deeplabcut, video, chosen, tmp_path / "theirs")
    poses = make(video, chosen)
    assert assert_same_files(tmp_path / "made-1", tmp_path / "theirs") == FOUND | TRACKS
    rows, total = pd.read_hdf(poses.h5)[poses.scorer], inspect(video).frames
    for animal in ("left", "right"):
        assert np.diff(rows[animal]["body"]["x"].iloc[[1, total - 2]]) > 1
    assert make.told == sorted(make.told)
    assert make.told[-1] == total
    assert total - 1 in make.told  # following them counts too


@pytest.mark.parametrize("name", ["full.mp4", "odd.mp4", "grey.mp4", "motion.avi", "clip.mkv"])
def test_the_files_are_those_of_deeplabcut_for_every_form_of_video(deeplabcut, model, clip, make, tmp_path, name):
    chosen = network(model("single"), batch_size=5)
    by_deeplabcut(deeplabcut, clip(name), chosen, tmp_path / "theirs")
    assert make(clip(name), chosen).rows == 27
    assert assert_same_files(tmp_path / "made-1", tmp_path / "theirs") == TABLE


def interrupted(monkeypatch, after: int):
    """Have the network stop after so many batches, with chunks as short as can be."""
    original, left = inference.run_network, [after]

    def run_network(runner, inputs):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return original(runner, inputs)

    monkeypatch.setattr(inference, "run_network", run_network)
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.0)
    return left


def files(poses: Poses) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in poses.folder.iterdir() if "_meta" not in path.name}


@pytest.mark.parametrize("span", [Span(), Span(3, 25, 2)], ids=["whole", "part"])
def test_an_attempt_goes_on_where_the_last_one_stopped_and_the_files_are_the_same_bytes(
    model, clip, make, monkeypatch, tmp_path, span
):
    video, chosen = clip("clip.mp4"), network(model("demo"), batch_size=4)
    whole = files(make(video, chosen, span=span))
    left = interrupted(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        make(video, chosen, tmp_path / "kept", span=span)
    left[0] = 100
    poses = make(video, chosen, tmp_path / "kept", span=span)
    assert make.told[0] == 8
    total = len(span.frames(inspect(video)))
    assert 100 - left[0] == -(-(total - 8) // 4)
    assert files(poses) == whole
    assert make.told[-1] == total


def test_poses_of_another_request_are_not_gone_on_with(model, clip, make, monkeypatch, tmp_path):
    video, chosen = clip("clip.mp4"), network(model("demo"), batch_size=4)
    left = interrupted(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        make(video, chosen, tmp_path / "kept")
    left[0] = 100
    make(video, network(model("demo"), batch_size=4, cropping=[10, 200, 20, 200]), tmp_path / "kept")
    assert make.told[0] == 0


def test_rows_that_are_whole_already_need_no_network(model, clip, make, monkeypatch, tmp_path):
    video, chosen = clip("clip.mp4"), network(model("demo"))
    whole = files(make(video, chosen, tmp_path / "kept"))
    interrupted(monkeypatch, 0)
    assert files(make(video, chosen, tmp_path / "kept")) == whole


def test_row_i_is_frame_i_whatever_was_looked_at(model, clip, make):
    video, chosen = clip("clip.mp4"), network(model("demo"))
    every = pd.read_hdf(make(video, chosen).h5)
    part = make(video, chosen, span=Span(5, 20, 3))
    rows = pd.read_hdf(part.h5)
    assert len(rows) == part.rows == 18
    looked_at = list(range(5, 20, 3))
    pd.testing.assert_frame_equal(rows.loc[looked_at], every.loc[looked_at], check_exact=True)
    assert rows.drop(index=looked_at).isna().all(axis=None)
    assert make.told[-1] == 5


def test_several_animals_are_followed_through_a_part_of_the_video(model, clip, make, monkeypatch):
    monkeypatch.setattr(inference, "make_loop", lambda *_: Seeing(walking))
    poses = make(clip("clip.mp4"), network(model("several")), span=Span(8, 25))
    rows = pd.read_hdf(poses.h5)[poses.scorer]
    assert len(rows) == poses.rows == 25
    assert rows.loc[:7].isna().all(axis=None)
    assert rows.loc[10:23].notna().all(axis=None)
    heights = [rows[name]["body"]["y"].median() for name in ("left", "right")]
    assert sorted(heights) == pytest.approx([85, 185], abs=1)


def test_several_animals_cannot_be_followed_by_leaps(model, clip, make):
    with pytest.raises(AnalysisFailed, match="from one frame to the next, so step must be 1"):
        make(clip("small.mp4"), network(model("several")), span=Span(0, None, 2))


def recorded(monkeypatch, stop_after: int | None = None) -> dict[str, list]:
    """Keep what each network sees, with chunks as short as can be; have the last one stop after so many batches."""
    original, seen = runners.build, {"pose": [], "detector": []}

    def build(chosen):
        built = original(chosen)
        for name, runner in (("pose", built.pose), ("detector", built.detector)):
            if runner is not None:
                monkeypatch.setattr(runner, "predict", seeing(name, runner.predict))
        return built

    def seeing(name, predict):
        def look(inputs, **more):
            if name == "pose" and len(seen[name]) == stop_after:
                raise KeyboardInterrupt
            seen[name].append(inputs.numpy().tobytes())
            return predict(inputs, **more)

        return look

    monkeypatch.setattr(runners, "build", build)
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.0)
    return seen


@pytest.mark.parametrize(("kind", "stop_after"), [("top-down", 2), ("top-down", 3), ("conditional", 1)])
def test_another_attempt_sees_the_batches_of_animals_that_were_left_and_no_others(
    model, clip, make, tmp_path, kind, stop_after
):
    video, chosen = clip("clip.mp4"), network(model(kind), batch_size=5, detector_batch_size=4)
    if kind == "conditional":
        video = clip(of(kind))
    outcomes = []
    for kept, stops in (("whole", [None]), ("broken", [stop_after, None])):
        for stop in stops:
            with pytest.MonkeyPatch.context() as patch:
                seen = recorded(patch, stop)
                patch.setattr(module, "_follow_animals", lambda *_: None)  # which is not the matter here, and slow
                if stop is None:
                    outcomes.append((seen, records_of(make, video, chosen, tmp_path / kept), make.told))
                else:
                    with pytest.raises(KeyboardInterrupt):
                        make(video, chosen, tmp_path / kept)
    (whole, wanted, _), (again, found, told) = outcomes
    assert found == wanted
    assert 0 < told[0] < told[-1]
    for name in ("pose", "detector"):
        assert again[name] == whole[name][len(whole[name]) - len(again[name]) :]
    assert 0 < len(again["pose"]) < len(whole["pose"])


def records_of(make, video: Path, chosen, kept: Path) -> bytes:
    """Make the poses, and return their records: there are no files, for nobody has followed the animals."""
    with contextlib.suppress(AnalysisFailed):
        make(video, chosen, kept)
    assert make.told[-1] == round(0.9 * inspect(video).frames)  # nobody has followed them
    return read(kept / "poses").tobytes()


def test_what_an_earlier_attempt_had_to_do_without_is_still_said_and_once(model, clip, make, monkeypatch, tmp_path):
    original, left, sizes = inference.run_network, [6], []

    def run_network(runner, inputs):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return original(runner, inputs)

    monkeypatch.setattr(inference, "run_network", run_network)
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.0)
    video, chosen = clip("clip.mp4"), network(model("demo"), batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        make(video, chosen, tmp_path / "kept")
    assert sizes == [8, 4, *[2] * 7]
    del sizes[:]
    left[0] = 100
    poses = make(video, chosen, tmp_path / "kept")
    assert (make.told[0], sizes) == (8, [*[2] * 8, 2, 1])  # the memory is not asked again for what it did not have
    assert poses.fallbacks == ["The GPU's memory did not suffice for batch_size 8; it was 2."]


def test_what_was_prepared_by_deeplabcut_in_an_earlier_attempt_is_still_said(model, clip, make, monkeypatch, tmp_path):
    video, chosen = clip("clip.mp4"), network(model("resized"), batch_size=4)
    with pytest.MonkeyPatch.context() as patch:
        recorded(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            make(video, chosen, tmp_path / "kept")
    said = ["The pictures were prepared by DeepLabCut, one by one: its transform has Resize."]
    assert make(video, chosen, tmp_path / "kept").fallbacks == said
    assert make.told[0] == 12
    assert make(video, chosen, tmp_path / "kept").fallbacks == said  # no picture is looked at any more
    assert make.told[0] == 27


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that the processor is a GPU with so much memory; return it."""
    device, original = Invented(), runners.build

    def build(chosen):
        return replace(original(replace(chosen, device="cpu")), network=chosen)

    monkeypatch.setattr(runners, "build", build)
    monkeypatch.setattr(memory, "Cuda", lambda name: device)
    monkeypatch.setattr(module, "page_locked", lambda shape: np.empty(shape, np.uint8))
    return device


def test_on_a_gpu_an_attempt_keeps_to_the_size_of_batches_of_the_one_before(
    model, clip, make, monkeypatch, tmp_path, gpu
):
    video = clip("clip.mp4")
    chosen = network(model("demo"), device="cuda:0", measured_file=tmp_path / "measured.json")
    gpu.free = 8 << 30
    left = interrupted(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        make(video, chosen, tmp_path / "kept")
    assert gpu.seen == [1, 1, 4]
    gpu.free, left[0] = 80 << 30, 100
    make(video, chosen, tmp_path / "kept")
    assert (make.told[0], 100 - left[0]) == (16, 2)
    left[0] = 100
    poses = make(video, chosen)  # nothing was kept: as many as fit now, and nothing is measured again
    assert (100 - left[0], gpu.seen) == (1, [1, 1, 4])
    assert (poses.rows, poses.batch_sizes) == (27, {"batch_size": 64})
    left[0] = 100
    assert make(video, replace(chosen, batch_size=2)).batch_sizes == {"batch_size": 2}
    assert 100 - left[0] == 14


def test_where_a_gpus_memory_did_not_suffice_other_analyses_begin_with_less(
    model, clip, make, monkeypatch, tmp_path, gpu
):
    original, sizes = inference.run_network, []

    def run_network(runner, inputs):
        sizes.append(len(inputs))
        if len(inputs) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(runner, inputs)

    monkeypatch.setattr(inference, "run_network", run_network)
    chosen = network(model("demo"), device="cuda:0", measured_file=tmp_path / "measured.json")
    said = make(clip("clip.mp4"), chosen).fallbacks
    assert said == ["The GPU's memory did not suffice for batch_size 16; it was 4."]
    assert sizes[:3] == [16, 8, 4]
    del sizes[:]
    assert make(clip("clip.mp4"), chosen).fallbacks == []
    assert sizes == [4, 4, 4, 4, 4, 4, 3]


@pytest.fixture(scope="session")
def damaged(video, tmp_path_factory):
    return blank(video("plain.mp4"), 0.5, 3000, tmp_path_factory.mktemp("damaged") / "damaged.mp4")


def test_a_frame_that_cannot_be_decoded_stops_the_analysis_and_is_named(model, damaged, make):
    with pytest.raises(AnalysisFailed, match=r"stopped at frame 59, counted .* goes on to frame 119 "):
        make(damaged, network(model("single")))


def test_a_frame_that_cannot_be_decoded_has_a_row_of_nan_where_that_is_wanted(model, damaged, make, video):
    chosen = network(model("single"))
    poses = make(damaged, chosen, mark=True)
    rows = pd.read_hdf(poses.h5)
    assert len(rows) == poses.rows == 120
    assert poses.unreadable == np.flatnonzero(rows.isna().all(axis=1)).tolist() != []
    whole = pd.read_hdf(make(video("plain.mp4"), chosen).h5)
    assert np.array_equal(rows.iloc[90:], whole.iloc[90:])
    full = pickle.loads(poses.file("_full.pickle").read_bytes())
    assert np.isnan(full[f"frame{poses.unreadable[0]:03}"]["confidence"][0]).all()


def test_frames_that_cannot_be_decoded_keep_their_places_in_another_attempt(
    model, damaged, make, monkeypatch, tmp_path, capsys
):
    chosen = network(model("single"), batch_size=4)
    whole = make(damaged, chosen, mark=True)
    left = interrupted(monkeypatch, 16)
    with pytest.raises(KeyboardInterrupt):
        make(damaged, chosen, tmp_path / "kept", mark=True)
    left[0] = 100
    assert "goes on with" not in capsys.readouterr().out
    poses = make(damaged, chosen, tmp_path / "kept", mark=True)
    assert re.search(r"poses of (\d+) frames: this one goes on with frame \1, ", capsys.readouterr().out)
    assert files(poses) == files(whole)
    assert poses.unreadable == whole.unreadable


def test_a_span_behind_the_end_is_refused(model, clip, make):
    with pytest.raises(AnalysisFailed, match="27 frames, counted from 0: none is left from start=27 on"):
        make(clip("clip.mp4"), network(model("demo")), span=Span(27))


def test_a_stop_behind_the_end_is_the_end(model, clip, make):
    assert make(clip("clip.mp4"), network(model("demo")), span=Span(20, 1000)).rows == 27


@pytest.fixture
def other(monkeypatch):
    """Another DeepLabCut, of which a function is not the one that was read."""
    monkeypatch.setattr(compat, "changed", lambda: ("deeplabcut.somewhere:video_inference",))


@pytest.mark.parametrize("kind", ["top-down", "conditional"])
def test_with_another_deeplabcut_all_weights_that_were_used_are_named(model, clip, make, other, monkeypatch, kind):
    chosen = network(model(kind), batch_size=4, detector_batch_size=2)
    usual = runners.build(chosen)
    networks.find_walkers(monkeypatch)
    poses = make(clip("small.mp4" if kind == "conditional" else "clip.mp4"), chosen)
    assert {path.resolve() for path in poses.model_files} == {path.resolve() for path in usual.files}
    assert poses.batch_sizes == {"batch_size": 4, **({"detector_batch_size": 2} if kind == "top-down" else {})}


def test_with_another_deeplabcut_its_own_loop_runs_and_the_result_says_so(model, clip, make, other):
    video, chosen = clip("clip.mp4"), network(model("demo"))
    poses = make(video, chosen)
    usual = runners.build(chosen)
    assert {path.resolve() for path in poses.model_files} == {path.resolve() for path in usual.files}
    assert poses.batch_sizes == {"batch_size": usual.batch_size}
    assert len(poses.fallbacks) == 1
    assert "video_inference differs" in poses.fallbacks[0]
    assert make.told[-1] == 27


def test_with_another_deeplabcut_what_its_loop_cannot_do_is_refused(model, clip, make, other):
    with pytest.raises(AnalysisFailed, match="cannot be used with the DeepLabCut of this server"):
        make(clip("clip.mp4"), network(model("demo")), span=Span(3))


def test_a_video_of_which_nothing_can_be_decoded_is_refused(model, video, make, tmp_path):
    path = tmp_path / "nothing.mp4"
    shutil.copy(video("plain.mp4"), path)
    media = inspect(path)
    blank(path, 0.02, 10**6, path)
    with pytest.raises(AnalysisFailed, match="No frame of the video could be decoded"):
        analyze(
            Task(path, media, network(model("single")), mark=True),
            tmp_path / "made",
            tmp_path / "kept",
            save_as_csv=True,
            progress=lambda done: None,
        )
