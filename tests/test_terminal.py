"""How things look on a terminal, and where there is none."""

from __future__ import annotations

import io
import re

import pytest

from dlc_jupyter.amounts import duration
from dlc_jupyter.terminal import ProgressBar, can_show, table, wrapped


class Terminal(io.StringIO):
    """A terminal: what is on its lines once everything was drawn over."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]

    @property
    def drawn(self) -> list[str]:
        """Every state of the line, one after the other."""
        return self.getvalue().split("\r\x1b[K")[1:]


class OldTerminal(Terminal):
    encoding = "ascii"


FRAMES = {"done": 150, "total": 600, "unit": "frames", "rate": 24.4, "eta": 18.4}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (48, "48 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every terminal has 100 columns, unless a test says otherwise."""
    monkeypatch.setenv("COLUMNS", "100")


def test_a_table_has_columns_and_nothing_at_the_ends_of_its_lines() -> None:
    drawn = table(("NAME", "KIND"), [("demo-mouse", "2d"), ("ä", "")])
    assert drawn == "NAME        KIND\ndemo-mouse  2d\nä"
    assert table(("NAME", "KIND"), []) == "NAME  KIND"


@pytest.mark.parametrize("columns", range(40, 101))
def test_text_is_broken_to_the_width_but_what_may_be_typed_is_not(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command = "pip install --force-reinstall torch torchvision"
    lines = wrapped(f"Install the two from one place: {command}", "    ").splitlines()
    assert all(line.startswith("    ") and len(line) <= columns for line in lines)
    assert "--force-reinstall" in " ".join(lines).split()


def test_a_terminal_of_no_width_gets_lines_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    assert max(len(line) for line in wrapped("word " * 50, "  ").splitlines()) == 36


# -- the bar, live -----------------------------------------------------------------------------------------------------


def test_the_bar_grows_and_ends_as_one_line() -> None:
    terminal = Terminal()
    bar = ProgressBar("Poses", terminal)
    bar.say("DeepLabCut is being loaded")
    bar.show(FRAMES)
    bar.show(FRAMES | {"done": 600})
    bar.done("600 frames in 25 s")
    filled = [line.count("█") for line in terminal.drawn]
    assert filled == [0, 6, 24, 24]
    assert terminal.drawn[0] == f"Poses  {'·' * 24}  DeepLabCut is being loaded"
    assert terminal.drawn[1].endswith("150 of 600 frames, 24 frames/s, 18 s left")
    assert terminal.drawn[2].endswith("600 of 600 frames, 24 frames/s")  # nothing is left
    assert terminal.lines == [f"Poses  {'█' * 24}  600 frames in 25 s", ""]


def test_bytes_are_shown_as_sizes() -> None:
    terminal = Terminal()
    ProgressBar("Upload", terminal).show({"done": 2**20, "total": 2**22, "unit": "bytes", "rate": 2**19, "eta": 6})
    assert terminal.lines[-1].endswith("1 MiB of 4 MiB, 512 KiB/s, 6 s left")


@pytest.mark.parametrize("progress", [{}, {"done": 3, "unit": "frames"}, {"done": 9, "total": 3}, {"total": 0}])
def test_progress_that_knows_little_breaks_nothing(progress: dict[str, object]) -> None:
    terminal = Terminal()
    ProgressBar("Poses", terminal).show(progress)
    line = terminal.lines[-1]
    assert line.count("█") + line.count("·") == 24


@pytest.mark.parametrize("columns", [10, 20, 40, 80, 200])
def test_the_line_never_wraps_and_its_words_come_before_the_bar(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    bar = ProgressBar("Poses ", terminal)
    bar.show(FRAMES | {"eta": 107})
    bar.done("600 frames in 25 s")
    assert all(len(line.rstrip("\n")) < columns for line in terminal.drawn)
    words = "150 of 600 frames, 24 frames/s, 1 min 47 s left"
    if columns < 60:  # no room for a bar
        assert terminal.drawn[0] == f"Poses     {words}"[: columns - 1]
    else:
        assert terminal.drawn[0].endswith(words)
        assert "█" in terminal.drawn[0]


def test_a_terminal_without_blocks_gets_signs() -> None:
    terminal = OldTerminal()
    ProgressBar("Poses", terminal).show(FRAMES)
    assert terminal.lines[-1].startswith(f"Poses  {'#' * 6}{'.' * 18}  150 of 600")
    assert can_show("a", terminal)
    assert not can_show("✓", terminal)


def test_a_bar_that_breaks_off_leaves_its_line_and_goes_to_the_next() -> None:
    terminal = Terminal()
    bar = ProgressBar("Poses", terminal)
    bar.broken()  # nothing was drawn: nothing is left
    assert terminal.getvalue() == ""
    bar.show(FRAMES)
    bar.broken()
    assert terminal.lines == [terminal.lines[0], ""]
    assert "150 of 600" in terminal.lines[0]


# -- the bar, where there is no terminal -------------------------------------------------------------------------------


def test_in_a_log_there_is_a_plain_line_now_and_then() -> None:
    log = io.StringIO()
    bar = ProgressBar("Poses ", log, every=3600)
    bar.say("DeepLabCut is being loaded")
    bar.say("DeepLabCut is being loaded")
    for done in range(600):
        bar.show(FRAMES | {"done": done})
    bar.done("600 frames in 25 s")
    assert log.getvalue() == "Poses: DeepLabCut is being loaded\nPoses: 600 frames in 25 s\n"


def test_in_a_log_nothing_is_drawn_over_and_nothing_is_said_twice() -> None:
    log = io.StringIO()
    bar = ProgressBar("Poses", log, every=0)
    for done in (150, 150, 300):
        bar.show(FRAMES | {"done": done})
    bar.broken()
    assert re.findall(r"(\d+) of 600", log.getvalue()) == ["150", "300"]
    assert not re.search(r"[\r\x1b█]", log.getvalue())
