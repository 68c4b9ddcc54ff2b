"""Our loop gives the numbers of DeepLabCut's own, bit for bit, for every kind of network; nothing outlives a run."""

from pathlib import Path

import numpy as np
import pytest

from dlc_jupyter.pose import compat, inference, runners
from dlc_jupyter.pose.frames import Frames
from dlc_jupyter.pose.media import inspect
from dlc_jupyter.pose.network import Network
from tests.pose.networks import KINDS, network, of

pytestmark = pytest.mark.deeplabcut


def by_deeplabcut(chosen: Network, video: Path) -> list[inference.Prediction]:
    from deeplabcut.pose_estimation_pytorch.apis.videos import video_inference

    built = runners.build(chosen)
    return video_inference(video, built.pose, built.detector, cropping=built.cropping)


def by_our_loop(chosen: Network, video: Path) -> tuple[list[inference.Prediction], inference.Loop]:
    built, media, found = runners.build(chosen), inspect(video), []
    loop = inference.make_loop(built)
    with Frames(video, media, size=loop.size, crop=built.part(media)) as frames:
        for ready in inference.predict(loop, frames):
            found += ready
    return found, loop


def same(ours, theirs) -> bool:
    assert len(ours) == len(theirs)
    for mine, its in zip(ours, theirs, strict=True):
        assert list(mine) == list(its)
        for name, values in its.items():
            assert mine[name].dtype == values.dtype, name
            assert np.array_equal(mine[name], values, equal_nan=True), name
    return True


@pytest.mark.parametrize("cropping", [None, [11, 120, 20, 87]])
@pytest.mark.parametrize("kind", [*KINDS, "demo"])
def test_the_numbers_are_those_of_deeplabcut(model, clip, kind, cropping):
    chosen = network(model(kind), cropping=cropping)
    ours, loop = by_our_loop(chosen, clip(of(kind)))
    theirs = by_deeplabcut(chosen, clip(of(kind)))
    assert same(ours, theirs)
    assert len(ours) in (11, 27)  # so that the last batch is not full
    assert isinstance(loop, inference.BottomUp) == (kind not in ("top-down", "conditional"))
    assert loop.notes == (
        ["The pictures were prepared by DeepLabCut, one by one: its transform has Resize."] if kind == "resized" else []
    )


@pytest.mark.parametrize("name", ["full.mp4", "odd.mp4", "grey.mp4", "motion.avi", "clip.mkv"])
def test_they_are_for_every_form_of_video(model, clip, name):
    chosen = network(model("demo"), batch_size=5)
    assert same(by_our_loop(chosen, clip(name))[0], by_deeplabcut(chosen, clip(name)))


@pytest.mark.parametrize("sizes", [{"batch_size": 1}, {"batch_size": 3, "detector_batch_size": 4}, {"batch_size": 64}])
@pytest.mark.parametrize("kind", ["demo", "several", "top-down", "conditional"])
def test_they_are_for_every_size_of_batch(model, clip, kind, sizes):
    chosen = network(model(kind), **sizes)
    assert same(by_our_loop(chosen, clip(of(kind)))[0], by_deeplabcut(chosen, clip(of(kind))))


def test_pictures_with_and_without_animals_are_among_these(model, clip):
    found, _ = by_our_loop(network(model("top-down")), clip("clip.mp4"))
    counts = {int((each["bbox_scores"] >= 0).sum()) for each in found}
    assert counts == {0, 1, 2}


def test_the_network_sees_the_same_bits_in_the_same_batches(model, clip):
    seen: list[list] = []
    for run in (by_our_loop, by_deeplabcut):
        chosen = network(model("demo"))
        original, inputs = runners.build, []

        def build(chosen, original=original, inputs=inputs):
            built = original(chosen)
            built.pose.model.register_forward_pre_hook(lambda _model, given: inputs.append(given[0].clone()))
            return built

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runners, "build", build)
            run(chosen, clip("clip.mp4"))
        seen.append(inputs)
    ours, theirs = seen
    assert [each.shape for each in ours] == [each.shape for each in theirs]
    assert all((a == b).all() and a.stride() == b.stride() and a.dtype == b.dtype for a, b in zip(*seen, strict=True))


def test_nothing_of_a_run_that_broke_off_gets_into_the_next_one(model, clip, monkeypatch):
    chosen, video = network(model("top-down")), clip("clip.mp4")
    wanted = by_our_loop(chosen, video)[0]
    built = runners.build(chosen)
    loop = inference.make_loop(built)
    predicted, calls = built.pose.predict, []

    def break_off(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("stopped")
        return predicted(*arguments, **keywords)

    monkeypatch.setattr(built.pose, "predict", break_off)
    with Frames(video, inspect(video), size=loop.size) as frames, pytest.raises(RuntimeError):
        for _ in inference.predict(loop, frames):
            pass
    found = []
    loop = inference.make_loop(built)
    with Frames(video, inspect(video), size=loop.size) as frames:
        for ready in inference.predict(loop, frames):
            found += ready
    assert same(found, wanted)


def test_a_table_that_differs_in_a_bit_is_not_used(model, clip, monkeypatch):
    from dlc_jupyter.pose import pixels

    original, chosen = pixels._values, network(model("demo"))
    monkeypatch.setattr(pixels, "_values", lambda preprocessor: np.nextafter(original(preprocessor), np.float32(9)))
    ours, loop = by_our_loop(chosen, clip("clip.mp4"))
    assert loop.notes == [
        "The pictures were prepared by DeepLabCut, one by one: "
        "DeepLabCut's transform of a picture is not what a table makes of it."
    ]
    assert same(ours, by_deeplabcut(chosen, clip("clip.mp4")))


def test_a_detectors_table_that_differs_in_a_bit_is_not_used_either(model, clip, monkeypatch):
    from dlc_jupyter.pose import pixels

    original, chosen = pixels._values, network(model("top-down"))
    monkeypatch.setattr(pixels, "_values", lambda preprocessor: np.nextafter(original(preprocessor), np.float32(9)))
    ours, loop = by_our_loop(chosen, clip("clip.mp4"))
    assert [note.split(":")[0] for note in loop.notes] == [
        "The detector's pictures were prepared by DeepLabCut, one by one"
    ]
    assert same(ours, by_deeplabcut(chosen, clip("clip.mp4")))


def test_where_the_memory_does_not_suffice_batches_are_halved(model, clip, monkeypatch):
    import torch

    wanted, sizes = by_our_loop(network(model("demo")), clip("clip.mp4"))[0], []

    def run_network(runner, inputs, original=inference.run_network):
        sizes.append(len(inputs))
        if len(inputs) > 3:
            raise torch.OutOfMemoryError("no memory")
        return original(runner, inputs)

    monkeypatch.setattr(inference, "run_network", run_network)
    found, loop = by_our_loop(network(model("demo"), batch_size=8), clip("clip.mp4"))
    assert same(found, wanted)
    assert sizes == [8, 4, *[2] * 4, *[2] * 4, *[2] * 4, 2, 1]
    assert loop.notes == ["The GPU's memory did not suffice for batch_size 8; it was 2."]
    monkeypatch.setattr(inference, "run_network", lambda runner, inputs: run_network(runner, [0] * 4))
    with pytest.raises(torch.OutOfMemoryError):
        by_our_loop(network(model("demo"), batch_size=8), clip("clip.mp4"))


@pytest.mark.parametrize("kind", ["top-down", "conditional", "resized"])
def test_they_are_where_deeplabcut_prepares_the_pictures_too(model, clip, monkeypatch, kind):
    """Each animal gets its pose once: what was tried in vain leaves nothing behind."""
    import torch

    chosen, video = network(model(kind), batch_size=5, detector_batch_size=7), clip(of(kind))
    wanted, original, sizes = by_our_loop(chosen, video)[0], runners.build, {"pose": [], "detector": []}

    def bearing(runner, name, most):
        predict = runner.predict

        def limited(inputs, **more):
            sizes[name].append(len(inputs))
            if len(inputs) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return predict(inputs, **more)

        monkeypatch.setattr(runner, "predict", limited)

    def build(chosen):
        built = original(chosen)
        bearing(built.pose, "pose", 2)
        if built.detector is not None:
            bearing(built.detector, "detector", 3)
        return built

    monkeypatch.setattr(runners, "build", build)
    found, loop = by_our_loop(chosen, video)
    assert same(found, wanted)
    assert sizes["pose"][:4] == [5, 2, 2, 1]
    said = [note for note in loop.notes if "memory" in note]
    assert said[0] == "The GPU's memory did not suffice for batch_size 5; it was 2."
    if kind == "top-down":
        assert sizes["detector"] == [7, 3, 3, 1, 3, 3, 1, 3, 3, 1, 3, 3]
        assert said[1:] == ["The GPU's memory did not suffice for detector_batch_size 7; it was 3."]


@pytest.mark.parametrize("kind", ["top-down", "conditional"])
def test_a_batch_that_does_not_wait_to_be_full_gives_the_same_numbers_on_a_cpu(model, clip, monkeypatch, kind):
    chosen, video = network(model(kind), batch_size=8, detector_batch_size=4), clip(of(kind))
    wanted, loop = by_our_loop(chosen, video)
    assert loop._animals.short == 0
    monkeypatch.setattr("dlc_jupyter.pose.batches.PATIENCE", 0)
    found, loop = by_our_loop(chosen, video)
    assert loop._animals.short > 0
    assert same(found, wanted)
    assert loop.notes == []
    monkeypatch.setattr(loop._runner, "device", "cuda:0")
    assert loop.notes == [inference.SHORT]


def test_deeplabcut_is_the_one_that_was_read(deeplabcut):
    assert compat.changed() == ()


def test_another_deeplabcut_is_noticed(deeplabcut, monkeypatch):
    from deeplabcut.pose_estimation_pytorch.apis import videos

    def video_inference(video, pose_runner):
        return []

    compat.changed.cache_clear()
    monkeypatch.setattr(videos, "video_inference", video_inference)
    try:
        assert compat.changed() == ("deeplabcut.pose_estimation_pytorch.apis.videos:video_inference",)
        monkeypatch.delattr(videos, "VideoIterator")
        compat.changed.cache_clear()
        assert len(compat.changed()) == 2
    finally:
        compat.changed.cache_clear()
