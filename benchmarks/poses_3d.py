"""3D poses of the demo, from videos to points through the server: how far they are from where the body parts are.

The demo's two cameras have recorded a mouse that was drawn, so that the truth is known, and so are the cameras: what is
measured are the 2D poses that the demo's own network finds, with all that it gets wrong, and what follows from them.
Errors are told in mm and as a share of the distance from the cameras to what they look at. The reprojection errors
beside them are what users see, who have no truth. Other methods are shown for the same 2D poses.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Claim, KeepAlive, arguments, conclude, scratch_folder, server
from dlc_jupyter import demo
from dlc_jupyter.commands.server import OwnServer
from dlc_jupyter.demo.make import read_truth
from dlc_jupyter.demo.scene import BODYPARTS
from dlc_jupyter.demo.stereo import RIG

#: From the cameras to what they look at, in mm.
DISTANCE = statistics.mean(float(np.linalg.norm(camera.centre)) for camera in RIG.cameras)
#: The method that the analysis takes by itself, and others of the same poses.
OURS = "consensus"
METHODS: dict[str, dict[str, Any]] = {OURS: {}, "refined": {"refine": True}, "linear": {"method": "linear"}}


def main() -> int:
    arguments(__doc__, rounds=1)
    with (
        scratch_folder() as folder,
        server(
            folder / "ours",
            models={demo.MODEL_NAME: str(demo.MODEL), demo.MODEL_3D_NAME: str(demo.MODEL_3D)},
            device="cpu",
        ) as own,
    ):
        file_ids = [own.client.upload(video) for video in demo.VIDEOS_3D]
        results = {name: triangulated(own, file_ids, **parameters) for name, parameters in METHODS.items()}
        errors = {name: error_of(own, each, folder / f"{name}.h5") for name, each in results.items()}
    truth = read_truth(demo.TRUTH_3D, 3)
    print(
        f"{len(truth)} frames, {len(BODYPARTS)} body parts, 2 cameras {DISTANCE:.0f} mm away; {demo.MODEL_NAME}, "
        "on the processor"
    )
    for name, error in errors.items():
        told = results[name]["reprojection_error"]
        print(
            f"{name}: {described(error)}; found {results[name]['found']:.1%}; "
            f"reprojection error: median {told['median']:.2f}, p95 {told['p95']:.2f} pixels"
        )
    told = results[OURS]["reprojection_error"]["bodyparts"]
    for number, part in enumerate(BODYPARTS):
        seen = told[part]
        print(
            f"  {part}: {described(errors[OURS][:, number])}; found {seen['found']:.1%}; "
            f"reprojection error: median {seen['median']:.2f}, p95 {seen['p95']:.2f} pixels"
        )
    return conclude(
        "poses_3d",
        Claim("median error, of the distance", median(errors[OURS]), most=0.01, show="{:.2%}".format),
    )


def triangulated(own: OwnServer, file_ids: list[str], **parameters: Any) -> dict[str, Any]:
    """Have the videos analysed and their points found; return the result."""
    values = {"analysis": "triangulate", "model": demo.MODEL_3D_NAME, "file_id": file_ids, **parameters}
    created, _seconds = KeepAlive(own).request("POST", "analysis", values)
    return own.client.wait(created["analysis_id"])


def error_of(own: OwnServer, result: dict[str, Any], path: Path) -> np.ndarray[Any, Any]:
    """Return how far the points of a result are from the truth, in mm, shape (frames, body parts)."""
    table = pd.read_hdf(own.client.download(result["h5_file"], path))
    named = table.columns.get_level_values("bodyparts").unique().tolist()
    if (named, result["unit"]) != (list(BODYPARTS), "mm"):
        raise RuntimeError(f"These are points of {named} in {result['unit']}.")
    found = table.to_numpy().reshape(len(table), len(BODYPARTS), 3)
    return np.linalg.norm(found - read_truth(demo.TRUTH_3D, 3), axis=-1)


def median(error: np.ndarray[Any, Any]) -> float:
    """Return the median of those points that were found, as a share of the distance."""
    return float(np.nanmedian(error)) / DISTANCE


def described(error: np.ndarray[Any, Any]) -> str:
    middle, most = np.nanmedian(error), np.nanpercentile(error, 95)
    return (
        f"error: median {middle:.2f} mm ({middle / DISTANCE:.2%} of the distance), p95 {most:.2f} mm "
        f"({most / DISTANCE:.2%})"
    )


if __name__ == "__main__":
    sys.exit(main())
