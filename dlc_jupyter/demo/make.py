"""Make the demo's video, ground truth and model again: ``python -m dlc_jupyter.demo.make``.

Needs the extra ``dlc-jupyter[deeplabcut]``, and ffmpeg with libx264. The video takes about two minutes on one core, the
model about half an hour on two.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo import MODEL, TRUTH, VIDEO
from dlc_jupyter.demo.scene import BODYPARTS, FPS, HEIGHT, WIDTH, Look, Scene

STEPS = ("video", "model", "measure")

FRAMES = 600
VIDEO_SEED = 3
TRAINING_SEED = 1000
"""Seed of the first labelled recording; the video's own seed lies outside, so no label comes from the video."""


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
    """Encode frames (BGR, shape (480, 640, 3)) as H.264 that every browser plays."""
    source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_range", "tv"]
    colours += ["-color_primaries", "bt709", "-color_trc", "bt709"]
    codec = ["-c:v", "libx264", "-preset", "veryslow", "-crf", "25", "-pix_fmt", "yuv420p", "-g", "60"]
    # The encoder's own log names the machine's build; leave it out, so that the file is the same everywhere.
    whole = ["-movflags", "+faststart", "-fflags", "+bitexact", "-map_metadata", "-1"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *source, *colours, *codec, *whole, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for frame in frames:
            encoder.stdin.write(frame.tobytes())
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise RuntimeError(f"ffmpeg could not encode {path.name}; its message is above.")


def write_truth(path: Path, truth: NDArray[np.float64]) -> None:
    """Write the positions of the body parts (pixels, shape (frames, 7, 2)) as CSV, a row for each frame."""
    header = ",".join(["frame", *(f"{part}_{axis}" for part in BODYPARTS for axis in "xy")])
    rows = np.column_stack([np.arange(len(truth)), truth.reshape(len(truth), -1)])
    np.savetxt(path, rows, fmt=["%d"] + ["%.2f"] * (rows.shape[1] - 1), delimiter=",", header=header, comments="")


def make_video(into: Path, frames: int = FRAMES) -> None:
    """Make the demo video and its ground truth; fewer frames are the beginning of it."""
    scene = Scene(frames, VIDEO_SEED)
    write_truth(into / TRUTH.name, scene.truth)
    write_video(into / VIDEO.name, (scene.frame(number) for number in range(len(scene))))


def make_model(into: Path, frames: int, epochs: int) -> None:
    """Make and train a DeepLabCut project, and keep of it what the demo needs."""
    from dlc_jupyter.demo import training

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"{training.CLIP}.mp4"
        scene = Scene(FPS, TRAINING_SEED, Look.vary(TRAINING_SEED))
        write_video(clip, (scene.frame(number) for number in range(len(scene))))
        config = training.make_project(Path(folder), clip, frames, TRAINING_SEED)
        training.train(config, epochs)
        training.shrink(config, into / MODEL.parent.name)


def measure(into: Path) -> str:
    """Compare what the model sees in the demo video with the truth, and return it as a table."""
    from dlc_jupyter.demo import training

    with tempfile.TemporaryDirectory() as folder:
        poses = training.analyze(into / MODEL.parent.name / MODEL.name, into / VIDEO.name, Path(folder))
    truth = np.loadtxt(into / TRUTH.name, delimiter=",", skiprows=1)[:, 1:].reshape(-1, len(BODYPARTS), 2)
    error = np.linalg.norm(poses[..., :2] - truth, axis=-1)
    likelihood = poses[..., 2]
    heading = "".join(f"{word:>9}" for word in ("mean px", "median", "p95", "max", "likely", "> 0.4", "> 0.6"))
    lines = [f"{'body part':12}{heading}"]
    columns = [*zip(BODYPARTS, error.T, likelihood.T, strict=True), ("all", error.ravel(), likelihood.ravel())]
    for part, e, p in columns:
        spread = f"{e.mean():9.2f}{np.median(e):9.2f}{np.percentile(e, 95):9.2f}{e.max():9.2f}"
        lines.append(f"{part:12}{spread}{p.mean():9.2f}{(p > 0.4).mean():9.1%}{(p > 0.6).mean():9.1%}")
    return "\n".join(lines)


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m dlc_jupyter.demo.make",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"some of: {', '.join(STEPS)} (default: all of them)")
    parser.add_argument(
        "--into", type=Path, default=VIDEO.parent, help="folder to write to (default: the package's own, %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=480, help="frames to label (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs to train (default: %(default)s)")
    arguments = parser.parse_args()
    what = arguments.what or STEPS
    if unknown := [step for step in what if step not in STEPS]:
        parser.error(f"{unknown[0]} is none of {', '.join(STEPS)}")
    os.environ.setdefault("MPLBACKEND", "Agg")
    # Nothing is to be downloaded; an attempt fails at once.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    arguments.into.mkdir(parents=True, exist_ok=True)
    if "video" in what:
        make_video(arguments.into)
    if "model" in what:
        make_model(arguments.into, arguments.frames, arguments.epochs)
    if "measure" in what:
        print(measure(arguments.into))


if __name__ == "__main__":
    main()
