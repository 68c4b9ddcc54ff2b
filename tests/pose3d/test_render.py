"""The 3D video holds every frame of every camera, its poses and the scene; what fails in one part of it ends all."""

import itertools
import threading
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import psutil
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.drawing import shades
from dlc_jupyter.pose.encoding import Encoder
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose3d import render as render3d
from dlc_jupyter.pose3d.axes import PALE
from dlc_jupyter.pose3d.perspective import box_around
from dlc_jupyter.pose3d.render import View, render_scene
from dlc_jupyter.pose3d.scene import SceneLook
from dlc_jupyter.pose3d.sheet import Moment, Sheet, arrange
from tests.pose.videos import cut, cut_open, ffmpeg, probe, reserve, spoil
from tests.pose3d.rigs import motion, rig

PARTS = ["snout", "spine", "tail"]
FRAMES = 40
LOOK = SceneLook(PARTS, skeleton=[PARTS[:2], PARTS[1:]], unit="mm", width=960, trailpoints=4)


BITS = 10


def marked(frame, size):
    """A grey picture with a frame's number in its first rows: a square for each bit, white for 1."""
    picture = np.full((size[1], size[0], 3), 128, np.uint8)
    for bit in range(BITS):
        picture[:20, 10 * bit : 10 * bit + 10] = 255 * (frame >> bit & 1)
    return picture


def number(picture, place, width=160):
    """Which frame a view shows; None where it is none."""
    scale = place.width / width
    row = place.of(picture)[round(9 * scale)].mean(axis=-1)
    bits = [row[round((10 * bit + 5) * scale)] for bit in range(BITS)]
    return sum((value > 128) << bit for bit, value in enumerate(bits)) if min(bits) < 20 and max(row) > 90 else None


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Return a video whose frames have their numbers in them, see `marked`."""
    folder = tmp_path_factory.mktemp("films")

    def make(size=(160, 120), frames=FRAMES, fps=25):
        path = folder / f"{size[0]}x{size[1]}-{frames}-{float(fps):.3f}.mp4"
        if not path.exists():
            encoder = Encoder(path, Fraction(fps))
            for frame in range(frames):
                encoder.write(marked(frame, size))
            encoder.finish()
        return path

    return make


@pytest.fixture
def views(film):
    """Return so many cameras' views of the same motion, and the points."""

    def make(cameras=2, sizes=((160, 120),), frames=FRAMES, **fields):
        found = rig(cameras, (160, 120))
        points = motion(frames, len(PARTS))[:, None]
        made = []
        for camera, size in zip(found.cameras, itertools.cycle(sizes), strict=False):
            video = film(size, frames)
            pixels = camera.project(points) * np.array(size) / camera.size
            made.append(View(video, inspect(video), pixels, np.ones(pixels.shape[:-1]), camera.name, **fields))
        return made, points

    return make


@pytest.fixture
def draw(tmp_path):
    """Render, and return the result and the pictures; whatever happens, no thread and no process may be left."""

    def start(views, points, look=LOOK, progress=lambda done: None, **options):
        target = tmp_path / "out.mp4"
        try:
            result = render_scene(views, points, look, target, progress=progress, **options)
        finally:
            assert not [each for each in threading.enumerate() if each.name in ("dlc-frames", "dlc-writer")]
            assert not [each for each in psutil.Process().children() if "ffmpeg" in each.name()]
        capture, pictures = cv2.VideoCapture(str(target)), []
        while True:
            found, picture = capture.read()
            if not found:
                return result, pictures
            pictures.append(picture)

    return start


def layout(views, look=LOOK):
    sizes = [(view.name, view.media.width, view.media.height, view.offset) for view in views]
    return Sheet(sizes, look, box_around(motion(FRAMES, 3).reshape(-1, 3))).layout


# -- the video ---------------------------------------------------------------------------------------------------------


def test_every_frame_of_every_camera_is_beside_the_scene(views, draw):
    seen, points = views(2)
    counts = []
    result, pictures = draw(seen, points, progress=counts.append)
    assert counts == list(range(1, FRAMES + 1))
    assert len(pictures) == FRAMES == result["frames"]
    assert {name: result[name] for name in ("fps", "width", "height", "codec", "notes")} == {
        "fps": 25.0,
        "width": 960,
        "height": 540,
        "codec": "h264",
        "notes": [],
    }
    for frame, picture in enumerate(pictures):
        for place in layout(seen).views:
            assert number(picture, place) == frame
    scene = layout(seen).scene
    assert np.abs(scene.of(pictures[0]).astype(int) - scene.of(pictures[20])).max() > 60


def test_only_the_frames_asked_for_are_drawn(views, draw):
    seen, points = views(2)
    result, pictures = draw(seen, points, span=range(7, 19))
    assert result["frames"] == len(pictures) == 12
    for frame, picture in enumerate(pictures, 7):
        assert number(picture, layout(seen).views[1]) == frame


def test_cameras_that_started_at_another_time_show_their_own_frame(views, draw):
    (one, two), points = views(2)
    moved = [one, replace(two, offset=-3)]
    _result, pictures = draw(moved, points)
    first, second = layout(moved).views
    assert len(pictures) == FRAMES
    for frame, picture in enumerate(pictures):
        assert number(picture, first) == frame
        if frame >= 3:
            assert number(picture, second) == frame - 3
        else:  # it had not begun
            assert number(picture, second) is None


def test_a_video_that_ends_before_another_is_marked(views, film, draw):
    (one, two), points = views(2)
    short = film((160, 120), 25)
    seen = [one, replace(two, video=short, media=inspect(short))]
    _result, pictures = draw(seen, points)
    place = layout(seen).views[1]
    assert len(pictures) == FRAMES
    assert number(pictures[24], place) == 24
    for picture in pictures[25:]:
        assert place.of(picture).mean() < 60
        assert place.of(picture).max() > 100  # it says so
    _result, pictures = draw(seen, points, span=range(30, 35))  # none of its frames at all
    assert len(pictures) == 5


@pytest.mark.parametrize("cameras", [1, 2, 3, 6])
def test_cameras_of_any_number_and_size_are_shown(views, draw, cameras):
    seen, points = views(cameras, [(160, 120), (121, 161), (200, 52)], frames=6)
    result, pictures = draw(seen, points, replace(LOOK, width=961))
    assert (result["width"], result["height"]) == (960, 540)
    places = layout(seen, replace(LOOK, width=961)).views
    assert len(places) == cameras
    for view, place in zip(seen, places, strict=True):
        assert place.width / place.height == pytest.approx(view.media.width / view.media.height, rel=0.04)
        assert number(pictures[3], place, view.media.width) == 3


def test_the_rate_is_that_of_the_source(film, views, draw, tmp_path):
    seen, points = views(2, frames=10)
    video = film((160, 120), 10, Fraction(30000, 1001))
    draw([replace(view, video=video, media=inspect(video)) for view in seen], points)
    assert probe(tmp_path / "out.mp4")["r_frame_rate"] == "30000/1001"


def test_poses_come_from_wherever_they_are_in_pieces(views, draw, monkeypatch):
    monkeypatch.setattr(render3d, "_PIECE", 8)
    seen, points = views(2)
    _result, wanted = draw(seen, points)
    asked = []

    def pieces(array):
        def read(start, stop):
            assert 0 <= start < stop
            asked.append(stop - start)
            return array[start:stop]

        return read

    called = [replace(each, pixels=pieces(each.pixels), likelihood=pieces(each.likelihood)) for each in seen]
    _result, pictures = draw(called, pieces(points))
    assert all((one == other).all() for one, other in zip(wanted, pictures, strict=True))
    assert max(asked[1:]) <= 8 + LOOK.trailpoints  # the first is the sample for the limits


def test_the_memory_does_not_grow_with_the_video(views, film, draw):
    sizes = {}
    for frames in (40, 400):
        seen, _points = views(2, frames=FRAMES)
        video = film((160, 120), frames, 25)
        media = inspect(video)

        def numbers(*shape):
            return lambda start, stop: np.ones((stop - start, 1, 3, *shape)) * 50

        long = [replace(each, video=video, media=media, pixels=numbers(2), likelihood=numbers()) for each in seen]
        tracemalloc.start()
        render_scene(
            long,
            lambda start, stop: np.resize(motion(10, 3), (stop - start, 1, 3, 3)),
            replace(LOOK, width=640),
            video.with_name("long.mp4"),
            span=range(frames),
            progress=lambda done: None,
        )
        sizes[frames] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert sizes[400] < 1.2 * sizes[40] + 1e6


# -- what is in a picture ----------------------------------------------------------------------------------------------


def drawn(look=LOOK, pixels=None, picture=None, found=True, **fields):
    """A picture with one view of 160 x 120 pixels, and where that is."""
    points = motion(5, 3)[:, None]
    sheet = Sheet([("camera-1", 160, 120, 0)], look, box_around(points.reshape(-1, 3)), found)
    pixels = np.full((1, 1, 3, 2), np.nan) if pixels is None else pixels
    picture = np.full((120, 160, 3), 128, np.uint8) if picture is None else picture
    canvas = sheet.blank()
    sheet.draw(canvas, Moment(12, "0.40 s", 0.0, points, [pixels], **{"pictures": [picture], **fields}))
    return canvas, sheet.layout


def test_a_views_dots_and_skeleton_are_at_their_pixels():
    pixels = np.array([[[[20.0, 30], [80, 30], [np.nan, np.nan]]]])
    canvas, where = drawn(pixels=pixels)
    view = where.views[0].of(canvas).astype(int)
    scale = where.views[0].width / 160
    for (x, y), color in zip(pixels[0, 0, :2], shades("rainbow", 3), strict=False):
        assert np.abs(view[round((y + 0.5) * scale - 0.5), round((x + 0.5) * scale - 0.5)] - color).max() < 5
    assert view[round(30.5 * scale - 0.5), round(50.5 * scale - 0.5)].min() > 180  # a bone
    changed = np.argwhere((where.views[0].of(canvas) != 128).any(axis=-1)) / scale
    assert (changed.min(axis=0) > [25, 14]).all()
    assert (changed.max(axis=0) < [36, 86]).all()
    hidden = drawn(replace(LOOK, displayedbodyparts=["tail"], skeleton=[]), pixels)
    assert (hidden[1].views[0].of(hidden[0]) == 128).all()


def test_points_that_are_not_likely_are_not_drawn_in_a_view(views, draw):
    (one, two), points = views(2, frames=6)
    doubted = [replace(each, likelihood=np.full(each.likelihood.shape, 0.6)) for each in (one, two)]
    _result, pictures = draw(doubted, points)
    for place in layout(doubted).views:
        assert place.of(pictures[3])[place.height // 4 :].std() < 2
    _result, pictures = draw(doubted, points, replace(LOOK, pcutoff=0.59))
    for place in layout(doubted).views:
        assert place.of(pictures[3])[place.height // 4 :].std() > 5


def test_frame_time_and_error_are_written():
    plain, where = drawn()
    errors = drawn(error=np.full((1, 3), 0.8))[0]
    above = slice(where.scene.y - 24, where.scene.y - 2)
    left, right = slice(where.scene.x, where.scene.x + 150), slice(where.scene.x + 200, None)
    assert plain[above, left].max() > 200
    assert (plain[above, left] == errors[above, left]).all()
    assert (plain[above, right] != errors[above, right]).any()


def test_points_that_are_drawn_are_counted_and_those_outside_are_told():
    points = motion(5, 3)[:, None]
    error = np.array([[0.5, 9.0, 0.3]])
    moment = Moment(0, "0.00 s", 0.0, points, [], error)
    box = box_around(points.reshape(-1, 3))
    assert Sheet([("one", 160, 120, 0)], LOOK, box).counted(moment) == "3 points   error 0.5 px"
    cut = replace(box, limits=box.limits.copy(), given=(True, False, False))
    cut.limits[0] = np.sort(points[-1, 0, :, 0])[:2]
    inside = cut.near(points[-1])
    assert 0 < inside.sum() < 3
    told = f"{inside.sum()} points, {3 - inside.sum()} outside   error {np.median(error[inside]):.1f} px"
    assert Sheet([("one", 160, 120, 0)], LOOK, cut).counted(moment) == told


def test_limits_that_leave_nothing_are_told_with_where_the_points_are(views, draw):
    seen, points = views(2, frames=6)
    result, _pictures = draw(seen, points, replace(LOOK, xlim=(5000.0, 6000.0), zlim=(0.0, 1.0)))
    [note] = result["notes"]
    assert "No body part is within xlim=5000,6000, zlim=0,1 in any of these frames" in note
    low, high = (float(each) for each in note.split("x from ")[1].split(",")[0].split(" to "))
    assert low < np.nanmin(points[..., 0]) < np.nanmax(points[..., 0]) < high
    assert draw(seen, points, replace(LOOK, xlim=(-5000.0, 6000.0)))[0]["notes"] == []


def test_an_odd_width_is_made_even_and_told(views, draw):
    seen, points = views(2, frames=3)
    result, pictures = draw(seen, points, replace(LOOK, width=641))
    assert (result["width"], pictures[0].shape[1]) == (640, 640)
    assert result["notes"] == ["The video is 640 pixels wide, not 641: H.264 wants an even number."]


def test_the_legend_names_the_body_parts_in_their_colours_as_far_as_there_is_room():
    canvas, where = drawn()
    below = canvas[where.scene.y + where.scene.height :]
    for color in shades("rainbow", 3):
        assert (below == color).all(axis=-1).sum() > 20
    many = [f"a body part with a long name {number}" for number in range(60)]
    look = SceneLook(many, width=960)
    sheet = Sheet([("one", 160, 120, 0)], look, box_around(np.zeros((1, 3))))
    assert sheet.layout.scene.height > 300
    below = sheet.blank()[sheet.layout.scene.y + sheet.layout.scene.height :]
    assert (below == PALE).all(axis=-1).any()  # "and 54 more"


def test_a_scene_without_points_says_so(views, draw):
    seen, points = views(2, frames=6)
    result, pictures = draw(seen, np.full(points.shape, np.nan))
    assert len(pictures) == 6
    assert "drawn empty" in result["notes"][0]
    plain, where = drawn()
    noted = drawn(found=False)[0]
    assert (where.scene.of(plain) != where.scene.of(noted)).any()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 9, 12])
@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (480, 1280), (2000, 300), (90, 90)])
@pytest.mark.parametrize("width", [640, 1920])
def test_the_layout_has_room_for_all(number, size, width):
    found = arrange([size] * number, width, 40)
    taken = np.zeros((found.height, found.width), int)
    for place in (*found.views, found.scene):
        part = taken[place.y : place.y + place.height, place.x : place.x + place.width]
        assert part.shape == (place.height, place.width)
        assert min(place.x, place.y) > 0
        part += 1
    assert taken.max() == 1
    assert len({(place.width, place.height) for place in found.views}) == 1
    assert found.width % 2 == found.height % 2 == 0
    assert found.scene.width * found.scene.height > 0.2 * found.width * found.height


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [1, 20, FRAMES])
def test_what_progress_raises_ends_all(views, draw, where):
    class Cancelled(Exception):
        pass

    def stop(done):
        if done == where:
            raise Cancelled

    seen, points = views(3)
    with pytest.raises(Cancelled):
        draw(seen, points, progress=stop)


def test_an_error_while_poses_are_read_ends_all(views, draw, monkeypatch):
    monkeypatch.setattr(render3d, "_PIECE", 8)
    seen, points = views(2)
    calls = []

    def broken(start, stop):
        calls.append(start)
        if len(calls) > 3:
            raise OSError("The disk is gone.")
        return points[start:stop]

    with pytest.raises(OSError, match="disk is gone"):
        draw(seen, broken)
    assert len(calls) == 4


def test_a_video_that_cannot_be_decoded_to_its_end_ends_all(views, film, draw, tmp_path):
    (one, two), points = views(2)
    short = cut(ffmpeg(["-i", str(two.video), "-c", "copy"], tmp_path / "whole.mkv"), 0.6, tmp_path / "short.mkv")
    with pytest.raises(AnalysisFailed, match="camera-2") as failed:
        draw([one, replace(two, video=short, media=replace(two.media, container="matroska"))], points)
    assert failed.value.kind == "VideoCutShort"
    other = film((100, 120), FRAMES)
    with pytest.raises(AnalysisFailed) as failed:  # not what was inspected
        draw([one, replace(two, video=other)], points)
    assert failed.value.kind == "SizeChanges"


def test_a_frame_that_cannot_be_decoded_is_named_with_its_camera(views, film, draw, tmp_path):
    (one, two), points = views(2)
    damaged = spoil(film((160, 120), FRAMES), range(20, FRAMES), tmp_path / "damaged.mp4")
    with pytest.raises(
        AnalysisFailed, match=rf"Frame \d+ of the video .* of {two.name} could not be decoded"
    ) as failed:
        draw([one, replace(two, video=damaged)], points)
    assert failed.value.kind == "VideoCutShort"


def test_frames_that_are_left_out_end_all_although_there_are_enough(views, film, draw, tmp_path):
    (one, two), points = views(2)
    coding = ["-c:v", "libx265", "-x265-params", "log-level=none", "-g", "12"]
    whole = ffmpeg(["-i", str(film((160, 120), FRAMES)), *coding], tmp_path / "whole.mp4")
    path = reserve(whole, 12, tmp_path / "skipping.mp4")
    with pytest.raises(AnalysisFailed, match=rf"The video of {two.name}: \d+ frames? of 40 could not be decoded"):
        draw([one, replace(two, video=path, media=inspect(path))], points, span=range(20))


def test_where_the_first_frames_cannot_be_decoded_the_pictures_are_those_of_the_rows(views, film, draw, tmp_path):
    (one, two), points = views(2)
    path, leading, _source = cut_open(tmp_path / "cut.mp4", ["-i", str(one.video)])
    media = inspect(path)
    assert leading > 0
    seen = [replace(one, offset=12), replace(two, video=path, media=media)]
    count = media.frames - leading
    _result, pictures = draw(seen, points[: count + 1])
    one, two = layout(seen).views
    for row in (0, 1, leading, count - 1):
        assert number(pictures[row], two) == row + 12 == number(pictures[row], one)
    assert number(pictures[count], two) is None  # its video has ended


def test_what_does_not_fit_together_is_refused(views, draw):
    (one, two), points = views(2)
    for seen, poses, options, kind in (
        ([one, two], points[:, :, :2], {}, "SizesDiffer"),
        ([one, replace(two, pixels=two.pixels[..., :1])], points, {}, "SizesDiffer"),
        ([one, replace(two, likelihood=two.likelihood[:, :, :1])], points, {}, "SizesDiffer"),
        ([one, two], lambda start, stop: np.zeros((stop - start, 1, 4, 3)), {}, "SizesDiffer"),
        ([one, two], points, {"error": np.zeros((FRAMES, 2, 3))}, "SizesDiffer"),
        ([one, two], points, {"span": range(5, 5)}, "NoFrames"),
        ([one, two], points, {"span": range(30, FRAMES + 1)}, "NoFrames"),
        ([one, two], points, {"look": replace(LOOK, xlim=(4.0, 2.0))}, "WrongLimits"),
        ([], points, {}, "NoCameras"),
    ):
        with pytest.raises(AnalysisFailed) as failed:
            draw(seen, poses, **options)
        assert failed.value.kind == kind
