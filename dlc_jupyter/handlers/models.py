"""Models: the DeepLabCut projects that analyses can use, and 3D ones made from calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from jupyter_server.auth.decorator import authorized
from pydantic import BeforeValidator, Field
from tornado import web

from dlc_jupyter.analyses.base import Parameters
from dlc_jupyter.analyses.refusals import wrong_fields
from dlc_jupyter.errors import BadRequest, Conflict
from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, operation
from dlc_jupyter.handlers.schemas import page_of, ref
from dlc_jupyter.pose.made_models import NAME, PCUTOFF, New3D, cameras_of
from dlc_jupyter.pose.models import Model
from dlc_jupyter.storage.disk import full_disk_refused

RESOURCE = "dlc.model"


def _name_or_names(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, dict) and all(isinstance(name, str) for name in value.values())):
        return value
    raise ValueError('Give the name of a 2D model, or that of each camera: {"camera-1": "demo-mouse", …}.')


class NewModel(Parameters):
    """A 3D model that is to be made."""

    name: Annotated[str, Field(pattern=NAME, description="What it is to be called: letters, digits, dots, - and _.")]
    calibration: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            description="The id of a calibration.toml, as the analysis calibrate or Anipose makes it. It names the "
            "cameras.",
        ),
    ]
    models: Annotated[
        str | dict[str, str],
        BeforeValidator(_name_or_names),
        Field(
            description="The 2D model that looks at the videos of all cameras, by its name, or that of each: "
            '{"camera-1": "demo-mouse", …}.'
        ),
    ]
    shuffle: Annotated[
        int | None,
        Field(ge=0, le=10_000, description="Which shuffle of the 2D models. Left out: 1, or else the first there is."),
    ] = None
    trainingsetindex: Annotated[
        int | None, Field(ge=0, le=1_000, description="Which training fraction of theirs, counted from 0.")
    ] = None
    skeleton: Annotated[
        list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None,
        Field(
            max_length=1_000,
            description="Pairs of body parts that are joined by lines. Left out: as in the first camera's 2D model.",
        ),
    ] = None
    pcutoff: Annotated[float, Field(ge=0, le=1, description="Positions with a likelihood below this are left out.")] = (
        PCUTOFF
    )


class ModelsHandler(DLCHandler):
    """``model``."""

    auth_resource = RESOURCE

    @operation(answers={200: Answer("All models, by name.", page_of("Model"))})
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the models.

        Those that cannot be used are listed too: `problem` says why.
        """
        models = await self.call(self.services.models.all)
        self.answer([model.as_json() for model in models])

    @operation(
        answers={201: Answer("The model, which can be used.", ref("Model"), headers={"Location": "Where it is."})},
        refuses={
            400: "The values are not right (`errors` names each), the file is no calibration of two cameras or more, "
            "or the 2D models do not fit it.",
            404: "There is no such file or 2D model.",
            409: "There is a model of that name. Or: several files begin with these characters (see `matches`).",
            507: "The disk is full.",
        },
        body={
            content_type: NewModel.model_json_schema()
            for content_type in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
        },
        examples={
            "one for all": {"name": "my-rig", "calibration": "3f1c0a6f", "models": "demo-mouse"},
            "one each": {
                "name": "my-rig",
                "calibration": "3f1c0a6f",
                "models": {"camera-1": "demo-mouse", "camera-2": "demo-mouse"},
            },
        },
    )
    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Make a 3D model of a calibration and the 2D models that look at the videos of its cameras.

        It is a DeepLabCut project in the server's data folder, and keeps its calibration when the file goes.
        """
        model = await self.call(self._make, self.form())
        self.set_status(201)
        self.set_header("Location", f"{self.request.path.rstrip('/')}/{model.name}")
        self.answer(model.as_json())

    def _make(self, values: Mapping[str, Any]) -> Model:
        services = self.services
        try:
            wanted = NewModel.model_validate(dict(values))
        except pydantic.ValidationError as error:
            raise BadRequest(
                "The values are not right: see errors.", reason="bad-parameters", errors=wrong_fields(error, NewModel)
            ) from None
        calibration = services.files.path(services.files.find(wanted.calibration.strip()).file_id)
        names = wanted.models
        if isinstance(names, str):
            names = dict.fromkeys(cameras_of(calibration), names)
        found = {name: self._two_d(name) for name in sorted(set(names.values()))}
        with full_disk_refused():
            return services.models.make(
                New3D(
                    name=wanted.name,
                    calibration=calibration,
                    models={camera: found[name] for camera, name in names.items()},
                    shuffle=wanted.shuffle,
                    trainingsetindex=wanted.trainingsetindex,
                    skeleton=wanted.skeleton,
                    pcutoff=wanted.pcutoff,
                )
            )

    def _two_d(self, name: str) -> Model:
        model = self.services.models.find(name)
        if model.kind != "2d":
            raise BadRequest(
                f"The model {name!r} is a 3D project. Name the 2D one of each camera.", reason="wrong-model-kind"
            )
        return model


class ModelHandler(DLCHandler):
    """``model/<name>``."""

    auth_resource = RESOURCE

    @operation(
        answers={200: Answer("The model.", ref("Model"))},
        refuses={404: "There is no such model: `models` names those there are."},
    )
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Describe a model."""
        model = await self.call(self._find, name)
        self.answer(model.as_json())

    def _find(self, name: str) -> Model:
        """Find it among all, so that one that cannot be used can say why."""
        models = self.services.models
        return next((model for model in models.all() if model.name == name), None) or models.find(name)

    @operation(
        answers={204: Answer("It is gone. Results made with it stay.")},
        refuses={
            404: "There is no such model: `models` names those there are.",
            409: "It was not made by POST /model but is there by the server's configuration, or queued or running "
            "analyses need it: `analyses` names them.",
        },
    )
    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Remove a 3D model that was made here."""
        await self.call(self._delete, name)
        self.no_content(204)

    def _delete(self, name: str) -> None:
        """Remove it, unless it is needed: also by what is asked for meanwhile. See `AnalysesHandler._create`."""
        self._refuse_where_needed(name)
        self.services.models.remove(name, lambda: self._refuse_where_needed(name))

    def _refuse_where_needed(self, name: str) -> None:
        if needed_by := self.services.records.active_with_model(name):
            raise Conflict(
                "Analyses that are queued or running need this model. Cancel them first, or wait.",
                reason="model-in-use",
                analyses=needed_by[:10],
            )


model_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"model", ModelsHandler),
    (r"model/([^/]+)", ModelHandler),
]
