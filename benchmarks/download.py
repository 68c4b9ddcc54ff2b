"""Download: a file from GET /file/<id>, against nginx serving the very same file; and the end of a very large one."""

from __future__ import annotations

import os
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measure import (
    GIB,
    MIB,
    Claim,
    KeepAlive,
    Memory,
    arguments,
    conclude,
    in_mib,
    in_milliseconds,
    in_seconds,
    ratio,
    scratch_folder,
    seconds,
    server,
    take_turns,
    write_random_file,
)
from benchmarks.peers import running
from dlc_jupyter.commands.server import OwnServer

#: A player asks for this much of the end of a video, to find its index there.
LAST = MIB


def main() -> int:
    options = arguments(__doc__, gib=1.0, large_gib=4.0)
    with scratch_folder() as folder, server(folder / "ours") as own:
        stored = folder / "ours/data/files"
        with running.nginx(folder / "theirs", root=stored) as address:
            file_id = own.client.upload(write_random_file(folder / "video.mp4", int(options.gib * GIB)))
            memory = Memory(own)
            print(f"{options.gib:g} GiB")
            figures = take_turns(
                options.rounds,
                {
                    "ours": lambda: fetch(f"{own.client.url}file/{file_id}", own.token),
                    "nginx": lambda: fetch(f"{address}{file_id[:2]}/{file_id[2:]}"),
                },
                in_seconds,
            )
            growth = memory.growth
        large_id = register_large_file(own, folder / "ours/large.mp4", int(options.large_gib * GIB))
        print(f"the last MiB of {options.large_gib:g} GiB, on a connection of its own")
        waits = take_turns(
            options.rounds * 2, {"first byte": lambda: wait_for_the_end(own, large_id)}, in_milliseconds
        )["first byte"]
    return conclude(
        "download",
        Claim("rate by that of nginx", ratio(figures["nginx"], figures["ours"]), least=0.9),
        Claim("memory above idle", growth, most=16 * MIB, show=in_mib),
        Claim(
            f"first byte of the last range of {options.large_gib:g} GiB, longest",
            max(waits),
            most=0.05,
            show=in_milliseconds,
        ),
    )


def fetch(url: str, token: str = "") -> float:
    header = ["--header", f"Authorization: token {token}"] if token else []
    return seconds(["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null", *header, url])


def register_large_file(own: OwnServer, path: Path, size: int) -> str:
    """Store a file of that size, all but its end a hole, by its path: how the bytes came here does not matter."""
    with path.open("wb") as file:
        file.truncate(size - LAST)
        file.seek(0, 2)
        file.write(os.urandom(LAST))
    stored, _seconds = KeepAlive(own).request("POST", "file", {"path": path.name})
    return str(stored["file_id"])


def wait_for_the_end(own: OwnServer, file_id: str) -> float:
    """Ask for the last range, as a player does that looks for a video's index, and return when its first byte came."""
    url = urlsplit(own.client.url)
    headers = {"Authorization": f"token {own.token}", "Range": f"bytes=-{LAST}"}
    began = time.perf_counter()
    connection = HTTPConnection(url.hostname or "", url.port)
    connection.request("GET", f"{url.path}file/{file_id}", headers=headers)
    answer = connection.getresponse()
    answer.read(1)
    took = time.perf_counter() - began
    rest = len(answer.read())
    connection.close()
    if (answer.status, rest) != (206, LAST - 1):
        raise RuntimeError(f"The last range was answered with {answer.status} and {rest + 1} bytes.")
    return took


if __name__ == "__main__":
    sys.exit(main())
