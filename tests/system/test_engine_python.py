"""The engine under another interpreter: JupyterLab in one environment, DeepLabCut in another."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.system.conftest import FRAMES
from tests.system.servers import Site

pytestmark = [pytest.mark.system, pytest.mark.deeplabcut]


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """A virtual environment that has DeepLabCut and all the rest that is installed here, but not dlc_jupyter."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for scheme in ("purelib", "platlib"):
        for each in Path(sysconfig.get_path(scheme)).iterdir():
            if "dlc_jupyter" not in each.name and not (packages / each.name).exists():
                (packages / each.name).symlink_to(each)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    [site_packages] = venv.glob("lib/python*/site-packages")
    (site_packages / "packages.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    python = venv / "bin" / "python"
    alone = subprocess.run([python, "-c", "import numpy, dlc_jupyter"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'dlc_jupyter'" in alone.stderr
    return python


def test_a_video_is_analysed_by_a_python_that_does_not_have_dlc_jupyter(other_python, tmp_path, clip, studio):
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", deeplabcut=True, engine_python=str(other_python))
    try:
        client = site.start().client
        result = client.wait(client.run("alone-video", client.upload(clip), model="demo-mouse"))
        assert result["python"] == str(other_python.parent.parent)
        assert result["frames"] == FRAMES
        here = studio.running().client
        same = here.wait(here.run("video", here.upload(clip), model="demo-mouse"))
        assert (result["csv_file"], result["python"] != sys.prefix) == (same["csv_file"], True)
    finally:
        site.end()
