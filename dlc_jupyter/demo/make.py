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

FRAMES = 600
VIDEO_SEED = 3
TRAINING_SEED = 1000
"""Seed of the first labelled recording; the video's own seed lies outside, so no label comes from the video."""


def demo_scene() -> Scene:
    """Return the scene that the demo video shows."""
    return Scene(FRAMES, VIDEO_SEED)


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


def make_video() -> None:
    """Make the demo video and its ground truth."""
    scene = demo_scene()
    write_truth(TRUTH, scene.truth)
    write_video(VIDEO, (scene.frame(number) for number in range(len(scene))))


def make_model(folder: Path, frames: int, epochs: int) -> None:
    """Make, train and shrink the demo project; `folder` takes the whole one."""
    from dlc_jupyter.demo import training

    clip = folder / f"{training.CLIP}.mp4"
    scene = Scene(FPS, TRAINING_SEED, Look.vary(TRAINING_SEED))
    write_video(clip, (scene.frame(number) for number in range(len(scene))))
    config = training.make_project(folder, clip, frames, TRAINING_SEED)
    training.train(config, epochs)
    training.shrink(config, MODEL.parent)


def measure(folder: Path) -> str:
    """Compare what the model sees in the demo video with the truth, and return it as a table."""
    from dlc_jupyter.demo import training

    poses = training.analyze(MODEL, VIDEO, folder)
    truth = np.loadtxt(TRUTH, delimiter=",", skiprows=1)[:, 1:].reshape(-1, len(BODYPARTS), 2)
    error = np.linalg.norm(poses[..., :2] - truth, axis=-1)
    likelihood = poses[..., 2]
    lines = [f"{'body part':12}{'mean px':>9}{'median':>8}{'p95':>8}{'max':>8}{'likelihood':>12}{'> 0.4':>8}{'> 0.6':>8}"]
    for part, e, p in zip((*BODYPARTS, "all"), (*error.T, error.ravel()), (*likelihood.T, likelihood.ravel()), strict=True):
        spread = f"{e.mean():9.2f}{np.median(e):8.2f}{np.percentile(e, 95):8.2f}{e.max():8.2f}"
        lines.append(f"{part:12}{spread}{p.mean():12.2f}{(p > 0.4).mean():8.1%}{(p > 0.6).mean():8.1%}")
    return "\n".join(lines)


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m dlc_jupyter.demo.make", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["video", "model", "measure"], default=["video", "model", "measure"])
    parser.add_argument("--frames", type=int, default=480, help="frames to label (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs to train (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    # Nothing is to be downloaded; an attempt fails at once.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if "video" in arguments.what:
        make_video()
    if "model" in arguments.what:
        with tempfile.TemporaryDirectory() as folder:
            make_model(Path(folder), arguments.frames, arguments.epochs)
    if "measure" in arguments.what:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(folder)))


if __name__ == "__main__":
    main()
