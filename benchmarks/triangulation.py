"""Triangulation: DeepLabCut's numbers for two cameras, little harm from gross outliers, speed, and flat memory.

The cameras and the animal are drawn, so that the truth is known; the 2D poses are DeepLabCut's tables on disk. Two
cameras are compared with `deeplabcut.triangulate`, its reader repaired. Where 10 % of what six cameras see is anywhere
in the picture, the linear solution of all cameras is spoilt for less than half of the points: an oracle that knows the
outliers is shown too, since nothing has a much lower median of all points than that. Speed is that of 100 000 frames of
12 body parts and 4 cameras with such outliers: of the numbers alone, and from files to files, with what is found out
about the agreement of the cameras.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Claim, arguments, conclude, in_mib, in_seconds, ratio, scratch_folder, take_turns
from dlc_jupyter import demo
from dlc_jupyter.pose3d import tracks as tracks3d
from dlc_jupyter.pose3d.calibrations import read, write_stereo_pickle
from dlc_jupyter.pose3d.cameras import Array, Rig
from dlc_jupyter.pose3d.deeplabcut import readable_projects
from dlc_jupyter.pose3d.multiview import MultiView
from dlc_jupyter.pose3d.triangulation import Method, triangulate
from tests.pose3d import rigs

OURS, THEIRS = "ours", "DeepLabCut"
NUMBERS, FILES = "the numbers alone", "from files to files"
PARTS = [f"part{number}" for number in range(12)]
COORDS = ("x", "y", "likelihood")
SIZE = 2 * rigs.REACH  # of the scene
NOISE, OUTLIERS = 1.0, 0.1
PCUTOFF = 0.4


def main() -> int:
    options = arguments(__doc__, rounds=3, frames=100_000, frames_of_two=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut  # noqa: F401  ten seconds, which are nobody's
    claims = outliers()
    with scratch_folder() as folder:
        claims.append(two_cameras(folder, options.rounds, options.frames_of_two))
        claims += many(folder, options.rounds, options.frames)
    return conclude("triangulation", *claims)


# -- two cameras -----------------------------------------------------------------------------------------------------


def two_cameras(folder: Path, rounds: int, frames: int) -> Claim:
    import deeplabcut
    from deeplabcut.core.config import read_config_as_dict
    from deeplabcut.utils import auxiliaryfunctions

    shutil.copytree(demo.MODEL.parent, folder / "project")
    config_2d = folder / "project" / demo.MODEL.name
    with silent():
        config = Path(deeplabcut.create_new_project_3d("two", "me", 2, working_directory=str(folder)))
        project = auxiliaryfunctions.read_config(config_2d)
        scorer = auxiliaryfunctions.get_scorer_name(project, 1, project["TrainingFraction"][0])[0]
    values = read_config_as_dict(config) | {f"config_file_camera-{number}": str(config_2d) for number in (1, 2)}
    auxiliaryfunctions.write_config_3d(str(config), values | {"pcutoff": PCUTOFF})
    write_stereo_pickle(rigs.rig(2), config.parent / "camera_matrix/stereo_params.pickle")
    parts = list(project["bodyparts"])
    _, pixels, _ = seen(rigs.rig(2), frames, len(parts), wrong=0.0)
    likelihood = np.random.default_rng(1).uniform(0.2, 1.0, pixels.shape[:-1])
    recording = folder / "recording"
    recording.mkdir()
    videos, tables = [], []
    for number, (where, sure) in enumerate(zip(pixels, likelihood, strict=True), 1):
        videos.append(shutil.copy(demo.VIDEO, recording / f"two_camera-{number}.mp4"))
        (recording / f"two_camera-{number}{scorer}_full.pickle").touch()  # "already analyzed"
        tables.append(write_2d(recording / f"two_camera-{number}{scorer}.h5", where, sure, parts, scorer))
    made: dict[str, Path] = {}

    def by_ours() -> None:
        rig = read(config.parent)
        known = pickle.loads((config.parent / "camera_matrix/stereo_params.pickle").read_bytes())
        method = Method(PCUTOFF, as_deeplabcut=next(iter(known.values())))
        made[OURS] = tracks3d.make(rig, MultiView(tables, rig.names), frames, recording, "ours", method).files[".h5"]

    def by_deeplabcut() -> None:
        made[THEIRS] = recording / "two_DLC_3D.h5"
        made[THEIRS].unlink(missing_ok=True)
        with readable_projects():
            deeplabcut.triangulate(str(config), [list(map(str, videos))], filterpredictions=False)

    print(f"two cameras, {frames} frames, {len(parts)} body parts:")
    figures = take_turns(rounds, {OURS: timed(by_ours), THEIRS: timed(by_deeplabcut)}, in_seconds)
    ours, theirs = (pd.read_hdf(made[name]).to_numpy() for name in (OURS, THEIRS))
    if (np.isnan(ours) != np.isnan(theirs)).any():
        raise RuntimeError("Not the same points are missing.")
    print(
        f"{ratio(figures[THEIRS], figures[OURS]):.1f} times as fast, with the errors and the agreement of the cameras"
    )
    furthest = float(np.nanmax(np.abs(ours - theirs))) / SIZE
    return Claim(
        "two cameras, furthest from DeepLabCut, of the scene's size", furthest, most=1e-6, show="{:.2g}".format
    )


# -- outliers --------------------------------------------------------------------------------------------------------


def outliers() -> list[Claim]:
    truth, pixels, wrong = seen(rigs.rig(6), 2000, len(PARTS))
    found = {
        "linear": triangulate(rigs.rig(6), pixels, method=Method(reject=False)),
        OURS: triangulate(rigs.rig(6), pixels),
        "ours, refined": triangulate(rigs.rig(6), pixels, method=Method(refine=True)),
        "linear without the outliers": triangulate(
            rigs.rig(6), np.where(wrong[..., None], np.nan, pixels), method=Method(reject=False)
        ),
    }
    hit = wrong.any(0)
    print(f"six cameras, {OUTLIERS:.0%} of all pixels are anywhere, at least one of {hit.mean():.0%} of the points:")
    errors = {name: np.linalg.norm(each.points - truth, axis=-1) for name, each in found.items()}
    for name, error in errors.items():
        print(
            f"  {name}: median error {np.nanmedian(error):.3f} mm, of the points with an outlier "
            f"{np.nanmedian(error[hit]):.3f} mm, 95th percentile {np.nanpercentile(error, 95):.2f} mm, "
            f"mean {np.nanmean(error):.2f} mm, found {np.isfinite(error).mean():.2%}"
        )
    share = float(np.nanmedian(errors[OURS][hit]) / np.nanmedian(errors["linear"][hit]))
    everywhere = float(np.nanmedian(errors[OURS]) / np.nanmedian(errors["linear"]))
    return [
        Claim("six cameras with outliers, median error by the linear one", everywhere, most=1 / 3),
        Claim("of the points with an outlier", share, most=1 / 3, show="{:.3f}".format),
    ]


# -- many frames -----------------------------------------------------------------------------------------------------


def many(folder: Path, rounds: int, frames: int) -> list[Claim]:
    rig = rigs.rig(4)
    _, pixels, _ = seen(rig, frames, len(PARTS))
    poses = [pixels, np.random.default_rng(1).uniform(0.5, 1, pixels.shape[:-1])]
    paths = {}
    for count in (frames // 5, frames):
        paths[count] = [
            write_2d(folder / f"{count}-{name}.h5", where[:count], sure[:count], PARTS, "net")
            for name, where, sure in zip(rig.names, *poses, strict=True)
        ]

    def files(count: int) -> None:
        made = tracks3d.make(rig, MultiView(paths[count], rig.names), count, folder, f"{count}")
        if made.findings:
            raise RuntimeError(f"A false alarm: {made.findings}")

    print(f"{frames} frames, {len(PARTS)} body parts, {len(rig)} cameras:")
    figures = take_turns(
        rounds,
        {NUMBERS: timed(lambda: triangulate(rig, *poses)), FILES: timed(lambda: files(frames))},
        in_seconds,
    )
    speed = {name: frames * len(PARTS) / sorted(each)[len(each) // 2] for name, each in figures.items()}
    print("   ".join(f"{name}: {each:.0f} points a second" for name, each in speed.items()))
    del pixels
    poses.clear()
    peaks = {count: peak(lambda count=count: files(count)) for count in paths}
    print("   ".join(f"{count} frames {in_mib(most)}" for count, most in peaks.items()))
    short, long = peaks
    more = (peaks[long] - peaks[short]) / (long - short)
    return [
        Claim("points a second, from files to files", speed[FILES], least=50_000, show="{:.0f}".format),
        Claim("bytes a frame more", more, most=1024, show="{:.0f}".format),
    ]


def peak(work: Callable[[], None]) -> int:
    """Do something in a fork, as the engine does, and return the most memory that it had, in bytes."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        Path("/proc/self/clear_refs").write_text("5")  # what the parent had at most does not count
        work()
        os.write(sending, pickle.dumps(_most()))
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as answer:
        most = pickle.load(answer)
    os.waitpid(child, 0)
    return int(most)


def _most() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- what is seen ----------------------------------------------------------------------------------------------------


def seen(rig: Rig, frames: int, parts: int, wrong: float = OUTLIERS) -> tuple[Array, Array, np.ndarray[Any, Any]]:
    """Return the truth, what the cameras see of it, and where that is anywhere in the picture."""
    random = np.random.default_rng(0)
    truth = rigs.motion(frames, parts)
    pixels = rig.project(truth)
    pixels += random.normal(size=pixels.shape) * NOISE
    anywhere = random.random(pixels.shape[:-1]) < wrong
    pixels[anywhere] = random.uniform((0, 0), rig.cameras[0].size, (int(anywhere.sum()), 2))
    return truth, pixels, anywhere


def write_2d(path: Path, pixels: Array, likelihood: Array, parts: list[str], scorer: str) -> Path:
    """Write what DeepLabCut writes for a single animal."""
    columns = pd.MultiIndex.from_product([[scorer], parts, COORDS], names=["scorer", "bodyparts", "coords"])
    values = np.concatenate([pixels, likelihood[..., None]], -1).reshape(len(pixels), -1).astype(np.float32)
    pd.DataFrame(values, columns=columns).to_hdf(path, key="df_with_missing", format="table", mode="w")
    return path


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    def turn() -> float:
        began = time.perf_counter()
        with silent():
            work()
        return time.perf_counter() - began

    return turn


@contextlib.contextmanager
def silent():
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    sys.exit(main())
