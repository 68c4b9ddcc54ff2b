"""Cancel and resume: how soon an analysis is gone, and what kill -9 at nine tenths of a video costs.

Cancel is from the request until the process of the analysis and its group are gone. Resume is the time of the second
attempt, from its start to its end, by that of a whole run without an interruption, both as the server's records say.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from datetime import datetime
from typing import Any

import psutil

from benchmarks.measure import Claim, arguments, conclude, in_seconds, scratch_folder, server
from dlc_jupyter import demo
from dlc_jupyter.commands.server import OwnServer


def main() -> int:
    options = arguments(__doc__, rounds=5)
    cancels, shares = [], []
    with scratch_folder() as folder, server(folder / "ours", models={"mouse": str(demo.MODEL)}) as own:
        video = own.client.upload(demo.VIDEO)
        for number in range(1, options.rounds + 1):
            whole = seconds_of(finished(own, ask(own, video)))
            cancels.append(cancelled_within(own, video))
            resumed = ask(own, video)
            os.kill(child(own, resumed, at=540).pid, signal.SIGKILL)
            record = finished(own, resumed)
            assert record["attempt"] == 2
            shares.append(seconds_of(record) / whole)
            print(
                f"round {number}:   whole {in_seconds(whole)}   cancelled in {in_seconds(cancels[-1])}   "
                f"resumed {shares[-1]:.2f} of the whole",
                flush=True,
            )
    return conclude(
        "interrupted",
        Claim("cancel, longest", max(cancels), most=2.0, show=in_seconds),
        Claim("resume, of the whole run", statistics.median(shares), most=0.2),
    )


def ask(own: OwnServer, video: str) -> str:
    return own.client.run("video", video, model="mouse", fresh=True)


def finished(own: OwnServer, analysis_id: str) -> dict[str, Any]:
    own.client.wait(analysis_id)
    return own.client.status(analysis_id)


def seconds_of(record: dict[str, Any]) -> float:
    """How long the last attempt took."""
    began, ended = (datetime.fromisoformat(record[name]) for name in ("started", "finished"))
    return (ended - began).total_seconds()


def child(own: OwnServer, analysis_id: str, at: int) -> psutil.Process:
    """Wait until so many frames have poses, and return the process of the analysis."""
    while ((own.client.status(analysis_id)["progress"] or {}).get("done") or 0) < at:
        time.sleep(0.02)
    assert own.process is not None
    processes = psutil.Process(own.process.pid).children(recursive=True)
    return max((each for each in processes if os.getpgid(each.pid) == each.pid), key=lambda each: each.create_time())


def cancelled_within(own: OwnServer, video: str) -> float:
    analysis_id = ask(own, video)
    process = child(own, analysis_id, at=100)
    group = process.pid
    began = time.perf_counter()
    own.client.cancel(analysis_id)
    while alive(group):
        time.sleep(0.005)
    return time.perf_counter() - began


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
