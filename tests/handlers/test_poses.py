"""``GET /file/<id>/poses``: of a result, and of an analysis that is running."""

from __future__ import annotations

import json
import struct
import time
from array import array
from pathlib import Path
from typing import Any

import pytest

from dlc_jupyter.handlers.base import Services
from dlc_jupyter.jobs.records import Request
from dlc_jupyter.jobs.scratch import kept_folder

HEADER = {"scorer": "DLC_net", "points": [["", "snout"], ["", "tail"]], "frames": 5}
VALUES = [float(number) for number in range(5 * 2 * 3)]


def compact(header: dict[str, Any], values: list[float]) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sII", b"DLCP", 1, len(text)) + text + array("f", values).tobytes()


def parse(content: bytes) -> tuple[dict[str, Any], list[float]]:
    length = struct.unpack_from("<4sII", content)[2]
    numbers = array("f")
    numbers.frombytes(content[12 + length :])
    return json.loads(content[12 : 12 + length]), list(numbers)


@pytest.fixture
def put(services: Services, tmp_path: Path) -> Any:
    def put(content: bytes, filename: str) -> str:
        incoming = services.files.receive()
        incoming.append(content)
        return incoming.finish(filename).file_id

    return put


@pytest.fixture
def video(put: Any) -> str:
    return str(put(b"a video", "mouse.mp4"))


@pytest.fixture
def running(services: Services, video: str) -> str:
    services.records.create(Request("video", {}, (video,)), time.time())
    record = services.records.claim("me", time.time(), 60)
    assert record is not None
    return record.analysis_id


@pytest.fixture
def succeeded(services: Services, running: str, put: Any) -> str:
    made = put(compact(HEADER, VALUES), "poses.dlcp")
    assert services.records.succeed(running, "me", time.time(), {"poses_file": made}, [made])
    return running


async def test_the_poses_of_a_result(api: Any, video: str, succeeded: str) -> None:
    answer = await api("file", video, "poses")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    header, numbers = parse(answer.body)
    assert header == {**HEADER, "start": 0, "count": 5, "analysis_id": succeeded, "state": "succeeded"}
    assert numbers == VALUES


async def test_the_poses_of_a_cropped_video_say_where_its_corner_is(
    api: Any, services: Services, video: str, running: str, put: Any
) -> None:
    made = put(compact({**HEADER, "cropping": [20, 300, 10, 230]}, VALUES), "poses.dlcp")
    assert services.records.succeed(running, "me", time.time(), {"poses_file": made}, [made])
    header, numbers = parse((await api("file", video, "poses", params={"start": "1", "stop": "2"})).body)
    assert header["cropping"] == [20, 300, 10, 230]
    assert numbers == VALUES[6:12]


async def test_a_range_of_them_by_the_first_characters_of_the_id(api: Any, video: str, succeeded: str) -> None:
    answer = await api("file", video[:8], "poses", params={"start": "2", "stop": "4", "analysis_id": succeeded[:6]})
    header, numbers = parse(answer.body)
    assert (header["start"], header["count"]) == (2, 2)
    assert numbers == VALUES[12:24]


@pytest.mark.parametrize("start", [5, 6, 10**18, 10**19 - 1])
async def test_behind_the_end_there_are_none(api: Any, video: str, succeeded: str, start: int) -> None:
    answer = await api("file", video, "poses", params={"start": str(start)})
    assert answer.code == 200
    header, numbers = parse(answer.body)
    assert (header["start"], header["count"], header["frames"], numbers) == (start, 0, 5, [])


@pytest.mark.parametrize("cropping", [None, [20, 300, 10, 230]])
async def test_the_poses_of_an_analysis_that_is_running(
    api: Any, services: Services, video: str, running: str, cropping: list[int] | None
) -> None:
    assert (await api("file", video, "poses")).code == 404
    folder = kept_folder(services.settings.root, running) / "poses"
    folder.mkdir(parents=True)
    about = {"scorer": "DLC_net", "points": HEADER["points"], "span": [0, 1], "cropping": cropping}
    layout = [["bodyparts", "<f4", [1, 2, 3]], ["wide", "|u1", []]]
    (folder / "rows.json").write_text(json.dumps({"about": about, "name": "rows", "layout": layout}))
    records = [array("f", VALUES[first : first + 6]).tobytes() + b"\0" for first in range(0, 24, 6)]
    (folder / "rows.bin").write_bytes(b"".join(records))
    (folder / "rows.log").write_bytes(b"")
    assert parse((await api("file", video, "poses")).body)[0]["count"] == 0
    (folder / "rows.log").write_bytes(b'{"rows": 2, "crc": 1}\n{"rows": 4, "crc": 1}\n{"ro')
    header, numbers = parse((await api("file", video, "poses", params={"start": "1"})).body)
    assert header.pop("cropping", None) == cropping
    assert header == {
        **HEADER, "frames": 4, "start": 1, "count": 3, "analysis_id": running, "state": "running",
    }  # fmt: skip
    assert numbers == VALUES[6:24]
    assert services.records.release(running, "me")  # its worker stops: it waits for another
    header, numbers = parse((await api("file", video, "poses", params={"start": "1"})).body)
    assert (header["state"], header["frames"], numbers) == ("queued", 4, VALUES[6:24])


async def test_those_of_the_newest_analysis_that_has_any(
    api: Any, services: Services, video: str, succeeded: str
) -> None:
    services.records.create(Request("video", {"fresh": True}, (video,)), time.time())
    assert services.records.claim("me", time.time(), 60)  # it has none yet
    header, _ = parse((await api("file", video, "poses")).body)
    assert header["analysis_id"] == succeeded


@pytest.mark.parametrize("damage", [b"no poses", b"DLCP", b"DLCP\1\0\0\0\4\0\0\0[]  ", b"DLCP\1\0\0\0\4\0\0\0{}  "])
async def test_poses_that_are_damaged_are_an_error_and_not_those_of_an_older_analysis(
    api: Any, services: Services, video: str, succeeded: str, put: Any, damage: bytes, caplog: Any
) -> None:
    services.records.create(Request("video", {"fresh": True}, (video,)), time.time())
    record = services.records.claim("me", time.time(), 60)
    assert record is not None
    made = put(damage, "poses.dlcp")
    assert services.records.succeed(record.analysis_id, "me", time.time(), {"poses_file": made}, [made])
    answer = await api("file", video, "poses")
    assert answer.code == 500
    assert json.loads(answer.body)["reason"] == "internal-error"
    assert [each for each in caplog.records if each.exc_info]
    answer = await api("file", video, "poses", params={"analysis_id": succeeded})
    assert parse(answer.body)[1] == VALUES


async def test_an_analysis_that_ends_at_this_very_moment_has_those_of_its_result(
    api: Any, services: Services, video: str, running: str, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(compact(HEADER, VALUES), "poses.dlcp")
    before = services.records.looking_at(video)
    assert services.records.succeed(running, "me", time.time(), {"poses_file": made}, [made])
    monkeypatch.setattr(services.records, "looking_at", lambda *_: before)
    header, numbers = parse((await api("file", video, "poses")).body)
    assert (header["state"], numbers) == ("succeeded", VALUES)


async def test_the_poses_of_each_camera_s_video(api: Any, services: Services, put: Any) -> None:
    videos = [put(content, "camera.mp4") for content in (b"one", b"two")]
    services.records.create(Request("stereo", {}, tuple(videos)), time.time())
    record = services.records.claim("me", time.time(), 60)
    assert record is not None
    folder = kept_folder(services.settings.root, record.analysis_id) / "video-2" / "poses"
    folder.mkdir(parents=True)
    about = {"scorer": "DLC_net", "points": HEADER["points"], "span": [0, 1], "cropping": None}
    layout = [["bodyparts", "<f4", [1, 2, 3]]]
    (folder / "rows.json").write_text(json.dumps({"about": about, "name": "rows", "layout": layout}))
    (folder / "rows.bin").write_bytes(array("f", VALUES[:6]).tobytes())
    (folder / "rows.log").write_bytes(b'{"rows": 1, "crc": 1}\n')
    assert (await api("file", videos[0], "poses")).code == 404
    assert parse((await api("file", videos[1], "poses")).body)[1] == VALUES[:6]

    made = [put(compact({**HEADER, "scorer": name}, VALUES), f"{name}.dlcp") for name in ("left", "right")]
    result = {"cameras": ["left", "right"], "left_poses_file": made[0], "right_poses_file": made[1]}
    assert services.records.succeed(record.analysis_id, "me", time.time(), result, made)
    for video, name in zip(videos, ("left", "right"), strict=True):
        assert parse((await api("file", video, "poses")).body)[0]["scorer"] == name


async def test_a_result_of_several_files_without_poses_has_none(api: Any, services: Services, put: Any) -> None:
    videos = [put(content, "camera.mp4") for content in (b"one", b"two")]
    for result in ({}, {"cameras": ["left"]}, {"cameras": None}):
        services.records.create(Request("stereo", {}, tuple(videos)), time.time())
        record = services.records.claim("me", time.time(), 60)
        assert record is not None
        assert services.records.succeed(record.analysis_id, "me", time.time(), result, [])
    assert (await api("file", videos[1], "poses")).code == 404


@pytest.mark.parametrize("wrong", [{"start": "-1"}, {"stop": "x"}, {"start": "5", "stop": "4"}, {"start": "9" * 30}])
async def test_what_is_no_range_is_refused(api: Any, video: str, succeeded: str, wrong: dict[str, str]) -> None:
    answer = await api("file", video, "poses", params=wrong)
    assert answer.code == 400
    assert json.loads(answer.body)["reason"] == "bad-range"


async def test_a_file_without_poses(api: Any, video: str, succeeded: str) -> None:
    assert (await api("file", "0" * 40, "poses")).code == 404
    answer = await api("file", video, "poses", params={"analysis_id": "ffffff"})
    assert answer.code == 404
    assert "no analysis" in json.loads(answer.body)["message"]


async def test_an_analysis_without_poses_of_a_file_is_told_from_one_that_there_is_not(
    api: Any, services: Services, video: str
) -> None:
    waiting = services.records.create(Request("video", {}, (video,)), time.time()).analysis_id
    answer = await api("file", video, "poses", params={"analysis_id": waiting[:8]})
    assert answer.code == 404
    assert json.loads(answer.body)["reason"] == "no-poses"
    assert waiting in json.loads(answer.body)["message"]


@pytest.mark.parametrize("part", [{"start": 590}, {"stop": 10}, {"step": 2}, {"cropping": [0, 10, 0, 10]}])
async def test_poses_of_all_come_before_newer_ones_of_a_part(
    api: Any, services: Services, video: str, succeeded: str, put: Any, part: dict[str, Any]
) -> None:
    newer = services.records.create(Request("video", part, (video,)), time.time()).analysis_id
    assert services.records.claim("me", time.time(), 60)
    made = put(compact(HEADER, VALUES[:6]), "poses.dlcp")
    assert services.records.succeed(newer, "me", time.time(), {"poses_file": made}, [made])
    assert parse((await api("file", video, "poses")).body)[0]["analysis_id"] == succeeded
    there = await api("file", video, "poses", params={"analysis_id": newer})
    assert parse(there.body)[0]["analysis_id"] == newer


async def test_a_result_whose_file_was_deleted_has_none(
    api: Any, services: Services, video: str, succeeded: str
) -> None:
    made = services.records.outputs(succeeded)[0]
    services.files.path(made).unlink()
    assert (await api("file", video, "poses")).code == 404


# -- at one look -------------------------------------------------------------------------------------------------------


def parse_overview(content: bytes) -> tuple[dict[str, Any], list[list[int]], list[list[int]]]:
    """What a client does: the header, and by point the least and the mean likelihood of each bin."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version) == (b"DLCO", 1)
    header = json.loads(content[12 : 12 + length])
    bins, points = header["bins"], len(header["points"])
    rows = [list(content[at : at + bins]) for at in range(12 + length, len(content), bins or 1)]
    assert len(rows) == 2 * points
    return header, rows[:points], rows[points:]


async def test_the_likelihood_of_all_poses_at_one_look(
    api: Any, services: Services, video: str, running: str, put: Any
) -> None:
    values = [number for frame in range(5) for number in (0.0, 0.0, frame / 4, 0.0, 0.0, float("nan"))]
    made = put(compact(HEADER, values), "poses.dlcp")
    assert services.records.succeed(running, "me", time.time(), {"poses_file": made}, [made])
    answer = await api("file", video[:8], "poses", "overview")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    header, least, mean = parse_overview(answer.body)
    about = {"analysis_id": running, "state": "succeeded"}
    assert header == {**HEADER, **about, "span": 1, "bins": 5}
    assert least == mean == [[0, 64, 127, 190, 254], [255] * 5]
    params = {"bins": "2", "analysis_id": running[:6]}
    header, least, mean = parse_overview((await api("file", video, "poses", "overview", params=params)).body)
    assert (header["span"], header["bins"]) == (3, 2)
    assert (least, mean) == ([[0, 190], [255, 255]], [[64, 222], [255, 255]])


async def test_the_likelihood_of_poses_that_are_being_made(
    api: Any, services: Services, video: str, running: str
) -> None:
    assert (await api("file", video, "poses", "overview")).code == 404
    folder = kept_folder(services.settings.root, running) / "poses"
    folder.mkdir(parents=True)
    about = {"scorer": "DLC_net", "points": HEADER["points"], "span": [0, 1], "first": 2}
    layout = [["bodyparts", "<f4", [1, 2, 3]], ["wide", "|u1", []]]
    (folder / "rows.json").write_text(json.dumps({"about": about, "name": "rows", "layout": layout}))
    records = [array("f", [0, 0, 0.5, 0, 0, number / 4]).tobytes() + b"\0" for number in range(4)]
    (folder / "rows.bin").write_bytes(b"".join(records))
    (folder / "rows.log").write_bytes(b'{"rows": 4, "crc": 1}\n')
    header, least, mean = parse_overview((await api("file", video, "poses", "overview")).body)
    assert (header["first"], header["frames"], header["state"]) == (2, 4, "running")
    assert least == mean == [[127] * 4, [0, 64, 127, 190]]


@pytest.mark.parametrize("bins", ["0", "-1", "10001", "x", ""])
async def test_what_is_no_number_of_bins_is_refused(api: Any, video: str, succeeded: str, bins: str) -> None:
    answer = await api("file", video, "poses", "overview", params={"bins": bins})
    assert (answer.code, json.loads(answer.body)["reason"]) == (400, "bad-range")
    assert "1 to 10000" in json.loads(answer.body)["message"]


# -- in space ----------------------------------------------------------------------------------------------------------

SPACE = {**HEADER, "first": 0, "values": ["x", "y", "z", "error"], "unit": "mm", "up": "z", "skeleton": [["a", "b"]]}
IN_SPACE = [float(number) for number in range(5 * 2 * 4)]


@pytest.fixture
def in_space(services: Services, video: str, put: Any) -> str:
    """An analysis that has points in space."""
    other = put(b"another video", "other.mp4")
    services.records.create(Request("triangulate", {}, (video, other)), time.time())
    record = services.records.claim("me", time.time(), 60)
    assert record is not None
    content = bytearray(compact(SPACE, IN_SPACE))
    content[4] = 2
    made = put(bytes(content), "space.dlcp")
    assert services.records.succeed(record.analysis_id, "me", time.time(), {"space_file": made}, [made])
    return record.analysis_id


async def test_points_in_space(api: Any, in_space: str) -> None:
    answer = await api("analysis", in_space[:8], "space")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert struct.unpack_from("<4sI", answer.body) == (b"DLCP", 2)
    header, numbers = parse(answer.body)
    assert header == {**SPACE, "start": 0, "count": 5, "analysis_id": in_space, "state": "succeeded"}
    assert numbers == IN_SPACE
    params = {"start": "3", "stop": "99"}
    header, numbers = parse((await api("analysis", in_space, "space", params=params)).body)
    assert (header["start"], header["count"], numbers) == (3, 2, IN_SPACE[24:])


async def test_an_analysis_without_points_in_space(api: Any, services: Services, succeeded: str, in_space: str) -> None:
    answer = await api("analysis", succeeded, "space")
    assert (answer.code, json.loads(answer.body)["reason"]) == (404, "no-points")
    assert succeeded in json.loads(answer.body)["message"]
    answer = await api("analysis", "0" * 40, "space")
    assert (answer.code, json.loads(answer.body)["reason"]) == (404, "unknown-analysis-id")
    assert (await api("analysis", in_space, "space", params={"start": "2", "stop": "1"})).code == 400
    services.files.delete(services.records.outputs(in_space)[0])
    assert (await api("analysis", in_space, "space")).code == 404
