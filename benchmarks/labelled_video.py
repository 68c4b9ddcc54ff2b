"""Labelled videos: a file that browsers play, by `dlc_jupyter.pose.render.draw`, against DeepLabCut and ffmpeg.

12 body parts, their skeleton and trails of 20 points on a video of 640 x 480 pixels. DeepLabCut's way to the same is
`create_labeled_video` in its fast mode, then ffmpeg with the same settings, since browsers do not play what the former
writes. Both begin with the same poses on disk. Our rate is also held against that of decoding alone and of encoding
alone, one of which nobody can exceed; with fewer than three processors these share them, and that figure is no goal.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.measure import Claim, arguments, conclude, in_seconds, ratio, scratch_folder, take_turns
from dlc_jupyter import demo

WIDTH, HEIGHT = 640, 480
PARTS = [f"part{number}" for number in range(12)]
SKELETON = [list(pair) for pair in pairwise(PARTS)]
TRAIL = 20
OURS, THEIRS, DECODE, ENCODE = "ours", "DeepLabCut and ffmpeg", "decoding alone", "encoding alone"


def main() -> int:
    options = arguments(__doc__, frames=1000)
    os.environ.setdefault("MPLBACKEND", "Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut  # noqa: F401  ten seconds, which are nobody's
    with scratch_folder() as folder:
        case = prepare(folder, options.frames)
        case.by_us()  # imports what it needs
        pictures = case.drawn_pictures()
        figures = take_turns(
            options.rounds,
            {
                OURS: timed(case.by_us),
                THEIRS: timed(case.by_deeplabcut),
                DECODE: timed(case.decode),
                ENCODE: timed(lambda: case.encode(pictures)),
            },
            in_seconds,
        )
        print(f"size: {OURS} {case.size(OURS)} kB, {THEIRS} {case.size(THEIRS)} kB")
    slowest = [max(each) for each in zip(figures[DECODE], figures[ENCODE], strict=True)]
    both = [sum(each) for each in zip(figures[DECODE], figures[ENCODE], strict=True)]
    share = ratio(slowest, figures[OURS])
    processors = len(os.sched_getaffinity(0))
    print(
        f"{processors} processors: {share:.2f} of the slower one of decoding and encoding, "
        f"{ratio(both, figures[OURS]):.2f} of one after the other"
    )
    claims = [Claim("times as fast as DeepLabCut and ffmpeg", ratio(figures[THEIRS], figures[OURS]), least=2.0)]
    if processors >= 3:
        claims.append(Claim("of decoding or encoding alone", share, least=0.85))
    return conclude("labelled_video", *claims)


def timed(work: Callable[[], None]) -> Callable[[], float]:
    def turn() -> float:
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            work()
        return time.perf_counter() - began

    return turn


@dataclass
class Case:
    """A video with poses of it."""

    folder: Path
    video: Path
    config: Path
    scorer: str
    frames: int

    def __post_init__(self) -> None:
        from dlc_jupyter.pose.media import inspect

        self.media = inspect(self.video)

    def by_us(self) -> None:
        from dlc_jupyter.pose.network import Network, Poses
        from dlc_jupyter.pose.render import Style, draw

        poses = Poses(self.folder, self.video.stem, self.scorer, "", self.frames, [])
        style = Style(draw_skeleton=True, trailpoints=TRAIL)
        draw(Network(self.config), poses, self.video, self.media, style, self._target(OURS), progress=lambda done: None)

    def by_deeplabcut(self) -> None:
        import deeplabcut

        from dlc_jupyter.pose.encoding import find_ffmpeg

        made = deeplabcut.create_labeled_video(
            str(self.config), [str(self.video)], draw_skeleton=True, trailpoints=TRAIL, overwrite=True
        )
        (drawn,) = self.folder.glob(f"{self.video.stem}*_labeled.mp4")
        if made != [True]:
            raise RuntimeError(f"DeepLabCut returned {made}.")
        command: list[str | Path] = [find_ffmpeg(), "-loglevel", "error", "-nostdin", "-y", "-i", drawn]
        command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
        subprocess.run([*command, "-movflags", "+faststart", self._target(THEIRS)], check=True)
        drawn.unlink()

    def decode(self) -> None:
        from dlc_jupyter.pose.frames import Frames

        with Frames(self.video, self.media) as frames:
            for batch in frames:
                frames.release(batch)

    def encode(self, pictures: np.ndarray[Any, Any]) -> None:
        from dlc_jupyter.pose.encoding import Encoder

        encoder = Encoder(self._target(ENCODE), self.media.fps)
        for number in range(0, len(pictures), 8):
            encoder.write(pictures[number : number + 8])
        encoder.finish()

    def drawn_pictures(self) -> np.ndarray[Any, Any]:
        """Return the pictures of our labelled video."""
        from dlc_jupyter.pose.frames import Frames
        from dlc_jupyter.pose.media import inspect

        made = np.empty((self.frames, HEIGHT, WIDTH, 3), np.uint8)
        with Frames(self._target(OURS), inspect(self._target(OURS))) as frames:
            for batch in frames:
                made[batch.numbers.start : batch.numbers.stop] = batch.pictures
                frames.release(batch)
        return made

    def size(self, name: str) -> int:
        return self._target(name).stat().st_size // 1000

    def _target(self, name: str) -> Path:
        return self.folder / f"{name}.mp4"


def prepare(folder: Path, frames: int) -> Case:
    """Put the demo's video, again and again, a project of 12 body parts, and poses that wander into a folder."""
    from deeplabcut.utils import auxiliaryfunctions

    from dlc_jupyter.pose.encoding import find_ffmpeg

    video = folder / "video.mp4"
    command: list[str | Path] = [find_ffmpeg(), "-loglevel", "error", "-nostdin", "-y", "-stream_loop", "-1"]
    command += ["-i", demo.VIDEO, "-vf", f"scale={WIDTH}:{HEIGHT}", "-frames:v", str(frames), "-c:v", "libx264"]
    subprocess.run([*command, "-preset", "veryfast", video], check=True)
    shutil.copytree(demo.MODEL.parent, folder / "project")
    config = folder / "project/config.yaml"
    changes = {"bodyparts": PARTS, "skeleton": SKELETON, "dotsize": 8, "pcutoff": 0.6}
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **changes}))
    project = auxiliaryfunctions.read_config(config)
    scorer, _legacy = auxiliaryfunctions.get_scorer_name(project, 1, project["TrainingFraction"][0])
    wander(frames, scorer).to_hdf(folder / f"{video.stem}{scorer}.h5", key="df_with_missing", mode="w")
    metadata = {"data": {"cropping": False, "cropping_parameters": [0, WIDTH, 0, HEIGHT]}}
    (folder / f"{video.stem}{scorer}_meta.pickle").write_bytes(pickle.dumps(metadata))
    return Case(folder, video, config, str(scorer), frames)


def wander(frames: int, scorer: str) -> pd.DataFrame:
    """Return poses of body parts that move some pixels from frame to frame and are seen in nine of ten."""
    rng = np.random.default_rng(0)
    values = np.empty((frames, len(PARTS), 3))
    values[..., :2] = rng.uniform((80, 80), (WIDTH - 80, HEIGHT - 80), (1, len(PARTS), 2))
    values[..., :2] += np.cumsum(rng.normal(0, 2, (frames, len(PARTS), 2)), axis=0)
    values[..., 2] = rng.uniform(0.56, 1, (frames, len(PARTS)))
    columns = pd.MultiIndex.from_product(
        [[scorer], PARTS, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    return pd.DataFrame(values.reshape(frames, -1), columns=columns)


if __name__ == "__main__":
    sys.exit(main())
