"""Write docs/http_api.md from the OpenAPI document (``make docs``); with ``--check``, say whether it is true."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlc_jupyter.analyses.base import registry
from dlc_jupyter.app import ROUTES
from dlc_jupyter.client import Analysis, Batch, Client
from dlc_jupyter.handlers.base import VERBS
from dlc_jupyter.handlers.openapi import EVERYWHERE, document

#: The fields of a request that all analyses have.
SHARED = ("analysis", "file_id", "fresh")

PAGE = Path(__file__).parent.parent / "docs" / "http_api.md"

HEAD = """\
# The HTTP API

<!-- Written by tools/write_api_page.py (make docs) from the handlers and the analyses: change it there. -->

All addresses lie under `/dlc/` of a Jupyter server; `jupyter dlc` serves them at its root too. The same is served as an
OpenAPI 3.1 document at `/dlc/openapi.json`, for programs that make clients.

**Who may call.** Give the server's token: `-H 'Authorization: token …'` (or `Bearer …`), or `?token=…`. A browser that
is logged in to Jupyter needs none; to change anything it repeats the cookie `_xsrf` in the header `X-XSRFToken`.

**Parameters** come as a form (`curl -F` or `-d`) or as a JSON object; all mean the same. A list is written
`0,640,0,480`, `[0, 640, 0, 480]`, or with the field repeated.

**Ids** are 40 hexadecimal digits. As many of the first ones as tell it from the others will do. That of a file is the
SHA-1 of its bytes. Fields of a result that end in `_file` are ids of files.

**Names** of files that an analysis has made begin with that of its video, and keep DeepLabCut's endings, so that
DeepLabCut finds them beside it: of `day 1.mp4` there are `day 1DLC_….h5` and `day 1_labeled.mp4`. Where several cameras
have videos of one name, the camera's follows it (`day_camera-1DLC_….h5`). Of a long name only the first 120 bytes are
taken.

**Errors** are JSON: `{"message": "what is wrong and what to do", "reason": "a-stable-code"}`, and further fields that
are named below. Every call may answer 403 (no token, or a wrong one), 500 (the server's own fault; its log says more)
and 503 (the server cannot use its data folder).

**From Python** the calls are methods of a client that needs nothing but Python: `from dlc_jupyter import Client`, then
`client = Client()` in a notebook, which finds its server. Elsewhere it is `Client("http://localhost:8888", token="…")`,
or `Client()` with `DLC_JUPYTER_URL` and `DLC_JUPYTER_TOKEN` in the environment.

"""

_ANALYSIS = """\
`run` and `analysis` return an analysis. It is its id, a string like any other, so every call that takes an id takes it,
and it knows what can be asked of it (`await analysis` waits, too):
"""
_BATCH = """\
`batch` returns many of them. It is a sequence, of which each entry has `name`, `state`, `problem` and `analysis`:
"""


def page() -> str:
    """Return the whole page."""
    spec = json.loads(json.dumps(document(ROUTES, "/dlc")))
    calls = [
        (verb, path, item[verb], item.get("parameters", []))
        for path, item in spec["paths"].items()
        for verb in VERBS
        if verb in item
    ]
    rows = [f"| [`{verb.upper()} {path}`](#{_anchor(verb, path)}) | {op['summary']} |" for verb, path, op, _ in calls]
    parts = [HEAD + _client(), "## All calls\n", "| call | what it does |\n|---|---|\n" + "\n".join(rows) + "\n"]
    parts += [_call(verb, path, operation, in_path) for verb, path, operation, in_path in calls]
    parts.append("## The analyses\n")
    parts.append(_shared(spec["components"]["schemas"]["video.Request"]))
    parts += [_analysis(name, spec["components"]["schemas"][f"{name}.Request"]) for name in sorted(registry())]
    return "\n".join(parts)


def _client() -> str:
    """Return tables of what the client can do, and of what it returns."""
    return "\n".join([_methods(Client), _ANALYSIS, _methods(Analysis), _BATCH, _methods(Batch)])


def _methods(of: type) -> str:
    """Return a table of the methods of a class, and of what can be read off it."""
    rows = ["| method | what it does |", "|---|---|"]
    for name, method in vars(of).items():
        if isinstance(method, property) and not name.startswith("_"):
            rows.append(f"| `{name}` | {_cell((method.__doc__ or '').strip().splitlines()[0])} |")
        if inspect.isfunction(method) and not name.startswith("_"):
            takes = ", ".join(
                f"{'**' if each.kind is each.VAR_KEYWORD else ''}{each.name}"
                + ("" if each.default is each.empty else f"={each.default!r}")
                for each in inspect.signature(method).parameters.values()
                if each.name != "self"
            )
            rows.append(f"| `{name}({takes})` | {_cell((method.__doc__ or '').strip().splitlines()[0])} |")
    return "\n".join(rows) + "\n"


def _shared(schema: Mapping[str, Any]) -> str:
    """Return what every analysis takes."""
    known = schema["properties"]["fresh"]["description"]
    return (
        "Every analysis takes, besides its own parameters, `analysis` (its name), `file_id` (of each file that goes "
        f"in), and `fresh` (`true` or `false`, default `false`): {known[0].lower()}{known[1:]}\n"
    )


def _anchor(verb: str, path: str) -> str:
    """Return the anchor that a heading like ``GET /file/{file_id}`` gets."""
    kept = "".join(each for each in f"{verb} {path}".lower() if each.isalnum() or each in " _-")
    return kept.replace(" ", "-")


def _call(verb: str, path: str, operation: Mapping[str, Any], in_path: list[Any]) -> str:
    parts = [f"### {verb.upper()} {path}\n", f"{operation['summary']}."]
    if "description" in operation:
        parts.append(f"\n{operation['description']}")
    takes = [*in_path, *operation.get("parameters", [])]
    if takes:
        parts.append("\n| parameter | where | what it is |\n|---|---|---|")
        parts += [f"| `{each['name']}` | {each['in']} | {_cell(each['description'])} |" for each in takes]
    for schema in _body(operation):
        parts.append("\n| field of the body | values | default | what it is |\n|---|---|---|---|")
        parts += _fields(schema)
    parts.append("\n| status | when |\n|---|---|")
    parts += [
        f"| {status} | {_cell(answer['description'])} |"
        for status, answer in operation["responses"].items()
        if answer["description"] != EVERYWHERE.get(int(status))  # those are told of in the head
    ]
    return "\n".join(parts) + "\n"


def _body(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schema of a JSON body, where it is this call's own; those of the analyses come later."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "properties" in schema:
        yield schema


def _fields(schema: Mapping[str, Any], besides: tuple[str, ...] = ()) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for field, known in schema["properties"].items():
        if field not in besides:
            default = "required" if field in required else _value(known.get("default"))
            yield f"| `{field}` | {_cell(values(known))} | {default} | {_cell(known.get('description', ''))} |"


def _analysis(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f"### {name}\n", registry()[name].summary(), "\n| parameter | values | default | what it is |"]
    parts.append("|---|---|---|---|")
    parts += _fields(schema, besides=SHARED)
    parts += ["\n| field of the result | what it is |", "|---|---|"]
    parts += [f"| `{field}` | {_cell(meaning)} |" for field, meaning in registry()[name].results.items()]
    return "\n".join(parts) + "\n"


def values(schema: Mapping[str, Any]) -> str:
    """Return in words which values a schema admits."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return " or ".join(_kind(option) for option in options)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return f"names with {values(schema['additionalProperties'])}"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    return " ".join([words.get(str(schema.get("type")), "any"), *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for bound, word in (
        ("exclusiveMinimum", "above"),
        ("minimum", "from"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ):
        if bound in schema:
            yield f"{word} {schema[bound]:g}"
    if "pattern" in schema:
        yield f"like `{schema['pattern']}`"


def _value(default: Any) -> str:
    return "–" if default is None else f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print("docs/http_api.md is not what the handlers say. Run: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
