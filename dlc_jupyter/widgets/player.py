"""The player: poses drawn over the original video, frame for frame, while they are looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, HasTraits, Int, Tuple, Unicode

from dlc_jupyter.client import Analysis, Client
from dlc_jupyter.errors import Refusal
from dlc_jupyter.widgets.base import Panel, client_of

if TYPE_CHECKING:
    import pandas as pd


class PlayerTraits(HasTraits):
    """What is looked at, and how."""

    file_id = Unicode(help="Id of the video.").tag(sync=True)
    analysis_id = Unicode(help="Id of the analysis whose poses are drawn; empty for the newest.").tag(sync=True)
    frame = Int(0, help="The frame that is shown, counted from 0.").tag(sync=True)
    threshold = Float(0.6, min=0, max=1, help="Points of less likelihood are not drawn.").tag(sync=True)
    selection = Tuple(
        Int(), Int(), allow_none=True, default_value=None, help="The frames that are marked: from, and up to before."
    ).tag(sync=True)
    playing = Bool(False).tag(sync=True)
    speed = Float(1.0, min=1 / 64, max=64, help="1 is that of the recording.").tag(sync=True)

    @property
    def part(self) -> dict[str, int]:
        """The frames that are marked, as ``start`` and ``stop`` of an analysis; empty where none are.

        >>> client.run("video", player.file_id, model="demo-mouse", **player.part)
        """
        return {} if self.selection is None else dict(zip(("start", "stop"), self.selection, strict=True))


class PosePlayer(PlayerTraits, Panel):
    """A video with its poses drawn over it; ``frame``, ``threshold`` and ``selection`` follow what is done in it.

    Parameters
    ----------
    analysis : Analysis or str, optional
        Whose poses; its id will do. Its first video is shown unless ``file_id`` names another.
    """

    _panel = Unicode("player").tag(sync=True)

    def __init__(self, analysis: str = "", client: Client | None = None, **traits: Any) -> None:
        if analysis:
            traits["analysis_id"] = str(analysis)
        super().__init__(client_of(analysis, client), **traits)
        if self.analysis_id and not self.file_id and self.client is not None:
            with contextlib.suppress(Refusal, ConnectionError):  # the page says what is wrong
                self.file_id = next(iter(self.client.status(self.analysis_id)["file_id"]), "")

    @property
    def analysis(self) -> Analysis | None:
        """The analysis whose poses are drawn, where it was named."""
        return self._analysis(self.analysis_id)

    def poses(self) -> pd.DataFrame:
        """Return the poses of the frames that are marked, or of all; see `dlc_jupyter.client.Analysis.poses`.

        Raises
        ------
        ValueError
            No analysis is named whose poses they would be.
        """
        return poses_of(self.analysis, self.part)


def poses_of(analysis: Analysis | None, part: Mapping[str, int]) -> pd.DataFrame:
    """Return the poses of an analysis that is looked at, of the frames that are marked, or of all.

    Raises
    ------
    ValueError
        No analysis is looked at.
    """
    if analysis is None:
        raise ValueError("No analysis is looked at: choose one, or set analysis_id.")
    return analysis.poses(**part)
