"""What is wrong with parameters, and what would be right, in sentences for whoever gave them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pydantic

from dlc_jupyter.errors import AnalysisFailed

#: What pydantic finds wrong, by its names, and how it is said here. Its own words are about types of Python.
_SAYINGS = {
    "missing": "It must be given.",
    "dict_type": 'Names with values are wanted, written as JSON, such as {{"camera-1": …}}, not {given}.',
    "list_type": "A list is wanted, such as 1,2 or [1, 2], not {given}.",
    "tuple_type": "A list is wanted, such as 1,2 or [1, 2], not {given}.",
    "string_type": "A text is wanted, not {given}.",
    "bool_parsing": "true or false is wanted, not {given}.",
    "bool_type": "true or false is wanted, not {given}.",
    "int_parsing": "A whole number is wanted, such as 5, not {given}.",
    "int_type": "A whole number is wanted, such as 5, not {given}.",
    "int_from_float": "A whole number is wanted, such as 5, not {given}.",
    "int_parsing_size": "That number is too large.",
    "float_parsing": "A number is wanted, such as 2.5, not {given}.",
    "float_type": "A number is wanted, such as 2.5, not {given}.",
    "finite_number": "A finite number is wanted, such as 2.5, not {given}.",
    "greater_than": "It must be greater than {gt}, not {given}.",
    "greater_than_equal": "It must be at least {ge}, not {given}.",
    "less_than": "It must be less than {lt}, not {given}.",
    "less_than_equal": "It must be at most {le}, not {given}.",
    "literal_error": "{given} is not possible. There are: {expected}.",
    "string_pattern_mismatch": "{given} is not possible.",
    "string_too_short": "It must have at least {min_length}.",
    "string_too_long": "It must have at most {max_length}.",
    "too_short": "{min_length} wanted at least{instead}.",
    "too_long": "{max_length} wanted at most{instead}.",
    "timezone_aware": "{given} lacks its time zone, such as +01:00 at the end, or Z.",
}

#: One of several values, as pydantic writes them: a text in quotation marks, or something else.
_PIECE = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,]+)""")
#: A text in quotation marks. An apostrophe is none.
_QUOTED = re.compile(r"""(?<!\w)'[^']*'|"[^"]*\"""")

#: Several of pydantic's names mean that a text is no moment: these, and others that begin so.
_NO_MOMENT = ("datetime_parsing", "datetime_type", "datetime_from_date", "datetime_object")
_MOMENT = "{given} is no date with a time and a time zone, such as 2026-01-31T10:00:00+01:00."

#: With these it is not clear from the sentence alone what would be right, so that the parameter's description follows.
_UNCLEAR = ("dict_type", "list_type", "tuple_type", "string_pattern_mismatch", "too_short", "too_long")


def wrong_fields(error: pydantic.ValidationError, parameters: type[pydantic.BaseModel]) -> list[dict[str, str]]:
    """Return the ``field`` and ``message`` of each value that was not valid.

    Where values do not go together, `field` is the parameter that the message names first, if it names any. What
    somebody has given is quoted in a message: that is no name of a parameter.
    """
    return [_explain(found, parameters.model_fields) for found in error.errors()]


def refused(field: str, check: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, str]]:
    """Yield a parameter and what is wrong with it, where a check that the analysis makes too does not pass."""
    try:
        check(*arguments)
    except AnalysisFailed as failed:
        yield field, str(failed)


def _explain(found: Any, known: Mapping[str, Any]) -> dict[str, str]:
    field, kind = ".".join(str(part) for part in found["loc"]), found["type"]
    message = found["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        near = get_close_matches(field, known, 1)
        return {
            "field": field,
            "message": "There is no such parameter." + (f" Did you mean {near[0]}?" if near else ""),
        }
    saying = _MOMENT if kind.startswith(_NO_MOMENT) else _SAYINGS.get(kind)
    if saying:
        with contextlib.suppress(Exception):  # of a type that nobody thought of, pydantic's own sentence must do
            message = saying.format_map(_about(found))
    described = known.get(str(found["loc"][0])) if found["loc"] else None
    if kind in _UNCLEAR and described is not None and described.description:
        message = f"{message} {described.description}"
    return {"field": field or _first_named(message, known), "message": message}


def _about(found: Any) -> dict[str, Any]:
    """Return what `_SAYINGS` name of an error, as they are to say it."""
    about: dict[str, Any] = {name: _bound(value) for name, value in (found.get("ctx") or {}).items()}
    for name in ("min_length", "max_length"):
        if name in about:
            one = about[name] == "1"
            characters, values = ("character", "value is") if one else ("characters", "values are")
            about[name] += f" {characters if found['type'].startswith('string') else values}"
    there = found.get("ctx", {}).get("actual_length")
    instead = "" if there is None else f", not {there}"
    return {
        **about,
        "expected": _expected(about.get("expected", "")),
        "instead": instead,
        "given": _given(found["input"]),
    }


def _bound(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _expected(text: str) -> str:
    """Return the values that are possible without the quotation marks, and the "or", that pydantic puts in."""
    pieces = (piece.group(1, 2, 3) for piece in _PIECE.finditer(text))
    return ", ".join(next(each for each in piece if each is not None) for piece in pieces if piece[2] != "or")


def _given(value: Any) -> str:
    """Return a value as the message repeats it: not all of it, where it is long."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _first_named(message: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return the parameter that a message names first, but for what it quotes; "" where it names none."""
    message = _QUOTED.sub("", message)
    places = {name: found.start() for name in known if (found := re.search(rf"\b{re.escape(name)}\b", message))}
    return min(places, key=lambda name: places[name], default="")
