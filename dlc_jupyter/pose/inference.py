"""Pictures to poses: DeepLabCut's own networks and post-processing, fed by our loop.

DeepLabCut's loop copies every picture five times in one Python thread, in 32-bit floats, and keeps the batches of a run
that broke off for the next one. Here a batch is a piece of memory that the decoder fills and the network reads, and
nothing outlives a run. The network sees the same batches as there: the numbers are the same, bit for bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from dlc_jupyter.pose.frames import Batch, Frames, Pictures
from dlc_jupyter.pose.pixels import NotPointwise, Table, rgb
from dlc_jupyter.pose.runners import Runners

#: What DeepLabCut says of one picture: ``bodyparts`` (individuals x body parts x 3) and, for some networks,
#: ``unique_bodyparts``, ``identity_scores``, ``bboxes``, ``bbox_scores``.
Prediction = dict[str, np.ndarray[Any, Any]]


class Loop(Protocol):
    """Takes batches of pictures in order and gives a prediction for each picture in that order, perhaps later."""

    #: How many pictures a batch must have (the last one may have fewer).
    size: int
    #: What the user should know of how it went.
    notes: list[str]

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


def make_loop(runners: Runners) -> Loop:
    """Return the quickest loop that gives the numbers of DeepLabCut's own for this network."""
    if runners.task == "td":
        return TopDown(runners)
    return BottomUp(runners) if runners.task == "bu" else ByDeepLabCut(runners)


class BottomUp:
    """A network that finds all body parts in a whole picture, fed with 8-bit pictures through a `Table`.

    Where the project's transform is more than a table, DeepLabCut prepares each picture.
    """

    def __init__(self, runners: Runners) -> None:
        self.notes: list[str] = []
        self._runners, self._runner = runners, runners.pose
        self.size = self._most = runners.batch_size
        self._table: Table | None = None
        self._instead: ByDeepLabCut | None = None

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures: a batch of the network."""
        if self._table is None and self._instead is None:
            self._prepare(batch.pictures[0])
        if self._instead is not None:
            return self._instead.feed(batch)
        ready: list[Prediction] = []
        while len(ready) < len(batch):
            ready += self._run(batch.pictures[len(ready) : len(ready) + self._most])
        return ready

    def finish(self) -> list[Prediction]:
        """Return what `ByDeepLabCut` has held back, if that was needed."""
        return self._instead.finish() if self._instead else []

    def _prepare(self, picture: Pictures) -> None:
        try:
            table = Table(self._runner.preprocessor, self._runner.device)
            table.check(picture)
            self._table = table
        except NotPointwise as error:
            self._instead = ByDeepLabCut(self._runners)
            self.notes.append(f"The pictures were prepared by DeepLabCut, one by one: {error}.")

    def _run(self, pictures: Pictures) -> list[Prediction]:
        """Run the network; with half as many pictures from now on where the memory does not suffice."""
        import torch

        assert self._table is not None
        try:
            found = run_network(self._runner, self._table.inputs(pictures))
        except torch.OutOfMemoryError:
            if len(pictures) == 1:
                raise
            self._most = len(pictures) // 2
            torch.cuda.empty_cache()
            self.notes[:] = [f"The GPU's memory did not suffice for batch_size {self.size}; it was {self._most}."]
            return []
        return [self._runner.postprocessor([each], self._table.context())[0] for each in found]


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
    """A network that DeepLabCut itself feeds, picture by picture: with its preprocessor, batches and postprocessor.

    For conditional top-down networks, and where the preparation of a picture is more than a table.
    """

    def __init__(self, runners: Runners) -> None:
        self.notes: list[str] = []
        self.size = runners.batch_size
        self._runner = runners.pose
        self._conditional = runners.task == "ctd"
        forget(self._runner)

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures."""
        ready: list[Prediction] = []
        for picture in batch.pictures:
            ready += self._take(rgb(picture))
        return ready

    def _take(self, picture: Any) -> list[Prediction]:
        runner = self._runner
        runner._prepare_inputs(runner.add_conditions(picture) if self._conditional else picture)
        runner._process_full_batches()
        return list(runner._extract_results(None))

    def finish(self) -> list[Prediction]:
        """Run the last batch, which is not full."""
        runner = self._runner
        if runner._inputs_waiting_for_processing():
            runner._process_batch()
        return list(runner._extract_results(None))


class TopDown(ByDeepLabCut):
    """A detector that finds the animals, and a network that looks at each: the video is decoded once for both.

    DeepLabCut runs the detector over the whole video first. It sees the same batches here, and so does the network.
    """

    def __init__(self, runners: Runners) -> None:
        super().__init__(runners)
        self._detector = runners.detector
        self.size = int(self._detector.batch_size)
        self._table: Table | None = None
        self._prepared = False

    def feed(self, batch: Batch) -> list[Prediction]:
        """Take the next pictures: a batch of the detector."""
        ready: list[Prediction] = []
        for picture, animals in zip(batch.pictures, self._detect(batch), strict=True):
            ready += self._take((rgb(picture), animals))
        return ready

    def _detect(self, batch: Batch) -> list[dict[str, Any]]:
        import torch

        detector = self._detector
        if not self._prepared:
            self._prepare(batch.pictures[0])
        if self._table is not None:
            inputs = self._table.inputs(batch.pictures)
            contexts = [self._table.context() for _ in batch.pictures]
        else:
            prepared = [detector.preprocessor(rgb(picture), {}) for picture in batch.pictures]
            inputs = torch.cat([each for each, _context in prepared])
            contexts = [context for _each, context in prepared]
        found = detector.predict(inputs)
        return [detector.postprocessor([each], context)[0] for each, context in zip(found, contexts, strict=True)]

    def _prepare(self, picture: Pictures) -> None:
        self._prepared = True
        try:
            table = Table(self._detector.preprocessor, self._detector.device)
            table.check(picture)
            self._table = table
        except NotPointwise as error:
            self.notes.append(f"The detector's pictures were prepared by DeepLabCut, one by one: {error}.")


def forget(runner: Any) -> None:
    """Empty whatever a runner has kept of an earlier run."""
    runner._batch_list, runner._model_kwargs = [], {}
    runner._contexts, runner._image_batch_sizes, runner._predictions = [], [], []
