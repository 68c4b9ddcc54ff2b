"""Animals of consecutive pictures in batches of one size, as DeepLabCut makes them, however many a picture shows.

A batch has animals of several pictures, and those of a picture may be in two batches. So an attempt that goes on where
another stopped must know where in a batch that was: on a GPU the last digit of a number depends on what else is in the
batch. `Seam` says it.

Where animals are rare, a batch that is not full ends all the same when it has waited for too long: else nothing would
be known, told or kept of thousands of pictures without any, and a kill would lose them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dlc_jupyter.pose.memory import Portions

#: What DeepLabCut says of one picture: ``bodyparts`` (individuals x body parts x 3) and, for some networks,
#: ``unique_bodyparts``, ``identity_scores``, ``bboxes``, ``bbox_scores``.
Prediction = dict[str, np.ndarray[Any, Any]]

#: For how many pictures a batch waits, for each of its animals. DeepLabCut lets it wait until the end of the video.
PATIENCE = 4


@dataclass(frozen=True)
class Seam:
    """Between two pictures: where another attempt can go on with the batches of one that was never interrupted.

    Attributes
    ----------
    back : int
        How many of the pictures before it must be looked at again, for animals on them are in the batch of those that
        follow.
    skip : int
        How many of the animals on those are not: they end an earlier batch.
    """

    back: int = 0
    skip: int = 0


class _Place(NamedTuple):
    """Before a picture: how many pictures, and how many animals, came until there."""

    pictures: int
    animals: int


class _Animal(NamedTuple):
    """One that waits: what the network looks at, what else it must know, and on which picture it is."""

    inputs: Any
    more: dict[str, Any]
    picture: int


class _Picture(NamedTuple):
    """A picture whose animals have not all been looked at: what the postprocessor must know, and how many there are."""

    context: dict[str, Any] | None
    animals: int


class Animals:
    """Those that wait for a network to look at them, and what it has found in others.

    Does what DeepLabCut's runner does, but nothing outlives a run: the runner keeps the batches of one that broke off.

    Parameters
    ----------
    runner : deeplabcut's PoseInferenceRunner
        Prepares, looks and makes sense of what was found.
    portions : Portions
        How many animals are in a batch.

    Attributes
    ----------
    short : int
        How many batches before the last one were not full.
    """

    def __init__(self, runner: Any, portions: Portions) -> None:
        self._runner, self._portions = runner, portions
        self.short = 0
        self._waiting: deque[_Animal] = deque()
        self._found: deque[Any] = deque()
        self._pictures: deque[_Picture] = deque()
        self._added = _Place(0, 0)
        self._places = deque([self._added])
        #: Before which animals a batch begins; the last of these is yet to be looked at.
        self._begins = deque([0])
        self._done = 0
        self._seam = Seam()

    def go_on(self, seam: Seam) -> None:
        """Begin at a seam: the first `Seam.back` pictures are those before it, and nothing is said of them."""
        self._seam, self._added = seam, _Place(0, -seam.skip)
        self._places = deque([self._added])

    def add(self, picture: Any, context: dict[str, Any]) -> list[Prediction]:
        """Take the next picture, with what is known of its animals; return the predictions that are ready."""
        inputs, context = self._runner.preprocessor(picture, context)
        more = context.pop("model_kwargs", {})
        # Animals before 0 end a batch of which the rest has been looked at in an earlier attempt.
        known = min(max(-self._added.animals, 0), len(inputs))
        for number in range(known, len(inputs)):
            one = {name: values[number] for name, values in more.items()}
            self._waiting.append(_Animal(inputs[number], one, self._added.pictures))
        again = self._added.pictures < self._seam.back
        self._pictures.append(_Picture(None if again else context, len(inputs) - known))
        self._added = _Place(self._added.pictures + 1, self._added.animals + len(inputs))
        while len(self._waiting) >= self._portions.size:
            self._look()
        if self._waiting and self._added.pictures - self._waiting[0].picture >= PATIENCE * self._portions.size:
            self._look()
            self.short += 1
        return self._ready()

    def pause(self) -> None:
        """Note that another attempt could begin behind the pictures so far."""
        self._places.append(self._added)

    def finish(self) -> list[Prediction]:
        """Have the network look at the last batch, which is not full; return the predictions still to come."""
        if self._waiting:
            self._look()
        return self._ready()

    def seam(self) -> tuple[int, Seam]:
        """Return the last place behind which another attempt can go on: after how many predictions, and how."""
        places, begins = self._places, self._begins
        here = max(each for each in places if each.pictures <= self._done)
        while len(begins) > 1 and begins[1] <= here.animals:
            begins.popleft()
        began = min(begins[0], here.animals)
        again = max((each for each in places if each <= here and each.animals <= began), default=here)
        while places and places[0] < again:
            places.popleft()
        count = here.pictures - self._seam.back
        return max(count, 0), Seam(here.pictures - again.pictures, began - again.animals)

    def _look(self) -> None:
        import torch

        count = min(len(self._waiting), self._portions.size)
        batch = [self._waiting.popleft() for _ in range(count)]
        inputs = torch.stack([each.inputs for each in batch])
        more = {name: _stacked([each.more[name] for each in batch]) for name in batch[0].more}

        def look(part: slice) -> list[Any]:
            found: list[Any] = self._runner.predict(inputs[part], **{name: each[part] for name, each in more.items()})
            return found

        self._found.extend(self._portions.run(count, look))
        self._begins.append(self._begins[-1] + count)

    def _ready(self) -> list[Prediction]:
        ready = []
        while self._pictures and len(self._found) >= self._pictures[0].animals:
            context, animals = self._pictures.popleft()
            found = [self._found.popleft() for _ in range(animals)]
            self._done += 1
            if context is not None:
                ready.append(self._runner.postprocessor(found, context)[0])
        return ready


def _stacked(values: list[Any]) -> Any:
    import torch

    return torch.stack(values) if torch.is_tensor(values[0]) else np.stack(values)
