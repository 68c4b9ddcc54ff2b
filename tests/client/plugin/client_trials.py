"""Analyses that invent poses in no time, as another package would add them: put on PYTHONPATH by the tests.

What they make has the form that `video` and `triangulate` give it: the same files, in the same layouts.
"""

import time

import numpy as np
import pandas as pd

from dlc_jupyter.analyses.base import Analysis, Inputs, Parameters
from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose import compact

SCORER = "DLC_Resnet50_mouseNov25shuffle1_snapshot_040"


class Invent(Analysis):
    """Random poses of a file that begins with "video"; of any other it says that it is none."""

    name = "invent"
    inputs = Inputs(at_least=1, at_most=1)
    reusable = False

    class Parameters(Parameters):
        frames: int = 30
        animals: int = 0
        unique: bool = False
        seconds: float = 0.0
        fps: float | None = 25.0
        first: int = 0

    def run(self, job):
        wanted = job.parameters
        if not job.inputs[0].path.read_bytes().startswith(b"video"):
            raise AnalysisFailed("This is no video.", hint="Send an MP4.", kind="NotAVideo")
        steps = round(wanted.seconds / 0.1)
        for _ in job.track(range(steps), steps, "steps"):
            time.sleep(0.1)
        job.progress(wanted.frames, wanted.frames, "frames")
        table = poses(wanted.frames, wanted.animals, wanted.unique)
        h5, made = job.scratch / "invented.h5", job.scratch / "invented.dlcp"
        table.to_hdf(h5, key="df_with_missing", format="table", mode="w")
        compact.write(h5, made, wanted.frames, first=wanted.first)
        told = {"video": {"fps": wanted.fps}} if wanted.fps else {}
        return {"h5_file": h5, "poses_file": made, "frames": wanted.frames, "csv_file": None, "provenance": told}


class InventSpace(Analysis):
    """Random points in space."""

    name = "invent-space"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        frames: int = 20

    def run(self, job):
        random, made = np.random.default_rng(3), {}
        for field, coords in (("h5_file", ["x", "y", "z"]), ("quality_file", ["error", "cameras"])):
            names = ["scorer", "bodyparts", "coords"]
            columns = pd.MultiIndex.from_product([[SCORER], ["snout", "tail"], coords], names=names)
            values = random.random((job.parameters.frames, len(columns))).astype(np.float32)
            table = pd.DataFrame(values.astype(np.float64), columns=columns)
            table.iloc[4] = np.nan
            made[field] = job.scratch / f"{field}.h5"
            table.to_hdf(made[field], key="df_with_missing", format="table", mode="w")
        made["space_file"] = job.scratch / "invented.dlcp"
        about = {"unit": "mm", "up": "z", "fps": 30.0}
        compact.write_space(made["h5_file"], made["quality_file"], made["space_file"], job.parameters.frames, about)
        return made


def poses(frames, animals=0, unique=False):
    """Return DeepLabCut's table of so many animals; 0 is that of a project for a single one."""
    points = [("", part) for part in ("snout", "tail")]
    if animals:
        points = [(f"mouse{number}", part) for number in range(1, animals + 1) for part in ("snout", "tail")]
        points += [("single", "corner")] if unique else []
    columns = [
        (SCORER, *((animal,) if animals else ()), part, coord)
        for animal, part in points
        for coord in ("x", "y", "likelihood")
    ]
    names = ["scorer", *(["individuals"] if animals else []), "bodyparts", "coords"]
    random = np.random.default_rng(frames + animals)
    values = random.uniform(0, 600, (frames, len(columns))).astype(np.float32).astype(np.float64)
    values[:, 2::3] = np.float32(random.random((frames, len(points))))
    values[frames // 2, :3] = np.nan
    return pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns, names=names))
