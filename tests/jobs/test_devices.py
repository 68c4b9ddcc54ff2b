"""Which GPUs there are, and that one analysis at a time has each, first come first served, whoever is killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dlc_jupyter.errors import BadRequest
from dlc_jupyter.jobs import devices
from dlc_jupyter.jobs.devices import DeviceLock, Gpu, allowed, choose, processor_threads, share, visible_gpus

ZERO = Gpu(0, "GPU-aaaa-1", "NVIDIA H200", 150_754_820_096)
ONE = Gpu(1, "GPU-bbbb-2", "NVIDIA H200", 150_754_820_096)
TWO = [ZERO, ONE]


# -- which -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A stand-in that answers as the real command does."""
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    monkeypatch.setenv("PATH", str(command.parent))

    def answer(script: str) -> None:
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)

    return answer


def test_without_nvidia_smi_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == []


def test_gpus_as_nvidia_smi_lists_them(nvidia_smi):
    nvidia_smi('echo "0, GPU-aaaa-1, NVIDIA H200, 143771"; echo "1, GPU-bbbb-2, NVIDIA H200, 143771"')
    assert visible_gpus({}) == TWO
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"}) == [ONE]


def test_memory_that_is_not_told_is_none(nvidia_smi):
    nvidia_smi('echo "0, GPU-aaaa-1, NVIDIA GB10, [N/A]"')
    assert visible_gpus({}) == [Gpu(0, "GPU-aaaa-1", "NVIDIA GB10", 0)]


@pytest.mark.parametrize("script", ["exit 9", 'echo "NVIDIA-SMI has failed because it could not communicate"'])
def test_a_driver_that_does_not_answer_is_no_gpu(nvidia_smi, script):
    nvidia_smi(script)
    assert visible_gpus({}) == []


@pytest.mark.parametrize(
    ("visible", "left"),
    [
        (None, [ZERO, ONE]),
        ("", []),
        ("-1", []),
        ("1,0", [ONE, ZERO]),
        ("0,7,1", [ZERO]),
        ("GPU-bbbb", [ONE]),
        (" 0 , 1 ", [ZERO, ONE]),
        ("NoDevFiles", []),
        ("MIG-1234", [Gpu(0, "MIG-1234", "MIG", 0)]),
    ],
)
def test_cuda_visible_devices_is_respected(visible, left):
    assert allowed(TWO, visible) == left


@pytest.mark.parametrize(
    ("device", "gpus", "chosen"),
    [
        ("auto", TWO, TWO),
        ("auto", [], []),
        ("cpu", TWO, []),
        ("cuda", TWO, TWO),
        ("cuda:1", TWO, [ONE]),
    ],
)
def test_a_device_is_chosen(device, gpus, chosen):
    assert choose(device, gpus) == chosen


@pytest.mark.parametrize(("device", "gpus"), [("cuda", []), ("cuda:2", TWO)])
def test_a_device_that_is_not_there_is_refused(device, gpus):
    with pytest.raises(BadRequest, match="device=cpu") as refused:
        choose(device, gpus)
    assert refused.value.reason == "no-such-device"


def test_threads_are_those_that_this_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processor_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


# -- the lock ----------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from dlc_jupyter.jobs import devices
ticket = devices.DeviceLock(sys.argv[1], sys.argv[2:]).acquire()
print(ticket.name, ticket.path, flush=True)
sys.stdin.readline()
ticket.release()
"""


class Holder:
    """Another process that wants a GPU."""

    def __init__(self, folder: Path, *names: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), *names], stdin=pipe, stdout=pipe)

    def has(self) -> str:
        """Wait until it has one, and return which."""
        self.name, self.ticket = self.process.stdout.readline().decode().split()
        return self.name

    def end(self) -> None:
        self.process.communicate(b"\n", timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def hold(folder):
    holders: list[Holder] = []

    def hold(*names: str) -> Holder:
        holders.append(Holder(folder, *names))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()


def tickets(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).iterdir()) if (folder / name).exists() else []


def busy(folder: Path, *names: str) -> bool:
    """Whether somebody who asks once gets none."""
    looks = iter([False])
    ticket = DeviceLock(folder, names).acquire(lambda: next(looks, True))
    if ticket is not None:
        ticket.release()
    return ticket is None


def test_a_free_gpu_is_had_at_once_and_given_back(folder):
    ticket = DeviceLock(folder, ["a"]).acquire()
    assert ticket.name == "a"
    assert busy(folder, "a")
    ticket.release()
    assert not busy(folder, "a")
    assert tickets(folder, "a") == []


def test_another_process_waits_until_it_is_free(folder, hold, wait_until):
    ticket = DeviceLock(folder, ["a"]).acquire()
    other = hold("a")
    wait_until(lambda: len(tickets(folder, "a")) == 2)
    ticket.release()
    assert other.has() == "a"
    assert busy(folder, "a")
    other.end()
    assert not busy(folder, "a")


def test_first_come_first_served(folder, hold, wait_until):
    ticket = DeviceLock(folder, ["a"]).acquire()
    waiting = []
    for number in range(2, 6):
        waiting.append(hold("a"))
        wait_until(lambda number=number: len(tickets(folder, "a")) == number)
    ticket.release()
    for number, holder in enumerate(waiting):
        assert holder.has() == "a"
        assert all(later.process.poll() is None for later in waiting[number:])
        assert len(tickets(folder, "a")) == len(waiting) - number
        holder.end()


def test_never_two_at_once(folder):
    """Many threads, each a queue member of its own: they meet in the middle never."""
    inside, most = [], []

    def work() -> None:
        for _ in range(3):
            ticket = DeviceLock(folder, ["a"]).acquire()
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            ticket.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 12
    assert max(most) == 1


def test_kill_9_of_the_holder_frees_it(folder, hold):
    other = hold("a")
    other.has()
    assert busy(folder, "a")
    other.kill()
    assert not busy(folder, "a")
    assert tickets(folder, "a") == []  # the dead ticket was removed


def test_kill_9_of_somebody_waiting_lets_the_next_one_in(folder, hold, wait_until):
    ticket = DeviceLock(folder, ["a"]).acquire()
    first = hold("a")
    wait_until(lambda: len(tickets(folder, "a")) == 2)
    second = hold("a")
    wait_until(lambda: len(tickets(folder, "a")) == 3)
    first.kill()
    ticket.release()
    assert second.has() == "a"


def test_any_of_two_gpus_will_do(folder, hold):
    first, second = hold("a", "b"), hold("a", "b")
    assert {first.has(), second.has()} == {"a", "b"}
    assert busy(folder, "a", "b")
    first.end()
    assert not busy(folder, "a", "b")


def test_the_tickets_that_did_not_win_are_thrown_away(folder):
    ticket = DeviceLock(folder, ["a", "b"]).acquire()
    assert (len(tickets(folder, "a")), len(tickets(folder, "b"))) == (1, 0)
    ticket.release()


def test_giving_up_leaves_no_ticket(folder):
    ticket = DeviceLock(folder, ["a"]).acquire()
    assert DeviceLock(folder, ["a"]).acquire(lambda: True) is None
    assert tickets(folder, "a") == [ticket.path]
    ticket.release()


def test_a_gpu_stays_taken_while_the_process_that_uses_it_lives(folder, hold):
    """The worker is killed, the analysis is not gone yet."""
    worker = hold("a")
    worker.has()
    file = share(Path(worker.ticket))
    worker.kill()
    assert busy(folder, "a")
    os.close(file)
    assert not busy(folder, "a")


def test_a_ticket_that_is_gone_cannot_be_shared(folder):
    ticket = DeviceLock(folder, ["a"]).acquire()
    ticket.release()
    with pytest.raises(FileNotFoundError):
        share(ticket.path)


def test_other_users_can_queue_and_see_who_lives(folder):
    before = os.umask(0o077)
    try:
        ticket = DeviceLock(folder, ["a"]).acquire()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / "a")] == [0o1777, 0o1777]
    assert stat.S_IMODE(ticket.path.stat().st_mode) == 0o644
    ticket.release()


@pytest.mark.skipif(os.getuid() != 0, reason="needs to be root, to be another user")
def test_a_dead_ticket_of_another_user_is_passed_over(tmp_path):
    folder = tmp_path / "locks"
    for part in (tmp_path, *tmp_path.parents):
        if part.is_relative_to("/tmp") and part != Path("/tmp"):
            part.chmod(0o755)
    DeviceLock(folder, ["a"]).acquire().release()
    dead = folder / "a" / f"{1:012d}-1-dead"
    dead.touch()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        taken = DeviceLock(folder, ["a"]).acquire()
        os._exit(0 if taken is not None and dead.exists() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_a_clear_refusal(folder):
    folder.mkdir(mode=0o500)
    with pytest.raises(BadRequest, match="device_lock_dir"):
        DeviceLock(folder, ["a"]).acquire()


def test_a_queue_that_is_a_link_is_refused(folder, tmp_path):
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path)
    with pytest.raises(BadRequest, match="device_lock_dir") as refused:
        DeviceLock(folder, ["a"]).acquire()
    assert str(tmp_path) not in refused.value.message


def test_what_was_killed_while_drawing_is_tidied_up(folder):
    DeviceLock(folder, ["a"]).acquire().release()
    unfinished = folder / "a" / ".000000000001-1-x"
    unfinished.touch()
    ticket = DeviceLock(folder, ["a"]).acquire()
    assert not unfinished.exists()
    ticket.release()


def test_waiting_can_be_interrupted(folder, hold, wait_until):
    ticket = DeviceLock(folder, ["a"]).acquire()
    stop = threading.Event()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(DeviceLock(folder, ["a"]).acquire(stop.is_set)))
    thread.start()
    wait_until(lambda: len(tickets(folder, "a")) == 2)
    stop.set()
    thread.join(2)
    assert got == [None]
    assert tickets(folder, "a") == [ticket.path]
    ticket.release()


def test_a_stopped_process_keeps_its_place(folder, hold, monkeypatch):
    """SIGSTOP is not death."""
    monkeypatch.setattr(devices, "LOOK", 0.01)
    other = hold("a")
    other.has()
    other.process.send_signal(signal.SIGSTOP)
    assert busy(folder, "a")
    other.process.send_signal(signal.SIGCONT)
    other.end()
