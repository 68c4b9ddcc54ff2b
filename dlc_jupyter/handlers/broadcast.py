"""Events for all who listen: one look at the database for everybody, and a backlog for each that cannot grow.

Written as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). A number behind ``id:``
says up to where its reader has been told everything, so that it can go on from there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from dlc_jupyter.errors import Unavailable
from dlc_jupyter.jobs.changes import ANALYSIS, FILE, Change, Changes
from dlc_jupyter.jobs.status import StatusBoard
from dlc_jupyter.storage.database import Database, Lookout

A = ParamSpec("A")
R = TypeVar("R")

log = logging.getLogger(__name__)

#: How often the database is looked at while anybody listens, the status, and how often everybody hears that the
#: connection lives, in seconds.
LOOK, STATUS, BEAT = 0.1, 2.0, 15.0
#: How long it is not tried again when that has failed, in seconds.
TROUBLE = 2.0
#: Most changes that are read at a time, and that one who comes back is told one by one.
MOST = 500
#: Most events that wait for a reader: it is told to look at all lists anew in their place.
MOST_WAITING = 1000
#: About how many bytes are sent at a time.
PIECE = 1 << 16

#: The kind of an event that is no change of an analysis or a file.
OF_STATUS = "status"

#: What an event is of: its kind, and which one of the kind. A later event takes the place of one that waits.
Subject = tuple[str, str]

_BEAT = b": still here\n\n"


class Listener:
    """One who listens, and what waits to be sent to it.

    Parameters
    ----------
    kinds : collection of str
        Of what it hears: the kinds of changes, and `OF_STATUS`.
    """

    def __init__(self, kinds: Collection[str]) -> None:
        self._kinds = frozenset(kinds)
        self._waiting: dict[Subject, bytes] = {}
        self._woken = asyncio.Event()
        self._ended = False

    def hears(self, change: Change) -> bool:
        """Whether it is told of a change: of what the lists show to its caller, and they show all to everybody."""
        return change.kind in self._kinds

    @property
    def hears_status(self) -> bool:
        """Whether it is told of the status."""
        return OF_STATUS in self._kinds

    def greet(self, seq: int, last: int | None, missed: list[Change] | None) -> None:
        """Let it go on.

        Parameters
        ----------
        seq : int
            Up to where all others have been told everything.
        last : int or None
            Up to where it was told everything before; None: it begins.
        missed : list of Change or None
            What has changed in between. None: that is not known any more.
        """
        if last is None:
            self._put(("hello", ""), _event("hello", {}, seq))
        elif missed is not None:
            self._put(("hello", ""), _event("hello", {}, last))
            for change in missed:
                if self.hears(change):
                    self.tell((change.kind, change.id), _event(change.kind, change.body, change.seq), change.seq)
        else:  # no number: who is cut off behind it comes back as one who has not been told to look anew
            self._put(("hello", ""), _event("hello", {}))
            self.reset(seq)

    def tell(self, subject: Subject, event: bytes, seq: int) -> None:
        """Add an event, in the place of an earlier one of the same subject. `seq` is its number."""
        if subject not in self._waiting and len(self._waiting) >= MOST_WAITING:
            self.reset(seq)
        else:
            self._put(subject, event)

    def reset(self, seq: int) -> None:
        """Let it look at all lists anew, which show everything up to `seq`."""
        self._waiting = {each: event for each, event in self._waiting.items() if each[0] not in (ANALYSIS, FILE)}
        self._put(("reset", ""), _event("reset", {}, seq))

    def mention(self, subject: str, event: bytes) -> None:
        """Add something that has no number."""
        self._put((subject, ""), event)

    def end(self) -> None:
        """Let `next` return None."""
        self._ended = True
        self._woken.set()

    async def next(self) -> bytes | None:
        """Wait until there is something to be sent, and return it; None when it has ended."""
        while not self._waiting and not self._ended:
            self._woken.clear()
            await self._woken.wait()
        if self._ended:
            return None
        pieces: list[bytes] = []
        while self._waiting and sum(map(len, pieces)) < PIECE:
            pieces.append(self._waiting.pop(next(iter(self._waiting))))
        return b"".join(pieces)

    def _put(self, subject: Subject, event: bytes) -> None:
        self._waiting.pop(subject, None)
        self._waiting[subject] = event
        self._woken.set()


class Broadcast:
    """Looks for changes while anybody listens, and tells everybody.

    It has a thread of its own, so that nobody waits behind uploads and downloads, and one connection to the database,
    however many listen. Its methods belong to the event loop.

    Parameters
    ----------
    database : Database
        Whose changes are told.
    board : StatusBoard
        Whose status is told.
    """

    def __init__(self, database: Database, board: StatusBoard) -> None:
        self._database = database
        self._changes = Changes(database)
        self._board = board
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dlc-events")
        self._turn = asyncio.Lock()
        self._listeners: set[Listener] = set()
        self._task: asyncio.Future[Any] | None = None
        self._lookout: Lookout | None = None
        self._seq = 0  # up to where everybody has been told everything
        self._behind = False  # there may be more behind it, though nothing was committed since the last look
        self._status: Any = None
        self._closed = False

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def join(self, listener: Listener, last: int | None) -> None:
        """Let somebody listen from now on, or from number `last` on, until it is to `leave`.

        Raises
        ------
        Unavailable
            The server is stopping.
        """
        async with self._turn:
            if self._listeners:
                await self._tell_changes()
            else:
                self._seq, self._behind = await self._in_thread(self._changes.latest), True
            missed = None if last is None else await self._in_thread(self._missed, last)
            listener.greet(self._seq, last, missed)
            self._listeners.add(listener)
        self._check_open()
        if self._task is None:
            self._task = asyncio.gather(
                _again_and_again(LOOK, self._look_for_changes),
                _again_and_again(STATUS, self._tell_status),
                _again_and_again(BEAT, self._beat),
            )
        status = await self._board.current()
        self._status = self._status or _lasting(status)
        if listener.hears_status:
            listener.mention(OF_STATUS, _event(OF_STATUS, status))

    def leave(self, listener: Listener) -> None:
        """Let it listen no more."""
        self._listeners.discard(listener)
        if not self._listeners and self._task:
            self._task.cancel()
            self._task = self._status = None

    def close(self) -> None:
        """Send everybody away, and let go of the thread and the connection."""
        if self._closed:
            return
        self._closed = True
        if self._task:
            self._task.cancel()
        for listener in self._listeners:
            listener.end()
        self._thread.submit(self._let_go)
        self._thread.shutdown(wait=False)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _look_for_changes(self) -> None:
        async with self._turn:
            await self._tell_changes()

    async def _tell_changes(self) -> None:
        """Tell everybody what has changed since the last look."""
        while (found := await self._in_thread(self._look)) or found is None:
            if found is None:
                self._seq = await self._in_thread(self._changes.latest)
                for listener in self._listeners:
                    listener.reset(self._seq)
                return
            for change, event in found:
                for listener in self._listeners:
                    if listener.hears(change):
                        listener.tell((change.kind, change.id), event, change.seq)
                self._seq = change.seq

    async def _tell_status(self) -> None:
        status = await self._board.current()
        lasting = _lasting(status)
        if lasting != self._status:
            self._status = lasting
            event = _event(OF_STATUS, status)
            for listener in self._listeners:
                if listener.hears_status:
                    listener.mention(OF_STATUS, event)

    async def _beat(self) -> None:
        for listener in self._listeners:
            listener.mention("beat", _BEAT)

    # -- in the thread -----------------------------------------------------------------------------------------------

    async def _in_thread(self, function: Callable[A, R], *args: A.args, **kwargs: A.kwargs) -> R:
        self._check_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The server is stopping. Try again when it has started.", reason="stopping")

    def _look(self) -> list[tuple[Change, bytes]] | None:
        """Return the next changes, written out once for everybody; None: where to go on is not known any more."""
        self._lookout = self._lookout or self._database.lookout()
        if not (self._lookout.changed() or self._behind):
            return []
        self._behind = True  # should the database be out of reach now
        found = self._changes.since(self._seq, MOST)
        if found is None:
            return None
        self._behind = len(found) == MOST
        return [(change, _event(change.kind, change.body, change.seq)) for change in found]

    def _missed(self, last: int) -> list[Change] | None:
        """Return what has changed behind `last`, up to where all others were told; None: not known, or too much."""
        found = self._changes.since(last, MOST + 1)
        if found is None or len(found) > MOST:
            return None
        return [change for change in found if change.seq <= self._seq]

    def _let_go(self) -> None:
        if self._lookout:
            self._lookout.close()


async def _again_and_again(pause: float, look: Callable[[], Awaitable[None]]) -> None:
    """Look every `pause` seconds. A database may be busy, or out of reach for a time: it is asked again."""
    while True:
        await asyncio.sleep(pause)
        try:
            await look()
        except Exception:
            log.warning("Could not look for changes.", exc_info=True)
            await asyncio.sleep(TROUBLE)


def _event(name: str, data: Any, seq: int | None = None) -> bytes:
    """Write an event out. JSON has no line ends of its own, so that its data are one line."""
    number = "" if seq is None else f"id: {seq}\n"
    return f"{number}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _lasting(status: dict[str, Any]) -> dict[str, Any]:
    """Return what of a status does not change all the time: a worker is seen again and again, and disks are used."""
    worker = {**status["worker"], "seen": None}
    disk = {**status["disk"], "free": None, "used": None}
    return {**status, "worker": worker, "disk": disk}
