"""The server as a whole: how it is, and what it can do."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado import web

from dlc_jupyter.handlers.base import DLCHandler
from dlc_jupyter.handlers.openapi import Answer, operation
from dlc_jupyter.handlers.schemas import described, ref

RESOURCE = "dlc.status"


class StatusHandler(DLCHandler):
    """``status``."""

    auth_resource = RESOURCE

    @operation(answers={200: Answer("At most a second old.", ref("Status"))})
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return how worker, engine and queue are, the devices, the free disk and the versions."""
        self.set_header("Cache-Control", "no-store")
        self.answer(await self.services.board.current())


class SchemaHandler(DLCHandler):
    """``schema``."""

    auth_resource = RESOURCE

    @operation(
        answers={200: Answer("By name.", {"type": "object", "additionalProperties": ref("AnalysisDescription")})}
    )
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return what the analyses do and take, with the JSON Schema of their parameters."""
        self.answer(await self.call(described))


system_handlers: list[tuple[str, type[DLCHandler]]] = [
    (r"status", StatusHandler),
    (r"schema", SchemaHandler),
]
