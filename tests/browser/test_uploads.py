"""Large files from a browser, through cuts and reloads: what has arrived is not sent again, and every byte is right."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cable import Cable
from tests.browser.pages import open_panels, panel, trait
from tests.system.servers import LONG, Server

MB = 1_000_000
#: What a browser sends in one request.
PIECE = 32 * 1024 * 1024


@pytest.fixture
def cable(server: Server) -> Iterator[Cable]:
    """A cable to the server, through which the browser reaches it."""
    cable = Cable(server.url)
    server.url = cable.url
    yield cable
    cable.close()


def large(folder: Path, size: int) -> tuple[Path, str]:
    """Make a file in which no piece is like another, and return its SHA-1 too."""
    noise = random.Random(5)
    path, sha1 = folder / "day 1, camera ö.mp4", hashlib.sha1()
    with path.open("wb") as file:
        for at in range(0, size, 4 * MB):
            piece = noise.randbytes(min(4 * MB, size - at))
            sha1.update(piece)
            file.write(piece)
    return path, sha1.hexdigest()


def choose(page: Page, path: Path) -> None:
    panel(page, "upload").get_by_label("Files to upload").set_input_files(path)


def test_an_upload_outlives_a_cut_connection_and_a_reload(
    server: Server, cable: Cable, page: Page, tmp_path: Path, picture: Callable[[Page, str], None]
) -> None:
    size = 300 * MB
    path, sha1 = large(tmp_path, size)
    open_panels(page, server, "upload")
    cable.cut_after(100 * MB)
    choose(page, path)
    assert cable.broken.wait(LONG)
    cable.mend()
    cable.cut_after(100 * MB)  # it goes on by itself, and is cut again
    assert cable.broken.wait(LONG)
    cable.mend()

    open_panels(page, server, "upload")  # as after a reload
    earlier = panel(page, "upload").get_by_role("list", name="Not finished yet")
    expect(earlier).to_contain_text(path.name)
    expect(earlier).to_contain_text("Choose the file again to go on.")
    picture(page, "upload_earlier")
    choose(page, path)
    expect(panel(page, "upload").get_by_text("uploaded")).to_be_visible()
    expect(earlier).to_have_count(0)

    assert trait(page, "upload", "files") == [sha1]
    (stored,) = server.client.files()
    assert (stored["file_id"], stored["filename"], stored["size"]) == (sha1, path.name, size)
    # What was in the request that broke is lost, twice; the rest is sent once.
    assert cable.sent < size + 2 * PIECE + MB


def test_a_file_that_is_there_already_is_not_sent_again(
    server: Server, cable: Cable, page: Page, tmp_path: Path
) -> None:
    path, sha1 = large(tmp_path, 20 * MB)
    server.client.upload(path)
    open_panels(page, server, "upload")
    before = cable.sent
    choose(page, path)
    expect(panel(page, "upload").get_by_text("was there already, nothing was sent")).to_be_visible()
    assert trait(page, "upload", "files") == [sha1]
    assert cable.sent - before < MB


def test_an_upload_rests_when_it_is_paused_and_is_gone_when_it_is_removed(
    server: Server, cable: Cable, page: Page, tmp_path: Path
) -> None:
    path, sha1 = large(tmp_path, 60 * MB)
    open_panels(page, server, "upload")
    cable.cut_after(20 * MB)
    choose(page, path)
    assert cable.broken.wait(LONG)
    panel(page, "upload").get_by_role("button", name="Pause").click()
    cable.mend()
    expect(panel(page, "upload").get_by_text("paused")).to_be_visible()
    panel(page, "upload").get_by_role("button", name="Go on with").click()
    expect(panel(page, "upload").get_by_text("uploaded")).to_be_visible()
    assert trait(page, "upload", "files") == [sha1]

    other = path.with_name("another.mp4")
    other.write_bytes(path.read_bytes()[1:])
    cable.cut_after(20 * MB)
    choose(page, other)
    assert cable.broken.wait(LONG)
    panel(page, "upload").get_by_role("button", name="Pause another.mp4").click()
    cable.mend()
    panel(page, "upload").get_by_role("button", name="Remove: another.mp4").click()
    expect(panel(page, "upload").get_by_text("another.mp4")).to_have_count(0)
    open_panels(page, server, "upload")
    expect(panel(page, "upload").get_by_text("Drop videos here")).to_be_visible()
    expect(panel(page, "upload").get_by_text("another.mp4")).to_have_count(0)


def test_several_files_are_dropped_at_once(server: Server, page: Page) -> None:
    open_panels(page, server, "upload")
    page.evaluate(
        """() => {
        const data = new DataTransfer();
        for (const name of ['a.mp4', 'b.mp4', 'c.mp4']) data.items.add(new File([name], name));
        const drop = (kind) => document.querySelector('.dlc-drop')
            .dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
        drop('dragover');
        drop('drop');
    }"""
    )
    expect(panel(page, "upload").get_by_text("uploaded")).to_have_count(3)
    assert sorted(trait(page, "upload", "files")) == sorted(
        hashlib.sha1(name).hexdigest() for name in (b"a.mp4", b"b.mp4", b"c.mp4")
    )
