"""Files to and from the server, piece by piece: small ones in one request, large ones so that a cut costs nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from dlc_jupyter.client.connection import PIECE, Connection, one

#: Called with the bytes done and the bytes in all.
Progress = Callable[[int, int], None]


def send_form(server: Connection, path: Path, filename: str, progress: Progress | None = None) -> str:
    """Send a file in one request, and return its id."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(filename)}"'
        "\r\nContent-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + length + len(tail)),
        }
        body = _multipart(head, file, length, tail, progress)
        stored = server.json("POST", "file", body=body, headers=headers)
    return str(stored["file_id"])


def fetch(server: Connection, file_id: str, target: Path, progress: Progress | None = None) -> Path:
    """Write a stored file to `target`, which appears when it is whole; in a folder it gets the name it is stored under.

    Raises
    ------
    ConnectionError
        The connection broke; nothing is left at `target`.
    """
    with server.open("GET", f"file/{one(file_id)}") as answer:
        if target.is_dir():
            target /= _name(answer.headers.get("Content-Disposition") or "") or file_id
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                total, done = int(answer.headers.get("Content-Length") or 0), 0
                while piece := server.read(answer, PIECE):
                    done += file.write(piece)
                    if progress:
                        progress(done, total)
            if done < total:
                raise ConnectionError(f"The connection broke after {done} of {total} bytes. Try again.")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target


def pieces(file: BinaryIO, start: int, length: int, progress: Progress | None) -> Iterator[bytes]:
    """Yield a file's bytes from `start` up to `length`, never holding more than a piece of it.

    Raises
    ------
    EOFError
        The file is shorter by now.
    """
    file.seek(start)
    done = start
    while done < length and (piece := file.read(min(PIECE, length - done))):
        yield piece
        done += len(piece)
        if progress:
            progress(done, length)
    if done < length:
        raise EOFError("The file became shorter while it was sent.")


def _multipart(head: bytes, file: BinaryIO, length: int, tail: bytes, progress: Progress | None) -> Iterator[bytes]:
    """Yield a form with one file."""
    yield head
    yield from pieces(file, 0, length, progress)
    yield tail


def _name(disposition: str) -> str:
    """Return the file's name from a ``Content-Disposition`` as the server writes it (RFC 6266), without any folder."""
    return Path(unquote(disposition.rpartition("filename*=UTF-8''")[2])).name


def _quoted(filename: str) -> str:
    """Return a file name as browsers write it in a form: only quotes and line ends are escaped."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
