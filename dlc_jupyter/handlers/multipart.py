"""A ``multipart/form-data`` body, read as it arrives: the bytes of its one file pass through and are never gathered."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.storage.names import clean_filename

#: The field that holds the file.
FILE = "file"

#: Most that all other fields together may hold, in bytes, and most parts.
MOST_FIELD_BYTES = 1 << 16
MOST_PARTS = 100

#: ``filename*=UTF-8''na%C3%AFve.mp4`` (RFC 5987), outside quotes.
_QUOTED = re.compile(rb'"(?:\\.|[^"\\])*"')
_EXTENDED = re.compile(rb"""(?:^|;)\s*filename\*\s*=\s*([A-Za-z0-9-]+)'[^']*'([^;\s"]+)""", re.IGNORECASE)

#: How browsers and newer curls write these in a quoted name (HTML standard, "multipart/form-data encoding algorithm").
_ESCAPED = {"%22": '"', "%0d": "\r", "%0a": "\n"}
_ESCAPES = re.compile("|".join(_ESCAPED), re.IGNORECASE)

#: Most bytes of a header of a part: a long name takes several bytes for each letter, and may come in two forms.
MOST_HEADER_BYTES = 1 << 14


class FormReader:
    """A form on its way in.

    Parameters
    ----------
    content_type : str
        The request's header; it names the boundary.

    Attributes
    ----------
    filename : str or None
        Name of the file, as soon as its part has begun.
    content_type : str or None
        What the part's header says it is.
    fields : dict of str to list of str
        The other fields.

    Raises
    ------
    BadRequest
        From the constructor, `feed` and `close`: the form is broken, or holds what it may not.
    """

    def __init__(self, content_type: str) -> None:
        self.filename: str | None = None
        self.content_type: str | None = None
        self.fields: dict[str, list[str]] = {}
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._parts = self._field_bytes = 0
        self._take: Callable[[memoryview], None] | None = None  # what to do with the bytes of the present part
        self._pieces: list[memoryview] = []
        self._field: tuple[str, bytearray] | None = None
        self._complete = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._content_begins,
                    "on_part_data": self._content,
                    "on_part_end": self._part_ends,
                    "on_end": self._ends,
                },
                max_header_size=MOST_HEADER_BYTES,
            )
        except FormParserError:
            raise broken() from None
        if not boundary:
            raise broken()

    def feed(self, chunk: bytes | bytearray) -> list[memoryview]:
        """Read the next bytes of the body, and return the pieces of the file among them: views of `chunk`."""
        self._pieces = []
        if not self._complete:  # what follows the form means nothing
            try:
                self._parser.write(chunk)  # type: ignore[arg-type]  # a bytearray will do: a test feeds it
            except FormParserError:
                raise broken() from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def close(self) -> None:
        """Make sure that the form came to its end."""
        if not self._complete:
            raise broken()

    # -- what the parser meets ---------------------------------------------------------------------------------------

    def _part_begins(self) -> None:
        self._headers = {}
        self._take = self._field = None
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadRequest(f"The form has more than {MOST_PARTS} fields.", reason="too-many-fields")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _content_begins(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        options = parse_options_header(disposition.decode("latin-1"))[1]
        if b"name" not in options:
            raise broken()
        name = _text(options[b"name"])
        filename = _filename(disposition, options)
        if name == FILE:
            self._file_begins(filename)
        elif filename:
            raise BadRequest(f"Send the file in the field 'file', not in {name[:80]!r}.", reason="no-file-field")
        else:
            self._field = (name, bytearray())
            self._take = self._field_content

    def _file_begins(self, filename: str | None) -> None:
        if self.filename is not None:
            raise BadRequest(
                "There is a second field 'file'. Send each file in a request of its own.", reason="second-file"
            )
        self.filename = clean_filename(filename or "")
        self.content_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._take = self._file_content

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._take:
            self._take(memoryview(data)[start:end])

    def _file_content(self, piece: memoryview) -> None:
        self._pieces.append(piece)

    def _field_content(self, piece: memoryview) -> None:
        self._field_bytes += len(piece)
        if self._field_bytes > MOST_FIELD_BYTES:
            raise BadRequest("The fields beside the file are too long.", reason="field-too-long")
        if self._field:
            self._field[1].extend(piece)

    def _part_ends(self) -> None:
        if self._field:
            name, value = self._field
            self.fields.setdefault(name, []).append(_text(bytes(value)))

    def _ends(self) -> None:
        self._complete = True


def broken() -> BadRequest:
    """Return the refusal of a body that is no form."""
    return BadRequest(
        "The form is broken: it must be multipart/form-data with a boundary, and complete.", reason="broken-multipart"
    )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _filename(disposition: bytes, options: dict[bytes, bytes]) -> str | None:
    """Return the name that the sender gave the file; None where it gave none."""
    extended = _EXTENDED.search(_QUOTED.sub(b'""', disposition))
    if extended:
        try:
            return unquote_to_bytes(extended[2]).decode(extended[1].decode())
        except (LookupError, UnicodeError):
            pass  # no such encoding, or not in it: the plain name stands beside it
    if b"filename" not in options:
        return None
    return _ESCAPES.sub(lambda found: _ESCAPED[found[0].lower()], _text(options[b"filename"]))
