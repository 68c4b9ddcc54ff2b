"""Turn a video of a mouse into poses and a labelled video, through the HTTP API.

A server, its worker and DeepLabCut are started for it and stopped again. The demo's model and video come with the
package. What comes out, and a configuration with which JupyterLab knows the model too, is left in the folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc_jupyter import demo
from dlc_jupyter.amounts import duration, readable
from dlc_jupyter.client import FINISHED, Client
from dlc_jupyter.commands import findings
from dlc_jupyter.commands.options import CommandError, add_options, settings_of
from dlc_jupyter.commands.results import Poses, read_poses, save_frame
from dlc_jupyter.commands.server import OwnServer, ServerFailed
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.settings import Settings
from dlc_jupyter.terminal import ProgressBar, table

CONFIG = "jupyter_server_config.py"
#: Options that are the machine's rather than a data folder's: the demo's server has them as the user's own servers do.
OF_THE_MACHINE = ("engine_python", "device", "device_lock_dir", "threads")
LABELS = {"upload": "Upload", "video": "Poses ", "label": "Video "}

CONFIG_TEXT = """\
# Written by `dlc-jupyter demo`. Start with it:
#     jupyter lab --config={file}
#     jupyter dlc --config={file}
c = get_config()  # noqa: F821

c.ServerApp.root_dir = {root!r}
c.ServerApp.allow_root = {by_root}  # whether it was root who ran the demo
c.DLCApp.data_dir = {data!r}
c.DLCApp.models = {models!r}
{options}
"""


@dataclass(frozen=True)
class Made:
    """What the demo has sent, run and fetched."""

    file_id: str
    analysis_id: str
    poses: Poses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--folder", type=Path, default=Path("demo-run"), help="where everything goes (default: %(default)s)"
    )
    parser.add_argument("--serve", action="store_true", help="leave the server running at the end, until Ctrl-C")
    add_options(parser, data_dir=False)


def run(arguments: argparse.Namespace) -> int:
    """Show it all; the exit status is 1 when something broke."""
    settings = settings_of(arguments)
    folder = arguments.folder
    _require(settings)
    started = time.monotonic()
    config = write_config(folder, settings)
    with _ended_by_signals():
        print(f"Starting the server (its log: {folder / 'server.log'}) …", flush=True)
        own = OwnServer(config, folder)
        try:
            with own as server:
                print(f"It listens at {server.url}")
                made = analyse(server.client, folder, findings.find_ffmpeg(settings))
                print(f"\nDone in {duration(time.monotonic() - started)}.\n")
                print(report(folder, made.poses))
                if arguments.serve:
                    _serve(server, made)
        except ServerFailed as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
        except AnalysisFailed as error:
            print(f"\nIt failed: {error.message}", file=sys.stderr)
            if error.hint:
                print(error.hint, file=sys.stderr)
            return 1
        except (Refusal, ConnectionError) as error:
            print(f"\nThe server did not do it: {error}\nIts log ends so:\n{own.log_tail()}", file=sys.stderr)
            return 1
    if not arguments.serve:
        print(how_to_go_on(folder, made))
    return 0


def _require(settings: Settings) -> None:
    """Refuse to begin without DeepLabCut or ffmpeg; finding out takes no ten seconds."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('deeplabcut') is None)"
    try:
        lacking = subprocess.run([settings.engine_python, "-c", look], stdin=subprocess.DEVNULL).returncode != 0
    except OSError:
        lacking = True
    if lacking:
        raise CommandError(
            f"DeepLabCut is not installed in {settings.engine_python}. Run: {findings.INSTALL}, or set engine_python."
        )
    ffmpeg = findings.ffmpeg(settings)
    if ffmpeg.state != "ok":
        raise CommandError(f"ffmpeg {ffmpeg.text}. {ffmpeg.advice}")


def write_config(folder: Path, settings: Settings) -> Path:
    """Write a configuration file with which Jupyter knows the demo model, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG
    text = CONFIG_TEXT.format(
        file=shlex.quote(str(path)),
        root=str(folder.absolute()),
        by_root=os.geteuid() == 0,
        data=str((folder / "data").absolute()),
        models={demo.MODEL_NAME: str(demo.MODEL), demo.MODEL_3D_NAME: str(demo.MODEL_3D)},
        options="\n".join(f"c.DLCApp.{option} = {getattr(settings, option)!r}" for option in OF_THE_MACHINE),
    )
    path.write_text(text)
    return path


# -- the work --------------------------------------------------------------------------------------------------------


def analyse(client: Client, folder: Path, ffmpeg: str) -> Made:
    """Upload the video, have it analysed and labelled, and fetch what came out."""
    bar = ProgressBar(LABELS["upload"])
    file_id = client.upload(demo.VIDEO, lambda done, total: bar.show({"done": done, "total": total, "unit": "bytes"}))
    bar.done(f"{demo.VIDEO.name}, {readable(demo.VIDEO.stat().st_size)}, is now file {file_id[:8]}")
    analysis_id, video = analysed(client, "video", file_id)
    _, label = analysed(client, "label", file_id, draw_skeleton=True)
    for field, suffix in (("csv_file", "poses.csv"), ("h5_file", "poses.h5")):
        client.download(video[field], folder / f"{demo.VIDEO.stem}-{suffix}")
    labelled = client.download(label["video_file"], folder / f"{demo.VIDEO.stem}-labelled.mp4")
    poses = read_poses(folder / f"{demo.VIDEO.stem}-poses.csv")
    save_frame(ffmpeg, labelled, poses.clearest, folder / f"{demo.VIDEO.stem}-labelled.png")
    return Made(file_id, analysis_id, poses)


def analysed(client: Client, analysis: str, file_id: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
    """Run an analysis with a progress bar, and return its id and result; a failure is shown with the end of its log."""
    bar = ProgressBar(LABELS[analysis])
    wait = _wait(client)
    analysis_id = client.run(analysis, [file_id], model=demo.MODEL_NAME, fresh=True, **parameters)
    try:
        result = client.wait(analysis_id, lambda record: _show(bar, record, wait))
    except AnalysisFailed as error:
        bar.broken()
        tail = "\n".join(client.log(analysis_id).splitlines()[-15:])
        raise AnalysisFailed(
            error.message, hint="\n".join(filter(None, [error.hint, "Its log ends so:", tail])), kind=error.kind
        ) from None
    except BaseException:
        bar.broken()
        with suppress(Refusal, ConnectionError):
            client.cancel(analysis_id)  # or the next server on this folder would go on with it
        raise
    bar.done(f"{result['frames']} frames in {duration(time.monotonic() - bar.started)}")
    return analysis_id, result


def _wait(client: Client) -> str:
    """Say what the next analysis will wait for."""
    others = sum(record["state"] not in FINISHED for record in client.analyses())
    if others:
        return f"waiting for {others} other {'analysis' if others == 1 else 'analyses'} in this folder"
    engine = client.server()["engine"]  # None before its worker was heard of
    if engine is None or engine["state"] != "ready":
        return "DeepLabCut is being loaded, about ten seconds"
    return "starting"


def _show(bar: ProgressBar, record: Mapping[str, Any], wait: str) -> None:
    if record.get("progress"):
        bar.show(record["progress"])
    elif record["state"] not in FINISHED:
        bar.say(wait)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End as Ctrl-C does when the terminal is closed or somebody ends us: nothing is left running."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    heeded = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    except KeyboardInterrupt:
        print("\nStopped.")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(server: OwnServer, made: Made) -> None:
    """Say how to call the server, and wait for Ctrl-C."""
    print(f"The server goes on until Ctrl-C. Its API:\n{_calls(server.url, server.token, made)}", flush=True)
    assert server.process is not None
    with suppress(KeyboardInterrupt):
        server.process.wait()


# -- the words -------------------------------------------------------------------------------------------------------


def report(folder: Path, poses: Poses) -> str:
    """Return what came out and where it lies."""
    rows = [
        (part, f"{poses.likelihood[part]:.2f}", f"{error:.1f} px")
        for part, error in poses.mean_error(demo.TRUTH).items()
    ]
    stem = demo.VIDEO.stem
    files = {
        f"{stem}-poses.csv": "x, y and likelihood of every body part in every frame",
        f"{stem}-poses.h5": "the same, as DeepLabCut's own HDF5 file",
        f"{stem}-labelled.mp4": "the video with the poses drawn on it",
        f"{stem}-labelled.png": f"frame {poses.clearest} of it",
    }
    lying = [(str(folder / name), readable((folder / name).stat().st_size), what) for name, what in files.items()]
    heading = ("BODY PART", "MEAN LIKELIHOOD", "MEAN ERROR")
    return f"{table(heading, rows)}\n\n{table(('FILE', 'SIZE', 'WHAT IT IS'), lying)}\n"


def how_to_go_on(folder: Path, made: Made) -> str:
    """Return the commands for JupyterLab and for the same calls by hand. They work as they are printed."""
    config = shlex.quote(str(folder / CONFIG))
    jupyter = _jupyter()
    lab = f"    {jupyter} lab --config={config}"
    if importlib.util.find_spec("jupyterlab") is None:
        lab = f"    pip install jupyterlab\n{lab}"
    return (
        f"Open JupyterLab on it:\n{lab}\n\n"
        f"Or call the API by hand. Start the server:\n"
        f"    JUPYTER_TOKEN=demo {jupyter} dlc --config={config} --port=8899\n"
        f"and in another terminal:\n{_calls('http://127.0.0.1:8899/', 'demo', made)}"
    )


def _calls(url: str, token: str, made: Made) -> str:
    """Return the demo as curl commands. The first characters of an id will do."""
    curl = f"    curl -H 'Authorization: token {token}'"
    video = shlex.quote(str(demo.VIDEO))
    return "\n".join(
        [
            f"{curl} {url}file -F file=@{video}",
            f"{curl} {url}analysis -F analysis=video -F model={demo.MODEL_NAME} -F file_id={made.file_id[:8]}",
            f"{curl} {url}analysis/{made.analysis_id[:8]}",
        ]
    )


def _jupyter() -> str:
    """Return the ``jupyter`` command of this environment, as short as it can be typed here."""
    own = Path(sys.executable).with_name("jupyter")
    found = shutil.which("jupyter")
    if (found and Path(found) == own) or not own.exists():
        return "jupyter"
    if own.is_relative_to(Path.cwd()):
        return str(own.relative_to(Path.cwd()))
    return str(own)
