"""Predictions as DeepLabCut's postprocessors make them, for tests: random, with all that a network may have found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlc_jupyter.pose.rows import Rows
from dlc_jupyter.pose.tracks import Origin, Tracks


@dataclass(frozen=True)
class Case:
    """What a network finds; `empty` is the share of the frames in which it finds nothing, and says so in float64."""

    animals: int = 1
    bodyparts: int = 4
    unique: int = 0
    identity: bool = False
    boxes: bool = False
    empty: float = 0.0
    values: int = 3
    multi_animal: bool = True
    named: int | None = None

    @property
    def origin(self) -> Origin:
        bodyparts = [f"part {number}" for number in range(self.bodyparts)]
        unique = [f"corner{number}" for number in range(self.unique)]
        joints = [*bodyparts, *unique]
        pose_cfg = {"all_joints": [[number] for number in range(len(joints))], "all_joints_names": joints}
        pose_cfg |= {"nmsradius": 5.0, "partaffinityfield_graph": [[0, 1], [1, 2]]} if self.animals > 1 else {}
        return Origin(
            scorer="DLC_Resnet50_mouseNov25shuffle1_snapshot_040",
            bodyparts=bodyparts,
            individuals=[f"mouse{number}" for number in range(self.named or self.animals)],
            unique_bodyparts=unique,
            multi_animal=self.multi_animal,
            pose_cfg=pose_cfg,
            metadata={"data": {"Scorer": "DLC", "fps": 30.0, "frame_dimensions": (640, 480)}},
        )

    @property
    def model_cfg(self) -> dict:
        names = {name: list(getattr(self.origin, name)) for name in ("bodyparts", "unique_bodyparts", "individuals")}
        return {"metadata": names}

    def predictions(self, frames: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
        random = np.random.default_rng(seed)
        return [self._empty() if random.random() < self.empty else self._found(random) for _ in range(frames)]

    def _found(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        shape = (self.animals, self.bodyparts, self.values)
        found = {"bodyparts": random.normal(200, 300, shape).astype(np.float32)}
        found["bodyparts"][..., 2] = random.random(shape[:2]) ** 6
        if self.animals > 1:
            found["bodyparts"][random.integers(1, self.animals + 1) :] = -1  # as those that were not found are padded
            found["bodyparts"][random.random(shape[:2]) < 0.1] = np.nan
        if self.unique:
            found["unique_bodyparts"] = random.random((1, self.unique, 3), dtype=np.float32)
        if self.identity:
            found["identity_scores"] = self._identities(random.random((*shape[:2], self.animals), dtype=np.float32))
        if self.boxes:
            found["bboxes"] = random.normal(200, 50, (self.animals, 4)).astype(np.float32)
            found["bbox_scores"] = random.random(self.animals, dtype=np.float32)
        return found

    def _empty(self) -> dict[str, np.ndarray]:
        nothing = {"bodyparts": np.full((self.animals, self.bodyparts, self.values), -1.0)}
        if self.unique:
            nothing["unique_bodyparts"] = np.full((1, self.unique, 3), -1.0)
        if self.identity:
            nothing["identity_scores"] = self._identities(np.zeros((self.animals, self.bodyparts, self.animals)))
        if self.boxes:
            nothing["bboxes"] = np.zeros((self.animals, 4))
            nothing["bbox_scores"] = np.zeros(self.animals)
        return nothing

    def _identities(self, scores: np.ndarray) -> np.ndarray:
        return scores.astype(np.float64)

    def tracks(self, predictions: list[dict[str, np.ndarray]], folder: Path, frames: range | None = None) -> Tracks:
        """Write predictions to disk as they come, and return them from there."""
        with Rows(folder, {"seed": 0}) as rows:
            rows.append(predictions)
            rows.flush()
            return Tracks(self.origin, rows.records(), frames or range(len(predictions)))
