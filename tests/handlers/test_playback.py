"""``GET /file/<id>/playback`` and ``/times``: of real videos in the store, with and without a playable one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from dlc_jupyter.handlers import playback
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.handlers.openapi import ROUTES, document
from dlc_jupyter.jobs.record import Record
from dlc_jupyter.pose.playback import table
from tests.pose import videos


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("videos")
    return lambda name: videos.make(name, folder)


@pytest.fixture
def put(services: Services) -> Callable[[bytes, str], str]:
    def put(content: bytes, filename: str) -> str:
        incoming = services.files.receive()
        incoming.append(content)
        return incoming.finish(filename).file_id

    return put


@pytest.fixture
def stored(put: Any, made: Any) -> Callable[[str], str]:
    """Put a video of `videos.WHOLE` into the store; return its id."""
    return lambda name: str(put(made(name).read_bytes(), name))


@pytest.fixture
def playable(services: Services, put: Any) -> Callable[..., Record]:
    """Write down that a playable video was made of a file, as an engine does; return the analysis."""

    def playable(file_id: str, how: str | None = None, times: bytes = b"times") -> Record:
        request = services.requests.prepare("playable", {"how": how}, [file_id])
        services.records.create(request, time.time())
        record = services.records.claim("me", time.time(), 60)
        assert record is not None
        names = {"video_file": f"video {record.analysis_id}".encode(), "times_file": times}
        files = {name: put(content, "made.mp4") for name, content in names.items()}
        result = {**files, "made": how or "remux", "frames": 120, "fps": 30.0, "index_timed": True, "checked": 120}
        assert services.records.succeed(
            record.analysis_id, "me", time.time(), result, list(files.values()), reusable=True
        )
        return services.records.find(record.analysis_id)

    return playable


async def ask(api: Any, *parts: str) -> dict[str, Any]:
    answer = await api("file", *parts)
    assert answer.code == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_a_video_that_is_played_as_it_is(api: Any, stored: Any) -> None:
    file_id = stored("plain.mp4")
    assert await ask(api, file_id[:7], "playback") == {
        "file_id": file_id,
        "play": "direct",
        "why": None,
        "container": "mov",
        "codec": "h264",
        "frames": 120,
        "width": 160,
        "height": 120,
        "fps": 30.0,
        "rotation": 0,
        "pixel_aspect": [1, 1],
        "timing": {"regular": {"start": 0, "step": 512, "timescale": 15360}},
        "playable_file": None,
        "making": None,
    }


async def test_times_that_vary_are_in_a_table_at_the_address_that_is_told(api: Any, stored: Any, made: Any) -> None:
    file_id = stored("pause.mp4")
    timing = (await ask(api, file_id, "playback"))["timing"]
    assert timing == {"times": f"file/{file_id}/times"}
    answer = await api(*timing["times"].split("/"))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    times = np.frombuffer(answer.body, "<f8")
    shown = videos.decode(made("pause.mp4"))
    assert len(times) == len(shown) + 1 == 121
    assert np.allclose(times[:-1], shown, atol=1e-6)
    assert times[-1] == pytest.approx(shown[-1] + 1 / 30)


async def test_the_times_of_a_regular_video_are_in_a_table_too(api: Any, stored: Any) -> None:
    times = np.frombuffer((await api("file", stored("plain.mp4"), "times")).body, "<f8")
    assert np.allclose(times, np.arange(121) / 30)


async def test_what_the_container_does_not_tell_is_told_by_the_analysis(api: Any, stored: Any, playable: Any) -> None:
    file_id = stored("motion.avi")
    told = await ask(api, file_id, "playback")
    assert (told["play"], told["timing"], told["frames"], told["playable_file"]) == ("proxy", None, None, None)
    assert "AVI" in told["why"]
    answer = await api("file", file_id, "times")
    assert (answer.code, json.loads(answer.body)["reason"]) == (409, "times-unknown")
    times = table([number / 25 for number in range(121)])
    record = playable(file_id, times=times)
    told = await ask(api, file_id, "playback")
    assert (told["timing"], told["frames"]) == ({"times": f"file/{file_id}/times"}, 120)
    assert told["playable_file"] == record.result["video_file"]
    assert (await api("file", file_id, "times")).body == times


async def test_what_an_analysis_has_found_in_the_container_is_told(api: Any, stored: Any, services: Services) -> None:
    file_id = stored("motion.avi")
    assert (await ask(api, file_id, "playback"))["width"] is None
    facts = {"container": "avi", "codec": "mjpeg", "width": 160, "height": 120, "fps": 30.0, "frames": 120}
    services.files.note_media(file_id, facts)
    told = await ask(api, file_id, "playback")
    assert {name: told[name] for name in facts} == facts
    assert told["timing"] is None


async def test_a_playable_video_is_named_while_its_files_are_there_and_the_one_asked_for_comes_first(
    api: Any, stored: Any, playable: Any, services: Services
) -> None:
    file_id = stored("fragments.mp4")
    assert (await ask(api, file_id, "playback"))["play"] == "remux"
    usual, asked = playable(file_id), playable(file_id, "proxy")
    assert (await ask(api, file_id, "playback"))["playable_file"] == asked.result["video_file"]
    services.files.delete(asked.result["video_file"])
    assert (await ask(api, file_id, "playback"))["playable_file"] == usual.result["video_file"]
    services.files.delete(usual.result["video_file"])
    assert (await ask(api, file_id, "playback"))["playable_file"] is None


async def test_the_analysis_that_is_about_to_make_one_is_named(api: Any, stored: Any, services: Services) -> None:
    file_id = stored("motion.avi")
    for name in ("playable", "sleep"):
        values = {"time": 1} if name == "sleep" else {}
        answer = await api("analysis", json={"analysis": name, "file_id": file_id, **values})
        if name == "playable":
            waiting = json.loads(answer.body)["analysis_id"]
    assert (await ask(api, file_id, "playback"))["making"] == waiting
    services.records.cancel(waiting, time.time())
    assert (await ask(api, file_id, "playback"))["making"] is None


@pytest.mark.parametrize(("content", "name"), [(b"a,b\n1,2\n", "poses.csv"), (b"\x89PNG\r\n\x1a\n", "picture.png")])
async def test_what_is_no_video_is_refused(api: Any, put: Any, content: bytes, name: str) -> None:
    for route in ("playback", "times"):
        answer = await api("file", put(content, name), route)
        assert (answer.code, json.loads(answer.body)["reason"]) == (409, "not-a-video")


async def test_a_file_that_there_is_not_or_is_lost(api: Any, stored: Any, services: Services) -> None:
    file_id = stored("plain.mp4")
    assert (await api("file", "0" * 40, "playback")).code == 404
    assert (await ask(api, file_id, "playback"))["frames"] == 120
    services.files.path(file_id).unlink()
    for route in ("playback", "times"):
        answer = await api("file", file_id, route)
        assert (answer.code, json.loads(answer.body)["reason"]) == (404, "file-lost")


async def test_a_container_is_read_once(api: Any, stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    look = playback.look

    def counted(path: Path, *rest: Any) -> Any:
        read.append(path)
        return look(path, *rest)

    monkeypatch.setattr(playback, "look", counted)
    ids = [stored(name) for name in ("pause.mp4", "uneven.mp4")]
    for _ in range(3):
        for file_id in ids:
            await ask(api, file_id, "playback")
            assert (await api("file", file_id, "times")).code == 200
    assert len(read) == 2
    monkeypatch.setattr(playback, "MOST_KNOWN", 1)
    await ask(api, stored("plain.mp4"), "playback")
    await ask(api, ids[0], "playback")
    assert len(read) == 4


async def test_answers_are_as_described(api: Any, jp_serverapp: Any, stored: Any, playable: Any) -> None:
    spec = json.loads(json.dumps(document(jp_serverapp.web_app.settings[ROUTES], "/dlc")))
    schema = {**spec["components"]["schemas"]["Playback"], "components": spec["components"]}
    playable(stored("h264.avi"), "proxy")
    for name in ("plain.mp4", "pause.mp4", "turned.mov", "motion.avi", "plain.mkv", "plain.ts", "h264.avi"):
        jsonschema.Draft202012Validator(schema).validate(await ask(api, stored(name), "playback"))
