"""Let a torchvision built for CUDA be imported beside a torch that is not.

torchvision's C++ extension cannot be loaded there (it needs libtorch_cuda), and the operators it would have declared
are then missing when ``torchvision/_meta_registrations.py`` describes them. To declare them first is enough:
DeepLabCut's pose models use nothing of the extension; its detectors (top-down models) do, and fail there with
"Couldn't load custom C++ ops". Installed by ``pair_torchvision.py`` with a ``.pth`` file, so this is imported at every
start of the interpreter and must cost nothing until something imports torchvision.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_declared: list[Any] = []  # torch forgets a library that is no longer referenced


def _declare_operators() -> None:
    import torch

    if torch.version.cuda is not None:  # the real extension will load, and declares them itself
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; notices when torchvision is about to be imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_operators()
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
