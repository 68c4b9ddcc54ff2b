"""Bars where something is waited for: in a notebook, in a terminal, in a log."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dlc_jupyter.client import Client, progress
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.terminal import ProgressBar

FRAMES = {"done": 150, "total": 600, "unit": "frames", "rate": 24.0, "eta": 18.0}


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Be a notebook, and return what is displayed: each object as HTML, once for every time it is drawn."""
    drawn: list[Any] = []

    def display(shown: Any, display_id: bool) -> Any:
        drawn.append(shown._repr_html_())
        return SimpleNamespace(update=lambda each: drawn.append(each._repr_html_()))

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    return drawn


def test_elsewhere_than_in_a_notebook_it_is_a_line() -> None:
    assert not progress.in_notebook()
    assert isinstance(progress.bar("video"), ProgressBar)


def test_a_terminals_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace())
    assert not progress.in_notebook()


def test_in_a_notebook_it_is_drawn_over(notebook: list[Any]) -> None:
    bar = progress.bar("video <1>")
    assert isinstance(bar, progress.NotebookBar)
    bar.say("next in the queue")
    bar.show(FRAMES)
    bar.show(FRAMES)
    bar.done("done in 25 s")
    assert len(notebook) == 4
    assert "value" not in notebook[1]
    assert 'value="0.2500"' in notebook[2]
    assert "150 of 600 frames, 24 frames/s, 18 s left" in notebook[2]
    assert 'value="1.0000"' in notebook[3]
    assert all("video &lt;1&gt;" in each for each in notebook)
    assert repr(bar) == "video <1>  100%  done in 25 s"


def test_an_analysis_is_waited_for_with_a_bar(client: Client, notebook: list[Any]) -> None:
    analysis = client.run("sleep", time=0.5)
    analysis.wait(timeout=60)
    assert f"sleep {analysis[:8]}" in notebook[0]
    assert "done in" in notebook[-1]


def test_a_batch_too_and_it_counts_what_has_become_of_it(client: Client, notebook: list[Any], video: str) -> None:
    client.batch([video, "abcdef"], "invent").wait(timeout=60)
    assert "2 x invent" in notebook[0]
    assert "1 succeeded, 1 refused in" in notebook[-1]


def test_a_failure_is_shown_where_the_bar_was(client: Client, notebook: list[Any]) -> None:
    analysis = client.run("sleep", time=600)
    analysis.cancel()
    with pytest.raises(AnalysisFailed):
        analysis.wait(timeout=60)
    assert "cancelled" in notebook[-1]


def test_an_interrupted_one_says_that_it_goes_on(notebook: list[Any]) -> None:
    def interrupted() -> None:
        with progress.followed("video") as told:
            told({"state": "running", "progress": FRAMES})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "it goes on" in notebook[-1]
    assert 'value="0.2500"' in notebook[-1]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"state": "queued", "position": 1}, "next in the queue"),
        ({"state": "queued", "position": 3}, "place 3 in the queue"),
        ({"state": "queued", "position": None}, "queued"),
        ({"state": "running"}, "starting"),
        ({"state": "failed"}, "failed"),
    ],
)
def test_states_in_words(record: dict[str, Any], words: str) -> None:
    assert progress.waiting(record) == words


def test_in_a_log_it_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stdout", log)
    analysis = client.run("sleep", time=0)
    analysis.wait(timeout=60)
    assert log.getvalue().splitlines()[-1].startswith(f"sleep {analysis[:8]}: done in")
