"""What the measurements share: a server of their own, rounds in which ours and its peer take turns, and a last line.

Linux only: memory is read from ``/proc``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from dlc_jupyter.commands.server import OwnServer

HERE = Path(__file__).parent
SCRATCH = HERE / "scratch"

MIB = 1 << 20
GIB = 1 << 30


def arguments(about: str | None, rounds: int = 5, **sizes: float | str) -> argparse.Namespace:
    """Read the command line: ``--rounds``, and an option for each of `sizes`, whose value is its default.

    Says so where others are using the machine.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often (default: %(default)s)")
    for name, default in sizes.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, help="(default: %(default)s)"
        )
    options = parser.parse_args()
    busy = busy_share()
    if busy > 0.1:
        print(f"Others keep {busy:.0%} of this machine busy: the figures will not be those that it could reach.")
    return options


def busy_share(seconds: float = 2.0) -> float:
    """Look for so long, and return how much of all processors was in use, from 0 to 1."""

    def idle_and_all() -> tuple[int, int]:
        ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)  # idle, and waiting for a disk

    idle, all_ticks = idle_and_all()
    time.sleep(seconds)
    idle_then, all_then = idle_and_all()
    return 1 - (idle_then - idle) / (all_then - all_ticks)


def check_device(device: str) -> None:
    """End here if it is a GPU that PyTorch cannot use; say which one it is."""
    import torch

    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU that PyTorch can use on this computer.")
    print(f"on {torch.cuda.get_device_name(device)}, torch {torch.__version__}")


# -- what is measured ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in this repository's own file system, gone when the ``with`` block ends."""
    SCRATCH.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def server(folder: Path, environment: Mapping[str, str] | None = None, **options: Any) -> Iterator[OwnServer]:
    """``jupyter dlc`` with `folder` as its root and its data below it; `options` are those of ``DLCApp``.

    Its engine has loaded DeepLabCut, so that nothing but what is measured keeps the machine busy.
    """
    folder.mkdir(exist_ok=True)
    options = {"data_dir": str(folder / "data"), **options}
    lines = ["c = get_config()", f"c.ServerApp.root_dir = {str(folder)!r}", "c.ServerApp.allow_root = True"]
    lines += [f"c.DLCApp.{name} = {value!r}" for name, value in options.items()]
    config = folder / "jupyter_server_config.py"
    config.write_text("\n".join(lines))
    with contextlib.ExitStack() as running:
        with patch.dict(os.environ, environment or {}):  # the server, its worker and its engine inherit it
            own = running.enter_context(OwnServer(config, folder))
        wait_until_ready(own)
        yield own


def wait_until_ready(own: OwnServer, timeout: float = 120.0) -> None:
    """Wait until the server's engine has loaded DeepLabCut."""
    end = time.monotonic() + timeout
    while ((own.client.server()["engine"] or {}).get("state")) != "ready":
        if time.monotonic() > end:
            raise TimeoutError(f"The engine was not ready within {timeout:g} s. The log ends so:\n{own.log_tail()}")
        time.sleep(0.2)


class KeepAlive:
    """A client that keeps its connection, as browsers do. `request` returns the answer and the seconds that it took."""

    def __init__(self, own: OwnServer) -> None:
        parts = urlsplit(own.client.url)
        self._base = parts.path
        self._headers = {"Authorization": f"token {own.token}"}
        self._connection = HTTPConnection(parts.hostname or "", parts.port)

    def request(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> tuple[Any, float]:
        """Send `values` as JSON."""
        body = None if values is None else json.dumps(values)
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        began = time.perf_counter()
        self._connection.request(method, self._base + path, body=body, headers=headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - began
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        return json.loads(content), seconds


def write_random_file(path: Path, size: int) -> Path:
    """Write `size` bytes that cannot be compressed."""
    with path.open("wb") as file:
        while (rest := size - file.tell()) > 0:
            file.write(os.urandom(min(MIB, rest)))
    return path


class Memory:
    """The resident memory of a server's process, in bytes: what it is now, and the most that it was since."""

    def __init__(self, own: OwnServer) -> None:
        assert own.process is not None
        self._folder = Path(f"/proc/{own.process.pid}")
        (self._folder / "clear_refs").write_text("5")  # "reset the peak resident set size", man proc_pid_clear_refs
        self.before = self.now

    @property
    def now(self) -> int:
        return self._read("VmRSS")

    @property
    def peak(self) -> int:
        return self._read("VmHWM")

    @property
    def growth(self) -> int:
        """How far it rose above what it was."""
        return self.peak - self.before

    def _read(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


# -- measuring -------------------------------------------------------------------------------------------------------


def seconds(command: Sequence[str | Path], **options: Any) -> float:
    """Run a command, which must succeed, and return how long it took."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **options)
    return time.perf_counter() - began


def curl_form(url: str, path: Path, token: str = "") -> tuple[float, dict[str, Any]]:
    """Send a file with ``curl -F``, and return how long that took, and what was answered."""
    command = ["curl", "--silent", "--show-error", "--fail", "--form", f"file=@{path}", url]
    if token:
        command += ["--header", f"Authorization: token {token}"]
    began = time.perf_counter()
    answer = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    return time.perf_counter() - began, json.loads(answer)


def take_turns(
    rounds: int, contestants: Mapping[str, Callable[[], float]], show: Callable[[float], str]
) -> dict[str, list[float]]:
    """Let each contestant take its turn, round after round, print each figure as `show` says it, and return them all.

    All that was written is brought to the disk before each turn, so that nobody pays for what another one left.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, contestant in contestants.items():
            os.sync()
            figures[name].append(contestant())
        shown = "   ".join(f"{name} {show(figures[name][-1])}" for name in contestants)
        print(f"round {number}:   {shown}", flush=True)
    return figures


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of ours by theirs, round by round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


def in_seconds(value: float) -> str:
    return f"{value:.2f} s"


def in_milliseconds(value: float) -> str:
    return f"{value * 1000:.1f} ms"


def in_mib(value: float) -> str:
    return f"{value / MIB:.0f} MiB"


# -- the last line ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A figure and what it is to reach: `most` or `least`, shown by `show`."""

    what: str
    figure: float
    most: float | None = None
    least: float | None = None
    show: Callable[[float], str] = "{:.2f}".format

    @property
    def reached(self) -> bool:
        return (self.most is None or self.figure <= self.most) and (self.least is None or self.figure >= self.least)

    def __str__(self) -> str:
        goal = f"≤ {self.show(self.most)}" if self.most is not None else f"≥ {self.show(self.least or 0.0)}"
        return f"{self.what} {self.show(self.figure)} ({goal}{'' if self.reached else ', MISSED'})"


def conclude(name: str, *claims: Claim) -> int:
    """Print the last line, and return the exit status: 1 where a claim was missed."""
    print(f"{name}: {'; '.join(map(str, claims))}", flush=True)
    return 0 if all(claim.reached for claim in claims) else 1
