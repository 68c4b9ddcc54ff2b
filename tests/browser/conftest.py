"""A real browser at a real JupyterLab: Chromium driven by Playwright, a server with the extension, and DeepLabCut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from dlc_jupyter import demo
from tests.browser.pages import STATIC, WAIT
from tests.system.servers import EXTENSION, Server, Site

#: With its commands where a page can call them: what a menu would do.
LAB = ("-m", "jupyterlab", "--LabApp.expose_app_in_browser=True")
#: Nothing that reaches out, and nothing that needs a screen.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """Nothing: pytest-jupyter's own would close an event loop, and Playwright's is the one that runs."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """Nothing, for the same reason."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium that is installed. Only where nobody relies on the outcome may it be missing.

    It ends with the tests of a module: as long as Playwright is there, no other event loop can run, and what has the
    scope of a package may last as long as the session.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    relied_on = bool(os.environ.get("CI"))
    if found is None and not relied_on:
        pytest.skip("there is no Chromium: install one, as with apt-get install chromium")
    assert found, "there is no Chromium"
    assert (STATIC / "panels.js").is_file(), "the panels are not built: run make panels"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab with the demo's models, its videos and DeepLabCut, that all tests share."""
    site = Site(tmp_path_factory.mktemp("browser"), deeplabcut=True)
    server = site.start(LAB)
    for video in (demo.VIDEO, *demo.VIDEOS_3D):
        server.client.upload(video)
    yield server
    site.end()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, with an empty store; its engine loads no DeepLabCut, and is there at once."""
    site = Site(tmp_path)
    yield site.start(EXTENSION)
    site.end()


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def browsers(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[NewContext]:
    """Make browsers of their own, with nothing in them; what one of them complains of fails the test.

    Options are those of ``Browser.new_context``.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def new(**options: object) -> BrowserContext:
        context = chromium.new_context(**{"viewport": {"width": 900, "height": 900}, **options})
        context.set_default_timeout(WAIT * 1000)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return context

    yield new
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(browsers: NewContext) -> Page:
    """A page of a browser of its own, as wide as a notebook."""
    return browsers().new_page()


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Write a picture of a page into the documentation, where ``--pictures`` asks for it."""

    def take(page: Page, name: str) -> None:
        if request.config.getoption("--pictures"):
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.mouse.move(0, 0)
            page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled", caret="hide")

    return take
