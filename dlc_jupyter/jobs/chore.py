"""Work that comes round again while the worker lives, each piece in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Chore:
    """Call `function` every so many seconds until `stop` is set. Whatever it raises is logged, and it is called again.

    Parameters
    ----------
    seconds : float
        Time between two calls; 0 for never.
    first : float, optional
        Time before the first call, in seconds; as between two where it is left out.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        function: Callable[[], None],
        stop: threading.Event,
        first: float | None = None,
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._first = seconds if first is None else min(first, seconds)
        self._function = function
        self._stop = stop

    def start(self) -> None:
        """Begin, unless there is never anything to do."""
        if self._seconds > 0:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        pause = self._first
        while not self._stop.wait(pause):
            pause = self._seconds
            try:
                self._function()
            except Exception:
                if not self._stop.is_set():
                    log.exception("The worker's %s went wrong; it is tried again.", self._name)
