"""An analysis as an object: its id, which knows what can be asked of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc_jupyter.client import tables
from dlc_jupyter.client.connection import one
from dlc_jupyter.client.progress import OnProgress, followed, html_bar, share, waiting
from dlc_jupyter.errors import AnalysisFailed, Refusal
from dlc_jupyter.terminal import progress_in_words

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from dlc_jupyter.client.client import Client

FINISHED = ("succeeded", "failed", "cancelled")


class Analysis(str):
    """An analysis that was asked for. It is its id, a string like any other, and knows what can be asked of it.

    >>> analysis = client.run("video", video, model="demo-mouse")
    >>> analysis.wait()
    >>> analysis.poses()

    ``await analysis`` does the same as `wait`, without a bar and without holding up anything else.
    """

    __slots__ = ("_result", "client")

    client: Client

    def __new__(cls, client: Client, analysis_id: str) -> Analysis:
        """Make one of an id; nothing is asked of the server."""
        made = super().__new__(cls, analysis_id)
        made.client = client
        made._result = None
        return made

    _result: dict[str, Any] | None

    @property
    def id(self) -> str:
        """Its id, as a plain string."""
        return str.__str__(self)

    @property
    def status(self) -> dict[str, Any]:
        """Its record as it is now: ``state, progress, position`` and so on."""
        return self.client.status(self)

    @property
    def state(self) -> str:
        """``queued, running, succeeded, failed`` or ``cancelled``."""
        return str(self.status["state"])

    @property
    def result(self) -> dict[str, Any] | None:
        """Its result, or None while there is none yet. Fields that end in ``_file`` are ids of files.

        Raises
        ------
        AnalysisFailed
            It has failed, or was cancelled; the error's ``hint`` says what to do.
        """
        if self._result is None:
            self._result = self.client.result(self)
        return self._result

    def wait(self, progress: bool | OnProgress = True, timeout: float | None = None) -> dict[str, Any]:
        """Wait until it ends, and return its result. Interrupted, it goes on by itself.

        Parameters
        ----------
        progress : bool or callable, optional
            Whether a bar is shown: under the cell in a notebook, else a line. A callable gets the record whenever it
            has changed.
        timeout : float, optional
            Seconds after which to give up waiting; the analysis goes on.

        Raises
        ------
        AnalysisFailed
            It has failed, or was cancelled.
        TimeoutError
            It has not ended in time.
        """
        if callable(progress):
            return self.client.wait(self, progress, timeout)
        if not progress:
            return self.client.wait(self, None, timeout)
        with followed(f"{self.status['analysis']} {self[:8]}") as told:
            return self.client.wait(self, told, timeout)

    def poses(self, video: int = 0, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return the poses as DeepLabCut's own files have them, one row a frame; those that there are, while it runs.

        Only the frames that are asked for are fetched, as 32-bit floats: that is a ten-thousandth of a pixel. The files
        of the result (``h5_file``) have every bit.

        Parameters
        ----------
        video : int, optional
            Which of its videos, in the order in which they were given, from 0: of several cameras.
        start, stop : int, optional
            Which frames: as in ``range``.

        Returns
        -------
        DataFrame of float, one row a frame
            Columns ``scorer, (individuals,) bodyparts, coords``; ``x, y`` in pixels, ``likelihood`` from 0 to 1.

        Raises
        ------
        NotFound
            It has made no poses of that video (yet).
        ModuleNotFoundError
            pandas is not installed here.
        """
        tables.needed("pandas")
        return tables.as_table(self._poses(video, start, stop))

    def points(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return the points in space (``triangulate``, ``label_3d``), one row a frame of the scene.

        Parameters
        ----------
        start, stop : int, optional
            Which frames: as in ``range``.

        Returns
        -------
        DataFrame of float, one row a frame
            Columns ``scorer, bodyparts, coords``; ``x, y, z`` in the unit of the calibration (``attrs["unit"]``), and
            the reprojection ``error`` in pixels.

        Raises
        ------
        NotFound
            It has found no points in space (yet).
        """
        tables.needed("pandas")
        return tables.as_table(self._points(start, stop))

    def to_xarray(self, video: int = 0, fps: float | None = None) -> xr.Dataset:
        """Return poses, or points in space where it has found such, in movement's layout.

        Parameters
        ----------
        video : int, optional
            See `poses`.
        fps : float, optional
            Frames a second; those of the video where it is left out.

        Returns
        -------
        Dataset
            ``position`` (time, space, keypoints, individuals) and ``confidence`` (time, keypoints, individuals); time
            in seconds, or in frames where the rate is not known.
        """
        tables.needed("xarray")
        source = f"dlc_jupyter analysis {self}"
        result = self.result if self.state == "succeeded" else None
        if result is not None and result.get("space_file"):
            points = self._points(0, None)
            return tables.as_dataset(points, fps or points.about.get("fps"), source)
        return tables.as_dataset(self._poses(video, 0, None), fps or tables.rate(result), source)

    def download(self, field: str, path: str | os.PathLike[str]) -> Path:
        """Wait for the result, and write one of its files to `path`.

        Parameters
        ----------
        field : str
            Its field in the result: ``csv_file``, or ``csv``.
        path : path
            A file, or a folder, in which it gets the name that it has on the server.

        Raises
        ------
        KeyError
            The result has no such file; the message names those it has.
        """
        result = self.wait(progress=False)
        files = {name: value for name, value in result.items() if name.endswith("_file") and value}
        name = field if field in files else f"{field}_file"
        if name not in files:
            raise KeyError(f"The result has no file {field!r}. It has {', '.join(files) or 'none'}.")
        return self.client.download(files[name], path)

    def cancel(self) -> None:
        """Stop it, where it is queued or running."""
        self.client.cancel(self)

    def retry(self) -> Analysis:
        """Ask for the same anew, and return the new analysis."""
        record = self.status
        chosen = {name: value for name, value in record["parameters"].items() if value is not None}
        return self.client.run(record["analysis"], record["file_id"], **{**chosen, "fresh": True, "cameras": None})

    def delete(self) -> None:
        """Forget it, where it has ended, and what it made."""
        self.client.delete_analysis(self)

    def log(self) -> str:
        """Return what the engine printed while it worked on it."""
        return self.client.log(self)

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        """Wait for the result in a thread of its own."""
        return asyncio.to_thread(self.wait, False).__await__()

    def __dir__(self) -> list[str]:
        """Name what an analysis can do, and not what every string can."""
        return [name for name in super().__dir__() if name not in _OF_STRINGS]

    def __repr__(self) -> str:
        return f"Analysis({self.id!r})"

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Leave the client, and with it the token, out of pickles: what comes back is the id."""
        return str, (self.id,)

    def _repr_html_(self) -> str:
        try:
            return _as_html(self.status, self._failure())
        except (Refusal, ConnectionError) as error:
            return f"<code>{escape(self.id)}</code> {escape(str(error))}"

    def _failure(self) -> str:
        try:
            self.client.result(self)
        except AnalysisFailed as failed:
            return str(failed)
        return ""

    def _poses(self, video: int, start: int, stop: int | None) -> tables.Poses:
        file_id = self.status["file_id"][video]
        return tables.read(self.client.http, f"file/{one(file_id)}/poses", start, stop, analysis_id=self)

    def _points(self, start: int, stop: int | None) -> tables.Poses:
        return tables.read(self.client.http, f"analysis/{one(self)}/space", start, stop)


_OF_STRINGS = {name for name in dir(str) if not name.startswith("_")}


def _as_html(record: dict[str, Any], failure: str) -> str:
    progress = record.get("progress")
    done = 1.0 if record["state"] == "succeeded" else share(progress) if progress else None
    words = failure or (progress_in_words(progress) if progress and done != 1.0 else waiting(record))
    shown = "" if failure or record["state"] == "queued" else html_bar(done, record["analysis"])
    return (
        '<div style="display: flex; align-items: center; gap: 0.75em; flex-wrap: wrap">'
        f"<strong>{escape(record['analysis'])}</strong><code>{record['analysis_id'][:8]}</code>{shown}"
        f"<span>{escape(words)}</span></div>"
    )
