"""Poses in two formats that other tools read, with the times at which the frames are shown: Parquet and NWB.

Parquet is a table with a row for each body part in each frame. NWB (Neurodata Without Borders) is what archives such as
DANDI take; its extension ndx-pose has a place for poses. What writes them comes with the extra ``formats``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.tables import COORDS, SINGLE
from dlc_jupyter.pose.tracks import Tracks, placed

if TYPE_CHECKING:
    import pyarrow
    from ndx_pose import PoseEstimation, Skeleton
    from pynwb.image import ImageSeries

Edges = Sequence[tuple[str, str]]


@contextmanager
def _needs(what: str, *packages: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise AnalysisFailed(
            f"{what} cannot be written here: {' and '.join(packages)} cannot be imported.",
            hint="Whoever runs the server can install what is missing: pip install 'dlc-jupyter[formats]'.",
            kind="MissingPackage",
        ) from error


def _checked(tracks: Tracks, times: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(times) < len(tracks):
        raise ValueError(f"There are times for {len(times)} frames, but poses up to frame {len(tracks) - 1}.")
    return np.asarray(times, np.float64)


def _placement(cropping: Sequence[int] | None) -> dict[str, str]:
    """Return where x and y begin: ``reference_frame`` in words and, where the picture was cropped, ``cropping``."""
    if cropping is None:
        return {"reference_frame": "(0, 0) is the upper left corner of the picture; x goes right, y goes down."}
    x1, x2, y1, y2 = cropping
    return {
        "reference_frame": f"(0, 0) is the upper left corner of the part of the picture that was analysed: of x from "
        f"{x1} to {x2} and y from {y1} to {y2}, in pixels of the video's picture. x goes right, y goes down. Add "
        f"({x1}, {y1}) for the whole picture.",
        "cropping": f"{x1},{x2},{y1},{y2}",
    }


# -- Parquet -----------------------------------------------------------------------------------------------------------


def write_parquet(
    tracks: Tracks, target: Path, times: NDArray[np.float64], *, cropping: Sequence[int] | None = None
) -> None:
    """Write a table with the columns frame, time, individual, bodypart, x, y and likelihood.

    It has a row for each body part of each individual in each frame that was looked at, in this order. The same poses
    give the same bytes. The file's key-value metadata has ``scorer``, ``units``, ``reference_frame`` and, where the
    picture was cropped, ``cropping``: x1, x2, y1, y2.

    Parameters
    ----------
    target : Path
        The file; it is there when it is whole.
    times : ndarray of float64, shape (frames of the video,)
        When each frame is shown, in seconds.
    cropping : sequence of int, optional
        The part of the video's picture that was analysed, as `dlc_jupyter.pose.cropping` has it; None for all of it.

    Raises
    ------
    AnalysisFailed
        pyarrow is not installed (kind ``MissingPackage``), or the disk is full (``NoSpace``).
    """
    times = _checked(tracks, times)
    with _needs("Parquet", "pyarrow"):
        import pyarrow as arrow
        from pyarrow import parquet

    number = arrow.from_numpy_dtype(np.result_type(*tracks.values(tracks.rows[:1])))
    name = arrow.dictionary(arrow.int32(), arrow.string())
    types = [arrow.int64(), arrow.float64(), name, name, number, number, number]
    schema = arrow.schema(
        list(zip(("frame", "time", "individual", "bodypart", *COORDS), types, strict=True)),
        {"scorer": tracks.origin.scorer, "units": "time in s; x and y in pixels", **_placement(cropping)},
    )
    with placed(target) as path, path.open("wb") as file, parquet.ParquetWriter(file, schema) as writer:
        for numbers, records in tracks.analysed():
            writer.write_table(_tidy(tracks, times, numbers, records, schema))


def _tidy(
    tracks: Tracks, times: NDArray[np.float64], numbers: range, records: NDArray[Any], schema: pyarrow.Schema
) -> pyarrow.Table:
    import pyarrow as arrow

    origin = tracks.origin
    individuals = [*origin.individuals, *([SINGLE] if origin.unique_bodyparts else [])]
    bodyparts = list(dict.fromkeys([*origin.bodyparts, *origin.unique_bodyparts]))
    named = [(individual, part) for individual in origin.individuals for part in origin.bodyparts]
    named += [(SINGLE, part) for part in origin.unique_bodyparts]
    poses = np.concatenate([values.reshape(len(records), -1, 3) for values in tracks.values(records)], axis=1)
    frames = np.repeat(np.asarray(numbers), len(named))

    def dictionary(names: Sequence[str], values: Sequence[str]) -> pyarrow.DictionaryArray:
        indices = np.array([names.index(value) for value in values], np.int32)
        return arrow.DictionaryArray.from_arrays(np.tile(indices, len(records)), arrow.array(names, arrow.string()))

    individual = dictionary(individuals, [individual for individual, _ in named])
    bodypart = dictionary(bodyparts, [part for _, part in named])
    coords = [poses[..., axis].ravel().astype(schema.field("x").type.to_pandas_dtype()) for axis in range(len(COORDS))]
    return arrow.Table.from_arrays([frames, times[frames], individual, bodypart, *coords], schema=schema)


# -- NWB ---------------------------------------------------------------------------------------------------------------


def write_nwb(
    tracks: Tracks,
    target: Path,
    times: NDArray[np.float64],
    *,
    session_start: datetime,
    video: str,
    skeleton: Edges = (),
    cropping: Sequence[int] | None = None,
) -> None:
    """Write an NWB file with a ``PoseEstimation`` for each individual, in the processing module ``behavior``.

    It holds the frames that were looked at and nothing else. The file's identifier is made of the poses: the same ones
    have the same, while the bytes differ with each writing: in its time (``file_create_date``), and in the ids that
    every object in such a file has.

    The poses' ``source_video`` is the video in which they were found. There is no ``labeled_video``; but hdmf's reader
    (to 6.2 at least) finds links by the type of what they point to, and gives it as that too.

    Parameters
    ----------
    target : Path
        The file; it is there when it is whole.
    times : ndarray of float64, shape (frames of the video,)
        When each frame is shown, in seconds after `session_start`.
    session_start : datetime
        When the recording began, with its time zone.
    video : str
        The video's name.
    skeleton : sequence of (str, str)
        The body parts that are connected.
    cropping : sequence of int, optional
        The part of the video's picture that was analysed, as `dlc_jupyter.pose.cropping` has it; None for all of it.

    Raises
    ------
    AnalysisFailed
        pynwb or ndx-pose is not installed (kind ``MissingPackage``), or the disk is full (``NoSpace``).
    """
    times = _checked(tracks, times)
    shown = times[np.asarray(tracks.frames)]
    with _needs("NWB", "pynwb", "ndx-pose"):
        import h5py
        import ndx_pose
        import pynwb
        from pynwb.image import ImageSeries

    origin = tracks.origin
    file = pynwb.NWBFile(
        session_description=f"Poses in the video {video}",
        identifier=_identifier(tracks, shown, cropping),
        session_start_time=session_start,
        file_create_date=datetime.now(UTC),
    )
    size = origin.metadata.get("data", {}).get("frame_dimensions")
    source = ImageSeries(
        name="video",
        description=f"The video {video} as it was recorded, with nothing drawn on it, which is another file",
        external_file=[video],
        format="external",
        starting_frame=[0],
        dimension=size and list(size),
        timestamps=times,
        unit="n.a.",
    )
    file.add_acquisition(source)
    module = file.create_processing_module("behavior", "Poses found by DeepLabCut")
    skeletons = [_skeleton("skeleton", origin.bodyparts, skeleton)]
    estimations = []
    placement = _placement(cropping)["reference_frame"]
    for animal, individual in enumerate(origin.individuals):
        name = f"PoseEstimation_{_plain(individual)}" if origin.multi_animal else "PoseEstimation"
        poses = tracks.rows["bodyparts"][:, animal]
        estimations.append(
            _estimation(name, origin.bodyparts, poses, shown, skeletons[0], origin.scorer, source, placement)
        )
    if origin.unique_bodyparts:
        skeletons.append(_skeleton(f"skeleton_{SINGLE}", origin.unique_bodyparts, ()))
        poses = tracks.rows["unique_bodyparts"][:, 0]
        name = f"PoseEstimation_{SINGLE}"
        estimations.append(
            _estimation(name, origin.unique_bodyparts, poses, shown, skeletons[1], origin.scorer, source, placement)
        )
    module.add(ndx_pose.Skeletons(skeletons=skeletons))
    for estimation in estimations:
        module.add(estimation)
    with placed(target) as path, _Reporting(path, "w+") as disk:
        with h5py.File(disk, "w") as container, pynwb.NWBHDF5IO(file=container, mode="w") as output:
            output.write(file)
        disk.check()


class _Reporting(io.FileIO):
    """A file that remembers that it could not be written: h5py and HDF5 go on as if nothing had been."""

    def write(self, content: Any, /) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
            raise
        return size

    def check(self) -> None:
        """Raise what was raised when something was written."""
        if error := getattr(self, "_error", None):
            raise error


def _skeleton(name: str, nodes: Sequence[str], edges: Edges) -> Skeleton:
    from ndx_pose import Skeleton

    number = {node: position for position, node in enumerate(nodes)}
    known = [(number[one], number[other]) for one, other in edges if one in number and other in number]
    return Skeleton(name=name, nodes=list(nodes), edges=np.array(known, np.uint8).reshape(-1, 2))


def _estimation(
    name: str,
    bodyparts: Sequence[str],
    poses: NDArray[Any],
    shown: NDArray[np.float64],
    skeleton: Skeleton,
    scorer: str,
    video: ImageSeries,
    placement: str,
) -> PoseEstimation:
    """Return the poses (frames, body parts, 3 or more) of one individual."""
    from ndx_pose import PoseEstimation, PoseEstimationSeries

    timestamps: Any = shown
    series = []
    for number, bodypart in enumerate(bodyparts):
        series.append(
            PoseEstimationSeries(
                name=_plain(bodypart),
                description=f"Where {bodypart} is in each frame",
                data=poses[:, number, :2],
                unit="pixels",
                reference_frame=placement,
                timestamps=timestamps,
                confidence=poses[:, number, 2],
                confidence_definition="DeepLabCut's likelihood, from 0 to 1",
            )
        )
        timestamps = series[0]  # the others refer to those of the first
    return PoseEstimation(
        name=name,
        description="Poses found in a video by DeepLabCut",
        pose_estimation_series=series,
        scorer=scorer,
        source_video=video,
        source_software="DeepLabCut",
        skeleton=skeleton,
    )


def _identifier(tracks: Tracks, shown: NDArray[np.float64], cropping: Sequence[int] | None) -> str:
    origin = tracks.origin
    named = [origin.scorer, *origin.individuals, *origin.bodyparts, *origin.unique_bodyparts, str(tracks.frames)]
    named += map(str, cropping or ())
    digest = hashlib.sha256("\0".join(named).encode() + shown.tobytes())
    for _, records in tracks.analysed():
        digest.update(records.tobytes())
    return digest.hexdigest()


def _plain(name: str) -> str:
    """Return a name without the characters that have a meaning in NWB's paths."""
    return name.replace("/", "_").replace(":", "_")
