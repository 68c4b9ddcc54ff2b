"""Of which part of the picture poses are: that which DeepLabCut has really cut out."""

import pickle
from array import array
from fractions import Fraction

import pytest

from dlc_jupyter.pose.cropping import cut_out, of_project, part_of
from dlc_jupyter.pose.media import Media, inspect
from tests.pose.networks import network


def media(width: int, height: int) -> Media:
    return Media("mov", "h264", width, height, Fraction(30), array("d", [0.0]), 0.1, False, False)


@pytest.mark.deeplabcut
@pytest.mark.parametrize("name", ["odd", "turned"])
def test_it_is_what_deeplabcuts_reader_cuts_out(deeplabcut, clip, video, name):
    from deeplabcut.pose_estimation_pytorch.apis.videos import VideoIterator

    path = clip("odd.mp4") if name == "odd" else video("turned.mov")
    size = inspect(path)
    lost = 0
    for first in range(0, min(size.width, size.height) - 3, 7):
        cropping = [first, first + 3, first, first + 3]
        found = cut_out(cropping, size.width, size.height)
        reader = VideoIterator(path, cropping=cropping)
        try:
            assert found == tuple(reader.get_bbox(relative=False))
            picture = next(iter(reader))
        finally:
            reader.close()
        assert picture.shape[:2] == (found[3] - found[2], found[1] - found[0])
        lost += found != tuple(cropping)
    assert lost or name != "odd"  # a pixel, of some


@pytest.mark.deeplabcut
def test_deeplabcuts_reader_is_not_asked_in_every_run(model, clip, tmp_path, monkeypatch):
    from deeplabcut.pose_estimation_pytorch.apis import videos

    from dlc_jupyter.pose.analyze import Task, analyze

    opened, original = [], videos.VideoIterator.__init__
    monkeypatch.setattr(
        videos.VideoIterator,
        "__init__",
        lambda self, path, *more, **named: opened.append(path) or original(self, path, *more, **named),
    )
    path = clip("small.mp4")
    task = Task(path, inspect(path), network(model("demo"), cropping=[5, 101, 7, 90]))
    poses = analyze(task, tmp_path / "made", tmp_path / "kept", save_as_csv=False, progress=lambda done: None)
    assert poses.rows == 11
    assert len(opened) == 1  # what _meta.pickle says is DeepLabCut's


@pytest.mark.parametrize(
    ("config", "cropping"),
    [
        ({}, None),
        ({"cropping": False, "x1": 1, "x2": 2, "y1": 3, "y2": 4}, None),
        ({"cropping": True, "x1": 1, "x2": 20, "y1": 3, "y2": 40}, (1, 20, 3, 40)),
        ({"cropping": True, "x1": None, "x2": 20, "y2": 40}, (0, 20, 0, 40)),
    ],
)
def test_what_a_project_asks_for(config, cropping):
    assert of_project(config) == cropping


@pytest.mark.parametrize(
    ("cropping", "part"),
    [
        ([20, 300, 10, 230], (20, 300, 10, 230)),
        ([29, 57, 0, 10], (28, 56, 0, 10)),
        ([0, 100, 0, 240], None),
        ([0, 0, 0, 0], None),
        ([5, 101, 0, 240], None),
    ],
)
def test_the_part_that_was_analysed(tmp_path, cropping, part):
    width = 320 if cropping[1] == 300 else 100
    (tmp_path / "meta.pickle").write_bytes(pickle.dumps({"data": {"cropping_parameters": cropping}}))
    assert part_of(tmp_path / "meta.pickle", media(width, 240)) == part
