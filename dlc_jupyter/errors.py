"""What can be refused, and what can go wrong: exceptions that know how an HTTP client should hear of them.

Every message is a sentence for the person who asked: what is wrong and what to do. None carries a path of the
server or a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A path begins behind neither a word nor another path; behind a colon too, but not in a URL.
_BEGIN = r"(?<![\w/.~-])(?!(?<=:)//(?!/))"
_PATH = re.compile(_BEGIN + r"(?:/+[^\s/'\"]+)+/+([^\s/'\"]+)")
_QUOTED = re.compile(r"(?<=(['\"]))/(?:(?!\1).)*?([^/'\"]+)/?(?=\1)")


class Refusal(Exception):
    """A request that cannot be done as it stands. Nothing has changed.

    Parameters
    ----------
    message : str
        A sentence that says what is wrong and what to do.
    reason : str, optional
        Stable kebab-case code for programs; the class's own when left out.
    **fields
        Further fields of the JSON answer, such as ``matches`` or ``errors``.
    """

    status = 400
    reason = "bad-request"

    def __init__(self, message: str, *, reason: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.fields = fields

    def as_json(self) -> dict[str, Any]:
        """Return the body of the HTTP answer."""
        return {"message": self.message, "reason": self.reason, **self.fields}


class BadRequest(Refusal):
    """The request itself is malformed or its values are out of range."""


class NotFound(Refusal):
    """Nothing has that name or id."""

    status, reason = 404, "not-found"


class Conflict(Refusal):
    """It exists, but its present state forbids this."""

    status, reason = 409, "conflict"


class Ambiguous(Conflict):
    """The first characters of an id match more than one thing. ``matches`` names them."""

    reason = "ambiguous-id"


class Gone(Refusal):
    """It was there, and will not come back."""

    status, reason = 410, "gone"


class TooLarge(Refusal):
    """More bytes than the configured limit."""

    status, reason = 413, "too-large"


class Locked(Refusal):
    """Somebody else is at it at this moment."""

    status, reason = 423, "locked"


class ChecksumMismatch(Refusal):
    """The bytes that have come are not those that were announced. The status is that of tus 1.0.0."""

    status, reason = 460, "checksum-mismatch"


class NoSpace(Refusal):
    """The disk, or the part of it this store may use, is full."""

    status, reason = 507, "no-space"


class Unavailable(Refusal):
    """The server itself is not set up so that it could answer; its log says more."""

    status, reason = 503, "not-available"


class AnalysisFailed(Exception):
    """An analysis ended without a result that can be trusted.

    Raised by analyses; becomes the ``error`` of the record: its type, message and hint.

    Parameters
    ----------
    message : str
        What went wrong, in the user's terms (frames, seconds, body parts, models).
    hint : str, optional
        What to do about it.
    kind : str, optional
        Stable name for programs, the ``type`` in the record's ``error``.
    """

    def __init__(self, message: str, *, hint: str = "", kind: str = "AnalysisFailed") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind

    def __str__(self) -> str:
        """Say what went wrong, and what to do about it."""
        return f"{self.message} {self.hint}".rstrip()

    def as_json(self) -> dict[str, str]:
        """Return the record's ``error``."""
        return {"type": self.kind, "message": self.message, "hint": self.hint}


def without_paths(text: str, *roots: str | Path) -> str:
    """Return a text with every absolute path of the server cut down to its last part.

    Parameters
    ----------
    text : str
        What a library, a program or the system has to say.
    roots : path
        Folders that may be named in it. A path with spaces is recognised by them, by the folder in which this process
        works, by the user's own and Python's, by the folders above all those, or by quotation marks around it.
    """
    known = sorted(set(_folders(*roots)), key=len, reverse=True)
    begin = "|".join(re.escape(folder) for folder in known)
    named = re.compile(rf"{_BEGIN}(?:{begin})(?![^\s/'\":;,.)\]])((?:/+[^\s/'\"]+)*)")
    text = _QUOTED.sub(lambda found: found[2], text)
    text = named.sub(lambda found: _last(found[1] or found[0]), text)
    return _PATH.sub(r"\1", text)


def _folders(*roots: str | Path) -> Iterator[str]:
    """Return these folders, those that are always known, and all above them."""
    given = [*map(str, roots), os.path.expanduser("~"), sys.prefix, sys.base_prefix]  # noqa: PTH111
    with contextlib.suppress(OSError):
        given.append(str(Path.cwd()))
    for folder in given:
        for path in (Path(folder).absolute(), Path(os.path.realpath(folder))):
            yield from (str(each) for each in (path, *path.parents) if each != each.parent)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


@contextlib.contextmanager
def full_disk_explained(what: str) -> Iterator[None]:
    """Turn the system's word that there is no room into an `AnalysisFailed` (kind ``NoSpace``).

    Parameters
    ----------
    what : str
        A sentence that says what could not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise AnalysisFailed(
                f"The server's disk is full. {what}", hint="Free some space and try again.", kind="NoSpace"
            ) from error
        raise
