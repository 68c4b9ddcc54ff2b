"""Where the memory does not suffice, the network sees fewer at once, and everything exactly once."""

import pytest
import torch

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import memory
from dlc_jupyter.pose.memory import Portions, lacking
from dlc_jupyter.pose.network import explained


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\n\nIf you are using an AMD GPU with DirectML, ..."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_the_want_of_memory_is_noticed_whoever_says_it(error):
    assert lacking(error)
    with pytest.raises(AnalysisFailed, match="GPU's memory is too small") as failed, explained():
        raise error
    assert failed.value.kind == "OutOfMemory"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[...] DefaultCPUAllocator: can't allocate memory")])
def test_the_want_of_the_computers_memory_is_not_the_gpus(error):
    assert not lacking(error)
    with pytest.raises(AnalysisFailed, match="The computer's memory is too small") as failed, explained():
        raise error
    assert failed.value.kind == "OutOfMemory"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not lacking(error)


@pytest.mark.parametrize("text", ["cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "CUDNN_STATUS_NOT_INITIALIZED"])
def test_where_an_error_may_mean_anything_the_free_memory_tells(monkeypatch, text):
    monkeypatch.setattr(memory, "unused", lambda: 100 << 20)
    assert lacking(RuntimeError(text))
    monkeypatch.setattr(memory, "unused", lambda: 4 << 30)
    assert not lacking(RuntimeError(text))


class Small:
    """A network that bears so many at once, and says what it saw."""

    def __init__(self, bears: int) -> None:
        self.bears = bears
        self.tried: list[int] = []

    def look(self, part: slice) -> list[int]:
        self.tried.append(part.stop - part.start)
        if self.tried[-1] > self.bears:
            raise RuntimeError("CUDA error: out of memory")
        return list(range(part.start, part.stop))


def test_a_batch_is_halved_until_the_memory_suffices_and_stays_so():
    told: list[tuple[str, int]] = []
    network, portions = Small(3), Portions("batch_size", 8, lambda *lacked: told.append(lacked))
    assert portions.notes == []
    for count in (8, 8, 3, 1):
        assert portions.run(count, network.look) == list(range(count))
    assert network.tried == [8, 4, *[2] * 4, *[2] * 4, 2, 1, 1]
    assert told == [("batch_size", 8), ("batch_size", 4)]
    assert portions.notes == ["The GPU's memory did not suffice for batch_size 8; it was 2."]


def test_where_it_does_not_suffice_for_one_the_error_is_the_networks():
    network = Small(0)
    with pytest.raises(RuntimeError, match="out of memory"):
        Portions("batch_size", 8).run(8, network.look)
    assert network.tried == [8, 4, 2, 1]


def test_another_error_is_not_tried_again():
    calls = []

    def look(part):
        calls.append(part)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Portions("batch_size", 8).run(8, look)
    assert len(calls) == 1


def test_an_empty_batch_needs_no_network():
    assert Portions("batch_size", 8).run(0, Small(0).look) == []
