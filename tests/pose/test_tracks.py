"""DeepLabCut's files: what is read from them is what DeepLabCut's own functions write, and a full disk leaves none."""

import hashlib
import pickle
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import assemblies
from dlc_jupyter.pose import tracks as module
from dlc_jupyter.pose.full_pickle import Boxes
from dlc_jupyter.pose.tracks import Tracks, write
from tests.pose.predictions import Case

CASES = {
    "one animal": Case(multi_animal=False),
    "three animals": Case(animals=3),
    "unique body parts": Case(animals=3, unique=2),
    "identity": Case(animals=3, identity=True),
    "identity and unique body parts": Case(animals=2, unique=3, identity=True),
    "boxes": Case(animals=3, boxes=True, empty=0.3),
    "only ever without animals": Case(animals=2, boxes=True, empty=1.0),
    "all": Case(animals=3, unique=1, identity=True, boxes=True, empty=0.2),
    "more values": Case(animals=2, values=5),
    "more animals than have names": Case(animals=4, named=2),
    "one body part": Case(bodyparts=1, multi_animal=False),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request) -> Case:
    return request.param


@pytest.fixture
def small_pieces(monkeypatch):
    """Files are written in many pieces, as those of a long video are."""
    monkeypatch.setattr(module, "_PIECE", 4096)
    monkeypatch.setattr(module, "_CELLS", 512)


def assert_same(ours, theirs, where="the file"):
    """Refuse any difference: in types, in the order of keys, in numbers, and in whether arrays can be written to."""
    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{where}, {key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}, {number}")
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        assert ours.flags.writeable == theirs.flags.writeable, where
        np.testing.assert_array_equal(ours, theirs, err_msg=where, strict=True)
    elif isinstance(theirs, pd.Index):
        assert ours.identical(theirs), where
    else:
        assert ours == theirs, where


def write_by_deeplabcut(videos, case: Case, predictions, folder: Path) -> dict[str, Path]:
    """Write the files as ``deeplabcut.analyze_videos`` does, from the same predictions."""
    folder.mkdir()
    prefix = f"video{case.origin.scorer}"
    full = folder / f"{prefix}_full.pickle"
    full.write_bytes(pickle.dumps(videos._generate_output_data(case.origin.pose_cfg, predictions), 5))
    videos.create_df_from_prediction(
        predictions, case.origin.scorer, case.multi_animal, case.model_cfg, folder, prefix, save_as_csv=True
    )
    paths = {"_full.pickle": full, ".h5": folder / f"{prefix}.h5", ".csv": folder / f"{prefix}.csv"}
    if case.multi_animal:
        paths["_assemblies.pickle"] = folder / f"{prefix}_assemblies.pickle"
        videos._generate_assemblies_file(full, paths["_assemblies.pickle"], case.bodyparts, case.unique)
    return paths


@pytest.mark.deeplabcut
@pytest.mark.parametrize("frames", [1, 10, 101, 1000])
def test_all_files_equal_those_of_deeplabcut(deeplabcut, case, frames, tmp_path, small_pieces):
    from deeplabcut.pose_estimation_pytorch.apis import videos

    predictions = case.predictions(frames)
    theirs = write_by_deeplabcut(videos, case, predictions, tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    ours = write(case.tracks(predictions, tmp_path / "rows"), tmp_path / "ours", "video")
    assert {path.name for path in ours.values()} - {path.name for path in theirs.values()} == {
        f"video{case.origin.scorer}_meta.pickle"
    }
    table, expected = (pd.read_hdf(paths[".h5"], "df_with_missing") for paths in (ours, theirs))
    pd.testing.assert_frame_equal(
        table, expected, check_exact=True, check_index_type="exact", check_column_type="exact"
    )
    assert table.columns.names == expected.columns.names
    assert ours[".csv"].read_bytes() == theirs[".csv"].read_bytes()
    for ending in {"_full.pickle", "_assemblies.pickle"} & set(theirs):
        assert_same(*(pickle.loads(paths[ending].read_bytes()) for paths in (ours, theirs)), ending)
    assert pickle.loads(ours["_meta.pickle"].read_bytes()) == case.origin.metadata


@pytest.mark.deeplabcut
def test_the_tracker_is_given_from_the_records_what_is_in_the_file(deeplabcut, case, tmp_path, small_pieces):
    from deeplabcut.pose_estimation_pytorch.apis import tracklets

    if not case.multi_animal:
        pytest.skip("there is nothing to follow")
    tracks, told = case.tracks(case.predictions(101), tmp_path / "rows"), []
    paths = write(tracks, tmp_path, "video", save_as_df=False)
    written = pickle.loads(paths["_assemblies.pickle"].read_bytes())
    name = str(paths["_meta.pickle"]).replace("_meta.pickle", ".h5")
    wanted = tracklets.auxfun_multianimal.LoadFullMultiAnimalData(name)
    with assemblies.not_from_files(tracks, told.append):
        made = tracklets.auxiliaryfunctions.read_pickle(paths["_assemblies.pickle"])
        given = tracklets.auxfun_multianimal.LoadFullMultiAnimalData("video.h5")
    assert_same(made["single"] if case.unique else {}, written.pop("single"))
    assert_same({number: made.get(number) for number in range(101)}, written)
    assert told == [number / 101 for number in range(101)]
    assert_same(given[0]["metadata"], wanted[0]["metadata"])
    assert_same(given[1], wanted[1])


@pytest.mark.deeplabcut
def test_the_tables_types_are_those_of_deeplabcut_even_where_they_differ(deeplabcut, tmp_path):
    """One float64 picture makes all body parts float64, but not the unique ones."""
    from deeplabcut.pose_estimation_pytorch.apis import videos

    case = Case(animals=2, unique=1)
    predictions = case.predictions(50)
    predictions[20]["bodyparts"] = predictions[20]["bodyparts"].astype(np.float64)
    theirs = write_by_deeplabcut(videos, case, predictions, tmp_path / "theirs")
    ours = write(case.tracks(predictions, tmp_path / "rows"), tmp_path, "video")
    table = pd.read_hdf(ours[".h5"])
    assert table.dtypes.map(str).tolist() == 24 * ["float64"] + 3 * ["float32"]
    pd.testing.assert_frame_equal(table, pd.read_hdf(theirs[".h5"]), check_exact=True)
    assert ours[".csv"].read_bytes() == theirs[".csv"].read_bytes()


@pytest.mark.deeplabcut
def test_frames_that_were_not_looked_at_are_no_animals_to_the_tracker(deeplabcut, tmp_path):
    from deeplabcut.pose_estimation_pytorch.apis.tracklets import build_tracklets

    case = Case(animals=2, empty=0.2)
    tracks = case.tracks(case.predictions(40), tmp_path / "rows", range(30, 150, 3))
    written = write(tracks, tmp_path, "video")
    with written["_assemblies.pickle"].open("rb") as file:
        assemblies = pickle.load(file)
    settings = {"topktoretain": 2, "pcutoff": 0.0, "max_age": 5, "min_hits": 1, "iou_threshold": 0.0}
    tracklets = build_tracklets(
        assemblies, "box", settings | {"boundingboxslack": 500}, case.origin.bodyparts, "x", 148
    )
    seen = {name for key, poses in tracklets.items() if key != "header" for name in poses}
    assert seen
    assert seen <= {f"frame{number:03}" for number in range(30, 150, 3)}


# -- without DeepLabCut ------------------------------------------------------------------------------------------------

CASE = Case(multi_animal=False, bodyparts=12)


def test_a_row_is_a_frame_of_the_video(tmp_path, small_pieces):
    predictions = CASE.predictions(100)
    frames = range(7, 307, 3)
    paths = write(CASE.tracks(predictions, tmp_path / "rows", frames), tmp_path, "video")
    table = pd.read_hdf(paths[".h5"])
    assert table.index.tolist() == list(range(305))
    np.testing.assert_array_equal(table.loc[list(frames)], [each["bodyparts"].ravel() for each in predictions])
    assert table.drop(index=list(frames)).isna().all(axis=None)
    assert table.dtypes.unique().tolist() == [np.float32]
    assert paths[".csv"].read_text() == table.to_csv(lineterminator="\n")
    full = pickle.loads(paths["_full.pickle"].read_bytes())
    assert full["metadata"]["nframes"] == 305
    assert list(full)[1:] == [f"frame{number:03}" for number in range(305)]
    np.testing.assert_array_equal(full["frame010"]["coordinates"][0][2], predictions[1]["bodyparts"][:, 2, :2])
    assert np.isnan(full["frame011"]["confidence"]).all()


@pytest.mark.parametrize("frames", [range(60), range(5, 65), range(0, 120, 2), range(3, 603, 10)])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_pieces_make_up_the_whole(tmp_path, frames, size):
    tracks = CASE.tracks(CASE.predictions(60), tmp_path / "rows", frames)
    pieces = list(tracks.pieces(size))
    assert [number for numbers, _ in pieces for number in numbers] == list(range(frames[-1] + 1))
    whole = np.concatenate([records["bodyparts"] for _, records in pieces])
    np.testing.assert_array_equal(whole[list(frames)], tracks.rows["bodyparts"])
    assert np.isnan(np.delete(whole, list(frames), axis=0)).all()


def test_the_same_poses_give_the_same_bytes(tmp_path):
    """In another process too, and whichever strings happen to be the same object."""
    tracks = CASE.tracks(CASE.predictions(500), tmp_path / "rows")
    ours = write(tracks, tmp_path, "video")
    (tmp_path / "again").mkdir()
    code = (
        "import sys; from pathlib import Path; from tests.pose.test_tracks import CASE, write\n"
        "folder = Path(sys.argv[1])\n"
        "write(CASE.tracks(CASE.predictions(500), folder / 'rows'), folder, 'video')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "again"], check=True, cwd=Path(__file__).parents[2])
    for ending, path in ours.items():
        again = tmp_path / "again" / path.name
        assert hashlib.sha1(again.read_bytes()).digest() == hashlib.sha1(path.read_bytes()).digest(), ending


def test_names_that_are_one_object_or_two_give_the_same_bytes(tmp_path):
    """What is pickled into the HDF5 file would show the difference."""
    rows = Case(animals=2).tracks(Case(animals=2).predictions(10), tmp_path / "rows").rows
    written = []
    for number, name in enumerate(("tail", "".join(["ta", "il"]))):
        origin = replace(Case(animals=2).origin, individuals=["tail", "b"], bodyparts=[name, "c", "d", "e"])
        (tmp_path / str(number)).mkdir()
        written.append(write(Tracks(origin, rows, range(10)), tmp_path / str(number), "video")[".h5"].read_bytes())
    assert written[0] == written[1]


def test_memory_does_not_grow_with_the_video(tmp_path):
    """A hundred thousand frames are written with less room than their numbers alone take."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from tests.pose.test_tracks import CASE, Tracks, write
layout = np.dtype([("bodyparts", "f4", (1, 12, 3)), ("wide", "u1")])
def written(frames):
    rows = np.lib.stride_tricks.as_strided(np.ones(1, layout), (frames,), (0,))  # takes no room itself
    write(Tracks(CASE.origin, rows, range(frames)), Path(sys.argv[1]), "video")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written(20_000)
print(written(20_000), written(120_000))
"""
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert (after - before) * 1024 < 100_000 * 36 * 4


@pytest.mark.parametrize("identity", [False, True])
def test_boxes_are_had_without_the_rest(tmp_path, identity):
    case = Case(animals=3, bodyparts=12, boxes=True, empty=0.2, identity=identity)
    path = write(case.tracks(case.predictions(300), tmp_path / "rows"), tmp_path, "video")["_full.pickle"]
    whole = pickle.loads(path.read_bytes())
    tracemalloc.start()
    with path.open("rb") as file:
        loaded = Boxes(file).load()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < path.stat().st_size  # whole, its small arrays take five times that
    for number in range(300):
        for name in ("bboxes", "bbox_scores"):
            assert_same(loaded[f"frame{number:03}"][name], whole[f"frame{number:03}"][name])
    assert loaded["frame007"]["confidence"] == [None] * 12


def test_nor_where_animals_are_put_together(tmp_path):
    """DeepLabCut loads all of _full.pickle for that, some 5 KB for each frame."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from tests.pose.test_tracks import Case, Tracks, write
layout = np.dtype([("bodyparts", "f4", (3, 4, 3)), ("unique_bodyparts", "f4", (1, 2, 3)), ("wide", "u1")])
def written(frames):
    rows = np.lib.stride_tricks.as_strided(np.ones(1, layout), (frames,), (0,))  # takes no room itself
    write(Tracks(Case(animals=3, unique=2).origin, rows, range(frames)), Path(sys.argv[1]), "video", save_as_df=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
written(10_000)
print(written(10_000), written(40_000))
"""
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert (after - before) * 1024 < 30_000 * 500


LIMITED = """
import resource, sys
from pathlib import Path
from dlc_jupyter.errors import AnalysisFailed
from tests.pose.test_tracks import CASE, write
tracks = CASE.tracks(CASE.predictions(1000), Path(sys.argv[1]) / "more rows")
folder = Path(sys.argv[1]) / "poses"
folder.mkdir()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    write(tracks, folder, "video")
except AnalysisFailed as failed:
    print(failed.kind, failed.message)
"""


@pytest.mark.parametrize("share", [0.1, 0.999])
@pytest.mark.parametrize("ending", ["_meta.pickle", ".h5", ".csv", "_full.pickle"])
def test_a_full_disk_leaves_nothing(tmp_path, ending, share):
    written = write(CASE.tracks(CASE.predictions(1000), tmp_path / "rows"), tmp_path, "video")
    limit = int(written[ending].stat().st_size * share)
    command = [sys.executable, "-c", LIMITED, tmp_path, str(limit)]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout == "NoSpace The server's disk is full. The poses could not be written.\n"
    assert list((tmp_path / "poses").iterdir()) == []


CUT_OFF = """
import resource, sys
from pathlib import Path
from dlc_jupyter.pose.tracks import _write_h5
from tests.pose.test_tracks import CASE
tracks = CASE.tracks(CASE.predictions(1000), Path(sys.argv[1]) / sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
_write_h5(tracks, Path(sys.argv[1]) / "poses.h5")
"""


def test_an_hdf5_file_that_is_cut_off_is_noticed(tmp_path):
    """PyTables does not notice. All the other files are larger, so this one is tested alone."""
    command = [sys.executable, "-c", CUT_OFF, tmp_path]
    subprocess.run([*command, str(1 << 20)], check=True, cwd=Path(__file__).parents[2])
    for limit in (100, 50_000, (tmp_path / "poses.h5").stat().st_size - 1):
        (tmp_path / "poses.h5").unlink()
        done = subprocess.run([*command, str(limit)], cwd=Path(__file__).parents[2], capture_output=True, text=True)
        assert done.stderr.endswith("OSError: [Errno 27] File too large\n")


def test_what_was_there_stays_until_all_is_whole(tmp_path):
    tracks = CASE.tracks(CASE.predictions(10), tmp_path / "rows")
    before = {ending: path.read_bytes() for ending, path in write(tracks, tmp_path, "video").items()}
    lacking = Tracks(CASE.origin, tracks.rows[:5], range(5))
    lacking.origin.pose_cfg.pop("all_joints_names")  # found out when the last file is written
    with pytest.raises(KeyError):
        write(lacking, tmp_path, "video")
    paths = {ending: tmp_path / f"video{CASE.origin.scorer}{ending}" for ending in before}
    assert {ending: path.read_bytes() for ending, path in paths.items()} == before
    assert not list(tmp_path.glob(".part*"))


def test_poses_of_no_frame_are_refused(tmp_path):
    rows = CASE.tracks(CASE.predictions(3), tmp_path / "rows").rows
    with pytest.raises(AnalysisFailed, match="No frame"):
        Tracks(CASE.origin, rows[:0], range(0))


@pytest.mark.parametrize("frames", [range(2), range(-1, 2), range(3, 0, -1)])
def test_records_of_other_frames_are_refused(tmp_path, frames):
    rows = CASE.tracks(CASE.predictions(3), tmp_path / "rows").rows
    with pytest.raises(ValueError, match="3 records cannot be"):
        Tracks(CASE.origin, rows, frames)


@pytest.mark.parametrize("other", [Case(bodyparts=3), Case(animals=2, bodyparts=12), Case(bodyparts=12, unique=1)])
def test_records_of_another_network_are_refused(tmp_path, other):
    rows = CASE.tracks(CASE.predictions(3), tmp_path / "rows").rows
    with pytest.raises(ValueError, match="of Origin"):
        Tracks(other.origin, rows, range(3))
