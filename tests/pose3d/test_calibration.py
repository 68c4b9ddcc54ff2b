"""Calibration of synthetic cameras, of which everything is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlc_jupyter.demo import boards
from dlc_jupyter.errors import AnalysisFailed, BadRequest
from dlc_jupyter.pose3d.board_views import CameraViews, Source, look
from dlc_jupyter.pose3d.boards import Board, Corners
from dlc_jupyter.pose3d.calibration import Calibration, calibrate
from dlc_jupyter.pose3d.calibration_pictures import draw
from dlc_jupyter.pose3d.cameras import Rig
from dlc_jupyter.pose3d.lenses import outstanding
from tests.pose import videos
from tests.pose3d import rigs

BOARD = Board(columns=9, rows=6, square=25, unit="mm")
#: It looks the same when it is turned by 180 degrees.
SAME = Board(columns=8, rows=6, square=25, unit="mm")
#: … and when it is turned by 90 degrees.
SQUARE = Board(columns=6, rows=6, square=25, unit="mm")


def assert_right(found: Calibration, truth: Rig, *, focal: float = 0.003, place: float = 1.0) -> None:
    """The focal lengths within a share, and the cameras within some millimetres of 600."""
    assert found.rig.names == truth.names
    for one, other in zip(found.rig.cameras, truth.cameras, strict=True):
        assert one.matrix[0, 0] == pytest.approx(other.matrix[0, 0], rel=focal)
        assert one.matrix[1, 1] == pytest.approx(other.matrix[1, 1], rel=focal)
        assert np.linalg.norm(one.centre - other.centre) < place


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Callable[..., tuple[Rig, list[Source]]]:
    """Cameras and the pictures that they took of a board, each rendered once."""
    made: dict[str, tuple[Rig, list[Source]]] = {}

    def find(cameras: int, size: tuple[int, int], board: Board = BOARD, count: int = 18) -> tuple[Rig, list[Source]]:
        key = f"{cameras}-{size[0]}-{board.kind}-{board.columns}"
        if key not in made:
            truth = rigs.rig(cameras, size)
            drawn = rigs.board_pictures(truth, board, count, seed=3)
            made[key] = truth, rigs.sources(truth, drawn, tmp_path_factory.mktemp(key))
        return made[key]

    return find


# -- rendered pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [((320, 240), 18), ((1280, 960), 12)])
def test_rendered_checkerboards_give_the_focal_length_within_a_percent_and_errors_below_a_tenth_of_a_pixel(
    rendered, size, count
) -> None:
    truth, sources = rendered(2, size, count=count)
    found = calibrate(BOARD, look(BOARD, sources))
    assert_right(found, truth)
    assert found.rig.error is not None
    assert found.rig.error < 0.1
    assert all(report.error < 0.1 for report in found.cameras)
    assert found.warnings == ()


def test_rendered_charuco_boards_are_as_good(rendered) -> None:
    board = Board("charuco", columns=8, rows=6, square=35, unit="mm")
    truth, sources = rendered(2, (640, 480), board)
    found = calibrate(board, look(board, sources))
    assert_right(found, truth)
    assert found.rig.error < 0.15


def test_the_places_of_lens_and_pixels_are_those_of_the_truth(rendered) -> None:
    """What counts in the end: points in space are projected where they are seen."""
    truth, sources = rendered(2, (320, 240))
    found = calibrate(BOARD, look(BOARD, sources))
    points = rigs.motion(50, 5)
    assert np.abs(found.rig.project(points) - truth.project(points)).max() < 0.25


def test_videos_are_looked_into_once_from_start_to_end(rendered, tmp_path) -> None:
    truth, sources = rendered(2, (320, 240))
    made = []
    for source in sources:
        # Each picture stands still for three frames.
        pattern = str(Path(source.pictures[0]).with_name(f"{source.camera}-%02d.png"))
        target = tmp_path / f"{source.camera}.avi"
        videos.ffmpeg(["-framerate", "10", "-i", pattern, "-vf", "fps=30", "-c:v", "mjpeg", "-q:v", "1"], target)
        made.append(Source(source.camera, video=target))
    steps: list[tuple[int, int]] = []
    views = look(BOARD, made, every=3, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (36, 36)
    assert views[0].labels[1].startswith("frame 3 (0.1")
    assert views[1].numbers == list(range(0, 54, 3))
    assert_right(calibrate(BOARD, views), truth)


@pytest.fixture
def filmed(rendered, tmp_path) -> Callable[..., Source]:
    """Make a video of each picture of a camera, in which each stands still for three frames."""
    _, sources = rendered(2, (320, 240))

    def make(number: int, *, rate: int = 10, cut: bool = False) -> Source:
        camera = sources[number].camera
        pattern = str(Path(sources[number].pictures[0]).with_name(f"{camera}-%02d.png"))
        given = ["-framerate", str(rate), "-i", pattern, "-vf", f"fps={3 * rate}"]
        if cut:
            return Source(camera, video=videos.cut_open(tmp_path / f"cut-{camera}.mp4", given)[0])
        coding = ["-c:v", "libx264", "-crf", "10", "-movflags", "+faststart"]
        return Source(camera, video=videos.ffmpeg([*given, *coding], tmp_path / f"{camera}.mp4"))

    return make


def test_a_video_without_its_first_frames_is_refused_as_for_points_in_space(filmed) -> None:
    said = refusal("VideoDamaged", lambda: look(BOARD, [filmed(0), filmed(1, cut=True)], truncate=True))
    assert re.search(r"The video of camera-2 begins with \d+ frames that cannot be decoded", said)


def test_a_video_that_is_cut_short_is_refused_naming_its_camera(filmed) -> None:
    whole = filmed(1)
    short = replace(whole, video=videos.cut(whole.video, 0.8, whole.video.with_name("short.mp4")))
    said = refusal("VideoCutShort", lambda: look(BOARD, [filmed(0), short], truncate=True))
    assert said.startswith("The video of camera-2: ")


def test_videos_of_different_rates_are_refused_or_taken_for_the_same_moments_with_a_note(filmed) -> None:
    sources = [filmed(0), filmed(1, rate=8)]
    said = refusal("RateMismatch", lambda: look(BOARD, sources))
    assert "camera-1 has 30 frames a second, camera-2 has 24" in said
    views = look(BOARD, sources, every=6, truncate=True)
    [note] = [note for each in views for note in each.notes]
    assert "camera-2 has 24" in note
    assert note.endswith("Frame by frame they were taken for the same moments.")


def test_the_picture_of_each_camera_is_drawn(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    views = look(BOARD, sources)
    found = calibrate(BOARD, views)
    for report, each in zip(found.cameras, views, strict=True):
        picture = cv2.imread(str(draw(report, each, BOARD, tmp_path / "picture.png")))
        assert picture.shape[1] == 1560
        # Green corners on a grey picture: nothing else there has that colour.
        blue, green, red = (picture[..., axis].astype(int) for axis in range(3))
        third = picture.shape[1] // 3
        corners = (green > 150) & (red < 60) & (blue > 120)
        assert corners[:, :third].sum() > 200
        assert corners[:, -third:].sum() > 50
        orange = (red > 200) & (abs(green - 139) < 40) & (blue < 130)
        assert orange[:, -third:].sum() > 50


def test_a_progress_that_raises_ends_the_looking(rendered) -> None:
    _, sources = rendered(2, (320, 240))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(BOARD, sources, progress=stop)


# -- many cameras, known corners -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", [2, 3, 6])
@pytest.mark.parametrize("distorted", [True, False])
def test_cameras_that_never_see_all_boards_are_placed_through_each_other(cameras, distorted) -> None:
    truth = rigs.rig(cameras, distorted=distorted)
    placed = rigs.board_places(truth, BOARD, 15 * cameras, seed=1)
    assert cameras == 2 or not placed.seen.all()
    found = calibrate(BOARD, rigs.board_views(truth, placed))
    assert_right(found, truth)
    assert found.rig.error == pytest.approx(0.05 * np.sqrt(2), rel=0.1)  # the noise, in two coordinates
    assert not distorted or np.allclose(found.rig.cameras[0].distortion, truth.cameras[0].distortion, atol=0.02)


def test_first_and_last_camera_may_share_no_board() -> None:
    truth = rigs.rig(3)
    shown = np.ones((3, 40), bool)
    shown[0, 20:], shown[2, :20] = False, False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40, shown=shown))
    assert not set(views[0].corners) & set(views[2].corners)
    assert_right(calibrate(BOARD, views), truth)


@pytest.mark.parametrize("board", [SAME, SQUARE])
def test_boards_that_look_the_same_when_turned_are_turned_right(board) -> None:
    truth = rigs.rig(3)
    views = rigs.board_views(truth, rigs.board_places(truth, board, 40))
    random = np.random.default_rng(2)
    for each in views:
        for number, corners in each.corners.items():
            order = board.order(int(random.choice(board.turns)))
            each.corners[number] = Corners(corners.numbers, corners.pixels[order], corners.spacing)
    found = calibrate(board, views)
    assert_right(found, truth)
    assert found.rig.error < 0.1
    assert min(len(report.used) for report in found.cameras) > 10


def test_a_board_that_looks_the_same_when_turned_and_does_not_move_is_refused() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, SAME, 30))
    both = set(views[0].corners) & set(views[1].corners)
    for number in list(both)[1:]:  # one picture is left that both share
        views[number % 2].corners.pop(number)
    with pytest.raises(AnalysisFailed, match="looks the same when it is turned") as refused:
        calibrate(SAME, views)
    assert refused.value.kind == "BoardAmbiguous"
    assert "odd" in refused.value.hint


def test_the_board_on_the_floor_gives_the_axes() -> None:
    truth = rigs.rig(3)
    placed = rigs.board_places(truth, BOARD, 45)
    floor = int(np.flatnonzero(placed.seen.sum(axis=0) >= 2)[0])
    found = calibrate(BOARD, rigs.board_views(truth, placed), floor=floor)
    assert found.floor == f"picture-{floor}"
    told = found.as_json()
    assert (told["floor"], told["axes"]) == (f"picture-{floor}", "those of the calibration, z up")
    rotation, translation = found.boards[floor]
    on_floor = BOARD.points @ rotation.T + translation
    assert np.allclose(on_floor, BOARD.points * [1, -1, -1], atol=1e-6)
    assert all(camera.centre[2] > 100 for camera in found.rig.cameras)  # they look down on it
    seen = truth.project(BOARD.points @ placed.rotations[floor].T + placed.translations[floor])
    assert np.abs(found.rig.project(on_floor) - seen)[np.isfinite(seen)].max() < 0.2


def test_a_floor_that_was_not_seen_is_refused_with_the_reason() -> None:
    truth = rigs.rig(2)
    shown = np.ones((2, 30), bool)
    shown[:, 7] = False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 30, shown=shown))
    with pytest.raises(BadRequest, match="picture-7 cannot be the floor: camera-1: the board was not found"):
        calibrate(BOARD, views, floor=7)
    with pytest.raises(BadRequest, match="counted from 0 to 29"):
        calibrate(BOARD, views, floor=30)


def test_a_fisheye_lens() -> None:
    truth = rigs.rig(2)
    lens = np.array([0.05, -0.02, 0.008, -0.002])
    cameras = [
        replace(camera, distortion=lens, fisheye=True, matrix=camera.matrix * [[0.7, 1, 1], [1, 0.7, 1], [1, 1, 1]])
        for camera in truth.cameras
    ]
    truth = replace(truth, cameras=tuple(cameras))
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, 40)), fisheye=True)
    assert all(camera.fisheye for camera in found.rig.cameras)
    assert_right(found, truth, focal=0.005, place=3.0)
    assert found.rig.error < 0.1


def test_few_pictures_do_not_bend_the_lens() -> None:
    """With eight pictures a free third coefficient would reach tens; the edges would be bent back."""
    truth = rigs.rig(2)
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, 9, seed=5), noise=0.2))
    for camera, other in zip(found.rig.cameras, truth.cameras, strict=True):
        assert camera.distortion[4] == 0
        corners = np.array([[0.0, 0.0], [639, 0], [0, 479], [639, 479]])
        assert np.abs(camera.normalised(corners) - other.normalised(corners)).max() < 0.15


@pytest.mark.parametrize(("count", "third"), [(60, 0.35), (9, 0.0)])
def test_the_third_coefficient_is_looked_for_in_many_pictures_only(count, third) -> None:
    truth = rigs.rig(2)
    lens = np.array([-0.3, 0.1, 0, 0, 0.35])
    truth = replace(truth, cameras=tuple(replace(camera, distortion=lens) for camera in truth.cameras))
    found = calibrate(BOARD, rigs.board_views(truth, rigs.board_places(truth, BOARD, count), noise=0.02))
    for camera in found.rig.cameras:
        assert camera.distortion[4] == pytest.approx(third, abs=0.1 if third else 0)


def test_it_agrees_with_opencv_on_the_same_corners() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40))
    both = sorted(set(views[0].corners) & set(views[1].corners))
    for each in views:
        each.corners = {number: each.corners[number] for number in both}
    found = calibrate(BOARD, views)
    points = [BOARD.points.astype(np.float32)] * len(both)
    pixels = [[each.corners[number].pixels.astype(np.float32) for number in both] for each in views]
    lenses = []
    for seen in pixels:
        lenses += cv2.calibrateCamera(points, seen, (640, 480), None, None)[1:3]
    error, one, _, two, _, rotation, shift, _, _ = cv2.stereoCalibrate(
        points, *pixels, *lenses, (640, 480), flags=cv2.CALIB_USE_INTRINSIC_GUESS
    )
    assert found.rig.error == pytest.approx(error, rel=0.02)
    for camera, matrix in zip(found.rig.cameras, (one, two), strict=True):
        assert np.allclose(camera.matrix[:2, :2], matrix[:2, :2], atol=1.0)
    assert np.allclose(found.rig.cameras[1].translation, shift.ravel(), atol=1.0)
    assert np.allclose(found.rig.cameras[1].rotation, rotation, atol=2e-3)


# -- what is left out, and what is said ------------------------------------------------------------------------------


def usual(cameras: int = 2, count: int = 30) -> tuple[Rig, list[CameraViews]]:
    truth = rigs.rig(cameras)
    return truth, rigs.board_views(truth, rigs.board_places(truth, BOARD, count))


def shared(views: list[CameraViews]) -> list[int]:
    return sorted(set.intersection(*(set(each.corners) for each in views)))


def test_a_blurred_picture_is_left_out_with_its_error() -> None:
    truth, views = usual()
    bad = shared(views)[3]
    views[0].corners[bad].pixels[:] += np.random.default_rng(0).normal(0, 1.0, (54, 2))
    found = calibrate(BOARD, views)
    assert "pixels from where they should be" in found.cameras[0].left_out[bad]
    assert bad not in found.cameras[0].used
    assert bad in found.cameras[1].used
    assert_right(found, truth)
    listed = found.as_json()["cameras"][0]["left_out"]
    assert {"picture": f"picture-{bad}", "reason": found.cameras[0].left_out[bad]} in listed


def test_only_what_is_far_off_in_pixels_stands_out_however_good_the_others_are() -> None:
    good = np.random.default_rng(1).uniform(0.02, 0.04, 30)
    assert outstanding(np.append(good, 0.29), fewest=5) == []
    assert outstanding(np.append(good, 0.31), fewest=5) == [30]
    assert outstanding(np.append(10 * good, 0.31), fewest=5) == []


def test_a_board_that_faces_the_camera_is_the_floor_although_its_corners_are_a_tenth_of_a_pixel_off() -> None:
    truth = rigs.rig(2)
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 30), noise=0.01)
    floor = shared(views)[3]
    for each in views:
        each.corners[floor].pixels[:] += np.random.default_rng(0).normal(0, 0.08, (54, 2))
    found = calibrate(BOARD, views, floor=floor)
    for report in found.cameras:
        assert np.median(list(report.used.values())) < 0.03
        assert 0.08 < report.used[floor] < 0.15
    assert found.floor == f"picture-{floor}"
    [apart], [expected] = found.rig.distances(), truth.distances()
    assert apart["distance"] == pytest.approx(expected["distance"], abs=1)


def test_a_picture_of_another_moment_is_left_out() -> None:
    """Its corners fit the lens; but not where the other camera saw the board."""
    truth, views = usual()
    first, second = shared(views)[2:4]
    views[1].corners[first], views[1].corners[second] = views[1].corners[second], views[1].corners[first]
    found = calibrate(BOARD, views)
    for number in (first, second):
        assert any(number in report.left_out for report in found.cameras)
    assert_right(found, truth)


def test_good_pictures_are_all_used() -> None:
    _, views = usual(3, 45)
    found = calibrate(BOARD, views)
    for report, each in zip(found.cameras, views, strict=True):
        assert set(report.used) == set(each.corners)
        assert set(report.left_out.values()) <= {"the board was not found"}


def test_distances_between_cameras_are_said_for_the_ruler() -> None:
    truth, views = usual()
    found = calibrate(BOARD, views)
    true = np.linalg.norm(truth.cameras[0].centre - truth.cameras[1].centre)
    (said,) = found.as_json()["distances"]
    assert said["cameras"] == ["camera-1", "camera-2"]
    assert said["unit"] == "mm"
    assert said["distance"] == pytest.approx(true, rel=1e-3)
    # A wrong square is not noticed otherwise: everything is as much larger.
    larger = calibrate(replace(BOARD, square=50), views)
    assert larger.as_json()["distances"][0]["distance"] == pytest.approx(2 * true, rel=1e-3)
    assert larger.rig.error == pytest.approx(found.rig.error, rel=1e-3)


def test_the_result_is_json() -> None:
    _, views = usual()
    found = calibrate(BOARD, views).as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [camera["camera"] for camera in found["cameras"]] == ["camera-1", "camera-2"]
    assert len(found["cameras"][0]["focal_length"]) == 2
    assert found["unit"] == "mm"


def test_a_board_in_the_middle_only_is_warned_of() -> None:
    _, views = usual(count=60)
    for each in views:
        middle = np.array(each.size) / 2
        each.corners = {
            number: corners
            for number, corners in each.corners.items()
            if np.linalg.norm(corners.pixels - middle, axis=1).max() < 0.62 * np.linalg.norm(middle)
        }
    small = [replace_size(each, 2) for each in views]
    warnings = calibrate(BOARD, small).warnings
    assert any("in the middle of the picture only" in each for each in warnings)


def replace_size(views: CameraViews, times: int) -> CameraViews:
    """The same corners in the middle of a larger picture."""
    shift = np.array(views.size) * (times - 1) / 2
    corners = {
        number: Corners(each.numbers, each.pixels + shift, each.spacing) for number, each in views.corners.items()
    }
    size = views.size[0] * times, views.size[1] * times
    return CameraViews(views.camera, size, views.labels, corners, views.left_out)


def test_a_camera_that_was_moved_in_between_is_warned_of_or_refused() -> None:
    """The board stays, but half of one camera's pictures are from elsewhere."""
    truth = rigs.rig(3)
    placed = rigs.board_places(truth, BOARD, 45)
    turned = cv2.Rodrigues(np.array([0, 0.03, 0]))[0] @ truth.cameras[2].rotation
    moved = replace(truth.cameras[2], rotation=turned)
    views = rigs.board_views(truth, placed)
    for number in range(22):
        views[2].corners.pop(number, None)
        again = moved.project(BOARD.points @ placed.rotations[number].T + placed.translations[number])
        if np.isfinite(again).all():
            views[2].corners[number] = Corners(np.arange(54), again, 20.0)
    found = calibrate(BOARD, views)
    told = [each for each in found.warnings if each.startswith("camera-3: its corners are")]
    left = [reason for reason in found.cameras[2].left_out.values() if "not found" not in reason]
    assert told or len(left) > 5


def test_one_board_that_two_cameras_share_is_warned_of() -> None:
    truth, views = usual()
    for number in shared(views)[1:]:
        views[number % 2].corners.pop(number)
    found = calibrate(BOARD, views)
    assert "camera-1 and camera-2 agree on only 1 board. Show more to both." in found.warnings
    assert_right(found, truth, focal=0.01, place=20.0)


# -- what cannot be done ---------------------------------------------------------------------------------------------


def refusal(kind: str, call: Callable[[], object]) -> str:
    with pytest.raises(AnalysisFailed) as refused:
        call()
    assert refused.value.kind == kind
    return str(refused.value)


def test_groups_of_cameras_that_share_no_board_are_named() -> None:
    truth = rigs.rig(4)
    shown = np.ones((4, 60), bool)
    shown[:2, 30:], shown[2:, :30] = False, False
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 60, shown=shown))
    said = refusal("CamerasApart", lambda: calibrate(BOARD, views))
    assert "camera-1 and camera-2; camera-3 and camera-4" in said


def test_boards_that_one_camera_sees_at_a_time() -> None:
    truth = rigs.rig(2)
    shown = np.zeros((2, 40), bool)
    shown[0, ::2], shown[1, 1::2] = True, True
    views = rigs.board_views(truth, rigs.board_places(truth, BOARD, 40, shown=shown))
    said = refusal("CamerasApart", lambda: calibrate(BOARD, views))
    assert "camera-1; camera-2" in said
    assert "at the same time" in said


def test_cameras_whose_pictures_are_never_of_the_same_moment() -> None:
    _, views = usual(count=40)
    both = shared(views)
    later = {number: views[1].corners[both[(at + 5) % len(both)]] for at, number in enumerate(both)}
    views[1].corners = later
    said = refusal("CamerasDisagree", lambda: calibrate(BOARD, views))
    assert "camera-1 and camera-2 agree on where the board is in only" in said
    assert "same moment" in said


def test_too_few_pictures() -> None:
    _, views = usual()
    views[1].corners = {number: views[1].corners[number] for number in shared(views)[:4]}
    said = refusal("TooFewPictures", lambda: calibrate(BOARD, views))
    assert "Only 4 of the 30 pictures of camera-2 can be used; 5 are needed" in said
    assert "Take 20 or more" in said


def test_one_camera_only(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    assert "two or more cameras" in refusal("TooFewCameras", lambda: look(BOARD, sources[:1]))
    refusal("TooFewCameras", lambda: calibrate(BOARD, usual()[1][:1]))


def test_a_board_that_is_never_seen(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    wrong = Board(columns=10, rows=7)
    said = refusal("BoardNotFound", lambda: look(wrong, sources))
    assert "In none of the 18 pictures of camera-1 is there a checkerboard of 10 x 7 inner corners" in said
    assert "Instead, a board of 9 x 6 inner corners is seen." in said
    other = Board("charuco", columns=8, rows=6)
    assert "charuco of 8 x 6 squares" in refusal("BoardNotFound", lambda: look(other, sources))


def test_a_board_that_is_mostly_another_one(rendered, tmp_path) -> None:
    """In one picture the named board is seen, and in some others a part of the larger one passes for it."""
    _, sources = rendered(2, (320, 240))
    boards.write(tmp_path, 1)
    mixed = []
    for each in sources:
        for path in each.pictures[1:]:
            cv2.imwrite(str(tmp_path / path.name), cv2.resize(cv2.imread(str(path)), (640, 480)))
        others = [tmp_path / path.name for path in each.pictures[1:]]
        mixed.append(replace(each, pictures=[tmp_path / f"{each.camera}-00.jpg", *others], labels=[]))
    named = Board(columns=boards.COLUMNS, rows=boards.ROWS)
    views = look(named, mixed)
    passed = len(views[0].corners)
    assert 0 in views[0].corners
    assert 1 < passed < 9
    [note] = views[0].notes
    assert f"found in {passed} of 18 pictures; in others a board of 9 x 6 inner corners is seen." in note
    said = refusal("TooFewPictures", lambda: calibrate(named, views))
    assert "Instead, a board of 9 x 6 inner corners is seen: check columns and rows" in said
    # Where the named board is mostly seen, nothing else is spoken of.
    assert [(each.instead, each.notes) for each in look(BOARD, mixed)] == [("", []), ("", [])]


def test_pictures_of_different_sizes(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), np.zeros((100, 200), np.uint8))
    mixed = Source("camera-1", [*sources[0].pictures[:3], odd])
    said = refusal("SizeChanges", lambda: look(BOARD, [mixed, replace(sources[1], pictures=sources[1].pictures[:4])]))
    assert "odd.png has 200 x 100 pixels, those before it have 320 x 240" in said


def test_different_numbers_of_pictures(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    fewer = [sources[0], replace(sources[1], pictures=sources[1].pictures[:-1])]
    said = refusal("LengthMismatch", lambda: look(BOARD, fewer))
    assert "camera-1 has 18, camera-2 has 17" in said
    views = look(BOARD, fewer, truncate=True)
    assert [len(each.labels) for each in views] == [17, 17]


def test_files_that_are_no_pictures(rendered, tmp_path) -> None:
    _, sources = rendered(2, (320, 240))
    text = tmp_path / "text.png"
    text.write_text("no picture")
    empty = tmp_path / "empty.png"
    empty.touch()
    bad = Source("camera-1", [text, empty])
    said = refusal("NotAPicture", lambda: look(BOARD, [bad, replace(sources[1], pictures=sources[1].pictures[:2])]))
    assert "None of the 2 pictures of camera-1" in said
    # One among others is left out, and named.
    one = [replace(sources[0], pictures=[text, *sources[0].pictures[1:]]), sources[1]]
    views = look(BOARD, one)
    assert views[0].labels[0] == "text.png"
    assert views[0].left_out[0] == "it is no picture that can be read"


def test_no_pictures_and_names_given_twice(rendered) -> None:
    _, sources = rendered(2, (320, 240))
    refusal("LengthMismatch", lambda: look(BOARD, [Source("a"), Source("b")]))
    refusal("AnalysisFailed", lambda: look(BOARD, [sources[0], sources[0]]))
    mixed = [sources[0], Source("b", video=sources[1].pictures[0])]
    refusal("NotAVideo", lambda: look(BOARD, mixed))


def test_noise_that_is_no_board_fits_no_lens() -> None:
    _, views = usual()
    random = np.random.default_rng(0)
    for each in views:
        for corners in each.corners.values():
            corners.pixels[:] = random.uniform(0, 400, corners.pixels.shape)
    with pytest.raises(AnalysisFailed) as refused:
        calibrate(BOARD, views)
    assert refused.value.kind == "NotCalibrated"
