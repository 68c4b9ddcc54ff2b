from collections.abc import Callable
from pathlib import Path

import pytest

from dlc_jupyter import demo
from dlc_jupyter.pose.models import Models
from tests.pose import networks, videos


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("videos")
    return lambda name: videos.make(name, folder)


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
