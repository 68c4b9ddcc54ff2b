"""What a person does with the panels, as a test says it: pages of a server, with or without a notebook around them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from dlc_jupyter import widgets
from tests.system.servers import Server

HARNESS = Path(__file__).parent / "harness.html"
STATIC = Path(widgets.__file__).parent / "static"

#: Seconds that anything may take on a machine that is busy with other things.
WAIT = 60.0
expect.set_options(timeout=WAIT * 1000)

_CLASSES = (
    widgets.UploadPanel,
    widgets.LaunchPanel,
    widgets.QueuePanel,
    widgets.ResultPanel,
    widgets.PosePlayer,
    widgets.WholePanel,
)


def _at_first(kind: type[widgets.Panel]) -> dict[str, Any]:
    ours = {
        name: each
        for name, each in kind.class_traits(sync=True).items()
        if each.this_class.__module__.startswith("dlc_jupyter.widgets") and not name.startswith("_")
    }
    return {name: each.default() for name, each in ours.items()}


#: The panels that there are, and what the traits of each are at first.
TRAITS: Mapping[str, Mapping[str, Any]] = {each._panel.default_value: _at_first(each) for each in _CLASSES}

#: Colours of JupyterLab's themes, for pages that are not JupyterLab's.
THEMES = {
    "light": """<style>
:root {
  --jp-ui-font-color1: rgba(0, 0, 0, 0.87); --jp-ui-font-color2: rgba(0, 0, 0, 0.54); --jp-layout-color1: #fff;
  --jp-layout-color2: #eee; --jp-border-color2: #e0e0e0; --jp-brand-color1: #1976d2; --jp-brand-color2: #64b5f6;
  --jp-success-color1: #388e3c; --jp-warn-color1: #f57c00; --jp-error-color1: #d32f2f; --jp-error-color2: #e57373;
}
</style>""",
    "dark": """<style>
:root {
  --jp-ui-font-color1: rgba(255, 255, 255, 0.87); --jp-ui-font-color2: rgba(255, 255, 255, 0.54);
  --jp-layout-color1: #111; --jp-layout-color2: #212121; --jp-border-color2: #616161; --jp-brand-color1: #1976d2;
  --jp-brand-color2: #64b5f6; --jp-success-color1: #388e3c; --jp-warn-color1: #f57c00; --jp-error-color1: #d32f2f;
  --jp-error-color2: #e57373;
}
body { background: #111; }
</style>""",
}


def open_panels(page: Page, server: Server, *names: str, dark: bool = False, **traits: Mapping[str, Any]) -> None:
    """Show panels of a server, in the order in which they are named, on a page of its origin.

    Parameters
    ----------
    **traits
        By panel: those that are not as at first.
    """
    panels = {name: {**TRAITS[name], **traits.get(name, {})} for name in names}
    config = {"baseUrl": "/", "token": server.token}
    text = HARNESS.read_text().replace("CONFIG", json.dumps(config)).replace("PANELS", json.dumps(panels))
    theme = THEMES["dark" if dark else "light"]
    body = f'<body data-jp-theme-light="{"false" if dark else "true"}">'
    text = text.replace("</head>", f"{theme}</head>").replace("<body>", body)

    def answer(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        if name == "harness.html":
            route.fulfill(body=text, content_type="text/html")
        else:
            route.fulfill(path=STATIC / name)

    log_in(page, server)
    page.route(f"{server.url}harness/**", answer)
    page.goto(f"{server.url}harness/harness.html")
    for name in names:
        panel(page, name).locator("section, form, .dlc-whole, .dlc-empty").first.wait_for()
    # As long as requests are looked into, Playwright holds the bodies of all of them in its memory.
    page.unroute_all(behavior="wait")


def log_in(page: Page, server: Server) -> None:
    """Get the server's cookie, as whoever opens JupyterLab by its address with the token has it."""
    page.context.request.get(f"{server.url}login?token={server.token}&next=/api/status")


def panel(page: Page, name: str) -> Locator:
    """Return one of the panels of a page of `open_panels`."""
    return page.locator(f'[data-panel="{name}"]')


def trait(page: Page, name: str, of: str) -> Any:
    """Return a trait of a panel as Python would have it."""
    return page.evaluate("([panel, trait]) => window.models[panel].get(trait)", [name, of])


def set_trait(page: Page, name: str, of: str, value: Any) -> None:
    """Set a trait of a panel as Python would."""
    page.evaluate("([panel, trait, value]) => window.models[panel].set(trait, value)", [name, of, value])


# -- notebooks -------------------------------------------------------------------------------------------------------


class Notebook:
    """A notebook in JupyterLab, with a kernel.

    Parameters
    ----------
    page : Page
    server : Server
        Whose JupyterLab it is.
    cells : sequence of str
        Python.
    """

    def __init__(self, page: Page, server: Server, *cells: str, name: str = "panels.ipynb") -> None:
        self.page = page
        self.server = server
        self.name = name
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        written = [
            {
                "cell_type": "code",
                "id": f"cell-{at}",
                "source": each,
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for at, each in enumerate(cells)
        ]
        notebook = {"cells": written, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (server.site.folder / name).write_text(json.dumps(notebook))

    def open(self) -> Notebook:
        """Show it in JupyterLab, without what was open there before."""
        log_in(self.page, self.server)
        self.page.goto(f"{self.server.url}lab/workspaces/{self.name.removesuffix('.ipynb')}/tree/{self.name}?reset")
        self.page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for()
        return self

    def run(self, cell: int = 0) -> None:
        """Run a cell, once there is a kernel, and wait until it was run."""
        self.page.evaluate(
            """async (cell) => {
            const {shell, commands} = window.jupyterapp;
            const {content, context, sessionContext} = shell.currentWidget;
            await Promise.all([context.ready, sessionContext.ready]);
            content.activeCellIndex = cell;
            await commands.execute('notebook:run-cell');
        }""",
            cell,
        )

    def output(self, cell: int = 0) -> Locator:
        """Return what a cell shows below it."""
        return self.page.locator(".jp-NotebookPanel .jp-CodeCell").nth(cell).locator(".jp-OutputArea-output")
