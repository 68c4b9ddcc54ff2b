"""What a stored file may be called, and of what type it is: both come from strangers."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from pathlib import PurePosixPath

from dlc_jupyter.errors import BadRequest

LONGEST = 255  # bytes: what file systems take

#: Only Python's own table: /etc/mime.types differs from machine to machine.
_TYPES = mimetypes.MimeTypes(filenames=())
for _ending, _type in {
    ".h5": "application/x-hdf5",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".wmv": "video/x-ms-wmv",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}.items():
    _TYPES.add_type(_type, _ending)

UNKNOWN_TYPE = "application/octet-stream"
_SANE_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")

#: Control and line-breaking characters, and those that turn the direction of text and so disguise an ending.
_UNWANTED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_filename(name: str) -> str:
    """Return the last component of `name`, fit to be shown and to be a file's name: at most 255 bytes of UTF-8.

    Raises
    ------
    BadRequest
        Nothing is left of it.
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = "".join(each for each in name if unicodedata.category(each) not in _UNWANTED and each not in _TURNING)
    name = _shorten(name.strip())
    if name in ("", ".", ".."):
        raise BadRequest("The file has no name. Send it with the name that it should have.", reason="no-file-name")
    return name


def _shorten(name: str) -> str:
    """Cut the stem, and keep the ending, which says what the file is."""
    ending = PurePosixPath(name).suffix
    if len(ending.encode()) > 32:
        ending = ""
    return shortened(name.removesuffix(ending), LONGEST - len(ending.encode())) + ending


def shortened(text: str, most: int) -> str:
    """Return as much of the beginning of a text as takes `most` bytes of UTF-8."""
    return text.encode()[: max(most, 0)].decode(errors="ignore")


def content_type(filename: str, claimed: str | None = None) -> str:
    """Return the claimed type where it says anything, else the one that the ending of `filename` stands for."""
    claimed = (claimed or "").partition(";")[0].strip().lower()
    if claimed != UNKNOWN_TYPE and len(claimed) <= LONGEST and _SANE_TYPE.fullmatch(claimed):
        return claimed
    guessed, encoding = _TYPES.guess_type("name" + PurePosixPath(filename).suffix)
    return guessed if guessed and not encoding else UNKNOWN_TYPE
