"""``dlc-jupyter demo``: a stranger's first minutes, with real DeepLabCut; and how it ends when something is amiss."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from dlc_jupyter import demo
from dlc_jupyter.commands.results import read_poses
from dlc_jupyter.demo.make import FRAMES
from dlc_jupyter.demo.scene import BODYPARTS

Processes = Callable[[Path], list[psutil.Process]]
WaitUntil = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo runs: with a blank and a quote in its name, which the printed commands must survive."""
    return tmp_path_factory.mktemp("demo") / "it's mine"


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """Type the command, with one thread for busy machines. It heeds Ctrl-C whatever the tests' own shell has set."""
    with output.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dlc_jupyter.cli", "demo", f"--folder={folder}", "--DLCApp.threads=1"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


# -- one run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def interrupted(folder: Path, processes_of: Processes, wait_until: WaitUntil) -> str:
    """Press Ctrl-C in the middle of the analysis; return what was printed."""
    output = folder.with_name("interrupted.txt")
    command = start(folder, output)
    try:
        wait_until(lambda: command.poll() is not None or f"of {FRAMES} frames" in output.read_text(), timeout=200)
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 130
    finally:
        command.kill()
        command.wait()
    return output.read_text()


@pytest.fixture(scope="module")
def printed(folder: Path, interrupted: str) -> str:
    """Run it to its end, in the folder that the interrupted run has left; return what was printed."""
    output = folder.with_name("whole.txt")
    command = start(folder, output)
    try:
        assert command.wait(290) == 0, output.read_text()
    finally:
        command.terminate()
        command.wait()
    return output.read_text()


@pytest.mark.system
@pytest.mark.deeplabcut
def test_ctrl_c_in_the_middle_ends_everything(folder: Path, interrupted: str, processes_of: Processes) -> None:
    assert interrupted.endswith("\nStopped.\n")
    assert "Traceback" not in interrupted
    assert processes_of(folder) == []
    assert not list(folder.glob("openfield*"))


@pytest.mark.system
@pytest.mark.deeplabcut
def test_it_tells_what_it_does_and_says_where_everything_lies(
    folder: Path, printed: str, processes_of: Processes
) -> None:
    assert re.search(r"^Starting the server \(its log: .*it's mine/server\.log\) …$", printed, re.M)
    assert re.search(r"^It listens at http://127\.0\.0\.1:\d+/$", printed, re.M)
    assert re.search(r"^Upload: openfield\.mp4, [\d.]+ KiB, is now file [0-9a-f]{8}$", printed, re.M)
    # Nothing of the interrupted run is left to be done first.
    assert "Poses: DeepLabCut is being loaded, about ten seconds\n" in printed
    for label in ("Poses", "Video"):
        assert re.search(rf"^{label}: {FRAMES} frames in (\d+ min )?\d+ s$", printed, re.M)
    assert "Video: starting\n" in printed  # DeepLabCut is loaded by then
    assert "Traceback" not in printed
    files = re.findall(r"^(\S.*?\S)  +[\d.]+ [KM]iB  +\S", printed, re.M)
    assert {Path(file).name for file in files} == {
        f"openfield-{name}" for name in ("poses.csv", "poses.h5", "labelled.mp4", "labelled.png")
    }
    assert all(Path(file).is_file() for file in files)
    assert processes_of(folder) == []


@pytest.mark.system
@pytest.mark.deeplabcut
def test_its_poses_are_those_of_the_mouse(folder: Path, printed: str) -> None:
    poses = read_poses(folder / "openfield-poses.csv")
    errors = poses.mean_error(demo.TRUTH)
    assert list(errors) == list(BODYPARTS)
    assert max(errors.values()) < 5
    assert sum(errors.values()) / len(errors) < 2
    assert min(poses.likelihood.values()) > 0.6  # everything is drawn into the video
    for part, error in errors.items():
        assert re.search(rf"^{part} +{poses.likelihood[part]:.2f} +{error:.1f} px$", printed, re.M)
    import pandas

    table = pandas.read_hdf(folder / "openfield-poses.h5")
    assert table.shape == (FRAMES, 3 * len(BODYPARTS))
    assert table.iloc[7, 0] == pytest.approx(poses.points["snout"][7][0])


@pytest.mark.system
@pytest.mark.deeplabcut
def test_its_video_plays_and_its_picture_shows_a_frame(folder: Path, printed: str) -> None:
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json"]
    (stream,) = json.loads(subprocess.check_output([*probe, folder / "openfield-labelled.mp4"]))["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert stream["nb_read_frames"] == str(FRAMES)
    (picture,) = json.loads(subprocess.check_output([*probe, folder / "openfield-labelled.png"]))["streams"]
    assert (picture["codec_name"], picture["width"], picture["height"]) == ("png", 640, 480)


# -- the commands that it prints ---------------------------------------------------------------------------------------


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def commands(printed: str, port: int) -> list[str]:
    """The commands that are printed, at a port that is free here."""
    return [line.strip().replace("8899", str(port)) for line in printed.splitlines() if line.startswith("    ")]


@contextmanager
def running(command: str, port: int, wait_until: WaitUntil) -> Iterator[None]:
    """Have a shell run a server until the end of the block; its engine imports no DeepLabCut."""
    shell = subprocess.Popen(
        ["sh", "-c", f"exec env {command}"],
        env=os.environ | {"DLC_JUPYTER_PRELOAD": "", "JUPYTER_TOKEN": "demo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: shell.poll() is not None or listens(port))
        assert shell.poll() is None
        yield
    finally:
        shell.terminate()
        shell.wait(30)


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.system
@pytest.mark.deeplabcut
def test_the_api_can_be_called_by_hand_as_it_is_printed(
    folder: Path, printed: str, port: int, wait_until: WaitUntil
) -> None:
    *_, serve, send, ask, fetch = commands(printed, port)
    assert serve.startswith("JUPYTER_TOKEN=demo ")
    with running(serve, port, wait_until):
        sent, asked, fetched = (json.loads(subprocess.check_output(shlex.split(each))) for each in (send, ask, fetch))
    assert sent["filename"] == demo.VIDEO.name
    assert re.fullmatch("[0-9a-f]{40}", asked["analysis_id"])
    assert fetched["frames"] == FRAMES
    assert re.fullmatch("[0-9a-f]{40}", fetched["csv_file"])


@pytest.mark.system
@pytest.mark.deeplabcut
def test_jupyterlab_opens_on_it_as_it_is_printed(folder: Path, printed: str, port: int, wait_until: WaitUntil) -> None:
    lab = commands(printed, port)[0]
    assert " lab --config=" in lab
    with running(f"{lab} --no-browser --port={port} --ServerApp.port_retries=0", port, wait_until):
        headers = {"Authorization": "token demo"}
        for path, text in (
            ("dlc/model", demo.MODEL_NAME),
            ("dlc/analysis", "succeeded"),
            ("api/contents", "openfield"),
        ):
            with urlopen(Request(f"http://127.0.0.1:{port}/{path}", headers=headers), timeout=30) as answer:
                assert text in answer.read().decode()


# -- when something is amiss -------------------------------------------------------------------------------------------


def test_without_deeplabcut_it_says_how_to_install_it(command: Any, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    for python in (tmp_path / "empty" / "bin" / "python", tmp_path / "nothing"):
        ended = command("demo", "--folder", tmp_path / "run", f"--DLCApp.engine_python={python}")
        assert ended.status == 2
        assert f"DeepLabCut is not installed in {python}. Run: pip install 'dlc-jupyter[deeplabcut]'" in ended.err
    assert not (tmp_path / "run").exists()


def test_without_ffmpeg_it_says_how_to_install_it(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a Python that says it has DeepLabCut, but not the ffmpeg that comes with it."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *imageio_ffmpeg*) exit 1;; esac\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = command("demo", "--folder", tmp_path / "run", f"--DLCApp.engine_python={python}")
    assert ended.status == 2
    assert "ffmpeg not found: poses can be had, but labelled videos cannot be made" in ended.err
    assert "apt-get install ffmpeg" in ended.err
    assert not (tmp_path / "run").exists()


def test_a_data_folder_of_its_own_is_not_to_be_chosen(command: Any, tmp_path: Path) -> None:
    ended = command("demo", "--data-dir", tmp_path)
    assert ended.status == 2
    assert "--data-dir" in ended.err


def test_a_server_that_does_not_start_is_told_with_its_log(command: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I am no folder.")
    ended = command("demo", "--folder", tmp_path)
    assert ended.status == 1
    assert "cannot use its data folder" in ended.err
    assert "log ends so:" in ended.err


def test_an_analysis_that_fails_is_told_with_its_log(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes_of: Processes
) -> None:
    video = tmp_path / "openfield.mp4"
    video.write_text("I am no video.")
    monkeypatch.setattr(demo, "VIDEO", video)
    monkeypatch.setenv("DLC_JUPYTER_PRELOAD", "")
    ended = command("demo", "--folder", tmp_path / "run")
    assert ended.status == 1
    assert "It failed: This file is not a video" in ended.err
    assert "Give a video such as MP4" in ended.err
    assert "Its log ends so:" in ended.err
    assert processes_of(tmp_path / "run") == []
