"""Analyses that keep a diary, as another package would add them: this folder is put on PYTHONPATH by the tests.

Whatever happens to them is a line in one file, and while one runs it holds a lock: that is how the tests know that none
ran twice, or beside another. The kernel frees the lock when the last process that has it is gone, so an analysis also
fails when anything of an earlier one is left.
"""

import fcntl
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from dlc_jupyter.analyses.base import Analysis, Inputs
from dlc_jupyter.analyses.base import Parameters as BaseParameters
from dlc_jupyter.analyses.video import Video
from dlc_jupyter.errors import AnalysisFailed

DIARY = Path(os.environ.get("TRIAL_DIARY", "/dev/null"))


def write(event, job):
    """Add ``<event> <analysis id> <process id>``, whole even if many write."""
    line = f"{event} {job.scratch.name} {os.getpid()}\n"
    file = os.open(DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def is_first_attempt(job):
    return DIARY.read_text().count(f"begins {job.scratch.name} ") == 1


def hold(job):
    """Wait in the middle, on the first attempt, until somebody ends this process."""
    if is_first_attempt(job):
        write("holds", job)
        time.sleep(600)


@contextmanager
def alone(job):
    lock = os.open(DIARY.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        write("meets", job)
        raise AnalysisFailed("Another analysis is still running.", kind="NotAlone") from None
    write("begins", job)
    yield
    write("ends", job)
    os.close(lock)


class Alone(Analysis):
    """Do nothing, alone; with ``hold``, until it is ended."""

    name = "alone"
    inputs = Inputs(at_least=0)
    uses_device = True
    reusable = False

    class Parameters(BaseParameters):
        hold: bool = False
        device: str | None = None

    def run(self, job):
        with alone(job):
            if job.parameters.hold:
                hold(job)
        return {"device": job.device}


class AloneVideo(Video):
    """`video` itself, alone; it holds when ``hold_at`` frames have poses, and tells from which one it has begun."""

    name = "alone-video"
    reusable = False

    class Parameters(Video.Parameters):
        hold_at: int = 0

    def run(self, job):
        from dlc_jupyter.pose import analyze

        analyze.CHUNK_SECONDS = 0.0  # every batch goes to the disk
        tell, told = job.progress, []

        def progress(done, total, unit):
            job._reported = 0.0  # however quick it is
            tell(done, total, unit)
            told.append(done)
            if job.parameters.hold_at and done >= job.parameters.hold_at:
                hold(job)

        job.progress = progress
        with alone(job):
            result = super().run(job)
        return {**result, "python": sys.prefix, "begun_at": told[0]}
