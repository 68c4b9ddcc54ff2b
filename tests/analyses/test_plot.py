"""`plot`: every picture is there, shows the poses with true times and units, and stays small whatever the video."""

import re
import time
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose.movement import Keypoint, envelope, lonely, read_keypoints, without_rests
from dlc_jupyter.pose.plots import PICTURES, SVG_BYTES, Movement, draw_all, palette
from tests.analyses.conftest import FRAMES
from tests.pose.networks import walking
from tests.pose.videos import ffmpeg

FIELDS = {f"{name}_file" for name in ("trajectory", "position", "likelihood", "histogram", "speed")}
SVG = "{http://www.w3.org/2000/svg}"


def keypoint(x, y, likelihood=None, bodypart="snout", individual=""):
    x, y = (np.asarray(each, float) for each in (x, y))
    sure = np.ones(len(x)) if likelihood is None else np.asarray(likelihood, float)
    return Keypoint(bodypart, individual, x, y, sure)


def movement(*keypoints, times=None, **options):
    count = len(keypoints[0].x)
    return Movement(keypoints, np.arange(count) / 30 if times is None else times, 640, 480, 0.5, **options)


def said(figure):
    """Every text in a figure."""
    figure.canvas.draw()
    return [each.get_text() for each in figure.findobj(lambda found: hasattr(found, "get_text")) if each.get_text()]


def curves(axes):
    """The lines of an axes that go through more than two points."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


# -- the analysis ----------------------------------------------------------------------------------------------------


@pytest.fixture
def poses(run, clip):
    """What `video` has made of the clip."""
    return run("video", clip)


@pytest.mark.deeplabcut
def test_every_picture_is_an_svg_with_its_own_name(run, clip, poses, monkeypatch):
    monkeypatch.setattr("dlc_jupyter.pose.inference.make_loop", None)  # no network looks at anything
    ran = run("plot", clip, poses=poses)
    files = {name: path for name, path in ran.result.items() if name.endswith("_file")}
    assert set(files) == FIELDS
    for name, path in files.items():
        assert path.name == name.replace("_file", ".svg")
        assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
        assert 10_000 < path.stat().st_size < SVG_BYTES
    assert ran.result["poses_from"] == "an-earlier-one"
    assert ran.result["frames"] == FRAMES
    assert ran.result["pcutoff"] == 0.4  # the project's own
    assert {each["total"] for each in ran.progress} == {FRAMES}  # drawing only
    assert ran.progress[0]["done"] < FRAMES / 2
    assert ran.progress[-1]["done"] == FRAMES


@pytest.mark.deeplabcut
def test_pictures_are_png_where_that_is_wanted_and_new_poses_are_in_the_result(run, clip):
    ran = run("plot", clip, format="png", pcutoff=0.6)
    assert ran.progress[-1] == {"done": FRAMES + 3, "total": FRAMES + 3, "unit": "frames"}
    result = ran.result
    for name in FIELDS:
        picture = cv2.imread(str(result[name]))
        assert min(picture.shape[:2]) >= 400
        assert (picture[5, -5] == 255).all()  # a light background
    assert result["poses_from"] is None
    assert result["pcutoff"] == 0.6
    assert result["h5_file"].is_file()
    assert result["full_file"].is_file()


@pytest.mark.deeplabcut
def test_the_same_poses_make_the_same_bytes(run, clip, poses):
    first, second = (run("plot", clip, poses=poses).result for _ in range(2))
    for name in FIELDS:
        assert first[name].read_bytes() == second[name].read_bytes()


@pytest.fixture
def shown(monkeypatch):
    """What is handed to be drawn."""
    seen = []
    original = draw_all

    def watch(drawn, *arguments, **keywords):
        seen.append(drawn)
        return original(drawn, *arguments, **keywords)

    monkeypatch.setattr("dlc_jupyter.pose.plots.draw_all", watch)
    return seen


@pytest.mark.deeplabcut
def test_only_the_body_parts_that_are_wanted_are_drawn(run, fails, clip, poses, shown):
    run("plot", clip, poses=poses, displayedbodyparts=["snout", "tailbase"])
    assert [each.bodypart for each in shown[0].keypoints] == ["snout", "tailbase"]
    assert shown[0].title == "my mouse_labeled_full.mp4"
    run("plot", clip, poses=poses)
    assert shown[0].colours == {name: shown[1].colours[name] for name in ("snout", "tailbase")}
    failed = fails("plot", clip, poses=poses, displayedbodyparts=["wing"])
    assert failed.kind == "UnknownBodyPart"


@pytest.mark.deeplabcut
def test_smoothed_poses_are_drawn_where_that_is_wanted(run, clip, poses, shown):
    run("plot", clip, poses=poses, filtered=True)
    smoothed = run("filter", clip, poses=poses).result
    expected = pd.read_hdf(smoothed["h5_file"])[smoothed["scorer"]]["snout"]["x"].to_numpy()
    np.testing.assert_array_equal(shown[0].keypoints[0].x, expected)
    assert shown[0].smoothed


@pytest.mark.deeplabcut
def test_the_picture_is_as_large_as_what_was_analysed(run, clip, shown):
    run("plot", clip, cropping=[20, 300, 10, 230])
    assert (shown[0].width, shown[0].height) == (280, 220)


@pytest.mark.deeplabcut
def test_times_are_those_at_which_the_video_shows_its_frames(run, clip, poses, shown, tmp_path):
    late = r"setpts='N/30/TB+if(gt(N\,14)\,2/TB\,0)'"
    options = ["-vf", late, "-fps_mode", "vfr", "-c:v", "libx264", "-g", "6", "-movflags", "+faststart"]
    run("plot", ffmpeg(["-i", str(clip), *options], tmp_path / "late.mp4"), poses=poses)
    times = shown[0].times
    assert times[14] == pytest.approx(14 / 30, abs=1e-3)
    assert times[15] == pytest.approx(2 + 15 / 30, abs=1e-3)


@pytest.mark.deeplabcut
def test_what_is_never_seen_is_said(run, clip, poses):
    assert [note for note in run("plot", clip, poses=poses, pcutoff=1).notes if "no position is drawn" in note]
    table = pd.read_hdf(poses.result["h5_file"])
    table.loc[:, (slice(None), "tailtip", "likelihood")] = 0.1
    table.to_hdf(poses.result["h5_file"], key="df_with_missing", format="table", mode="w")
    (note,) = [note for note in run("plot", clip, poses=poses).notes if "Never" in note]
    assert "tailtip" in note
    assert "snout" not in note


@pytest.mark.deeplabcut
@pytest.mark.parametrize("by", ["bodypart", "individual"])
def test_several_animals_are_drawn(run, clip, pair, seen, shown, by):
    seen(walking)
    earlier = run("video", clip, model=pair)
    result = run("plot", clip, model=pair, poses=earlier, color_by=by).result
    assert result["individuals"] == ["left", "right"]
    assert [each.name for each in shown[0].keypoints][:2] == ["left snout", "left body"]
    assert len(shown[0].keypoints) == 6
    assert list(shown[0].colours) == (["snout", "body", "tail"] if by == "bodypart" else ["left", "right"])


# -- the numbers -----------------------------------------------------------------------------------------------------


def test_speed_is_pixels_per_second_by_the_true_times():
    moving = keypoint([0, 3, 3, 9, 9], [0, 4, 4, 12, 12])
    times = np.array([0, 0.1, 0.2, 2.2, 2.2])
    np.testing.assert_allclose(moving.speed(times), [50, 0, 5, np.nan])


def test_unsure_positions_are_left_out_and_break_the_line():
    moving = keypoint([0, 1, 2, 3], [0, 0, 0, 0], [0.5, 0.49, np.nan, 1]).above(0.5)
    np.testing.assert_array_equal(moving.x, [0, np.nan, np.nan, 3])
    assert np.isnan(moving.speed(np.arange(4.0))).all()


def test_fewer_points_keep_every_peak_and_every_gap():
    values = np.sin(np.arange(100_003) / 5000)
    values[[777, 50_000]] = 9, -9
    values[60_000:70_000] = np.nan
    values[20_000] = np.nan
    times = np.arange(len(values)) / 30
    fewer_times, fewer = envelope(times, values, 1000)
    assert len(fewer) <= 1300
    assert np.nanmax(fewer) == 9
    assert np.nanmin(fewer) == -9
    assert fewer_times[np.nanargmax(fewer)] == times[777]
    assert (np.diff(fewer_times) >= 0).all()
    gap = (fewer_times > 2001) & (fewer_times < 2332)
    assert gap.any()
    assert np.isnan(fewer[gap]).all()
    assert np.isnan(fewer).sum() < 250
    same_times, same = envelope(times[:1000], values[:1000], 1000)
    assert same is not fewer
    assert len(same) == len(same_times) == 1000


def test_a_path_loses_its_rests_only():
    x, y = without_rests(
        np.array([1, 1.1, 1.2, 7, np.nan, np.nan, 1.1, 1.1]), np.array([1, 1, 1, 7, np.nan, 0, 1, 1]), 1
    )
    np.testing.assert_array_equal(x, [1, 7, np.nan, 1.1])
    np.testing.assert_array_equal(y, [1, 7, np.nan, 1])


def test_points_without_neighbours_are_found():
    found = lonely(np.array([1, np.nan, 1, 1, np.nan, np.nan, 1]))
    assert found.tolist() == [True, False, False, False, False, False, True]


def test_tracks_that_end_early_have_rows_of_nan(tmp_path):
    levels = ["scorer", "individuals", "bodyparts", "coords"]
    columns = pd.MultiIndex.from_product([["DLC"], ["left"], ["snout"], ["x", "y", "likelihood"]], names=levels)
    path = tmp_path / "tracks.h5"
    pd.DataFrame([[1.0, 2, 0.9]] * 3, [1, 2, 3], columns).to_hdf(path, key="df_with_missing")
    (found,) = read_keypoints(path, 6)
    np.testing.assert_array_equal(found.x, [np.nan, 1, 1, 1, np.nan, np.nan])
    assert found.name == "left snout"
    assert read_keypoints(path, 6, ["tail"]) == []


# -- the pictures ----------------------------------------------------------------------------------------------------


def test_axes_have_units_and_the_y_axis_points_down():
    drawn = movement(keypoint([10, 20, 30], [100, 200, 300]))
    where = PICTURES["trajectory"](drawn).axes[0]
    assert (where.get_xlim(), where.get_ylim()) == ((0, 640), (480, 0))
    assert (where.get_xlabel(), where.get_ylabel()) == ("x (px)", "y (px)")
    over_x, over_y = PICTURES["position"](drawn).axes
    assert not over_x.yaxis_inverted()
    assert over_y.yaxis_inverted()
    assert (over_x.get_ylabel(), over_y.get_ylabel()) == ("x (px)", "y (px)")
    assert over_y.get_xlabel() == "Time (s)"
    assert "Speed (px/s)" in said(PICTURES["speed"](drawn))
    assert {"Likelihood", "Frames (%)"} <= set(said(PICTURES["histogram"](drawn)))


def test_speeds_are_drawn_between_the_frames_and_the_greatest_is_named():
    drawn = movement(keypoint([0, 30, 90], [0, 0, 0]), times=np.array([0, 1.0, 3]))
    figure = PICTURES["speed"](drawn)
    (line,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(line.get_xdata(), [0.5, 2])
    top = float(max((each.get_text() for each in figure.axes[0].get_yticklabels(minor=True)), key=len))
    assert 30 < top < 60
    np.testing.assert_allclose(line.get_ydata() * top, [30, 30])  # a strip is 1 high
    assert "30 px/s" in said(figure)


def test_a_jump_does_not_flatten_the_rest_and_is_told_of():
    x = np.cumsum(np.full(2000, 2.0))
    x[1000] += 5000
    figure = PICTURES["speed"](movement(keypoint(x, np.zeros(2000))))
    (line,) = curves(figure.axes[0])
    assert np.median(line.get_ydata()) > 0.5  # of the strip's height: the scale is that of the usual speed
    assert line.get_ydata().max() == 1
    words = said(figure)
    assert [each for each in words if "cut off" in each]
    assert [each for each in words if re.fullmatch(r"150\d{3} px/s", each)]


def test_nothing_below_the_pcutoff_is_drawn():
    drawn = movement(keypoint([10, 20, 30, 40, 50], [1, 2, 3, 4, 5], [1, 1, 0.2, 1, 1]))
    for axes in PICTURES["position"](drawn).axes:
        (line,) = curves(axes)
        assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]


def test_a_histogram_counts_all_frames():
    figure = PICTURES["histogram"](movement(keypoint(np.zeros(10), np.zeros(10), [0.0] * 4 + [1.0] * 5 + [np.nan])))
    heights = figure.axes[0].patches[0].get_data().values
    assert (heights[0], heights[-1], sum(heights)) == (40, 50, 90)


def test_the_unit_of_time_suits_the_length():
    for seconds, unit in ((100, "s"), (1000, "min"), (20_000, "h")):
        drawn = movement(keypoint([0, 1, 2], [0, 1, 2]), times=np.array([0, 1, seconds]))
        axes = PICTURES["position"](drawn).axes[-1]
        assert axes.get_xlabel() == f"Time ({unit})"
        divisor = {"s": 1, "min": 60, "h": 3600}[unit]
        assert curves(axes)[0].get_xdata()[-1] == pytest.approx(seconds / divisor)


@pytest.mark.parametrize("by_individual", [False, True])
def test_legends_lie_outside_of_the_axes(by_individual):
    parts = [keypoint([1, 2, 3], [1, 2, 3], None, part, who) for who in ("left", "right") for part in ("snout", "tail")]
    for name in ("trajectory", "position"):
        figure = PICTURES[name](movement(*parts, by_individual=by_individual))
        figure.canvas.draw()
        legend = figure.legends[0].get_window_extent()
        assert not any(axes.get_window_extent().overlaps(legend) for axes in figure.axes)
        texts = [each.get_text() for each in figure.legends[0].get_texts()]
        assert texts == (["left", "right"] if by_individual else ["snout", "tail"])


def test_colours_differ_and_can_be_read_on_white():
    for count in (1, 2, 7, 24):
        colours = palette(count)
        assert len(set(colours)) == count
        for colour in colours:
            linear = [(int(colour[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5)]
            luminance = np.dot(linear, [0.2126, 0.7152, 0.0722])
            assert 1.05 / (luminance + 0.05) > 2, colour  # contrast, as WCAG defines it


@pytest.mark.parametrize("by_individual", [False, True])
def test_what_is_drawn_alone_keeps_its_colour_and_the_legend_names_nothing_else(by_individual):
    every = [keypoint([1, 2], [1, 2], None, part, who) for who in "ab" for part in ("snout", "back", "tail")]
    groups = ["a", "b"] if by_individual else ["snout", "back", "tail"]
    whole = movement(*every, by_individual=by_individual)
    alone = movement(every[5], by_individual=by_individual, groups=groups)
    name = "b" if by_individual else "tail"
    assert alone.colours == {name: whole.colours[name]}
    assert alone.colours != movement(every[5], by_individual=by_individual).colours
    figure = PICTURES["trajectory"](alone)
    assert [each.get_text() for each in figure.legends[0].get_texts()] == [name]


@pytest.fixture(scope="module")
def hours():
    """Twelve restless keypoints through an hour and a half: nothing of it can be left out without being seen."""
    count, random = 150_000, np.random.default_rng(3)
    parts = []
    for number in range(12):
        x, y = random.normal([[320], [240]], 90, (2, count))
        sure = random.uniform(size=count)
        parts.append(keypoint(x, y, np.where(random.uniform(size=count) < 0.3, np.nan, sure), f"part {number}"))
    return movement(*parts)


def test_an_svg_of_a_long_video_is_small_and_its_text_and_axes_stay_sharp(hours, tmp_path):
    files = draw_all(hours, tmp_path, "svg")
    assert set(files) == set(PICTURES)
    for path in files.values():
        assert path.stat().st_size < SVG_BYTES, path.name
    root = ElementTree.parse(files["trajectory"]).getroot()
    assert root.find(f".//{SVG}image") is not None
    assert len(root.findall(f".//{SVG}use")) > 50  # letters and ticks
    assert ElementTree.parse(files["speed"]).getroot().find(f".//{SVG}image") is None


@pytest.mark.parametrize("form", ["svg", "png"])
def test_what_is_odd_is_drawn_without_a_word(form, tmp_path):
    nowhere = keypoint([np.nan] * 3, [np.nan] * 3, [np.nan] * 3, "nose $x^$ <b>&")
    one = keypoint([5], [5], [0.9], "snout")
    for number, drawn in enumerate((movement(nowhere, title="a $5 <video> & more"), movement(one))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            files = draw_all(drawn, folder, form)
        for path in files.values():
            if form == "svg":
                ElementTree.parse(path)
            else:
                assert cv2.imread(str(path)) is not None


def test_a_hundred_keypoints_are_drawn_in_seconds(tmp_path):
    random = np.random.default_rng(5)
    many = []
    for number in range(100):
        x, y, sure = random.uniform(0, 400, (3, 3000))
        many.append(keypoint(x, y, sure / 400, f"part {number}", "one of the animals"))
    began = time.process_time()
    files = draw_all(movement(*many), tmp_path, "svg")
    assert time.process_time() - began < 60  # a panel for each took minutes
    for path in files.values():
        assert path.stat().st_size < SVG_BYTES, path.name


def test_sizes_follow_the_picture_and_the_number_of_keypoints():
    part = keypoint([1, 2], [3, 4])
    upright = replace(movement(part), width=480, height=1200)
    width, height = PICTURES["trajectory"](upright).get_size_inches()
    assert height > 1.5 * width
    many = movement(*(keypoint([1, 2], [3, 4], None, f"part {number}") for number in range(20)))
    assert PICTURES["speed"](many).get_size_inches()[1] > 2 * PICTURES["speed"](movement(part)).get_size_inches()[1]
