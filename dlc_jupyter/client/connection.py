"""HTTP to a server's ``/dlc/``, with the standard library alone: one connection a request, refusals as exceptions."""

from __future__ import annotations

import contextlib
import json
import re
import select
import ssl
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from dlc_jupyter.errors import Ambiguous, BadRequest, Conflict, NoSpace, NotFound, Refusal, TooLarge, Unavailable

#: Bytes that are read or sent at a time, and entries of a list that are asked for at a time.
PIECE = 1 << 20
PAGE = 1000

Body = bytes | Iterable[bytes]

_REFUSALS: Mapping[int, type[Refusal]] = {
    each.status: each for each in (BadRequest, NotFound, Conflict, TooLarge, NoSpace, Unavailable)
}
#: Pages whose addresses servers print and browsers show. A user of a JupyterHub may be called ``lab``, too.
_PAGE = re.compile(r"(?<!/user)/(lab|tree|notebooks|dlc|dlc/status)$")


class Connection:
    """The way to a server. It holds no connection between two requests, so threads may share it.

    Parameters
    ----------
    url : str
        Address of the Jupyter server, as it prints it: ``/lab``, ``/dlc/status`` and ``?token=…`` are understood.
    token : str, optional
        The server's token, where the address does not hold it.
    timeout : float, optional
        Seconds to wait for the server's answer.

    Attributes
    ----------
    root : str
        Address of the Jupyter server.
    url, base : str
        Address of its ``…/dlc/``, and that without scheme and host.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a Jupyter server: it begins with http:// or https://.")
        path = _PAGE.sub("", parts.path.rstrip("/"))
        self.root = f"{parts.scheme}://{parts.netloc}{path}/"
        self.base = f"{path}/dlc/"
        self.url = f"{parts.scheme}://{parts.netloc}{self.base}"
        self.token = token or parse_qs(parts.query).get("token", [""])[0]
        self.timeout = timeout
        self._host, self._port, self._secure = parts.hostname, parts.port, parts.scheme == "https"

    @contextlib.contextmanager
    def open(
        self, method: str, path: str, body: Body | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        """Send a request, and give its answer while the connection is open.

        Parameters
        ----------
        path : str
            Below ``…/dlc/``.
        body : bytes or iterable of bytes, optional
            An iterable is sent up to the moment at which the server answers.

        Raises
        ------
        Refusal
            As the server's handler raised it.
        ConnectionError
            The server is not there, or went away.
        """
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

    def json(self, method: str, path: str, asked: Any = None, **request: Any) -> Any:
        """Send a request, with `asked` as JSON where it is given, and return the answer's JSON."""
        if asked is not None:
            request |= {"body": json.dumps(asked).encode(), "headers": {"Content-Type": "application/json"}}
        with self.open(method, path, **request) as answer:
            return self.parsed(answer)

    def do(self, method: str, path: str) -> None:
        """Send a request whose answer has nothing to say."""
        with self.open(method, path, body=b"") as answer:
            self.read(answer)

    def pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page after page, as long as the server says there are more."""
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            with self.open("GET", f"{path}?{urlencode(query)}") as answer:
                entries = self.parsed(answer)
                more = 'rel="next"' in (answer.headers.get("Link") or "")
            yield from entries
            if not more or not entries:
                return
            query["after"] = entries[-1][key]

    def parsed(self, answer: HTTPResponse) -> Any:
        """Return the JSON of an answer."""
        try:
            return json.loads(self.read(answer))
        except ValueError:
            raise ConnectionError(f"What answers at {self.url} is not dlc_jupyter. Is the address right?") from None

    def read(self, answer: HTTPResponse, most: int | None = None) -> bytes:
        """Return the bytes of an answer, or the next of them."""
        try:
            return answer.read(most)
        except (OSError, HTTPException) as error:
            raise ConnectionError(_unreachable(self.url, error)) from error

    def _refusal(self, answer: HTTPResponse) -> Refusal:
        """Return the server's refusal as the exception that it was there."""
        try:
            body = dict(json.loads(self.read(answer)))
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


def one(part: str) -> str:
    """Return an id as one part of a path, whatever is in it."""
    return quote(part, safe="")


def _until_answered(body: Iterable[bytes], connection: HTTPConnection) -> Iterator[bytes]:
    """Yield a body up to the moment at which the server answers: it has refused it, and the rest would be in vain.

    Over TLS all is sent: there the server may have said something that is no answer.
    """
    for piece in body:
        yield piece
        sock = connection.sock
        if sock is not None and not isinstance(sock, ssl.SSLSocket) and select.select([sock], [], [], 0)[0]:
            return


def _unreachable(url: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"No server listens at {url}. Is it running, and is the port right?"
    if isinstance(error, TimeoutError):
        return f"The server at {url} did not answer in time."
    return f"The connection to {url} broke: {error or type(error).__name__}."
