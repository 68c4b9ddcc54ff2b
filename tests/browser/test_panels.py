"""What a person does with the panels: start by a form, follow, cancel, read why something failed, by mouse or keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from dlc_jupyter import demo
from dlc_jupyter.errors import AnalysisFailed
from tests.browser.pages import WAIT, open_panels, panel, set_trait, trait
from tests.system.servers import Server, wait_until


def rows(page: Page, name: str = "whole") -> Locator:
    return panel(page, name).locator(".dlc-analysis")


def choose(page: Page, analysis: str, **values: str) -> None:
    """Fill the form in; what is not named keeps its default."""
    page.get_by_label("What to do").select_option(analysis)
    for label, text in values.items():
        page.get_by_label(label, exact=False).first.fill(text)


def start(page: Page) -> None:
    page.get_by_role("button", name="Start", exact=True).click()


def test_a_wrong_value_is_told_at_its_field_and_a_right_one_starts_the_analysis(studio: Server, page: Page) -> None:
    open_panels(page, studio, "whole")
    page.get_by_role("checkbox", name=demo.VIDEO.name).check()
    assert page.get_by_role("list", name="Chosen videos").inner_text().startswith(demo.VIDEO.name)
    before = {each["analysis_id"] for each in studio.client.analyses()}

    start_at, stop = page.get_by_label("Start", exact=True), page.get_by_label("Stop", exact=True)
    start_at.fill("ten")
    start(page)
    expect(start_at).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("“ten” is no whole number.")).to_be_visible()

    start_at.fill("50")
    stop.fill("10")  # only the server knows that this cannot be
    start(page)
    expect(page.get_by_role("alert")).to_be_visible()
    assert {each["analysis_id"] for each in studio.client.analyses()} == before

    start_at.fill("0")
    stop.fill("60")
    start(page)
    expect(page.get_by_text("1 analysis started.")).to_be_visible()
    (started,) = trait(page, "whole", "analysis_ids")
    assert trait(page, "whole", "analysis_id") == started
    assert (
        studio.succeed(started)["parameters"] | {"start": 0, "stop": 60} == studio.client.status(started)["parameters"]
    )
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_role("heading", name="In the next cell")).to_be_visible()
    found = studio.client.result(started)
    expect(result.locator("dt", has_text="Frames").locator("+ dd").first).to_contain_text(str(found["frames"]))
    with page.expect_download() as download:
        result.get_by_role("link", name="Download").first.click()
    assert Path(download.value.path()).stat().st_size > 0


def test_a_running_analysis_moves_its_bar_and_can_be_cancelled(server: Server, page: Page) -> None:
    open_panels(page, server, "queue")
    analysis = server.client.run("sleep", [], time=300)
    bar = panel(page, "queue").get_by_role("progressbar")
    bar.wait_for()
    page.wait_for_function(
        "() => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) >= 1"
    )
    panel(page, "queue").get_by_role("button", name="Cancel sleep").click()
    expect(rows(page, "queue").first).to_contain_text("cancelled")
    assert server.client.status(analysis)["state"] == "cancelled"


def test_one_that_failed_says_why_what_to_do_and_what_its_log_says(
    studio: Server, page: Page, tmp_path: Path, picture: Callable[[Page, str], None]
) -> None:
    broken = tmp_path / "day 3.mp4"
    broken.write_bytes(demo.VIDEO.read_bytes()[:20_000])
    analysis = studio.client.run("video", [studio.client.upload(broken)], model=demo.MODEL_NAME)
    with pytest.raises(AnalysisFailed) as failed:
        studio.client.wait(analysis, timeout=WAIT)
    open_panels(page, studio, "queue", "result")
    panel(page, "queue").get_by_role("button", name="Failed", exact=True).click()
    row = rows(page, "queue").filter(has_text="day 3.mp4")
    row.get_by_role("button").first.click()
    set_trait(page, "result", "analysis_id", trait(page, "queue", "selected"))
    alert = panel(page, "result").get_by_role("alert")
    expect(alert).to_contain_text(failed.value.message)
    expect(alert).to_contain_text(failed.value.hint)
    picture(page, "failed")
    panel(page, "result").get_by_text("Log", exact=True).click()
    expect(panel(page, "result").get_by_label("Log", exact=True)).to_contain_text(failed.value.message)
    alert.get_by_role("button", name="Try again").click()
    wait_until(lambda: trait(page, "result", "analysis_id") not in ("", str(analysis)))


def test_two_tabs_agree(server: Server, page: Page) -> None:
    other = page.context.new_page()
    for each in (page, other):
        open_panels(each, server, "whole")
    choose(page, "sleep", Time="300")
    start(page)
    for each in (page, other):
        expect(rows(each)).to_have_count(1)
    other.get_by_role("button", name="Cancel sleep").first.click()
    for each in (page, other):
        expect(rows(each).first).to_contain_text("cancelled")
    other.get_by_role("button", name="Remove sleep").first.click()
    for each in (page, other):
        expect(rows(each)).to_have_count(0)


def test_panels_of_one_page_share_one_connection(server: Server, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(server.url)))
    open_panels(page, server, "upload", "launch", "queue", "result")
    expect(panel(page, "queue").locator(".dlc-empty")).to_contain_text("No analysis yet")
    assert asked.count("dlc/events") <= 1
    assert asked.count("dlc/schema") == 1


def test_keys_alone_will_do(server: Server, page: Page) -> None:
    open_panels(page, server, "whole")

    def go_to(name: str) -> None:
        """Press Tab until something of that name has the focus, and see that this is seen."""
        for _ in range(120):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => { const at = document.activeElement; const style = getComputedStyle(at);"
                " return [at.ariaLabel || at.labels?.[0]?.innerText || at.innerText || '', style.outlineStyle]; }"
            )
            if focused[0].startswith(name):
                assert focused[1] != "none", f"{name} has the focus, and nobody sees it"
                return
        raise AssertionError(f"{name} is not reached by Tab")

    page.keyboard.press("Tab")  # the tabs: one stop, arrows inside
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("list", name="Models")).to_contain_text(demo.MODEL_NAME)
    page.keyboard.press("ArrowLeft")
    go_to("What to do")
    page.keyboard.type("sle")
    go_to("Time")
    page.keyboard.type("0.1")
    page.keyboard.press("Enter")
    expect(rows(page).first).to_contain_text("done")
    set_trait(page, "whole", "analysis_id", "")
    go_to("sleep")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Result")).to_contain_text("How long it waited")
    go_to("Remove sleep")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(0)


def test_a_file_is_deleted_only_when_one_means_it(server: Server, page: Page) -> None:
    file_id = server.client.upload(demo.VIDEO)
    open_panels(page, server, "whole")
    page.get_by_role("button", name=f"Delete {demo.VIDEO.name}").click()
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("checkbox", name=demo.VIDEO.name).check()
    assert trait(page, "whole", "file_ids") == [file_id]
    page.get_by_role("button", name=f"Delete {demo.VIDEO.name}").click()
    page.get_by_role("button", name=f"Delete {demo.VIDEO.name}, really").click()
    expect(page.get_by_role("checkbox", name=demo.VIDEO.name)).to_have_count(0)
    assert server.client.files() == []
    assert trait(page, "whole", "file_ids") == []


ROOMS = ("Files", "Start", "Analyses", "Result", "Models")


def test_a_phone_shows_every_room_and_nothing_sticks_out(
    studio: Server, browsers: Callable[..., Page], picture: Callable[[Page, str], None]
) -> None:
    page = browsers(viewport={"width": 380, "height": 780}, has_touch=True).new_page()
    open_panels(page, studio, "whole")
    for room in ROOMS:
        page.get_by_role("tab", name=room).tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, room
        assert sticking_out(page) == [], room
        picture(page, f"phone_{room.lower()}")


@pytest.mark.parametrize("width", [640, 900, 1400])
def test_nothing_sticks_out_at_other_widths(studio: Server, browsers: Callable[..., Page], width: int) -> None:
    page = browsers(viewport={"width": width, "height": 900}).new_page()
    open_panels(page, studio, "whole")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert sticking_out(page) == []


def sticking_out(page: Page) -> list[str]:
    """What is cut off though it is no text that ends with an ellipsis, nor meant to be scrolled."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.dlc button, .dlc input, .dlc select, .dlc h2, .dlc h3')]
        .filter((each) => each.offsetParent && !each.matches('.dlc-file-input'))
        .filter((each) => !each.closest('.dlc-tabs, .dlc-player-panel'))
        .filter((each) => { const box = each.getBoundingClientRect();
            return box.right > innerWidth + 1 || box.left < -1; })
        .map((each) => each.outerHTML.slice(0, 120))"""
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_is_written_can_be_read(studio: Server, page: Page, dark: bool) -> None:
    """WCAG's 4.5 to 1, on the ground that each text really has."""
    open_panels(page, studio, "whole", dark=dark)
    page.add_script_tag(content=CONTRAST)
    poor = page.evaluate("() => poorContrast('.dlc')")
    assert poor == []


#: Colours are read off a canvas, which knows all ways to write one.
CONTRAST = """
const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
const pen = canvas.getContext('2d', {willReadFrequently: true});
function painted(layers) {
  pen.clearRect(0, 0, 1, 1);
  for (const each of layers) { pen.fillStyle = each; pen.fillRect(0, 0, 1, 1); }
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
function light(rgb) {
  const linear = (each) => each <= 0.04 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = rgb.map((each) => linear(each / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function poorContrast(within) {
  const poor = [];
  for (const each of document.querySelectorAll(`:is(${within}) *`)) {
    const text = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !each.offsetParent || each.matches(':disabled, option')) continue;
    const layers = ['#fff'];
    const chain = [];
    for (let at = each; at; at = at.parentElement) chain.unshift(getComputedStyle(at).backgroundColor);
    layers.push(...chain);
    const ground = light(painted(layers)), ink = light(painted([...layers, getComputedStyle(each).color]));
    const ratio = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    if (ratio < 4.5) poor.push([each.className, each.textContent.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return poor;
}
"""


@pytest.fixture(scope="module")
def results(studio: Server) -> dict[str, str]:
    """Analyses of the demo's videos that have ended, by name."""
    client = studio.client
    by_name = {each["filename"]: each["file_id"] for each in client.files()}
    video, cameras = by_name[demo.VIDEO.name], [by_name[each.name] for each in demo.VIDEOS_3D]
    asked = {
        "video": client.run("video", [video], model=demo.MODEL_NAME),
        "label": client.run("label", [video], model=demo.MODEL_NAME, draw_skeleton=True, trailpoints=10),
        "plot": client.run("plot", [video], model=demo.MODEL_NAME),
        "triangulate": client.run("triangulate", cameras, model=demo.MODEL_3D_NAME),
    }
    for each in asked.values():
        studio.succeed(each)
    return {name: str(each) for name, each in asked.items()}


@pytest.mark.parametrize("analysis", ["video", "label", "plot", "triangulate"])
def test_a_result_is_shown_with_all_that_it_has(
    studio: Server, page: Page, results: dict[str, str], analysis: str, picture: Callable[[Page, str], None]
) -> None:
    open_panels(page, studio, "result", result={"analysis_id": results[analysis]})
    shown = page.get_by_role("region", name="Result")
    expect(shown.get_by_role("heading", name="Files")).to_be_visible()
    found = studio.client.result(results[analysis])
    files = {each["file_id"]: each["filename"] for each in studio.client.files()}
    for field, value in found.items():
        if field.endswith("_file") and value:
            expect(shown.get_by_label(f"Download {files[value]}").first).to_be_visible()
    for each in found.get("notes", []):
        expect(shown.get_by_text(each)).to_be_visible()
    expect(shown.get_by_label("the Python", exact=True)).to_contain_text(results[analysis][:12])
    page.wait_for_function("() => [...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    assert page.locator("img").count() == (5 if analysis == "plot" else 0)
    films = page.locator("video")
    assert films.count() == (1 if analysis == "label" else 0)
    if analysis == "label":
        page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
        films.first.evaluate("(film) => film.play()")
        page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
        films.first.evaluate("(film) => { film.pause(); film.currentTime = 5; }")
        page.wait_for_function("() => !document.querySelector('video').seeking")
    picture(page, f"result_{analysis}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_is_in_one_panel(
    studio: Server, page: Page, results: dict[str, str], dark: bool, picture: Callable[[Page, str], None]
) -> None:
    open_panels(page, studio, "whole", dark=dark, whole={"analysis_id": results["video"]})
    waits = [studio.client.run("sleep", [], time=300) for _ in range(2)]
    expect(page.get_by_role("progressbar").first).to_be_visible()
    page.get_by_role("checkbox", name=demo.VIDEO.name).check()
    player = page.get_by_role("region", name="Player")
    expect(player.locator("canvas").first).to_be_visible()
    set_trait(page, "whole", "frame", 250)
    expect(player.get_by_label("Frame, of 600")).to_have_value("250")
    picture(page, "panel_dark" if dark else "panel")
    page.add_script_tag(content=CONTRAST)
    assert page.evaluate("() => poorContrast('.dlc-columns, .dlc-result-room')") == []
    assert sticking_out(page) == []
    for each in waits:
        studio.client.cancel(each)
