"""The client: a server's DeepLabCut as a few calls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlc_jupyter.client.analyses import FINISHED, Analysis
from dlc_jupyter.client.batch import Batch, Given
from dlc_jupyter.client.connection import Connection, one
from dlc_jupyter.client.discovery import find_server
from dlc_jupyter.client.files import Progress, fetch, send_form
from dlc_jupyter.client.progress import OnProgress
from dlc_jupyter.client.resumable import NotResumable, send_resumable
from dlc_jupyter.errors import AnalysisFailed, Refusal

#: Bytes from which on a file is sent so that a cut costs nothing; smaller ones are quicker in one request.
RESUMABLE = 16 << 20


class Client:
    """A server's DeepLabCut, as a few calls. It holds no connection, so threads may share it.

    Whatever the server refuses is raised as the `dlc_jupyter.errors.Refusal` that its handler raised: its message says
    what to do, ``reason`` and ``status`` are for programs.

    Parameters
    ----------
    url : str, optional
        Address of the Jupyter server, as it prints it: ``/lab``, ``/dlc/status`` and ``?token=…`` are understood. Left
        out: in a notebook the server that it belongs to, else the one that ``DLC_JUPYTER_URL`` names.
    token : str, optional
        The server's token, where the address does not hold it.
    timeout : float, optional
        Seconds to wait for the server's answer.

    Raises
    ------
    NoServer
        No address was given, and none was found; the message says what to do.

    Attributes
    ----------
    http : Connection
        For calls that have no method here: ``client.http.json("GET", "schema")``.
    """

    def __init__(self, url: str | None = None, token: str | None = None, timeout: float = 60.0) -> None:
        if url is None:
            url, found = find_server()
            token = token or found
        self.http = Connection(url, token, timeout)

    @property
    def url(self) -> str:
        """Address of the API: that of the server, and ``dlc/``."""
        return self.http.url

    @property
    def base(self) -> str:
        """The same without scheme and host."""
        return self.http.base

    @property
    def token(self) -> str:
        """The server's token."""
        return self.http.token

    def __repr__(self) -> str:
        return f"Client({self.http.root!r})"

    # -- files -------------------------------------------------------------------------------------------------------

    def upload(
        self, path: str | os.PathLike[str], progress: Progress | None = None, filename: str | None = None
    ) -> str:
        """Send a file, piece by piece, and return its id. A large one goes on where an earlier call was cut off.

        Raises
        ------
        Refusal
            The server does not take it: too large, disk full, empty.
        ConnectionError
            The server is not there, or went away and stayed away.
        """
        path = Path(path)
        name = filename or path.name
        if path.stat().st_size >= RESUMABLE:
            try:
                return send_resumable(self.http, path, name, progress)
            except NotResumable:
                pass  # a server older than this client
        return send_form(self.http, path, name, progress)

    def files(self) -> list[dict[str, Any]]:
        """Return what is stored, newest first."""
        return list(self.http.pages("file", "file_id"))

    def download(self, file_id: str, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Write a stored file to `path`, which appears when it is whole; in a folder under the name that it has.

        Raises
        ------
        ValueError
            `file_id` is None or empty: in a result that is so for what was not made.
        Refusal
            There is no such file.
        ConnectionError
            The connection broke; nothing is left at `path`.
        """
        if not isinstance(file_id, str) or not file_id:
            raise ValueError(
                f"There is no file to download: its id is {file_id!r}. A result has null for files not made."
            )
        return fetch(self.http, file_id, Path(path), progress)

    def delete_file(self, file_id: str) -> None:
        """Remove a stored file."""
        self.http.do("DELETE", f"file/{one(file_id)}")

    # -- analyses ----------------------------------------------------------------------------------------------------

    def run(
        self,
        analysis: str,
        file_ids: str | Sequence[str] = (),
        *,
        cameras: Mapping[str, str | Sequence[str]] | None = None,
        **parameters: Any,
    ) -> Analysis:
        """Ask for an analysis of stored files, and return it; it waits in the queue for its turn.

        Parameters
        ----------
        analysis : str
            Its name, such as ``video``.
        file_ids : str or sequence of str
            One video, or one for each camera, in the order of the cameras.
        cameras : mapping of str to str or sequence of str, optional
            The files by camera, in the place of `file_ids`: ``{"camera-1": left, "camera-2": right}``.
        **parameters
            That analysis's own, such as ``model="demo-mouse"``.

        Returns
        -------
        Analysis
            Its id, a string like any other, with methods of its own: ``wait, result, poses, cancel`` and so on.
        """
        ids = [file_ids] if isinstance(file_ids, str) else list(file_ids)
        asked = {"analysis": analysis, **parameters, **({"file_id": ids} if ids else {})}
        if cameras is not None:
            asked["cameras"] = {
                name: given if isinstance(given, str) else list(given) for name, given in cameras.items()
            }
        return Analysis(self, str(self.http.json("POST", "analysis", asked)["analysis_id"]))

    def batch(self, files: Iterable[Given], analysis: str, **parameters: Any) -> Batch:
        """Ask for the same analysis of many videos, and return them as one; what goes wrong with one stops no other.

        Parameters
        ----------
        files : iterable
            One entry for each analysis: a path of this machine, which is sent, or the id of a stored file; several of
            them, or a mapping of the cameras' names to them, where the analysis looks at several at once.
        analysis : str
            Its name, such as ``video``.
        **parameters
            Of all of them, such as ``model="demo-mouse"``.
        """
        return Batch(self, files, analysis, parameters)

    def analysis(self, analysis_id: str) -> Analysis:
        """Return an analysis that was asked for earlier; the first characters of its id will do."""
        return Analysis(self, str(self.status(analysis_id)["analysis_id"]))

    def analyses(self) -> list[dict[str, Any]]:
        """Return the records of all analyses, newest first."""
        return list(self.http.pages("analysis", "analysis_id"))

    def status(self, analysis_id: str) -> dict[str, Any]:
        """Return an analysis's record: ``state, progress, position`` and so on."""
        return dict(self.http.json("GET", f"analysis/{one(analysis_id)}/status"))

    def result(self, analysis_id: str) -> dict[str, Any] | None:
        """Return the result, or None while there is none yet.

        Raises
        ------
        AnalysisFailed
            It has failed, or was cancelled; the error's ``hint`` says what to do.
        """
        try:
            with self.http.open("GET", f"analysis/{one(analysis_id)}") as answer:
                return None if answer.status == 202 else dict(self.http.parsed(answer))
        except Refusal as refusal:
            error = refusal.fields.get("error")
            if isinstance(error, Mapping):
                raise AnalysisFailed(
                    str(error.get("message") or refusal.message),
                    hint=str(error.get("hint") or ""),
                    kind=str(error.get("type") or "AnalysisFailed"),
                ) from None
            if refusal.status == 410:
                raise AnalysisFailed(refusal.message, kind="Cancelled") from None
            raise

    def wait(
        self, analysis_id: str, on_progress: OnProgress | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Wait until an analysis ends, and return its result.

        Parameters
        ----------
        analysis_id : str
            What `run` returned.
        on_progress : callable, optional
            Called with the record whenever it has changed.
        timeout : float, optional
            Seconds after which to give up waiting; the analysis goes on.

        Raises
        ------
        AnalysisFailed
            It has failed, or was cancelled.
        TimeoutError
            It has not ended in time.
        """
        started, pause, last = time.monotonic(), 0.05, None
        while True:
            record = self.status(analysis_id)
            if record != last and on_progress:
                on_progress(record)
            last = record
            if record["state"] in FINISHED and (result := self.result(analysis_id)) is not None:
                return result
            if timeout is not None and time.monotonic() - started + pause > timeout:
                raise TimeoutError(f"The analysis {analysis_id} has not ended within {timeout:g} s; it goes on.")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def log(self, analysis_id: str) -> str:
        """Return what the engine printed while it worked on an analysis."""
        with self.http.open("GET", f"analysis/{one(analysis_id)}/log") as answer:
            return self.http.read(answer).decode(errors="replace")

    def cancel(self, analysis_id: str) -> None:
        """Stop an analysis that is queued or running."""
        self.http.do("POST", f"analysis/{one(analysis_id)}/cancel")

    def delete_analysis(self, analysis_id: str) -> None:
        """Forget a finished analysis, and what it made."""
        self.http.do("DELETE", f"analysis/{one(analysis_id)}")

    # -- the server --------------------------------------------------------------------------------------------------

    def models(self) -> list[dict[str, Any]]:
        """Return the registered models."""
        return list(self.http.json("GET", "model"))

    def add_model(self, name: str, calibration: str, models: str | Mapping[str, str], **options: Any) -> dict[str, Any]:
        """Make a 3D model of calibrated cameras, and return it as `models` lists it.

        Parameters
        ----------
        name : str
            What it is to be called.
        calibration : str
            The id of a ``calibration.toml``, as the analysis ``calibrate`` makes it. It names the cameras.
        models : str or mapping of str to str
            The 2D model that looks at the videos of all cameras, or that of each.
        **options
            ``shuffle, trainingsetindex, skeleton, pcutoff``.

        Raises
        ------
        Refusal
            There is a model of that name, no such file or 2D model, or they do not fit together.
        """
        looked_at_by = models if isinstance(models, str) else dict(models)
        asked = {"name": name, "calibration": calibration, "models": looked_at_by, **options}
        return dict(self.http.json("POST", "model", asked))

    def delete_model(self, name: str) -> None:
        """Remove a 3D model that `add_model` has made."""
        self.http.do("DELETE", f"model/{one(name)}")

    def server(self) -> dict[str, Any]:
        """Return how worker, engine and queue are, the devices, the free disk and the versions."""
        return dict(self.http.json("GET", "status"))
