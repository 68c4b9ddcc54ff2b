"""Pictures to poses: DeepLabCut's own networks and post-processing, fed by our loop.

DeepLabCut's loop copies every picture five times in one Python thread, in 32-bit floats, and keeps the batches of a run
that broke off for the next one. Here a batch is a piece of memory that the decoder fills and the network reads, and
nothing outlives a run. The network sees the same batches as there: the numbers are the same, bit for bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from dlc_jupyter.pose.batches import Animals, Prediction, Seam
from dlc_jupyter.pose.frames import Batch, Frames, Pictures
from dlc_jupyter.pose.memory import Lacked, Portions
from dlc_jupyter.pose.pixels import Lookup, NotPointwise, rgb
from dlc_jupyter.pose.runners import Runners

#: Said of a GPU: there, and only there, the last digit of a number depends on what else is in the batch.
SHORT = (
    "Where animals were rare, batches had fewer of them than DeepLabCut's, so that poses were kept as they came: the "
    "last digits of a number may differ from DeepLabCut's."
)


class Loop(Protocol):
    """Takes batches of pictures in order and gives a prediction for each picture in that order, perhaps later."""

    #: How many pictures a batch must have (the last one may have fewer).
    size: int
    #: The networks' batches: each is looked at in smaller portions where the memory does not suffice.
    portions: Sequence[Portions]

    @property
    def notes(self) -> list[str]:
        """What the user should know of how it went."""
        ...

    def go_on(self, seam: Seam) -> None:
        """Begin where another attempt has stopped. The first `Seam.back` pictures get no prediction: they had one."""
        ...

    def seam(self) -> tuple[int, Seam]:
        """Return the last place where another attempt could go on: after how many predictions of this one, and how."""
        ...

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures; return the predictions that are ready. The pictures are not needed afterwards."""
        ...

    def finish(self) -> list[Prediction]:
        """Return the predictions that were still to come."""
        ...


def predict(loop: Loop, frames: Frames) -> Iterator[list[Prediction]]:
    """Yield the predictions for all pictures, in order, as they become ready."""
    import torch

    with torch.inference_mode():
        for batch in frames:
            ready = loop.feed(batch)
            frames.release(batch)
            if ready:
                yield ready
        if ready := loop.finish():
            yield ready


def make_loop(runners: Runners, lacked: Lacked | None = None) -> Loop:
    """Return the quickest loop that gives the numbers of DeepLabCut's own for this network.

    Parameters
    ----------
    lacked : callable, optional
        See `Portions`.
    """
    loops: dict[str, Callable[[Runners, Lacked | None], Loop]] = {"td": TopDown, "bu": BottomUp, "ctd": ByDeepLabCut}
    return loops[runners.task](runners, lacked)


class BottomUp:
    """A network that finds all body parts in a whole picture, fed with 8-bit pictures through a `Lookup`.

    Where the project's transform is more than a table, DeepLabCut prepares each picture.
    """

    def __init__(self, runners: Runners, lacked: Lacked | None = None) -> None:
        self._runners, self._runner = runners, runners.pose
        self.size = runners.batch_size
        self._portions = Portions("batch_size", self.size, lacked)
        self.portions: Sequence[Portions] = (self._portions,)
        self._lookup: Lookup | None = None
        self._instead: ByDeepLabCut | None = None
        self._prepared: list[str] = []
        self._given = 0

    @property
    def notes(self) -> list[str]:
        """Why DeepLabCut prepared the pictures, and for how many the memory sufficed."""
        return self._prepared + self._portions.notes

    def go_on(self, seam: Seam) -> None:
        """Do nothing: a batch has whole pictures, so an attempt begins with a new one."""

    def seam(self) -> tuple[int, Seam]:
        """Return the end of the last batch that was full."""
        return self._given - self._given % self.size, Seam()

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures: a batch of the network."""
        if self._lookup is None and self._instead is None:
            self._prepare(batch.pictures[0])
        if self._instead is not None:
            ready = self._instead.feed(batch)
        else:
            ready = self._portions.run(len(batch), lambda part: self._run(batch.pictures[part]))
        self._given += len(ready)
        return ready

    def finish(self) -> list[Prediction]:
        """Return what `ByDeepLabCut` has held back, if that was needed."""
        return self._instead.finish() if self._instead else []

    def _prepare(self, picture: Pictures) -> None:
        try:
            lookup = Lookup(self._runner.preprocessor, self._runner.device)
            lookup.check(picture)
            self._lookup = lookup
        except NotPointwise as error:
            self._instead = ByDeepLabCut(self._runners, portions=self._portions)
            self._prepared.append(f"The pictures were prepared by DeepLabCut, one by one: {error}.")

    def _run(self, pictures: Pictures) -> list[Prediction]:
        assert self._lookup is not None
        found = run_network(self._runner, self._lookup.inputs(pictures))
        return [self._runner.postprocessor([each], self._lookup.context())[0] for each in found]


def run_network(runner: Any, inputs: Any) -> list[dict[str, dict[str, Any]]]:
    """Do what DeepLabCut's ``PoseInferenceRunner.predict`` does, but fetch the numbers of a batch at once.

    It fetches those of each picture, and the device waits for each.
    """
    import torch

    if runner.inference_cfg.autocast.enabled:
        with torch.autocast(device_type=str(runner.device)):
            found = runner.model.get_predictions(runner.model(inputs))
    else:
        found = runner.model.get_predictions(runner.model(inputs))
    fetched = {
        head: {name: values.cpu().numpy() if torch.is_tensor(values) else values for name, values in outputs.items()}
        for head, outputs in found.items()
    }
    return [
        {head: {name: _of(values, number) for name, values in outputs.items()} for head, outputs in fetched.items()}
        for number in range(len(inputs))
    ]


def _of(values: Any, number: int) -> Any:
    one = values[number]
    return one if isinstance(one, np.ndarray) else one.cpu().numpy() if hasattr(one, "cpu") else np.asarray(one)


class ByDeepLabCut:
    """A network for which DeepLabCut prepares each picture, or each animal on it.

    For conditional top-down networks, and where the preparation of a picture is more than a table.
    """

    def __init__(self, runners: Runners, lacked: Lacked | None = None, *, portions: Portions | None = None) -> None:
        self.size = runners.batch_size
        self._runner = runners.pose
        self._conditional = runners.task == "ctd"
        portions = portions or Portions("batch_size", self.size, lacked)
        self.portions: Sequence[Portions] = (portions,)
        self._animals = Animals(self._runner, portions)

    @property
    def notes(self) -> list[str]:
        """For how many pictures, or animals, the memory sufficed, and where batches are not DeepLabCut's."""
        notes = [note for each in self.portions for note in each.notes]
        if self._animals.short and str(self._runner.device) != "cpu":
            notes.append(SHORT)
        return notes

    def go_on(self, seam: Seam) -> None:
        """Begin where another attempt has stopped."""
        self._animals.go_on(seam)

    def seam(self) -> tuple[int, Seam]:
        """Return the last place where another attempt could go on: a picture of which all animals were looked at."""
        return self._animals.seam()

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures."""
        ready: list[Prediction] = []
        for picture in map(rgb, batch.pictures):
            ready += self._animals.add(*(self._runner.add_conditions(picture) if self._conditional else (picture, {})))
            self._animals.pause()
        return ready

    def finish(self) -> list[Prediction]:
        """Run the last batch, which is not full."""
        return self._animals.finish()


class TopDown(ByDeepLabCut):
    """A detector that finds the animals, and a network that looks at each: the video is decoded once for both.

    DeepLabCut runs the detector over the whole video first. It sees the same batches here, and so does the network.
    """

    def __init__(self, runners: Runners, lacked: Lacked | None = None) -> None:
        super().__init__(runners, lacked)
        self._detector = runners.detector
        self.size = int(self._detector.batch_size)
        self._detected = Portions("detector_batch_size", self.size, lacked)
        self.portions = (*self.portions, self._detected)
        self._lookup: Lookup | None = None
        self._prepared: list[str] | None = None

    @property
    def notes(self) -> list[str]:
        """Why DeepLabCut prepared the pictures, and for how many of them, and animals, the memory sufficed."""
        return (self._prepared or []) + super().notes

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures: a batch of the detector."""
        if self._prepared is None:
            self._prepared = self._prepare(batch.pictures[0])
        ready: list[Prediction] = []
        boxes = self._detected.run(len(batch), lambda part: self._detect(batch.pictures[part]))
        for picture, found in zip(batch.pictures, boxes, strict=True):
            ready += self._animals.add(rgb(picture), found)
        self._animals.pause()
        return ready

    def _detect(self, pictures: Pictures) -> list[dict[str, Any]]:
        import torch

        detector = self._detector
        if self._lookup is not None:
            inputs = self._lookup.inputs(pictures)
            contexts = [self._lookup.context() for _ in pictures]
        else:
            prepared = [detector.preprocessor(rgb(picture), {}) for picture in pictures]
            inputs = torch.cat([each for each, _context in prepared])
            contexts = [context for _each, context in prepared]
        found = detector.predict(inputs)
        return [detector.postprocessor([each], context)[0] for each, context in zip(found, contexts, strict=True)]

    def _prepare(self, picture: Pictures) -> list[str]:
        """Make the table, if that will do; return what the user should know if not."""
        try:
            lookup = Lookup(self._detector.preprocessor, self._detector.device)
            lookup.check(picture)
        except NotPointwise as error:
            return [f"The detector's pictures were prepared by DeepLabCut, one by one: {error}."]
        self._lookup = lookup
        return []
