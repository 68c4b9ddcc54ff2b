"""The file system under the data folder: its kind, its room, and the few calls that Python does not wrap."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from dlc_jupyter.errors import NoSpace

#: Where a lock or SQLite's shared memory cannot be trusted between machines.
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"}
)

MOUNTS = Path("/proc/self/mountinfo")

#: A space in the path of a mount point is written ``\\040``, and so are a tab, a line break and the backslash itself.
_OCTAL = re.compile(r"\\([0-7]{3})")

#: ``ioctl`` request of Linux: share the blocks of another file (see ``man ioctl_ficlone``).
FICLONE = 0x40049409


def filesystem_type(path: Path) -> str:
    """Return the kind of file system on which `path` lies or will lie, such as ``ext4``; empty where unknown."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    wanted = _existing(path)
    best, kind = Path(), ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), before.split()[4]))
        if wanted.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, after.split()[0]
    return kind.removeprefix("fuse.")


def is_network(path: Path) -> bool:
    """Whether `path` lies on a file system that other machines share. False where that cannot be found out."""
    return filesystem_type(path) in NETWORK | {"sshfs"}


def free_bytes(path: Path) -> int:
    """Return the number of bytes that may still be written where `path` lies or will lie."""
    return shutil.disk_usage(_existing(path)).free


def disk_full() -> NoSpace:
    """Return the refusal for a disk without room."""
    return NoSpace(
        "There is not enough room on the server's disk. Delete files that are no longer needed, or ask whoever runs "
        "the server for more.",
        reason="disk-full",
    )


@contextlib.contextmanager
def full_disk_refused() -> Iterator[None]:
    """Turn the system's word that there is no room into the refusal that users read."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise disk_full() from None
        raise


def _existing(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path


def sync_folder(folder: Path) -> None:
    """Make sure that the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_writing(descriptor: int, start: int, end: int) -> None:
    """Have the disk begin with these new bytes of a file, without waiting: `os.fsync` will have less left to do.

    Linux does so when it is told that they are not needed soon. It forgets only what is on the disk already.
    """
    with contextlib.suppress(AttributeError, OSError):  # elsewhere, it is only slower
        os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def reflink(source: int, target: int) -> bool:
    """Let the open file `target` share the bytes of `source`, copy on write. False: the file system cannot."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` alone, among all threads and processes; it is made where it is missing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and the lock goes with it
