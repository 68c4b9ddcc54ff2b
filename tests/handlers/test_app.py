"""The application: its options, its routes, and how it stands when its data folder does not."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from dlc_jupyter import __version__, _jupyter_server_extension_points, demo
from dlc_jupyter.app import DLCApp
from dlc_jupyter.handlers.base import SERVICES, Services
from dlc_jupyter.jobs.records import Request
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url, schema


@pytest.fixture
def app(jp_serverapp: Any) -> DLCApp:
    found: DLCApp = next(iter(jp_serverapp.extension_manager.extension_apps["dlc_jupyter"]))
    return found


def test_jupyter_finds_the_extension() -> None:
    assert _jupyter_server_extension_points() == [{"module": "dlc_jupyter", "app": DLCApp}]


def test_every_option_is_one_of_the_application(app: DLCApp, services: Services, data_dir: Path) -> None:
    assert set(Settings.option_names()) <= set(app.trait_names(config=True))
    assert services.settings.root == data_dir
    assert services.settings.start_worker is False


def test_the_data_folder_is_its_owner_s_alone(services: Services) -> None:
    assert services.settings.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("dlc_options", [{"models": {"mouse": "/nowhere"}}], indirect=True)
async def test_options_reach_the_handlers(api: Any) -> None:
    assert [model["name"] for model in json.loads((await api("model")).body)] == ["mouse"]


def test_registered_models_that_cannot_be_used_are_told_in_the_log(
    app: DLCApp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models({"mouse": str(demo.MODEL), "cat": str(tmp_path / "cat")}, "")
    app.tell_broken_models(models)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"The model cat ({tmp_path / 'cat'}) cannot be used: ")


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_an_address_that_is_not_there_is_refused_in_json(api: Any) -> None:
    for parts in (["nothing"], ["analysis", "a", "b", "c"], []):
        answer = await api(*parts)
        assert answer.code == 404
        assert json.loads(answer.body)["reason"] == "no-such-route"


async def test_a_verb_that_is_not_there_is_refused_naming_those_that_are(api: Any) -> None:
    answer = await api("analysis", method="DELETE")
    assert answer.code == 405
    assert answer.headers["Allow"] == "GET, POST"
    assert json.loads(answer.body)["reason"] == "method-not-allowed"


async def test_an_error_of_our_own_says_nothing_of_the_server(
    api: Any, services: Services, data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(f"cannot read {data_dir}/dlc.db")

    monkeypatch.setattr(services.records, "page", broken)
    answer = await api("analysis")
    assert answer.code == 500
    body = json.loads(answer.body)
    assert set(body) == {"message", "reason"}
    assert body["reason"] == "internal-error"
    text = answer.body.decode()
    assert str(data_dir) not in text
    assert "Traceback" not in text
    assert "RuntimeError" not in text
    assert f"cannot read {data_dir}/dlc.db" in caplog.text  # for whoever runs the server


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the server's log shows: Jupyter shows what is INFO or worse."""
    return [each for each in caplog.records if each.levelno >= logging.INFO]


@pytest.fixture
def token(jp_serverapp: Any) -> str:
    found: str = jp_serverapp.identity_provider.token
    return found


@pytest.mark.parametrize(
    ("parts", "options", "line"),
    [
        (["analysis", "0" * 40], {}, "404 GET /a%40b/dlc/analysis/000"),
        (["analysis"], {"json": {"analysis": "sleep"}}, "400 POST /a%40b/dlc/analysis"),
        (["analysis"], {"method": "DELETE"}, "405 DELETE /a%40b/dlc/analysis"),
        (["file"], {"json": {"path": "line\nline\x1b[31m"}}, "404 POST /a%40b/dlc/file"),
    ],
)
async def test_a_refusal_is_one_line_in_the_log(
    api: Any, token: str, caplog: pytest.LogCaptureFixture, parts: list[str], options: dict[str, Any], line: str
) -> None:
    caplog.clear()
    answer = await api(*parts, params={"token": token}, **options)
    assert line.startswith(str(answer.code))
    [said] = told(caplog)
    assert said.levelno == logging.WARNING
    assert said.getMessage().startswith(line)
    if answer.code != 405:
        assert said.getMessage().endswith(json.loads(answer.body)["message"].replace("\n", " ").replace("\x1b", " "))
    assert said.getMessage().isprintable()
    assert said.exc_info is None
    assert token not in caplog.text


async def test_a_wrong_token_is_refused_in_one_line_that_does_not_hold_it(
    api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await api("analysis", params={"token": "mistyped"})
    await api("analysis", headers={"Authorization": "token mistyped"})
    lines = [said.getMessage() for said in told(caplog)]
    assert [line.partition(" (@")[0] for line in lines] == ["403 GET /a%40b/dlc/analysis"] * 2
    assert "mistyped" not in caplog.text


async def test_that_an_analysis_has_failed_is_no_error_of_the_server(
    api: Any, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    asked = await api("analysis", json={"analysis": "sleep", "time": 1})
    analysis_id = json.loads(asked.body)["analysis_id"]
    services.records.claim("worker", time.time(), 30)
    error = {"type": "AnalysisFailed", "message": "The video breaks off.", "hint": "Copy it again."}
    services.records.fail(analysis_id, "worker", time.time(), error)
    caplog.clear()
    assert (await api("analysis", analysis_id)).code == 500
    [said] = told(caplog)
    assert said.levelno == logging.INFO
    assert said.getMessage().endswith("This analysis has failed: see error. The video breaks off.")


async def test_an_error_of_our_own_is_in_the_log_once_with_its_traceback(
    api: Any, token: str, services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(services.records, "page", broken)
    caplog.clear()
    await api("analysis", params={"token": token})
    [said] = told(caplog)
    assert said.levelno == logging.ERROR
    assert said.exc_info
    assert said.exc_info[0] is RuntimeError
    assert token not in caplog.text


async def test_what_is_refused_or_has_failed_still_counts_in_jupyter_s_metrics(api: Any) -> None:
    counted = {"method": "GET", "handler": "dlc_jupyter.handlers.analyses.AnalysisHandler", "status_code": "404"}
    name = "http_request_duration_seconds_count"
    before = REGISTRY.get_sample_value(name, counted) or 0
    await api("analysis", "0" * 40)
    assert REGISTRY.get_sample_value(name, counted) == before + 1


async def test_json_ends_its_line(api: Any) -> None:
    """A terminal's prompt would stand behind it."""
    answers = [
        await api("file"),
        await api("openapi.json"),
        await api("analysis", json={"analysis": "sleep", "time": 1}),
        await api("analysis", "0" * 40),
        await api("file", method="POST", headers={"Content-Type": "multipart/form-data"}, body="no form"),
    ]
    assert [answer.code for answer in answers] == [200, 200, 200, 404, 400]
    for answer in answers:
        json.loads(answer.body)
        assert answer.body.endswith((b"}\n", b"]\n"))


# -- a data folder that cannot be used ---------------------------------------------------------------------------------


def a_file_for_a_folder(data_dir: Path) -> None:
    data_dir.write_text("I am no folder.")


def a_newer_database(data_dir: Path) -> None:
    data_dir.mkdir()
    database = Database(database_url(data_dir, ""))
    with database.write() as connection:
        connection.execute(schema.update().values(version=99))
    database.close()


def a_broken_database(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "dlc.db").write_bytes(b"This is no database. " * 1000)


@pytest.fixture
def accident(request: pytest.FixtureRequest, data_dir: Path) -> str:
    """Something that happened before the server starts, and a word by which its explanation is known."""
    happen, word = request.param
    happen(data_dir)
    return str(word)


@pytest.mark.parametrize(
    "accident",
    [(a_file_for_a_folder, "data folder"), (a_newer_database, "newer"), (a_broken_database, "its database")],
    indirect=True,
    ids=lambda found: found[0].__name__,
)
async def test_where_the_data_folder_cannot_be_used_every_route_says_so(
    accident: str, capsys: pytest.CaptureFixture[str], api: Any, jp_fetch: Any, data_dir: Path
) -> None:
    logged = capsys.readouterr().err
    assert f"dlc_jupyter cannot use its data folder {data_dir}" in logged
    assert "Traceback" not in logged
    for parts, options in (
        (["status"], {}),
        (["file"], {}),
        (["file"], {"method": "POST", "body": "x"}),
        (["analysis", "0"], {"method": "DELETE"}),
        (["openapi.json"], {}),
    ):
        answer = await api(*parts, **options)
        assert answer.code == 503
        body = json.loads(answer.body)
        assert body["reason"] == "not-available"
        assert accident in body["message"]
        assert "data_dir" in body["message"]
        assert str(data_dir) not in answer.body.decode()
    assert (await jp_fetch("api", "status")).code == 200  # Jupyter itself is as it was


@pytest.mark.parametrize("dlc_options", [{"device": "abacus"}, {"max_attempts": 0}], indirect=True)
async def test_an_option_that_cannot_be_is_no_reason_to_go_on_without_the_others(
    capsys: pytest.CaptureFixture[str], api: Any, jp_fetch: Any, data_dir: Path
) -> None:
    """Jupyter would run the extension with its defaults, and the data folder in the current one."""
    logged = capsys.readouterr().err
    assert "dlc_jupyter cannot be used: " in logged
    assert "abacus" in logged or "max_attempts" in logged
    assert "Traceback" not in logged
    answer = await api("file")
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "not-available")
    assert "An option of this server" in json.loads(answer.body)["message"]
    assert not data_dir.exists()
    assert (await jp_fetch("api", "status")).code == 200


# -- in use or not -----------------------------------------------------------------------------------------------------


async def test_an_active_analysis_keeps_the_server_from_being_culled(
    app: DLCApp, services: Services, jp_serverapp: Any
) -> None:
    noted = jp_serverapp.web_app.settings["last_activity_times"]
    await app.note_activity(services)
    assert "dlc" not in noted
    record = services.records.create(Request("sleep", {"time": 1.0}), time.time())
    before = datetime.datetime.now(datetime.UTC)
    await app.note_activity(services)
    assert noted["dlc"] >= before
    assert jp_serverapp.web_app.last_activity() >= before
    services.records.cancel(record.analysis_id, time.time())
    last = noted["dlc"]
    await app.note_activity(services)
    assert noted["dlc"] == last


async def test_looking_does_not_count_as_activity_and_asking_does(api: Any, jp_serverapp: Any) -> None:
    settings = jp_serverapp.web_app.settings
    await api("status")
    await api("analysis")
    await api("analysis", "0" * 40)
    assert "api_last_activity" not in settings
    analysis = await api("analysis", json={"analysis": "sleep", "time": 1})
    asked = settings.pop("api_last_activity")
    assert asked
    await api("analysis", json.loads(analysis.body)["analysis_id"], "log")
    assert "api_last_activity" not in settings


# -- jupyter dlc -------------------------------------------------------------------------------------------------------


class Running:
    """``jupyter dlc`` as a process, and all that it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = ""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._more:
                self.printed += line
                self._more.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        with self._more:
            assert self._more.wait_for(lambda: re.search(pattern, self.printed), timeout=60), self.printed
        found = re.search(pattern, self.printed)
        assert found
        return found

    def end(self) -> None:
        self.process.wait(30)
        self._reader.join(30)


@pytest.fixture
def jupyter_dlc(tmp_path: Path) -> Iterator[Running]:
    options = ["--allow-root", "--port=0", f"--DLCApp.data_dir={tmp_path / 'dlc'}", "--DLCApp.start_worker=False"]
    options.append(f"--DLCApp.models=cat={tmp_path / 'cat'}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {"JUPYTER_NO_CONFIG": "1", "HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", "from dlc_jupyter.app import main; main()", *options],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process)
    yield running
    if process.poll() is None:
        process.kill()
    running.end()


def fetch(url: str, token: str, body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.system
def test_jupyter_dlc_serves_the_api_at_the_root_and_nothing_else(jupyter_dlc: Running) -> None:
    url, token = jupyter_dlc.wait_for(r"is ready at (http://127\.0\.0\.1:\d+)/\?token=([0-9a-f]{32,})").groups()
    assert f"dlc_jupyter {__version__}" in jupyter_dlc.printed
    assert f"curl -H 'Authorization: token {token}' {url}/status" in jupyter_dlc.printed
    status, created = fetch(f"{url}/analysis", token, b"analysis=sleep&time=3")
    assert status == 200
    assert fetch(f"{url}/analysis/{created['analysis_id']}", token) == (202, None)
    assert fetch(f"{url}/dlc/analysis/{created['analysis_id']}/status", token)[1]["state"] == "queued"
    for path in ("status", "model", "schema", "file", "dlc/file"):
        assert fetch(f"{url}/{path}", token)[0] == 200
    assert fetch(f"{url}/openapi.json", token)[1]["servers"] == [{"url": "/"}]
    for path in ("api/kernels", "api/contents", "api/sessions", "api/terminals", "files/dlc/dlc.db", "lab", "tree"):
        status, refused = fetch(f"{url}/{path}", token)
        assert (status, json.loads(refused)["reason"]) == (404, "no-such-route")
    for path in ("no/such/address", "analyses", "file/a/b"):
        status, refused = fetch(f"{url}/{path}", token, b"analysis=sleep")
        assert (status, json.loads(refused)["reason"]) == (404, "no-such-route")
    assert fetch(f"{url}/status", "wrong")[0] == 403
    status, refused = fetch(f"{url}/no/such/address", "wrong")
    assert (status, json.loads(refused)["reason"]) == (403, "authentication-required")
    jupyter_dlc.wait_for(r"The model cat \(.*\) cannot be used: its cat is not there")


@pytest.mark.system
def test_jupyter_dlc_ends_within_five_seconds(jupyter_dlc: Running) -> None:
    url, token = jupyter_dlc.wait_for(r"is ready at (http://127\.0\.0\.1:\d+)/\?token=([0-9a-f]{32,})").groups()
    _, created = fetch(f"{url}/analysis", token, b"analysis=sleep&time=3")
    follower = urllib.request.urlopen(f"{url}/analysis/{created['analysis_id']}/log?follow=1&token={token}", timeout=20)
    began = time.monotonic()
    jupyter_dlc.process.send_signal(signal.SIGTERM)
    jupyter_dlc.end()
    assert time.monotonic() - began < 5
    assert "Traceback" not in jupyter_dlc.printed
    follower.close()


def test_services_are_there_only_when_opened(jp_serverapp: Any, services: Services) -> None:
    assert jp_serverapp.web_app.settings[SERVICES] is services
