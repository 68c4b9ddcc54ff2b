"""The application: a Jupyter server extension, and with ``jupyter dlc`` a server of its own that is nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from datetime import UTC, datetime
from typing import Any

from jupyter_server.base.handlers import Template404
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from sqlalchemy.exc import SQLAlchemyError
from traitlets import TraitError, default

from dlc_jupyter._version import __version__
from dlc_jupyter.commands.call import complaint
from dlc_jupyter.handlers.analyses import analysis_handlers
from dlc_jupyter.handlers.base import PROBLEM, SERVICES, DLCHandler, NoSuchRoute, Services
from dlc_jupyter.handlers.broadcast import Broadcast
from dlc_jupyter.handlers.events import event_handlers
from dlc_jupyter.handlers.files import file_handlers
from dlc_jupyter.handlers.logs import log_handlers
from dlc_jupyter.handlers.models import model_handlers
from dlc_jupyter.handlers.openapi import ROUTES as ROUTES_KEY
from dlc_jupyter.handlers.openapi import openapi_handlers
from dlc_jupyter.handlers.playback import playback_handlers
from dlc_jupyter.handlers.poses import pose_handlers
from dlc_jupyter.handlers.system import system_handlers
from dlc_jupyter.handlers.uploads import upload_handlers
from dlc_jupyter.jobs.queue import Doorbell
from dlc_jupyter.jobs.records import ACTIVE, Records
from dlc_jupyter.jobs.requests import Requests, models_of
from dlc_jupyter.jobs.status import StatusBoard
from dlc_jupyter.jobs.supervisor import WorkerSupervisor
from dlc_jupyter.pose.models import Models
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.disk import is_network
from dlc_jupyter.storage.files import FileStore

#: All routes, relative to where they are mounted.
ROUTES: list[tuple[str, type[DLCHandler]]] = [
    *file_handlers,
    *upload_handlers,
    *playback_handlers,
    *pose_handlers,
    *analysis_handlers,
    *log_handlers,
    *event_handlers,
    *model_handlers,
    *system_handlers,
    *openapi_handlers,
]

#: How often the table is asked whether anything is still to be done, in seconds.
ACTIVITY_INTERVAL = 30.0
#: How long the worker may take to stop with the server, in seconds.
STOP_TIMEOUT = 5.0

MISCONFIGURED = (
    "An option of this server has a value that it cannot have. Its log says which: correct it, and restart the server."
)


def open_services(settings: Settings) -> Services:
    """Open the data folder, making it where it is not there yet.

    Raises
    ------
    OSError
        The folder cannot be made, or nothing can be written to it.
    RuntimeError
        The database is that of a newer dlc_jupyter.
    sqlalchemy.exc.SQLAlchemyError
        The database cannot be opened.
    """
    root = settings.root
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root):
        pass  # it can be written to
    with contextlib.ExitStack() as opened:
        database = Database(database_url(root, settings.database_url), shared_memory=not is_network(root))
        opened.callback(database.close)
        files, records = FileStore(settings, database), Records(database)
        models = models_of(settings)
        requests = Requests(settings, models)
        board = StatusBoard(settings, database, files, records, requests)
        broadcast = Broadcast(database, board)
        services = Services(settings, database, files, records, models, requests, board, Doorbell(settings), broadcast)
        opened.pop_all()
    return services


def explain(error: Exception) -> str:
    """Say in a sentence for HTTP clients, without a path of the server, why the data folder could not be opened."""
    if isinstance(error, OSError):
        what = f"its data folder ({error.strerror or type(error).__name__})"
    elif isinstance(error, SQLAlchemyError):
        what = "its database"
    else:
        return str(error)
    return f"The server cannot use {what}. Its log says more: mend it or set DLCApp.data_dir, and restart the server."


class APIServer(ServerApp):
    """What ``jupyter dlc`` starts: the API and logging in, for this machine; no kernels, notebooks or terminals."""

    default_services = ("api", "auth", "security")  # type: ignore[assignment]

    @default("ip")
    def _default_ip(self) -> str:
        return "127.0.0.1"

    @default("port_retries")
    def _default_port_retries(self) -> int:
        return 0  # clients know one port: another server behind it would be worse than none

    @default("allow_unauthenticated_access")
    def _allow_unauthenticated_access_default(self) -> bool:
        return False

    @default("no_browser_open_file")
    def _default_no_browser_open_file(self) -> bool:
        return True


class DLCApp(Settings, ExtensionApp):
    """DeepLabCut behind Jupyter: videos in, poses and labelled videos out."""

    name = "dlc"
    description = "A server for nothing but the dlc_jupyter API: no kernels, for this machine only."
    examples = (
        "jupyter dlc                                   # start the server; it prints how to call it\n"
        "jupyter dlc --port=8899 --DLCApp.device=cpu   # any option of Jupyter's server or of DLCApp"
    )
    version = __version__
    extension_url = "/dlc/status"
    load_other_extensions = False
    serverapp_class = APIServer

    services: Services | None = None
    misconfigured: TraitError | None = None
    supervisor: WorkerSupervisor | None = None
    _watching: asyncio.Task[None] | None = None

    @default("open_browser")
    def _default_open_browser(self) -> bool:
        return False

    def _jupyter_server_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super()._jupyter_server_config()  # type: ignore[no-untyped-call]
        return {**config, "ContentsManager": {"files_handler_class": None}}

    @property
    def alone(self) -> bool:
        """Whether this is the server's own purpose (``jupyter dlc``), not an extension of another one."""
        return self.serverapp is not None and self.serverapp.starter_app is self

    # -- opened ------------------------------------------------------------------------------------------------------

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Read the options. Jupyter itself would go on without them all, in a data folder that nobody has named."""
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self.misconfigured = error
            self._linked = True

    def initialize_settings(self) -> None:
        """Open the data folder. Where that fails, the server runs on and every route says why."""
        self.settings[ROUTES_KEY] = ROUTES
        if self.misconfigured:
            self.log.critical("dlc_jupyter cannot be used: %s", self.misconfigured)
            if self.alone:
                self.exit(1)
            self.settings[PROBLEM] = MISCONFIGURED
            return
        try:
            self.services = open_services(self.frozen())
        except (OSError, RuntimeError, SQLAlchemyError) as error:
            self.log.error("dlc_jupyter cannot use its data folder %s: %s", self.root, error)
            self.settings[PROBLEM] = explain(error)
        else:
            self.settings[SERVICES] = self.services

    def initialize_handlers(self) -> None:
        """Mount all routes under ``dlc/``, and for ``jupyter dlc`` at the root too."""
        mounts = ["dlc/", ""] if self.alone else ["dlc/"]
        self.handlers.extend((f"{mount}{pattern}", handler) for mount in mounts for pattern, handler in ROUTES)
        self.handlers.append((r"dlc(?:/.*)?", NoSuchRoute))
        if self.alone:
            self._answer_the_rest()

    def _answer_the_rest(self) -> None:
        """Let what no handler of Jupyter's knows be refused as everything else here, in the place of Jupyter's page.

        That page's rule is Jupyter's last one. A handler of an extension would come before all of Jupyter's own.
        """
        assert self.serverapp is not None
        for rule in self.serverapp.web_app.wildcard_router.rules:
            if rule.target is Template404:
                rule.target, rule.target_kwargs = NoSuchRoute, {"name": self.name}

    # -- started and stopped -----------------------------------------------------------------------------------------

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        if self.services is None:
            return
        if self.start_worker:
            self.supervisor = WorkerSupervisor(self.services.settings, self.log)
            self.supervisor.start()
        self._watching = asyncio.create_task(self._watch_activity(self.services))
        self.services.pool.submit(self.tell_broken_models, self.services.models)
        if self.alone:
            self.log.info(self._welcome(serverapp))

    async def stop_extension(self) -> None:
        """Stop the worker, which gives its analysis back to the queue, and close the data folder."""
        if self._watching:
            self._watching.cancel()
        if self.services:
            self.services.broadcast.close()  # at once: who listens can look for another server
        if self.supervisor:
            try:
                await asyncio.wait_for(self.supervisor.stop(), STOP_TIMEOUT)
            except TimeoutError:
                self.log.error("The worker did not stop within %g s.", STOP_TIMEOUT)
        if self.services:
            self.services.close()

    async def note_activity(self, services: Services) -> None:
        """Tell Jupyter that the server is in use while something is queued or running, so that it is not culled."""
        counts = await asyncio.get_running_loop().run_in_executor(services.pool, services.records.count)
        if self.serverapp and any(counts.get(state) for state in ACTIVE):
            self.serverapp.web_app.settings["last_activity_times"]["dlc"] = datetime.now(UTC)

    async def _watch_activity(self, services: Services) -> None:
        while True:
            try:
                await self.note_activity(services)
            except SQLAlchemyError as error:  # a busy database: it is asked again
                self.log.warning("Could not ask whether analyses are active: %s", error)
            await asyncio.sleep(ACTIVITY_INTERVAL)

    def tell_broken_models(self, models: Models) -> None:
        """Say in the log which of the registered models cannot be used, and why."""
        for model in models.registered():
            if model.problem is not None:
                self.log.warning("The model %s (%s) cannot be used: %s", model.name, model.config, model.problem)

    def _welcome(self, serverapp: ServerApp) -> str:
        """Say how to call the server. A token that the user chose is not printed; Jupyter prints only its own, too."""
        identity = serverapp.identity_provider
        token = identity.token if identity.token_generated else "<your token>"
        url = serverapp.connection_url.rstrip("/")
        call = f"curl -H 'Authorization: token {token}'"
        return "\n    ".join(
            [
                f"dlc_jupyter {__version__} is ready at {url}/?token={token}",
                "Try it from another terminal:",
                f"{call} {url}/status",
                f"{call} {url}/analysis -F analysis=sleep -F time=3",
                f"{call} {url}/analysis",
            ]
        )


def main() -> None:
    """Start the server: the command ``jupyter dlc``. It ends where an option or a file is named that is not there."""
    if wrong := complaint(sys.argv[1:], [APIServer(), DLCApp()]):
        print(f"jupyter dlc: {wrong}", file=sys.stderr)
        sys.exit(2)
    DLCApp.launch_instance()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    # Jupyter finds the extension by its module, which must not be called __main__.
    from dlc_jupyter import app

    app.main()
