"""Bytes on their way into the store: a part file that is locked for as long as its writer lives."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

from dlc_jupyter.storage.disk import begin_writing, full_disk_refused

Piece: TypeAlias = bytes | bytearray | memoryview

#: How much of a file is read at a time.
PIECE = 1 << 20

#: Between two looks at the room that is left on the disk.
CHECK_EVERY = 16 << 20

#: How much is gathered before the disk is told to begin with it.
BEGIN_EVERY = 16 << 20


class Digest(Protocol):
    """What `hashlib` makes."""

    def update(self, data: Piece, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of those so far."""

    def hexdigest(self) -> str:
        """Return it in hexadecimal."""

    def copy(self) -> Digest:
        """Return one that goes on from here by itself."""


class GrowingFile:
    """A file that this process alone writes to, from its beginning to its end, and of which it keeps the SHA-1.

    Parameters
    ----------
    path : Path
        Where it lies.
    descriptor : int
        The same file, open, locked, and positioned behind the bytes that are there already.
    check : callable
        Called with the number of bytes written so far, now and then and before anything is written; refuses by raising.
    size : int
        Number of the bytes that are there already.

    Notes
    -----
    `hash` and `write` may run in two threads, one each: both release the interpreter for the length of a piece.
    """

    def __init__(self, path: Path, descriptor: int, check: Callable[[int], None], size: int = 0) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = size
        self._sha1: Digest = hashlib.sha1(usedforsecurity=False)
        self._check = check
        self._checked = self._begun = size

    def append(self, piece: Piece) -> None:
        """Add `piece` to the file."""
        self.hash(piece)
        self.write(piece)

    def hash(self, piece: Piece) -> None:
        """Add `piece` to the digest only."""
        self._sha1.update(piece)

    def write(self, piece: Piece) -> None:
        """Add `piece` to the file only.

        Raises
        ------
        NoSpace
            The disk is full.
        TooLarge
            The file has become larger than it may be.
        """
        rest = memoryview(piece)
        self.size += len(rest)
        self._check_now_and_then(self.size)
        with full_disk_refused():
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        if self.size - self._begun >= BEGIN_EVERY:
            begin_writing(self.descriptor, self._begun, self.size)
            self._begun = self.size

    def _check_now_and_then(self, size: int) -> None:
        if size - self._checked >= CHECK_EVERY:
            self._checked = size
            self._check(size)

    def seal(self) -> str:
        """Bring the bytes safely to the disk, and return their SHA-1 in hexadecimal."""
        self._check(self.size)
        with full_disk_refused():  # some file systems find out only now
            os.fsync(self.descriptor)
        return self._sha1.hexdigest()

    def close(self) -> None:
        """Let go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class PartFile(GrowingFile):
    """A file in ``incoming/``. Nobody else may remove it while it is open, and nothing is left of it without an end.

    Parameters
    ----------
    folder : Path
        The store's ``incoming``.
    check : callable
        See `GrowingFile`.
    """

    def __init__(self, folder: Path, check: Callable[[int], None]) -> None:
        with full_disk_refused():
            super().__init__(*create_locked(folder), check)

    def rehash(self) -> None:
        """Take size and digest from the file itself, whose bytes came by another way than `append`."""
        for piece in pieces(self.descriptor):
            self.size += len(piece)
            self._check_now_and_then(self.size)
            self._sha1.update(piece)

    def discard(self) -> None:
        """Leave nothing behind. Does nothing where the file has its place in the store."""
        if self.descriptor >= 0:
            self.path.unlink(missing_ok=True)
            self.close()


def pieces(descriptor: int) -> Iterator[bytes]:
    """Yield the bytes of an open file, from its beginning, a piece at a time."""
    offset = 0
    while piece := os.pread(descriptor, PIECE, offset):
        offset += len(piece)
        yield piece


def create_locked(folder: Path) -> tuple[Path, int]:
    """Create a part file in a folder and lock it; again where a sweep came between the two."""
    while True:
        path = folder / f"{secrets.token_hex(16)}.part"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)


def _take_abandoned(path: Path) -> int | None:
    """Return the part file at `path`, open and locked, if its writer is dead."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not try_lock(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Lock an open file. False: somebody else holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def abandoned(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the part files whose writers are dead, with their sizes and times."""
    found = []
    for path in sorted(folder.glob("*.part")):
        descriptor = _take_abandoned(path)
        if descriptor is not None:
            found.append((path, os.fstat(descriptor)))
            os.close(descriptor)
    return found


def remove_abandoned(path: Path) -> bool:
    """Remove a part file, if its writer is dead. False: it is not, or the file is gone."""
    descriptor = _take_abandoned(path)
    if descriptor is None:
        return False
    try:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True
