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
    """Poses of a video, and how long ``deeplabcut.analyze_videos`` took of the whole."""

    name = "timed_video"

    def run(self, job: Job[Any]) -> dict[str, Any]:
        """Do what `video` does, in a process of its own, with a clock around DeepLabCut's function."""
        import deeplabcut

        inside: list[float] = []
        analyze_videos = deeplabcut.analyze_videos

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return analyze_videos(*args, **kwargs)
            finally:
                inside.append(time.perf_counter() - began)

        deeplabcut.analyze_videos = timed
        return {**super().run(job), "inside": sum(inside)}
