"""The demo in three dimensions: two videos, a calibration and a truth that fit together."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dlc_jupyter import demo
from dlc_jupyter.demo import boards, make, stereo
from dlc_jupyter.demo.make import STEREO_FRAMES, STEREO_SEED, read_truth
from dlc_jupyter.demo.scene import BODYPARTS, FPS, HEIGHT, WIDTH, keypoints
from dlc_jupyter.demo.stereo import RIG, SCALE, Recording
from dlc_jupyter.demo.views import FINE, STEPS, Eye, Face

CAMERAS = (0, 1)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording(STEREO_FRAMES, STEREO_SEED)


@pytest.fixture(scope="module")
def truth() -> Array:
    """The positions in the packaged file, shape (240, 7, 3)."""
    return read_truth(demo.TRUTH_3D, 3)


def of_video(video: Path, numbers: list[int]) -> Array:
    """Frames of a packaged video, BGR."""
    chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(video), "-vf", f"select={chosen}", "-vsync", "0"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "bgr24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(len(numbers), HEIGHT, WIDTH, 3).astype(np.float64)


def coarse(picture: NDArray[np.floating] | NDArray[np.uint8]) -> Array:
    """The means of 8x8 pixels: without the camera's noise, and without what the codec does to it."""
    return np.asarray(picture.reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean((1, 3)))


# -- rays --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_ray_meets_a_face_where_the_camera_sees_it(camera: int) -> None:
    """The renderer follows rays backwards; OpenCV projects forwards. Both must agree, lens distortion and all."""
    eye = Eye(RIG.cameras[camera])
    rotation = cv2.Rodrigues(np.array([0.3, -0.2, 0.5]))[0]
    face = Face(np.array([-90.0, 70, 0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), (150.0, 110.0))
    face = face.moved(np.asarray(rotation), np.array([20.0, -10, 35]))
    window = eye.window(face.corners)
    u, v = eye.meet(face, window)
    y, x = np.mgrid[window]
    pixels = (np.stack([x, y], axis=-1) + 0.5) / FINE - 0.5
    unlike = eye.camera.project(face.at(np.stack([u, v], axis=-1).astype(np.float64))) - pixels
    assert np.abs(unlike).max() < 0.01
    assert u.min() < 0 < 150 < u.max()  # the window holds the whole face
    assert v.min() < 0 < 110 < v.max()


def test_the_front_of_a_face_is_where_its_coordinates_read_as_in_a_picture() -> None:
    eye = Eye(RIG.cameras[0])
    floor = Face(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), (10.0, 10.0))
    assert np.allclose(floor.normal, [0, 0, 1])
    assert eye.faces(floor)
    assert not eye.faces(Face(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (10.0, 10.0)))


def test_a_ray_ends_on_the_first_thing_that_rises_in_its_way() -> None:
    """A wall of known height hides what is behind it, by as much as geometry says."""
    eye = Eye(RIG.cameras[0])  # it looks from the left
    relief = np.zeros((200, 200), np.float32)
    relief[:, 100:140] = 30.0
    face = Face(np.array([-100.0, 100, 0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), (200.0, 200.0))
    window = eye.window(face.corners)
    x, y = eye.sink(face, relief, 1.0, window)
    row = np.abs(y - 100) < 1
    left, _, above = eye.camera.centre
    edge = 139.5 - 100 + 0.5
    hidden = 30.0 * (edge - left) / (above - 30.0)  # behind the right edge of the wall
    seen = np.sort(x[row & (x > 141)]) - 99.5 - edge
    assert abs(float(seen.min()) - hidden) < 30.0 / STEPS + 1
    assert np.ptp(x[row & (x < 99)]) > 80  # before it, all of the ground is seen


# -- drawn -------------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_pixels_in_any_order() -> None:
    first, second = Recording(2, 7), Recording(2, 7)
    late = second.frame(1, 1)
    assert np.array_equal(first.frame(0, 0), second.frame(0, 0))
    assert np.array_equal(first.frame(1, 1), late)
    assert not np.array_equal(first.frame(1, 0), late)


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_packaged_videos_are_what_the_cameras_see(recording: Recording, camera: int) -> None:
    numbers = [0, 104, 239]
    for number, seen in zip(numbers, of_video(demo.VIDEOS_3D[camera], numbers), strict=True):
        assert np.abs(coarse(recording.frame(number, camera)) - coarse(seen)).max() < 15  # grey levels
        elsewhen = recording.frame((number + 60) % STEREO_FRAMES, camera)
        assert np.abs(coarse(elsewhen) - coarse(seen)).max() > 80


def test_the_packaged_truth_is_the_recording_s(recording: Recording, truth: Array) -> None:
    assert truth.shape == (STEREO_FRAMES, len(BODYPARTS), 3)
    for number in (0, 77, 239):
        assert np.abs(truth[number] - recording.truth(number)).max() <= 0.0051  # two digits are written


def test_a_few_frames_are_the_beginning_of_the_recording(tmp_path: Path) -> None:
    make.make_stereo(tmp_path, frames=3)
    packaged = demo.TRUTH_3D.read_text().splitlines()
    assert (tmp_path / demo.TRUTH_3D.name).read_text().splitlines() == packaged[:4]
    for video in demo.VIDEOS_3D:
        probe = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", tmp_path / video.name]
        (stream,) = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["streams"]
        assert stream["nb_read_frames"] == "3"
    folder = demo.MODEL_3D.parent
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / folder.name / file.relative_to(folder)).read_bytes() == file.read_bytes()


# -- the truth ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_body_part_is_seen_by_every_camera_where_it_is_said_to_be(truth: Array, camera: int) -> None:
    numbers = list(range(0, STEREO_FRAMES, 30))
    pixels = RIG.cameras[camera].project(truth)
    assert (pixels > 20).all()
    assert (pixels < (WIDTH - 21, HEIGHT - 21)).all()
    for number, seen in zip(numbers, of_video(demo.VIDEOS_3D[camera], numbers), strict=True):
        floor = np.percentile(seen, 75)  # the rest is table, walls and mouse
        for part, (x, y) in zip(BODYPARTS, pixels[number], strict=True):
            around = seen[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].mean(axis=2)
            assert around.min() < floor - 25, f"{part} in frame {number} is no darker than the floor"
        x, y = pixels[number, BODYPARTS.index("bodycentre")]
        assert seen[int(y), int(x)].mean() < 100 < floor - 60  # a dark mouse in a bright tray


@pytest.mark.parametrize("camera", CAMERAS)
def test_no_body_part_hides_another(recording: Recording, camera: int) -> None:
    """The ray towards each body part ends there, and nowhere before."""
    eye = Eye(RIG.cameras[camera])
    for number in range(0, STEREO_FRAMES, 40):
        relief = recording.drawn(number)[1]
        floor = stereo.floor_of(number)
        pixels = eye.camera.project(recording.truth(number))
        for part, (x, y), at in zip(BODYPARTS, pixels, keypoints(recording.poses[number]), strict=True):
            if part == "bodycentre":  # it is within the body
                continue
            column, row = round((x + 0.5) * FINE - 0.5), round((y + 0.5) * FINE - 0.5)
            end = eye.sink(floor, relief, SCALE, (slice(row, row + 1), slice(column, column + 1)))
            assert np.hypot(end[0].item() - at[0], end[1].item() - at[1]) < 2  # pixels of the floor, 1.5 mm


def test_it_moves_through_space(truth: Array) -> None:
    parts = {part: truth[:, index] for index, part in enumerate(BODYPARTS)}
    assert np.ptp(parts["bodycentre"], axis=0).min() > 40  # mm: to the side, away, and up
    ears = np.linalg.norm(parts["leftear"] - parts["rightear"], axis=1)
    assert np.ptp(ears) < 0.25 * ears.mean()  # a head keeps its size, however the tray is tilted
    step = np.linalg.norm(np.diff(truth, axis=0), axis=2)
    assert step.max() < 40


def test_the_cameras_see_the_tray_from_two_sides_and_from_as_far_as_a_room_allows() -> None:
    first, second = (camera.centre for camera in RIG.cameras)
    angle = np.degrees(np.arccos(first @ second / np.linalg.norm(first) / np.linalg.norm(second)))
    assert 30 < angle < 60
    for camera in RIG.cameras:
        assert 15 < np.degrees(np.arccos(camera.centre[2] / np.linalg.norm(camera.centre))) < 30
        assert abs(camera.distortion[0]) > 0.05


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("video", demo.VIDEOS_3D, ids=lambda video: video.stem)
def test_the_videos_are_small_and_play_everywhere(video: Path) -> None:
    assert video.stat().st_size < 500_000
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", video]
    (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    expected = {
        "codec_name": "h264",
        "pix_fmt": "yuv420p",
        "width": WIDTH,
        "height": HEIGHT,
        "avg_frame_rate": f"{FPS}/1",
        "nb_read_frames": str(STEREO_FRAMES),
    }
    assert {name: stream[name] for name in expected} == expected
    data = video.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # it begins to play before it is there
    assert b"Lavf" not in data  # nothing names the program that made it: it is the same everywhere


# -- pictures to calibrate with ----------------------------------------------------------------------------------------


def test_the_board_s_pictures_give_back_the_cameras(tmp_path: Path) -> None:
    """OpenCV alone, from the written files to focal length, lens and the way from one camera to the other."""
    count, pattern = 12, (boards.COLUMNS, boards.ROWS)
    boards.write(tmp_path, count)
    assert len(list(tmp_path.glob("camera-[12]-[0-9][0-9].jpg"))) == 2 * count
    rows, columns = np.mgrid[0 : boards.ROWS, 0 : boards.COLUMNS]
    flat = np.stack([columns, rows, 0 * rows], axis=-1).reshape(-1, 3).astype(np.float32) * boards.SQUARE
    found: list[list[NDArray[np.float32]]] = []
    for camera in RIG.cameras:
        found.append([])
        for number in range(count):
            picture = cv2.imread(str(tmp_path / f"{camera.name}-{number:02d}.jpg"), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            seen, pixels = cv2.findChessboardCorners(picture, pattern)
            assert seen, f"{camera.name} does not see the board in picture {number}"
            pixels = cv2.cornerSubPix(picture, pixels, (4, 4), (-1, -1), (3, 50, 1e-4)).reshape(-1, 2)
            true = camera.project(boards.corners(boards.board(number)))
            pixels = min(pixels, pixels[::-1], key=lambda each: float(np.abs(each - true).max()))
            assert np.linalg.norm(pixels - true, axis=1).mean() < 0.15
            found[-1].append(np.ascontiguousarray(pixels, np.float32))
    flats = [flat] * count
    lenses = []
    for camera, pixels in zip(RIG.cameras, found, strict=True):
        error, matrix, distortion, _, _ = cv2.calibrateCamera(flats, pixels, camera.size, None, None)  # type: ignore[call-overload]
        assert error < 0.15
        assert abs(matrix[0, 0] / camera.matrix[0, 0] - 1) < 0.01
        lenses += [matrix, distortion]
    one, two = RIG.cameras
    *_, rotation, translation, _, _ = cv2.stereoCalibrate(
        flats, *found, *lenses, one.size, flags=cv2.CALIB_FIX_INTRINSIC
    )
    between = two.rotation @ one.rotation.T
    assert np.degrees(np.linalg.norm(cv2.Rodrigues(rotation @ between.T)[0])) < 0.5
    assert np.linalg.norm(translation.ravel() - (two.translation - between @ one.translation)) < 6  # of 610 mm


# -- real poses --------------------------------------------------------------------------------------------------------


@pytest.mark.deeplabcut
def test_the_model_finds_the_body_parts_in_both_views_and_so_in_space(truth: Array, tmp_path: Path) -> None:
    from dlc_jupyter.demo import training

    frames = 60
    poses = []
    for video in demo.VIDEOS_3D:
        clip = tmp_path / video.name
        cut = ["ffmpeg", "-loglevel", "error", "-i", str(video), "-frames:v", str(frames), "-crf", "12", str(clip)]
        subprocess.run(cut, check=True)
        poses.append(training.analyze(demo.MODEL, clip, tmp_path / video.stem))
    error = np.linalg.norm(np.stack(poses)[..., :2] - RIG.project(truth[:frames]), axis=-1)
    assert np.median(error) < 3  # pixels
    assert (np.stack(poses)[..., 2] > 0.4).mean() > 0.95
    space = np.linalg.norm(make.triangulated(np.stack(poses)[..., :2]) - truth[:frames], axis=-1)
    assert np.median(space) < 0.01 * np.linalg.norm(RIG.cameras[0].centre)
