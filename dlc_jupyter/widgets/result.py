"""The panel that shows what came of an analysis."""

from __future__ import annotations

from typing import Any

from traitlets import HasTraits, Unicode

from dlc_jupyter.client import Analysis, Client
from dlc_jupyter.widgets.base import Panel, client_of


class ResultTraits(HasTraits):
    """Which analysis is looked at."""

    analysis_id = Unicode(help="Id of the analysis that is looked at; empty for none.").tag(sync=True)


class ResultPanel(ResultTraits, Panel):
    """Files, pictures, numbers and warnings of an analysis; where it failed, why, and what to do.

    Parameters
    ----------
    analysis : Analysis or str, optional
        Which one; its id will do.
    """

    _panel = Unicode("result").tag(sync=True)

    def __init__(self, analysis: str = "", client: Client | None = None, **traits: Any) -> None:
        if analysis:
            traits["analysis_id"] = str(analysis)
        super().__init__(client_of(analysis, client), **traits)

    @property
    def analysis(self) -> Analysis | None:
        """The analysis that is looked at."""
        return self._analysis(self.analysis_id)
