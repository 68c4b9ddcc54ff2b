"""The HTTP API from Python, with the standard library alone.

>>> client = Client("http://127.0.0.1:8888", token="…")
>>> video = client.upload("day1.mp4")
>>> analysis = client.run("video", [video], model="demo-mouse")
>>> result = client.wait(analysis)
>>> client.download(result["csv_file"], "day1.csv")
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import select
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from dlc_jupyter.errors import (
    Ambiguous,
    AnalysisFailed,
    BadRequest,
    Conflict,
    NoSpace,
    NotFound,
    Refusal,
    TooLarge,
    Unavailable,
)

PIECE = 1 << 20
PAGE = 1000
FINISHED = ("succeeded", "failed", "cancelled")

#: Called with the bytes done and the bytes in all.
Progress = Callable[[int, int], None]
#: Called with the record of an analysis whenever it has changed.
OnProgress = Callable[[Mapping[str, Any]], None]

_REFUSALS: Mapping[int, type[Refusal]] = {
    each.status: each for each in (BadRequest, NotFound, Conflict, TooLarge, NoSpace, Unavailable)
}
#: Pages whose addresses servers print and browsers show. A user of a JupyterHub may be called ``lab``, too.
_PAGE = re.compile(r"(?<!/user)/(lab|tree|dlc|dlc/status)$")


class Client:
    """A server's DeepLabCut, as a few calls. It holds no connection, so threads may share it.

    Whatever the server refuses is raised as the `dlc_jupyter.errors.Refusal` that its handler raised: its message says
    what to do, ``reason`` and ``status`` are for programs.

    Parameters
    ----------
    url : str
        Address of the Jupyter server, as it prints it: ``/lab``, ``/dlc/status`` and ``?token=…`` are understood.
    token : str, optional
        The server's token, where the address does not hold it.
    timeout : float, optional
        Seconds to wait for the server's answer.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a Jupyter server: it begins with http:// or https://.")
        path = _PAGE.sub("", parts.path.rstrip("/"))
        self.base = f"{path}/dlc/"
        self.url = f"{parts.scheme}://{parts.netloc}{self.base}"
        self.token = token or parse_qs(parts.query).get("token", [""])[0]
        self.timeout = timeout
        self._host, self._port, self._secure = parts.hostname, parts.port, parts.scheme == "https"

    # -- files -------------------------------------------------------------------------------------------------------

    def upload(
        self, path: str | os.PathLike[str], progress: Progress | None = None, filename: str | None = None
    ) -> str:
        """Send a file, piece by piece, and return its id.

        Raises
        ------
        Refusal
            The server does not take it: too large, disk full, empty.
        ConnectionError
            The server is not there, or went away.
        """
        path = Path(path)
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(filename or path.name)}"'
            "\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(head) + length + len(tail)),
            }
            body = _multipart(head, file, length, tail, progress)
            stored = self._json("POST", "file", body=body, headers=headers)
        return str(stored["file_id"])

    def files(self) -> list[dict[str, Any]]:
        """Return what is stored, newest first."""
        return list(self._pages("file", "file_id"))

    def download(self, file_id: str, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
        """Write a stored file to `path`, which appears when it is whole.

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
        target = Path(path)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with self._open("GET", f"file/{_one(file_id)}") as answer, part.open("wb") as file:
                total, done = int(answer.headers.get("Content-Length") or 0), 0
                while piece := self._read(answer, PIECE):
                    done += file.write(piece)
                    if progress:
                        progress(done, total)
                if done < total:
                    raise ConnectionError(f"The connection broke after {done} of {total} bytes. Try again.")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def delete_file(self, file_id: str) -> None:
        """Remove a stored file."""
        self._discard("DELETE", f"file/{_one(file_id)}")

    # -- analyses ----------------------------------------------------------------------------------------------------

    def run(
        self,
        analysis: str,
        file_ids: str | Sequence[str] = (),
        *,
        cameras: Mapping[str, str | Sequence[str]] | None = None,
        **parameters: Any,
    ) -> str:
        """Ask for an analysis of stored files, and return its id; it waits in the queue for its turn.

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
        """
        ids = [file_ids] if isinstance(file_ids, str) else list(file_ids)
        asked = {"analysis": analysis, **parameters, **({"file_id": ids} if ids else {})}
        if cameras is not None:
            asked["cameras"] = {
                name: given if isinstance(given, str) else list(given) for name, given in cameras.items()
            }
        created = self._json(
            "POST", "analysis", body=json.dumps(asked).encode(), headers={"Content-Type": "application/json"}
        )
        return str(created["analysis_id"])

    def analyses(self) -> list[dict[str, Any]]:
        """Return the records of all analyses, newest first."""
        return list(self._pages("analysis", "analysis_id"))

    def status(self, analysis_id: str) -> dict[str, Any]:
        """Return an analysis's record: ``state, progress, position`` and so on."""
        return dict(self._json("GET", f"analysis/{_one(analysis_id)}/status"))

    def result(self, analysis_id: str) -> dict[str, Any] | None:
        """Return the result, or None while there is none yet.

        Raises
        ------
        AnalysisFailed
            It has failed, or was cancelled; the error's ``hint`` says what to do.
        """
        try:
            with self._open("GET", f"analysis/{_one(analysis_id)}") as answer:
                return None if answer.status == 202 else dict(self._parsed(answer))
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
        with self._open("GET", f"analysis/{_one(analysis_id)}/log") as answer:
            return self._read(answer).decode(errors="replace")

    def cancel(self, analysis_id: str) -> None:
        """Stop an analysis that is queued or running."""
        self._discard("POST", f"analysis/{_one(analysis_id)}/cancel")

    def delete_analysis(self, analysis_id: str) -> None:
        """Forget a finished analysis, and what it made."""
        self._discard("DELETE", f"analysis/{_one(analysis_id)}")

    # -- the server --------------------------------------------------------------------------------------------------

    def models(self) -> list[dict[str, Any]]:
        """Return the registered models."""
        return list(self._json("GET", "model"))

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
        asked = {
            "name": name,
            "calibration": calibration,
            "models": models if isinstance(models, str) else dict(models),
            **options,
        }
        body = json.dumps(asked).encode()
        return dict(self._json("POST", "model", body=body, headers={"Content-Type": "application/json"}))

    def delete_model(self, name: str) -> None:
        """Remove a 3D model that `add_model` has made."""
        self._discard("DELETE", f"model/{_one(name)}")

    def server(self) -> dict[str, Any]:
        """Return how worker, engine and queue are, the devices, the free disk and the versions."""
        return dict(self._json("GET", "status"))

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page after page, as long as the server says there are more."""
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            with self._open("GET", f"{path}?{urlencode(query)}") as answer:
                entries = self._parsed(answer)
                more = 'rel="next"' in (answer.headers.get("Link") or "")
            yield from entries
            if not more or not entries:
                return
            query["after"] = entries[-1][key]

    def _json(self, method: str, path: str, **request: Any) -> Any:
        with self._open(method, path, **request) as answer:
            return self._parsed(answer)

    def _discard(self, method: str, path: str) -> None:
        with self._open(method, path, body=b"") as answer:
            self._read(answer)

    def _parsed(self, answer: HTTPResponse) -> Any:
        try:
            return json.loads(self._read(answer))
        except ValueError:
            raise ConnectionError(f"What answers at {self.url} is not dlc_jupyter. Is the address right?") from None

    def _read(self, answer: HTTPResponse, most: int | None = None) -> bytes:
        try:
            return answer.read(most)
        except (OSError, HTTPException) as error:
            raise ConnectionError(_unreachable(self.url, error)) from error

    @contextlib.contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[HTTPResponse]:
        """Send a request, and give its answer while the connection is open."""
        connection = self._connection()
        if body is not None and not isinstance(body, bytes):
            body = _until_answered(body, connection)
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"token {self.token}"
        try:
            try:
                # Where the server refuses a body before it is sent, the answer is there although sending broke.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, self.base + path, body=body, headers=sent)
                answer = connection.getresponse()
            except (OSError, HTTPException) as error:
                raise ConnectionError(_unreachable(self.url, error)) from error
            if answer.status >= 300:
                raise self._refusal(answer)
            yield answer
        finally:
            connection.close()

    def _refusal(self, answer: HTTPResponse) -> Refusal:
        """Return the server's refusal as the exception that it was there."""
        try:
            body = dict(json.loads(self._read(answer)))
        except (TypeError, ValueError):
            body = {}
        message = str(body.pop("message", None) or self._unexplained(answer))
        if errors := body.get("errors"):
            message += "".join(f"\n  {each['field'] or 'together'}: {each['message']}" for each in errors)
        reason = str(body.pop("reason", None) or "http-error")
        kind = Ambiguous if reason == Ambiguous.reason else _REFUSALS.get(answer.status, Refusal)
        refusal = kind(message, reason=reason, **body)
        refusal.status = answer.status
        return refusal

    def _unexplained(self, answer: HTTPResponse) -> str:
        doubt = "Is dlc_jupyter installed there, and are the address and the token right?"
        return f"{self.url} answered {answer.status} {answer.reason}. {doubt}"

    def _connection(self) -> HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return HTTPSConnection(self._host, self._port, timeout=self.timeout, context=context, blocksize=PIECE)
        return HTTPConnection(self._host, self._port, timeout=self.timeout, blocksize=PIECE)


def _until_answered(body: Iterable[bytes], connection: HTTPConnection) -> Iterator[bytes]:
    """Yield a body up to the moment at which the server answers: it has refused it, and the rest would be in vain.

    Over TLS all is sent: there the server may have said something that is no answer.
    """
    for piece in body:
        yield piece
        sock = connection.sock
        if sock is not None and not isinstance(sock, ssl.SSLSocket) and select.select([sock], [], [], 0)[0]:
            return


def _one(part: str) -> str:
    """Return an id as one part of a path, whatever is in it."""
    return quote(part, safe="")


def _quoted(filename: str) -> str:
    """Return a file name as browsers write it in a form: only quotes and line ends are escaped."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _multipart(head: bytes, file: BinaryIO, length: int, tail: bytes, progress: Progress | None) -> Iterator[bytes]:
    """Yield a form with one file, never holding more than a piece of it."""
    yield head
    done = 0
    while done < length and (piece := file.read(min(PIECE, length - done))):
        yield piece
        done += len(piece)
        if progress:
            progress(done, length)
    if done < length:
        raise EOFError("The file became shorter while it was sent.")
    yield tail


def _unreachable(url: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"No server listens at {url}. Is it running, and is the port right?"
    if isinstance(error, TimeoutError):
        return f"The server at {url} did not answer in time."
    return f"The connection to {url} broke: {error or type(error).__name__}."
