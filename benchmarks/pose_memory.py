"""Memory of `video`: the most that the process of an analysis takes for 20 000 frames, against 2 000.

The network is the demo's, on 48 x 48 pixels so that it is quick; the files are written too.
"""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import warnings
from pathlib import Path

from benchmarks.measure import Claim, arguments, conclude, in_mib, scratch_folder
from dlc_jupyter import demo

SHORT, LONG = 2_000, 20_000


def main() -> int:
    options = arguments(__doc__, rounds=3, side=48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut.pose_estimation_pytorch.apis.videos  # noqa: F401
    grown = []
    with scratch_folder() as folder:
        videos = {frames: make_video(folder / f"{frames}.mp4", options.side, frames) for frames in (SHORT, LONG)}
        for number in range(1, options.rounds + 1):
            peaks = {frames: peak(video, folder / f"{number}-{frames}") for frames, video in videos.items()}
            grown.append((peaks[LONG] - peaks[SHORT]) / (LONG - SHORT))
            shown = "   ".join(f"{frames} frames {in_mib(most)}" for frames, most in peaks.items())
            print(f"round {number}:   {shown}", flush=True)
    return conclude(
        "pose_memory", Claim("bytes a frame more", sorted(grown)[len(grown) // 2], most=1024, show="{:.0f}".format)
    )


def make_video(path: Path, side: int, frames: int) -> Path:
    command = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", demo.VIDEO, "-frames:v", str(frames)]
    command += ["-vf", f"scale={side}:{side}", "-c:v", "libx264", "-preset", "ultrafast", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def peak(video: Path, folder: Path) -> int:
    """Analyse a video in a fork, as the engine does, and return the most memory that it had, in bytes."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        analyse(video, folder)
        os.write(sending, pickle.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as answer:
        most = pickle.load(answer)
    os.waitpid(child, 0)
    return int(most)


def analyse(video: Path, folder: Path) -> None:
    from dlc_jupyter.pose.analyze import Task, analyze
    from dlc_jupyter.pose.media import inspect
    from dlc_jupyter.pose.models import Models
    from dlc_jupyter.pose.network import Network

    models = Models({"mouse": str(demo.MODEL)}, "")
    folder.mkdir()
    network = Network(config=models.stage(models.find("mouse"), folder / "model"))
    task = Task(video, inspect(video), network)
    analyze(task, folder / "made", folder / "kept", save_as_csv=True, progress=lambda done: None)


if __name__ == "__main__":
    sys.exit(main())
