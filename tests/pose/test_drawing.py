"""What is drawn is, pixel for pixel, what DeepLabCut's own ``CreateVideo`` draws in the same pictures."""

import itertools
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose import drawing
from dlc_jupyter.pose.drawing import Look, Painter, outlines, smooth_lines

pytestmark = pytest.mark.deeplabcut

PARTS = ["snout", "leftear", "rightear", "tail"]
SKELETON = [["snout", "leftear"], ["snout", "rightear"], ["rightear", "tail"]]
WIDTH, HEIGHT, FRAMES = 83, 61, 12
WINDOW = (7, 70, 5, 52)  # x1, x2, y1, y2


class Clip:
    """In the place of DeepLabCut's reader and writer of video: pictures in memory, red, green, blue."""

    fps = 30.0

    def __init__(self, pictures):
        self.nframes, self.height, self.width, _ = pictures.shape
        self._pictures = iter(pictures)
        self.drawn = []

    def load_frame(self):
        return np.flip(next(self._pictures).copy(), 2)

    def save_frame(self, frame):
        self.drawn.append(np.flip(frame, 2).copy())

    def close(self):
        pass


def pictures(seed=0, frames=FRAMES):
    return np.random.default_rng(seed).integers(0, 256, (frames, HEIGHT, WIDTH, 3), np.uint8)


def poses(individuals=("",), unique=(), frames=FRAMES, seed=0, dtype=np.float64):
    """Random poses, also far outside of the picture, exactly on pixels, and nowhere."""
    rng = np.random.default_rng(seed)
    if individuals == ("",):
        names = [("DLC", part) for part in PARTS]
        levels = ["scorer", "bodyparts", "coords"]
    else:
        names = [("DLC", animal, part) for animal in individuals for part in PARTS]
        names += [("DLC", "single", part) for part in unique]
        levels = ["scorer", "individuals", "bodyparts", "coords"]
    columns = [(*name, coord) for name in names for coord in ("x", "y", "likelihood")]
    values = np.empty((frames, len(names), 3))
    values[..., 0] = rng.uniform(-25, WIDTH + 25, values.shape[:2])
    values[..., 1] = rng.uniform(-25, HEIGHT + 25, values.shape[:2])
    values[..., 2] = rng.uniform(0, 1, values.shape[:2])
    kind = rng.integers(0, 12, values.shape[:2])
    values[kind == 0, :2] = np.round(values[kind == 0, :2])
    values[kind == 1, :2] = np.round(values[kind == 1, :2]) + 0.5
    values[kind == 2, 0] = np.nan
    values[kind == 3, :2] = np.nan
    values[kind == 4, 2] = np.nan
    values[kind == 5, 1] = rng.choice([1e30, -1e30, np.inf, -np.inf, 1e9], (kind == 5).sum())
    table = pd.DataFrame(values.reshape(frames, -1), columns=pd.MultiIndex.from_tuples(columns, names=levels))
    return table.astype(dtype)


def boxes(frames=FRAMES, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(frames):
        corners = rng.uniform(-30, WIDTH, (number % 4, 2))
        sizes = rng.uniform(-20, WIDTH, (number % 4, 2))
        found = {"bboxes": np.hstack([corners, sizes]).astype(dtype), "bbox_scores": rng.uniform(0, 1, number % 4)}
        made.append(found)
    return made


def by_deeplabcut(images, table, look, window=None, found=None):
    from deeplabcut.utils.make_labeled_video import CreateVideo, _get_default_conf_to_alpha

    clip = Clip(images)
    x1, x2, y1, y2 = window or (0, WIDTH, 0, HEIGHT)
    CreateVideo(
        clip,
        table.copy(),
        look.pcutoff,
        look.dotsize,
        look.colormap,
        list(look.bodyparts),
        look.trailpoints,
        (x1, x2, y1, y2) != (0, WIDTH, 0, HEIGHT),
        x1,
        x2,
        y1,
        y2,
        [list(pair) for pair in look.skeleton],
        look.skeleton_color,
        bool(look.skeleton),
        look.displaycropped,
        look.color_by,
        confidence_to_alpha=_get_default_conf_to_alpha(look.confidence_to_alpha, look.pcutoff),
        bboxes_list=found,
        bboxes_pcutoff=look.bboxes_pcutoff,
    )
    return clip.drawn


def by_us(images, table, look, window=None, found=()):
    painter = Painter(table, look, (WIDTH, HEIGHT), window or (0, WIDTH, 0, HEIGHT), found)
    x1, x2, y1, y2 = painter.crop or (0, WIDTH, 0, HEIGHT)
    drawn = images[:, y1:y2, x1:x2].copy()
    for index, picture in enumerate(drawn):
        assert picture.shape == (painter.height, painter.width, 3)
        painter.draw(picture, index)
    return drawn


def assert_same(images, table, look, window=None, found=None):
    theirs = by_deeplabcut(images, table, look, window, found)
    ours = by_us(images, table, look, window, found or ())
    assert len(theirs) == len(ours)
    for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        assert np.array_equal(one, other), f"frame {index}: {np.argwhere((one != other).any(axis=2))[:5]}"
    x1, x2, y1, y2 = window if window and look.displaycropped else (0, WIDTH, 0, HEIGHT)
    assert not np.array_equal(ours, images[:, y1:y2, x1:x2])  # something was drawn


CHOICES = {
    "trailpoints": [0, 1, 2, 5, 40],
    "color_by": ["bodypart", "individual"],
    "confidence_to_alpha": [False, True],
    "skeleton": [(), SKELETON],
    "displaycropped": [False, True],
}
TABLES = {
    "one animal": {},
    "three animals": {"individuals": ("a", "b", "c")},
    "names out of order, and a part that no animal has": {"individuals": ("zoe", "ada"), "unique": ("corner",)},
    "few numbers": {"dtype": np.float32},
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("values", list(itertools.product(*CHOICES.values())), ids=str)
def test_all_choices_together_draw_the_same_pixels(table, values):
    chosen = dict(zip(CHOICES, values, strict=True))
    seed = zlib.crc32(repr(values).encode()) % 1000
    options = TABLES[table]
    look = Look([*PARTS, "corner"], pcutoff=0.3, dotsize=6, colormap="jet", skeleton_color="#ff8800", **chosen)
    assert_same(pictures(seed), poses(**options, seed=seed), look, WINDOW, boxes(seed=seed))


@pytest.mark.parametrize("dotsize", [1, 2, 3, 7, 8, 12, 8.5, 30, 200])
@pytest.mark.parametrize("trailpoints", [0, 4])
def test_dots_of_every_size(dotsize, trailpoints):
    look = Look(PARTS, pcutoff=0.1, dotsize=dotsize, trailpoints=trailpoints)
    for seed in range(6):
        assert_same(pictures(seed), poses(seed=seed), look)


@pytest.mark.parametrize("radius", [1, 2, 5, 8, 13])
def test_pixels_on_the_rim_are_on_the_same_side(radius):
    """Middles at which a pixel is exactly as far away as the radius: rounding decides."""
    from skimage.draw import disk

    rng = np.random.default_rng(radius)
    angles = rng.uniform(0, 2 * np.pi, 3000)
    x = 30 + np.round(rng.uniform(-15, 15, 3000)) + radius * np.cos(angles)
    y = 25 + np.round(rng.uniform(-15, 15, 3000)) + radius * np.sin(angles)
    x[:500], y[:500] = np.round(x[:500]), np.round(y[:500])
    lines, there = outlines(x, y, radius, WIDTH, HEIGHT)
    import cv2

    for number in range(len(x)):
        wanted, drawn = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
        wanted[disk((y[number], x[number]), radius, shape=wanted.shape)] = 1
        if there[number]:
            cv2.polylines(drawn, [lines[number]], False, 1)
        assert np.array_equal(wanted, drawn), (x[number], y[number])


def test_lines_of_every_slope_have_the_same_pixels():
    from skimage.draw import line_aa

    ways = [*itertools.product(range(-25, 26), repeat=2), (0, 1999), (-1234, 0), (1500, -1499), (3, 2000), (1777, -41)]
    for down, along in ways:
        rows, columns, _share = line_aa(2000, 2000, 2000 + down, 2000 + along)
        wanted = np.unique(rows * 4001 + columns)
        start = np.array([2000 * 4001 + 2000])
        assert np.array_equal(np.unique(smooth_lines(start, np.array([down]), np.array([along]), 4001)), wanted)


@pytest.mark.parametrize("pcutoff", [0, 0.0, 0.6, 1.0])
def test_paleness_follows_the_likelihood(pcutoff):
    table = poses(seed=3)
    table.iloc[3, 2::3] = 1.0
    look = Look(PARTS, pcutoff=pcutoff, dotsize=9, confidence_to_alpha=True, trailpoints=3)
    if pcutoff == 1.0:  # nothing is above it
        assert np.array_equal(by_us(pictures(), table, look), pictures())
        assert np.array_equal(by_deeplabcut(pictures(), table, look), pictures())
    else:
        assert_same(pictures(), table, look)


@pytest.mark.parametrize("colormap", ["rainbow", "viridis", "Set1", "tab20"])
@pytest.mark.parametrize("color_by", ["bodypart", "individual"])
def test_colours_are_deeplabcuts(colormap, color_by):
    look = Look(PARTS, colormap=colormap, color_by=color_by, dotsize=4, skeleton=SKELETON, skeleton_color="navy")
    assert_same(pictures(), poses(("b", "a")), look)


def test_some_body_parts_and_their_lines_only():
    look = Look(["tail", "snout"], dotsize=4, pcutoff=0.1, skeleton=[["snout", "tail"], ["snout", "wing"]])
    assert_same(pictures(), poses(), look)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", [None, WINDOW])
def test_boxes_are_drawn_by_their_score(dtype, window):
    for seed in range(10):
        look = Look(PARTS, pcutoff=0.9, bboxes_pcutoff=0.3)
        assert_same(pictures(), poses(), look, window, boxes(seed=seed, dtype=dtype))
    without_scores = [{"bboxes": each["bboxes"]} for each in boxes()]
    assert_same(pictures(), poses(), look, window, without_scores)


def test_boxes_that_are_nowhere_and_frames_without_any_are_left_alone():
    found = [{"bboxes": np.full((1, 4), np.nan)}, {"bboxes": None}]
    look = Look([], pcutoff=0.9)
    assert np.array_equal(by_us(pictures(), poses(), look, found=found), pictures())


def test_long_videos_and_long_trails_are_drawn_piece_by_piece(monkeypatch):
    table, images = poses(frames=200), pictures(frames=200)
    look = Look(PARTS, dotsize=3, trailpoints=90)
    assert_same(images, table, look)
    monkeypatch.setattr(drawing, "_MOST", 0)
    assert_same(images, table, look)
    assert_same(images[:20], table[:20], Look(PARTS, dotsize=3, trailpoints=9, confidence_to_alpha=True))


def test_frames_may_be_drawn_in_any_order():
    table, images = poses(frames=150), pictures(frames=150)
    look = Look(PARTS, dotsize=3, trailpoints=9)
    painter = Painter(table, look, (WIDTH, HEIGHT), (0, WIDTH, 0, HEIGHT))
    wanted = by_us(images, table, look)
    for index in (149, 3, 70, 69, 0):
        drawn = images[index].copy()
        painter.draw(drawn, index)
        assert np.array_equal(drawn, wanted[index])


def test_the_table_is_not_copied_and_stays_as_it_is():
    table = poses(frames=2000)
    before = table.copy()
    look = Look(PARTS, pcutoff=0.1, skeleton=SKELETON, trailpoints=3)
    tracemalloc.start()
    painter = Painter(table, look, (WIDTH, HEIGHT), WINDOW)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for index, picture in enumerate(pictures()):
        painter.draw(picture, index)
    assert held < table.values.nbytes / 2
    pd.testing.assert_frame_equal(table, before, check_exact=True)
