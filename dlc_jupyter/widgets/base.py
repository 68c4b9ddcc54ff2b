"""What all panels are: a widget that says which panel it is and where its server is, never a token of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
from traitlets import Bool, Unicode, default

from dlc_jupyter.client import Analysis, Client, NoServer
from dlc_jupyter.widgets.relay import Relay

STATIC = Path(__file__).parent / "static"


class NotBuilt(RuntimeError):
    """What the panels are in a browser has not been made."""


class Panel(anywidget.AnyWidget):
    """A panel in the output of a cell. It composes with other widgets: ``HBox``, ``link``, ``observe``.

    Parameters
    ----------
    client : Client, optional
        Of which server. Left out: the page's own; the kernel's where the page cannot reach it.
    **traits
        Any of its traits, and of every widget's, such as ``layout``.

    Raises
    ------
    NotBuilt
        It was installed from a checkout without ``make panels``.
    """

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)
    _panel = Unicode().tag(sync=True)
    _server = Unicode(help="Address of the Jupyter server; empty for the page's own.").tag(sync=True)
    _kernel_has_server = Bool(help="Whether the kernel can pass requests on.").tag(sync=True)

    def __init__(self, client: Client | None = None, **traits: Any) -> None:
        self.client, self._no_server = client, ""
        server = client.http.root if client else ""
        if client is None:
            try:
                self.client = Client()
            except NoServer as nowhere:
                self._no_server = str(nowhere)
        super().__init__(_server=server, _kernel_has_server=self.client is not None, **traits)
        if self.client is not None:
            self.on_msg(Relay(self.client.http))

    @default("_esm")
    def _module(self) -> str:
        return built("panels.js")

    @default("_css")
    def _style(self) -> str:
        return built("panels.css")

    def _found_client(self) -> Client:
        """Return the client, or say that the kernel has none."""
        if self.client is None:
            raise NoServer(self._no_server)
        return self.client

    def _analysis(self, analysis_id: str) -> Analysis | None:
        """Return an analysis as an object, as the client does; None where there is no id."""
        return Analysis(self._found_client(), analysis_id) if analysis_id else None


def built(name: str) -> str:
    """Return one of the files that ``make panels`` makes; a released package has them.

    Raises
    ------
    NotBuilt
        It is not there.
    """
    try:
        return (STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotBuilt(
            "The panels have not been built. In a checkout of dlc_jupyter run `make panels` (Node is needed); released "
            "packages have them."
        ) from None


def client_of(analysis: str, client: Client | None) -> Client | None:
    """Return the client that was given, or the one that an analysis came from."""
    return client or (analysis.client if isinstance(analysis, Analysis) else None)
