"""The files with the weights of SuperAnimal models, named without DeepLabCut: the server knows them too."""

from __future__ import annotations

import re
from pathlib import Path

from dlc_jupyter.pose.projects import listed

#: The animal whose detector is torchvision's, trained on COCO.
HUMAN = "superanimal_humanbody"


def zoo_file(animal: str, part: str) -> str:
    """Return the name of the file with the weights of a pose model or detector of the zoo."""
    return f"{animal}_{part}.pt"


def weight_files(animal: str, model: str, detector: str, folder: Path | None) -> list[Path]:
    """Return those of the files that a SuperAnimal model needs that lie in a folder.

    Parameters
    ----------
    animal, model, detector : str
        As ``video_inference_superanimal`` calls them.
    folder : Path or None
        Where the weights lie.
    """
    if folder is None:
        return []
    patterns = [re.escape(zoo_file(animal, model)), re.escape(zoo_file(animal, detector))]
    if animal == HUMAN:
        # torchvision's names end in the first digits of the file's SHA-256, which only torchvision knows.
        patterns[1] = re.escape(detector) + r"(_coco)?-[0-9a-f]+\.pth"
    return [path for pattern in patterns for path in listed(folder) if re.fullmatch(pattern, path.name)]
