"""The same analysis of many videos: sent, asked for and followed together, and one table of what became of them."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc_jupyter.amounts import duration
from dlc_jupyter.client import tables
from dlc_jupyter.client.analyses import FINISHED, Analysis
from dlc_jupyter.client.progress import bar, html_bar, share, waiting
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.terminal import progress_in_words

if TYPE_CHECKING:
    import pandas as pd

    from dlc_jupyter.client.client import Client

#: A file of this machine or the id of a stored one.
Source = str | os.PathLike[str]
#: What one analysis looks at: one file, several, or one of each camera.
Given = Source | Sequence[Source] | Mapping[str, Source]

#: Seconds for which a server may be away while a batch is waited for, and between two looks.
PATIENCE, PAUSE = 600.0, 0.5

#: States besides those of analyses: not sent yet, on its way, and not taken.
WAITING, SENDING, REFUSED = "waiting", "sending", "refused"


@dataclass
class Item:
    """One analysis of a batch.

    Attributes
    ----------
    given : Given
        What it looks at.
    name : str
        How it is called in the table.
    sent : (int, int)
        Bytes of its files that have gone, and in all.
    analysis : Analysis or None
        Once it was asked for.
    record : dict
        That analysis's, as it was last.
    problem : str
        Why there is no result; "" where nothing is wrong.
    """

    given: Given
    name: str
    state: str = WAITING
    sent: tuple[int, int] = (0, 0)
    analysis: Analysis | None = None
    record: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in FINISHED or self.state == REFUSED

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far it has come, as in a record."""
        if self.state == SENDING:
            return {"done": self.sent[0], "total": self.sent[1] or None, "unit": "bytes"}
        return self.record.get("progress") if self.state == "running" else None

    @property
    def share(self) -> float:
        """How much of the analysis is done, from 0 to 1."""
        if self.ended:
            return 1.0
        return (share(self.progress) or 0.0) if self.progress and self.state == "running" else 0.0

    def words(self) -> str:
        """Return where it stands, in words."""
        if self.problem:
            return self.problem
        if self.progress:
            return progress_in_words(self.progress)
        return waiting(self.record) if self.record and self.state == "queued" else ""

    def row(self) -> dict[str, Any]:
        """Return it as a row of the table."""
        began, ended = self.record.get("started"), self.record.get("finished")
        took = datetime.fromisoformat(ended) - datetime.fromisoformat(began) if ended and began else None
        frames = (self.record.get("progress") or {}).get("total") if self.state == "succeeded" else None
        return {
            "file": self.name,
            "state": self.state,
            "message": self.words(),
            "frames": frames,
            "seconds": None if took is None else round(took.total_seconds(), 1),
            "analysis_id": self.analysis.id if self.analysis else None,
        }


class Batch(Sequence[Item]):
    """Many analyses, followed together. One that goes wrong stops none of the others.

    Files are sent one after the other in a thread of their own, and each analysis is asked for as soon as its files are
    there. An interrupted `wait` may be called again; nothing is sent twice.

    Parameters
    ----------
    given : sequence of Given
        What each analysis looks at.
    analysis : str
        Its name.
    parameters : mapping
        Of all of them.
    """

    def __init__(self, client: Client, given: Iterable[Given], analysis: str, parameters: Mapping[str, Any]) -> None:
        self.client, self.analysis, self.parameters = client, analysis, dict(parameters)
        self.items = [Item(each, name) for each, name in _named(list(given))]
        if not self.items:
            raise ValueError("There are no files in this batch.")
        self._stopped = threading.Event()
        self._sender = threading.Thread()
        self._send()

    # -- what it is of -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, which: Any) -> Any:
        """Return an item by its number, or by its name in the table."""
        if isinstance(which, str):
            return next(each for each in self.items if each.name == which)
        return self.items[which]

    @property
    def analyses(self) -> list[Analysis]:
        """Those that were asked for."""
        return [each.analysis for each in self.items if each.analysis is not None]

    @property
    def failed(self) -> list[Item]:
        """Those that have ended without a result."""
        return [each for each in self.items if each.ended and each.state != "succeeded"]

    def results(self) -> dict[str, dict[str, Any]]:
        """Return the results that there are, by the names in the table."""
        found = {each.name: each.analysis.result for each in self._succeeded()}
        return {name: result for name, result in found.items() if result is not None}

    def poses(self) -> dict[str, pd.DataFrame]:
        """Return the poses of those that have succeeded, by the names in the table; see `Analysis.poses`.

        ``pandas.concat(batch.poses(), names=["file"])`` makes one table of them.
        """
        return {each.name: each.analysis.poses() for each in self._succeeded()}

    # -- what is done with it ----------------------------------------------------------------------------------------

    def wait(self, progress: bool = True, timeout: float | None = None) -> Batch:
        """Wait until every analysis has ended, and return the batch, which a notebook shows as a table.

        Parameters
        ----------
        progress : bool, optional
            Whether a bar is shown.
        timeout : float, optional
            Seconds after which to give up waiting; the analyses go on.

        Raises
        ------
        TimeoutError
            They have not ended in time.
        ConnectionError
            The server was away for ten minutes.
        """
        shown = bar(f"{len(self)} x {self.analysis}") if progress else None
        started = answered = time.monotonic()
        self._send()
        try:
            while not all(each.ended for each in self.items):
                try:
                    self.refresh()
                    answered = time.monotonic()
                except ConnectionError:
                    if time.monotonic() - answered > PATIENCE:
                        raise
                if shown:
                    done = sum(each.share for each in self.items)
                    shown.show({"done": round(done, 2), "total": len(self), "unit": self._now()})
                if timeout is not None and time.monotonic() - started > timeout:
                    raise TimeoutError(f"The batch has not ended within {timeout:g} s; it goes on.")
                time.sleep(PAUSE)
        except BaseException:
            if shown:
                shown.broken("it goes on; wait() shows it again")
            raise
        if shown:
            counts = Counter(each.state for each in self.items)
            words = ", ".join(f"{number} {state}" for state, number in counts.most_common())
            shown.done(f"{words} in {duration(time.monotonic() - started)}")
        return self

    def refresh(self) -> Batch:
        """Ask how the analyses are that have not ended, and return the batch."""
        for each in self.items:
            if each.analysis is not None and not each.ended:
                try:
                    each.record = self.client.status(each.analysis)
                    each.problem = self._problem(each.analysis, each.record["state"])
                except Refusal as refusal:  # somebody has deleted it
                    each.state, each.problem = REFUSED, str(refusal)
                else:
                    each.state = each.record["state"]
        return self

    def cancel(self) -> None:
        """Send nothing more, and stop all that have not ended."""
        self._stopped.set()
        self._sender.join()
        for each in self.items:
            if each.analysis is None and not each.ended:
                each.state, each.problem = "cancelled", "It was not asked for."
        for each in self.refresh().items:
            if not each.ended and each.analysis is not None:
                self.client.cancel(each.analysis)

    def retry(self) -> Batch:
        """Ask anew for those that have ended without a result, and return the batch."""
        self._sender.join()
        for number, each in enumerate(self.items):
            if each in self.failed:
                self.items[number] = Item(each.given, each.name)
        self._stopped.clear()
        self._send(fresh=True)
        return self

    # -- the table ---------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each analysis: ``file, state, message, frames, seconds, analysis_id``."""
        return [each.row() for each in self.items]

    def table(self) -> pd.DataFrame:
        """Return the rows as a DataFrame.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed here; `rows` needs nothing.
        """
        made: pd.DataFrame = tables.needed("pandas").DataFrame(self.rows())
        return made

    def __repr__(self) -> str:
        width = max(len(each.name) for each in self.items)
        return "\n".join(f"{each.name:{width}}  {each.state:9}  {each.words()}".rstrip() for each in self.items)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align: left">{escape(each.name)}</td><td>{escape(each.state)}</td>'
            f"<td>{html_bar(each.share, each.name) if not each.problem else ''}</td>"
            f'<td style="text-align: left; white-space: normal">{escape(each.words())}</td></tr>'
            for each in self.items
        )
        heads = "".join(
            f'<th style="text-align: left">{name}</th>' for name in ("file", "state", "progress", "message")
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    # -- the work ----------------------------------------------------------------------------------------------------

    def _succeeded(self) -> Iterator[Any]:
        return (each for each in self.items if each.state == "succeeded")

    def _send(self, **more: Any) -> None:
        """See to it that a thread sends what has not been sent."""
        unsent = [each for each in self.items if each.analysis is None and not each.ended]
        if unsent and not self._sender.is_alive():
            self._sender = threading.Thread(target=self._work, args=(unsent, more), name="dlc_jupyter batch")
            self._sender.start()

    def _work(self, items: Sequence[Item], more: Mapping[str, Any]) -> None:
        for each in items:
            if self._stopped.is_set():
                return
            each.state = SENDING
            try:
                each.analysis = self._ask(each, more)
                each.state = "queued"
            except (Refusal, OSError, ValueError, EOFError) as error:
                each.state, each.problem = REFUSED, str(error)

    def _ask(self, item: Item, more: Mapping[str, Any]) -> Analysis:
        parameters = {**self.parameters, **more}
        if isinstance(item.given, Mapping):
            cameras = {name: self._stored(item, source) for name, source in item.given.items()}
            return self.client.run(self.analysis, cameras=cameras, **parameters)
        return self.client.run(self.analysis, [self._stored(item, each) for each in _sources(item.given)], **parameters)

    def _stored(self, item: Item, source: Source) -> str:
        """Return the id of a file, which is sent if it lies on this machine."""
        if isinstance(source, str) and not Path(source).is_file() and _is_id(source):
            return source

        def told(done: int, total: int) -> None:
            item.sent = done, total

        return self.client.upload(source, told)

    def _problem(self, analysis: Analysis, state: str) -> str:
        if state in ("failed", "cancelled"):
            try:
                self.client.result(analysis)
            except AnalysisFailed as failed:
                return str(failed)
        return ""

    def _now(self) -> str:
        """Return what goes on now, in few words."""
        busy = [
            f"{each.name}: {each.words() or each.state}" for each in self.items if each.state in (SENDING, "running")
        ]
        wrong = len(self.failed)
        return "; ".join(["analyses" + (f", {wrong} without a result" if wrong else ""), *busy[:2]])


def _sources(given: Given) -> list[Source]:
    if isinstance(given, Mapping):
        return list(given.values())
    return [given] if isinstance(given, str | os.PathLike) else list(given)


def _named(given: Sequence[Given]) -> Iterator[tuple[Given, str]]:
    """Yield each with a name of its own: that of its file, which others may have, too."""
    seen: Counter[str] = Counter()
    for each in given:
        name = " + ".join(Path(source).name if not _is_id(source) else str(source)[:12] for source in _sources(each))
        seen[name] += 1
        yield each, name if seen[name] == 1 else f"{name} ({seen[name]})"


def _is_id(source: Source) -> bool:
    text = str(source)
    return 0 < len(text) <= 40 and not set(text) - set("0123456789abcdef")
