"""Videos whose frames carry their numbers, and poses that differ from frame to frame: what is seen tells what it is."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlc_jupyter.pose.compact import write
from tests.pose.videos import ffmpeg

WIDTH, HEIGHT, FRAMES = 320, 240, 420
BITS = 20
#: Side of the squares in which a number is written, in pixels: a row of its bits, and one of their opposites.
SIDE = WIDTH // BITS
PARTS = ("snout", "back", "tail")

_X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
_TICKS = "-video_track_timescale"
_LONG = [*_X264, "-bf", "3", "-g", "250", "-keyint_min", "250", "-sc_threshold", "0"]
#: 13 and 43 ms in turns of three, and a second's pause every 100 frames.
_UNEVEN = r"settb=1/90000,setpts='N*3000+900*mod(N*7\,3)+90000*floor(N/100)'"


@dataclass(frozen=True)
class Kind:
    """How ffmpeg makes a video, of the plain frames or of another of these videos.

    Attributes
    ----------
    first : int
        The number that its first frame carries.
    play : str
        What the server should say of it: ``direct``, ``remux`` or ``proxy``.
    """

    arguments: tuple[str, ...]
    of: str = ""
    first: int = 0
    play: str = "direct"
    turned: bool = False


KINDS = {
    "long-gop.mp4": Kind((*_LONG,)),
    "short-gop.mp4": Kind((*_X264, "-bf", "0", "-g", "12")),
    "uneven.mp4": Kind(
        ("-vf", _UNEVEN, "-fps_mode", "passthrough", "-enc_time_base", "1:90000", *_LONG, _TICKS, "90000")
    ),
    "5994.mp4": Kind(("-vf", "settb=1/60000,setpts=N*1001", "-r", "60000/1001", *_LONG, _TICKS, "60000")),
    "trimmed.mp4": Kind(("-ss", "3.5", "-c", "copy"), of="long-gop.mp4", first=105),
    "turned.mp4": Kind((*_X264, "-g", "12"), turned=True),
    "wide-pixels.mp4": Kind(("-vf", "setsar=2/1", *_LONG)),
    "late.mp4": Kind((*_LONG, "-output_ts_offset", "1.5"), play="remux"),
    "no-edit-list.mp4": Kind((*_LONG, "-use_editlist", "0"), play="remux"),
    "motion.avi": Kind(("-c:v", "mjpeg", "-q:v", "3"), play="proxy"),
    "mpeg4.mp4": Kind(("-c:v", "mpeg4", "-q:v", "4"), play="proxy"),
}


def make(name: str, folder: Path) -> Path:
    """Make one of the videos, if it is not there."""
    target, kind = folder / name, KINDS[name]
    if target.exists():
        return target
    if kind.of:
        return ffmpeg([*_before(kind), "-i", str(make(kind.of, folder)), *_behind(kind)], target)
    width, height = (HEIGHT, WIDTH) if kind.turned else (WIDTH, HEIGHT)
    plain = target if not kind.turned else folder / f"upright-{name}"
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", "30", "-i", "-"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *raw, *kind.arguments, str(plain)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for number in range(FRAMES):
            picture = frame(number)
            # Stored lying on its side; what plays it turns it by 90 degrees.
            process.stdin.write(np.ascontiguousarray(np.rot90(picture, -1) if kind.turned else picture).tobytes())
    assert process.returncode == 0
    if kind.turned:
        ffmpeg(["-i", str(plain), "-c", "copy", "-metadata:s:v", "rotate=90"], target)
    return target


def _before(kind: Kind) -> list[str]:
    return list(kind.arguments[:2]) if kind.arguments[0] == "-ss" else []


def _behind(kind: Kind) -> list[str]:
    return list(kind.arguments[2:] if kind.arguments[0] == "-ss" else kind.arguments)


def frame(number: int) -> np.ndarray:
    """Return a grey picture with its number in it: something moves, so that frames differ elsewhere, too."""
    picture = np.full((HEIGHT, WIDTH), 110, np.uint8)
    bits = np.array([number >> (BITS - 1 - bit) & 1 for bit in range(BITS)], np.uint8)
    picture[:SIDE] = np.repeat(bits * 195 + 30, SIDE)
    picture[SIDE : 2 * SIDE] = np.repeat((1 - bits) * 195 + 30, SIDE)
    at = (number * 5) % (WIDTH - 40)
    picture[HEIGHT - 30 : HEIGHT - 10, at : at + 40] = 60
    return picture


def number_of(picture: np.ndarray) -> int | None:
    """Read the number in a grey picture of any size; None where it cannot be told."""
    scale = picture.shape[1] / WIDTH
    across = ((np.arange(BITS) + 0.5) * SIDE * scale).astype(int)
    ones, zeros = (picture[int(row * SIDE * scale), across].astype(int) for row in (0.5, 1.5))
    if (np.abs(ones - zeros) < 60).any():
        return None
    return int("".join(str(int(bit)) for bit in ones > zeros), 2)


def places(frames: int) -> np.ndarray:
    """Return where the body parts are: frames x parts x (x, y, likelihood); far from where they are one frame later."""
    number = np.arange(frames)
    found = np.ones((frames, len(PARTS), 3), np.float32)
    for part in range(len(PARTS)):
        found[:, part, 0] = 30 + (number * (37 + 20 * part)) % (WIDTH - 60)
        found[:, part, 1] = 60 + 55 * part + (number * 11) % 30
    return found


def write_h5(target: Path, poses: np.ndarray) -> pd.DataFrame:
    """Write poses as DeepLabCut does."""
    levels = [["DLC_numbered"], list(PARTS), ["x", "y", "likelihood"]]
    columns = pd.MultiIndex.from_product(levels, names=["scorer", "bodyparts", "coords"])
    table = pd.DataFrame(poses.reshape(len(poses), -1), columns=columns)
    table.to_hdf(target, key="df_with_missing", mode="w")
    return table


def write_compact(target: Path, poses: np.ndarray, **options: Any) -> Path:
    """Write poses in the compact form, from DeepLabCut's; options are those of `dlc_jupyter.pose.compact.write`."""
    h5 = target.with_suffix(".h5")
    write_h5(h5, poses)
    write(h5, target, len(poses), **options)
    return target
