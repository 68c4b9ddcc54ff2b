"""Queue: GET /analysis (the first page) and POST /analysis with 10 000 analyses queued, against an empty queue.

Two servers with a worker each, which is busy with a long `sleep`, and a client that keeps its connection.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.measure import (
    Claim,
    KeepAlive,
    arguments,
    conclude,
    in_milliseconds,
    ratio,
    scratch_folder,
    server,
    take_turns,
)
from dlc_jupyter import demo
from dlc_jupyter.commands.server import OwnServer

#: Requests of each kind in a round.
REQUESTS = 40
SLEEP = {"analysis": "sleep", "time": 3600}


def main() -> int:
    options = arguments(__doc__, queued=10_000)
    models = {demo.MODEL_NAME: str(demo.MODEL)}
    with (
        scratch_folder() as folder,
        server(folder / "full", models=models) as full,
        server(folder / "empty", models=models) as empty,
    ):
        for own in (full, empty):
            own.client.run("sleep", time=3600)
        fill(full, options.queued)
        contestants: dict[str, Callable[[], float]] = {}
        for name, own in (("full", full), ("empty", empty)):
            client, video = KeepAlive(own), own.client.upload(demo.VIDEO)
            asked = {"analysis": "video", "file_id": video, "model": demo.MODEL_NAME, "fresh": True}
            contestants[f"GET {name}"] = partial(get_first_page, client)
            contestants[f"POST sleep {name}"] = partial(post, client, SLEEP)
            contestants[f"POST video {name}"] = partial(post, client, asked)
        for each in contestants.values():  # the lists become as long as each other
            each()
        print(f"medians of {REQUESTS} requests, with {options.queued} queued and with none")
        figures = take_turns(options.rounds, contestants, in_milliseconds)
    claims = []
    for what in ("GET", "POST sleep", "POST video"):
        slower = ratio(figures[f"{what} full"], figures[f"{what} empty"])
        median = statistics.median(figures[f"{what} full"])
        claims.append(
            Claim(f"{what} ({slower:.1f} times that of an empty queue)", median, most=0.03, show=in_milliseconds)
        )
    return conclude("long_queue", *claims)


def fill(own: OwnServer, number: int) -> None:
    """Ask for so many analyses, a few at a time."""

    def ask(share: range) -> None:
        client = KeepAlive(own)
        for _ in share:
            client.request("POST", "analysis", SLEEP)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, [range(number)[part::4] for part in range(4)]))


def get_first_page(client: KeepAlive) -> float:
    return statistics.median(client.request("GET", "analysis")[1] for _ in range(REQUESTS))


def post(client: KeepAlive, values: dict[str, Any]) -> float:
    """Ask for analyses, and cancel each, so that the queue stays as long as it was."""
    took = []
    for _ in range(REQUESTS):
        created, seconds = client.request("POST", "analysis", values)
        client.request("POST", f"analysis/{created['analysis_id']}/cancel", {})
        took.append(seconds)
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(main())
