"""How many pictures a network sees at once on a GPU, where nobody has said: as many as its memory suffices for.

What a network takes is measured, with one picture of the video and with a few; from two such numbers follows what it
takes for more. They are kept in a file, for the next analysis with this network, and put right where they were too
small. How many pictures fit is then a matter of the memory that is free at the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from dlc_jupyter.pose.frames import Pictures
from dlc_jupyter.pose.memory import lacking
from dlc_jupyter.pose.pixels import rgb
from dlc_jupyter.pose.runners import Runners

#: No batch is chosen larger: the poses of a batch come at once and are lost at once, and a GPU has enough to do with
#: less: DeepLabCut's users saw no gain from 8 to 16 pictures already (its issue 2639).
MOST = 64

#: Bytes of the pictures in a batch: their buffers lie in the computer's memory four times over. That is 64 pictures of
#: 640 x 480 pixels, 32 of 1280 x 720, 16 of 1920 x 1080.
BYTES = 128 << 20

#: The part of the free memory that is used: the rest is for what lies between pieces of it, and for other programs.
SHARE = 0.7

#: With how many pictures the second measurement is made.
FEW = 4

#: How many measurements are kept: the last ones.
KEPT = 500


class Device(Protocol):
    """A device whose memory is limited: see `dlc_jupyter.pose.memory.Cuda`."""

    name: str
    total: int

    def available(self) -> int:
        """Return how many bytes can be had now."""
        ...

    def peak(self, look: Callable[[int], object], count: int) -> int:
        """Return how many bytes ``look(count)`` takes."""
        ...

    def tidy(self) -> None:
        """Give back what a measurement has left behind."""
        ...


@dataclass(frozen=True)
class Need:
    """How many bytes a network takes: whatever it looks at, and for each picture of a batch."""

    fixed: int
    each: int

    @classmethod
    def measured(cls, device: Device, look: Callable[[int], object]) -> Self:
        """Have the network look at one picture, and at `FEW`. ``look`` is told how many."""
        device.peak(look, 1)  # the first time, libraries also take what they keep
        one, few = device.peak(look, 1), FEW
        while few > 1:
            try:
                several = device.peak(look, few)
            except RuntimeError as error:
                if not lacking(error):
                    raise
            else:
                each = max(-(-(several - one) // (few - 1)), 1)
                return cls(max(one - each, 0), each)
            device.tidy()
            few //= 2
        return cls(one, device.available())

    def fitting(self, available: int, most: int) -> int:
        """Return the greatest power of two, of at most `most` pictures, that fits into `available` bytes."""
        count = 1
        while 2 * count <= most and self.fixed + 2 * count * self.each <= SHARE * available:
            count *= 2
        return count

    def corrected(self, available: int, count: int) -> Need:
        """Return it for when `available` bytes did not suffice for `count` pictures."""
        return Need(self.fixed, max(self.each, (available - self.fixed) // count))


class Sizes:
    """The sizes of batches for one analysis.

    Parameters
    ----------
    runners : Runners
        The networks.
    device : Device
        Where they run.
    model : sequence
        JSON values that tell these networks from others, such as the digests of their files.
    picture : tuple of int
        Width and height of what they look at, in pixels.
    file : Path or None
        Where measurements are kept. A file that cannot be read is as good as none.
    """

    def __init__(
        self, runners: Runners, device: Device, model: Sequence[Any], picture: tuple[int, int], file: Path | None
    ) -> None:
        self._runners, self._device, self._picture, self._file = runners, device, picture, file
        self._about = [model, picture, runners.task, device.name, device.total]

    def choose(self, picture: Callable[[], Pictures]) -> None:
        """Set the sizes of batches that the user has not set.

        Parameters
        ----------
        picture : callable
            Returns a picture of the video (height x width x 3, uint8), for when something must be measured.
        """
        network = self._runners.network
        if self._runners.detector is not None and network.detector_batch_size is None:
            self._runners.detector.batch_size = self._fitting("detector_batch_size", picture)
        if network.batch_size is None:
            self._runners.pose.batch_size = self._fitting("batch_size", picture)

    def keep_to(self, batch_size: int, detector_batch_size: int) -> None:
        """Set the sizes of batches that the user has not set to those of an earlier attempt."""
        network = self._runners.network
        if self._runners.detector is not None and network.detector_batch_size is None:
            self._runners.detector.batch_size = detector_batch_size
        if network.batch_size is None:
            self._runners.pose.batch_size = batch_size

    def correct(self, name: str, count: int) -> None:
        """Note that the memory did not suffice for `count` pictures, or animals: see `Portions`."""
        need = self._kept().get(self._key(name))
        if need is not None:
            self._keep(name, need.corrected(self._device.available(), count))

    def _fitting(self, name: str, picture: Callable[[], Pictures]) -> int:
        need = self._kept().get(self._key(name))
        if need is None:
            need = Need.measured(self._device, self._look(name, picture()))
            self._device.tidy()
            self._keep(name, need)
        return need.fitting(self._device.available(), self._most(name))

    def _most(self, name: str) -> int:
        """Animals are cut out of pictures that are gone by then; only pictures wait in buffers."""
        if self._runners.task == "td" and name == "batch_size":
            return MOST
        width, height = self._picture
        return max(min(MOST, BYTES // (3 * width * height)), 1)

    def _look(self, name: str, picture: Pictures) -> Callable[[int], object]:
        """Return what has a network look at a number of pictures, or animals, all of them the same."""
        import torch

        runner, context = self._runners.detector, {}
        if name == "batch_size":
            runner, context = self._runners.pose, self._animal(picture)
        inputs, context = runner.preprocessor(rgb(picture), context)
        more = context.pop("model_kwargs", {})

        def look(count: int) -> object:
            with torch.inference_mode():
                repeated = {name: np.repeat(values[:1], count, 0) for name, values in more.items()}
                return runner.predict(inputs[:1].repeat(count, 1, 1, 1), **repeated)

        return look

    def _animal(self, picture: Pictures) -> dict[str, Any]:
        """Return what the network is told of one animal, which is as large as the picture."""
        height, width = picture.shape[:2]
        if self._runners.task == "td":
            return {"bboxes": np.array([[0, 0, width, height]], np.float32), "bbox_scores": np.ones(1, np.float32)}
        if self._runners.task == "ctd":
            along = np.linspace(0.1, 0.9, len(self._runners.names("bodyparts")), dtype=np.float32)
            return {"cond_kpts": np.stack([along * width, along * height, np.ones_like(along)], axis=1)[None]}
        return {}

    # -- the file ----------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return hashlib.sha256(json.dumps([*self._about, name]).encode()).hexdigest()

    def _kept(self) -> dict[str, Need]:
        if self._file is None:
            return {}
        try:
            needs = json.loads(self._file.read_text())["needs"]
            return {key: Need(int(need["fixed"]), max(int(need["each"]), 1)) for key, need in needs.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _keep(self, name: str, need: Need) -> None:
        """Write the file anew. It only saves time, so an analysis does not fail over it."""
        if self._file is None:
            return
        needs, key = self._kept(), self._key(name)
        needs.pop(key, None)
        needs[key] = need
        last = {each: asdict(needs[each]) for each in list(needs)[-KEPT:]}
        new = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                new.write_text(json.dumps({"needs": last}))
                new.replace(self._file)
            finally:
                new.unlink(missing_ok=True)
