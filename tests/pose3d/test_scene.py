"""What is drawn in space is where it belongs, in its colour, and readable from any side."""

import cv2
import numpy as np
import pytest

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.drawing import shades
from dlc_jupyter.pose3d.axes import Axes
from dlc_jupyter.pose3d.perspective import UPS, Box, axes_of, box_around, fitted, round_step
from dlc_jupyter.pose3d.scene import Scene, SceneLook, draw_trails
from tests.pose3d.rigs import CENTRE, motion

PARTS = ["snout", "spine", "tail"]
SIZE = (900, 700)
BOX = Box(np.array([[-100.0, 100.0], [-50.0, 50.0], [500.0, 700.0]]))


def look(**options):
    return SceneLook(**{"bodyparts": PARTS, "unit": "mm", **options})


def drawn(points, trail=None, turned=0.0, **options):
    """The scene with these points, and the pixels at which its eye sees them."""
    scene = Scene(look(**options), BOX, SIZE)
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    scene.draw(picture, np.asarray(points, float), trail, turned)
    return picture, scene.eye(turned).project(np.asarray(points, float))[0]


def at(picture, pixel):
    x, y = np.round(pixel).astype(int)
    return picture[y, x].astype(int)


def empty(turned=0.0, **options):
    return drawn(np.full((1, 3, 3), np.nan), turned=turned, **options)[0]


def places():
    return np.array([[[-60.0, 0.0, 650.0], [10.0, 20.0, 600.0], [70.0, -30.0, 550.0]]])


# -- dots, bones and trails --------------------------------------------------------------------------------------------


def test_dots_are_where_the_points_are_seen_and_have_the_body_parts_colours():
    picture, pixels = drawn(places())
    for pixel, color in zip(pixels[0], shades("rainbow", 3), strict=True):
        seen = at(picture, pixel)
        direction = seen - np.array([32, 24, 19])  # the haze mixes in the panel's colour
        wanted = np.array(color) - np.array([32, 24, 19])
        assert direction @ wanted / np.linalg.norm(direction) / np.linalg.norm(wanted) > 0.99
    changed = np.argwhere((picture != empty()).any(axis=-1))
    far = np.abs(changed[:, None, ::-1] - pixels[0][None]).max(axis=-1).min(axis=1)
    shadow = changed[far > 16]
    assert len(changed) > 300
    assert (shadow[:, 0] > pixels[0, :, 1].min()).all()  # nothing else but shadows, which are below


def test_what_is_no_number_and_what_is_far_outside_is_not_drawn():
    assert (empty() == empty()).all()
    points = np.full((1, 3, 3), np.nan)
    points[0, 0] = [1e6, 0, 600]
    points[0, 1] = [0, np.inf, 600]
    points[0, 2] = [0, np.nan, 600]
    assert (drawn(points, skeleton=[PARTS[:2], PARTS[1:]])[0] == empty()).all()


def test_the_skeleton_runs_between_its_body_parts_and_only_there():
    picture, pixels = drawn(places(), skeleton=[["snout", "spine"]], skeleton_color="lime")
    middle = pixels[0, :2].mean(axis=0)
    assert at(picture, middle)[1] > 2 * at(picture, middle)[[0, 2]].max()
    assert (at(picture, pixels[0, 1:].mean(axis=0)) == at(empty(), pixels[0, 1:].mean(axis=0))).all()
    half = places()
    half[0, 1] = np.nan
    assert at(drawn(half, skeleton=[["snout", "spine"]], skeleton_color="lime")[0], middle)[1] < 100


def test_a_trail_leads_through_where_the_point_was_and_fades():
    points = places()
    before = np.repeat(points[None], 11, axis=0)
    before[:, 0, 2, 0] -= np.linspace(120, 0, 11)
    picture, _pixels = drawn(points, before)
    path = Scene(look(), BOX, SIZE).eye().project(before[:, 0, 2])[0]
    bare = drawn(points)[0]
    reds = [int(at(picture, pixel)[2]) - int(at(bare, pixel)[2]) for pixel in (path[1], path[5], path[8])]
    assert 0 < reds[0] < reds[1] < reds[2]
    before[3:6, 0, 2] = np.nan
    gap = drawn(points, before)[0]
    assert (at(gap, path[4]) == at(bare, path[4])).all()
    assert (at(gap, path[8]) != at(bare, path[8])).any()


def test_what_is_nearer_covers_what_is_farther():
    scene = Scene(look(), BOX, SIZE)
    towards = scene.eye().place - CENTRE
    towards /= np.linalg.norm(towards)
    points = np.array([[CENTRE + 40 * towards, CENTRE - 40 * towards, [np.nan] * 3]])  # in one line with the eye
    for order, front in (([0, 1, 2], 0), ([1, 0, 2], 1)):
        picture, pixels = drawn(points[:, order])
        seen, colors = at(picture, pixels[0, 0]), np.array(shades("rainbow", 3), float)
        assert np.linalg.norm(colors - seen, axis=1).argmin() == front
        assert pixels[0, 0] == pytest.approx(pixels[0, 1])


@pytest.mark.parametrize("width", [640, 960, 1920])
def test_a_dot_is_seen_on_its_bones_however_small_the_picture_is(width):
    skeleton = [PARTS[:2], PARTS[1:]]
    scale = width / 1920
    size = (round(900 * scale), round(700 * scale))
    pictures = []
    for bones in ((), skeleton):
        scene = Scene(look(skeleton=bones), BOX, size, scale)
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        scene.draw(picture, places())
        pictures.append(picture.astype(int))
    bare, whole = pictures
    dots = np.round(scene.eye().project(places())[0][0]).astype(int)
    for x, y in dots:
        part = (slice(y - 2, y + 3), slice(x - 2, x + 3))
        assert np.abs(whole[part] - bare[part]).max() < 12  # no bone is over it
        assert np.ptp(bare[y, x + 2]) > 40  # it is that large, and has its colour
    middle = np.round(dots[:2].mean(axis=0)).astype(int)
    assert whole[middle[1], middle[0]].min() > 90


def test_nothing_is_drawn_outside_of_limits_that_were_given():
    scene = Scene(look(), BOX, SIZE)
    points = places()
    points[0, 0, 0] = -110.0  # just outside
    assert scene.visible(points).all()
    given = box_around(points.reshape(-1, 3), ((-100, 100), None, None))
    assert Scene(look(), given, SIZE).visible(points).tolist() == [[False, True, True]]
    assert not box_around(np.full((1, 3), np.nan), (None, (0, 1), None)).near(np.array([0.0, 1.1, 0.0]))


def test_nearer_dots_are_larger():
    scene = Scene(look(), BOX, SIZE)
    away = scene.eye().place - CENTRE
    away /= np.linalg.norm(away)
    counts = []
    for distance in (-80, 80):
        points = np.full((1, 3, 3), np.nan)
        points[0, 2] = CENTRE + distance * away
        picture, pixels = drawn(points)
        x, y = pixels[0, 2].astype(int)
        part = (slice(y - 25, y + 25), slice(x - 25, x + 25))
        counts.append((picture[part] != empty()[part]).any(axis=-1).sum())
    assert counts[1] > 1.2 * counts[0]


def test_only_the_body_parts_that_were_asked_for_are_drawn():
    chosen = drawn(places(), displayedbodyparts=["spine"], skeleton=[PARTS[:2]])[0]
    alone = places()
    alone[0, [0, 2]] = np.nan
    assert (chosen == drawn(alone)[0]).all()


def test_individuals_have_their_colours():
    points = np.concatenate([places(), places() - np.array([0.0, 20.0, 0.0])])
    options = {"individuals": ["one", "two"], "color_by": "individual", "colormap": "cool"}
    picture, pixels = drawn(points, **options)
    for row, color in zip(pixels, shades("cool", 2), strict=True):
        assert np.abs(at(picture, row[2]) - color).max() < 110
        assert at(picture, row[2]).argmax() == np.argmax(color)


def test_dark_colours_are_lifted_from_the_dark_background_and_others_are_the_colour_maps():
    assert look().colors == [shades("rainbow", 3)]
    (dark, green, yellow), wanted = look(colormap="viridis").colors[0], shades("viridis", 3)
    assert [green, yellow] == wanted[1:]
    assert (np.dot(dark, [0.114, 0.587, 0.299]) + max(dark)) / 2 == pytest.approx(125, abs=1)
    assert np.argmax(dark) == np.argmax(wanted[0])
    for color in look(colormap="jet").colors[0]:  # what DeepLabCut's new 3D projects have
        assert np.dot(color, [0.114, 0.587, 0.299]) > 60
        assert np.ptp(color) > 80


# -- the box -----------------------------------------------------------------------------------------------------------


def test_the_box_holds_nearly_all_points_whatever_a_few_of_them_do():
    points = motion(2000, 6).reshape(-1, 3)
    box = box_around(points)
    inside = ((points >= box.limits[:, 0]) & (points <= box.limits[:, 1])).all(axis=1)
    assert inside.mean() > 0.99
    spoilt = points.copy()
    random = np.random.default_rng(0)
    bad = random.random(len(points)) < 0.04
    spoilt[bad] = random.uniform(-1e5, 1e5, (bad.sum(), 3))
    spoilt[random.random(len(points)) < 0.2] = np.nan
    assert np.abs(box_around(spoilt).limits - box.limits).max() < 0.06 * np.ptp(box.limits, axis=1).max()


def test_limits_that_are_given_are_kept():
    box = box_around(motion(100, 3).reshape(-1, 3), [None, (-7.0, 9.0), None])
    assert box.limits[1].tolist() == [-7, 9]
    assert box_around(np.full((9, 3), np.nan), [(0.0, 4.0), None, None]).limits.tolist() == [[0, 4], [-2, 2], [-2, 2]]


@pytest.mark.parametrize("points", [np.full((5, 3), 600.0), np.zeros((1, 3)), np.eye(3)[:1].repeat(9, 0)])
def test_points_that_do_not_move_are_in_a_box(points):
    box = box_around(points)
    assert (box.limits[:, 0] < points[0]).all()
    assert (box.limits[:, 1] > points[0]).all()
    assert all(len(box.ticks(axis)) > 1 for axis in range(3))


def test_ticks_are_round_and_within_the_limits():
    assert [round_step(least) for least in (0.7, 1.0, 1.1, 2.1, 26, 0.03, 6e-7)] == [1, 1, 2, 2.5, 50, 0.05, 1e-6]
    assert BOX.ticks(0) == [-100, -50, 0, 50, 100]
    assert BOX.ticks(2) == [500, 550, 600, 650, 700]
    flat = Box(np.array([[0.0, 1000.0], [0.0, 1000.0], [3.0, 4.0]]))
    assert 2 <= len(flat.ticks(2)) <= 8


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("view", [(25, -35), (0, 0), (90, 0), (-113, -270), (-20, 200)])
def test_from_every_side_the_box_and_its_numbers_are_in_the_picture(up, view):
    scene = Scene(look(up=up, view=view), BOX, SIZE)
    eye = scene.eye()
    axes = Axes(BOX, eye, ("xyz".index(up[-1]), int(up[0] != "-")), "mm", 22)
    corners, labels = eye.project(BOX.corners)[0], axes.labels()
    extents = np.array([label.extent(22) for label in labels])
    assert corners.min() > 0
    assert (corners.max(axis=0) < SIZE).all()
    assert extents.min() > -3
    assert (extents[:, 1].max(axis=0) < np.array(SIZE) + 3).all()
    assert sum("(mm)" in label.text for label in labels) >= 2
    assert np.ptp(corners, axis=0).max() > 0.55 * min(SIZE)
    for number, one in enumerate(extents):
        for other in extents[:number]:
            assert not ((one[0] < other[1]).all() and (one[1] > other[0]).all())


@pytest.mark.parametrize("up", UPS)
def test_what_is_up_is_up_and_nothing_is_mirrored(up):
    for elevation, azimuth in ((20, 0), (20, 130), (-30, 77)):
        axes = axes_of(up, elevation, azimuth)
        assert np.linalg.det(axes) == pytest.approx(1)
        assert axes @ axes.T == pytest.approx(np.eye(3))
        assert axes[1]["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1) > 0.5
        assert axes[0]["xyz".index(up[-1])] == pytest.approx(0)


def test_the_scene_is_first_seen_from_the_side_of_the_first_camera():
    axes = axes_of("-y", 0, 0)
    assert axes == pytest.approx(np.diag([1.0, -1.0, -1.0]))  # right, up and towards the eye, as the camera has it
    assert axes_of("-y", 0, 90)[2] == pytest.approx([1, 0, 0])  # then from its right


def test_a_view_is_that_of_matplotlib_and_so_of_deeplabcut():
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D  # noqa: F401  registers the projection

    for view in ((-113, -270), (30, -60), (100, 20)):
        shown = Figure().add_subplot(projection="3d")
        shown.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1), box_aspect=(1, 1, 1))
        shown.view_init(*view)
        shown.set_proj_type("ortho")
        points = np.random.default_rng(0).random((9, 3))
        from mpl_toolkits.mplot3d import proj3d

        x, y, _z = proj3d.proj_transform(*points.T, shown.get_proj())
        theirs = np.stack([x, y], -1) - np.mean([x, y], axis=1)
        ours = (points - points.mean(axis=0)) @ axes_of("z", *view)[:2].T
        scale = np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert ours == pytest.approx(theirs * scale, abs=1e-6)


def test_the_eye_sees_in_perspective():
    eye = fitted(BOX, [axes_of("-y", 0, 0)], (0, 0, 800, 600))
    near, far = (eye.project(np.array([[-50.0, 0, z], [50.0, 0, z]]))[0] for z in (520.0, 680.0))
    assert near[1, 0] - near[0, 0] > 1.05 * (far[1, 0] - far[0, 0])
    behind = eye.centre + eye.axes[2] * eye.distance * 1.1
    assert np.isnan(eye.project(behind)[0]).all()


def test_a_turned_view_shows_the_points_from_another_side():
    picture, pixels = drawn(places(), turned=40.0, turn=10.0)
    straight = drawn(places(), turn=10.0)[1]
    assert np.abs(pixels - straight).max() > 30
    assert (picture != empty(40.0, turn=10.0)).any()
    scene = Scene(look(turn=10.0), BOX, SIZE)
    for turned in range(0, 360, 15):
        corners = scene.eye(turned).project(BOX.corners)[0]
        assert corners.min() > 0
        assert (corners.max(axis=0) < SIZE).all()


def test_trails_far_outside_of_the_picture_do_no_harm():
    picture = np.zeros((50, 50, 3), np.uint8)
    path = np.array([[1e12, 5], [10, 10], [40, 10], [np.nan, 3], [-1e9, 40]])
    draw_trails(picture, path[:, None, None], [[[(0, 0, 255)]]], 1)
    assert picture[10, 11:40, 2].min() > 200
    picture[9:12, 9:42] = 0
    assert not picture.any()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"xlim": (3.0, -3.0)}, "WrongLimits", "xlim goes from 3 to -3"),
        ({"zlim": (1.0, 1.0)}, "WrongLimits", "zlim"),
        ({"ylim": (0.0, float("nan"))}, "WrongLimits", "ylim"),
        ({"displayedbodyparts": ["nose"]}, "UnknownBodyPart", "nose"),
        ({"displayedbodyparts": []}, "UnknownBodyPart", "No body part"),
        ({"skeleton": [["snout", "wing"]]}, "UnknownBodyPart", "wing"),
        ({"colormap": "sunset"}, "UnknownColor", "colour map called sunset"),
        ({"skeleton_color": "mouse"}, "UnknownColor", "colour called mouse"),
        ({"color_by": "mood"}, "UnknownWord", "mood"),
        ({"up": "w"}, "UnknownWord", "up cannot be w"),
        ({"width": 4000}, "WrongWidth", "4000"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, kind, says):
    with pytest.raises(AnalysisFailed, match=says) as failed:
        look(**options).check()
    assert failed.value.kind == kind
    assert failed.value.hint


def test_the_picture_is_smooth():
    """Dots move by parts of a pixel, and their edges have shades in between."""
    one, two = places(), places()
    two[0, 2, 0] += 0.1  # some 0.3 pixels
    assert (drawn(one)[0] != drawn(two)[0]).any()
    greys = cv2.cvtColor(drawn(one)[0], cv2.COLOR_BGR2GRAY)
    assert len(np.unique(greys)) > 40
