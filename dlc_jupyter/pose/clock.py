"""When the frames of a video are shown to which rows of poses, or pictures, belong.

Row i is the i-th picture that a decoder makes. That is not frame i of the container where the first frames cannot be
decoded (`Media.leading`), unless those were marked and have rows too (`Media.first`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlc_jupyter.pose.media import Media, Times


def times_of(media: Media, rows: Sequence[int], *, marked: bool = False) -> Times:
    """Return when some rows' frames are shown.

    Parameters
    ----------
    rows : sequence of int
        Their numbers, counted from 0.
    marked : bool
        Whether frames that cannot be decoded are to have rows, as far as they can.

    Returns
    -------
    array of float, one for each row
        By the container, in seconds after the first frame of the video. Behind its last time they follow each other at
        the usual distance: a stream may hold a frame more than it has times for.
    """
    times = np.asarray(media.times)
    frames = np.asarray(rows, int) + media.first(marked=marked)
    known = np.minimum(frames, len(times) - 1)
    found: Times = times[known] + media.gap * (frames - known)
    return found


def lacking_times(media: Media, rows: int, *, marked: bool = False) -> str:
    """Return what the user should know of the times of the first `rows` rows; "" where there is nothing."""
    frames = rows + media.first(marked=marked)
    if frames <= media.frames:
        return ""
    return (
        f"The container has {media.frames} times for {frames} frames: those of the last ones are taken to follow at "
        "the usual distance."
    )
