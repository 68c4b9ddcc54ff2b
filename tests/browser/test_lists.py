"""Ten thousand files and five thousand analyses: the lists are there soon, and do not stutter."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert

from dlc_jupyter.storage import database
from tests.browser.pages import open_panels, panel
from tests.system.servers import EXTENSION, Server, Site

FILES, ANALYSES = 10_000, 5_000
#: Milliseconds that a task of the page may take: two frames of a screen are missed then, which nobody sees. Twice that
#: where other tests run beside this one.
SMOOTH = 100


def identity(kind: str, number: int) -> str:
    return hashlib.sha1(f"{kind} {number}".encode()).hexdigest()


def fill(site: Site) -> None:
    """Put rows into the tables of a data folder, as years of work would."""
    now = time.time()
    files = [
        {
            "file_id": identity("file", number),
            "filename": f"mouse {number % 40:02} day {number // 40:03}.mp4",
            "content_type": "video/mp4",
            "size": 3_000_000_000 + number,
            "created": now - 60 * (FILES - number),
            "used": now,
            "origin": "upload",
        }
        for number in range(FILES)
    ]
    names = [{"file_id": each["file_id"], "name": each["filename"], "created": each["created"]} for each in files]
    states = ("succeeded", "succeeded", "succeeded", "failed", "cancelled")
    analyses = [
        {
            "analysis_id": identity("analysis", number),
            "analysis": "video",
            "parameters": {"model": "demo-mouse"},
            "state": states[number % len(states)],
            "owner": "",
            "created": now - 90 * (ANALYSES - number),
            "started": now - 90 * (ANALYSES - number) + 1,
            "finished": now - 90 * (ANALYSES - number) + 60,
            "attempt": 1,
            "cancel_requested": False,
            "result": {},
        }
        for number in range(ANALYSES)
    ]
    inputs = [
        {"analysis_id": each["analysis_id"], "role": "input", "position": 0, "file_id": identity("file", number)}
        for number, each in enumerate(analyses)
    ]
    with (
        contextlib.closing(database.Database(database.database_url(site.settings.root, ""))) as opened,
        opened.write() as connection,
    ):
        connection.execute(insert(database.files), files)
        connection.execute(insert(database.file_names), names)
        connection.execute(insert(database.analyses), analyses)
        connection.execute(insert(database.analysis_files), inputs)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = Site(tmp_path_factory.mktemp("archive"))
    server = site.start(EXTENSION)
    fill(site)
    yield server
    site.end()


#: Notes how long each task of the page takes, and each pause between two pictures.
WATCH = """() => {
  window.slow = [];
  new PerformanceObserver((list) => window.slow.push(...list.getEntries().map((each) => each.duration)))
    .observe({type: 'longtask'});
}"""


def slowest(page: Page) -> float:
    """Return the longest task since `WATCH`, in ms; 0 where none took more than 50 ms."""
    page.wait_for_timeout(200)  # entries come a little later than what they are of
    return max(page.evaluate("() => window.slow.splice(0)"), default=0)


def test_long_lists_are_scrolled_searched_and_chosen_from_without_a_stutter(archive: Server, page: Page) -> None:
    began = time.monotonic()
    open_panels(page, archive, "whole")
    files = page.get_by_role("list", name=re.compile(r"^10.000 files$"))
    analyses = page.get_by_role("list", name=re.compile(r"^5.000 analyses$"))
    expect(files).to_be_visible()
    expect(analyses).to_be_visible()
    shown = time.monotonic() - began
    page.evaluate(WATCH)
    for each in (files, analyses):
        each.hover()
        for _ in range(40):
            page.mouse.wheel(0, 700)
        assert each.evaluate("(box) => box.scrollTop") > 5000
        assert each.get_by_role("listitem").count() < 60
    scrolling = slowest(page)
    page.get_by_label("Search files").press_sequentially("mouse 07 day 249", delay=20)
    expect(panel(page, "whole").get_by_role("list", name="1 file", exact=True)).to_be_visible()
    page.get_by_label("Search analyses").press_sequentially("day 003", delay=20)
    expect(page.get_by_role("list", name="40 analyses")).to_be_visible()
    searching = slowest(page)
    page.get_by_role("checkbox", name="mouse 07 day 249.mp4").check()
    expect(page.get_by_role("list", name="Chosen videos")).to_contain_text("mouse 07 day 249.mp4")
    choosing = slowest(page)
    told = {"shown (s)": shown, "scrolling": scrolling, "searching": searching, "choosing": choosing}
    print({name: round(value, 1) for name, value in told.items()})
    assert max(scrolling, searching, choosing) <= 2 * SMOOTH, told
    assert shown < 30, told
