"""What Python knows of the panels: their traits, their server, and that no token is among what a page is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import traitlets

import dlc_jupyter
from dlc_jupyter import Client, LaunchPanel, PosePlayer, QueuePanel, ResultPanel, UploadPanel, widgets
from dlc_jupyter.client import Analysis, NoServer
from dlc_jupyter.widgets import NotBuilt, WholePanel, base

PANELS = [UploadPanel, LaunchPanel, QueuePanel, ResultPanel, PosePlayer, WholePanel]
TOKEN = "a-token-that-nobody-is-told"


@pytest.fixture(autouse=True)
def _made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's half is tested without Node: what a browser gets is a line here."""
    (tmp_path / "panels.js").write_text("export default {}")
    (tmp_path / "panels.css").write_text(".dlc {}")
    monkeypatch.setattr(base, "STATIC", tmp_path)
    for name in ("JPY_PARENT_PID", "DLC_JUPYTER_URL", "JUPYTERHUB_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.fixture
def client() -> Client:
    return Client("http://127.0.0.1:9/user/ana/lab", TOKEN)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_which_it_is_and_never_the_token(panel: Any, client: Client) -> None:
    made = panel(client=client)
    state = made.get_state()
    assert state["_panel"] in {"upload", "launch", "queue", "result", "player", "whole"}
    assert state["_server"] == "http://127.0.0.1:9/user/ana/"
    assert state["_kernel_has_server"] is True
    assert (state["_esm"], state["_css"]) == ("export default {}", ".dlc {}")
    assert TOKEN not in json.dumps(state, default=repr)
    assert TOKEN not in repr(made)


def test_every_panel_has_another_name() -> None:
    assert len({panel().get_state()["_panel"] for panel in PANELS}) == len(PANELS)


def test_without_a_server_a_panel_is_there_and_says_so_when_it_is_asked() -> None:
    panel = QueuePanel(selected="ab")
    assert panel.get_state()["_server"] == ""
    assert panel.get_state()["_kernel_has_server"] is False
    with pytest.raises(NoServer, match="DLC_JUPYTER_URL"):
        _ = panel.analysis


def test_a_server_that_is_found_is_not_named_since_the_page_knows_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_JUPYTER_URL", f"http://127.0.0.1:9/?token={TOKEN}")
    panel = QueuePanel()
    assert (panel.get_state()["_server"], panel.get_state()["_kernel_has_server"]) == ("", True)
    assert TOKEN not in json.dumps(panel.get_state(), default=repr)


def test_where_it_was_not_built_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(base, "STATIC", tmp_path / "nothing")
    with pytest.raises(NotBuilt, match="make panels"):
        QueuePanel()


def test_panels_compose_with_other_widgets(client: Client) -> None:
    queue, result = QueuePanel(client), ResultPanel(client=client, layout={"width": "50%"})
    traitlets.link((queue, "selected"), (result, "analysis_id"))
    seen: list[str] = []
    result.observe(lambda change: seen.append(change["new"]), "analysis_id")
    queue.selected = "abc"
    assert (result.analysis_id, seen) == ("abc", ["abc"])
    assert result.analysis == "abc"
    assert isinstance(result.analysis, Analysis)
    assert ipywidgets.HBox([queue, result]).children == (queue, result)


def test_what_a_page_sets_is_seen(client: Client) -> None:
    player = PosePlayer(client=client)
    assert (player.selection, player.part) == (None, {})
    player.set_state({"selection": [120, 480], "frame": 7, "threshold": 0.25, "speed": 2, "playing": True})
    assert player.selection == (120, 480)
    assert player.part == {"start": 120, "stop": 480}
    assert (player.frame, player.threshold, player.speed, player.playing) == (7, 0.25, 2.0, True)
    upload, launch = UploadPanel(client), LaunchPanel(client)
    upload.set_state({"files": ["a", "b"]})
    launch.set_state({"analysis": "label", "parameters": {"draw_skeleton": True}, "analysis_ids": ["c"]})
    assert upload.files == ["a", "b"]
    assert (launch.analysis, launch.parameters, launch.analyses) == ("label", {"draw_skeleton": True}, ["c"])


@pytest.mark.parametrize(("name", "value"), [("threshold", 1.5), ("frame", "first"), ("selection", (1, 2, 3))])
def test_what_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(traitlets.TraitError):
        PosePlayer(**{name: value})


def test_an_analysis_brings_its_client(client: Client) -> None:
    analysis = Analysis(client, "abc")
    for panel in (ResultPanel(analysis), PosePlayer(analysis)):
        assert (panel.client, panel.analysis_id, panel.analysis) == (client, "abc", analysis)
    assert ResultPanel("abc", client).analysis == "abc"


def test_a_player_of_no_analysis_has_no_poses(client: Client) -> None:
    for panel in (PosePlayer(client=client), dlc_jupyter.panel(client)):
        with pytest.raises(ValueError, match="No analysis is looked at"):
            panel.poses()


def test_the_whole_has_the_traits_of_all(client: Client) -> None:
    whole = dlc_jupyter.panel(client, selection=(1, 5))
    assert isinstance(whole, WholePanel)
    for panel in PANELS:
        assert set(panel(client=client).keys) <= set(whole.keys)
    assert whole.part == {"start": 1, "stop": 5}


def test_importing_the_package_imports_no_widgets() -> None:
    code = "import sys, dlc_jupyter; dlc_jupyter.Client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"anywidget", "ipywidgets", "IPython", "numpy", "pandas", "jupyter_core"} & set(done.stdout.split())


def test_what_the_package_offers_is_there() -> None:
    assert [name for name in dlc_jupyter.__all__ if not hasattr(dlc_jupyter, name)] == []
    assert [name for name in widgets.__all__ if not hasattr(widgets, name)] == []
    with pytest.raises(AttributeError):
        _ = dlc_jupyter.nothing_of_the_kind
