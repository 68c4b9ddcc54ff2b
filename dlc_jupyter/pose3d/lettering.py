"""Words on OpenCV's pictures in a real typeface: OpenCV's own strokes are hard to read once a video is scaled down."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dlc_jupyter.pose.frames import Pictures

Color = tuple[int, int, int]


def write(
    picture: Pictures, text: str, at: tuple[float, float], size: float, color: Color, anchor: str = "ls"
) -> tuple[int, int, int, int]:
    """Write a text in a picture; what is outside of it is left out.

    Parameters
    ----------
    picture : array of uint8, height x width x 3
    at : (float, float)
        x and y of the text's anchor, in pixels.
    size : float
        Of the letters, in pixels.
    color : (int, int, int)
        In the picture's own order.
    anchor : str
        Which point of the text `at` is, in Pillow's words: l, m, r for left, middle, right; then s, m, a for the base
        line, the middle, the top.

    Returns
    -------
    tuple of int
        x1, y1, x2, y2: the part of the picture that it takes, in pixels.
    """
    mask, left, top = _mask(text, round(size), anchor)
    x, y = round(at[0]) + left, round(at[1]) + top
    height, width = mask.shape[:2]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + width, picture.shape[1]), min(y + height, picture.shape[0])
    if x1 < x2 and y1 < y2:
        part = picture[y1:y2, x1:x2]
        alpha = mask[y1 - y : y2 - y, x1 - x : x2 - x]
        part[...] = part + (np.array(color, np.float32) - part) * alpha + 0.5
    return x, y, x + width, y + height


def width(text: str, size: float) -> float:
    """Return how many pixels wide a text is."""
    return _font(round(size)).getlength(text)


@lru_cache(maxsize=512)
def _mask(text: str, size: int, anchor: str) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int, int]:
    """Return how much of each pixel a text covers, from 0 to 1, and where that begins from its anchor on."""
    font = _font(size)
    left, top, right, bottom = (int(each) for each in font.getbbox(text, anchor=anchor))
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), text, 255, font, anchor)
    covered: np.ndarray[Any, np.dtype[np.float32]] = np.asarray(image, np.float32)[..., None]
    return np.multiply(covered, 1 / 255, dtype=np.float32), left, top


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    # The typeface that matplotlib brings along is there wherever DeepLabCut is.
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), max(size, 4))
