"""Of which part of the picture poses are: that which DeepLabCut has really cut out."""

import pickle
from array import array
from fractions import Fraction

import pytest

from dlc_jupyter.pose.cropping import cut_out, part_of
from dlc_jupyter.pose.media import Media, inspect


def media(width: int, height: int) -> Media:
    return Media("mov", "h264", width, height, Fraction(30), array("d", [0.0]), 0.1, False, False)


@pytest.mark.deeplabcut
def test_it_is_what_deeplabcuts_reader_cuts_out(deeplabcut, clip):
    from dlc_jupyter.pose.runners import window

    video = clip("odd.mp4")
    size = inspect(video)
    lost = 0
    for first in range(0, 240, 7):
        cropping = [first, first + 3, first, first + 3]
        found = cut_out(cropping, size.width, size.height)
        assert found == window(video, cropping)
        lost += found != tuple(cropping)
    assert lost  # a pixel, of some


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
