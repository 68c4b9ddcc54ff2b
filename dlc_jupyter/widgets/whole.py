"""Everything in one panel, for which ``dlc_jupyter.panel()`` is the short word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Unicode

from dlc_jupyter.client import Client
from dlc_jupyter.widgets.base import Panel
from dlc_jupyter.widgets.launch import LaunchTraits
from dlc_jupyter.widgets.player import PlayerTraits, poses_of
from dlc_jupyter.widgets.queue import QueueTraits
from dlc_jupyter.widgets.result import ResultTraits
from dlc_jupyter.widgets.upload import UploadTraits

if TYPE_CHECKING:
    import pandas as pd


class WholePanel(UploadTraits, LaunchTraits, QueueTraits, ResultTraits, PlayerTraits, Panel):
    """Upload, launch, follow and look, with the traits of all the panels."""

    _panel = Unicode("whole").tag(sync=True)

    def poses(self) -> pd.DataFrame:
        """Return the poses of the analysis that is looked at, of the frames that are marked, or of all.

        Raises
        ------
        ValueError
            None is looked at.
        """
        return poses_of(self._analysis(self.analysis_id), self.part)


def panel(client: Client | None = None, **traits: Any) -> WholePanel:
    """Return the panel that shows everything: videos, the form, the queue, results and the player.

    Parameters
    ----------
    client : Client, optional
        Of which server; in a notebook it is found.
    """
    return WholePanel(client, **traits)
