"""What every handler shares: who asks, what a request says, and how an answer or a refusal is written."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, NoReturn, ParamSpec, TypeVar

from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from jupyter_server.prometheus.log_functions import prometheus_log_method
from tornado import web

from dlc_jupyter.errors import BadRequest, NotFound, Refusal, Unavailable
from dlc_jupyter.handlers.broadcast import Broadcast
from dlc_jupyter.jobs.queue import Doorbell
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.jobs.requests import Requests
from dlc_jupyter.jobs.status import StatusBoard
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.uploads import Uploads

A = ParamSpec("A")
R = TypeVar("R")

#: Key of the `Services` in the web application's settings; and of the sentence that says why there are none.
SERVICES = "dlc_services"
PROBLEM = "dlc_problem"

VERBS = ("get", "head", "post", "put", "patch", "delete")


@dataclass
class Services:
    """What handlers work with, opened once by the application."""

    settings: Settings
    database: Database
    files: FileStore
    records: Records
    models: Models
    requests: Requests
    board: StatusBoard
    doorbell: Doorbell
    broadcast: Broadcast
    #: Blocking work (database, disk) is done here, never on the event loop.
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="dlc"))
    uploads: Uploads = field(init=False)
    #: Uploads read one after another, a piece in each round of the event loop: others are heard in between.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Open what belongs to the store."""
        self.uploads = Uploads(self.files)

    def close(self) -> None:
        """Close what was opened. What still runs in the pool is not waited for."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.broadcast.close()
        self.files.close()
        self.board.close()
        self.doorbell.close()
        self.database.close()


class DLCHandler(ExtensionHandlerMixin, APIHandler):
    """Base of all handlers. `dlc_jupyter.errors.Refusal` raised anywhere in a handler becomes its JSON answer."""

    _logged = False  # the server's log has its line of this request

    @property
    def services(self) -> Services:
        """The opened store, tables and models."""
        services: Services = self.settings[SERVICES]
        return services

    async def call(self, function: Callable[A, R], *args: A.args, **kwargs: A.kwargs) -> R:
        """Run blocking `function` in a thread and return what it returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.services.pool, lambda: function(*args, **kwargs))

    @property
    def owner(self) -> str:
        """Name of the user who asks."""
        return str(getattr(self.current_user, "username", ""))

    @classmethod
    def verbs(cls) -> list[str]:
        """Return the HTTP methods that this handler answers, in lower case."""
        return [verb for verb in VERBS if getattr(cls, verb) is not web.RequestHandler._unimplemented_method]

    # -- the request -------------------------------------------------------------------------------------------------

    def form(self) -> dict[str, Any]:
        """Return the parameters of the body, whichever of the three forms it has.

        Multipart and url-encoded fields that are repeated become lists; JSON stays as it is.

        Raises
        ------
        BadRequest
            The body is neither of the three, or is broken.
        """
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return self._json_object()
        if kind in ("application/x-www-form-urlencoded", "multipart/form-data") or not self.request.body:
            if self.request.files:
                raise BadRequest(
                    "Send a file to POST /file first, then name it here by file_id.", reason="file-in-form"
                )
            values = {name: self.get_body_arguments(name, strip=False) for name in self.request.body_arguments}
            return {name: each[0] if len(each) == 1 else each for name, each in values.items()}
        raise BadRequest(
            "Send the parameters as a form (multipart/form-data or application/x-www-form-urlencoded) or as JSON.",
            reason="unknown-content-type",
        )

    def _json_object(self) -> dict[str, Any]:
        try:
            values = json.loads(self.request.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):  # RecursionError: thousands of brackets
            raise BadRequest("The body is not valid JSON.", reason="bad-json") from None
        if not isinstance(values, dict):
            raise BadRequest("The body must be a JSON object.", reason="bad-json")
        return values

    def limit(self, default: int, most: int = 1000) -> int:
        """Return ``?limit=``, between 1 and `most`."""
        text = self.get_query_argument("limit", str(default))
        if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
            raise BadRequest(f"limit must be a whole number from 1 to {most}.", reason="bad-limit")
        return int(text)

    # -- the answer --------------------------------------------------------------------------------------------------

    def answer(self, body: Any) -> None:
        """Write a JSON answer. It ends its line, so that a terminal's prompt does not stand behind it."""
        self.finish(f"{json.dumps(body)}\n")

    def link_next(self, last: str, limit: int, **also: object) -> None:
        """Say where the next page of a list is, which is asked for with these parameters `also`."""
        more = "".join(f"&{name}={value}" for name, value in also.items())
        path = f"{self.request.path}?limit={limit}{more}&after={last}"
        self.set_header("Link", f'<{path}>; rel="next"')

    def no_content(self, status: int) -> None:
        """Answer with a status and nothing else, not even the type of a content."""
        self.set_status(status)
        self.update_api_activity()
        self.clear_header("Content-Type")
        web.RequestHandler.finish(self)

    def check_xsrf_cookie(self) -> None:
        """Refuse strangers as strangers: Jupyter would tell them of a missing ``_xsrf`` argument."""
        if getattr(self, "_jupyter_current_user", self) is None:
            self._refuse_stranger()
        try:
            super().check_xsrf_cookie()
        except web.HTTPError as error:
            refusal = Refusal(
                "A request with the browser's cookie must repeat the cookie _xsrf in the header X-XSRFToken.",
                reason="xsrf-token-missing",
            )
            refusal.status = error.status_code
            raise refusal from None

    def get_login_url(self) -> str:
        """Refuse strangers: an API has no login page to send them to."""
        self._refuse_stranger()

    async def prepare(self) -> None:  # type: ignore[override]
        """Authenticate, before any byte of a body is read. Looking is no activity that keeps a server awake."""
        self._track_activity = self.request.method not in ("GET", "HEAD")
        await super().prepare()
        if self.current_user is None and self.request.method != "OPTIONS":  # a browser asks so without any token
            self._refuse_stranger()
        if SERVICES not in self.settings:
            raise Unavailable(self.settings[PROBLEM])

    def _refuse_stranger(self) -> NoReturn:
        given = "Authorization" in self.request.headers or "token" in self.request.arguments
        where = "in the header 'Authorization: token …', or as ?token=…."
        refusal = Refusal(
            f"This is not the server's token. Give the right one: {where}"
            if given
            else f"Give the server's token: {where}",
            reason="authentication-required",
        )
        refusal.status = 403
        raise refusal

    # -- the server's log --------------------------------------------------------------------------------------------

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log a refusal in a line; only what is our own fault with its traceback."""
        if isinstance(value, Refusal):
            self.log_line(value.status, value.message)
        elif isinstance(value, web.HTTPError) and value.status_code < 500:
            # Its own message may hold what was sent, a token too.
            self.log_line(value.status_code, f"{value.reason or responses.get(value.status_code, 'Refused')}.")
        else:
            self.log_line(500, "this is the server's own fault.", logging.ERROR, exc_info=(typ, value, tb))

    def log_line(self, status: int, message: str, level: int = logging.WARNING, **options: Any) -> None:
        """Log this request in one line: by its path, since a query may hold a token. Jupyter then adds none.

        Parameters
        ----------
        status : int
            Of the answer.
        message : str
            What is answered.
        level : int
            As in `logging`.
        **options
            As `logging.Logger.log` takes them.
        """
        user = getattr(getattr(self, "_jupyter_current_user", None), "username", "")
        request = self.request
        line = f"{status} {request.method} {request.path} ({user}@{request.remote_ip}): {message}"
        self.log.log(level, "%s", "".join(each if each.isprintable() else " " for each in line), **options)
        self._logged = True

    def _log(self) -> None:
        """Log the request when it has been answered, as Jupyter does, unless that was done.

        Jupyter's function adds the headers of every 500 as an error, though a failed analysis is answered so.
        """
        if not self._logged:
            super()._log()
        elif getattr(self.serverapp, "record_http_request_metrics", True):
            prometheus_log_method(self)  # type: ignore[no-untyped-call]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``{"message", "reason", …}``. Neither a traceback nor a path leaves the server."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if status_code == 405:
            self.set_header("Allow", ", ".join(verb.upper() for verb in self.verbs()))
        if isinstance(error, Refusal):
            self.set_status(error.status)
            body: Mapping[str, Any] = error.as_json()
        elif isinstance(error, web.HTTPError):
            body = {"message": _sentence(error) or f"{self._reason}.", "reason": _kebab(self._reason)}
        elif status_code < 500:
            body = {"message": f"{self._reason}.", "reason": _kebab(self._reason)}
        else:
            body = {"message": "The server met an error of its own; its log says more.", "reason": "internal-error"}
        self.answer(body)


class NoSuchRoute(DLCHandler):
    """Everything else below ``dlc/``: a mistyped address gets JSON too, not Jupyter's page."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse, whatever the verb."""
        await super().prepare()
        raise NotFound(
            "There is nothing at this address. GET openapi.json lists what there is.", reason="no-such-route"
        )


def _sentence(error: web.HTTPError) -> str:
    """Return what tornado or Jupyter says of a request that they refuse."""
    message = error.log_message or ""
    message = (message % error.args if error.args else message).rstrip(".")
    if message and error.status_code == 400:
        return f"The request cannot be read: {message}."
    return message and f"{message}."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kebab(phrase: str) -> str:
    return "-".join(phrase.lower().split())


def whole_number(text: str) -> int | None:
    """Return the whole number, of at most 18 digits, that a text is; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def as_list(value: Any) -> list[str]:
    """Return a form or JSON value that may be given once or several times as a list of text."""
    values: Iterable[Any] = value if isinstance(value, list) else [] if value is None else [value]
    return [str(each) for each in values]


def flag(values: dict[str, Any], name: str) -> bool:
    """Take the flag `name`, which is off when left out, out of `values`."""
    value = values.pop(name, False)
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.", reason="bad-parameters")
    return value
