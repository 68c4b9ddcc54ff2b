"""Writers: poses to HDF5, CSV, `_meta.pickle` and `_full.pickle`, against DeepLabCut's own functions for the same ones.

DeepLabCut begins with its predictions in memory, as `analyze_videos` has them at the end of a video; ours with the
records on disk, in which they were kept meanwhile. What both wrote is compared before anything is measured. Each turn
is a process of its own, forked from one that has imported everything.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Claim, arguments, conclude, in_mib, in_seconds, ratio, scratch_folder, take_turns
from dlc_jupyter.pose.rows import Rows, read
from dlc_jupyter.pose.tracks import Origin, Tracks, write

OURS, THEIRS = "ours", "DeepLabCut"
Predictions = Sequence[dict[str, np.ndarray[Any, Any]]]


def main() -> int:
    options = arguments(__doc__, frames=20_000, bodyparts=12, individuals=1)
    origin = some_origin(options.bodyparts, options.individuals)
    predictions = some_predictions(options.frames, options.bodyparts, options.individuals)
    import_deeplabcut()
    with scratch_folder() as folder:
        with Rows(folder / "rows", {}) as rows:
            rows.append(predictions)
            rows.flush()

        def by_ours() -> None:
            records = read(folder / "rows")
            write(Tracks(origin, records, range(len(records))), made(folder / OURS), "video")

        def by_deeplabcut() -> None:
            write_by_deeplabcut(origin, predictions, made(folder / THEIRS))

        by_ours()
        by_deeplabcut()
        compare(folder / OURS, folder / THEIRS)
        print(
            f"{options.frames} frames, {options.bodyparts} body parts, {options.individuals} animals: files are equal"
        )
        memory: dict[str, int] = {}
        figures = take_turns(
            options.rounds,
            {
                OURS: lambda: in_a_process(OURS, by_ours, memory),
                THEIRS: lambda: in_a_process(THEIRS, by_deeplabcut, memory),
            },
            in_seconds,
        )
    print("memory beyond what was there before:", "   ".join(f"{name} {in_mib(memory[name])}" for name in memory))
    return conclude("writers", Claim("times as fast as DeepLabCut", ratio(figures[THEIRS], figures[OURS]), least=10.0))


def some_origin(bodyparts: int, individuals: int) -> Origin:
    names = [f"part{number}" for number in range(bodyparts)]
    return Origin(
        scorer="DLC_Resnet50_benchmarkNov25shuffle1_snapshot_040",
        bodyparts=names,
        individuals=[f"animal{number}" for number in range(individuals)],
        multi_animal=individuals > 1,
        pose_cfg={"all_joints": [[number] for number in range(bodyparts)], "all_joints_names": names},
        metadata={"data": {"Scorer": "DLC", "fps": 30.0}},
    )


def some_predictions(frames: int, bodyparts: int, individuals: int) -> Predictions:
    """Return poses somewhere in pictures of 640 x 480 pixels, as DeepLabCut's inference returns them."""
    random = np.random.default_rng(0)
    poses = random.random((frames, individuals, bodyparts, 3), dtype=np.float32) * np.float32([640, 480, 1])
    return [{"bodyparts": pose.copy()} for pose in poses]


def import_deeplabcut() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut.pose_estimation_pytorch.apis.videos  # noqa: F401


def write_by_deeplabcut(origin: Origin, predictions: Predictions, folder: Path) -> None:
    """Do as the end of ``deeplabcut.analyze_videos`` does."""
    from deeplabcut.pose_estimation_pytorch.apis import videos

    prefix = f"video{origin.scorer}"
    (folder / f"{prefix}_meta.pickle").write_bytes(pickle.dumps(origin.metadata, pickle.HIGHEST_PROTOCOL))
    full = folder / f"{prefix}_full.pickle"
    output = videos._generate_output_data(origin.pose_cfg, predictions)
    with full.open("wb") as file:
        pickle.dump(output, file, pickle.HIGHEST_PROTOCOL)
    names = {"bodyparts": origin.bodyparts, "individuals": origin.individuals, "unique_bodyparts": []}
    with contextlib.redirect_stdout(io.StringIO()):
        videos.create_df_from_prediction(
            predictions, origin.scorer, origin.multi_animal, {"metadata": names}, folder, prefix, save_as_csv=True
        )
    if origin.multi_animal:
        videos._generate_assemblies_file(full, folder / f"{prefix}_assemblies.pickle", len(origin.bodyparts), 0)


def compare(ours: Path, theirs: Path) -> None:
    """Refuse to go on unless the same was written."""
    names = sorted(path.name for path in theirs.iterdir())
    assert names == sorted(path.name for path in ours.iterdir())
    for name in names:
        one, other = ours / name, theirs / name
        if name.endswith(".h5"):
            pd.testing.assert_frame_equal(pd.read_hdf(one), pd.read_hdf(other), check_exact=True)
        elif name.endswith(".pickle"):
            assert equal(*(pickle.loads(path.read_bytes()) for path in (one, other))), name
        else:
            assert one.read_bytes() == other.read_bytes(), name


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal down to the types and the order of what is in them."""
    if type(one) is not type(other):
        return False
    if isinstance(other, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in other)
    if isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    return bool(one == other)


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def in_a_process(name: str, turn: Callable[[], None], memory: dict[str, int]) -> float:
    """Let somebody take a turn in a fork, and return how long it took; note how far that process's memory grew."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        turn()
        took = time.perf_counter() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        os.write(sending, pickle.dumps((took, grown)))
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as answer:
        took, grown = pickle.load(answer)
    os.waitpid(child, 0)
    memory[name] = max(grown, memory.get(name, 0))
    return float(took)


if __name__ == "__main__":
    sys.exit(main())
