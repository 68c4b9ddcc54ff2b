"""Calibration: two cameras from rendered pictures of a board, small and large, against what they really are.

The lenses bend, the pictures have noise and are compressed. Beside it DeepLabCut's `calibrate_cameras` with its
defaults, its reader repaired, on the same files. Each round has other lenses and other pictures.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Claim, arguments, conclude, in_seconds, scratch_folder
from dlc_jupyter.pose3d.board_views import Source, look
from dlc_jupyter.pose3d.boards import Board
from dlc_jupyter.pose3d.calibration import calibrate
from dlc_jupyter.pose3d.cameras import Camera, Rig
from dlc_jupyter.pose3d.deeplabcut import readable_projects
from tests.pose3d import rigs

BOARD = Board(columns=9, rows=6, square=25.0, unit="mm")
SIZES = ((320, 240), (1280, 960))


@dataclass(frozen=True)
class Result:
    """How well cameras were calibrated: `focal` as a share of it, `error` and `away` in pixels."""

    focal: float
    error: float
    away: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"focal length off by {self.focal:.3%}, error {self.error:.3f} px, "
            f"points in space off by {self.away:.2f} px, in {in_seconds(self.seconds)}"
        )


def main() -> int:
    options = arguments(__doc__, rounds=3, pictures=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut  # noqa: F401  ten seconds, which are nobody's
    claims = []
    for size in SIZES:
        ours = []
        for number in range(1, options.rounds + 1):
            with scratch_folder() as folder:
                truth = rigs.rig(2, size, seed=number)
                taken = take_pictures(truth, folder / "taken", options.pictures, number)
                ours.append(by_us(truth, taken))
                theirs = by_deeplabcut(truth, taken, folder)
            name = f"{size[0]} x {size[1]}, round {number}"
            print(f"{name}:   ours: {ours[-1]}   DeepLabCut: {theirs}", flush=True)
        claims += [
            Claim(f"{size[0]} x {size[1]}: focal length off by", worst(ours, "focal"), most=0.01, show="{:.3%}".format),
            Claim("reprojection error", worst(ours, "error"), most=0.1, show="{:.3f} px".format),
        ]
    return conclude("calibration", *claims)


def worst(results: list[Result], what: str) -> float:
    return max(getattr(result, what) for result in results)


def take_pictures(truth: Rig, folder: Path, count: int, seed: int) -> list[Source]:
    """Write the pictures that both cameras take, as DeepLabCut wants them to be called."""
    folder.mkdir()
    drawn = rigs.board_pictures(truth, BOARD, count, seed, noise=2.0)
    sources = []
    for camera, pictures in zip(truth.cameras, drawn.pictures, strict=True):
        paths = [folder / f"{camera.name}-{number:02d}.jpg" for number in range(count)]
        for path, picture in zip(paths, pictures, strict=True):
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 97])
        sources.append(Source(camera.name, paths))
    return sources


def by_us(truth: Rig, taken: list[Source]) -> Result:
    began = time.perf_counter()
    found = calibrate(BOARD, look(BOARD, taken))
    return judged(truth, found.rig, max(report.error for report in found.cameras), time.perf_counter() - began)


def by_deeplabcut(truth: Rig, taken: list[Source], folder: Path) -> Result | str:
    """Calibrate with DeepLabCut, or return what it ended with."""
    import deeplabcut

    with silent(), readable_projects():
        config = Path(deeplabcut.create_new_project_3d("rig", "bench", 2, working_directory=str(folder)))
        for source in taken:
            for path in source.pictures:
                (config.parent / "calibration_images" / path.name).write_bytes(path.read_bytes())
        began = time.perf_counter()
        try:
            for step in (False, True):
                deeplabcut.calibrate_cameras(str(config), cbrow=BOARD.rows, cbcol=BOARD.columns, calibrate=step)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - began
    matrices = config.parent / "camera_matrix"
    values = pickle.loads((matrices / "stereo_params.pickle").read_bytes())["camera-1-camera-2"]
    places = ((np.eye(3), np.zeros(3)), (values["R"], values["T"] * BOARD.square))
    cameras = [
        Camera(camera.name, camera.size, values[f"cameraMatrix{number}"], values[f"distCoeffs{number}"], *place)
        for number, (camera, place) in enumerate(zip(truth.cameras, places, strict=True), start=1)
    ]
    lenses = pickle.loads((matrices / "camera-2_intrinsic_params.pickle").read_bytes())
    error = max(reprojection(lens["objpoints"], lens["imgpoints"], truth.cameras[0].size) for lens in lenses.values())
    return judged(truth, Rig(tuple(cameras)), error, seconds)


def reprojection(points: list[np.ndarray], pixels: list[np.ndarray], size: tuple[int, int]) -> float:
    """Return the root mean square of the distances in pixels, which DeepLabCut does not keep: fit once more."""
    return float(cv2.calibrateCamera(points, pixels, size, None, None)[0])


def judged(truth: Rig, found: Rig, error: float, seconds: float) -> Result:
    """Hold cameras, along the axes of the first one, against the truth."""
    focal = max(
        float(np.abs(one.matrix[[0, 1], [0, 1]] / other.matrix[[0, 1], [0, 1]] - 1).max())
        for one, other in zip(found.cameras, truth.cameras, strict=True)
    )
    points = rigs.motion(100, 8)
    away = float(np.nanmedian(np.linalg.norm(found.project(points) - truth.project(points), axis=-1)))
    return Result(focal, error, away, seconds)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    sys.exit(main())
