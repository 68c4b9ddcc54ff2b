"""The panel that shows what waits, runs and has ended."""

from __future__ import annotations

from traitlets import HasTraits, Unicode

from dlc_jupyter.client import Analysis
from dlc_jupyter.widgets.base import Panel


class QueueTraits(HasTraits):
    """Which analysis is selected."""

    selected = Unicode(help="Id of the analysis that is selected; empty for none.").tag(sync=True)


class QueuePanel(QueueTraits, Panel):
    """The analyses with their progress; ``selected`` is the one that was clicked."""

    _panel = Unicode("queue").tag(sync=True)

    @property
    def analysis(self) -> Analysis | None:
        """The analysis that is selected."""
        return self._analysis(self.selected)
