"""Overhead: the time of a `video` analysis on a warm engine, minus that of making the poses and their files inside it.

That inside is our own loop, in the place of `deeplabcut.analyze_videos`. From POST /analysis to succeeded: the queue,
the engine's fork, staging, reading the container, checking and storing. Beside it, `deeplabcut.analyze_videos`
is called directly, in a process that has done so before.
"""

from __future__ import annotations

import statistics
import sys
import time
from datetime import datetime

from benchmarks.measure import (
    HERE,
    Claim,
    KeepAlive,
    arguments,
    conclude,
    in_seconds,
    scratch_folder,
    server,
    take_turns,
)
from benchmarks.peers import running
from dlc_jupyter import demo
from dlc_jupyter.commands.server import OwnServer


def main() -> int:
    options = arguments(__doc__)
    insides: list[float] = []
    with (
        scratch_folder() as folder,
        server(
            folder / "ours",
            environment={"PYTHONPATH": str(HERE / "plugin")},
            models={demo.MODEL_NAME: str(demo.MODEL)},
            device="cpu",
        ) as own,
        running.direct_deeplabcut(folder / "direct", demo.MODEL, demo.VIDEO) as call_directly,
    ):
        file_id = own.client.upload(demo.VIDEO)

        def analyse() -> float:
            whole, inside = analysis(own, file_id)
            insides.append(inside)
            return whole

        call_directly()  # the engine too has loaded what it will need
        print(f"{demo.VIDEO.name}, {demo.MODEL_NAME}, on the processor")
        figures = take_turns(options.rounds, {"video": analyse, "called directly": call_directly}, in_seconds)
    overheads = [whole - inside for whole, inside in zip(figures["video"], insides, strict=True)]
    print("inside, by the clock around it:", "   ".join(map(in_seconds, insides)))
    print("whole minus inside:", "   ".join(map(in_seconds, overheads)))
    beyond = statistics.median(
        whole - direct for whole, direct in zip(figures["video"], figures["called directly"], strict=True)
    )
    print(f"whole minus a direct call: median {in_seconds(beyond)}")
    return conclude(
        "video_overhead", Claim("whole minus inside", statistics.median(overheads), most=1.0, show=in_seconds)
    )


def analysis(own: OwnServer, file_id: str) -> tuple[float, float]:
    """Have the video analysed; return how long that took from request to success, and the making of poses within."""
    values = {"analysis": "timed_video", "file_id": file_id, "model": demo.MODEL_NAME, "fresh": True}
    began = time.time()
    created, _seconds = KeepAlive(own).request("POST", "analysis", values)
    result = own.client.wait(created["analysis_id"])
    finished = datetime.fromisoformat(own.client.status(created["analysis_id"])["finished"])
    return finished.timestamp() - began, float(result["inside"])


if __name__ == "__main__":
    sys.exit(main())
