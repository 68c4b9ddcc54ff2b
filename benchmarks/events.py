"""Events: 200 listeners on `GET /events` of one server while an analysis writes its progress once a second.

What the server's process uses of a core meanwhile, and how long it takes from the moment at which another process
begins to write the progress, as a worker does, until each listener has it. The same server is measured first while
nobody listens.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.measure import (
    Claim,
    arguments,
    busy_share,
    conclude,
    in_milliseconds,
    percentile,
    scratch_folder,
    server,
)
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.jobs.record import Request
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url

WORKER = "benchmark:0"


def main() -> int:
    options = arguments(__doc__, rounds=3, listeners=200, seconds=20)
    shares: list[float] = []
    waits: list[float] = []
    with scratch_folder() as folder, server(folder / "server", {"DLC_JUPYTER_PRELOAD": ""}) as own:
        assert own.process is not None
        process = psutil.Process(own.process.pid)
        time.sleep(3)  # what is done once at the start
        idle = share_used(process, options.seconds)
        print(f"nobody listens: {idle:.1%} of a core", flush=True)
        for number in range(1, options.rounds + 1):
            streams = [listen(own) for _ in range(options.listeners)]
            writer = multiprocessing.get_context("spawn").Process(
                target=write_progress, args=(folder / "server" / "data", options.seconds)
            )
            busy = busy_share(1.0)
            before = used(process)
            writer.start()
            waited = follow(streams, options.seconds + 4.0)
            share = (used(process) - before) / options.seconds  # of the seconds in which progress was written
            writer.join()
            for stream in streams:
                stream.close()
            print(f"round {number}:   others keep {busy:.0%} of the machine busy   {share:.1%} of a core", end="   ")
            print(f"{len(waited)} of {len(streams) * options.seconds} heard", end="   ")
            shown = (statistics.median(waited), percentile(waited, 0.99), max(waited))
            print("median {}   99 % {}   longest {}".format(*map(in_milliseconds, shown)), flush=True)
            if len(waited) < len(streams) * options.seconds:
                print("Some listeners have not heard everything.")
                return 1
            shares.append(share)
            waits += waited
    return conclude(
        "events",
        Claim("share of a core", statistics.median(shares), most=0.10, show="{:.1%}".format),
        Claim("written → heard, longest", max(waits), most=0.5, show=in_milliseconds),
    )


def used(process: psutil.Process) -> float:
    """Return the seconds of processor that a process has used, its children aside."""
    times = process.cpu_times()
    return float(times.user + times.system)


def share_used(process: psutil.Process, seconds: float) -> float:
    """Look for so long, and return how much of a core a process uses."""
    before, began = used(process), time.monotonic()
    time.sleep(seconds)
    return (used(process) - before) / (time.monotonic() - began)


def listen(own: OwnServer) -> socket.socket:
    """Open a stream of events, and wait for its first one."""
    parts = urlsplit(own.client.url)
    stream = socket.create_connection((parts.hostname or "", parts.port or 0))
    head = f"GET {parts.path}events HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: token {own.token}\r\n\r\n"
    stream.sendall(head.encode())
    received = b""
    while b"event: status" not in received:
        received += stream.recv(1 << 16)
    return stream


def follow(streams: list[socket.socket], seconds: float) -> list[float]:
    """Read all streams for so long. Return how many seconds each progress took to be heard by each of them.

    The end of the analysis tells its last progress once more, which does not count again.
    """
    waited: list[float] = []
    mark, seen = b'"unit": "written at ', set[tuple[int, bytes]]()
    with selectors.DefaultSelector() as selector:
        for number, stream in enumerate(streams):
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_READ, number)
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            for key, _ in selector.select(rest):
                received = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                now = time.time()
                if not received:
                    raise ConnectionError("The server has closed a stream.")
                for each in received.split(mark)[1:]:
                    written = each.partition(b'"')[0]
                    if (key.data, written) not in seen:
                        seen.add((key.data, written))
                        waited.append(now - float(written))
    return waited


def write_progress(data: Path, seconds: int) -> None:
    """Claim an analysis, as a worker does, and write its progress once a second: its unit says when."""
    settings = Settings(data_dir=str(data))
    with closing(Database(database_url(settings.root, ""))) as database:
        records = Records(database)
        request = Request("sleep", {"time": float(seconds)})
        record: Any = records.create(request, time.time())
        while records.claim(WORKER, time.time(), 60) is None:
            record = records.create(request, time.time())  # the server's own worker was quicker
        for done in range(seconds):
            time.sleep(1.0)
            values = {"done": done, "total": seconds, "unit": f"written at {time.time():.6f}"}
            records.heartbeat(record.analysis_id, WORKER, time.time(), 60, values)
        records.succeed(record.analysis_id, WORKER, time.time(), {}, [])


if __name__ == "__main__":
    sys.exit(main())
