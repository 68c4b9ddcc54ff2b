"""The files with the weights of SuperAnimal models, named without DeepLabCut: the server knows them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlc_jupyter.errors import AnalysisFailed

#: The animal whose detector is torchvision's, trained on COCO.
HUMAN = "superanimal_humanbody"

#: Where each animal's weights lie at Hugging Face, by DeepLabCut 3.0.2.
_REPOSITORIES = {
    "superanimal_topviewmouse": "mwmathis/DeepLabCutModelZoo-SuperAnimal-TopViewMouse",
    "superanimal_quadruped": "mwmathis/DeepLabCutModelZoo-SuperAnimal-Quadruped",
    "superanimal_bird": "DeepLabCut/DeepLabCutModelZoo-SuperAnimal-Bird",
    HUMAN: "DeepLabCut/HumanBody",
}
#: How files are called there, where DeepLabCut renames them.
_RENAMED = {f"{HUMAN}_rtmpose_x.pt": "rtmpose-x_simcc-body7.pt"}
#: torchvision's names of its detectors, which end in the first digits of the file's SHA-256.
_TORCHVISION = {
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
}


@dataclass(frozen=True)
class Weights:
    """A file with weights: its name in the folder, and where it comes from, in words."""

    name: str
    source: str


def needed(animal: str, model: str, detector: str) -> tuple[Weights, Weights]:
    """Return the files that a SuperAnimal model needs: the pose model's, then the detector's.

    Parameters
    ----------
    animal, model, detector : str
        As ``video_inference_superanimal`` calls them.
    """
    finds = of_the_zoo(animal, detector)
    if animal == HUMAN:
        finds = of_torchvision(_TORCHVISION[detector])
    return of_the_zoo(animal, model), finds


def of_the_zoo(animal: str, part: str) -> Weights:
    """Return the file with a pose model or detector of DeepLabCut's zoo."""
    name = f"{animal}_{part}.pt"
    renamed = f", where it is called {_RENAMED[name]}" if name in _RENAMED else ""
    return Weights(name, f"{_REPOSITORIES[animal]} at Hugging Face{renamed}")


def of_torchvision(name: str) -> Weights:
    """Return a file of torchvision's."""
    return Weights(name, "torchvision at download.pytorch.org")


def weight_files(animal: str, model: str, detector: str, folder: Path | None) -> list[Path]:
    """Return those of the files that a SuperAnimal model needs that lie in a folder.

    Parameters
    ----------
    animal, model, detector : str
        As ``video_inference_superanimal`` calls them.
    folder : Path or None
        Where the weights lie.
    """
    return (
        []
        if folder is None
        else [folder / each.name for each in needed(animal, model, detector) if _is_there(each, folder)]
    )


def check_there(files: Sequence[Weights], folder: Path | None) -> list[Path]:
    """Return where files with weights are, or refuse to go without (kind ``WeightsMissing``), naming all that lack."""
    lacking = [each for each in files if not _is_there(each, folder)]
    if lacking or folder is None:
        raise missing(lacking, folder)
    return [folder / each.name for each in files]


def _is_there(file: Weights, folder: Path | None) -> bool:
    return folder is not None and (folder / file.name).is_file()


def missing(files: Sequence[Weights], folder: Path | None) -> AnalysisFailed:
    """Return the error that files with weights are not there."""
    names = "; ".join(f"{each.name} (from {each.source})" for each in files)
    where = "the folder that the server's setting superanimal_dir names"
    if folder is None:
        how = "Whoever runs the server sets superanimal_dir to a folder, and puts the files there under these names."
    elif not folder.is_dir():
        how = f"There is no such folder: whoever runs the server makes {where}, and puts the files there."
    else:
        how = f"Whoever runs the server puts them into {where}, under these names."
    return AnalysisFailed(
        f"The weights of this model are not on the server, and nothing is downloaded. Missing: {names}.",
        hint=how,
        kind="WeightsMissing",
    )
