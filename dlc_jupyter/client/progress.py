"""How far something has come, where it is waited for: a bar under the cell in a notebook, a line in a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any, Protocol

from dlc_jupyter.amounts import duration
from dlc_jupyter.terminal import ProgressBar, progress_in_words

#: Called with the record of an analysis whenever it has changed.
OnProgress = Callable[[Mapping[str, Any]], None]


class Bar(Protocol):
    """What shows how far something has come."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Show a record's ``progress``: ``done, total, unit, rate`` (per second) and ``eta`` (seconds)."""

    def say(self, message: str) -> None:
        """Show a state in words."""

    def done(self, message: str = "") -> None:
        """Show that it has ended well."""

    def broken(self, message: str = "") -> None:
        """Show that it is followed no longer."""


def bar(label: str) -> Bar:
    """Return the bar that suits the place: a notebook, a terminal, or a log."""
    return NotebookBar(label) if in_notebook() else ProgressBar(label)


def in_notebook() -> bool:
    """Whether what is displayed appears under a notebook's cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def followed(label: str) -> Iterator[OnProgress]:
    """Show the records that the function that is given is called with; an error is shown where it ends."""
    shown = bar(label)
    started = time.monotonic()

    def told(record: Mapping[str, Any]) -> None:
        if record.get("progress"):
            shown.show(record["progress"])
        else:
            shown.say(waiting(record))

    try:
        yield told
    except KeyboardInterrupt:
        shown.broken("it goes on; wait() shows it again")
        raise
    except BaseException as error:
        shown.broken(str(error).partition("\n")[0] or type(error).__name__)
        raise
    shown.done(f"done in {duration(time.monotonic() - started)}")


def waiting(record: Mapping[str, Any]) -> str:
    """Return an analysis's state in words, where it has no progress."""
    position = record.get("position")
    if record["state"] == "queued" and position:
        return "next in the queue" if position == 1 else f"place {position} in the queue"
    return "starting" if record["state"] == "running" else str(record["state"])


class NotebookBar:
    """A bar under the cell. It stays in the notebook as it was last; where a page shows no HTML it is a line."""

    def __init__(self, label: str) -> None:
        from IPython.display import display  # type: ignore[attr-defined,unused-ignore]

        self.label = label
        self._share: float | None = None
        self._text = "…"
        self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]

    def show(self, progress: Mapping[str, Any]) -> None:
        """See `Bar`."""
        self._draw(progress_in_words(progress), share(progress))

    def say(self, message: str) -> None:
        """See `Bar`."""
        self._draw(message, None)

    def done(self, message: str = "") -> None:
        """See `Bar`."""
        self._draw(message or "done", 1.0)

    def broken(self, message: str = "") -> None:
        """See `Bar`."""
        self._draw(message or self._text, self._share or 0.0)

    def __repr__(self) -> str:
        shown = "" if self._share is None else f"{self._share:.0%}  "
        return f"{self.label}  {shown}{self._text}"

    def _repr_html_(self) -> str:
        return (
            '<div style="display: flex; align-items: center; gap: 0.75em; flex-wrap: wrap">'
            f"<span>{escape(self.label)}</span>{html_bar(self._share, self.label)}"
            f"<span>{escape(self._text)}</span></div>"
        )

    def _draw(self, text: str, share_done: float | None) -> None:
        if (text, share_done) != (self._text, self._share):
            self._text, self._share = text, share_done
            self._handle.update(self)


def share(progress: Mapping[str, Any]) -> float | None:
    """Return how much of a record's ``progress`` is done, from 0 to 1; None where that is not known."""
    total = progress.get("total")
    return min(float(progress.get("done") or 0) / total, 1.0) if total else None


def html_bar(share_done: float | None, label: str) -> str:
    """Return a bar as HTML; without `share_done` it only says that something goes on."""
    value = "" if share_done is None else f' value="{share_done:.4f}"'
    return f'<progress max="1"{value} aria-label="{escape(label, quote=True)}" style="width: 12em"></progress>'
