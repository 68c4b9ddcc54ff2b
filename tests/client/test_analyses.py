"""What a client's analyses are: ids that know what can be asked of them."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dlc_jupyter.client import Analysis, Client
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.errors import AnalysisFailed, NotFound


def test_it_is_its_id(client: Client) -> None:
    analysis = client.run("sleep", time=0)
    assert isinstance(analysis, Analysis)
    plain = client.analyses()[0]["analysis_id"]
    assert analysis == plain
    assert (str(analysis), f"{analysis}", analysis.id, json.loads(json.dumps({"id": analysis}))["id"]) == (plain,) * 4
    assert type(analysis.id) is type(str(analysis)) is str
    assert {plain: 1}[analysis] == 1
    assert client.status(analysis)["analysis_id"] == plain
    assert client.wait(analysis, timeout=60) == client.result(plain)
    assert repr(analysis) == f"Analysis('{plain}')"


def test_an_analysis_of_earlier_is_found_by_its_first_characters(client: Client) -> None:
    analysis = client.run("sleep", time=0)
    assert client.analysis(analysis[:20]) == analysis
    with pytest.raises(NotFound):
        client.analysis("0" * 20)


def test_its_result_comes_and_is_asked_for_once(client: Client, tmp_path: Path) -> None:
    analysis = client.run("sleep", time=0.4)
    assert analysis.result is None
    result = analysis.wait(progress=False, timeout=60)
    assert result["sleep_time"] == 0.4
    assert analysis.state == "succeeded"
    assert analysis.result == result
    analysis.delete()
    assert analysis.result == result  # what was there once
    with pytest.raises(NotFound):
        _ = analysis.status


def test_its_files_are_fetched_by_their_field(client: Client, tmp_path: Path) -> None:
    analysis = client.run("sleep", time=0)
    for field in ("csv_file", "csv"):
        assert "sleep" in analysis.download(field, tmp_path / f"{field}.csv").read_text()
    with pytest.raises(KeyError, match="It has csv_file"):
        analysis.download("video", tmp_path / "x")
    assert analysis.download("csv", tmp_path) == tmp_path / "sleep.csv"  # as it is stored


def test_a_failed_one_says_why_and_is_tried_again(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_text("I am none.")
    analysis = client.run("invent", client.upload(path), frames=7)
    with pytest.raises(AnalysisFailed, match="Send an MP4") as failed:
        analysis.wait(progress=False, timeout=60)
    assert failed.value.kind == "NotAVideo"
    with pytest.raises(AnalysisFailed):
        _ = analysis.result
    assert "Send an MP4" in analysis._repr_html_()
    again = analysis.retry()
    assert again != analysis
    asked = [each.status for each in (analysis, again)]
    assert asked[0]["parameters"] == asked[1]["parameters"]
    assert asked[1]["file_id"] == asked[0]["file_id"]
    assert isinstance(again.log(), str)


class Noting(Client):
    """A client that notes what is asked for: without DeepLabCut a server hands on no earlier result in any case."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def run(self, *names: Any, **parameters: Any) -> Analysis:
        self.asked.append(parameters)
        return super().run(*names, **parameters)


def test_an_earlier_result_is_no_answer_to_a_retry(server: OwnServer) -> None:
    client = Noting(server.url, server.token)
    client.run("sleep", time=0).retry()
    assert client.asked == [{"time": 0}, {"time": 0.0, "fresh": True, "cameras": None}]


def test_it_is_cancelled(client: Client) -> None:
    analysis = client.run("sleep", time=600)
    with pytest.raises(TimeoutError, match="it goes on"):
        analysis.wait(progress=False, timeout=0.2)
    analysis.cancel()
    with pytest.raises(AnalysisFailed) as cancelled:
        analysis.wait(progress=False, timeout=60)
    assert cancelled.value.kind == "Cancelled"


def test_progress_is_told_to_whoever_asks(client: Client) -> None:
    told: list[str] = []
    client.run("sleep", time=0.3).wait(lambda record: told.append(record["state"]), timeout=60)
    assert told[-1] == "succeeded"


def test_several_are_awaited_at_the_same_time(client: Client) -> None:
    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(client.run("sleep", time=seconds) for seconds in (0.2, 0.1))))

    assert [result["sleep_time"] for result in asyncio.run(both())] == [0.2, 0.1]


def test_what_it_can_do_is_named_without_what_every_string_can(client: Client) -> None:
    names = dir(Analysis(client, "ab"))
    assert {"wait", "poses", "to_xarray", "points", "cancel", "retry", "delete", "log", "download"} <= set(names)
    assert not {"capitalize", "split"} & set(names)


def test_no_token_is_in_what_is_shown_or_pickled(server: OwnServer, client: Client) -> None:
    analysis = client.run("sleep", time=0)
    assert pickle.loads(pickle.dumps(analysis)) == analysis
    shown = [repr(pickle.dumps(analysis)), repr(analysis), analysis._repr_html_(), repr(client)]
    assert not [each for each in shown if server.token in each]


def test_it_is_shown_where_its_server_is_gone() -> None:
    shown = Analysis(Client("http://127.0.0.1:9/"), "abc<")._repr_html_()
    assert "abc&lt;" in shown
    assert "127.0.0.1:9" in shown
