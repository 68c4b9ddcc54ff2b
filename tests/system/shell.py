"""Lines of shell, as the documentation shows them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dlc_jupyter import demo
from tests.system.servers import LONG, Server


class Shell:
    """A shell in a folder with the demo video, in which ``$URL`` and ``$TOKEN`` are a server's.

    Parameters
    ----------
    prefix : str
        What follows the server's address: nothing, or ``/dlc``.
    """

    def __init__(self, server: Server, prefix: str, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._environment = {"URL": server.url.rstrip("/") + prefix, "TOKEN": server.token}
        shutil.copy(demo.VIDEO, folder / "openfield.mp4")

    def __call__(self, line: str, timeout: float = LONG, **values: str) -> str:
        """Run a line, in which the `values` are variables too, and return what it prints."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=os.environ | self._environment | values,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
