"""Poses that were found in part when their analysis was cancelled or failed: the next one goes on there.

They lie in ``left/<id of that analysis>/<key of the poses>`` in the data folder, go with that analysis, and are taken
by the first one that wants poses of that key.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

#: How many days they wait for somebody.
LEFT_DAYS = 7.0


def left_root(root: Path) -> Path:
    """Return where such poses lie in the data folder `root`."""
    return root / "left"


def leave(root: Path, analysis_id: str, key: str, poses: Path) -> None:
    """Move what was found of the poses of a key out of the scratch folder of an analysis that has ended.

    Parameters
    ----------
    poses : Path
        The folder of the records (`dlc_jupyter.pose.rows.Rows`); it need not be there.
    """
    if not any(log.stat().st_size for log in poses.glob("*.log")):
        return  # no chunk of them is whole
    folder = left_root(root) / analysis_id
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(poses)  # from now on they wait
    poses.rename(folder / key)


def take(root: Path, key: str, poses: Path) -> None:
    """Move the newest ones of a key to where an analysis goes on with them, if there are any and it has none."""
    found = sorted(left_root(root).glob(f"*/{key}"), key=lambda each: each.stat().st_mtime)
    if found and not poses.exists():
        poses.parent.mkdir(parents=True, exist_ok=True)
        found[-1].rename(poses)
        with contextlib.suppress(OSError):  # there are others
            found[-1].parent.rmdir()


def drop(root: Path, analysis_id: str) -> None:
    """Remove what an analysis has left."""
    shutil.rmtree(left_root(root) / analysis_id, ignore_errors=True)
