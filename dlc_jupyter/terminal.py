"""How things look on a terminal: marks, tables and the progress bar."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from dlc_jupyter.amounts import duration, readable

#: Columns of a progress bar, and of what may stand beside it. A narrow terminal gets a shorter bar.
BAR = 24
BESIDE_BAR = 60


def can_show(text: str, stream: TextIO | None = None) -> bool:
    """Whether `stream` (standard output where it is left out) can print `text` as it is."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def table(header: Sequence[str], rows: Sequence[Sequence[str]], gap: str = "  ") -> str:
    """Return rows as left-aligned columns under a header."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def wrapped(text: str, indent: str) -> str:
    """Return `text` broken to the terminal's width, every line indented. No word is broken: it may be typed again."""
    width = max(40, min(shutil.get_terminal_size().columns, 100))
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def progress_in_words(progress: Mapping[str, Any]) -> str:
    """Return a record's ``progress`` as people read it: ``300 of 600 frames, 25 frames/s, 12 s left``."""
    done, total = float(progress.get("done") or 0), progress.get("total")
    unit = str(progress.get("unit") or "")
    if unit == "bytes":
        amount = readable(done) + (f" of {readable(total)}" if total else "")
    else:
        amount = f"{done:g}" + (f" of {total:g}" if total else "") + f" {unit}"
    rate, eta = progress.get("rate"), progress.get("eta")
    parts = [amount]
    if rate:
        parts.append(f"{readable(rate) if unit == 'bytes' else f'{rate:.0f} {unit}'}/s")
    if eta and total and done < total:
        parts.append(f"{duration(eta)} left")
    return ", ".join(parts)


class ProgressBar:
    """One line that shows how far something has come.

    On a terminal the line is drawn over; elsewhere (a log, a pipe) a plain line is printed every `every` seconds, and
    one at the end.

    Parameters
    ----------
    label : str
        What is going on.
    stream : TextIO, optional
        Standard output where it is left out.
    every : float, optional
        Seconds between two plain lines.
    """

    def __init__(self, label: str, stream: TextIO | None = None, every: float = 5.0) -> None:
        self.label = label
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.every = every
        self.filled, self.empty = ("█", "·") if can_show("█·", self.stream) else ("#", ".")
        self.started = self.printed = time.monotonic()
        self.last = ""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Show a record's ``progress``: ``done, total, unit, rate`` (per second) and ``eta`` (seconds)."""
        done, total = float(progress.get("done") or 0), progress.get("total")
        self._write(progress_in_words(progress), done / total if total else 0.0)

    def say(self, message: str) -> None:
        """Show a state in words, such as a wait; elsewhere than on a terminal it is printed at once, and once."""
        if message != self.last:
            self.printed = -self.every
        self._write(message, 0.0)

    def done(self, message: str = "") -> None:
        """End the line."""
        text = message or f"done in {duration(time.monotonic() - self.started)}"
        if self.live:
            self._draw(1.0, text)
            self.stream.write("\n")
        else:
            self.stream.write(f"{self.label.rstrip()}: {text}\n")
        self.stream.flush()

    def broken(self, message: str = "") -> None:
        """Leave the line as it stands, with a message in its place where there is one, and go to the next."""
        if message:
            self.say(message)
        if self.live and self.last:
            self.stream.write("\n")
            self.stream.flush()

    def _write(self, text: str, share: float) -> None:
        now = time.monotonic()
        if self.live:
            self._draw(share, text)
        elif text != self.last and now - self.printed >= self.every:
            self.printed = now
            self.stream.write(f"{self.label.rstrip()}: {text}\n")
            self.stream.flush()
        self.last = text

    def _draw(self, share: float, text: str) -> None:
        columns = shutil.get_terminal_size().columns
        length = min(BAR, max(columns - BESIDE_BAR, 0))
        full = round(length * min(share, 1.0))
        line = f"{self.label}  {self.filled * full}{self.empty * (length - full)}  {text}"
        self.stream.write("\r\x1b[K" + line[: columns - 1])
        self.stream.flush()
