"""What to do where the memory of a GPU does not suffice: notice it, and have the network see fewer pictures at once.

The computer's own memory is another one. It is not to be had by a look at fewer pictures, for theirs are there already.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

#: Told the name of a size of batches, and for how many pictures or animals the memory did not suffice.
Lacked = Callable[[str, int], None]

#: What torch, CUDA, cuBLAS and cuDNN (before and since release 9) say when they get no memory.
SIGNS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "DEVICE_ALLOCATION_FAILED")

#: What cuDNN says where it gets none, but also where its version does not fit the driver: the free memory tells.
DOUBTFUL = ("CUDNN_STATUS_INTERNAL_ERROR", "CUDNN_STATUS_NOT_INITIALIZED", "CUBLAS_STATUS_NOT_INITIALIZED")

#: Bytes of a GPU's memory below which a doubtful error is put down to the want of it: a library's handle and the
#: code of its kernels take some hundred megabytes, and do not come from what torch holds in reserve.
SCANT = 512 << 20


def lacking(error: BaseException) -> bool:
    """Whether an error says that a GPU's memory did not suffice.

    DeepLabCut raises some of torch's errors anew, as a ``RuntimeError`` with the text of the first one.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    if not isinstance(error, RuntimeError):
        return False
    return any(sign in text for sign in SIGNS) or (any(sign in text for sign in DOUBTFUL) and unused() < SCANT)


def lacking_here(error: BaseException) -> bool:
    """Whether an error says that the computer's own memory did not suffice."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def physical() -> float:
    """Return how many bytes of memory the computer has; infinity where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return float("inf")


def unused() -> float:
    """Return how many bytes of the present GPU nobody has taken; infinity where there is none."""
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else float("inf")


class Portions:
    """Has a network look at a batch: at once, or in portions from the first time on that the memory does not suffice.

    Parameters
    ----------
    name : str
        What the size of the batch is called among an analysis's parameters.
    size : int
        How many pictures, or animals, are in a batch.
    lacked : callable, optional
        Told the name, and for how many the memory did not suffice, each time.

    Attributes
    ----------
    most : int
        How many the network sees at once.
    """

    def __init__(self, name: str, size: int, lacked: Lacked | None = None) -> None:
        self.name = name
        self.size = self.most = size
        self._lacked = lacked

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        if self.most == self.size:
            return []
        return [f"The GPU's memory did not suffice for {self.name} {self.size}; it was {self.most}."]

    def run(self, count: int, look: Callable[[slice], list[Any]]) -> list[Any]:
        """Return what the network finds.

        Parameters
        ----------
        count : int
            How many pictures there are.
        look : callable
            Returns what the network finds in some of them, and may be asked again for the same ones.

        Raises
        ------
        RuntimeError
            The memory does not suffice for a single one.
        """
        found: list[Any] = []
        done = 0
        while done < count:
            part = slice(done, min(done + self.most, count))
            ready = self._try(part, look)
            if ready is not None:
                found += ready
                done = part.stop
        return found

    def _try(self, part: slice, look: Callable[[slice], list[Any]]) -> list[Any] | None:
        import torch

        count = part.stop - part.start
        try:
            return look(part)
        except RuntimeError as error:
            if count == 1 or not lacking(error):
                raise
        # Only here, for until the clause above ends the error holds on to whatever the network had made so far.
        torch.cuda.empty_cache()
        self.most = count // 2
        if self._lacked is not None:
            self._lacked(self.name, count)
        return None


class Cuda:
    """A GPU's memory, beyond what the networks themselves take.

    Parameters
    ----------
    device : str
        As torch calls it: ``cuda``, ``cuda:0``.
    """

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        described = torch.cuda.get_device_properties(self._device)
        #: What it is, and how many bytes it has in all.
        self.name, self.total = str(described.name), int(described.total_memory)

    def available(self) -> int:
        """Return how many bytes this process could get now."""
        from torch import cuda

        held = cuda.memory_reserved(self._device) - cuda.memory_allocated(self._device)
        return int(cuda.mem_get_info(self._device)[0] + held)

    def peak(self, look: Callable[[int], object], count: int) -> int:
        """Return how many bytes were taken at most, at the same time, while the network looked at `count` pictures."""
        from torch import cuda

        before = cuda.memory_allocated(self._device)
        cuda.reset_peak_memory_stats(self._device)
        look(count)
        cuda.synchronize(self._device)
        return int(cuda.max_memory_allocated(self._device) - before)

    def tidy(self) -> None:
        """Give back what is held in reserve: pieces of the sizes that were measured with."""
        from torch import cuda

        cuda.empty_cache()
