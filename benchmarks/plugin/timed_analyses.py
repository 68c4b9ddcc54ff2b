"""`sleep` and `video`, telling when they did what; added as another package would, by this folder on PYTHONPATH."""

from __future__ import annotations

import time
from typing import Any

from dlc_jupyter.analyses.base import Job
from dlc_jupyter.analyses.sleep import Sleep
from dlc_jupyter.analyses.video import Video


class TimedSleep(Sleep):
    """Wait, and tell when the waiting began."""

    name = "timed_sleep"

    def run(self, job: Job[Any]) -> dict[str, Any]:
        """Note the time, then do what `sleep` does."""
        began = time.time()
        return {**super().run(job), "began": began}


class TimedVideo(Video):
    """Poses of a video, and how long it took of the whole to make them and write their files."""

    name = "timed_video"

    def run(self, job: Job[Any]) -> dict[str, Any]:
        """Do what `video` does, in a process of its own, with a clock around what makes the poses."""
        from dlc_jupyter.pose import analyze as module

        inside: list[float] = []
        analyze = module.analyze

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return analyze(*args, **kwargs)
            finally:
                inside.append(time.perf_counter() - began)

        module.analyze = timed
        return {**super().run(job), "inside": sum(inside)}
