"""Real servers on data folders of their own, and one data folder with DeepLabCut that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlc_jupyter import demo
from tests.pose.videos import ffmpeg
from tests.system.direct import Direct
from tests.system.servers import Site

#: Frames of the clip, and a part of its picture: x1, x2, y1, y2 in pixels.
FRAMES = 40
CROPPING = [20, 220, 10, 190]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A data folder whose engines are there at once, because they do not load DeepLabCut."""
    site = Site(tmp_path)
    yield site
    site.end()


@pytest.fixture(scope="session")
def direct(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Direct]:
    """DeepLabCut without us, on the demo video (``whole``) and on a part of the clip's picture (``cropped``)."""
    calls = {"whole": (demo.VIDEO, {}), "cropped": (clip, {"cropping": CROPPING})}
    direct = Direct(tmp_path_factory.mktemp("direct"), demo.MODEL, calls)
    yield direct
    direct.end()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, direct: Direct) -> Iterator[Site]:
    """A data folder whose engines load DeepLabCut, which takes long: all tests share it. See `Site.running`.

    It takes long, too, what `direct` does: that begins here, so that it is done when it is wanted.
    """
    site = Site(tmp_path_factory.mktemp("studio"), deeplabcut=True)
    yield site
    site.end()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little of the demo video, of the part with the mouse in it."""
    picture = ["-frames:v", str(FRAMES), "-vf", "crop=240:200:310:90"]
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-movflags", "+faststart"]
    return ffmpeg(["-i", str(demo.VIDEO), *picture, *coding], tmp_path_factory.mktemp("clip") / "clip.mp4")
