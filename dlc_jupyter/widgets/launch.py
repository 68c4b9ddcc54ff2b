"""The panel that asks for analyses: a form made of what each analysis takes."""

from __future__ import annotations

from traitlets import Dict, HasTraits, List, Unicode

from dlc_jupyter.client import Analysis
from dlc_jupyter.widgets.base import Panel


class LaunchTraits(HasTraits):
    """What the form says, and what was asked for with it."""

    analysis = Unicode("video", help="The analysis that is chosen.").tag(sync=True)
    file_ids = List(Unicode(), help="Ids of the files that are chosen.").tag(sync=True)
    parameters = Dict(help="The values that differ from the defaults.").tag(sync=True)
    analysis_ids = List(Unicode(), help="Ids of the analyses that were started last.").tag(sync=True)


class LaunchPanel(LaunchTraits, Panel):
    """Choose an analysis, videos and parameters, and start; ``analysis_ids`` are those that were started last."""

    _panel = Unicode("launch").tag(sync=True)

    @property
    def analyses(self) -> list[Analysis]:
        """The analyses that were started last."""
        client = self._found_client() if self.analysis_ids else None
        return [Analysis(client, each) for each in self.analysis_ids] if client else []
