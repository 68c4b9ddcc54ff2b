"""The player shows the frame that it says, with the poses of that very frame: while it stands, steps, and plays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.cinema import Cinema, Seat, wrong
from tests.browser.numbered import FRAMES, KINDS, PARTS, WIDTH, places
from tests.browser.pages import WAIT, open_panels, set_trait, trait
from tests.system.servers import Server, wait_until

expect.set_options(timeout=WAIT * 1000)

DIRECT = [name for name, kind in KINDS.items() if kind.play == "direct"]
COPIED = [name for name, kind in KINDS.items() if kind.play != "direct"]
FRAMES_OF = {"trimmed.mp4": FRAMES - KINDS["trimmed.mp4"].first}
#: The video that most tests are about.
NAME = "short-gop.mp4"


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    """All videos with poses."""
    cinema = Cinema(tmp_path_factory.mktemp("cinema"), tmp_path_factory.mktemp("films"))
    for name in KINDS:
        cinema.show(name, FRAMES_OF.get(name, FRAMES))
    yield cinema
    cinema.site.end()


@pytest.fixture(scope="module")
def server(cinema: Cinema) -> Server:
    return cinema.start()


Sit = Callable[..., Seat]


@pytest.fixture
def sit(cinema: Cinema, server: Server, page: Page) -> Sit:
    """Open the player on a video, and wait for its picture."""

    def sit(name: str = NAME, *, on: Page = page, **traits: object) -> Seat:
        looked_at = {"file_id": cinema.videos[name], "analysis_id": cinema.analyses[name], **traits}
        open_panels(on, server, "player", player=looked_at)
        seat = Seat(on, WIDTH)
        seat.canvas.wait_for()
        seat.player.get_by_role("button", name="snout").wait_for()  # the poses are here
        return seat

    return sit


def check(seat: Seat, cinema: Cinema, name: str) -> None:
    """Go to frames all over the video, step there and back, and play."""
    frames, poses = FRAMES_OF.get(name, FRAMES), cinema.poses[name]
    seat.until(0)
    chosen = random.Random(5)
    wanted = [frames - 1, 0, 1, frames - 2, 249, 250, 251, *(chosen.randrange(frames) for _ in range(20))]
    gone = [seat.go(frame) for frame in wanted]
    assert [each.said for each in gone] == wanted
    assert wrong(gone, name, poses) == []

    at, stepped = 245, [seat.go(245)]
    for key, step in (("ArrowRight", 1), ("ArrowLeft", -1)):
        for _ in range(10):
            seat.press(key)
            at += step
            stepped.append(seat.until(at))
    assert wrong(stepped, name, poses) == []

    seat.go(20)
    seat.press("Space")
    played = seat.watch(2.0)
    seat.press("Space")
    assert len({each.said for each in played}) > 10
    assert wrong(played, name, poses) == []


@pytest.mark.parametrize("name", DIRECT)
def test_the_frame_and_the_poses_are_those_of_the_number(sit: Sit, cinema: Cinema, name: str) -> None:
    check(sit(name), cinema, name)


@pytest.mark.parametrize("name", COPIED)
def test_a_video_that_does_not_play_says_why_and_is_made_playable(sit: Sit, cinema: Cinema, name: str) -> None:
    seat = sit(name)
    notice = seat.player.locator(".dlc-notice")
    expect(notice).to_contain_text("to be played.")
    # Its poses are there, with nothing beneath them.
    assert np.abs(seat.go(30).dots - cinema.poses[name][30, :, :2]).max() < 1.2
    seat.go(0)
    notice.get_by_role("button", name="Make it playable").click()
    seat.player.locator("video").wait_for(state="attached")
    expect(notice).to_have_count(0)
    wait_until(lambda: seat.look().number == 0)
    check(seat, cinema, name)


def test_every_speed_shows_the_poses_of_the_frame(sit: Sit, cinema: Cinema, page: Page) -> None:
    seat = sit()
    for speed in ("4", "0.25"):
        seat.go(10)
        seat.player.get_by_label("Speed").select_option(speed)
        seat.press("Space")
        assert wrong(seat.watch(1.5), NAME, cinema.poses[NAME]) == []
        set_trait(page, "player", "playing", False)  # it may have come to the end by then


def test_a_browser_without_video_frames_shows_the_right_ones_while_it_stands(
    sit: Sit, cinema: Cinema, browsers: Callable[..., Page]
) -> None:
    page = browsers().new_page()
    page.add_init_script("delete globalThis.VideoFrame")
    seat = sit("uneven.mp4", on=page)
    for frame in (0, 1, 100, 101, 99, 250, FRAMES - 1):
        seat.go(frame)
        wait_until(lambda frame=frame: wrong([seat.photograph(frame)], "uneven.mp4", cinema.poses["uneven.mp4"]) == [])


def test_scrubbing_ends_at_the_frame_where_the_pointer_was_let_go(sit: Sit, cinema: Cinema, page: Page) -> None:
    seat = sit("long-gop.mp4")
    box = seat.player.locator(".dlc-timeline-box").bounding_box()
    assert box
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for part in np.linspace(0.05, 0.75, 60):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 5)
    page.mouse.up()
    seen = seat.until(int(0.75 * FRAMES))
    assert wrong([seen], "long-gop.mp4", cinema.poses["long-gop.mp4"]) == []


def test_a_cropped_part_and_missing_first_frames_are_where_they_belong(cinema: Cinema, sit: Sit) -> None:
    name, first, corner = "long-gop.mp4", 7, (40, 25)
    poses = places(FRAMES - first) - np.array([*corner, 0], np.float32)
    analysis = cinema.show_again(name, poses, first=first, cropping=(corner[0], WIDTH, corner[1], 240))
    seat = sit(name, analysis_id=analysis)
    for frame in (7, 8, 250, FRAMES - 1):
        seen = seat.go(frame)
        assert seen.number == frame
        assert np.abs(seen.dots - places(FRAMES)[frame - first, :, :2]).max() < 1.2
    assert np.isnan(seat.go(6).dots).all()
    expect(seat.player.get_by_text("no poses of this frame")).to_be_visible()


def test_the_threshold_hides_points_at_once_and_is_the_trait(cinema: Cinema, sit: Sit, page: Page) -> None:
    poses = places(FRAMES)
    poses[:, 1, 2] = 0.5
    analysis = cinema.show_again(NAME, poses)
    seat = sit(analysis_id=analysis)
    seat.go(100)
    assert np.isnan(seat.look().dots).any(axis=1).tolist() == [False, True, False]
    set_trait(page, "player", "threshold", 0.4)
    wait_until(lambda: not np.isnan(seat.look().dots).any())
    seat.player.get_by_label("Likelihood above").fill("0.5")  # what is not above it is not drawn
    wait_until(lambda: np.isnan(seat.look().dots[1]).all())
    assert trait(page, "player", "threshold") == 0.5
    assert seat.look().said == 100


def test_what_is_hidden_is_not_drawn(sit: Sit) -> None:
    seat = sit()
    seat.go(50)
    seat.player.get_by_role("button", name="tail", exact=True).click()
    wait_until(lambda: np.isnan(seat.look().dots).any(axis=1).tolist() == [False, False, True])
    seat.player.get_by_role("button", name="Show all: body parts").click()
    wait_until(lambda: not np.isnan(seat.look().dots).any())


def test_python_and_the_player_follow_each_other(sit: Sit, page: Page) -> None:
    seat = sit(frame=77).pictured()
    assert seat.until(77).number == 77
    set_trait(page, "player", "frame", 301)
    assert seat.until(301).number == 301
    seat.press("Shift+ArrowLeft", "ArrowLeft")
    seat.until(290)
    wait_until(lambda: trait(page, "player", "frame") == 290)
    set_trait(page, "player", "playing", True)
    wait_until(lambda: seat.look().said > 300)
    set_trait(page, "player", "playing", False)
    wait_until(lambda: trait(page, "player", "frame") == seat.look().said)


def test_frames_are_selected_by_keys_and_by_the_pointer(sit: Sit, page: Page) -> None:
    seat = sit()
    seat.go(100)
    seat.press("[")
    seat.go(149)
    seat.press("]")
    assert trait(page, "player", "selection") == [100, 150]
    expect(seat.player.get_by_text("100 – 149")).to_be_visible()

    seat.press("l", "Space")
    wait_until(lambda: seat.look().said < 149)
    played = [each.said for each in seat.watch(2.5)]
    seat.press("Space")
    assert min(played) >= 100
    assert max(played) < 150

    seat.press("Escape")
    assert trait(page, "player", "selection") is None
    box = seat.player.locator(".dlc-timeline-box").bounding_box()
    assert box
    x, y = box["x"], box["y"] + box["height"] / 2
    page.mouse.move(x + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.5, y, steps=5)
    page.mouse.up()
    start, stop = trait(page, "player", "selection")
    assert (start, stop - 1) == (pytest.approx(0.25 * FRAMES, abs=1), pytest.approx(0.5 * FRAMES, abs=1))


def test_poses_appear_while_they_are_found(cinema: Cinema, sit: Sit) -> None:
    name = "5994.mp4"
    analysis = cinema.begin(cinema.videos[name])
    cinema.grow(analysis, places(150), FRAMES)
    seat = sit(name, analysis_id=analysis)
    assert wrong([seat.go(149)], name, places(FRAMES)) == []
    seat.go(200)
    expect(seat.player.get_by_text("not analysed yet")).to_be_visible()
    assert np.isnan(seat.look().dots).all()
    cinema.grow(analysis, places(260), FRAMES)
    expect(seat.player.get_by_text("not analysed yet")).to_have_count(0)
    wait_until(lambda: wrong([seat.look()], name, places(FRAMES)) == [])
    assert seat.look().said == 200


def test_traces_lead_to_the_frame(sit: Sit, page: Page) -> None:
    seat = sit().pictured()
    seat.player.get_by_text("Traces", exact=True).click()
    plot = seat.player.locator(".u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 20)
    assert seat.until(FRAMES // 2).number == FRAMES // 2
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=5)
    page.mouse.up()
    # What was dragged over is what the time line shows now, and no frame was gone to.
    expect(seat.player.get_by_role("button", name="All", exact=True).first).to_be_enabled()
    assert seat.look().said == FRAMES // 2


def test_keys_alone_will_do(sit: Sit, page: Page) -> None:
    seat = sit().pictured()
    line = seat.player.get_by_role("slider", name="Frame")
    for _ in range(60):
        page.keyboard.press("Tab")
        if line.evaluate("each => each === document.activeElement"):
            break
    for key, frame in (("End", FRAMES - 1), ("ArrowLeft", FRAMES - 2), ("Home", 0), ("ArrowRight", 1), ("PageUp", 101)):
        page.keyboard.press(key)
        assert seat.until(frame).number == frame
    assert line.get_attribute("aria-valuetext") == f"frame 101 of {FRAMES}, 0:03.37"
    page.keyboard.press("?")
    expect(seat.player.get_by_text("play or pause")).to_be_visible()


def test_points_in_space_turn_and_follow_the_same_controls(cinema: Cinema, sit: Sit) -> None:
    time = np.arange(FRAMES)[:, None]
    points = np.ones((FRAMES, len(PARTS), 4), np.float32)
    points[..., 0] = np.arange(len(PARTS)) * 50
    points[..., 1] = 30 * np.sin(time / 20)
    points[..., 2] = np.arange(len(PARTS)) * 20 + 20 * np.cos(time / 30)
    header = {"skeleton": [["snout", "back"]], "unit": "mm", "up": "z", "fps": 30.0}
    analysis = cinema.show_in_space("uneven.mp4", points, **header)
    seat = sit("uneven.mp4", analysis_id=analysis)
    expect(seat.player.get_by_role("button", name="In space")).to_have_attribute("aria-pressed", "true")
    first = seat.go(0)
    assert not np.isnan(first.dots).any()
    later = seat.go(60)
    assert np.abs(later.dots - first.dots).max() > 3
    seat.player.get_by_role("button", name="Turn left").click()
    wait_until(lambda: np.abs(seat.look().dots - later.dots).max() > 3)
    assert seat.look().said == 60
    seat.player.get_by_role("button", name="uneven.mp4").click()
    seat.player.locator("video").wait_for(state="attached")


@pytest.mark.parametrize("width", [380, 900])
def test_nothing_sticks_out(sit: Sit, browsers: Callable[..., Page], width: int) -> None:
    seat = sit(on=browsers(viewport={"width": width, "height": 800}, device_scale_factor=2).new_page())
    seat.player.get_by_text("Traces", exact=True).click()
    seat.player.locator(".u-over").wait_for()
    assert seat.page.evaluate("document.documentElement.scrollWidth") <= width
    # As many pixels as the screen has, so that dots and letters are sharp.
    assert seat.canvas.evaluate("each => each.width / each.clientWidth") > 1.7
