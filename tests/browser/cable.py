"""A cable between a browser and a server that can be cut, and that counts what goes through it."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

PIECE = 1 << 16


class Cable:
    """Passes connections on to a server, from a port of its own.

    Parameters
    ----------
    url : str
        The server's.

    Attributes
    ----------
    url : str
        Under which the server is reached through the cable.
    sent : int
        Bytes that went to the server.
    """

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url).port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.sent = 0
        self.broken = threading.Event()
        self._cut_at: int | None = None
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int) -> None:
        """Cut it as soon as so many more bytes have gone to the server."""
        with self._lock:
            self.broken.clear()
            self._cut_at = self.sent + count

    def mend(self) -> None:
        """Let new connections through again."""
        with self._lock:
            self._cut_at = None
            self.broken.clear()

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                browser, _ = self._listener.accept()
                if self.broken.is_set():
                    _end(browser)
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                with self._lock:
                    self._ends |= {browser, server}
                for args in ((browser, server, True), (server, browser, False)):
                    threading.Thread(target=self._carry, args=args, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):  # either end went, or it was cut
            while piece := source.recv(PIECE):
                target.sendall(piece)
                if counted and self._count(len(piece)):
                    self._cut()
                    return
        for each in (source, target):
            _end(each)
        with self._lock:
            self._ends -= {source, target}

    def _count(self, size: int) -> bool:
        """Whether that was the last piece before the cut."""
        with self._lock:
            self.sent += size
            if self._cut_at is None or self.sent < self._cut_at or self.broken.is_set():
                return False
            self.broken.set()
            return True

    def _cut(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, set()
        for each in ends:
            _end(each)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
