"""Pauses between tries."""

from dlc_jupyter.jobs.backoff import Backoff


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(0.5, 3.0)
    assert [backoff.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_it_was_well_they_begin_anew():
    backoff = Backoff(0.5, 30.0)
    backoff.pause()
    backoff.pause()
    backoff.reset()
    assert backoff.pause() == 0.5
