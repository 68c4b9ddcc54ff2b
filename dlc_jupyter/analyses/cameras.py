"""Files given by camera: the parameter for it, and which file is whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from dlc_jupyter.analyses.base import Analysis
from dlc_jupyter.errors import BadRequest
from dlc_jupyter.pose.projects import Model

P = TypeVar("P", bound=BaseModel)


def _listed(ids: Any) -> Any:
    return [ids] if isinstance(ids, str) else ids


_ID = Annotated[str, Field(min_length=1, max_length=40)]
_IDS = Annotated[list[_ID], Field(min_length=1, max_length=10_000)]
_TEXT = {"type": "string", "minLength": 1, "maxLength": 40}

#: The type of the parameter ``cameras`` of an analysis with `Analysis.by_camera`; its default is None. When such an
#: analysis runs it is there, also where the files were given in the order of the cameras, but for a single file.
Cameras = Annotated[
    Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=100)],
            Annotated[
                _IDS,
                BeforeValidator(_listed),
                WithJsonSchema(
                    {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 10_000}]}
                ),
            ],
        ],
        Field(min_length=1, max_length=100),
    ]
    | None,
    Field(
        description='The files by camera, such as {"camera-1": "<file_id>", "camera-2": "<file_id>"}, in the place of '
        "file_id. Left out: file_id names them in the order of the cameras."
    ),
]


def assigned(
    analysis: type[Analysis], parameters: P, file_ids: Sequence[str], model: Model | None
) -> tuple[P, list[str]]:
    """Give every file its camera.

    Parameters
    ----------
    analysis : type of Analysis
        With `Analysis.by_camera`.
    parameters : Parameters
        Its ``cameras`` are whole ids, or there are none.
    file_ids : sequence of str
        Those that were given without a camera.
    model : Model or None
        Of a 3D one there must be one file for each camera.

    Returns
    -------
    parameters : Parameters
        With ``cameras``, in order.
    file_ids : list of str
        All of them, in that order.

    Raises
    ------
    BadRequest
        It cannot be said which file is whose, a camera is missing or unknown, or a file is given twice.
    """
    given: dict[str, list[str]] | None = getattr(parameters, "cameras")  # noqa: B009
    if given is not None and file_ids:
        raise BadRequest("Give the files either as cameras or as file_id, not as both.", reason="cameras-and-file-id")
    if model is not None:
        by_camera = _of_model(given, file_ids, model.cameras)
    elif given is not None:
        by_camera = given
        if len(by_camera) < 2:
            raise BadRequest(f"There is one camera only ({', '.join(given)}). Give two or more.", reason="one-camera")
    else:
        analysis.check_inputs(parameters, len(file_ids))
        by_camera = {f"camera-{number}": [file_id] for number, file_id in enumerate(file_ids, start=1)}
    ordered = [file_id for ids in by_camera.values() for file_id in ids]
    twice = [file_id for file_id, times in Counter(ordered).items() if times > 1]
    if twice:
        names = [name for name, ids in by_camera.items() if twice[0] in ids]
        raise BadRequest(
            f"The same file ({twice[0][:8]}) is given twice: for {' and '.join(names)}.", reason="same-file-twice"
        )
    if len(ordered) > 1:
        parameters = parameters.model_copy(update={"cameras": by_camera})
    if given is not None:
        analysis.check_inputs(parameters, len(ordered))
    return parameters, ordered


def _of_model(
    given: dict[str, list[str]] | None, file_ids: Sequence[str], cameras: Sequence[str]
) -> dict[str, list[str]]:
    """Return the one file of each of a model's cameras."""
    there_are = ", ".join(cameras)
    if given is None:
        if len(file_ids) != len(cameras):
            raise BadRequest(
                f"The model has {len(cameras)} cameras: give one file for each, in the order {there_are}; or "
                f"cameras. There {'is' if len(file_ids) == 1 else 'are'} {len(file_ids) or 'none'}.",
                reason="wrong-number-of-files" if file_ids else "missing-file",
            )
        return {camera: [file_id] for camera, file_id in zip(cameras, file_ids, strict=True)}
    if unknown := sorted(set(given) - set(cameras)):
        raise BadRequest(
            f"The model has no camera {', '.join(unknown)}. There are: {there_are}.",
            reason="unknown-camera",
            cameras=list(cameras),
        )
    if missing := [camera for camera in cameras if camera not in given]:
        raise BadRequest(
            f"There is no file for {', '.join(missing)}. The model has the cameras {there_are}.",
            reason="missing-camera",
            cameras=list(cameras),
        )
    if several := [camera for camera in cameras if len(given[camera]) > 1]:
        raise BadRequest(f"There is more than one file for {', '.join(several)}.", reason="too-many-files")
    return {camera: given[camera] for camera in cameras}


def camera_of(cameras: dict[str, list[str]] | None, file_id: str) -> str:
    """Return whose file it is; "" where that is not said."""
    return next((name for name, ids in (cameras or {}).items() if file_id in ids), "")
