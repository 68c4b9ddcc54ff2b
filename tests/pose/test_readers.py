"""Whatever reads DeepLabCut's files reads ours: the same comes out of each of its tools, and of other programs."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tables

from dlc_jupyter.pose import inference
from dlc_jupyter.pose.analyze import Task, analyze
from dlc_jupyter.pose.formats import write_nwb
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.tracks import from_h5
from dlc_jupyter.pose3d.calibrations import stereo_parameters
from dlc_jupyter.pose3d.deeplabcut import readable_projects
from tests.pose.networks import Seeing, network, walking
from tests.pose.test_tracks import assert_same
from tests.pose3d import rigs

pytestmark = pytest.mark.deeplabcut

KINDS = ["single", "several", "identity"]
CROPPING = [11, 290, 20, 211]


@dataclass(frozen=True)
class Analysed:
    """A video, the project whose network has looked at it, and the folder with the files."""

    config: Path
    video: Path
    folder: Path
    scorer: str
    tracker: str

    def file(self, ending: str) -> Path:
        return self.folder / f"{self.video.stem}{self.scorer}{ending}"

    @property
    def asked(self) -> tuple[str, list[str]]:
        """What every tool is asked: of which project, of which videos."""
        return str(self.config), [str(self.video)]


def sees(kind: str, frame: int) -> dict[str, np.ndarray]:
    """What a network of several animals finds: random weights see nothing that could be followed."""
    found = {"bodyparts": walking(frame)}
    if kind == "identity":
        found["unique_bodyparts"] = np.array([[[15, 18, 0.95], [200 + frame / 3, 40, 0.7]]], np.float32)
        scores = np.zeros((2, 3, 2))
        scores[:, :, 0] = [[0.9], [0.2]]
        scores[:, :, 1] = 1 - scores[:, :, 0]
        found["identity_scores"] = scores
    return found


class SeesAll(Seeing):
    def __init__(self, kind: str) -> None:
        super().__init__(walking)
        self._kind = kind

    def feed(self, batch):
        return [sees(self._kind, number) for number in batch.numbers]


@pytest.fixture(scope="module")
def analysed(deeplabcut, model, clip, tmp_path_factory) -> Callable[[str], tuple[Analysed, Analysed]]:
    """What `analyze` and what ``analyze_videos`` have made of a clip, by a network of a kind, made once."""
    from deeplabcut.pose_estimation_pytorch.apis import videos

    made: dict[str, tuple[Analysed, Analysed]] = {}

    def make(kind: str) -> tuple[Analysed, Analysed]:
        cropping = CROPPING if kind == "single" else None
        video, chosen = clip("clip.mp4"), network(model(kind), cropping=cropping)
        folder, media = tmp_path_factory.mktemp(kind), inspect(clip("clip.mp4"))
        task = Task(video, media, chosen)
        with pytest.MonkeyPatch.context() as patch:
            if kind != "single":
                patch.setattr(inference, "make_loop", lambda *_: SeesAll(kind))
            poses = analyze(task, folder / "ours", folder / "kept", save_as_csv=True, progress=lambda done: None)
        with pytest.MonkeyPatch.context() as patch:
            if kind != "single":
                patch.setattr(videos, "video_inference", lambda **_: [sees(kind, each) for each in range(media.frames)])
            theirs = deeplabcut.analyze_videos(
                str(chosen.config),
                [str(video)],
                destfolder=str(folder / "theirs"),
                save_as_csv=True,
                device="cpu",
                cropping=cropping,
            )
        assert poses.scorer == theirs
        return tuple(
            Analysed(chosen.config, video, folder / whose, theirs, chosen.tracker) for whose in ("ours", "theirs")
        )

    return lambda kind: made.setdefault(kind, made.get(kind) or make(kind))


@pytest.fixture
def both(analysed, tmp_path, request) -> tuple[Analysed, Analysed]:
    """Our files and theirs, to be added to; of the kind that the test is for."""
    copies = []
    for each in analysed(request.param):
        shutil.copytree(each.folder, tmp_path / each.folder.name)
        copies.append(replace(each, folder=tmp_path / each.folder.name))
    return copies[0], copies[1]


def of(*kinds: str):
    return pytest.mark.parametrize("both", kinds, indirect=True)


def pictures(path: Path) -> list[np.ndarray]:
    reader, found = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        found.append(read[1])
    return found


def assert_same_tables(ours: Path, theirs: Path) -> pd.DataFrame:
    table = pd.read_hdf(ours)
    exactly = {"check_exact": True, "check_index_type": "exact", "check_column_type": "exact"}
    pd.testing.assert_frame_equal(table, pd.read_hdf(theirs), **exactly)
    return table


# -- DeepLabCut's own tools --------------------------------------------------------------------------------------------


@of(*KINDS)
def test_filterpredictions(deeplabcut, both):
    for each in both:
        deeplabcut.filterpredictions(*each.asked, destfolder=str(each.folder), save_as_csv=True)
    ours, theirs = (each.file(f"{each.tracker}_filtered.h5") for each in both)
    table = assert_same_tables(ours, theirs)
    assert len(table) == 27
    assert not table.equals(pd.read_hdf(both[0].file(f"{both[0].tracker}.h5")))
    assert ours.with_suffix(".csv").read_bytes() == theirs.with_suffix(".csv").read_bytes()


@of("single", "identity")
def test_plot_trajectories(deeplabcut, both):
    for each in both:
        deeplabcut.plot_trajectories(*each.asked, destfolder=str(each.folder))
    ours, theirs = ({path.name: cv2.imread(str(path)) for path in each.folder.rglob("*.png")} for each in both)
    assert ours.keys() == theirs.keys()
    assert len(ours) >= 4
    for name, picture in ours.items():
        assert np.array_equal(picture, theirs[name]), name
        assert picture.std() > 0


@of("single", "identity")
def test_create_labeled_video(deeplabcut, both):
    drawn = []
    for each in both:
        options = {"destfolder": str(each.folder), "draw_skeleton": True, "trailpoints": 3, "pcutoff": 0.0}
        assert deeplabcut.create_labeled_video(*each.asked, **options) == [True]
        (made,) = each.folder.glob("*_labeled.mp4")
        drawn.append(pictures(made))
    assert np.array_equal(*drawn)
    assert len(drawn[0]) == 27
    assert not np.array_equal(drawn[0], pictures(both[0].video))


@of(*KINDS)
def test_analyze_videos_converth5_to_csv(deeplabcut, both):
    written = []
    for each in both:
        shutil.copy(each.video, each.folder)
        csv = each.file(f"{each.tracker}.csv")
        before = csv.read_bytes()
        csv.unlink()
        deeplabcut.analyze_videos_converth5_to_csv(str(each.folder), ".mp4")
        assert csv.read_bytes() == before
        written.append(before)
    assert written[0] == written[1]


@of("single", "several")
@pytest.mark.parametrize("algorithm", ["jump", "uncertain"])
def test_extract_outlier_frames(deeplabcut, both, tmp_path, algorithm):
    found = []
    for each in both:
        project = shutil.copytree(each.config.parent, tmp_path / "projects" / each.folder.name)
        np.random.seed(5)  # by which DeepLabCut chooses among the outliers
        deeplabcut.extract_outlier_frames(
            str(project / "config.yaml"),
            [str(each.video)],
            outlieralgorithm=algorithm,
            epsilon=0,
            p_bound=1,
            extractionalgorithm="uniform",
            automatic=True,
            copy_videos=True,
            destfolder=str(each.folder),
        )
        folder = project / "labeled-data" / each.video.stem
        found.append({path.name: path for path in folder.iterdir()})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    assert len([name for name in ours if name.endswith(".png")]) > 5
    for name, path in ours.items():
        if path.suffix == ".h5":
            assert_same_tables(path, theirs[name])
        else:
            assert path.read_bytes() == theirs[name].read_bytes(), name


@of("single", "several")
def test_analyzeskeleton(deeplabcut, both):
    for each in both:
        deeplabcut.analyzeskeleton(*each.asked, destfolder=str(each.folder))
    table = assert_same_tables(*(next(each.folder.glob("*_skeleton.h5")) for each in both))
    assert len(table) == 27


@of("several", "identity")
def test_create_video_with_all_detections(deeplabcut, both):
    drawn = []
    for each in both:
        deeplabcut.create_video_with_all_detections(*each.asked, destfolder=str(each.folder))
        drawn.append(pictures(each.file("_full.mp4")))
    assert np.array_equal(*drawn)
    assert len(drawn[0]) == 27
    assert not np.array_equal(drawn[0], pictures(both[0].video))


@of("several", "identity")
@pytest.mark.parametrize("tracker", ["ellipse", "box"])
def test_convert_detections2tracklets_and_stitch_tracklets(deeplabcut, both, tracker):
    ending = {"ellipse": "_el", "box": "_bx"}[tracker]
    for each in both:
        for old in each.folder.glob(f"*{each.tracker}.*"):
            old.unlink()
        options = {"destfolder": str(each.folder), "track_method": tracker}
        deeplabcut.convert_detections2tracklets(*each.asked, overwrite=True, **options)
        deeplabcut.stitch_tracklets(*each.asked, **options)
    ours, theirs = (pickle.loads(each.file(f"{ending}.pickle").read_bytes()) for each in both)
    assert_same(ours, theirs, "the tracklets")
    table = assert_same_tables(*(each.file(f"{ending}.h5") for each in both))
    assert table.notna().to_numpy().mean() > 0.9


@of("several", "identity")
def test_the_tracklets_that_the_gui_refines(deeplabcut, both):
    from deeplabcut.refine_training_dataset.tracklets import TrackletManager

    found = []
    for each in both:
        manager = TrackletManager(str(each.config), min_swap_len=0, min_tracklet_len=0)
        manager.load_tracklets_from_hdf(str(each.file(f"{each.tracker}.h5")))
        manager.save(str(each.folder / "refined.h5"))
        found.append({name: getattr(manager, name) for name in ("individuals", "bodyparts", "times", "xy", "prob")})
    assert_same(*found, "the tracklets")
    assert found[0]["individuals"][:2] == ["left", "right"]
    table = assert_same_tables(*(each.folder / "refined.h5" for each in both))
    assert len(table) == 27
    assert table.notna().to_numpy().mean() > 0.9


@of("single", "several")
def test_triangulate(deeplabcut, both, tmp_path):
    from deeplabcut.core.config import read_config_as_dict
    from deeplabcut.utils import auxiliaryfunctions

    found, cameras = [], ("camera-1", "camera-2")
    for each in both:
        config = Path(deeplabcut.create_new_project_3d(each.folder.name, "me", 2, working_directory=str(tmp_path)))
        named = {f"config_file_{camera}": str(each.config) for camera in cameras}
        auxiliaryfunctions.write_config_3d(str(config), read_config_as_dict(config) | named)
        known = {"-".join(cameras): stereo_parameters(rigs.rig(2))}
        (config.parent / "camera_matrix/stereo_params.pickle").write_bytes(pickle.dumps(known))
        files = list(each.folder.iterdir())
        for camera in cameras:  # both have seen the same: where in space that is does not matter here
            shutil.copy(each.video, each.folder / f"walk_{camera}.mp4")
            for path in files:
                shutil.copy(path, each.folder / path.name.replace(each.video.stem, f"walk_{camera}", 1))
        clips = [str(each.folder / f"walk_{camera}.mp4") for camera in cameras]
        with readable_projects():
            deeplabcut.triangulate(str(config), [clips], filterpredictions=True)
        found.append(each.folder / "walk_DLC_3D.h5")
    table = assert_same_tables(*found)
    assert len(table) == 27


# -- other programs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def load_poses():
    """What movement (neuroinformatics-unit) reads poses with, as arrays: time x space x keypoints x individuals."""
    return pytest.importorskip("movement.io.load_poses", reason="movement is not installed: pip install movement")


def for_movement(each: Analysed, form: str) -> Path:
    """Return a file as movement 0.15 can read it, which does not read all of DeepLabCut's own.

    It wants tables under the key ``df_with_missing``, as all of ours are; DeepLabCut writes tracks under ``tracks``.
    And it knows no body parts that there are once.
    """
    path = each.file(f"{each.tracker}{form}")
    table = pd.read_hdf(each.file(f"{each.tracker}.h5"))
    if "individuals" in table.columns.names and "single" in table.columns.get_level_values("individuals"):
        table = table.drop(columns="single", level="individuals")
        if form == ".csv":
            table.to_csv(path)
        else:
            table.to_hdf(path, key="df_with_missing", mode="w", format="table")
    elif each.tracker and form == ".h5":
        with tables.open_file(str(path), "a") as file:
            if "/tracks" in file:
                file.rename_node("/tracks", "df_with_missing")
    return path


@of(*KINDS)
def test_the_table_has_the_name_under_which_other_programs_look_for_it(both):
    with pd.HDFStore(both[0].file(f"{both[0].tracker}.h5"), "r") as store:
        assert store.keys() == ["/df_with_missing"]


@of(*KINDS)
@pytest.mark.parametrize("form", [".h5", ".csv"])
def test_movement(both, load_poses, form):
    ours, theirs = (load_poses.from_dlc_file(for_movement(each, form), fps=30) for each in both)
    assert ours.equals(theirs)
    table = pd.read_hdf(both[0].file(f"{both[0].tracker}.h5"))[both[0].scorer]
    animals = ["left", "right"] if both[0].tracker else [None]
    assert ours["position"].shape == (27, 2, 3, len(animals))
    for number, animal in enumerate(animals):
        for keypoint in ours["keypoints"].values:
            expected = (table[animal] if animal else table)[keypoint]
            where = {"individuals": number}
            np.testing.assert_allclose(ours["position"].sel(keypoints=keypoint).isel(where), expected[["x", "y"]])
            np.testing.assert_allclose(ours["confidence"].sel(keypoints=keypoint).isel(where), expected["likelihood"])


@of(*KINDS)
def test_movement_reads_our_nwb_files(both, load_poses, tmp_path):
    ours, times = both[0], np.arange(27) / 30
    h5 = ours.file(f"{ours.tracker}.h5")
    start = datetime(2026, 1, 31, 10, tzinfo=UTC)
    write_nwb(from_h5(h5, range(27)), tmp_path / "poses.nwb", times, session_start=start, video="clip.mp4")
    table = pd.read_hdf(h5)[ours.scorer]
    for animal in ["left", "right"] if ours.tracker else [None]:
        key = f"PoseEstimation_{animal}" if animal else "PoseEstimation"
        poses = load_poses.from_nwb_file(tmp_path / "poses.nwb", pose_estimation_key=key)
        np.testing.assert_allclose(poses["time"], times)
        for keypoint in poses["keypoints"].values:
            expected = (table[animal] if animal else table)[keypoint]
            position = poses["position"].sel(keypoints=keypoint).isel(individuals=0)
            np.testing.assert_allclose(position, expected[["x", "y"]])
