"""The way of the pictures: from the file to a network that computes nothing, against DeepLabCut's own way.

The network only adds up a few pixels, so that what is measured is decoding, preparing and handing on. That both
networks see the same is checked first. Ours hands 8-bit pictures to the device and normalises them there; since the
device of a machine without a GPU is the processor that decodes, it is measured without that step and with it. Ours is
also held against decoding alone. With ``--device cuda`` both networks are on the GPU, and there is no step left out.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from benchmarks.measure import Claim, arguments, check_device, conclude, ratio, scratch_folder, take_turns
from dlc_jupyter import demo

SIZES = {"640x480": (640, 480), "1280x720": (1280, 720)}
PARTS = 12
OURS, NORMALISED, THEIRS, DECODING = "ours", "ours normalised", "DeepLabCut", "decoding alone"


def main() -> int:
    options = arguments(__doc__, frames=600, device="cpu")
    on_gpu = options.device.startswith("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deeplabcut.pose_estimation_pytorch  # noqa: F401
    import torch

    check_device(options.device)
    torch.set_num_threads(1)
    claims: list[Claim] = []
    with scratch_folder() as folder:
        for name, (width, height) in SIZES.items():
            video = make_video(folder / f"{name}.mp4", width, height, options.frames)
            compare(video, options.device)
            print(f"{name}: both networks see the same")
            programs = {NORMALISED: ours, THEIRS: theirs} | ({} if on_gpu else {OURS: ours_without_the_device})
            turns = {each: timed(partial(program, device=options.device), video) for each, program in programs.items()}
            figures = take_turns(
                options.rounds,
                turns | {DECODING: timed(decoding, video)},
                lambda seconds: f"{options.frames / seconds:.0f} frames/s",
            )
            mine = figures[NORMALISED if on_gpu else OURS]
            claims += [
                Claim(f"{name}, times as fast as DeepLabCut", ratio(figures[THEIRS], mine), least=4.0),
                Claim("of decoding alone", ratio(figures[DECODING], mine), least=0.85),
            ]
            if not on_gpu:
                onto = ratio(figures[THEIRS], figures[NORMALISED])
                claims.append(Claim("normalised on this processor", onto, least=1.0))
    return conclude("pipeline on a GPU" if on_gpu else "pipeline", *claims)


def make_video(path: Path, width: int, height: int, frames: int) -> Path:
    """Enlarge the demo's video, and add the noise that cameras have."""
    picture = f"scale={width}:{height},noise=alls=6:allf=t"
    command = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", demo.VIDEO, "-frames:v", str(frames)]
    command += ["-vf", picture, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", path]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def runner(seen: list[Any] | None = None, device: str = "cpu") -> Any:
    """DeepLabCut's runner, with its usual preparation of pictures, around a network that does next to nothing."""
    import deeplabcut.pose_estimation_pytorch as pep
    import torch
    from deeplabcut.pose_estimation_pytorch.data.postprocessor import build_bottom_up_postprocessor
    from deeplabcut.pose_estimation_pytorch.data.preprocessor import build_bottom_up_preprocessor
    from deeplabcut.pose_estimation_pytorch.runners.inference import PoseInferenceRunner

    class Null(torch.nn.Module):
        def forward(self, pictures: Any) -> Any:
            if seen is not None:
                seen.append(pictures.clone())
            return pictures.reshape(len(pictures), -1)[:, : PARTS * 3].float().mean(1)

        def get_predictions(self, means: Any) -> Any:
            return {"bodypart": {"poses": means.reshape(-1, 1, 1, 1).expand(-1, 1, PARTS, 3).contiguous()}}

    return PoseInferenceRunner(
        model=Null(),
        batch_size=8,
        device=device,
        preprocessor=build_bottom_up_preprocessor("RGB", pep.build_transforms({"normalize_images": True})),
        postprocessor=build_bottom_up_postprocessor(1, PARTS, 0),
    )


def ours(video: Path, seen: list[Any] | None = None, device: str = "cpu") -> int:
    from dlc_jupyter.pose.analyze import page_locked
    from dlc_jupyter.pose.frames import Frames
    from dlc_jupyter.pose.inference import BottomUp, predict
    from dlc_jupyter.pose.media import inspect

    loop = BottomUp(SimpleNamespace(pose=runner(seen, device), batch_size=8))  # type: ignore[arg-type]
    allocate = page_locked if device.startswith("cuda") else None
    with Frames(video, inspect(video), size=loop.size, allocate=allocate) as frames:
        return sum(len(ready) for ready in predict(loop, frames))


def ours_without_the_device(video: Path, device: str = "cpu") -> int:
    import torch

    from dlc_jupyter.pose.pixels import Lookup

    instead = {
        "check": lambda _self, _picture: None,
        "inputs": lambda _self, pictures: torch.from_numpy(pictures),
        "context": lambda _self: {"scales": (1.0, 1.0), "offsets": (0.0, 0.0)},
    }
    with patch.multiple(Lookup, **instead):
        return ours(video, device=device)


def theirs(video: Path, seen: list[Any] | None = None, device: str = "cpu") -> int:
    from deeplabcut.pose_estimation_pytorch.apis.videos import VideoIterator, video_inference

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return len(video_inference(VideoIterator(video), runner(seen, device)))


def decoding(video: Path) -> int:
    """Read it with OpenCV, as the loop of everybody's first script does."""
    import cv2

    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    return count


def compare(video: Path, device: str) -> None:
    """Refuse to go on unless both networks see the same pictures."""
    import torch

    one: list[Any] = []
    other: list[Any] = []
    short = video.with_name(f"short-{video.name}")
    command = ["ffmpeg", "-v", "error", "-y", "-i", video, "-frames:v", "20", "-c:v", "libx264", short]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert ours(short, one, device) == theirs(short, other, device) == 20
    assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(one, other, strict=True))


def timed(what: Callable[[Path], int], video: Path) -> Callable[[], float]:
    def turn() -> float:
        began = time.perf_counter()
        what(video)
        return time.perf_counter() - began

    return turn


if __name__ == "__main__":
    sys.exit(main())
