"""Where poses come from: video, model files, parameters, programs, device, and what did not go the usual way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc_jupyter._version import __version__
from dlc_jupyter.analyses.base import Job

if TYPE_CHECKING:  # the server imports this module, and has neither OpenCV nor torch
    from dlc_jupyter.pose.media import Media
    from dlc_jupyter.pose.network import Poses

#: What is said of each camera, also where it is the same for all.
BY_CAMERA = ("video", "poses_from")


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
        "every_frame_decoded": not (media.leading or poses.unreadable),
        "batch_sizes": poses.batch_sizes,
        "versions": versions(),
        "device": torch.cuda.get_device_name(0) if on_gpu else platform.processor() or platform.machine(),
        "fallbacks": poses.fallbacks,
        "notes": poses.notes,
    }


def of_cameras(origins: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return where the poses of several cameras come from: what is the same for all of them once, the rest by camera.

    Parameters
    ----------
    origins : mapping of str to mapping
        That of each camera's poses, with ``poses_from``. What is in `BY_CAMERA` stays by camera.
    """
    first, *others = origins.values()
    shared = {
        name: value
        for name, value in first.items()
        if name not in BY_CAMERA and all(name in each and each[name] == value for each in others)
    }
    own = {
        camera: {name: value for name, value in each.items() if name not in shared} for camera, each in origins.items()
    }
    return {**shared, "cameras": own}


def in_result(result: Mapping[str, Any], prefix: str = "") -> dict[str, Any] | None:
    """Return where some of the poses in a result come from; None where it does not say.

    Parameters
    ----------
    prefix : str
        How the fields of those poses begin: that of a camera is its name and an underscore.
    """
    told: dict[str, Any] | None = result.get(f"{prefix}provenance", result.get("provenance"))
    if not prefix or told is None or "cameras" not in told:
        return told
    of_camera = {**told, **told["cameras"].get(prefix.removesuffix("_"), {})}
    return {name: value for name, value in of_camera.items() if name not in ("cameras", "afterwards", "poses_from")}


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
