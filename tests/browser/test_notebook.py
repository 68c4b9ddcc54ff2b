"""Panels in a notebook in JupyterLab: with a kernel, a cell around them, and the Python of the next cell."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from dlc_jupyter import demo
from tests.browser.conftest import NewContext
from tests.browser.pages import Notebook
from tests.system.servers import Server

SHOW = "import dlc_jupyter\nshown = dlc_jupyter.panel()\nshown"
READ = "print('chosen', shown.file_ids, 'looked at', shown.analysis_id)"


@pytest.fixture
def page(browsers: NewContext) -> Page:
    """A page that has room for JupyterLab's files beside a notebook."""
    return browsers(viewport={"width": 1400, "height": 1000}).new_page()


def test_a_panel_is_there_soon_and_python_sees_what_is_done_in_it(studio: Server, page: Page) -> None:
    (video,) = [each["file_id"] for each in studio.client.files() if each["filename"] == demo.VIDEO.name]
    notebook = Notebook(page, studio, SHOW, READ).open()
    began = time.monotonic()
    notebook.run()
    whole = notebook.output(0).locator(".dlc-whole")
    whole.get_by_role("checkbox", name=demo.VIDEO.name).wait_for()
    print(f"shown after {time.monotonic() - began:.1f} s, the kernel's imports included")
    whole.get_by_role("checkbox", name=demo.VIDEO.name).check()
    whole.get_by_label("What to do").select_option("sleep")
    # Keys that JupyterLab has uses for do not leave the panel.
    whole.get_by_label("Time").fill("300")
    whole.get_by_label("Time").press("Enter")
    running = whole.locator(".dlc-analysis.dlc-running")
    expect(running).to_have_count(1)
    expect(page.locator(".jp-NotebookPanel .jp-CodeCell")).to_have_count(2)
    (analysis,) = [each for each in studio.client.analyses() if each["state"] == "running"]

    notebook.run(1)
    expect(notebook.output(1)).to_contain_text(f"chosen ['{video}'] looked at {analysis['analysis_id']}")

    # Opened again, with a kernel of its own, it shows what runs.
    notebook = Notebook(page.context.new_page(), studio, SHOW, name="again.ipynb").open()
    notebook.run()
    again = notebook.output(0).locator(".dlc-whole")
    expect(again.locator(".dlc-analysis.dlc-running")).to_have_count(1)
    again.get_by_role("button", name="Cancel sleep").first.click()
    for each in (again, whole):
        expect(each.locator(".dlc-analysis.dlc-running")).to_have_count(0)


def test_two_panels_of_a_notebook_never_disagree_also_in_the_dark(studio: Server, page: Page) -> None:
    cells = (
        "from dlc_jupyter.widgets import QueuePanel, ResultPanel\nfrom ipywidgets import VBox, link\n"
        "queue, result = QueuePanel(), ResultPanel()\nlink((queue, 'selected'), (result, 'analysis_id'))\n"
        "VBox([queue, result])",
    )
    analysis = studio.client.run("sleep", [], time=0.1)
    studio.succeed(analysis)
    notebook = Notebook(page, studio, *cells, name="two.ipynb").open()
    notebook.run()
    shown = notebook.output(0)
    shown.locator(".dlc-analysis").filter(has_text="sleep").first.get_by_role("button").first.click()
    expect(shown.get_by_role("region", name="Result")).to_contain_text("How long it waited")
    light = shown.locator(".dlc").first.evaluate("(panel) => getComputedStyle(panel).color")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator('body[data-jp-theme-light="false"]').wait_for(state="attached")
    page.wait_for_function("(light) => getComputedStyle(document.querySelector('.dlc')).color !== light", arg=light)
