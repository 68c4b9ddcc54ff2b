"""The demo's video: what the scene draws, a mouse that does what mice do, with a truth that fits."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dlc_jupyter import demo
from dlc_jupyter.demo.make import FRAMES, VIDEO_SEED
from dlc_jupyter.demo.scene import BODYPARTS, FPS, HEIGHT, SKELETON, WIDTH, Look, Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(FRAMES, VIDEO_SEED)


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float64]:
    """The positions in the packaged file, shape (600, 7, 2)."""
    with demo.TRUTH.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(FRAMES))
    return np.array([[[float(row[f"{part}_{axis}"]) for axis in "xy"] for part in BODYPARTS] for row in rows])


def of_video(numbers: Sequence[int]) -> NDArray[np.float64]:
    """Frames of the packaged video, BGR."""
    chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(demo.VIDEO), "-vf", f"select={chosen}", "-vsync", "0"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "bgr24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(len(numbers), HEIGHT, WIDTH, 3).astype(np.float64)


def coarse(picture: NDArray[Any]) -> NDArray[np.float64]:
    """The means of 8x8 pixels: without the camera's noise, and without what the codec does to it."""
    means: NDArray[np.float64] = picture.reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean((1, 3))
    return means


# -- drawn -------------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_pixels_in_any_order() -> None:
    first, second = Scene(3, 7), Scene(3, 7)
    third = second.frame(2)
    assert np.array_equal(first.frame(0), second.frame(0))
    assert np.array_equal(first.frame(2), third)
    assert np.array_equal(first.truth, second.truth)


def test_another_seed_or_another_look_draws_another_scene() -> None:
    picture = Scene(1, 7).frame(0)
    assert not np.array_equal(picture, Scene(1, 8).frame(0))
    assert not np.array_equal(picture, Scene(1, 7, Look.vary(7)).frame(0))


def test_the_packaged_video_is_what_the_scene_draws(scene: Scene) -> None:
    numbers = [0, 151, 420, 599]
    for number, seen in zip(numbers, of_video(numbers), strict=True):
        unlike = np.abs(coarse(scene.frame(number)) - coarse(seen))
        assert unlike.max() < 15  # grey levels
        elsewhen = scene.frame((number + 45) % FRAMES)
        assert np.abs(coarse(elsewhen) - coarse(seen)).max() > 100


def test_the_packaged_truth_is_the_scene_s(scene: Scene, truth: NDArray[np.float64]) -> None:
    assert np.abs(truth - scene.truth).max() <= 0.0051  # two digits are written


# -- a mouse -----------------------------------------------------------------------------------------------------------


def test_every_body_part_is_in_the_picture_where_it_is_said_to_be(truth: NDArray[np.float64]) -> None:
    assert (truth >= 0).all()
    assert (truth <= (WIDTH - 1, HEIGHT - 1)).all()
    numbers = range(0, FRAMES, 60)
    for number, seen in zip(numbers, of_video(numbers), strict=True):
        floor = np.median(seen)
        for part, (x, y) in zip(BODYPARTS, truth[number], strict=True):
            around = seen[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].mean(axis=2)
            assert around.min() < floor - 25, f"{part} in frame {number} is no darker than the floor"
        x, y = truth[number, BODYPARTS.index("bodycentre")]
        assert seen[int(y), int(x)].mean() < 100 < floor - 80  # a dark mouse in a bright arena


def test_left_is_the_mouse_s_left(truth: NDArray[np.float64]) -> None:
    parts = {part: truth[:, index] for index, part in enumerate(BODYPARTS)}
    ahead = parts["snout"] - (parts["leftear"] + parts["rightear"]) / 2
    across = parts["leftear"] - parts["rightear"]
    assert (ahead[:, 0] * across[:, 1] - ahead[:, 1] * across[:, 0] < 0).all()  # y grows downwards


def test_it_walks_pauses_and_turns_and_its_tail_bends(truth: NDArray[np.float64]) -> None:
    parts = {part: truth[:, index] for index, part in enumerate(BODYPARTS)}
    second = parts["bodycentre"][FPS:] - parts["bodycentre"][:-FPS]
    speed = np.hypot(*second.T)
    assert (speed > 60).mean() > 0.2
    assert (speed < 10).mean() > 0.05
    forward = parts["snout"] - parts["tailbase"]
    heading = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
    assert np.ptp(heading) > np.pi
    straight = np.hypot(*(parts["tailtip"] - parts["tailbase"]).T)
    assert straight.min() < 0.75 * straight.max()


def test_it_moves_smoothly(truth: NDArray[np.float64]) -> None:
    step = np.linalg.norm(np.diff(truth, axis=0), axis=2)
    tail = [part.startswith("tail") and part != "tailbase" for part in BODYPARTS]
    assert step[:, np.logical_not(tail)].max() < 12  # pixels from one frame to the next
    assert step[:, tail].max() < 45  # a tail may lash


def test_the_skeleton_joins_all_body_parts() -> None:
    joined = {BODYPARTS[0]}
    for _ in SKELETON:
        joined |= {end for bone in SKELETON if joined & set(bone) for end in bone}
    assert joined == set(BODYPARTS)
    assert len({frozenset(bone) for bone in SKELETON}) == len(SKELETON)


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_video_is_small_and_plays_everywhere() -> None:
    assert demo.VIDEO.stat().st_size < 500_000
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", demo.VIDEO]
    (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    expected = {
        "codec_name": "h264",
        "pix_fmt": "yuv420p",
        "width": WIDTH,
        "height": HEIGHT,
        "avg_frame_rate": f"{FPS}/1",
        "nb_read_frames": str(FRAMES),
    }
    assert {name: stream[name] for name in expected} == expected
    data = demo.VIDEO.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # it begins to play before it is there
    assert b"Lavf" not in data  # nothing names the program that made it: it is the same everywhere


def test_no_second_frame_is_like_the_first(scene: Scene) -> None:
    """The noise is drawn anew in every frame, as a camera's is."""
    assert all(not np.array_equal(*pair) for pair in pairwise([scene.frame(number) for number in range(3)]))
