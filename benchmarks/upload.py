"""Upload: `curl -F` of a file to POST /file, against `sha1sum` + `cp` of it, and against Flask + Celery + Redis.

Ours also brings the file safely to the disk (fsync) before it answers. The peers do not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import (
    GIB,
    Claim,
    arguments,
    conclude,
    curl_form,
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

STACK = "Flask + Celery + Redis"
COPY = "sha1sum + cp"


def main() -> int:
    options = arguments(__doc__, gib=1.0)
    with (
        scratch_folder() as folder,
        server(folder / "ours") as own,
        running.flask_celery(folder / "theirs") as address,
    ):
        source = write_random_file(folder / "video.mp4", int(options.gib * GIB))
        print(f"{options.gib:g} GiB, each turn on a disk that has nothing left to write")
        figures = take_turns(
            options.rounds,
            {
                "ours": lambda: to_ours(own, source),
                COPY: lambda: to_a_copy(source, folder / "copy"),
                STACK: lambda: to_theirs(address, source, folder / "theirs/store"),
            },
            in_seconds,
        )
    ours = figures["ours"]
    return conclude(
        "upload",
        Claim(f"time by that of {COPY}", ratio(ours, figures[COPY]), most=1.0),
        Claim(f"times as fast as {STACK}", ratio(figures[STACK], ours), least=6.0),
    )


def to_ours(own: OwnServer, source: Path) -> float:
    """Send the file, then delete it, so that the next turn has to store it again."""
    took, stored = curl_form(f"{own.client.url}file", source, token=own.token)
    own.client.delete_file(stored["file_id"])
    return took


def to_theirs(address: str, source: Path, store: Path) -> float:
    took, stored = curl_form(f"{address}file", source)
    (store / stored["file_id"]).unlink()
    return took


def to_a_copy(source: Path, target: Path) -> float:
    """Hash it, then copy its bytes, even where the file system could share them."""
    took = seconds(["sha1sum", source], stdout=subprocess.DEVNULL) + seconds(["cp", "--reflink=never", source, target])
    target.unlink()
    return took


if __name__ == "__main__":
    sys.exit(main())
