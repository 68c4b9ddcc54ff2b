"""The player shows the frame that it says, with the poses of that very frame: while it stands, steps, and plays."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cinema import Cinema, Seat, wrong
from tests.browser.numbered import FRAMES, KINDS, WIDTH
from tests.browser.pages import WAIT, open_panels
from tests.system.servers import Server

expect.set_options(timeout=WAIT * 1000)

DIRECT = [name for name, kind in KINDS.items() if kind.play == "direct"]
COPIED = [name for name, kind in KINDS.items() if kind.play != "direct"]
FRAMES_OF = {"trimmed.mp4": FRAMES - KINDS["trimmed.mp4"].first}


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    """All videos with poses; one of them a second time, without."""
    cinema = Cinema(tmp_path_factory.mktemp("cinema"), tmp_path_factory.mktemp("films"))
    for name in KINDS:
        cinema.show(name, FRAMES_OF.get(name, FRAMES))
    yield cinema
    cinema.site.end()


@pytest.fixture(scope="module")
def server(cinema: Cinema) -> Server:
    return cinema.start()


@pytest.fixture
def seat(cinema: Cinema, server: Server, page: Page):
    """Open the player on a video."""

    def sit(name: str, **traits: object) -> Seat:
        open_panels(page, server, "player", player={"file_id": cinema.videos[name], **traits})
        seat = Seat(page, WIDTH)
        seat.canvas.wait_for()
        return seat

    return sit


def check(seat: Seat, cinema: Cinema, name: str) -> None:
    """Go to frames all over the video, step there and back, and play."""
    frames, poses = FRAMES_OF.get(name, FRAMES), cinema.poses[name]
    seat.until(0)
    seat.player.get_by_role("button", name="snout").wait_for()  # the poses are here
    chosen = random.Random(5)
    wanted = [frames - 1, 0, 1, frames - 2, 249, 250, 251, *(chosen.randrange(frames) for _ in range(24))]
    gone = [seat.go(frame) for frame in wanted]
    assert [each.said for each in gone] == wanted
    assert wrong(gone, name, poses) == []

    seat.go(240)
    stepped = []
    for key, step in (("ArrowRight", 1), ("ArrowLeft", -1)):
        for _ in range(15):
            at = seat.look().said
            seat.press(key)
            stepped.append(seat.until(at + step))
    assert wrong(stepped, name, poses) == []

    seat.go(20)
    seat.press("Space")
    played = seat.watch(2.0)
    seat.press("Space")
    assert len(played) > 15
    assert wrong(played, name, poses) == []


@pytest.mark.parametrize("name", DIRECT)
def test_the_frame_and_the_poses_are_those_of_the_number(seat, cinema: Cinema, name: str) -> None:
    check(seat(name), cinema, name)
