"""A server of our own for as long as a command runs: ``jupyter dlc`` on a free port, with a token of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dlc_jupyter.client import Client
from dlc_jupyter.errors import Refusal

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class ServerFailed(Exception):
    """The server did not start; the message holds the end of its log."""


class OwnServer:
    """``jupyter dlc`` as a child process, which is gone when the ``with`` block ends.

    It reads `config` and nothing else: a user's own Jupyter configuration (addresses, certificates, passwords) is
    for the user's servers.

    Parameters
    ----------
    config : Path
        A Jupyter configuration file.
    folder : Path
        Where its log and its runtime files go; made where it is missing.
    arguments : sequence of str, optional
        Further arguments for ``jupyter dlc``.
    """

    def __init__(self, config: Path, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.config = config
        self.log = folder / "server.log"
        self.runtime = folder / "runtime"
        self.arguments = arguments
        self.token = secrets.token_hex(16)
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        """A client of this server."""
        return Client(self.url, self.token)

    def __enter__(self) -> Self:
        """Start it, and wait until it answers.

        Raises
        ------
        ServerFailed
            It ended, cannot work, or did not answer in time.
        """
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The token goes by the environment: arguments can be read by every user of the machine.
        environment = os.environ | {
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_RUNTIME_DIR": str(self.runtime.absolute()),
            "JUPYTER_TOKEN": self.token,
        }
        command = [sys.executable, "-m", "dlc_jupyter.app", f"--config={self.config.absolute()}", "--port=0"]
        if os.geteuid() == 0:  # in a container, most often: Jupyter would refuse to start
            command.append("--allow-root")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we tell the server
            )
        try:
            self._wait()
        except Refusal as refusal:  # it answers, but cannot work
            self.stop()
            raise ServerFailed(f"{refusal.message}\nThe server's log ends so:\n{self.log_tail()}") from refusal
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """End the server, and with it its worker and engine. Calling it again does nothing."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # its worker and engine notice, and end themselves
            process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the server's log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _wait(self) -> None:
        assert self.process is not None
        about = self.runtime / f"jpserver-{self.process.pid}.json"  # Jupyter writes it when it listens
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if (status := self.process.poll()) is not None:
                raise ServerFailed(
                    f"The server ended at once, with status {status}. Its log ends so:\n{self.log_tail()}"
                )
            with contextlib.suppress(OSError, ValueError):
                self.url = str(json.loads(about.read_text())["url"])
                self.client.server()
                return
            time.sleep(0.1)
        raise ServerFailed(f"The server did not answer within {START_SECONDS:g} s. Its log ends so:\n{self.log_tail()}")
