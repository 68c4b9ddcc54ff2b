"""Memory: how far the server grows while four large files are sent at once, and how long others wait meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import (
    GIB,
    MIB,
    Claim,
    KeepAlive,
    Memory,
    arguments,
    conclude,
    curl_form,
    in_mib,
    in_milliseconds,
    percentile,
    scratch_folder,
    server,
    write_random_file,
)
from dlc_jupyter.commands.server import OwnServer

UPLOADS = 4
PAUSE = 0.02


def main() -> int:
    options = arguments(__doc__, gib=2.0)
    with scratch_folder() as folder, server(folder / "ours") as own:
        source = write_random_file(folder / "video.mp4", int(options.gib * GIB))
        memory = Memory(own)
        idle = waits(own, until=lambda began: time.monotonic() - began > 5)
        print(
            f"idle: {in_mib(memory.before)}; GET /status takes {in_milliseconds(percentile(idle, 0.99))} at the 99th "
            f"percentile\n{UPLOADS} uploads of {options.gib:g} GiB at once"
        )
        growth, all_waits = 0, list[float]()
        for number in range(1, options.rounds + 1):
            took, busy = uploads_and_waits(own, source)
            growth, all_waits = memory.growth, all_waits + busy
            print(
                f"round {number}:   {took:.1f} s   {in_mib(growth)} above idle at most   "
                f"GET /status: median {in_milliseconds(percentile(busy, 0.5))}, "
                f"99th percentile {in_milliseconds(percentile(busy, 0.99))}, "
                f"longest {in_milliseconds(max(busy))} of {len(busy)}",
                flush=True,
            )
    return conclude(
        "memory",
        Claim(f"{UPLOADS} uploads of {options.gib:g} GiB above idle", growth, most=64 * MIB, show=in_mib),
        Claim("GET /status, 99th percentile", percentile(all_waits, 0.99), most=0.05, show=in_milliseconds),
    )


def uploads_and_waits(own: OwnServer, source: Path) -> tuple[float, list[float]]:
    """Send the file several times at once; return how long that took, and each ``GET /status`` meanwhile."""
    began = time.monotonic()
    with ThreadPoolExecutor(UPLOADS) as pool:
        sent = [pool.submit(curl_form, f"{own.client.url}file", source, own.token) for _ in range(UPLOADS)]
        busy = waits(own, until=lambda _began: all(each.done() for each in sent))
        took = time.monotonic() - began
        file_ids = {each.result()[1]["file_id"] for each in sent}
    for file_id in file_ids:
        own.client.delete_file(file_id)
    return took, busy


def waits(own: OwnServer, until: Callable[[float], bool]) -> list[float]:
    """Ask for the status again and again, and return how long each answer took, in seconds."""
    client, found, began = KeepAlive(own), list[float](), time.monotonic()
    while not until(began):
        found.append(client.request("GET", "status")[1])
        time.sleep(PAUSE)
    return found


if __name__ == "__main__":
    sys.exit(main())
