"""Forms read as they arrive: however the network cuts them into pieces, the same comes out."""

from __future__ import annotations

import random

import pytest

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.handlers.multipart import FormReader
from tests.handlers.connections import FORM, multipart

CONTENT = b"\r\n--" + bytes(range(256)) + FORM["Content-Type"][30:].encode() + b"\r\n\r\n--"
BODY = multipart(
    ('name="before"', "größer".encode()),
    ('name="file"; filename="Maus über.mp4"\r\nContent-Type: video/mp4', CONTENT),
    ('name="after"', b"1"),
    ('name="after"', b"2"),
)


def read(pieces: list[bytes]) -> tuple[FormReader, bytes]:
    """Read a form as it comes from a connection: in bytearrays."""
    form = FormReader(FORM["Content-Type"])
    content = b"".join(bytes(piece) for chunk in pieces for piece in form.feed(bytearray(chunk)))
    form.close()
    return form, content


def check(pieces: list[bytes]) -> None:
    form, content = read(pieces)
    assert content == CONTENT
    assert (form.filename, form.content_type) == ("Maus über.mp4", "video/mp4")
    assert form.fields == {"before": ["größer"], "after": ["1", "2"]}


def test_cut_at_every_place() -> None:
    for place in range(len(BODY) + 1):
        check([BODY[:place], BODY[place:]])


def test_byte_by_byte() -> None:
    check([BODY[place : place + 1] for place in range(len(BODY))])


def test_cut_anyhow() -> None:
    chance = random.Random(3)
    for _ in range(200):
        places = sorted(chance.choices(range(len(BODY)), k=chance.randrange(12)))
        check([BODY[start:end] for start, end in zip([0, *places], [*places, len(BODY)], strict=True)])


def test_what_stands_before_and_behind_the_form_means_nothing() -> None:
    check([b"\r\n", BODY, b"an epilogue", BODY])


def test_a_form_that_ends_anywhere_before_its_end_is_incomplete() -> None:
    for place in range(len(BODY) - 2):  # the last line break may be missing
        with pytest.raises(BadRequest) as refused:
            read([BODY[:place]])
        assert refused.value.reason == "broken-multipart"


def test_large_pieces_pass_through_uncopied() -> None:
    form = FormReader(FORM["Content-Type"])
    form.feed(multipart(('name="file"; filename="a"', b"|")).partition(b"|")[0])
    chunk = bytes(1 << 20)
    (piece,) = form.feed(chunk)
    assert piece.obj is chunk
    assert len(piece) == len(chunk)
