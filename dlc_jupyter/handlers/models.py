"""Models: the DeepLabCut projects that analyses can use."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, operation
from dlc_jupyter.handlers.schemas import page_of, ref
from dlc_jupyter.pose.models import Model

RESOURCE = "dlc.model"


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


model_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"model", ModelsHandler),
    (r"model/([^/]+)", ModelHandler),
]
