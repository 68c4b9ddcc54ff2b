"""Which versions the engine's Python has installed, found out without importing any of them."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

PACKAGES = ("deeplabcut", "torch")

#: Run by the engine's Python, whatever its version: the versions, and the folders in which packages are installed.
_PROBE = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
versions = {name: installed(name) for name in sys.argv[1:]}
print(json.dumps({"versions": {"python": platform.python_version(), **versions}, "path": [p for p in sys.path if p]}))
"""


class Installed:
    """The versions in one Python; asked again only when something was installed or removed since.

    Parameters
    ----------
    python : str
        The interpreter, `Settings.engine_python`.
    """

    def __init__(self, python: str) -> None:
        self._python = python
        self._lock = threading.Lock()
        self._folders: list[str] = []
        self._stamp: tuple[int, ...] | None = None
        self._versions: dict[str, str | None] = {}

    def versions(self) -> dict[str, str | None]:
        """Return the versions of Python and of `PACKAGES`; None for what is not installed, or cannot be asked for."""
        with self._lock:
            if self._stamp is None or self._stamp != self._now():
                self._ask()
            return dict(self._versions)

    def _ask(self) -> None:
        try:
            # From "/", so that nothing is imported from the folder in which the server happens to run.
            command = [self._python, "-c", _PROBE, *PACKAGES]
            asked = subprocess.run(command, cwd="/", capture_output=True, timeout=20, check=True)
            answer = json.loads(asked.stdout)
            self._folders, self._versions = answer["path"], answer["versions"]
        except (OSError, ValueError, subprocess.SubprocessError):
            self._folders, self._versions = [], dict.fromkeys(("python", *PACKAGES))
        self._stamp = self._now()

    def _now(self) -> tuple[int, ...]:
        """Return when each folder of packages was last changed: installing adds an entry to one of them."""
        return tuple(_changed(folder) for folder in [self._python, *self._folders])


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
