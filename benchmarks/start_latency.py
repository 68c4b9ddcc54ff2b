"""Start latency: POST /analysis answered → `sleep` body running, after a minute of idleness.

The peer is huey's own consumer of a SQLite queue, with its default options: task sent → body running, after the same
minute.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.measure import (
    HERE,
    Claim,
    KeepAlive,
    arguments,
    conclude,
    in_milliseconds,
    scratch_folder,
    server,
    take_turns,
)
from benchmarks.peers import running
from dlc_jupyter.commands.server import OwnServer


def main() -> int:
    options = arguments(__doc__, idle=60.0)
    with (
        scratch_folder() as folder,
        server(folder / "ours", environment={"PYTHONPATH": str(HERE / "plugin")}) as own,
        running.huey_consumer(folder) as send,
    ):
        print(f"after {options.idle:g} s in which nothing was asked for")
        figures = take_turns(
            options.rounds,
            {"ours": lambda: start_of_ours(own, options.idle), "huey": send},
            in_milliseconds,
        )
    ours, theirs = figures["ours"], figures["huey"]
    print(f"huey: median {in_milliseconds(statistics.median(theirs))}, longest {in_milliseconds(max(theirs))}")
    return conclude(
        "start_latency",
        Claim("median", statistics.median(ours), most=0.06, show=in_milliseconds),
        Claim("longest", max(ours), most=0.15, show=in_milliseconds),
    )


def start_of_ours(own: OwnServer, idle: float) -> float:
    """Wait, ask for a `sleep`, and return how long after the answer its body began."""
    time.sleep(idle)
    client = KeepAlive(own)
    created, _seconds = client.request("POST", "analysis", {"analysis": "timed_sleep", "time": 0})
    answered = time.time()
    began: float = own.client.wait(created["analysis_id"])["began"]
    return began - answered


if __name__ == "__main__":
    sys.exit(main())
