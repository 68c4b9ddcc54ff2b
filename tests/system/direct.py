"""DeepLabCut itself, called as its documentation says, in a process of its own: what every result has to equal.

As a script, ``python direct.py <folder>`` analyses what `Direct` has put there, without any of our code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


class Direct:
    """Poses that DeepLabCut makes in the background, with the processor time that the tests leave to it.

    Parameters
    ----------
    folder : Path
        Empty.
    config : Path
        config.yaml of the project.
    calls : dict
        By a name of their own, a video and the options with which it is analysed.
    """

    def __init__(self, folder: Path, config: Path, calls: dict[str, tuple[Path, dict[str, Any]]]) -> None:
        self._folder = folder
        shutil.copytree(config.parent, folder / "model")
        for name, (video, options) in calls.items():
            (folder / name).mkdir()
            # As the analyses name it: DeepLabCut writes the name into its results.
            shutil.copy(video, folder / name / "video.mp4")
            (folder / name / "options.json").write_text(json.dumps(options))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["nice", sys.executable, __file__, str(folder)],
                env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def made(self, name: str, ending: str) -> Path:
        """Wait until DeepLabCut is done, and return the file that it wrote for one of the calls."""
        assert self._process.wait(280) == 0, (self._folder / "log").read_text()
        [found] = (self._folder / name).glob(f"video*{ending}")
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def main(folder: Path) -> None:
    import deeplabcut

    for options in sorted(folder.glob("*/options.json")):
        deeplabcut.analyze_videos(
            str(folder / "model" / "config.yaml"),
            [str(options.with_name("video.mp4"))],
            save_as_csv=True,
            device="cpu",
            **json.loads(options.read_text()),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
