from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dlc_jupyter import demo
from dlc_jupyter.pose.models import Models
from tests.pose import movies, networks, videos


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("videos")
    return lambda name: videos.make(name, folder)


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `movies.MORE` or `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("movies")
    return lambda name: movies.make(name, folder)


@pytest.fixture(scope="session")
def model(deeplabcut, tmp_path_factory) -> Callable[[str], Path]:
    """Return the config.yaml of a project of a kind, made once; ``demo`` is the demo's."""
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "demo":
                models = Models({kind: str(demo.MODEL)}, "")
                made[kind] = models.stage(models.find(kind), folder / "model")
            else:
                made[kind] = networks.project(folder, videos.make("plain.mp4", folder), kind)
        return made[kind]

    return find


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Callable[[str], Path]:
    """Return a second of the demo's video in some form: 27 frames, so that the last batch is not full."""
    folder = tmp_path_factory.mktemp("clips")
    forms = {
        "clip.mp4": ["-pix_fmt", "yuv420p"],
        "short.mp4": ["-frames:v", "14", "-pix_fmt", "yuv420p"],
        "full.mp4": ["-pix_fmt", "yuv444p"],
        "odd.mp4": ["-vf", "crop=321:243:270:70", "-pix_fmt", "yuv444p"],
        "grey.mp4": ["-vf", "crop=320:240:270:70,format=gray"],
        "motion.avi": ["-vf", "crop=320:240:270:70", "-c:v", "mjpeg", "-q:v", "3"],
        "clip.mkv": ["-vf", "crop=320:240:270:70"],
        "small.mp4": ["-frames:v", "11", "-vf", "crop=320:240:270:70,scale=128:96"],
    }

    def find(name: str) -> Path:
        target = folder / name
        if not target.exists():
            part = ["-vf", "crop=320:240:270:70"] if "-vf" not in forms[name] else []
            videos.ffmpeg(["-i", str(demo.VIDEO), "-frames:v", "27", *part, *forms[name]], target)
        return target

    return find


# -- projects without a network that could be used -------------------------------------------------------------------

CONFIG = {
    "Task": "reach",
    "scorer": "me",
    "date": "Nov1",
    "project_path": "/where/it/was",
    "video_sets": {"/videos/a.mp4": {"crop": "0, 640, 0, 480"}},
    "bodyparts": ["paw", "no"],
    "skeleton": [["paw", "no"]],
    "TrainingFraction": [0.95, 0.8],
    "iteration": 1,
    "snapshotindex": -1,
}
SHUFFLES = {"shuffle_left": 2, "shuffle_right": 2, "trainingsetindex_left": 0, "trainingsetindex_right": 0}
THREE_D = {"Task": "reach3d", "scorer": "me", "date": "Nov1", "camera_names": ["left", "right"], "skeleton": []}


@pytest.fixture
def project(tmp_path):
    """Write a project as DeepLabCut lays it out; return its config.yaml."""

    def make(folder="lab/reach", snapshots=("snapshot-010.pt", "snapshot-best-008.pt", "snapshot-090.pt"), **changes):
        root = tmp_path / folder
        root.mkdir(parents=True)
        network = root / "dlc-models-pytorch/iteration-1/reachNov1-trainset95shuffle2"
        for part in ("train", "test"):
            (network / part).mkdir(parents=True)
        (network / "train/pytorch_config.yaml").write_text("net_type: resnet_50\nmethod: bu\n")
        (network / "test/pose_cfg.yaml").write_text("net_type: resnet_50\n")
        for name in (*snapshots, "snapshot-detector-020.pt", "learning_stats.csv"):
            (network / "train" / name).write_bytes(name.encode())
        dataset = root / "training-datasets/iteration-1/UnaugmentedDataSet_reachNov1"
        dataset.mkdir(parents=True)
        (dataset / "metadata.yaml").write_text("shuffles: {}\n")
        (dataset / "big.h5").write_bytes(b"big")
        (root / "labeled-data").mkdir()
        (root / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
        return root / "config.yaml"

    return make


@pytest.fixture
def three_d(tmp_path, project):
    """Write a 3D project with one 2D project for both cameras; return its config.yaml."""

    def make(calibrated=True, **changes):
        root = tmp_path / "lab/reach3d"
        (root / "camera_matrix").mkdir(parents=True)
        if calibrated:
            (root / "camera_matrix/stereo_params.pickle").write_bytes(b"stereo")
        two_d = str(project())
        values = {**THREE_D, "config_file_left": two_d, "config_file_right": two_d, **SHUFFLES, **changes}
        (root / "config.yaml").write_text(yaml.safe_dump({key: value for key, value in values.items() if value}))
        return root / "config.yaml"

    return make
