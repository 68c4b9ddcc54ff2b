"""What is said of frames that cannot be decoded: that they were marked, or that they could be, or not in this video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlc_jupyter.errors import AnalysisFailed

if TYPE_CHECKING:  # the server imports this module, and has no OpenCV
    from dlc_jupyter.pose.media import Media

#: How an analysis ends, by its kind, at a frame that cannot be decoded.
_KINDS = ("VideoCutShort", "VideoDamaged")
_MARK = "Or ask for it with on_bad_frame=mark: such frames have rows of NaN then."
NO_MARK = "on_bad_frame=mark can do nothing for this video: only MP4 and MOV say where a frame's place is."


@contextmanager
def marking_mentioned(parameters: Any, media: Media) -> Iterator[None]:
    """Add to what is advised about a frame that cannot be decoded that it can be marked, or that here it cannot.

    Parameters
    ----------
    parameters : Parameters
        Those without ``on_bad_frame`` cannot ask for it: nothing is said of it then.
    """
    from dlc_jupyter.pose import compat

    try:
        yield
    except AnalysisFailed as failed:
        wanted = getattr(parameters, "on_bad_frame", None)
        if failed.kind in _KINDS and wanted is not None and not compat.changed():
            if wanted == "mark" and not media.markable:
                failed.hint = f"{failed.hint} {NO_MARK}"
            elif wanted != "mark" and media.markable:
                failed.hint = f"{failed.hint} {_MARK}"
        raise


def unreadable_frames(numbers: Sequence[int]) -> Iterator[str]:
    """Yield a note about frames that were marked, where there are any; `numbers` are theirs, counted from 0."""
    if numbers:
        frames = ", ".join(str(each) for each in numbers[:10])
        more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
        if len(numbers) == 1:
            yield f"1 frame could not be decoded and has a row of NaN (counted from 0): {frames}."
        else:
            yield f"{len(numbers)} frames could not be decoded and have rows of NaN (counted from 0): {frames}{more}."
