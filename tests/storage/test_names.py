"""Names and types from strangers: what is left of them is a name for a file and nothing else."""

from __future__ import annotations

import unicodedata

import pytest

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.storage.names import LONGEST, clean_filename, content_type


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("mouse.mp4", "mouse.mp4"),
        ("/etc/passwd", "passwd"),
        ("../../../etc/passwd", "passwd"),
        ("C:\\Users\\anna\\day 1.mp4", "day 1.mp4"),
        ("videos/day1/", "day1"),
        ("  spaces around.mp4 ", "spaces around.mp4"),
        ("-rf", "-rf"),
        (".hidden", ".hidden"),
        ("no ending", "no ending"),
        ("two.dots.mp4", "two.dots.mp4"),
    ],
)
def test_of_a_path_only_the_name_is_kept(name, kept):
    assert clean_filename(name) == kept


@pytest.mark.parametrize(
    "name",
    ["Maus_über_Käfig.mp4", "マウス.mp4", "мышь.mp4", "🐭.mp4", 'it\'s "here" & <there>;%20.mp4', "a$(b)`c`.mp4"],
)
def test_every_language_and_all_that_is_quoted_stays(name):
    assert clean_filename(name) == name


def test_the_same_letters_are_the_same_name():
    assert clean_filename("u\u0308ber.mp4") == clean_filename("\u00fcber.mp4") == "über.mp4"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("two\nlines.mp4", "twolines.mp4"),
        ("carriage\r\nreturn.mp4", "carriagereturn.mp4"),
        ("nul\0l.mp4", "null.mp4"),
        ("tab\tand\x1bescape.mp4", "tabandescape.mp4"),
        ("line\u2028separator\u2029.mp4", "lineseparator.mp4"),
        ("next\x85line.mp4", "nextline.mp4"),
        ("half \ud800 pair.mp4", "half  pair.mp4"),
        ("\u202egpj.exe", "gpj.exe"),  # shown as exe.jpg
        ("\u2066a\u2069\u200fb.mp4", "ab.mp4"),
    ],
)
def test_line_breaks_control_characters_and_turned_text_are_taken_out(name, kept):
    assert clean_filename(name) == kept


@pytest.mark.parametrize("name", ["", " ", ".", "..", "/", "a/..", "\\", "\n", "\u202e", "///", "\0"])
def test_a_name_of_which_nothing_is_left_is_refused(name):
    with pytest.raises(BadRequest, match="has no name") as refused:
        clean_filename(name)
    assert refused.value.reason == "no-file-name"


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a" * 300 + ".mp4", ".mp4"),
        ("ü" * 300 + ".mp4", ".mp4"),
        ("🐭" * 300, "🐭"),
        ("a" + "🐭" * 80 + ".avi", ".avi"),
        ("a." + "b" * 300, "b"),
    ],
)
def test_a_long_name_is_cut_before_its_ending_and_never_within_a_character(name, ending):
    kept = clean_filename(name)
    assert LONGEST - 4 < len(kept.encode()) <= LONGEST
    assert kept.endswith(ending)
    assert name.startswith(kept.removesuffix(ending))


def test_a_name_of_255_bytes_is_not_cut():
    name = "n" * (LONGEST - 4) + ".mp4"
    assert clean_filename(name) == name


def test_a_cleaned_name_stays_as_it_is(tmp_path):
    for name in ("über/ a\nb.mp4", "x" * 400, "\u202ea..b", "🐭" * 100 + ".mkv"):
        kept = clean_filename(name)
        assert clean_filename(kept) == kept == unicodedata.normalize("NFC", kept)
        (tmp_path / kept).touch()


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mouse.mp4", "video/mp4"),
        ("MOUSE.MP4", "video/mp4"),
        ("mouse.avi", "video/x-msvideo"),
        ("mouse.mov", "video/quicktime"),
        ("mouse.mkv", "video/x-matroska"),
        ("mouse.webm", "video/webm"),
        ("mouse.wmv", "video/x-ms-wmv"),
        ("mouse.m4v", "video/x-m4v"),
        ("poses.h5", "application/x-hdf5"),
        ("poses.csv", "text/csv"),
        ("config.yaml", "application/yaml"),
        ("config.yml", "application/yaml"),
        ("poses.csv.gz", "application/octet-stream"),  # packed: not what the inner ending says
        ("mouse", "application/octet-stream"),
        ("mouse.nonsense", "application/octet-stream"),
        (".mp4", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize(
    "claimed", [None, "", "application/octet-stream", "nonsense", "a b/c", "video/", "/mp4", "é/x"]
)
def test_the_ending_says_the_type_where_the_sender_does_not(name, kind, claimed):
    assert content_type(name, claimed) == kind


@pytest.mark.parametrize(
    ("claimed", "kind"),
    [
        ("video/mp4", "video/mp4"),
        ("Video/MP4; codecs=avc1", "video/mp4"),
        ("  text/plain ; charset=utf-8", "text/plain"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
    ],
)
def test_what_the_sender_says_of_the_type_counts(claimed, kind):
    assert content_type("anything.bin", claimed) == kind


@pytest.mark.parametrize("claimed", ["text/html\r\nX-Evil: 1", "text/html\n", "text/" + "x" * 300])
def test_a_type_that_no_header_can_hold_is_ignored(claimed):
    kind = content_type("mouse.mp4", claimed)
    assert kind == ("text/html" if claimed == "text/html\n" else "video/mp4")
