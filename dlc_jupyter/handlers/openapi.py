"""The OpenAPI 3.1 document: read off the mounted handlers, what they declare, and the analyses' parameters.

A handler's method says in its docstring what it does; `operation` beside it declares what it takes and answers. What
holds for every route (authentication, the form of an error) is added here, once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import registry
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.schemas import COMPONENTS, analysis_components, ref

Method = TypeVar("Method", bound=Callable[..., Any])
Route = tuple[str, type[DLCHandler]]

#: Key of the mounted routes in the web application's settings.
ROUTES = "dlc_routes"


@dataclass(frozen=True)
class Parameter:
    """A query parameter or a header that an operation takes."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    place: str = "query"
    required: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as OpenAPI writes it."""
        return {
            "name": self.name,
            "in": self.place,
            "required": self.required,
            "description": self.description,
            "schema": dict(self.schema),
        }


@dataclass(frozen=True)
class Answer:
    """What an operation answers when it can. Without a `schema` there is no content."""

    description: str
    schema: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    example: Any = None

    def as_json(self) -> dict[str, Any]:
        """Return it as OpenAPI writes it."""
        found: dict[str, Any] = {"description": self.description}
        if self.headers:
            found["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in self.headers.items()
            }
        if self.schema is not None:
            media: dict[str, Any] = {"schema": dict(self.schema)}
            if self.example is not None:
                media["example"] = self.example
            found["content"] = {self.content_type: media}
        return found


@dataclass(frozen=True)
class Operation:
    """What a handler's method declares of itself; see `operation`."""

    answers: Mapping[int, Answer]
    refuses: Mapping[int, str] = field(default_factory=dict)
    takes: Sequence[Parameter] = ()
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)


def operation(
    *,
    answers: Mapping[int, Answer],
    refuses: Mapping[int, str] | None = None,
    takes: Sequence[Parameter] = (),
    body: Mapping[str, Mapping[str, Any]] | None = None,
    examples: Mapping[str, Any] | None = None,
) -> Callable[[Method], Method]:
    """Declare what a handler's method takes and answers.

    Parameters
    ----------
    answers : mapping of int to Answer
        By status.
    refuses : mapping of int to str
        When it refuses, by status; the refusals that every route has need no mention.
    takes : sequence of Parameter
        Query parameters and headers. Those in the path are read off the method's signature.
    body : mapping of str to mapping
        JSON Schema of the body, by content type.
    examples : mapping of str to any
        Examples of the body, by what they show; used where the content type is JSON.
    """

    def declare(method: Method) -> Method:
        declared = Operation(answers, refuses or {}, takes, body or {}, examples or {})
        method.operation = declared  # type: ignore[attr-defined]
        return method

    return declare


#: Refusals of every route.
EVERYWHERE = {
    403: "No token, a wrong one, or one that does not permit this.",
    500: "The server's own fault; its log says more.",
    503: "The server cannot use its data folder.",
}

_SECURITY_SCHEMES = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Authorization: token <the server's token>`",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <the server's token>`"},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "`?token=<the server's token>`"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "username-localhost-8888",
        "description": "The browser's, after logging in to Jupyter. Its name holds the server's host and port.",
    },
    "xsrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-XSRFToken",
        "description": "The value of the cookie `_xsrf`; needed with a cookie to change anything.",
    },
}


def document(routes: Iterable[Route], server_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of `routes`, mounted at the path `server_url`.

    Raises
    ------
    TypeError
        A method declares no `operation`.
    """
    paths = {f"/{path(*route)}": _path_item(*route) for route in routes}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "dlc_jupyter",
            "version": __version__,
            "summary": "DeepLabCut behind Jupyter: videos in, poses and labelled videos out.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server_url}],
        "security": [{"token": []}, {"bearer": []}, {"query": []}, {"cookie": [], "xsrf": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**COMPONENTS, **analysis_components(registry())},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def path(pattern: str, handler: type[DLCHandler]) -> str:
    """Return a route's pattern as OpenAPI writes it: its groups are named like the method's arguments."""
    names = iter(_arguments(getattr(handler, handler.verbs()[0])))
    return re.sub(r"\([^)]*\)", lambda _group: f"{{{next(names)}}}", pattern).replace("\\.", ".")


def _path_item(pattern: str, handler: type[DLCHandler]) -> dict[str, Any]:
    methods = {verb: getattr(handler, verb) for verb in handler.verbs()}
    item: dict[str, Any] = {verb: _operation(verb, pattern, handler, method) for verb, method in methods.items()}
    in_path = re.findall(r"{(\w+)}", path(pattern, handler))
    if in_path:
        item["parameters"] = [
            Parameter(name, _PATH_PARAMETERS.get(name, name), place="path", required=True).as_json() for name in in_path
        ]
    return item


_PATH_PARAMETERS = {
    "analysis_id": "The id of an analysis, or as many of its first characters as tell it from the others.",
    "file_id": "The SHA-1 of a file's bytes, or as many of its first characters as tell it from the others.",
    "name": "The name of a model.",
    "upload_id": "The whole id of an upload: the last part of its address.",
}


def _operation(verb: str, pattern: str, handler: type[DLCHandler], method: Any) -> dict[str, Any]:
    declared = getattr(method, "operation", None)
    if not isinstance(declared, Operation):
        raise TypeError(f"{handler.__name__}.{verb} has no @operation that declares what it answers.")
    summary, _, description = inspect.cleandoc(method.__doc__ or "").partition("\n\n")
    words = re.findall(r"\w+", path(pattern, handler))
    found: dict[str, Any] = {
        "operationId": "_".join([verb, *words]),
        "tags": [pattern.partition("/")[0].partition(".")[0]],
        "summary": summary.rstrip("."),
        "responses": _responses(declared),
    }
    if description:
        found["description"] = " ".join(description.split())
    if declared.takes:
        found["parameters"] = [parameter.as_json() for parameter in declared.takes]
    if declared.body:
        found["requestBody"] = {"required": True, "content": _contents(declared)}
    return found


def _responses(declared: Operation) -> dict[str, Any]:
    answers = dict(declared.answers)
    for status, when in {**EVERYWHERE, **declared.refuses}.items():
        answer = answers.get(status)
        error: Mapping[str, Any] = ref("Error")
        if answer is not None and answer.schema is not None:  # an answer too, such as that of a failed analysis
            when, error = f"{answer.description} Or: {when}", {"anyOf": [answer.schema, error]}
        answers[status] = Answer(when, error)
    return {str(status): answer.as_json() for status, answer in sorted(answers.items())}


def _contents(declared: Operation) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    for content_type, schema in declared.body.items():
        contents[content_type] = {"schema": dict(schema)}
        if declared.examples and content_type == "application/json":
            contents[content_type]["examples"] = {name: {"value": value} for name, value in declared.examples.items()}
    return contents


def _arguments(method: Any) -> list[str]:
    """Return the names of a method's arguments, which are those of the path."""
    return [name for name in inspect.signature(method).parameters if name != "self"]


class OpenAPIHandler(DLCHandler):
    """``openapi.json``."""

    auth_resource = "dlc.status"
    _documents: ClassVar[dict[str, dict[str, Any]]] = {}

    @operation(answers={200: Answer("An OpenAPI 3.1 document.", {"type": "object"})})
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Describe this API for programs."""
        mounted_at = self.request.path.removesuffix("/openapi.json")
        if mounted_at not in self._documents:
            self._documents[mounted_at] = await self.call(document, self.settings[ROUTES], mounted_at or "/")
        self.answer(self._documents[mounted_at])


openapi_handlers: list[Route] = [(r"openapi\.json", OpenAPIHandler)]
