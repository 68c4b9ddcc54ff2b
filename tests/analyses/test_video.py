"""`video`: the poses are DeepLabCut's own, every frame has a row, and what DeepLabCut keeps silent about is said."""

import hashlib
import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.pose import compact, compat
from tests.analyses.conftest import FRAMES
from tests.pose.test_tracks import assert_same
from tests.pose.videos import SOURCE, blank, cut, cut_open, ffmpeg

pytestmark = pytest.mark.deeplabcut


@pytest.fixture(scope="session")
def direct(deeplabcut, clip, tmp_path_factory):
    """What `deeplabcut.analyze_videos` itself makes of the clip, called as its documentation says."""

    def analyze(**options):
        folder = tmp_path_factory.mktemp("direct")
        shutil.copytree(demo.MODEL.parent, folder / "model")
        shutil.copy(clip, folder / "video.mp4")
        scorer = deeplabcut.analyze_videos(
            str(folder / "model/config.yaml"), [str(folder / "video.mp4")], save_as_csv=True, device="cpu", **options
        )
        return folder, f"video{scorer}"

    return analyze


@pytest.fixture
def project(tmp_path):
    """A copy of the demo's project, with some values of its config.yaml changed."""

    def make(**changes):
        folder = tmp_path / "project"
        shutil.copytree(demo.MODEL.parent, folder)
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **changes}))
        return config

    return make


@pytest.mark.parametrize("options", [{}, {"cropping": [20, 300, 10, 230], "batch_size": 4}], ids=["plain", "options"])
def test_the_poses_are_those_of_deeplabcut_value_for_value(run, clip, direct, options):
    result = run("video", clip, **options).result
    folder, name = direct(**options)
    expected = pd.read_hdf(folder / f"{name}.h5")
    assert len(expected) == FRAMES
    pd.testing.assert_frame_equal(pd.read_hdf(result["h5_file"]), expected, check_exact=True)
    assert result["csv_file"].read_bytes() == (folder / f"{name}.csv").read_bytes()
    full = folder / f"{name}_full.pickle"
    assert_same(pickle.loads(result["full_file"].read_bytes()), pickle.loads(full.read_bytes()))


def test_the_result_says_what_was_analysed_and_with_what(run, clip, deeplabcut):
    ran = run("video", clip)
    files = {key: value for key, value in ran.result.items() if key.endswith("_file")}
    date = yaml.safe_load(demo.MODEL.read_text())["date"]
    scorer = f"DLC_Resnet50_mouse{date}shuffle1_snapshot_" + ran.result["scorer"].rsplit("_", 1)[1]
    assert {key: path.name for key, path in files.items()} == {
        "csv_file": f"video{scorer}.csv",
        "h5_file": f"video{scorer}.h5",
        "poses_file": "poses.dlcp",
        "meta_file": f"video{scorer}_meta.pickle",
        "full_file": f"video{scorer}_full.pickle",
    }
    rest = {key: value for key, value in ran.result.items() if key not in files}
    assert rest.pop("bodyparts")[:3] == ["snout", "leftear", "rightear"]
    assert rest.pop("torch_version")
    provenance = rest.pop("provenance")
    assert rest == {
        "frames": FRAMES,
        "unreadable_frames": [],
        "fps": 30.0,
        "width": 320,
        "height": 240,
        "duration": 1.0,
        "codec": "h264",
        "variable_rate": False,
        "model": "mouse",
        "scorer": scorer,
        "individuals": [],
        "device": "cpu",
        "deeplabcut_version": deeplabcut.__version__,
    }
    assert ran.notes == []
    assert provenance["video"]["file_id"] == "0" * 40
    assert provenance["video"]["filename"] == "my mouse_labeled_full.mp4"
    assert provenance["video"]["frames"] == FRAMES
    network = next(demo.MODEL.parent.glob("dlc-models-pytorch/*/*/train"))
    assert provenance["model_files"] == [
        {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (network / "pytorch_config.yaml", *network.glob("snapshot*.pt"))
    ]
    assert provenance["parameters"]["model"] == "mouse"
    assert provenance["parameters"]["on_bad_frame"] == "stop"
    assert provenance["batch_sizes"] == {"batch_size": yaml.safe_load(demo.MODEL.read_text())["batch_size"]}
    assert set(provenance["versions"]) == {"dlc_jupyter", "deeplabcut", "torch", "opencv", "numpy", "python"}
    assert provenance["device"]
    assert provenance["fallbacks"] == []
    assert provenance["every_frame_decoded"] is True


def test_a_part_of_the_frames_can_be_looked_at(run, clip):
    ran = run("video", clip, start=10, stop=20, step=4)
    assert ran.result["frames"] == 19
    rows = pd.read_hdf(ran.result["h5_file"])
    assert rows.notna().all(axis=1).to_numpy().nonzero()[0].tolist() == [10, 14, 18]
    assert ran.progress[-1] == {"done": 3, "total": 3, "unit": "frames"}


def test_further_files_have_the_same_poses_and_the_times_of_the_frames(run, clip):
    import ndx_pose
    import pynwb

    start = "2026-01-31T10:00:00+01:00"
    ran = run("video", clip, formats=["parquet", "nwb"], session_start=start, start=4, step=2)
    poses = pd.read_hdf(ran.result["h5_file"])[ran.result["scorer"]]
    table = pd.read_parquet(ran.result["parquet_file"])
    snout = table[table["bodypart"] == "snout"].set_index("frame")
    assert snout.index.tolist() == list(range(4, FRAMES, 2))
    assert snout["time"].tolist() == pytest.approx([frame / 30 for frame in snout.index])
    assert snout["x"].tolist() == poses["snout"]["x"].loc[snout.index].tolist()
    with pynwb.NWBHDF5IO(ran.result["nwb_file"], "r") as file:
        session = file.read()
        assert session.session_start_time.isoformat() == start
        found = session.processing["behavior"].data_interfaces.values()
        [estimation] = [each for each in found if isinstance(each, ndx_pose.PoseEstimation)]
        series = next(each for name, each in estimation.pose_estimation_series.items() if "snout" in name.lower())
        assert series.data[:, 0].tolist() == snout["x"].tolist()


def test_their_times_are_those_of_the_rows_where_the_first_frames_are_lost(run, tmp_path):
    path, leading, _ = cut_open(tmp_path / "cut.mp4")
    ran = run("video", path, formats=["parquet"])
    table = pd.read_parquet(ran.result["parquet_file"])
    assert table["time"].min() == pytest.approx(leading / 30)
    assert table["time"].max() == pytest.approx((ran.result["frames"] - 1 + leading) / 30)
    assert any("cannot be decoded without what was cut away" in note for note in ran.notes)


@pytest.mark.parametrize("given", ["parameter", "project"])
def test_every_file_says_of_which_part_of_the_picture_the_poses_are(run, clip, project, given):
    import pynwb

    part = [20, 300, 10, 230]
    options = {"cropping": part}
    if given == "project":
        options = {"model": project(cropping=True, **dict(zip(("x1", "x2", "y1", "y2"), part, strict=True)))}
    start = "2026-01-31T10:00:00+01:00"
    result = run("video", clip, formats=["parquet", "nwb"], session_start=start, stop=5, **options).result
    assert compact.Finished.open(result["poses_file"]).cropping == part
    assert pq.read_schema(result["parquet_file"]).metadata[b"cropping"] == b"20,300,10,230"
    with pynwb.NWBHDF5IO(result["nwb_file"], "r") as file:
        [poses] = [
            each
            for each in file.read().processing["behavior"].data_interfaces.values()
            if each.neurodata_type == "PoseEstimation"
        ]
        for series in poses.pose_estimation_series.values():
            assert "Add (20, 10) for the whole picture" in series.reference_frame


@pytest.mark.parametrize("seen", [True, False])
def test_further_files_of_several_animals_have_their_tracks(deeplabcut, tmp_path, seen):
    from dlc_jupyter.pose.tracks import from_h5

    names = ["scorer", "individuals", "bodyparts", "coords"]
    two = [("net", animal, part, c) for animal in ("left", "right") for part in ("snout", "tail") for c in "xyl"]
    columns = pd.MultiIndex.from_tuples(two + [("net", "single", "door", c) for c in "xyl"] * seen, names=names)
    values = np.arange(4 * len(columns), dtype=np.float32).reshape(4, -1)
    pd.DataFrame(values, columns=columns, index=[1, 2, 3, 5]).to_hdf(tmp_path / "poses.h5", key="df_with_missing")
    tracks = from_h5(tmp_path / "poses.h5", range(1, 6, 2))
    assert tracks.origin.individuals == ["left", "right"]
    assert tracks.origin.bodyparts == ["snout", "tail"]
    assert np.array_equal(tracks.rows["bodyparts"].reshape(3, 12), values[[0, 2, 3], :12])
    assert list(tracks.origin.unique_bodyparts) == ["door"] * seen


def test_the_csv_file_can_be_left_out(run, clip):
    assert run("video", clip, save_as_csv=False).result["csv_file"] is None


def test_progress_counts_the_frames_and_is_complete_only_at_the_end(run, clip):
    progress = run("video", clip).progress
    assert {each["total"] for each in progress} == {FRAMES}
    assert {each["unit"] for each in progress} == {"frames"}
    done = [each["done"] for each in progress]
    assert done == sorted(done)
    assert done[-1] == FRAMES
    assert done.count(FRAMES) == 1


def test_nothing_is_left_replaced_in_deeplabcut(run, clip, other):
    from deeplabcut.pose_estimation_pytorch.apis import videos

    before = videos.tqdm
    run("video", clip)
    assert videos.tqdm is before


def test_the_project_is_not_written_to_wherever_it_lies(run, clip, project):
    config = project()  # moved: its project_path names another folder, which makes DeepLabCut rewrite config.yaml
    before = {path: (path.stat().st_mtime_ns, hashlib.sha1(path.read_bytes()).hexdigest()) for path in _files(config)}
    run("video", clip, model=config)
    assert before == {
        path: (path.stat().st_mtime_ns, hashlib.sha1(path.read_bytes()).hexdigest()) for path in _files(config)
    }


def _files(config):
    return [path for path in config.parent.rglob("*") if path.is_file()]


def test_poses_that_lie_beside_the_video_are_not_taken_for_its_own(run, clip, direct):
    _folder, name = direct()

    def leave_earlier_poses(scratch):  # DeepLabCut would say "already analyzed", and make nothing
        for ending in (".h5", "_full.pickle", "_meta.pickle"):
            (scratch / f"{name}{ending}").write_bytes(b"not what it seems")

    ran = run("video", clip, prepare=leave_earlier_poses)
    assert len(pd.read_hdf(ran.result["h5_file"])) == FRAMES


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("video.avi", ["-c:v", "mjpeg", "-q:v", "4"]),
        ("video.mkv", ["-c", "copy"]),
        ("video.webm", ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]),
        ("video.mp4", ["-ss", "0.3", "-c", "copy"]),
        ("444.mp4", ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv444p"]),
        ("one.mp4", ["-frames:v", "1", "-c:v", "libx264"]),
    ],
)
def test_every_kind_of_video_is_analysed_to_its_last_frame(run, clip, tmp_path, name, options):
    seek = options[:2] if options[0] == "-ss" else []
    path = ffmpeg([*seek, "-i", str(clip), *options[len(seek) :], "-an"], tmp_path / name)
    ran = run("video", path)
    expected = {"video.mp4": 21, "one.mp4": 1}.get(name, FRAMES)
    assert ran.result["frames"] == len(pd.read_hdf(ran.result["h5_file"])) == expected


# What DeepLabCut says nothing about, or says in words nobody can use (each really happened).


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda clip, path: path.write_text("time,x,y\n0,1,2\n"), "NotAVideo"),
        (lambda clip, path: path.write_bytes(b""), "NotAVideo"),
        (lambda clip, path: ffmpeg(["-i", str(clip), "-frames:v", "1", "-f", "image2"], path), "NotAVideo"),
        (lambda clip, path: ffmpeg([*SOURCE, "-frames:v", "0"], path), "NotAVideo"),
        (lambda clip, path: cut(ffmpeg(["-i", str(clip), "-c", "copy"], path), 0.7, path), "VideoCutShort"),
        (lambda clip, path: cut(clip, 0.6, path), "VideoCutShort"),
    ],
    ids=["text", "empty", "image", "no-frames", "no-table", "cut"],
)
def test_what_is_no_whole_video_is_refused(fails, clip, tmp_path, make, kind):
    path = tmp_path / "given.mp4"
    make(clip, path)
    assert fails("video", path).kind == kind


def test_a_cut_video_is_named_with_the_frame_and_time_where_it_ends_and_should(fails, clip, tmp_path):
    failed = fails("video", cut(clip, 0.6, tmp_path / "cut.mp4"))
    assert "it ends with frame " in failed.message
    assert "it should last 1.00 s, about 30 frames" in failed.message


def test_of_a_cut_video_the_frames_that_are_there_can_be_had(run, fails, clip, tmp_path):
    path = cut(clip, 0.6, tmp_path / "cut.mp4")
    refused = fails("video", path)
    there = int(re.search(r"are there: stop=(\d+), or less", refused.hint)[1])
    assert 6 < there < FRAMES
    ran = run("video", path, start=2, stop=there)
    whole = run("video", clip, start=2, stop=there)
    pd.testing.assert_frame_equal(pd.read_hdf(ran.result["h5_file"]), pd.read_hdf(whole.result["h5_file"]))
    assert ran.result["frames"] == there
    [note] = ran.notes
    assert note == f"{refused.message} What was asked for, up to stop={there}, is there."
    assert whole.notes == []
    for options in ({"stop": there + 1}, {"stop": 900}, {"start": 2}, {"on_bad_frame": "mark"}):
        assert fails("video", path, **options).message == refused.message


def test_a_video_at_which_the_decoder_stops_has_no_result(fails, clip, tmp_path):
    failed = fails("video", blank(clip, 0.7, 6000, tmp_path / "zeros.mp4"))
    assert failed.kind == "VideoCutShort"
    assert "The analysis stopped at frame " in failed.message
    assert "goes on to frame 29 (0.97 s)" in failed.message


def test_frames_that_cannot_be_decoded_are_counted_as_rows_are(run, clip, tmp_path):
    ran = run("video", blank(clip, 0.7, 6000, tmp_path / "zeros.mp4"), on_bad_frame="mark")
    unreadable = ran.result["unreadable_frames"]
    assert unreadable == np.flatnonzero(pd.read_hdf(ran.result["h5_file"]).isna().all(axis=1)).tolist() != []
    numbers = ", ".join(map(str, unreadable[:10]))
    assert [note for note in ran.notes if f"(counted from 0): {numbers}" in note]


@pytest.mark.parametrize(
    ("stop", "said"), [(FRAMES, []), (900, ["stop=900 is beyond the video's end: it has 30 frames."])]
)
def test_a_stop_behind_the_end_is_said(run, clip, stop, said):
    ran = run("video", clip, stop=stop, step=14)
    assert [note for note in ran.notes if note.startswith("stop=")] == said
    assert ran.result["frames"] == 29  # the last one that was looked at is 28


def test_a_shuffle_that_was_not_trained_is_refused_naming_those_that_were(fails, clip):
    failed = fails("video", clip, shuffle=7)
    assert failed.kind == "UnknownShuffle"
    assert failed.message.endswith("There are: shuffle 1 (trainingsetindex 0).")
    assert fails("video", clip, trainingsetindex=1).kind == "UnknownShuffle"


@pytest.mark.parametrize("index", [1, 5, -2])
def test_a_snapshot_that_is_not_there_is_refused_naming_those_that_are(fails, clip, index):
    failed = fails("video", clip, snapshot_index=index)
    assert failed.kind == "UnknownSnapshot"
    assert f"There is no snapshot {index}. Shuffle 1 has 1, counted from 0: snapshot-" in failed.message


def test_a_snapshot_index_in_the_project_that_is_not_there_is_refused_too(fails, clip, project):
    assert fails("video", clip, model=project(snapshotindex=4)).kind == "UnknownSnapshot"


def test_a_gpu_that_is_not_there_is_refused(fails, clip):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    failed = fails("video", clip, device="cuda:0")
    assert failed.kind == "NoGPU"
    assert "device=cpu" in failed.hint


@pytest.mark.parametrize("content", [b"", b"no snapshot at all", bytes(1000)])
def test_a_damaged_snapshot_is_refused(fails, clip, project, content):
    config = project()
    next(config.parent.rglob("snapshot-*.pt")).write_bytes(content)
    assert fails("video", clip, model=config).kind == "BrokenModel"


def test_a_snapshot_of_another_network_is_refused(fails, clip, project):
    import torch

    config = project()
    torch.save(
        {"model": {"weight": torch.zeros(3)}, "metadata": {"epoch": 1}}, next(config.parent.rglob("snapshot-*.pt"))
    )
    assert fails("video", clip, model=config).kind == "BrokenModel"


def test_a_start_behind_the_last_frame_is_refused(fails, clip):
    failed = fails("video", clip, start=FRAMES)
    assert failed.kind == "BadSpan"
    assert f"Give a start below {FRAMES}." in failed.hint


@pytest.mark.parametrize("cropping", [[0, 321, 0, 240], [0, 320, 0, 241], [400, 500, 0, 100]])
def test_cropping_outside_of_the_picture_is_refused_naming_its_size(fails, clip, cropping):
    failed = fails("video", clip, cropping=cropping)
    assert failed.kind == "BadCropping"
    assert "320 x 240 pixels" in failed.message


def test_the_projects_own_cropping_is_held_against_the_picture_too(fails, clip, project):
    failed = fails("video", clip, model=project(cropping=True, x1=0, x2=640, y1=0, y2=480))
    assert "the cropping in the project's config.yaml" in failed.message


@pytest.fixture
def other(monkeypatch):
    """Another DeepLabCut, with which its own loop has to run."""
    monkeypatch.setattr(compat, "changed", lambda: ("deeplabcut.somewhere:video_inference",))


def test_with_another_deeplabcut_the_result_says_that_its_own_loop_ran(run, clip, direct, other):
    ran = run("video", clip)
    folder, name = direct()
    pd.testing.assert_frame_equal(
        pd.read_hdf(ran.result["h5_file"]), pd.read_hdf(folder / f"{name}.h5"), check_exact=True
    )
    assert ran.notes == ran.result["provenance"]["fallbacks"]
    assert "DeepLabCut's own loop was used" in ran.notes[0]


def test_an_analysis_that_ends_without_its_files_has_failed(fails, clip, monkeypatch, deeplabcut, other):
    monkeypatch.setattr(deeplabcut, "analyze_videos", lambda *arguments, **keywords: "DLC_scorer")
    assert fails("video", clip).kind == "NoPoses"


def test_rows_that_are_lost_on_the_way_to_the_file_are_noticed(fails, clip, monkeypatch, deeplabcut, other):
    original = deeplabcut.analyze_videos

    def lossy(config, videos, destfolder, **keywords):
        scorer = original(config, videos, destfolder=destfolder, **keywords)
        path = f"{destfolder}/video{scorer}.h5"
        pd.read_hdf(path).iloc[:-1].to_hdf(path, key="df_with_missing", mode="w")
        return scorer

    monkeypatch.setattr(deeplabcut, "analyze_videos", lossy)
    failed = fails("video", clip)
    assert failed.kind == "RowsMissing"
    assert "29 rows for 30 frames" in failed.message


def test_what_deeplabcut_raises_reaches_the_user_without_the_servers_paths(fails, clip, monkeypatch, deeplabcut, other):
    def broken(config, *arguments, **keywords):
        raise RuntimeError(f"something in {config} went wrong\nand a second line")

    monkeypatch.setattr(deeplabcut, "analyze_videos", broken)
    failed = fails("video", clip)
    assert failed.message == (
        "DeepLabCut stopped with RuntimeError: something in config.yaml went wrong and a second line"
    )


def test_a_gpu_whose_memory_is_too_small_is_said_with_what_to_do(fails, clip, monkeypatch, deeplabcut, other):
    import torch

    def full(*arguments, **keywords):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(deeplabcut, "analyze_videos", full)
    failed = fails("video", clip)
    assert failed.kind == "OutOfMemory"
    assert "batch_size" in failed.hint
