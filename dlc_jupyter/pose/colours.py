"""How pictures on white look: their letters and lines, and colours for keypoints that differ as much as they can."""

from __future__ import annotations

import math
from typing import Any

INK, PALE = "#24292f", "#6e7781"
LINES = "#afb8c1"

#: What all pictures that matplotlib draws have in common: settings of its ``rc_context``.
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # names are not formulas
    "axes.labelcolor": INK,
    "axes.edgecolor": LINES,
    "axes.linewidth": 0.8,
    "xtick.color": LINES,
    "ytick.color": LINES,
    "figure.facecolor": "white",
}


def palette(count: int) -> list[str]:
    """Return colours that differ in hue, and from their neighbours in lightness, readable on white (OKLCH)."""
    found = []
    for number in range(count):
        hue = math.radians(25 + 360 * number / max(count, 1))
        light, chroma = (0.55, 0.16) if number % 2 == 0 or count == 1 else (0.72, 0.14)
        while (colour := _oklch(light, chroma, hue)) is None:
            chroma -= 0.01
        found.append("#" + "".join(f"{round(255 * each):02x}" for each in colour))
    return found


def _oklch(light: float, chroma: float, hue: float) -> list[float] | None:
    """Return sRGB components from 0 to 1; None where a screen has no such colour. Ottosson 2020, "OKLab"."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = [
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    ]
    if min(linear) < -1e-9 or max(linear) > 1:
        return None
    return [12.92 * max(each, 0) if each <= 0.0031308 else 1.055 * each ** (1 / 2.4) - 0.055 for each in linear]
