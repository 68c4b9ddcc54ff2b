"""The Python client, against a real server with its worker; a server that breaks off is a socket of our own."""

from __future__ import annotations

import hashlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dlc_jupyter
from dlc_jupyter.client import Client
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.errors import Ambiguous, AnalysisFailed, BadRequest, Conflict, NotFound, Refusal, TooLarge
from tests.client.conftest import MIB
from tests.stereo import write_calibration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three and a half pieces of what the client sends at a time, which no other test has."""
    path = tmp_path / "mouse.mp4"
    path.write_bytes(hashlib.sha256(str(tmp_path).encode()).digest() * (7 * MIB // 64))
    return path


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def test_it_is_imported_from_the_package() -> None:
    assert dlc_jupyter.Client is Client


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_goes_up_and_comes_back_with_its_progress_told(client: Client, file: Path, tmp_path: Path) -> None:
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    file_id = client.upload(file, lambda *told: up.append(told))
    assert file_id == sha1(file)
    back = client.download(file_id, tmp_path / "back.mp4", lambda *told: down.append(told))
    assert back.read_bytes() == file.read_bytes()
    for told in (up, down):
        assert len(told) > 2
        assert told == sorted(told)
        assert told[-1] == (file.stat().st_size, file.stat().st_size)


@pytest.mark.parametrize(
    "name",
    ['a "quoted" name.mp4', "Maus in der Kiste – größer.mp4", "小鼠.avi", "100% new; really=1.mp4", "it's & so on.mp4"],
)
def test_a_file_keeps_the_name_it_has(client: Client, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(name)
    file_id = client.upload(path)
    stored = next(each for each in client.files() if each["file_id"] == file_id)
    # A quote goes as browsers send it, which the server reads as it stands.
    assert stored["filename"].replace("%22", '"') == name


def test_a_file_may_be_given_another_name(client: Client, file: Path) -> None:
    file_id = client.upload(file, filename="day 1.mp4")
    assert client.files()[0] == next(each for each in client.files() if each["file_id"] == file_id)
    assert client.files()[0]["filename"] == "day 1.mp4"


def test_the_first_characters_of_an_id_will_do(client: Client, file: Path, tmp_path: Path) -> None:
    file_id = client.upload(file)
    assert sha1(client.download(file_id[:12], tmp_path / "back")) == file_id


def test_a_download_replaces_what_was_there(client: Client, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "back.mp4"
    target.write_text("what was there before")
    client.download(client.upload(file), target)
    assert sha1(target) == sha1(file)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["back.mp4", "mouse.mp4"]


def test_a_refused_download_leaves_nothing_and_touches_nothing(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "back.mp4"
    target.write_text("what was there before")
    with pytest.raises(NotFound):
        client.download("f" * 40, target)
    assert target.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_file_that_an_analysis_has_not_made_is_told_from_one_that_there_is_not(
    client: Client, tmp_path: Path, nothing: Any
) -> None:
    with pytest.raises(ValueError, match="A result has null for files not made"):
        client.download(nothing, tmp_path / "back.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_no_fault_of_the_server(client: Client, file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.download(client.upload(file), tmp_path / "nowhere" / "back.mp4")
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "nothing.mp4")


def test_a_deleted_file_is_gone(client: Client, file: Path, tmp_path: Path) -> None:
    file_id = client.upload(file)
    client.delete_file(file_id)
    with pytest.raises(NotFound):
        client.delete_file(file_id)
    assert file_id not in [each["file_id"] for each in client.files()]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_refusal_is_the_exception_it_was_on_the_server(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file") as refused:
        client.download("abcdef012345", tmp_path / "x")
    assert (refused.value.status, refused.value.reason) == (404, "unknown-file")
    with pytest.raises(BadRequest, match=r"\n  time: .*0") as wrong:
        client.run("sleep", time=-1)
    assert wrong.value.fields["errors"][0]["field"] == "time"
    with pytest.raises(BadRequest, match="sleep"):  # the message names the analyses there are
        client.run("snooze")


def test_an_empty_file_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(BadRequest):
        client.upload(path)


def test_a_file_over_the_limit_is_refused_though_it_was_not_sent_to_the_end(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as sparse:
        sparse.truncate(2048 * MIB)
    sent: list[int] = []
    with pytest.raises(TooLarge):
        client.upload(path, lambda done, total: sent.append(done))
    assert not sent or sent[-1] < 1024 * MIB


def test_first_characters_that_two_ids_share_are_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "x"
    ids: set[str] = set()
    for number in itertools.count():  # there are seventeen files at the latest after as many rounds
        path.write_text(f"ambiguous {number}")
        file_id = client.upload(path)
        if any(each[0] == file_id[0] for each in ids):
            break
        ids.add(file_id)
    with pytest.raises(Ambiguous) as refused:
        client.download(file_id[0], tmp_path / "y")
    assert file_id in refused.value.fields["matches"]


def test_a_wrong_token_is_refused(server: OwnServer) -> None:
    for token in ("wrong", "", None):
        with pytest.raises(Refusal) as refused:
            Client(server.url, token).server()
        assert refused.value.status == 403
        assert "token" in refused.value.message


@pytest.mark.parametrize("strange", ["../file", "a/b", "?x=1", "#", "%2e%2e", "ä", " "])
def test_an_id_stays_one_part_of_the_address(client: Client, strange: str) -> None:
    for call in (client.status, client.log, client.result, client.cancel, client.delete_analysis, client.delete_file):
        with pytest.raises((NotFound, BadRequest)) as refused:
            call(strange)
        assert refused.value.reason != "no-such-route"  # it came where ids are looked up


# -- analyses ----------------------------------------------------------------------------------------------------------


def test_an_analysis_is_run_and_waited_for(client: Client, tmp_path: Path) -> None:
    states: list[str] = []
    analysis_id = client.run("sleep", time=0.5)
    result = client.wait(analysis_id, lambda record: states.append(record["state"]), timeout=60)
    assert result["sleep_time"] == 0.5
    assert states[-1] == "succeeded"
    assert client.result(analysis_id) == result
    assert "0.5" in client.download(result["csv_file"], tmp_path / "sleep.csv").read_text()
    assert client.status(analysis_id)["state"] == "succeeded"
    assert analysis_id in [record["analysis_id"] for record in client.analyses()]
    assert isinstance(client.log(analysis_id), str)


def test_waiting_ends_in_time_and_the_analysis_goes_on_until_it_is_cancelled(client: Client) -> None:
    analysis_id = client.run("sleep", time=600)
    with pytest.raises(TimeoutError, match="it goes on"):
        client.wait(analysis_id, timeout=0.3)
    assert client.result(analysis_id) is None
    with pytest.raises(Conflict):
        client.delete_analysis(analysis_id)
    client.cancel(analysis_id)
    with pytest.raises(AnalysisFailed) as cancelled:
        client.wait(analysis_id, timeout=60)
    assert cancelled.value.kind == "Cancelled"
    client.delete_analysis(analysis_id)
    with pytest.raises(NotFound):
        client.status(analysis_id)


def test_a_failed_analysis_says_why_and_what_to_do(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_text("I am no video.")
    analysis_id = client.run("video", client.upload(path), model="demo-mouse")
    with pytest.raises(AnalysisFailed, match="video") as failed:
        client.wait(analysis_id, timeout=60)
    assert failed.value.kind == "NotAVideo"
    assert "MP4" in failed.value.hint
    assert client.log(analysis_id)


def test_the_models_of_the_server(client: Client) -> None:
    assert [model["name"] for model in client.models()] == ["demo-mouse"]


def test_a_3d_model_is_made_and_removed(client: Client, tmp_path: Path) -> None:
    rig = client.upload(write_calibration(tmp_path / "calibration.toml"))
    made = client.add_model("my-rig", rig, "demo-mouse", pcutoff=0.5)
    try:
        assert (made["name"], made["kind"], made["cameras"]) == ("my-rig", "3d", ["left", "right"])
        assert made in client.models()
        with pytest.raises(Conflict) as taken:
            client.add_model("my-rig", rig, {"left": "demo-mouse", "right": "demo-mouse"})
        assert taken.value.reason == "model-exists"
        with pytest.raises(BadRequest, match="no 2D model for right"):
            client.add_model("other", rig, {"left": "demo-mouse"})
    finally:
        client.delete_model("my-rig")
    with pytest.raises(NotFound):
        client.delete_model("my-rig")


def test_files_are_given_by_camera(client: Client, file: Path) -> None:
    """Which analyses take them so, the server says: this one does not."""
    file_id = client.upload(file)
    with pytest.raises(BadRequest, match="cameras: There is no such parameter") as refused:
        client.run("video", file_id, cameras={"left": file_id, "right": (file_id,)}, model="demo-mouse")
    assert refused.value.reason == "bad-parameters"


def test_what_the_server_says_of_itself(client: Client) -> None:
    assert client.server()["versions"]["dlc_jupyter"] == dlc_jupyter.__version__


def test_threads_may_share_a_client(client: Client) -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(client.server())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8


@pytest.mark.parametrize("page", [1, 3, 7, 1000])
def test_a_list_longer_than_a_page_is_read_to_its_end(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    ids = [client.run("sleep", time=0) for _ in range(7)]
    monkeypatch.setattr("dlc_jupyter.client.connection.PAGE", page)
    listed = [record["analysis_id"] for record in client.analyses()]
    assert listed[:7] == ids[::-1]  # every one once, newest first
    assert len(listed) == len(set(listed)) >= 7
    for each in listed:
        client.status(each)


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8888", "/dlc/"),
        ("http://127.0.0.1:8888/", "/dlc/"),
        ("http://127.0.0.1:8888/lab", "/dlc/"),
        ("http://127.0.0.1:8888/lab?token=abc", "/dlc/"),
        ("http://127.0.0.1:8888/tree", "/dlc/"),
        ("http://127.0.0.1:8888/dlc/", "/dlc/"),
        ("http://127.0.0.1:8888/dlc/status?token=abc", "/dlc/"),
        ("http://[::1]:8888/lab", "/dlc/"),
        ("https://hub.example.org/user/ana/lab", "/user/ana/dlc/"),
        ("https://hub.example.org/user/lab/", "/user/lab/dlc/"),
        ("https://hub.example.org/user/lab/lab", "/user/lab/dlc/"),
        ("https://hub.example.org/user/a%40b/", "/user/a%40b/dlc/"),
    ],
)
def test_addresses_as_servers_print_them(url: str, base: str) -> None:
    client = Client(url)
    assert client.base == base
    assert client.url == url.partition("//")[0] + "//" + url.split("/")[2] + base
    assert client.token == ("abc" if "token" in url else "")


@pytest.mark.parametrize("url", ["127.0.0.1:8888", "localhost", "ftp://x/", "http://", "", "/lab"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        Client(url)


def test_an_address_with_its_token_is_all_it_takes(server: OwnServer) -> None:
    for page in ("lab", "dlc/status", ""):
        assert Client(f"{server.url}{page}?token={server.token}").models()
    assert Client(f"{server.url}?token=wrong", token=server.token).models()


# -- servers that are not there, or not what they seem -----------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Be a server that reads a request, answers with these bytes and hangs up; return its address."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with closing(listener.accept()[0]) as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(10)


def test_where_no_server_listens_the_address_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"No server listens at http://127.0.0.1:{port}/dlc/"):
        Client(f"http://127.0.0.1:{port}/").server()


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as silent,
        pytest.raises(ConnectionError, match="did not answer in time"),
    ):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.2).server()


def test_a_download_that_breaks_off_leaves_nothing(answering: Callable[[bytes], str], tmp_path: Path) -> None:
    url = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
    with pytest.raises(ConnectionError, match="connection"):
        Client(url).download("0" * 40, tmp_path / "back.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    ],
    ids=["nothing", "no-http", "cut-off", "a-web-page"],
)
def test_an_answer_that_makes_no_sense_is_a_broken_connection(answering: Callable[[bytes], str], answer: bytes) -> None:
    url = answering(answer)
    with pytest.raises(ConnectionError, match=url):
        Client(url).server()


@pytest.mark.parametrize("answer", [b"302 Found\r\nLocation: /hub/login", b"404 Not Found", b"502 Bad Gateway"])
def test_a_server_without_the_extension_is_named_with_its_answer(
    answering: Callable[[bytes], str], answer: bytes
) -> None:
    url = answering(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(Refusal, match="Is dlc_jupyter installed there") as refused:
        Client(url).server()
    assert refused.value.status == int(answer[:3])
