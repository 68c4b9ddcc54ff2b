"""Asking for analyses, listing and looking at them, cancelling and forgetting them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

import dlc_jupyter
from dlc_jupyter import demo
from dlc_jupyter.errors import Refusal
from dlc_jupyter.handlers.base import Services
from dlc_jupyter.handlers.logs import LogHandler
from dlc_jupyter.jobs.records import State
from dlc_jupyter.jobs.roster import Roster
from tests.stereo import make_known

WORKER = "worker-1"


@pytest.fixture
def finish(services: Services) -> Callable[..., None]:
    """Let a worker claim the analysis that is next, and end it."""

    def end(result: dict[str, Any] | None = None, *, outputs: list[str] | None = None, error: Any = None) -> None:
        record = services.records.claim(WORKER, time.time(), 30)
        assert record is not None
        if error is not None:
            assert services.records.fail(record.analysis_id, WORKER, time.time(), error)
        else:
            assert services.records.succeed(record.analysis_id, WORKER, time.time(), result or {}, outputs or [])

    return end


@pytest.fixture
def log_file(services: Services) -> Callable[[str], Path]:
    """Return the path of an analysis's log, in a folder that exists."""

    def path(analysis_id: str) -> Path:
        folder = services.settings.root / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{analysis_id}.log"

    return path


async def ask_sleep(api: Any, **fields: Any) -> str:
    answer = await api("analysis", json={"analysis": "sleep", "time": 1, **fields})
    assert answer.code == 200, answer.body
    return str(json.loads(answer.body)["analysis_id"])


def store(services: Services, content: bytes, filename: str = "mouse.mp4") -> str:
    incoming = services.files.receive()
    incoming.append(content)
    return incoming.finish(filename).file_id


def refusal(answer: Any, status: int) -> dict[str, Any]:
    assert answer.code == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = json.loads(answer.body)
    assert body["message"].endswith((".", "?"))
    return body


# -- asked for ---------------------------------------------------------------------------------------------------------


async def test_form_multipart_and_json_mean_the_same(api: Any, services: Services) -> None:
    boundary = "frontier"
    parts = [("analysis", "sleep"), ("time", "2.5")]
    multipart = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts
    )
    answers = [
        await api("analysis", json={"analysis": "sleep", "time": 2.5}),
        await api("analysis", form={"analysis": "sleep", "time": "2.5"}),
        await api(
            "analysis",
            method="POST",
            body=f"{multipart}--{boundary}--\r\n",
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        ),
    ]
    assert [answer.code for answer in answers] == [200, 200, 200]
    records = [services.records.find(json.loads(answer.body)["analysis_id"]) for answer in answers]
    assert [record.parameters for record in records] == [{"time": 2.5}] * 3
    assert {record.state for record in records} == {State.QUEUED}


async def test_a_new_analysis_rings_the_doorbell(api: Any, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr(services.doorbell, "ring", rung.append)
    analysis_id = await ask_sleep(api)
    services.pool.shutdown(wait=True)
    assert rung == [analysis_id]


async def test_file_ids_are_stored_whole_and_in_order(api: Any, services: Services) -> None:
    first, second = store(services, b"first"), store(services, b"second")
    analysis_id = await ask_sleep(api, file_id=[second[:8], first])
    assert services.records.find(analysis_id).file_ids == (second, first)
    answer = await api("analysis", form={"analysis": "sleep", "time": 1, "file_id": [first[:10], second]})
    assert services.records.find(json.loads(answer.body)["analysis_id"]).file_ids == (first, second)


async def test_an_unknown_analysis_is_refused_naming_those_there_are(api: Any) -> None:
    for values in ({"analysis": "slumber"}, {"analysis": ""}, {}, {"analysis": ["sleep", "sleep"]}):
        body = refusal(await api("analysis", json=values), 400)
        assert body["reason"] == "unknown-analysis"
        assert {"sleep", "video", "label"} <= set(body["analyses"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"time": "long"}, "time"),
        ({"time": -1}, "time"),
        ({"time": 1e9}, "time"),
        ({"time": None}, "time"),
        ({"time": [1, 2]}, "time"),
        ({}, "time"),
        ({"time": 1, "tiem": 2}, "tiem"),
    ],
)
async def test_wrong_parameters_are_refused_naming_each(
    api: Any, services: Services, values: dict[str, Any], field: str
) -> None:
    body = refusal(await api("analysis", json={"analysis": "sleep", **values}), 400)
    assert body["reason"] == "bad-parameters"
    assert [error["field"] for error in body["errors"]] == [field]
    assert body["errors"][0]["message"]
    assert services.records.count() == {}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
async def test_nan_and_infinity_are_refused(api: Any, value: str) -> None:
    as_json = f'{{"analysis": "sleep", "time": {value}}}'
    answer = await api("analysis", method="POST", body=as_json, headers={"Content-Type": "application/json"})
    assert refusal(answer, 400)["reason"] == "bad-json"
    body = refusal(await api("analysis", form={"analysis": "sleep", "time": value}), 400)
    assert [error["field"] for error in body["errors"]] == ["time"]


@pytest.mark.parametrize(
    ("content_type", "sent", "reason"),
    [
        ("application/json", "{", "bad-json"),
        ("application/json", '["sleep"]', "bad-json"),
        ("application/json", b'{"analysis": "\xff"}', "bad-json"),
        ("text/plain", "analysis=sleep", "unknown-content-type"),
        ("application/x-www-form-urlencoded", "analysis=%ff&time=1", "bad-request"),
        ("multipart/form-data; boundary=x", "no form at all", "bad-request"),
        ("multipart/form-data", "--x\r\n", "bad-request"),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nA\r\n--x--\r\n',
            "file-in-form",
        ),
    ],
)
async def test_a_broken_body_is_refused(api: Any, content_type: str, sent: Any, reason: str) -> None:
    answer = await api("analysis", method="POST", body=sent, headers={"Content-Type": content_type})
    assert refusal(answer, 400)["reason"] == reason


async def test_unknown_and_ambiguous_files_are_refused(api: Any, services: Services) -> None:
    body = refusal(await api("analysis", json={"analysis": "sleep", "time": 1, "file_id": "ab"}), 404)
    assert body["reason"] == "unknown-file"
    ids: dict[str, str] = {}
    for number in range(100):
        file_id = store(services, str(number).encode())
        if file_id[0] in ids:
            break
        ids[file_id[0]] = file_id
    body = refusal(await api("analysis", json={"analysis": "sleep", "time": 1, "file_id": [file_id[0]]}), 409)
    assert body["reason"] == "ambiguous-id"
    assert set(body["matches"]) == {file_id, ids[file_id[0]]}
    for wrong in ("", "zz", "%", "_", "..", "a" * 41):
        refusal(await api("analysis", json={"analysis": "sleep", "time": 1, "file_id": wrong}), 404)
    assert services.records.count() == {}


async def test_an_analysis_of_a_video_needs_one(api: Any, services: Services) -> None:
    body = refusal(await api("analysis", json={"analysis": "video", "model": "m"}), 400)
    assert body["reason"] == "missing-file"
    two = [store(services, b"1"), store(services, b"2")]
    body = refusal(await api("analysis", json={"analysis": "video", "model": "m", "file_id": two}), 400)
    assert body["reason"] == "too-many-files"


async def test_an_unknown_model_is_refused_naming_those_there_are(api: Any, services: Services) -> None:
    video = store(services, b"video")
    body = refusal(await api("analysis", json={"analysis": "video", "model": "cat", "file_id": video}), 404)
    assert body["reason"] == "unknown-model"
    assert body["models"] == []


@pytest.mark.parametrize("fresh", ["maybe", 2, [True, False]])
async def test_fresh_is_a_flag(api: Any, fresh: Any) -> None:
    answer = await api("analysis", json={"analysis": "sleep", "time": 1, "fresh": fresh})
    assert refusal(answer, 400)["reason"] == "bad-parameters"


DEMO = Path(dlc_jupyter.__file__).parent / "demo" / "model"


@pytest.mark.parametrize("dlc_options", [{"models": {"mouse": str(DEMO)}}], indirect=True)
@pytest.mark.parametrize(
    ("values", "field", "what"),
    [
        ({"shuffle": 7}, "shuffle", "There are: shuffle 1"),
        ({"snapshot_index": 5}, "snapshot_index", "There is no snapshot 5."),
        ({"displayedbodyparts": "snout,wing"}, "displayedbodyparts", "The model has no body part wing."),
    ],
)
async def test_what_the_model_does_not_have_is_refused_at_once(
    api: Any, services: Services, values: dict[str, Any], field: str, what: str
) -> None:
    asked = {"analysis": "label", "file_id": store(services, b"a video"), "model": "mouse", **values}
    body = refusal(await api("analysis", form=asked), 400)
    assert body["reason"] == "bad-parameters"
    (error,) = body["errors"]
    assert error["field"] == field
    assert what in error["message"]
    assert services.records.page() == []


@pytest.mark.parametrize("dlc_options", [{"models": {"mouse": str(DEMO)}}], indirect=True)
async def test_what_does_not_fit_a_video_is_refused_at_once_when_it_was_looked_at(api: Any, services: Services) -> None:
    video = store(services, b"a video")
    asked = {"analysis": "video", "file_id": video[:8], "model": "mouse", "start": 30}
    assert (await api("analysis", json=asked)).code == 200  # nobody knows yet
    services.files.note_media(video, {"frames": 30, "width": 320, "height": 240})
    body = refusal(await api("analysis", json={**asked, "cropping": [0, 400, 0, 240]}), 400)
    assert body["reason"] == "bad-parameters"
    assert [error["field"] for error in body["errors"]] == ["start", "cropping"]
    assert "The video has 30 frames" in body["errors"][0]["message"]
    assert "320 x 240 pixels" in body["errors"][1]["message"]
    assert len(services.records.page()) == 1
    assert (await api("analysis", json={**asked, "start": 29})).code == 200


@pytest.mark.parametrize("dlc_options", [{"models": {"mouse": str(DEMO)}}], indirect=True)
async def test_a_gpu_is_refused_where_the_worker_is_known_to_have_none(api: Any, services: Services) -> None:
    asked = {"analysis": "video", "file_id": store(services, b"a video"), "model": "mouse", "device": "cuda"}
    assert (await api("analysis", json=asked)).code == 200  # there is no worker that would know
    roster = Roster(services.database)
    roster.show("host-1:0", time.time(), {"devices": []})
    (error,) = refusal(await api("analysis", json=asked), 400)["errors"]
    assert error["field"] == "device"
    assert "(GPUs: none)" in error["message"]
    gpu = {"index": 0, "uuid": "GPU-a", "name": "NVIDIA T4", "memory": 1 << 34}
    roster.show("host-1:0", time.time(), {"devices": [gpu]})
    assert (await api("analysis", json=asked)).code == 200
    roster.show("host-1:0", time.time() - 3600, {"devices": []})
    assert (await api("analysis", json=asked)).code == 200  # that worker is gone


# -- asked for twice ---------------------------------------------------------------------------------------------------


async def test_the_same_idempotency_key_gives_the_same_analysis(api: Any, services: Services) -> None:
    asked = {"analysis": "sleep", "time": 1}
    first, again = [await api("analysis", json=asked, headers={"Idempotency-Key": "day 1, mouse 2"}) for _ in range(2)]
    assert json.loads(first.body) == json.loads(again.body)
    assert services.records.count() == {"queued": 1}
    other = await api("analysis", json={**asked, "time": 2}, headers={"Idempotency-Key": "day 1, mouse 2"})
    assert refusal(other, 409)["reason"] == "idempotency-key-reused"


@pytest.fixture
def model(dlc_options: dict[str, Any], tmp_path: Path) -> Path:
    """A model whose folder can be removed, registered as ``mouse``."""
    folder = tmp_path / "model"
    folder.symlink_to(Path(dlc_jupyter.__file__).parent / "demo" / "model")
    dlc_options["models"] = {"mouse": str(folder / "config.yaml")}
    return folder


async def test_the_same_key_gives_the_same_analysis_when_file_and_model_are_gone(
    model: Path, api: Any, services: Services, finish: Callable[..., None]
) -> None:
    file_id, other = store(services, b"a video"), store(services, b"another")
    asked = {"analysis": "video", "file_id": file_id[:12].upper(), "model": "mouse"}

    async def ask(**changed: Any) -> Any:
        return await api("analysis", json=asked | changed, headers={"Idempotency-Key": "one"})

    first = await ask()
    assert first.code == 200, first.body
    finish({"frames": 7})
    services.files.delete(file_id)
    model.unlink()
    again = await ask()
    assert (again.code, again.body) == (200, first.body)
    for changed in (
        {"analysis": "label"},
        {"model": "another"},
        {"batch_size": 3},
        {"file_id": [file_id, file_id]},
        {"file_id": other},
        {"file_id": ""},
    ):
        assert refusal(await ask(**changed), 409)["reason"] == "idempotency-key-reused"
    assert refusal(await ask(batch_size="many"), 400)["reason"] == "bad-parameters"


@pytest.fixture
def stereo(dlc_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An analysis that takes a video of each camera of the demo's 3D model, which is called ``tray``."""
    dlc_options["models"] = {"tray": str(demo.MODEL_3D)}
    make_known(monkeypatch)


def multipart_of(fields: list[tuple[str, str]]) -> dict[str, Any]:
    boundary = "frontier"
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return {"method": "POST", "body": f"{parts}--{boundary}--\r\n", "headers": headers}


@pytest.mark.usefixtures("stereo")
async def test_files_are_given_by_camera_or_in_the_order_of_the_cameras(api: Any, services: Services) -> None:
    one, two = store(services, b"one"), store(services, b"two")
    asked = {"analysis": "stereo", "model": "tray"}
    by_name = {"camera-2": two[:9], "camera-1": one[:9].upper()}
    answers = [
        await api("analysis", json={**asked, "cameras": by_name}),
        await api("analysis", json={**asked, "cameras": {"camera-1": [one], "camera-2": [two]}}),
        await api("analysis", json={**asked, "file_id": [one[:9], two]}),
        await api("analysis", form={**asked, "file_id": [one, two[:9]]}),
        await api("analysis", form={**asked, "cameras": json.dumps(by_name)}),
        await api("analysis", **multipart_of([*asked.items(), ("cameras", json.dumps(by_name))])),
    ]
    assert [answer.code for answer in answers] == [200] * len(answers), answers[-1].body
    records = [services.records.find(json.loads(answer.body)["analysis_id"]) for answer in answers]
    assert {record.file_ids for record in records} == {(one, two)}
    assert [record.parameters["cameras"] for record in records] == [{"camera-1": [one], "camera-2": [two]}] * len(
        records
    )
    assert len({record.request_key for record in records}) == 1
    shown = json.loads((await api("analysis", records[0].analysis_id, "status")).body)
    assert shown["parameters"]["cameras"] == {"camera-1": [one], "camera-2": [two]}


@pytest.mark.usefixtures("stereo")
async def test_files_that_do_not_fit_the_cameras_are_refused(api: Any, services: Services) -> None:
    one, two = store(services, b"one"), store(services, b"two")
    for given, status, reason in (
        ({"cameras": {"camera-1": one, "camera-3": two}}, 400, "unknown-camera"),
        ({"cameras": {"camera-1": one}}, 400, "missing-camera"),
        ({"cameras": {"camera-1": one, "camera-2": one[:12]}}, 400, "same-file-twice"),
        ({"cameras": {"camera-1": one, "camera-2": two}, "file_id": [one, two]}, 400, "cameras-and-file-id"),
        ({"cameras": {"camera-1": one, "camera-2": "f" * 40}}, 404, "unknown-file"),
        ({"cameras": {"camera-1": one, "camera-2": 7}}, 400, "bad-parameters"),
        ({"cameras": "camera-1"}, 400, "bad-parameters"),
        ({"file_id": [one]}, 400, "wrong-number-of-files"),
        ({"file_id": [one, one]}, 400, "same-file-twice"),
        ({}, 400, "missing-file"),
    ):
        answer = await api("analysis", json={"analysis": "stereo", "model": "tray", **given})
        body = refusal(answer, status)
        assert body["reason"] == reason, given
        assert reason != "unknown-camera" or body["cameras"] == ["camera-1", "camera-2"]
    assert services.records.count() == {}


@pytest.mark.usefixtures("stereo")
async def test_the_same_key_gives_the_same_analysis_of_several_cameras(
    api: Any, services: Services, dlc_options: dict[str, Any], finish: Callable[..., None]
) -> None:
    one, two = store(services, b"one"), store(services, b"two")
    asked = {"analysis": "stereo", "model": "tray"}
    by_name = {"camera-1": one[:9], "camera-2": two[:9]}

    async def ask(**given: Any) -> Any:
        return await api("analysis", json=asked | given, headers={"Idempotency-Key": "one"})

    first = await ask(cameras=by_name)
    assert first.code == 200, first.body
    finish({"frames": 7})
    services.files.delete(one)
    for same in ({"cameras": by_name}, {"cameras": dict(reversed(by_name.items()))}, {"file_id": [one, two]}):
        assert (await ask(**same)).body == first.body
    for other in (
        {"cameras": {"camera-1": two, "camera-2": one}},
        {"cameras": {"camera-1": one}},
        {"cameras": by_name, "file_id": [one, two]},
        {"file_id": [two, one]},
        {"cameras": by_name, "size": 2},
    ):
        assert refusal(await ask(**other), 409)["reason"] == "idempotency-key-reused", other


@pytest.mark.usefixtures("stereo")
async def test_pictures_of_any_cameras_are_given_as_lists(api: Any, services: Services) -> None:
    ids = [store(services, bytes([number]), f"{number}.png") for number in range(3)]
    cameras = {"top": [ids[2][:8], ids[0]], "side": ids[1]}
    answer = await api("analysis", form={"analysis": "boards", "cameras": json.dumps(cameras)})
    record = services.records.find(json.loads(answer.body)["analysis_id"])
    assert record.file_ids == (ids[2], ids[0], ids[1])
    assert record.parameters == {"cameras": {"top": [ids[2], ids[0]], "side": [ids[1]]}}
    body = refusal(await api("analysis", json={"analysis": "boards", "cameras": {"top": ids}}), 400)
    assert body["reason"] == "one-camera"


async def test_requests_at_once_with_one_key_give_one_analysis(api: Any, services: Services) -> None:
    asked = {"analysis": "sleep", "time": 1}
    answers = await asyncio.gather(*(api("analysis", json=asked, headers={"Idempotency-Key": "one"}) for _ in range(8)))
    assert len({answer.body for answer in answers}) == 1
    assert services.records.count() == {"queued": 1}


@pytest.mark.parametrize("key", ["", "k" * 256, "m\u00e4use", "a\tb"])
async def test_a_bad_idempotency_key_is_refused(api: Any, key: str) -> None:
    answer = await api("analysis", json={"analysis": "sleep", "time": 1}, headers={"Idempotency-Key": key})
    assert refusal(answer, 400)["reason"] == "bad-idempotency-key"


async def test_an_earlier_result_is_given_at_once_unless_a_fresh_one_is_wanted(
    api: Any, services: Services, finish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlc_jupyter.analyses.sleep import Sleep

    monkeypatch.setattr(Sleep, "reusable", True)
    await ask_sleep(api, time=3)
    finish({"sleep_time": 3.0})
    again = await ask_sleep(api, time=3)
    answer = await api("analysis", again)
    assert answer.code == 200
    assert json.loads(answer.body) == {"sleep_time": 3.0}
    for other in ({"time": 3, "fresh": True}, {"time": 3, "fresh": "true"}, {"time": 4}):
        anew = await ask_sleep(api, **other)
        assert services.records.find(anew).state is State.QUEUED


# -- listed ------------------------------------------------------------------------------------------------------------


async def test_analyses_are_listed_newest_first_page_by_page(api: Any) -> None:
    ids = [await ask_sleep(api, time=number) for number in range(5)]
    answer = await api("analysis", params={"limit": "2"})
    page = json.loads(answer.body)
    assert [record["analysis_id"] for record in page] == ids[:2:-1]
    assert page[0]["state"] == "queued"
    assert [record["position"] for record in page] == [5, 4]
    assert page[0]["parameters"] == {"time": 4.0}
    assert page[0]["file_id"] == []
    assert page[0]["created"].endswith("+00:00")
    assert 'rel="next"' in answer.headers["Link"]
    assert f"limit=2&after={ids[3]}" in answer.headers["Link"]
    last = await api("analysis", params={"limit": "3", "after": ids[3]})
    assert [record["analysis_id"] for record in json.loads(last.body)] == ids[2::-1]
    assert "Link" not in last.headers


@pytest.mark.parametrize(
    "limit", ["0", "-1", "1001", "many", "1e2", "\u0663", "9" * 30, "000000001999999999999999999999"]
)
async def test_a_limit_that_is_none_is_refused(api: Any, limit: str) -> None:
    assert refusal(await api("analysis", params={"limit": limit}), 400)["reason"] == "bad-limit"


async def test_a_list_cannot_go_on_after_an_analysis_that_is_not_there(api: Any) -> None:
    assert refusal(await api("analysis", params={"after": "ab"}), 404)["reason"] == "unknown-analysis-id"


# -- looked at ---------------------------------------------------------------------------------------------------------


async def test_while_it_is_queued_or_running_there_is_no_content(api: Any, services: Services) -> None:
    analysis_id = await ask_sleep(api)
    for _ in ("queued", "running"):
        answer = await api("analysis", analysis_id[:12])
        assert answer.code == 202
        assert answer.body == b""
        assert "Content-Type" not in answer.headers
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Link"] == f'</a%40b/dlc/analysis/{analysis_id}/status>; rel="status"'
        services.records.claim(WORKER, time.time(), 30)
    assert services.records.find(analysis_id).state is State.RUNNING


async def test_when_it_has_succeeded_the_result_is_returned(api: Any, finish: Callable[..., None]) -> None:
    analysis_id = await ask_sleep(api)
    finish({"sleep_time": 1.0, "csv_file": "a" * 40})
    answer = await api("analysis", analysis_id)
    assert answer.code == 200
    assert json.loads(answer.body) == {"sleep_time": 1.0, "csv_file": "a" * 40}


async def test_when_it_has_failed_the_error_is_returned(api: Any, finish: Callable[..., None]) -> None:
    analysis_id = await ask_sleep(api)
    error = {"type": "AnalysisFailed", "message": "Too loud.", "hint": "Try at night."}
    finish(error=error)
    body = refusal(await api("analysis", analysis_id), 500)
    assert body["state"] == "failed"
    assert body["error"] == error


async def test_when_it_was_cancelled_it_is_gone(api: Any) -> None:
    analysis_id = await ask_sleep(api)
    answer = await api("analysis", analysis_id, "cancel", method="POST", body="")
    assert answer.code == 200
    assert json.loads(answer.body) == {"analysis_id": analysis_id, "state": "cancelled"}
    assert refusal(await api("analysis", analysis_id), 410)["state"] == "cancelled"


@pytest.mark.parametrize("path", [(), ("status",), ("log",), ("cancel",)])
@pytest.mark.parametrize("wrong", ["0", "a" * 41, "%", "_", "..", "sleep", "\u00e4"])
async def test_an_unknown_id_is_refused(api: Any, path: tuple[str, ...], wrong: str) -> None:
    await ask_sleep(api)
    if wrong == "0":  # a character with which no id begins
        wrong = "0" * 40
    method = {"method": "POST", "body": ""} if path == ("cancel",) else {}
    answer = await api("analysis", wrong, *path, **method)
    assert refusal(answer, 404)["reason"] == "unknown-analysis-id"


async def test_an_ambiguous_id_is_refused_naming_the_matches(api: Any) -> None:
    ids = [await ask_sleep(api) for _ in range(17)]  # two of them begin with the same of 16 characters
    first = next(one for one in ids if sum(other[0] == one[0] for other in ids) > 1)[0]
    body = refusal(await api("analysis", first, "status"), 409)
    assert body["reason"] == "ambiguous-id"
    assert set(body["matches"]) == {one for one in ids if one[0] == first}


async def test_status_is_the_record_whatever_its_state(api: Any, services: Services) -> None:
    analysis_id = await ask_sleep(api)
    services.records.claim(WORKER, time.time(), 30)
    services.records.heartbeat(analysis_id, WORKER, time.time(), 30, {"done": 1, "total": 4, "unit": "s"})
    record = json.loads((await api("analysis", analysis_id, "status")).body)
    assert record["state"] == "running"
    assert record["position"] is None
    assert record["attempt"] == 1
    assert record["progress"]["done"] == 1
    listed = json.loads((await api("analysis")).body)
    assert listed == [record]


# -- cancelled and forgotten -------------------------------------------------------------------------------------------


async def test_a_running_analysis_is_asked_to_stop(api: Any, services: Services) -> None:
    analysis_id = await ask_sleep(api)
    services.records.claim(WORKER, time.time(), 30)
    answer = await api("analysis", analysis_id[:10], "cancel", method="POST", body="")
    assert json.loads(answer.body) == {"analysis_id": analysis_id, "state": "running"}
    assert services.records.find(analysis_id).cancel_requested


async def test_a_finished_analysis_cannot_be_cancelled(api: Any, finish: Callable[..., None]) -> None:
    analysis_id = await ask_sleep(api)
    finish()
    answer = await api("analysis", analysis_id, "cancel", method="POST", body="")
    assert refusal(answer, 409)["reason"] == "already-finished"


async def test_a_deleted_analysis_takes_its_outputs_and_its_log_along(
    api: Any, services: Services, finish: Callable[..., None], log_file: Callable[[str], Path], tmp_path: Path
) -> None:
    video = store(services, b"the video")
    analysis_id = await ask_sleep(api, file_id=video)
    output = tmp_path / "sleep.csv"
    output.write_text("sleep_time\n1\n")
    made = services.files.add(output, "sleep.csv", origin=analysis_id)
    finish({"csv_file": made.file_id}, outputs=[made.file_id])
    log_file(analysis_id).write_text("slept well")
    answer = await api("analysis", analysis_id, method="DELETE")
    assert answer.code == 204
    assert answer.body == b""
    assert not log_file(analysis_id).exists()
    refusal(await api("analysis", analysis_id), 404)
    with pytest.raises(Refusal):
        services.files.find(made.file_id)
    assert services.files.find(video).size == len(b"the video")


async def test_an_active_analysis_is_not_deleted(api: Any, services: Services, log_file: Callable[[str], Path]) -> None:
    analysis_id = await ask_sleep(api)
    log_file(analysis_id).write_text("waiting")
    for _ in ("queued", "running"):
        answer = await api("analysis", analysis_id, method="DELETE")
        assert refusal(answer, 409)["reason"] == "analysis-active"
        services.records.claim(WORKER, time.time(), 30)
    assert log_file(analysis_id).exists()


# -- the log -----------------------------------------------------------------------------------------------------------


async def test_the_log_is_text(api: Any, log_file: Callable[[str], Path]) -> None:
    analysis_id = await ask_sleep(api)
    empty = await api("analysis", analysis_id, "log")
    assert (empty.code, empty.body) == (200, b"")
    assert empty.headers["Content-Type"] == "text/plain; charset=utf-8"
    text = "eine Maus läuft\n" * 100_000
    log_file(analysis_id).write_text(text)
    answer = await api("analysis", analysis_id[:12], "log")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body.decode() == text


@pytest.mark.parametrize(
    ("tail", "found"),
    [("0", ""), ("3", "ee\n"), ("6", "three\n"), ("9", "three\n"), ("10", "two\nthree\n"), ("99", None)],
)
async def test_the_tail_of_a_log_begins_with_a_whole_line(
    api: Any, log_file: Callable[[str], Path], tail: str, found: str | None
) -> None:
    analysis_id = await ask_sleep(api)
    log_file(analysis_id).write_text("one\ntwo\nthree\n")
    answer = await api("analysis", analysis_id, "log", params={"tail": tail})
    assert answer.body.decode() == (found if found is not None else "one\ntwo\nthree\n")


@pytest.mark.parametrize("query", [{"tail": "-1"}, {"tail": "all"}, {"follow": "always"}])
async def test_wrong_ways_to_read_a_log_are_refused(api: Any, query: dict[str, str]) -> None:
    analysis_id = await ask_sleep(api)
    refusal(await api("analysis", analysis_id, "log", params=query), 400)


async def test_a_log_is_followed_until_the_analysis_ends(
    api: Any, services: Services, log_file: Callable[[str], Path], finish: Callable[..., None]
) -> None:
    analysis_id = await ask_sleep(api)
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    following = asyncio.ensure_future(
        api("analysis", analysis_id, "log", params={"follow": "1"}, streaming_callback=pieces.put_nowait)
    )
    with log_file(analysis_id).open("a") as log:
        for line in ("first\n", "second\n"):
            log.write(line)
            log.flush()
            assert await asyncio.wait_for(pieces.get(), 10) == line.encode()
        assert not following.done()
        log.write("last\n")
    finish()
    assert (await asyncio.wait_for(following, 10)).code == 200
    assert pieces.get_nowait() == b"last\n"


async def test_following_a_finished_analysis_ends_at_once(
    api: Any, log_file: Callable[[str], Path], finish: Callable[..., None]
) -> None:
    analysis_id = await ask_sleep(api)
    log_file(analysis_id).write_text("done\n")
    finish()
    assert (await api("analysis", analysis_id, "log", params={"follow": "1"})).body == b"done\n"


async def test_following_stops_when_the_client_leaves(
    api: Any, jp_http_port: int, jp_auth_header: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis_id = await ask_sleep(api)
    ended = asyncio.Event()
    follow = LogHandler._follow

    async def watched(*args: Any) -> None:
        try:
            await follow(*args)
        finally:
            ended.set()

    monkeypatch.setattr(LogHandler, "_follow", watched)
    monkeypatch.setattr(LogHandler, "LOOK", 3600.0)  # leaving alone must wake it
    stream = await TCPClient().connect("127.0.0.1", jp_http_port)
    await stream.write(
        f"GET /a%40b/dlc/analysis/{analysis_id}/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {jp_auth_header['Authorization']}\r\n\r\n".encode()
    )
    assert b"200" in await stream.read_until(b"\r\n\r\n")
    assert not ended.is_set()
    stream.close()
    await asyncio.wait_for(ended.wait(), 10)
    with pytest.raises(StreamClosedError):
        await stream.read_bytes(1)
