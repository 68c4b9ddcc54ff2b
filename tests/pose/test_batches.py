"""The batches of animals are those of DeepLabCut, and those of a run that was never interrupted."""

import itertools

import numpy as np
import pytest
import torch

from dlc_jupyter.pose.batches import PATIENCE, Animals, Seam
from dlc_jupyter.pose.memory import Portions


class Runner:
    """Stands in for DeepLabCut's: an animal is (picture, number), and what is found in it is just that."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def preprocessor(self, picture: int, context: dict):
        animals = torch.tensor([[picture, number] for number in range(context["animals"])]).reshape(-1, 2)
        return animals, {"picture": picture, "model_kwargs": {"again": animals.numpy().astype(np.float32)}}

    def predict(self, inputs, again):
        assert np.array_equal(inputs.numpy(), again)
        self.batches.append([tuple(each) for each in inputs.tolist()])
        return self.batches[-1]

    def postprocessor(self, found, context):
        assert [picture for picture, _ in found] == [context["picture"]] * len(found)
        assert [number for _, number in found] == list(range(len(found)))
        return {"picture": context["picture"], "animals": len(found)}, context


def start(size: int, seam: Seam | None = None) -> tuple[Runner, Animals]:
    runner = Runner()
    animals = Animals(runner, Portions("batch_size", size))
    animals.go_on(seam or Seam())
    return runner, animals


def feed(animals: Animals, counts, first: int, detected: int):
    """Yield the predictions and the seam after each batch of the detector, beginning with picture `first`."""
    for begin in range(first, len(counts), detected):
        ready = []
        for picture in range(begin, min(begin + detected, len(counts))):
            ready += animals.add(picture, {"animals": counts[picture]})
        animals.pause()
        yield ready, animals.seam()


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("detected", [1, 4])
@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_an_attempt_that_goes_on_at_any_seam_sees_the_batches_that_were_left(size, detected, most):
    counts = np.random.default_rng(size + 10 * detected + 100 * most).integers(0, most + 1, 61).tolist()
    runner, animals = start(size)
    made, seams = [], []
    for ready, (count, seam) in feed(animals, counts, 0, detected):
        made += ready
        assert 0 <= len(made) - count < detected  # all that is ready is kept, but for a part of a detector's batch
        seams.append((count, seam))
    made += animals.finish()
    assert [each["picture"] for each in made] == list(range(61))
    assert [each["animals"] for each in made] == counts
    assert all(len(batch) == size for batch in runner.batches[:-1])
    for count, seam in dict.fromkeys(seams):
        again, animals = start(size, seam)
        rest = []
        for ready, _ in feed(animals, counts, count - seam.back, detected):
            rest += ready
        rest += animals.finish()
        assert rest == made[count:]
        assert again.batches == (runner.batches[-len(again.batches) :] if again.batches else [])
        assert sum(map(len, again.batches)) >= sum(counts[count:])


def test_an_attempt_can_be_interrupted_again_and_again():
    counts = np.random.default_rng(0).integers(0, 4, 80).tolist()
    runner, animals = start(8)
    for _ in feed(animals, counts, 0, 4):
        pass
    animals.finish()
    made, seam, batches, attempts = [], Seam(), [], 0
    while len(made) < 80:
        attempts += 1
        again, animals = start(8, seam)
        fed = feed(animals, counts, len(made) - seam.back, 4)
        ready, (count, later) = [], (0, seam)
        for more, (count, later) in itertools.islice(fed, 5):  # noqa: B007
            ready += more
        if len(made) - seam.back + 5 * 4 >= 80:
            ready += animals.finish()
            count = len(ready)
        made, seam = made + ready[:count], later
        batches += again.batches
    assert attempts > 4
    assert [each["picture"] for each in made] == list(range(80))
    assert set(map(tuple, batches)) == set(map(tuple, runner.batches))


def test_behind_pictures_without_animals_another_attempt_can_go_on_at_once():
    runner, animals = start(8)
    assert [(len(ready), seam) for ready, seam in feed(animals, [0] * 8, 0, 4)] == [(4, (4, Seam())), (4, (8, Seam()))]
    assert runner.batches == []


def test_what_must_be_looked_at_again_is_what_shares_a_batch():
    _, animals = start(4)
    made = [seam for _, seam in feed(animals, [3, 3, 3, 3, 4], 0, 1)]
    # Batches are 0 0 0 1, 1 1 2 2, 2 3 3 3, 4 4 4 4.
    assert made == [(0, Seam()), (1, Seam(1, 0)), (2, Seam(1, 1)), (4, Seam()), (5, Seam())]


def test_while_animals_are_away_predictions_come_and_can_be_kept():
    runner, animals = start(64)
    told = 0
    for fed, (ready, (count, seam)) in enumerate(feed(animals, [1] + [0] * 5000, 0, 64), 1):
        told += len(ready)
        assert 64 * fed - told < PATIENCE * 64 + 64
        assert told - count < 64
        assert seam.back <= PATIENCE * 64 + 64
        assert len(animals._pictures) <= PATIENCE * 64
    assert told == 5001
    assert runner.batches == [[(0, 0)]]
    assert animals.short == 1


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("detected", [1, 4])
@pytest.mark.parametrize("rare", [0.02, 0.1, 0.3])
def test_an_attempt_that_goes_on_where_animals_are_rare_sees_the_batches_that_were_left(size, detected, rare):
    draw = np.random.default_rng(round(size + 10 * detected + 1000 * rare))
    counts = (draw.integers(1, 3, 300) * (draw.random(300) < rare)).tolist()
    runner, animals = start(size)
    made, seams = [], []
    for ready, after in feed(animals, counts, 0, detected):
        made += ready
        seams.append(after)
    made += animals.finish()
    assert [each["animals"] for each in made] == counts
    assert sum(len(batch) < size for batch in runner.batches[:-1]) <= animals.short
    if size > 1 and rare < 0.2:
        assert animals.short
    for count, seam in dict.fromkeys(seams):
        again, animals = start(size, seam)
        rest = []
        for ready, _ in feed(animals, counts, count - seam.back, detected):
            rest += ready
        assert rest + animals.finish() == made[count:]
        assert again.batches == (runner.batches[-len(again.batches) :] if again.batches else [])
