"""Whether the DeepLabCut that is installed is the one that our own loop was written against.

`inference` does in its own way what some functions of DeepLabCut do, and calls others that are not part of its public
interface. Another release may change any of them without a word. So their sources are compared with those that were
read. Where one is another that the poses depend on, DeepLabCut's own loop runs (`direct`), and the result says why.
Where drawing is another, only the labelled video may look otherwise than DeepLabCut's, and its result says so.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module

#: Of what decides the poses: SHA-256 (the first 12 digits) of the sources in DeepLabCut 3.0.2.
SOURCES: dict[str, str] = {
    "deeplabcut.utils.auxfun_videos:VideoReader": "12bbc2298196",
    "deeplabcut.pose_estimation_pytorch.apis.videos:VideoIterator": "07d1056b71c4",
    "deeplabcut.pose_estimation_pytorch.apis.videos:video_inference": "7a3f8f77edca",
    "deeplabcut.pose_estimation_pytorch.apis.videos:analyze_videos": "d965af654ca5",
    "deeplabcut.pose_estimation_pytorch.apis.videos:create_df_from_prediction": "4e0c9f7adb7b",
    "deeplabcut.pose_estimation_pytorch.apis.videos:_generate_output_data": "246399c8acad",
    "deeplabcut.pose_estimation_pytorch.apis.videos:_generate_metadata": "e96433d82ef7",
    "deeplabcut.pose_estimation_pytorch.apis.videos:_generate_assemblies_file": "1f3920caef42",
    "deeplabcut.pose_estimation_pytorch.apis.utils:parse_snapshot_index_for_analysis": "43d2524eb2bc",
    "deeplabcut.pose_estimation_pytorch.apis.utils:get_pose_inference_runner": "061376dd2eef",
    "deeplabcut.pose_estimation_pytorch.apis.utils:get_detector_inference_runner": "ca9b4798eae1",
    "deeplabcut.pose_estimation_pytorch.apis.utils:get_model_snapshots": "1be928292904",
    "deeplabcut.pose_estimation_pytorch.data.dlcloader:DLCLoader.scorer": "1fdb96d019b6",
    "deeplabcut.pose_estimation_pytorch.models.model:PoseModel.get_predictions": "f95f1195b02b",
    "deeplabcut.pose_estimation_pytorch.runners.inference:InferenceRunner": "488644a374b0",
    "deeplabcut.pose_estimation_pytorch.runners.inference:PoseInferenceRunner": "92f75f02f65d",
    "deeplabcut.pose_estimation_pytorch.runners.inference:CTDInferenceRunner.inference": "b73df5e23de7",
    "deeplabcut.pose_estimation_pytorch.runners.inference:CTDInferenceRunner.add_conditions": "7011ede04405",
    "deeplabcut.pose_estimation_pytorch.runners.inference:DetectorInferenceRunner": "7ef318d6b50f",
    "deeplabcut.pose_estimation_pytorch.data.preprocessor:LoadImage": "e7e7c14ae4e2",
    "deeplabcut.pose_estimation_pytorch.data.preprocessor:AugmentImage": "62039bd2d2d5",
    "deeplabcut.pose_estimation_pytorch.data.preprocessor:ToTensor": "a8e9fb928f36",
    "deeplabcut.pose_estimation_pytorch.data.preprocessor:ToBatch": "f0acf10b8c52",
    "deeplabcut.pose_estimation_pytorch.data.preprocessor:ComposePreprocessor": "60d94ed9e81b",
    "deeplabcut.pose_estimation_pytorch.data.postprocessor:build_bottom_up_postprocessor": "4399e5f95bff",
    "deeplabcut.pose_estimation_pytorch.data.postprocessor:build_top_down_postprocessor": "cae71d5ab386",
    "deeplabcut.pose_estimation_pytorch.data.postprocessor:PadOutputs": "0d3ff1ae8be6",
    "deeplabcut.pose_estimation_pytorch.runners.inference:CTDInferenceRunner.predict": "aed62582f433",
    "deeplabcut.pose_estimation_pytorch.config.ctd_conditions:ConditionsModelConfig": "92f81a557f69",
    "deeplabcut.pose_estimation_pytorch.apis.tracklets:convert_detections2tracklets": "1947d1234473",
    "deeplabcut.pose_estimation_pytorch.apis.tracklets:build_tracklets": "690a7488bb45",
    "deeplabcut.utils.auxfun_multianimal:LoadFullMultiAnimalData": "9cd57fa497ba",
    "deeplabcut.refine_training_dataset.stitch:stitch_tracklets": "4728b5854860",
}

#: Of what decides the pixels of a labelled video (`drawing`, `render`). No pose depends on it.
DRAWING: dict[str, str] = {
    "deeplabcut.utils.make_labeled_video:CreateVideo": "2b6b39898fa0",
    "deeplabcut.utils.make_labeled_video:get_segment_indices": "d7e2f5c097dd",
    "deeplabcut.utils.make_labeled_video:create_labeled_video": "17e8e424358f",
    "deeplabcut.utils.make_labeled_video:proc_video": "6801d19746df",
    "deeplabcut.utils.make_labeled_video:create_video": "e11d2074c8fc",
    "deeplabcut.utils.make_labeled_video:_get_default_conf_to_alpha": "83899ab84134",
}


@cache
def changed() -> tuple[str, ...]:
    """Return the names of what decides the poses and is not as it was read, or not there."""
    return _changed(SOURCES)


@cache
def drawing_changed() -> tuple[str, ...]:
    """Return the names of what decides how poses are drawn and is not as it was read, or not there."""
    return _changed(DRAWING)


def _changed(sources: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, wanted in sources.items() if fingerprint(name) != wanted)


def fingerprint(name: str) -> str | None:
    """Return a digest of the source of ``module:Name`` or ``module:Class.method``. None: there is no such thing."""
    module, _, path = name.partition(":")
    try:
        found = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        source = inspect.getsource(found)
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()[:12]
