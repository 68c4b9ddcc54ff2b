"""Make the demo's videos, ground truth and models again: ``python -m dlc_jupyter.demo.make``.

Needs the extra ``dlc-jupyter[deeplabcut]``, and ffmpeg with libx264. The video takes about two minutes on one core, the
model about half an hour on two, and ``stereo``, the recording by two cameras with its 3D project, four minutes on one.
Only where it is asked for, ``boards`` makes pictures of a checkerboard to calibrate those cameras with.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.demo import MODEL, MODEL_3D, TRUTH, TRUTH_3D, VIDEO, VIDEOS_3D, boards, stereo
from dlc_jupyter.demo.scene import BODYPARTS, FPS, HEIGHT, WIDTH, Look, Scene

STEPS = ("video", "model", "stereo", "measure")
ON_REQUEST = ("boards",)

FRAMES = 600
VIDEO_SEED = 3
STEREO_FRAMES = 240
STEREO_SEED = 12
TRAINING_SEED = 1000
"""Seed of the first labelled recording; the video's own seed lies outside, so no label comes from the video."""


@contextmanager
def encoder(path: Path) -> Iterator[Callable[[NDArray[np.uint8]], int]]:
    """Give a function that takes frames (BGR, shape (480, 640, 3)); they become H.264 that every browser plays."""
    source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_range", "tv"]
    colours += ["-color_primaries", "bt709", "-color_trc", "bt709"]
    codec = ["-c:v", "libx264", "-preset", "veryslow", "-crf", "25", "-pix_fmt", "yuv420p", "-g", "60"]
    # The encoder's own log names the machine's build; leave it out, so that the file is the same everywhere.
    whole = ["-movflags", "+faststart", "-fflags", "+bitexact", "-map_metadata", "-1"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *source, *colours, *codec, *whole, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        pipe = process.stdin
        yield lambda frame: pipe.write(frame.tobytes())
        pipe.close()
        if process.wait() != 0:
            raise RuntimeError(f"ffmpeg could not encode {path.name}; its message is above.")


def write_video(path: Path, scene: Scene) -> None:
    """Encode all frames of a scene."""
    with encoder(path) as encode:
        for number in range(len(scene)):
            encode(scene.frame(number))


def write_truth(path: Path, truth: NDArray[np.float64]) -> None:
    """Write the positions of the body parts, shape (frames, 7, 2 or 3), as CSV, a row for each frame."""
    axes = "xyz"[: truth.shape[-1]]
    header = ",".join(["frame", *(f"{part}_{axis}" for part in BODYPARTS for axis in axes)])
    rows = np.column_stack([np.arange(len(truth)), truth.reshape(len(truth), -1)])
    np.savetxt(path, rows, fmt=["%d"] + ["%.2f"] * (rows.shape[1] - 1), delimiter=",", header=header, comments="")


def make_video(into: Path, frames: int = FRAMES) -> None:
    """Make the demo video and its ground truth; fewer frames are the beginning of it."""
    scene = Scene(frames, VIDEO_SEED)
    write_truth(into / TRUTH.name, scene.truth)
    write_video(into / VIDEO.name, scene)


def make_stereo(into: Path, frames: int = STEREO_FRAMES) -> None:
    """Make the videos of both cameras, their ground truth and the 3D project; fewer frames are the beginning of it."""
    from dlc_jupyter.demo import project3d

    recording = stereo.Recording(frames, STEREO_SEED)
    project3d.write_project(into / MODEL_3D.parent.name, recording.rig)
    truth = []
    with ExitStack() as encoders:
        encode = [encoders.enter_context(encoder(into / video.name)) for video in VIDEOS_3D]
        for number in range(frames):
            truth.append(recording.truth(number))
            for camera, each in enumerate(encode):
                each(recording.frame(number, camera))
    write_truth(into / TRUTH_3D.name, np.stack(truth))


def make_model(into: Path, frames: int, epochs: int) -> None:
    """Make and train a DeepLabCut project, and keep of it what the demo needs."""
    from dlc_jupyter.demo import training

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"{training.CLIP}.mp4"
        scene = Scene(FPS, TRAINING_SEED, Look.vary(TRAINING_SEED))
        write_video(clip, scene)
        config = training.make_project(Path(folder), clip, frames, TRAINING_SEED)
        training.train(config, epochs)
        training.shrink(config, into / MODEL.parent.name)


def measure(into: Path) -> str:
    """Compare what the model sees in the demo's videos with the truth, and return it as tables."""
    from dlc_jupyter.demo import training

    videos = (VIDEO, *VIDEOS_3D)
    with tempfile.TemporaryDirectory() as folder:
        seen = [
            training.analyze(into / MODEL.parent.name / MODEL.name, into / video.name, Path(folder) / video.stem)
            for video in videos
        ]
    space = read_truth(into / TRUTH_3D.name, 3)
    truths = [read_truth(into / TRUTH.name, 2), *stereo.RIG.project(space)]
    tables = [
        f"{video.name}\n{_compared(np.linalg.norm(poses[..., :2] - truth, axis=-1), poses[..., 2], 'px')}"
        for video, poses, truth in zip(videos, seen, truths, strict=True)
    ]
    error = np.linalg.norm(triangulated(np.stack([poses[..., :2] for poses in seen[1:]])) - space, axis=-1)
    distance = float(np.mean([np.linalg.norm(camera.centre) for camera in stereo.RIG.cameras]))
    table = _compared(error, np.minimum(seen[1][..., 2], seen[2][..., 2]), "mm")
    share = np.median(error) / distance
    tables.append(f"both cameras, {distance:.0f} mm away: median error {share:.2%} of that\n{table}")
    return "\n\n".join(tables)


def read_truth(path: Path, axes: int) -> NDArray[np.float64]:
    """Return what `write_truth` has written, shape (frames, 7, axes)."""
    return np.loadtxt(path, delimiter=",", skiprows=1)[:, 1:].reshape(-1, len(BODYPARTS), axes)


def triangulated(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """What OpenCV makes of the pixels of both cameras, shape (2, frames, 7, 2): mm, shape (frames, 7, 3)."""
    first, second = stereo.RIG.normalised(pixels).reshape(2, -1, 2)
    one, two = stereo.RIG.poses
    found = cv2.triangulatePoints(one, two, first.T, second.T)
    return np.asarray((found[:3] / found[3]).T.reshape(*pixels.shape[1:-1], 3))


def _compared(error: NDArray[np.float64], likelihood: NDArray[np.float64], unit: str) -> str:
    heading = "".join(f"{word:>9}" for word in (f"mean {unit}", "median", "p95", "max", "likely", "> 0.4", "> 0.6"))
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
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help=f"some of: {', '.join(STEPS)} (default: all of them), {', '.join(ON_REQUEST)}",
    )
    parser.add_argument(
        "--into", type=Path, default=VIDEO.parent, help="folder to write to (default: the package's own, %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=480, help="frames to label (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs to train (default: %(default)s)")
    arguments = parser.parse_args()
    what = arguments.what or STEPS
    known = STEPS + ON_REQUEST
    if unknown := [step for step in what if step not in known]:
        parser.error(f"{unknown[0]} is none of {', '.join(known)}")
    os.environ.setdefault("MPLBACKEND", "Agg")
    # Nothing is to be downloaded; an attempt fails at once.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    arguments.into.mkdir(parents=True, exist_ok=True)
    if "video" in what:
        make_video(arguments.into)
    if "model" in what:
        make_model(arguments.into, arguments.frames, arguments.epochs)
    if "stereo" in what:
        make_stereo(arguments.into)
    if "boards" in what:
        folder = arguments.into / "calibration_images"
        boards.write(folder)
        print(f"{boards.COUNT} pictures of each camera in {folder}; in number 0 the board lies on the table.")
    if "measure" in what:
        print(measure(arguments.into))


if __name__ == "__main__":
    main()
