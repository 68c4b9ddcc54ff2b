"""DeepLabCut's SuperAnimal models, with weights that lie in a folder of the server: nothing is ever downloaded.

DeepLabCut would fetch what is missing into its own package. Two more downloads hide behind it: torchvision's detectors
fetch the weights of their backbone before DeepLabCut's own are put over them, and people are found by a detector that
is torchvision's altogether. All three are answered from the folder here, or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from dlc_jupyter.errors import AnalysisFailed
from dlc_jupyter.pose.direct import watched
from dlc_jupyter.pose.encoding import check_playable, make_playable
from dlc_jupyter.pose.media import Media
from dlc_jupyter.pose.network import LOG, explained
from dlc_jupyter.pose.weights import HUMAN, check_there, missing, needed, of_the_zoo, of_torchvision

#: What DeepLabCut writes for x, y and likelihood of an animal that is not there.
_NOWHERE = -1.0

#: The networks within torchvision's detectors, by the name of the class that lists their weights.
_BACKBONES = {"ResNet50_Weights": "resnet50", "MobileNet_V3_Large_Weights": "mobilenet_v3_large"}


@dataclass(frozen=True)
class SuperAnimal:
    """A pose model of the zoo and the detector that finds animals for it.

    Attributes
    ----------
    name, model, detector : str
        As ``video_inference_superanimal`` calls them: ``superanimal_topviewmouse``, ``hrnet_w32``,
        ``fasterrcnn_resnet50_fpn_v2``.
    folder : Path or None
        Where the weights lie.
    """

    name: str
    model: str
    detector: str
    folder: Path | None

    def find(self) -> list[Path]:
        """Return where its files are: the pose model's, then the detector's.

        Raises
        ------
        AnalysisFailed
            Some are missing (kind ``WeightsMissing``); all of them are named.
        """
        return check_there(needed(self.name, self.model, self.detector), self.folder)


@dataclass(frozen=True)
class Found:
    """What a SuperAnimal model has found in a video, and the files with it.

    Attributes
    ----------
    h5, csv, json : Path
        The poses; the JSON file has all predictions, with the boxes of the detector.
    video : Path or None
        The labelled video.
    rows : int
        How many frames they go through.
    bodyparts, individuals : list of str
        Their names.
    notes : list of str
        What the user should know.
    """

    h5: Path
    csv: Path
    json: Path
    video: Path | None
    scorer: str
    rows: int
    bodyparts: list[str]
    individuals: list[str]
    notes: list[str]
    model_files: list[Path]


def analyze(
    animal: SuperAnimal,
    video: Path,
    media: Media,
    folder: Path,
    *,
    device: str,
    progress: Callable[[int], None],
    labelled: bool = False,
    **options: Any,
) -> Found:
    """Run ``deeplabcut.video_inference_superanimal`` on one video.

    Parameters
    ----------
    folder : Path
        Where the files go; it must not exist.
    device : str
        As torch calls it.
    progress : callable
        Told how many frames have been read: every frame twice, by the detector and by the pose model.
    labelled : bool
        Whether a labelled video is made.
    **options
        Further arguments: ``max_individuals``, ``pcutoff``, ``batch_size``, ``detector_batch_size``.

    Raises
    ------
    AnalysisFailed
        Weights are missing or damaged, or frames have no pose.
    """
    import deeplabcut

    files = animal.find()
    folder.mkdir(parents=True)
    pose, detector = _staged(files, folder.with_name(f"{folder.name}-weights"))
    own_detector = None if animal.name == HUMAN else str(detector)
    with (
        _nothing_downloaded(animal),
        watched(progress, media.frames) as seen,
        _in_words(),
        explained(done=lambda: len(seen.shown)),
    ):
        deeplabcut.video_inference_superanimal(
            [str(video)],
            animal.name,
            animal.model,
            detector_name=animal.detector,
            dest_folder=str(folder),
            device=device,
            customized_pose_checkpoint=str(pose),
            customized_detector_checkpoint=own_detector,
            create_labeled_video=labelled,
            video_adapt=False,
            **options,
        )
    return _collect(folder, media, len(seen.shown), seen.shown, files, labelled)


def _collect(folder: Path, media: Media, rows: int, shown: Any, files: list[Path], labelled: bool) -> Found:
    """Check what DeepLabCut has written, and write what it has not."""
    notes = [*media.notes, *media.account(rows, shown)]
    tables, predictions = sorted(folder.glob("*.h5")), sorted(folder.glob("*.json"))
    if len(tables) != 1 or len(predictions) != 1:
        raise AnalysisFailed("DeepLabCut ended without an error, but wrote no poses.", hint=LOG, kind="NoPoses")
    table = pd.read_hdf(tables[0])
    if len(table) > rows:
        raise AnalysisFailed(f"DeepLabCut wrote {len(table)} rows for {rows} frames.", hint=LOG, kind="RowsMissing")
    if not (table.xs("likelihood", axis=1, level="coords") > 0).to_numpy().any():
        raise _nothing_found()
    if len(table) < rows:
        # The runner hands out what it has for a frame when it has put an animal through the network: after the last
        # animal it may not come to that any more. What there is, is in order.
        notes.append(
            f"No animal was found in the last {rows - len(table)} frames: their rows hold {_NOWHERE:g}, and they are "
            "not in the JSON file."
        )
        table = table.reindex(range(rows), fill_value=_NOWHERE)
        table.to_hdf(tables[0], key="df_with_missing", format="table", mode="w")
    csv = tables[0].with_suffix(".csv")
    table.to_csv(csv)
    target = None
    if labelled:
        made = sorted(folder.glob("*_labeled*.mp4"))
        if not made:
            raise AnalysisFailed("DeepLabCut wrote no labelled video.", hint=LOG, kind="NoVideo")
        target = folder / "labeled.mp4"
        make_playable(made[0], target)
        check_playable(target, rows)
    levels = {name: table.columns.get_level_values(name).unique().to_list() for name in table.columns.names}
    return Found(
        h5=tables[0],
        csv=csv,
        json=predictions[0],
        video=target,
        scorer=levels["scorer"][0],
        rows=rows,
        bodyparts=levels["bodyparts"],
        individuals=levels["individuals"],
        notes=notes,
        model_files=files,
    )


def _staged(files: list[Path], folder: Path) -> list[Path]:
    """Return links to files: what DeepLabCut says of them then names no folder of the server."""
    folder.mkdir()
    links = [folder / file.name for file in files]
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.absolute())
    return links


def _nothing_found() -> AnalysisFailed:
    return AnalysisFailed(
        "The detector has found no animal in any frame of the video.",
        hint="Choose the superanimal_name for this kind of animal and view, or another detector_name.",
        kind="NoAnimals",
    )


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what is particular to these models, of which `explained` knows nothing."""
    try:
        yield
    except AnalysisFailed as failed:
        if "No pose predictions were made" in failed.message:
            raise _nothing_found() from failed
        if failed.kind != "BrokenModel":
            raise
        raise AnalysisFailed(
            "The weights of the pose model or of the detector cannot be loaded: a file is damaged, or is another's.",
            hint="Whoever runs the server puts them anew into the folder that its setting superanimal_dir names.",
            kind="BrokenModel",
        ) from failed


@contextmanager
def _nothing_downloaded(animal: SuperAnimal) -> Iterator[None]:
    """Answer from the folder what torchvision and Hugging Face would be asked for, while the context lasts.

    Three names are replaced: ``WeightsEnum.get_state_dict`` of torchvision, ``HF_HUB_OFFLINE`` of huggingface_hub, and
    ``download_super_animal_snapshot`` of DeepLabCut. The weights of a backbone may be any, since all of a detector's
    are put over them afterwards; only the structure must be that which DeepLabCut has trained.
    """
    import torch
    import torchvision
    from deeplabcut.pose_estimation_pytorch.modelzoo import utils
    from huggingface_hub import constants
    from torchvision.models import _api

    def state(weights: Any, *_arguments: Any, **_keywords: Any) -> Any:
        name = Path(urlsplit(weights.url).path).name
        file = None if animal.folder is None else animal.folder / name
        if file is not None and file.is_file():
            return torch.load(file, map_location="cpu", weights_only=True)
        backbone = _BACKBONES.get(type(weights).__name__)
        if backbone is None:
            raise missing([of_torchvision(name)], animal.folder)
        return torchvision.models.get_model(backbone, weights=None).state_dict()

    def refuse(dataset: str, model_name: str) -> Any:
        raise missing([of_the_zoo(dataset, model_name)], animal.folder)

    replaced: list[tuple[Any, str, Any]] = [
        (_api.WeightsEnum, "get_state_dict", state),
        (constants, "HF_HUB_OFFLINE", True),
        (utils, "download_super_animal_snapshot", refuse),
    ]
    originals = [getattr(place, name) for place, name, _ in replaced]
    for place, name, value in replaced:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name, _), original in zip(replaced, originals, strict=True):
            setattr(place, name, original)
