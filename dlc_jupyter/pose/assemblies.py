"""The animals of each frame as DeepLabCut's tracker takes them: ``_assemblies.pickle``, and without any file.

DeepLabCut makes that file of ``_full.pickle``, which it loads whole, and its tracker loads both again. Here both come
straight from the records on the disk, some thousand frames at a time: the same arrays, whatever the video's length.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlc_jupyter.pose import full_pickle
from dlc_jupyter.pose.tables import COORDS, SINGLE

if TYPE_CHECKING:
    from dlc_jupyter.pose.tracks import Tracks

Array = NDArray[Any]


def animals(records: Array) -> list[Array]:
    """Return for each record what ``_generate_assemblies_file`` makes of its frame.

    Returns
    -------
    list of ndarray of float64, shape (animals that were found, body parts, 4)
        x and y in pixels, likelihood, and the number of the individual that it looks like, or -1. Where individuals
        are told apart, those that were not found are among them, as in DeepLabCut's.
    """
    poses = records["bodyparts"][..., : len(COORDS)]
    made = np.empty((*poses.shape[:-1], len(COORDS) + 1))
    made[..., :-1] = poses
    identified = "identity_scores" in (records.dtype.names or ())
    made[..., -1] = np.argmax(records["identity_scores"], axis=-1) if identified else -1
    found: Array = ~np.all(made < 0, axis=(2, 3))
    return [each[there] for each, there in zip(made, found, strict=True)]


def write(tracks: Tracks, file: IO[bytes]) -> None:
    """Write ``_assemblies.pickle``: what is loaded from it equals what is loaded from DeepLabCut's own."""
    file.write(pickle.PROTO + b"\x05" + pickle.EMPTY_DICT + full_pickle.shared())
    file.write(full_pickle.text(SINGLE) + pickle.EMPTY_DICT)
    if tracks.origin.unique_bodyparts:
        for numbers, records in tracks.pieces():
            _write_items(file, numbers, _once(records))
    file.write(pickle.SETITEM)
    for numbers, records in tracks.pieces():
        _write_items(file, numbers, animals(records))
    file.write(pickle.STOP)


def _once(records: Array) -> list[Array]:
    """Return for each record the body parts that there are once, of the type that DeepLabCut's prediction had."""
    bit = (records.dtype.names or ()).index("unique_bodyparts")
    wide = records["wide"] >> bit & 1
    kinds = [np.float64 if each else np.float32 for each in wide.tolist()]
    parts = records["unique_bodyparts"][:, 0, :, : len(COORDS)]
    return [np.array(each, kind) for each, kind in zip(parts, kinds, strict=True)]


def _write_items(file: IO[bytes], numbers: range, arrays: list[Array]) -> None:
    keys = (pickle.BININT + number.to_bytes(4, "little") for number in numbers)
    items = (key + full_pickle.array(values) for key, values in zip(keys, arrays, strict=True))
    file.write(pickle.MARK + b"".join(items) + pickle.SETITEMS)


class Assemblies:
    """What is in ``_assemblies.pickle``, made when it is asked for; only what DeepLabCut's tracker asks for."""

    def __init__(self, tracks: Tracks, progress: Callable[[float], None]) -> None:
        self._tracks, self._progress = tracks, progress

    def __getitem__(self, name: str) -> dict[int, Array]:
        """Return by frame the body parts that there are once: they are few, and the tracker keeps all of them."""
        if name != SINGLE:
            raise KeyError(name)
        made: dict[int, Array] = {}
        for numbers, records in self._tracks.pieces():
            made.update(zip(numbers, _once(records), strict=True))
        return made

    def get(self, frame: int) -> Array:
        """Return the animals of a frame: see `animals`."""
        self._progress(frame / len(self._tracks))
        [made] = animals(self._tracks.records(range(frame, frame + 1)))
        return made


@contextmanager
def not_from_files(tracks: Tracks, progress: Callable[[float], None]) -> Iterator[None]:
    """Have ``convert_detections2tracklets`` take the animals from the records, while the context lasts.

    It asks the module ``auxfun_multianimal`` for ``_full.pickle`` and ``_meta.pickle``, of which it uses the metadata,
    and ``auxiliaryfunctions`` for ``_assemblies.pickle`` (DeepLabCut 3.0.2).

    Parameters
    ----------
    progress : callable
        Told which part of the frames it has gone through, from 0 to 1.
    """
    from deeplabcut.pose_estimation_pytorch.apis import tracklets

    def full_and_meta(_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        metadata = full_pickle.header(tracks.origin.pose_cfg, len(tracks))
        return {"metadata": metadata}, dict(tracks.origin.metadata)

    def assemblies(path: Path) -> Assemblies:
        if not Path(path).name.endswith("_assemblies.pickle"):
            raise ValueError(f"{Path(path).name} was not to be read here.")
        return Assemblies(tracks, progress)

    places = (tracklets.auxfun_multianimal, "LoadFullMultiAnimalData"), (tracklets.auxiliaryfunctions, "read_pickle")
    originals = [getattr(module, name) for module, name in places]
    for (module, name), instead in zip(places, (full_and_meta, assemblies), strict=True):
        setattr(module, name, instead)
    try:
        yield
    finally:
        for (module, name), original in zip(places, originals, strict=True):
            setattr(module, name, original)
