"""The notebooks run from top to bottom, in kernels that find their server themselves; they are kept without outputs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from dlc_jupyter import demo
from tests.system.servers import Server, Site

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
README = NOTEBOOKS.parent / "README.md"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = Site(tmp_path_factory.mktemp("site"), deeplabcut=True)
    yield site.start()
    site.end()


def run(name: str, server: Server) -> Any:
    """Run a notebook in a folder below the server's root directory, and return it with its outputs."""
    folder = server.site.folder / name
    folder.mkdir()
    return execute(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4), folder, server)


def execute(notebook: Any, folder: Path, server: Server) -> Any:
    """Run a notebook's cells, in a kernel that knows no more of the server than one that Jupyter starts."""
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    found = {key: value for key, value in server.site.environment.items() if key.startswith("JUPYTER_")}
    return client.execute(env=os.environ | found)


def outputs(notebook: Any) -> list[str]:
    """Return what the cells of a notebook show, each as text."""
    shown = []
    for cell in notebook.cells:
        each = [
            output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])
        ]
        shown.append("".join(each))
    return shown


def last(notebook: Any, containing: str) -> str:
    """Return what the code cell that contains some text shows."""
    [number] = [
        number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code" and containing in cell.source
    ]
    return outputs(notebook)[number]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs_and_every_step_says_why(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[:2] == ["markdown", "code"]
    assert "code code" not in " ".join(kinds)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_the_notebooks_that_there_are_are_those_that_are_run() -> None:
    assert NAMES == ["batch", "http_api", "quickstart", "three_d"]


@pytest.mark.system
@pytest.mark.deeplabcut
class TestFromTopToBottom:
    def test_quickstart(self, server: Server) -> None:
        notebook = run("quickstart", server)
        assert last(notebook, 'run("video"').endswith("600")
        assert "snout" in last(notebook, "poses.head()")
        assert last(notebook, "player.poses()").startswith("600 frames, ")
        assert (server.site.folder / "quickstart" / "labelled.mp4").read_bytes()[4:8] == b"ftyp"
        views = [
            output.data["application/vnd.jupyter.widget-view+json"]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
        ]
        assert len(views) == 2
        assert server.token not in nbformat.writes(notebook)

    def test_batch(self, server: Server) -> None:
        notebook = run("batch", server)
        table = last(notebook, "batch.table()")
        assert table.count("succeeded") == 3
        assert table.count("failed") == 1
        assert "broken.mp4" in table
        assert "tray_camera-1.mp4" in last(notebook, "pd.concat")

    def test_three_d(self, server: Server) -> None:
        notebook = run("three_d", server)
        assert "no warnings" in last(notebook, "reprojection_error")
        assert last(notebook, "analysis.points()").startswith("in mm")
        assert "keypoints" in last(notebook, "to_xarray")

    def test_what_the_readme_shows(self, server: Server) -> None:
        folder = server.site.folder / "readme"
        folder.mkdir()
        for day, video in enumerate((demo.VIDEO, *demo.VIDEOS_3D), 1):
            shutil.copy(video, folder / f"day{day}.mp4")
        [shown] = re.findall(r"```python\n(import dlc_jupyter\n.*?)```", README.read_text(), re.DOTALL)
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(shown),
                nbformat.v4.new_code_cell("batch.table(), len(poses), player.poses()"),
            ]
        )
        told = last(execute(notebook, folder, server), "batch.table()")
        assert told.count("succeeded") == 3
        assert "600" in told

    def test_http_api(self, server: Server) -> None:
        notebook = run("http_api", server)
        assert "triangulate" in last(notebook, 'call("schema")')
        assert last(notebook, "time.sleep").startswith("(60, ")
        assert last(notebook, "Content-Range").startswith("206 bytes 0-299/")
