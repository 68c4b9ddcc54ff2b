"""Forms made by hand, and connections on which every byte is ours: what a client library would hide can be seen."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from typing import Any

BOUNDARY = "----boundary-of-the-tests"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts: what follows ``form-data`` in the part's header, and its content."""
    body = b""
    for disposition, content in parts:
        body += f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class RawAnswer:
    """What came back over a raw connection."""

    code: int
    headers: Message
    body: bytes


class Connection:
    """A connection to the server on which every byte is ours: what a client library would hide can be seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authorization: str) -> None:
        self.reader = reader
        self.writer = writer
        self.authorization = authorization

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await asyncio.wait_for(self.writer.drain(), 20)

    async def ask(self, verb: str, path: str, headers: dict[str, Any] | None = None, body: bytes = b"") -> None:
        """Send the head of a request, and the beginning of its body, or all of it."""
        lines = {"Host": "localhost", "Authorization": self.authorization} | (headers or {})
        head = f"{verb} /a%40b/dlc/{path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        await self.send(head.encode() + b"\r\n" + body)

    async def answer(self) -> RawAnswer:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        status, _, fields = head.decode("latin-1").partition("\r\n")
        headers = Parser().parsestr(fields, headersonly=True)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers.get("Content-Length", 0))), 20)
        return RawAnswer(int(status.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Wait until the server has hung up. False: it has sent something instead."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 20) == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Break off without a good-bye."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def until(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """Return what `condition` returns as soon as that is true; fail after `timeout` seconds."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
    return found
