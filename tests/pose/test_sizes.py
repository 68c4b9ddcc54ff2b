"""On a GPU, the network sees as many pictures at once as its memory suffices for: measured, kept, and put right.

No GPU is needed: the networks are real, and the memory that they take is an invention.
"""

import json

import numpy as np
import pytest
import torch

from dlc_jupyter.pose import runners, sizes
from dlc_jupyter.pose.sizes import Need, Sizes
from tests.pose.networks import network

pytestmark = pytest.mark.deeplabcut

GIB = 1 << 30


class Invented:
    """A GPU on which a network takes 1 GiB, and `each` bytes for a picture."""

    name, total = "Invented 9000", 24 * GIB

    def __init__(self, free: float = 16, each: float = 0.5) -> None:
        self.free, self.each = int(free * GIB), int(each * GIB)
        self.seen: list[int] = []

    def available(self) -> int:
        return self.free

    def peak(self, look, count: int) -> int:
        self.seen.append(count)
        look(count)
        need = GIB + count * self.each
        if need > self.free:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return need

    def tidy(self) -> None:
        pass


def nothing(count: int) -> None:
    """A network that needs no time."""


def test_what_a_picture_takes_follows_from_one_and_a_few():
    device = Invented(each=0.25)
    assert Need.measured(device, nothing) == Need(GIB, GIB // 4)
    assert device.seen == [1, 1, 4]


def test_where_a_few_do_not_fit_fewer_are_tried():
    device = Invented(free=2.1)
    assert Need.measured(device, nothing) == Need(GIB, GIB // 2)
    assert device.seen == [1, 1, 4, 2]
    alone = Invented(free=1.6)
    assert Need.measured(alone, nothing).fitting(alone.available(), 64) == 1
    with pytest.raises(torch.OutOfMemoryError):
        Need.measured(Invented(free=1), nothing)


@pytest.mark.parametrize(("free", "most", "fits"), [(16, 64, 16), (16, 13, 8), (80, 64, 64), (1.2, 64, 1), (0, 64, 1)])
def test_a_part_of_the_free_memory_is_used_and_a_power_of_two(free, most, fits):
    assert Need(GIB, GIB // 2).fitting(int(free * GIB), most) == fits


def test_a_need_that_was_too_small_is_put_right_so_that_half_as_many_are_taken():
    need, free = Need(GIB, GIB // 16), 16 * GIB
    assert need.fitting(free, 128) == 128
    for count in (128, 64, 32, 16):
        need = need.corrected(free, count)
        assert need.fitting(free, 128) == count // 2


def test_a_shortage_that_others_have_made_does_not_last():
    need = Need(GIB, GIB // 4)
    assert need.corrected(2 * GIB, 32) == need


@pytest.fixture
def chosen(model, tmp_path):
    """Have sizes chosen for a kind of network; return them, and the object that has chosen."""

    def choose(kind: str, device, picture=(240, 320), file="measured.json", **options):
        built = runners.build(network(model(kind), **options))
        made = Sizes(built, device, ["snapshot.pt", kind], picture[::-1], file and tmp_path / "new" / file)
        made.choose(lambda: np.full((*picture, 3), 90, np.uint8))
        return built, made

    return choose


def test_a_batch_size_that_nobody_has_set_is_measured_with_the_network_itself(chosen):
    device, seen = Invented(), []
    built, _ = chosen("demo", device)
    assert (built.batch_size, device.seen) == (16, [1, 1, 4])
    built.pose.model.register_forward_pre_hook(lambda _model, given: seen.append(tuple(given[0].shape)))
    Sizes(built, device, [], (320, 240), None).choose(lambda: np.zeros((240, 320, 3), np.uint8))
    assert seen == [(1, 3, 240, 320), (1, 3, 240, 320), (4, 3, 240, 320)]


def test_one_that_is_set_is_obeyed_and_nothing_is_measured(chosen, tmp_path):
    device = Invented()
    built, _ = chosen("demo", device, batch_size=100)
    assert (built.batch_size, device.seen) == (100, [])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["several", "identity", "resized", "conditional"])
def test_it_is_for_every_kind_of_network(chosen, kind):
    assert chosen(kind, Invented(each=1))[0].batch_size == 8


def test_that_of_a_detector_is_chosen_too_and_each_may_be_set(chosen):
    built, _ = chosen("top-down", Invented())
    assert (built.batch_size, built.detector.batch_size) == (16, 16)
    built, _ = chosen("top-down", Invented(), batch_size=5)
    assert (built.batch_size, built.detector.batch_size) == (5, 16)
    built, _ = chosen("top-down", Invented(), detector_batch_size=3)
    assert (built.batch_size, built.detector.batch_size) == (16, 3)


def test_no_more_pictures_wait_than_the_computers_memory_bears(chosen, monkeypatch):
    monkeypatch.setattr(sizes, "BYTES", 5 * 240 * 320 * 3)
    assert chosen("demo", Invented())[0].batch_size == 4
    built, _ = chosen("top-down", Invented())
    assert (built.batch_size, built.detector.batch_size) == (16, 4)
    monkeypatch.setattr(sizes, "BYTES", 1)
    assert chosen("demo", Invented())[0].batch_size == 1


def test_a_measurement_is_kept_for_other_analyses_whatever_is_free_then(chosen):
    chosen("demo", Invented())
    for free, size in ((16, 16), (8, 8), (80, 64)):
        device = Invented(free=free)
        assert (chosen("demo", device)[0].batch_size, device.seen) == (size, [])


def test_it_is_not_for_another_network_picture_or_gpu(chosen):
    chosen("demo", Invented())
    renamed, shrunk = Invented(), Invented()
    renamed.name, shrunk.total = "Other", 8 * GIB
    for kind, device, width in [
        ("single", Invented(), 320),
        ("demo", Invented(), 160),
        ("demo", renamed, 320),
        ("demo", shrunk, 320),
    ]:
        chosen(kind, device, (240, width))
        assert device.seen == [1, 1, 4]


def test_where_the_memory_did_not_suffice_the_next_analysis_begins_with_half(chosen):
    device = Invented()
    _, made = chosen("demo", device)
    made.correct("batch_size", 16)
    again = Invented()
    assert (chosen("demo", again)[0].batch_size, again.seen) == (8, [])


@pytest.mark.parametrize("content", ["", "[", "[]", '{"needs": 3}', '{"needs": {"a": {"fixed": "x"}}}', "\x00"])
def test_a_file_that_is_broken_is_ignored_and_written_anew(chosen, tmp_path, content):
    file = tmp_path / "new" / "measured.json"
    file.parent.mkdir()
    file.write_text(content)
    assert chosen("demo", Invented())[0].batch_size == 16
    assert len(json.loads(file.read_text())["needs"]) == 1
    assert [path.name for path in file.parent.iterdir()] == ["measured.json"]


def test_a_file_that_cannot_be_written_stops_nobody(chosen, tmp_path):
    (tmp_path / "new").write_text("in the way")
    assert chosen("demo", Invented())[0].batch_size == 16
    assert chosen("demo", Invented(), file=None)[0].batch_size == 16


def test_the_file_does_not_grow_for_ever(chosen, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "KEPT", 2)
    for width in (64, 96, 128):
        chosen("demo", Invented(), (64, width))
    assert len(json.loads((tmp_path / "new" / "measured.json").read_text())["needs"]) == 2
    last = Invented()
    chosen("demo", last, (64, 128))
    assert last.seen == []
