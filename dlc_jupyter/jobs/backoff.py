"""How long to wait before something that has failed is tried again."""

from __future__ import annotations


class Backoff:
    """Pauses that double with every failure, up to the longest one.

    Parameters
    ----------
    first, longest : float
        Seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def pause(self) -> float:
        """Return how long to wait now, in seconds."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Begin anew: it was well for a while."""
        self._next = self._first
