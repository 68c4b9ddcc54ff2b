"""Waiting: the smallest analysis, to try the whole way without a model."""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar

from pydantic import Field

from dlc_jupyter.analyses.base import Analysis, Inputs, Job
from dlc_jupyter.analyses.base import Parameters as BaseParameters

TICK = 0.1


class Sleep(Analysis):
    """Wait, and write a CSV file with the number of seconds waited."""

    name = "sleep"
    inputs = Inputs(at_least=0)
    reusable = False  # the waiting is the point
    results: ClassVar = {
        "sleep_time": "How long it waited, in seconds.",
        "csv_file": "The same as a CSV file.",
    }

    class Parameters(BaseParameters):
        """How long to wait."""

        time: Annotated[float, Field(ge=0, le=86_400, description="How long to wait, in seconds.")]

    def run(self, job: Job[Sleep.Parameters]) -> dict[str, Any]:
        """Wait, telling every tenth of a second how much of the time has passed."""
        wanted = job.parameters.time
        end = time.monotonic() + wanted
        while (left := end - time.monotonic()) > 0:
            job.progress(round(wanted - left, 1), wanted, "s")
            time.sleep(min(TICK, left))
        job.progress(wanted, wanted, "s")
        return {"sleep_time": wanted, "csv_file": job.save_csv("sleep.csv", [("sleep_time",), (wanted,)])}
