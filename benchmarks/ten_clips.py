"""Ten clips of 200 frames: through the queue, against a script that calls DeepLabCut in a process for each.

The script is what people run today: ``python -c "deeplabcut.analyze_videos(...)"`` for each clip. Ours is a server with
an engine that has loaded DeepLabCut; the uploads are within the time that is measured. The poses are compared, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks.measure import Claim, arguments, conclude, in_seconds, ratio, scratch_folder, server, take_turns
from dlc_jupyter import demo
from dlc_jupyter.commands.server import OwnServer

SCRIPT = """
import sys, deeplabcut
config, video, folder = sys.argv[1:]
deeplabcut.analyze_videos(config, [video], destfolder=folder, save_as_csv=True, device="cpu")
"""


def main() -> int:
    options = arguments(__doc__, clips=10, frames=200)
    with scratch_folder() as folder, server(folder / "ours", models={"mouse": str(demo.MODEL)}) as own:
        clips = [make_clip(folder / f"clip-{number}.mp4", number, options.frames) for number in range(options.clips)]
        shutil.copytree(demo.MODEL.parent, folder / "model")
        config = folder / "model/config.yaml"
        figures = take_turns(
            options.rounds,
            {"queue": lambda: by_queue(own, clips, folder), "script": lambda: by_script(config, clips, folder)},
            in_seconds,
        )
    return conclude(
        "ten_clips", Claim("times as fast as a script", ratio(figures["script"], figures["queue"]), least=4.0)
    )


def make_clip(path: Path, number: int, frames: int) -> Path:
    """Cut 200 frames of a quarter of the picture out of the demo's video; each clip is another one."""
    picture = f"crop=320:240:{200 + 8 * number}:120"
    command = ["ffmpeg", "-v", "error", "-ss", f"{number}", "-i", demo.VIDEO, "-frames:v", str(frames)]
    command += ["-vf", picture, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def by_queue(own: OwnServer, clips: list[Path], folder: Path) -> float:
    client, began = own.client, time.perf_counter()
    asked = [client.run("video", client.upload(clip), model="mouse", fresh=True) for clip in clips]
    results = [client.wait(each) for each in asked]
    took = time.perf_counter() - began
    for clip, result in zip(clips, results, strict=True):
        client.download(result["h5_file"], folder / f"{clip.stem}.h5")
    return took


def by_script(config: Path, clips: list[Path], folder: Path) -> float:
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    began = time.perf_counter()
    for clip in clips:
        command = [sys.executable, "-c", SCRIPT, config, clip, folder / "theirs"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    took = time.perf_counter() - began
    for clip in clips:
        [theirs] = (folder / "theirs").glob(f"{clip.stem}DLC*.h5")
        pd.testing.assert_frame_equal(pd.read_hdf(folder / f"{clip.stem}.h5"), pd.read_hdf(theirs), check_exact=True)
    return took


if __name__ == "__main__":
    sys.exit(main())
