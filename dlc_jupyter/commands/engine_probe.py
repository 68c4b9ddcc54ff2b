"""What the engine's Python has: printed as one line of JSON. Run as a file, by that Python, with nothing but itself.

    python engine_probe.py

It imports DeepLabCut, which takes about ten seconds. It runs under Python 3.8 too, so that one that is too old can be
named as that.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

# The folder of this file is no place to import from.
sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120

PACKAGES = ("deeplabcut", "torch", "torchvision", "av", "pydantic", "pyyaml")
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
MODULES = ("torch", "torchvision", "cv2", "av", "pydantic", "deeplabcut")


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def import_error(name: str) -> str | None:
    """Return why a module cannot be imported, in one line, or None."""
    try:
        import_module(name)
    except BaseException as error:  # anything may go wrong there, even an exit
        return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
    return None


def torch_facts() -> dict[str, Any]:
    """Return what torch can compute on, and whether torchvision's compiled operators load."""
    torch = import_module("torch")
    facts: dict[str, Any] = {"cuda_build": torch.version.cuda, "gpus": [], "torchvision_operators": None}
    # What this project's own installation leaves where torch has no CUDA and torchvision's wheel was built for it.
    facts["torchvision_paired"] = "torchvision_cpu_shim" in sys.modules
    if torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    with contextlib.suppress(Exception):
        facts["torchvision_operators"] = bool(import_module("torchvision.extension")._has_ops())
    return facts


def main() -> None:
    """Gather everything."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
        "opencv": {name: installed(name) for name in OPENCV if installed(name)},
        "torchvision_needs": [need for need in requires("torchvision") or [] if need.startswith("torch")]
        if installed("torchvision")
        else [],
        "errors": {},
        "torch": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):  # DeepLabCut greets
        for name in MODULES:
            error = import_error(name)
            if error:
                found["errors"][name] = error
        if "torch" not in found["errors"]:
            found["torch"] = torch_facts()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
