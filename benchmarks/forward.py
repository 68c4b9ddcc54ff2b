"""`video` with a ResNet-50 on 160 x 160 pixels, against decoding and network one after the other.

Where the network takes nearly all the time, nothing can be won; what is measured is that nothing is lost. The bound is
1 / (1 / decoding + 1 / network), each measured alone in the same round: with the same batches, and the pictures
prepared within the network's part. With ``--device cuda`` the network is on the GPU: then both can work at the same
time, so that the slower one is the bound, and DeepLabCut's own loop takes a turn too.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.measure import Claim, arguments, check_device, conclude, ratio, take_turns
from dlc_jupyter import demo

SIDE = 160
CROP = (240, 240 + SIDE, 160, 160 + SIDE)
WHOLE, DECODING, NETWORK, THEIRS = "whole", "decoding", "network", "DeepLabCut"


def main() -> int:
    options = arguments(__doc__, frames=160, device="cpu")
    device, on_gpu = options.device, options.device.startswith("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut.pose_estimation_pytorch  # noqa: F401
    import torch

    from dlc_jupyter.jobs.devices import processor_threads

    check_device(device)
    torch.set_num_threads(processor_threads())
    built: Any = SimpleNamespace(pose=resnet_50(device), batch_size=8)
    turns = {
        WHOLE: lambda: whole(built, options.frames),
        DECODING: lambda: decoding(options.frames),
        NETWORK: lambda: network(built, options.frames),
    }
    figures = take_turns(
        options.rounds,
        turns | ({THEIRS: lambda: theirs(built, options.frames)} if on_gpu else {}),
        lambda seconds: f"{options.frames / seconds:.1f} frames/s",
    )
    pairs = list(zip(figures[DECODING], figures[NETWORK], strict=True))
    if on_gpu:
        bound, theirs_by_ours = [max(pair) for pair in pairs], ratio(figures[THEIRS], figures[WHOLE])
        return conclude(
            "forward on a GPU",
            Claim("of the slower of decoding and network", ratio(bound, figures[WHOLE]), least=0.85),
            Claim("times as fast as DeepLabCut", theirs_by_ours, least=4.0),
        )
    bound = [sum(pair) for pair in pairs]
    return conclude("forward", Claim("of the serial bound", ratio(bound, figures[WHOLE]), least=0.95))


def resnet_50(device: str) -> Any:
    """The demo's network with DeepLabCut's usual backbone, untrained, in DeepLabCut's runner."""
    import deeplabcut.pose_estimation_pytorch as pep
    from deeplabcut.pose_estimation_pytorch.config import PoseConfig
    from deeplabcut.pose_estimation_pytorch.data.postprocessor import build_bottom_up_postprocessor
    from deeplabcut.pose_estimation_pytorch.data.preprocessor import build_bottom_up_preprocessor
    from deeplabcut.pose_estimation_pytorch.models import PoseModel
    from deeplabcut.pose_estimation_pytorch.runners.inference import PoseInferenceRunner

    [path] = demo.MODEL.parent.glob("dlc-models-pytorch/*/*/train/pytorch_config.yaml")
    config = PoseConfig.from_yaml(path)
    parts = len(config["metadata"]["bodyparts"])
    config.set_nested("model.backbone.model_name", "resnet50_gn")
    config.set_nested("model.backbone_output_channels", 2048)
    for kind, count in (("heatmap", parts), ("locref", 2 * parts)):
        config.set_nested(f"model.heads.bodypart.{kind}_config.channels", [2048, count])
    return PoseInferenceRunner(
        model=PoseModel.build(config["model"], pretrained_backbone=False),
        batch_size=8,
        device=device,
        preprocessor=build_bottom_up_preprocessor("RGB", pep.build_transforms({"normalize_images": True})),
        postprocessor=build_bottom_up_postprocessor(1, parts, 0),
    )


def whole(built: Any, frames: int) -> float:
    from dlc_jupyter.pose.analyze import page_locked
    from dlc_jupyter.pose.frames import Frames
    from dlc_jupyter.pose.inference import BottomUp, predict
    from dlc_jupyter.pose.media import inspect

    began = time.perf_counter()
    loop = BottomUp(built)
    allocate = None if built.pose.device == "cpu" else page_locked
    with Frames(
        Path(demo.VIDEO), inspect(demo.VIDEO), size=loop.size, stop=frames, crop=CROP, allocate=allocate
    ) as pictures:
        assert sum(len(ready) for ready in predict(loop, pictures)) == frames
    return time.perf_counter() - began


def decoding(frames: int) -> float:
    from dlc_jupyter.pose.frames import Frames
    from dlc_jupyter.pose.media import inspect

    began = time.perf_counter()
    with Frames(Path(demo.VIDEO), inspect(demo.VIDEO), size=8, stop=frames, crop=CROP) as pictures:
        for batch in pictures:
            pictures.release(batch)
    return time.perf_counter() - began


def theirs(built: Any, frames: int) -> float:
    """Have DeepLabCut's loop look at the same pictures, through its own reader."""
    from deeplabcut.pose_estimation_pytorch.apis.videos import VideoIterator, video_inference

    class Beginning(VideoIterator):  # type: ignore[misc]
        def __next__(self) -> Any:
            if self._index == frames:
                raise StopIteration
            return super().__next__()

    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert len(video_inference(Beginning(demo.VIDEO, cropping=list(CROP)), built.pose)) == frames
    return time.perf_counter() - began


def network(built: Any, frames: int) -> float:
    """Run the network on one batch of pictures again and again."""
    import numpy as np
    import torch

    from dlc_jupyter.pose.inference import run_network
    from dlc_jupyter.pose.pixels import Lookup

    pictures = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
    lookup = Lookup(built.pose.preprocessor, built.pose.device)
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(frames // len(pictures)):
            run_network(built.pose, lookup.inputs(pictures))
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
