"""Which GPUs and processors there are, and the lock that keeps one analysis at a time on each GPU of a machine.

Everybody who wants a GPU draws a ticket: a numbered file in the GPU's folder, on which a shared ``flock`` is held as
long as its owner lives. The lowest ticket that is alive has the GPU. The kernel drops the lock of a process that dies,
however it dies, so a ticket never outlives its owner. The process that computes holds its worker's ticket too
(`share`): when the worker is killed, the GPU is free when that process is gone, not before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlc_jupyter.errors import BadRequest

#: How often a waiting ticket looks whether its turn has come, in seconds.
LOOK = 0.2


@dataclass(frozen=True)
class Gpu:
    """One GPU: `index` as nvidia-smi counts, `memory` in bytes."""

    index: int
    uuid: str
    name: str
    memory: int


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Return the GPUs that this process may use, as nvidia-smi and ``CUDA_VISIBLE_DEVICES`` say, without torch."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer is no GPU
        return []
    return allowed(
        [gpu for line in answer.splitlines() if (gpu := _gpu(line))], environment.get("CUDA_VISIBLE_DEVICES")
    )


def _gpu(line: str) -> Gpu | None:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 4 or not parts[0].isdigit():
        return None
    memory = int(parts[3]) << 20 if parts[3].isdigit() else 0
    return Gpu(int(parts[0]), parts[1], parts[2], memory)


def allowed(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES=visible`` leaves, in its order.

    As in CUDA, the first entry that names none ends the list. A slice of a GPU (``MIG-…``) counts as a GPU of its own.
    """
    if visible is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        found = [gpu for gpu in gpus if entry == str(gpu.index) or (entry[:4] == "GPU-" and gpu.uuid.startswith(entry))]
        if entry.startswith("MIG-"):
            found = [Gpu(len(chosen), entry, "MIG", 0)]
        if not found:
            break
        chosen.append(found[0])
    return chosen


def choose(device: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """Return the GPUs any one of which will do for `device` (see `Settings.device`); none means the processor.

    Raises
    ------
    BadRequest
        There is no such GPU here; reason ``no-such-device``.
    """
    if device == "cpu" or (device == "auto" and not gpus):
        return []
    found = [gpu for gpu in gpus if device in ("auto", "cuda", f"cuda:{gpu.index}")]
    if found:
        return found
    there_are = ", ".join(f"cuda:{gpu.index} ({gpu.name})" for gpu in gpus) or "none"
    raise BadRequest(
        f"There is no GPU {device} on this machine (GPUs: {there_are}). Use device=cpu, or leave device out.",
        reason="no-such-device",
    )


def processor_threads() -> int:
    """Return how many processor cores this process may use: its affinity, and its share where a container has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, round(int(quota) / int(period)))
    return max(1, cores)


class DeviceLock:
    """Queues for GPUs, one for each of `names`, shared by all users of the machine.

    Parameters
    ----------
    folder : path
        `Settings.device_lock_dir`, the same for all.
    names : sequence of str
        The GPUs any one of which will do, by uuid. A ticket is drawn for each; the first that is granted wins.
    """

    def __init__(self, folder: Path | str, names: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.names = list(names)

    def acquire(self, give_up: Callable[[], bool] = lambda: False) -> Ticket | None:
        """Wait for one of the GPUs, first come first served. None: `give_up` returned true, and no ticket is left.

        Raises
        ------
        BadRequest
            The folder cannot be used.
        """
        with contextlib.ExitStack() as drawn:
            tickets = [drawn.enter_context(_drawn(self._queue(name), name)) for name in self.names]
            while not give_up():
                for ticket in tickets:
                    if ticket.is_next():
                        drawn.callback(ticket.keep)  # called first: the others go, this one stays
                        return ticket
                time.sleep(LOOK)
        return None

    def _queue(self, name: str) -> Path:
        """Return the folder of one GPU's tickets, which every user of the machine may add to."""
        queue = self.folder / name.replace("/", "_")
        try:
            for folder in (self.folder, queue):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir(parents=folder == self.folder)
                    folder.chmod(0o1777)
            if queue.is_symlink() or not os.access(queue, os.W_OK | os.X_OK):
                raise PermissionError
        except OSError:
            raise BadRequest(
                "The folder of the GPU locks cannot be written to. "
                "Let an administrator open it to all users (mode 1777), or set DLCApp.device_lock_dir to another one.",
                reason="device-locks-unusable",
            ) from None
        return queue


@contextlib.contextmanager
def _drawn(queue: Path, name: str) -> Iterator[Ticket]:
    """A ticket that is thrown away at the end, unless it is kept."""
    ticket = Ticket(queue, name)
    try:
        yield ticket
    finally:
        if not ticket.kept:
            ticket.release()


class Ticket:
    """A place in the queue for one GPU, held until `release` or the death of every process that holds it.

    Attributes
    ----------
    name : str
        The GPU's uuid.
    path : pathlib.Path
        The file that shows it; hand it to `share` in the process that will use the GPU.
    """

    def __init__(self, queue: Path, name: str) -> None:
        self.name = name
        self.kept = False
        self._queue = queue
        self.path, self._file = self._draw()

    def _draw(self) -> tuple[Path, int]:
        """Take the next number. One at a time does so, so a ticket drawn later always has a higher number."""
        with _door(self._queue):
            for unfinished in self._queue.glob(".*"):  # whoever began it was killed inside this door
                with contextlib.suppress(OSError):
                    unfinished.unlink()
            number = max((_number(each) for each in _tickets(self._queue)), default=0) + 1
            path = self._queue / f"{number:012d}-{os.getpid()}-{secrets.token_hex(4)}"
            coming = path.with_name(f".{path.name}")
            file = os.open(coming, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
            os.fchmod(file, 0o644)  # whatever the umask: other users must see that it is alive
            fcntl.flock(file, fcntl.LOCK_SH)
            coming.rename(path)  # nobody ever sees it without its lock
            return path, file

    def is_next(self) -> bool:
        """Whether every ticket before this one is gone. Dead ones are removed on the way, where that is permitted."""
        return not any(_alive(each) for each in _tickets(self._queue) if _number(each) < _number(self.path))

    def keep(self) -> None:
        """Keep it beyond `DeviceLock.acquire`."""
        self.kept = True

    def release(self) -> None:
        """Give the GPU, or the place in the queue, to the next."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


def share(path: Path) -> int:
    """Hold a ticket in this process too, for as long as it lives, and return the open file.

    Raises
    ------
    FileNotFoundError, BlockingIOError
        Its worker is gone already, and so is the ticket.
    """
    file = os.open(path, os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    if not path.exists():  # thrown away between the two steps
        os.close(file)
        raise FileNotFoundError(path)
    return file


@contextlib.contextmanager
def _door(queue: Path) -> Iterator[None]:
    """Let one process at a time draw a ticket. A directory can be locked by whoever may read it."""
    file = os.open(queue, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _tickets(queue: Path) -> list[Path]:
    return sorted(each for each in queue.iterdir() if each.name.partition("-")[0].isdigit())


def _number(ticket: Path) -> int:
    return int(ticket.name.partition("-")[0])


def _alive(ticket: Path) -> bool:
    """Whether somebody holds the ticket; a dead one is removed, which only its user may do."""
    try:
        file = os.open(ticket, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:  # not ours to judge
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with contextlib.suppress(OSError):
            ticket.unlink()
        return False
    finally:
        os.close(file)
