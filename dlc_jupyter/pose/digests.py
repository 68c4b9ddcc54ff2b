"""The SHA-256 of files, of which each is read again only when its size or time has changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def read_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, reading all of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _Digest:
    """The digest of a file as it was at `stamp`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: tuple[int, int] | None = None
    value: str = ""


class Digests:
    """The digests of files. Whoever wants one that is being computed waits for it.

    Parameters
    ----------
    read : callable, optional
        Reads a file and returns its digest; `read_sha256` where it is left out.
    """

    def __init__(self, read: Callable[[Path], str] = read_sha256) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[Path, _Digest] = {}

    def of(self, path: Path) -> str:
        """Return that of a file, which is read where it has changed since.

        Raises
        ------
        OSError
            It is not there, or cannot be read.
        """
        with self._lock:
            known = self._known.setdefault(path, _Digest())
        with known.lock:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if known.stamp != stamp:
                known.value, known.stamp = self._read(path), stamp
            return known.value


#: Those that this process has asked for: an analysis names the files of its model in several places.
_asked_for = Digests()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; it is read once, as long as its size and time stay the same."""
    return _asked_for.of(path)
