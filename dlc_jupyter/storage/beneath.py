"""Files under the server's root directory, opened so that no path and no link leads out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dlc_jupyter.errors import BadRequest, NotFound


@contextmanager
def open_beneath(root: Path, path: str, *, hidden: bool = False, forbidden: Path | None = None) -> Iterator[OpenFile]:
    """Open the regular file that lies at `path` under `root`, for reading.

    Parameters
    ----------
    path : str
        Relative to `root`; a leading slash means `root` too, as everywhere in Jupyter.
    hidden : bool
        Whether names that begin with a dot may be used.
    forbidden : Path, optional
        A folder from which nothing may be taken.

    Raises
    ------
    BadRequest
        It is no path under the root, or no regular file.
    NotFound
        There is none, or it may not be read.
    """
    parts = PurePosixPath(path.lstrip("/")).parts
    if not parts or "\0" in path or ".." in parts:
        raise BadRequest(
            "Give 'path' relative to the server's root directory, such as videos/day1.mp4.", reason="bad-path"
        )
    unknown = NotFound(f"There is no file {path[:200]!r} under the server's root directory.", reason="unknown-path")
    if not hidden and any(part.startswith(".") for part in parts):
        raise unknown
    top = root.resolve()
    try:
        found = top.joinpath(*parts).resolve(strict=True)
        inside = found.relative_to(top)  # a link that stays inside is followed, one that leaves is not
        if forbidden is not None and found.is_relative_to(forbidden.resolve()):
            raise unknown
        descriptor = _walk(top, inside.parts)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links that lead in a circle
        raise unknown from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadRequest("'path' must name a file, not a folder or a device.", reason="not-a-file")
        yield found, descriptor
    finally:
        os.close(descriptor)


#: Its path without links, and its descriptor.
OpenFile = tuple[Path, int]


def _walk(top: Path, parts: tuple[str, ...]) -> int:
    """Open step by step and follow no link: whoever puts one in the way meanwhile gets nowhere."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for place, part in enumerate(parts, start=1):
        flags = os.O_NONBLOCK if place == len(parts) else os.O_DIRECTORY
        try:
            step = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = step
    return descriptor
