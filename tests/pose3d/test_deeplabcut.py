"""DeepLabCut's own 3D functions: our numbers are theirs, they read our files, and their repair is still needed."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.encoding import check_playable
from dlc_jupyter.pose3d import calibrations
from dlc_jupyter.pose3d import deeplabcut as deeplabcut3d
from dlc_jupyter.pose3d import tracks as tracks3d
from dlc_jupyter.pose3d.calibrations import stereo_parameters
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.multiview import MultiView
from dlc_jupyter.pose3d.triangulation import Method
from tests.pose import networks, videos
from tests.pose3d import rigs
from tests.pose3d.test_tracks import write_2d

pytestmark = pytest.mark.deeplabcut

FRAMES = 120
PCUTOFF = 0.4
SIZE = 280.0  # of the scene, in mm: twice `rigs.REACH`
INDIVIDUALS = {"single": [], "several": ["left", "right"]}
NUMBERS = {"single": np.float32, "several": np.float64}  # of which DeepLabCut's tables are


@dataclass(frozen=True)
class Recording:
    """A 3D project and two videos whose 2D poses are there already."""

    config: Path
    rig: Rig
    videos: list[str]
    poses: list[Path]
    folder: Path

    def filtered(self) -> list[Path]:
        return [path.with_name(f"{path.stem}_filtered.h5") for path in self.poses]


def seen(rig: Rig, kind: str, noise: float = 1.0) -> tuple[Array, Array]:
    """Return pixels, shape (cameras, frames, points, 2), and likelihoods; the second view has the animals swapped."""
    random = np.random.default_rng(0)
    animals = max(1, len(INDIVIDUALS[kind]))
    truth = np.stack([rigs.motion(FRAMES, 3, seed) for seed in range(animals)], axis=1)
    pixels = rig.project(truth)
    pixels += random.normal(size=pixels.shape) * noise
    pixels[1] = pixels[1][:, ::-1]
    likelihood = random.uniform(0.2, 1.0, pixels.shape[:-1])
    return pixels.reshape(2, FRAMES, -1, 2), likelihood.reshape(2, FRAMES, -1)


@pytest.fixture
def recording(deeplabcut, model, tmp_path) -> Callable[[str], Recording]:
    """Return a project of a kind, made by ``create_new_project_3d``, and its recording."""
    from deeplabcut.core.config import read_config_as_dict
    from deeplabcut.utils import auxiliaryfunctions

    def make(kind: str, **options) -> Recording:
        config_2d = model(kind)
        config = Path(deeplabcut.create_new_project_3d("walk", "me", 2, working_directory=str(tmp_path)))
        values = read_config_as_dict(config)
        values |= {f"config_file_camera-{number}": str(config_2d) for number in (1, 2)}
        values |= {"skeleton": [["snout", "body"], ["body", "tail"]], "pcutoff": PCUTOFF}
        auxiliaryfunctions.write_config_3d(str(config), values)
        rig = rigs.rig(2)
        known = stereo_parameters(rig)
        (config.parent / "camera_matrix/stereo_params.pickle").write_bytes(pickle.dumps({"camera-1-camera-2": known}))
        folder = tmp_path / "recording"
        folder.mkdir()
        project = auxiliaryfunctions.read_config(config_2d)
        scorer = auxiliaryfunctions.get_scorer_name(project, 1, project["TrainingFraction"][0])[0]
        pixels, likelihood = seen(rig, kind, **options)
        clips, poses = [], []
        for index, name in enumerate(rig.names):
            clips.append(shutil.copy(videos.make("plain.mp4", tmp_path), folder / f"walk_{name}.mp4"))
            stem = f"walk_{name}{scorer}"
            (folder / f"{stem}_full.pickle").touch()  # DeepLabCut takes it for "already analyzed"
            path = folder / f"{stem}{'_el' if INDIVIDUALS[kind] else ''}.h5"
            individuals = INDIVIDUALS[kind]
            poses.append(
                write_2d(
                    path,
                    pixels[index],
                    networks.PARTS,
                    individuals,
                    likelihood=likelihood[index],
                    scorer=scorer,
                    kind=NUMBERS[kind],
                )
            )
        return Recording(config, calibrations.read(config.parent), list(map(str, clips)), poses, folder)

    return make


def test_the_repair_is_still_needed(recording) -> None:
    from deeplabcut.utils import auxiliaryfunctions

    config = recording("single").config
    try:
        auxiliaryfunctions.read_config(str(config))
    except ValidationError:
        return
    pytest.fail("DeepLabCut reads 3D projects again: remove the repair, pose3d/deeplabcut.py's readable_projects.")


def test_the_repair_ends_and_touches_nothing_else(recording, model, tmp_path) -> None:
    from deeplabcut.utils import auxiliaryfunctions

    made, original = recording("single"), auxiliaryfunctions.read_config
    moved = shutil.copytree(made.config.parent, tmp_path / "elsewhere") / "config.yaml"
    moved.chmod(0o444)
    before = moved.read_bytes()
    with deeplabcut3d.readable_projects():
        values = auxiliaryfunctions.read_config(str(moved))
        assert values["camera_names"] == ["camera-1", "camera-2"]
        assert values["project_path"] == str(moved.parent)
        assert type(auxiliaryfunctions.read_config(str(model("single")))) is type(original(str(model("single"))))
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text(model("single").read_text() + "\nunheard_of: 1\n")
        with pytest.raises(ValidationError):
            auxiliaryfunctions.read_config(str(wrong))
    assert auxiliaryfunctions.read_config is original
    assert moved.read_bytes() == before


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("kind", ["single", "several"])
def test_two_cameras_give_deeplabcut_s_numbers(deeplabcut, recording, kind: str, filtered: bool) -> None:
    made = recording(kind)
    # DeepLabCut writes the second view anew, with the animals in the order of the first: ours are made before.
    if filtered:
        for index, video in enumerate(made.videos):
            config = _config_2d(made.config, index)
            deeplabcut.filterpredictions(config, [video], filtertype="median")
    paths = made.filtered() if filtered else made.poses
    known = pickle.loads((made.config.parent / "camera_matrix/stereo_params.pickle").read_bytes())["camera-1-camera-2"]
    order = deeplabcut3d.individual_order(paths, known, PCUTOFF) if kind == "several" else None
    ours = tracks3d.make(
        made.rig,
        MultiView(paths, made.rig.names),
        FRAMES,
        made.folder,
        "ours",
        Method(PCUTOFF, as_deeplabcut=known),
        order=order,
        stereo=known,
        save_as_csv=True,
    )
    with deeplabcut3d.readable_projects():
        deeplabcut.triangulate(str(made.config), [made.videos], filterpredictions=filtered, save_as_csv=True)
    theirs = pd.read_hdf(made.folder / "walk_DLC_3D.h5")
    mine = pd.read_hdf(ours.files[".h5"])
    pd.testing.assert_index_equal(mine.columns, theirs.columns)
    assert (mine.isna() == theirs.isna()).all(axis=None)
    assert 0.2 < theirs.isna().mean(axis=None) < 0.6
    np.testing.assert_array_equal(mine.to_numpy(), theirs.to_numpy())  # to the last bit
    if NUMBERS[kind] is np.float64:  # ours always are; theirs are what the 2D poses are
        assert ours.files[".csv"].read_bytes() == (made.folder / "walk_DLC_3D.csv").read_bytes()
    careful = tracks3d.make(made.rig, MultiView(paths, made.rig.names), FRAMES, made.folder, "own", Method(PCUTOFF))
    if kind == "single":
        own = pd.read_hdf(careful.files[".h5"]).to_numpy()
        assert np.nanmax(np.abs(own - theirs.to_numpy())) < 1e-6 * SIZE
    else:
        assert careful.order == [[0, 1], [1, 0]]
        assert order.tolist() == [[0, 1], [0, 1]]  # DeepLabCut does not see which animal is which here
    meta = [
        pickle.loads(path.read_bytes())
        for path in (ours.files["_meta.pickle"], made.folder / "walk_DLC_3D_meta.pickle")
    ]
    assert meta[0].keys() == meta[1].keys()
    assert meta[0]["scorer_name"] == meta[1]["scorer_name"]
    assert meta[0]["stereo_matrix"].keys() == meta[1]["stereo_matrix"].keys()


def _config_2d(config: Path, index: int) -> str:
    with deeplabcut3d.readable_projects():
        from deeplabcut.utils import auxiliaryfunctions

        return auxiliaryfunctions.read_config(str(config))[f"config_file_camera-{index + 1}"]


def test_an_animal_that_deeplabcut_cannot_match_is_told(recording) -> None:
    made = recording("several")
    table = pd.read_hdf(made.poses[1])
    table.loc[:, (slice(None), "left")] = np.nan
    table.to_hdf(made.poses[1], key="df_with_missing", format="table", mode="w")
    known = pickle.loads((made.config.parent / "camera_matrix/stereo_params.pickle").read_bytes())["camera-1-camera-2"]
    assert deeplabcut3d.individual_order(made.poses, known, PCUTOFF) is None


# -- the labelled video ------------------------------------------------------------------------------------------------


def drawn(made: Recording, tmp_path: Path, name: str = "s10", **options):
    """Triangulate and have DeepLabCut draw."""
    views = MultiView(made.poses, made.rig.names)
    poses = tracks3d.make(made.rig, views, FRAMES, tmp_path, name, Method(PCUTOFF)).files[".h5"]
    look = deeplabcut3d.Look(
        skeleton=options.pop("skeleton", [["snout", "body"], ["body", "tail"], ["tail", "wing"]]),
        arguments={"dpi": 50, "figsize": (8, 4), **options.pop("arguments", {})},
    )
    target = tmp_path / "drawn.mp4"
    told = deeplabcut3d.labelled_video(
        poses, views, list(map(Path, made.videos)), look, target, fps=25.0, scratch=tmp_path / "scratch", **options
    )
    return target, told


@pytest.mark.parametrize("kind", ["single", "several"])
def test_deeplabcut_draws_our_files(recording, tmp_path: Path, kind: str) -> None:
    made, shares = recording(kind), []
    figures = plt.get_fignums()
    target, told = drawn(made, tmp_path, progress=shares.append, arguments={"start": 10, "end": 22})
    assert told == {"width": 400, "height": 200, "codec": "h264", "frames": 12}
    assert check_playable(target, 12)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert plt.get_fignums() == figures
    assert not (tmp_path / "scratch").exists()


def test_an_error_in_the_middle_of_drawing_leaves_nothing(recording, tmp_path: Path) -> None:
    made, figures = recording("single"), plt.get_fignums()

    def stop(share: float) -> None:
        if share > 0.01:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(made, tmp_path, progress=stop)
    assert plt.get_fignums() == figures
    assert not (tmp_path / "scratch").exists()
    assert not (tmp_path / "drawn.mp4").exists()


def test_what_deeplabcut_cannot_draw_is_refused(recording, tmp_path: Path) -> None:
    made = recording("single")
    with pytest.raises(AnalysisFailed) as refused:
        drawn(made, tmp_path, skeleton=[["ear", "wing"]])
    assert refused.value.kind == "NoSkeleton"
    assert "snout, body, tail" in refused.value.hint
    with pytest.raises(AnalysisFailed) as refused:
        drawn(made, tmp_path, arguments={"trailpoints": 2})
    assert refused.value.kind == "NoTrails"
    views = MultiView(made.poses, made.rig.names, [0, 3])
    with pytest.raises(AnalysisFailed) as refused:
        deeplabcut3d.labelled_video(
            made.poses[0], views, [], deeplabcut3d.Look([]), tmp_path / "x.mp4", fps=30, scratch=tmp_path / "s"
        )
    assert refused.value.kind == "TwoCameras"
    for path in made.poses:
        table = pd.read_hdf(path)
        table.iloc[40:] = np.nan
        table.to_hdf(path, key="df_with_missing", format="table", mode="w")
    with pytest.raises(AnalysisFailed) as refused:
        drawn(made, tmp_path, arguments={"start": 50})
    assert refused.value.kind == "NoPoses"
