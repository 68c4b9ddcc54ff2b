"""Where poses come from: video, model files, parameters, programs, device, and what did not go the usual way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Job

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.network import Poses


def provenance_of(
    job: Job[Any], media: Media, poses: Poses, parameters: Mapping[str, Any], number: int = 0
) -> dict[str, Any]:
    """Return where the poses of one of a job's inputs come from, whatever has looked at it.

    Parameters
    ----------
    parameters : mapping
        Those that decided the poses.
    number : int
        Which of the inputs.
    """
    import platform

    import torch

    from dlc_jupyter.pose.digests import sha256

    video = job.inputs[number]
    on_gpu = job.device.startswith("cuda")
    return {
        "video": {"file_id": video.file_id, "filename": video.filename, **media.as_json()},
        "model_files": [{"name": path.name, "sha256": sha256(path)} for path in poses.model_files],
        "parameters": dict(parameters),
        "batch_sizes": poses.batch_sizes,
        "versions": versions(),
        "device": torch.cuda.get_device_name(0) if on_gpu else platform.processor() or platform.machine(),
        "fallbacks": poses.fallbacks,
        "notes": poses.notes,
    }


def versions() -> dict[str, str]:
    """Return the versions of the programs that decide numbers and pictures."""
    import platform

    import cv2
    import deeplabcut
    import numpy
    import torch

    return {
        "dlc_jupyter": __version__,
        "deeplabcut": deeplabcut.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }
