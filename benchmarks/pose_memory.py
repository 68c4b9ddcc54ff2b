"""Memory of `video`: the most that the process of an analysis takes for 20 000 frames, against 2 000.

The network is the demo's, on 48 x 48 pixels so that it is quick; the files are written too. Then the same for two
animals in 10 000 frames, against 1 000: what the network sees is made up, and DeepLabCut follows them. Its tracklets
are in memory, several times over, and that is most of what there is to a frame.
"""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Claim, arguments, conclude, in_mib, scratch_folder
from dlc_jupyter import demo
from dlc_jupyter.pose.models import Models
from tests.pose import networks

#: Bytes a frame: most of them are in what DeepLabCut's tracker and stitcher keep.
MOST_OF_TWO = 5_120
ONE, SEVERAL = (2_000, 20_000), (1_000, 10_000)


def main() -> int:
    options = arguments(__doc__, rounds=3, side=48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut.pose_estimation_pytorch.apis.videos  # noqa: F401
    with scratch_folder() as folder:
        videos = {frames: make_video(folder / f"{frames}.mp4", options.side, frames) for frames in (*ONE, *SEVERAL)}
        two = networks.project(folder, videos[SEVERAL[0]], "several")

        def grown(sizes: tuple[int, int], analyse: Callable[[Path, Path], None], name: str) -> float:
            """Return the median of how many bytes a frame more takes."""
            found = []
            for number in range(1, options.rounds + 1):
                peaks = [peak(analyse, videos[frames], folder / f"{name}-{number}-{frames}") for frames in sizes]
                found.append((peaks[1] - peaks[0]) / (sizes[1] - sizes[0]))
                shown = "   ".join(f"{frames} frames {in_mib(most)}" for frames, most in zip(sizes, peaks, strict=True))
                print(f"round {number}:   {name}   {shown}", flush=True)
            return sorted(found)[len(found) // 2]

        one = grown(ONE, analyse, "one animal")
        several = grown(SEVERAL, lambda video, folder: analyse_two(two, video, folder), "two animals")
    return conclude(
        "pose_memory",
        Claim("bytes a frame more", one, most=1024, show="{:.0f}".format),
        Claim("two animals", several, most=MOST_OF_TWO, show="{:.0f}".format),
    )


def make_video(path: Path, side: int, frames: int) -> Path:
    command = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", demo.VIDEO, "-frames:v", str(frames)]
    command += ["-vf", f"scale={side}:{side}", "-c:v", "libx264", "-preset", "ultrafast", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def peak(analyse: Callable[[Path, Path], None], video: Path, folder: Path) -> int:
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
    models = Models({"mouse": str(demo.MODEL)}, "")
    folder.mkdir()
    run(video, models.stage(models.find("mouse"), folder / "model"), folder)


def analyse_two(config: Path, video: Path, folder: Path) -> None:
    from dlc_jupyter.pose import inference

    folder.mkdir()
    # They walk to and fro, so that they stay where a picture could have them.
    inference.make_loop = lambda *_: networks.Seeing(lambda frame: networks.walking(abs(frame % 200 - 100)))
    run(video, config, folder)


def run(video: Path, config: Path, folder: Path) -> None:
    from dlc_jupyter.pose.analyze import Task, analyze
    from dlc_jupyter.pose.media import inspect
    from dlc_jupyter.pose.network import Network

    task = Task(video, inspect(video), Network(config=config))
    analyze(task, folder / "made", folder / "kept", save_as_csv=True, progress=lambda done: None)


if __name__ == "__main__":
    sys.exit(main())
