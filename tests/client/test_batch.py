"""Many videos as one: sent, asked for, followed, and one table of what became of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dlc_jupyter.client import Client, batch
from tests.client.conftest import MIB, until


@pytest.fixture
def videos(tmp_path: Path) -> Callable[..., list[Path]]:
    """Files, of which those called "bad" are no videos."""

    def videos(*names: str) -> list[Path]:
        for name in names:
            content = b"no" if name.startswith("bad") else b"video"
            (tmp_path / f"{name}.mp4").write_bytes(content + os.urandom(8))
        return [tmp_path / f"{name}.mp4" for name in names]

    return videos


def test_one_bad_video_stops_none_of_the_others(client: Client, videos: Callable[..., list[Path]]) -> None:
    many = client.batch(videos("day1", "bad", "day2"), "invent", frames=12).wait(progress=False, timeout=100)
    assert [(row["file"], row["state"], row["frames"]) for row in many.rows()] == [
        ("day1.mp4", "succeeded", 12),
        ("bad.mp4", "failed", None),
        ("day2.mp4", "succeeded", 12),
    ]
    assert many["bad.mp4"].problem == "This is no video. Send an MP4."
    assert [each.name for each in many.failed] == ["bad.mp4"]
    assert sorted(many.results()) == ["day1.mp4", "day2.mp4"]
    assert {name: len(table) for name, table in many.poses().items()} == {"day1.mp4": 12, "day2.mp4": 12}
    assert len(pd.concat(many.poses(), names=["file"])) == 24
    assert list(many.table()["state"]) == ["succeeded", "failed", "succeeded"]
    assert many.table()["seconds"].notna().all()


def test_what_is_refused_before_it_is_asked_for_is_a_row_too(
    client: Client, videos: Callable[..., list[Path]], tmp_path: Path
) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as sparse:
        sparse.truncate(65 * MIB)
    given = [tmp_path / "nowhere.mp4", large, *videos("day1")]
    many = client.batch(given, "invent").wait(progress=False, timeout=100)
    assert [row["state"] for row in many.rows()] == ["refused", "refused", "succeeded"]
    assert "nowhere.mp4" in many[0].problem
    assert "64 MiB" in many[1].problem
    refused = client.batch(videos("day2"), "invent", frames="many").wait(progress=False, timeout=100)
    assert "frames" in refused[0].problem


def test_ids_of_stored_files_are_taken_too_and_several_for_one_analysis(client: Client, video: str) -> None:
    many = client.batch([video, video[:12], [video, video]], "invent").wait(progress=False, timeout=100)
    assert [each.state for each in many] == ["succeeded", "succeeded", "refused"]
    assert "file" in many[2].problem  # invent looks at one
    assert [each.name for each in many] == [video[:12], f"{video[:12]} (2)", f"{video[:12]} + {video[:12]}"]


def test_files_are_given_by_camera(client: Client, video: str) -> None:
    many = client.batch([{"left": video, "right": video}], "invent").wait(progress=False, timeout=100)
    assert "cameras" in many[0].problem  # which analyses take them so, the server says


def test_it_begins_at_once_and_is_waited_for_later(client: Client, videos: Callable[..., list[Path]]) -> None:
    many = client.batch(videos("day1", "day2"), "invent", seconds=0.5)
    with pytest.raises(TimeoutError, match="it goes on"):
        many.wait(progress=False, timeout=0.1)
    assert not all(each.ended for each in many)
    assert all(each.state == "succeeded" for each in many.wait(progress=False, timeout=100))
    assert len(client.batch(videos("day3"), "invent")) == 1


def test_an_interrupted_wait_is_taken_up_and_nothing_is_sent_twice(
    client: Client, videos: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = client.batch(videos("day1", "day2"), "invent", seconds=0.3)
    real = time.sleep

    def interrupted(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        real(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(batch.time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            many.wait(progress=False)
    many.wait(progress=False, timeout=100)
    assert [each.state for each in many] == ["succeeded"] * 2
    files = {file_id for analysis in many.analyses for file_id in analysis.status["file_id"]}
    asked = [each["analysis_id"] for each in client.analyses() if files & set(each["file_id"])]
    assert sorted(asked) == sorted(many.analyses)


def test_all_of_it_is_cancelled(client: Client, videos: Callable[..., list[Path]]) -> None:
    many = client.batch(videos("day1", "day2", "day3"), "invent", seconds=600)
    many.cancel()
    assert {each.state for each in many.wait(progress=False, timeout=100)} == {"cancelled"}
    states = {client.status(each)["state"] for each in many.analyses}
    assert states <= {"cancelled"}


def test_what_went_wrong_is_tried_again_alone(client: Client, videos: Callable[..., list[Path]]) -> None:
    good, bad = videos("day1", "bad")
    many = client.batch([good, bad], "invent").wait(progress=False, timeout=100)
    [first, _] = many.analyses
    bad.write_bytes(b"video, this time")
    many.retry().wait(progress=False, timeout=100)
    assert [each.state for each in many] == ["succeeded"] * 2
    assert many[0].analysis == first


def test_one_that_somebody_deletes_is_not_waited_for(client: Client, videos: Callable[..., list[Path]]) -> None:
    many = client.batch(videos("day1"), "invent", seconds=600)
    [analysis] = until(lambda: many.analyses)
    analysis.cancel()
    until(lambda: analysis.state == "cancelled")
    analysis.delete()
    assert many.wait(progress=False, timeout=60)[0].state == "refused"


def test_it_is_shown_as_a_table_with_names_escaped(client: Client, videos: Callable[..., list[Path]]) -> None:
    many = client.batch(videos("day1", "bad <b>"), "invent").wait(progress=False, timeout=100)
    shown = many._repr_html_()
    assert shown.count("<tr>") == 3
    assert "bad &lt;b&gt;.mp4" in shown
    assert "Send an MP4" in shown
    assert repr(many).splitlines()[0].split() == ["day1.mp4", "succeeded"]


def test_an_empty_one_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="no files"):
        client.batch([], "invent")


def test_a_server_that_is_away_is_waited_for_but_not_for_ever(
    client: Client, videos: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = client.batch(videos("day1"), "invent", seconds=1)
    until(lambda: many.analyses)
    looked: list[float] = []
    refresh = many.refresh

    def looking() -> batch.Batch:
        looked.append(time.monotonic())
        return refresh()

    monkeypatch.setattr(many, "refresh", looking)
    monkeypatch.setattr(batch, "PAUSE", 0.05)
    many.client = Client("http://127.0.0.1:9/")
    monkeypatch.setattr(batch, "PATIENCE", 0.2)
    with pytest.raises(ConnectionError, match="No server listens"):
        many.wait(progress=False)
    assert len(looked) > 1
    many.client = client
    assert many.wait(progress=False, timeout=100)[0].state == "succeeded"
