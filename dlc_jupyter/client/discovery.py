"""Where the server is: in a notebook the one that it belongs to, elsewhere what the environment names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

ADDRESS, TOKEN = "DLC_JUPYTER_URL", "DLC_JUPYTER_TOKEN"

_GIVE = (
    'Give its address and token, Client("http://127.0.0.1:8888", token="…"), or set DLC_JUPYTER_URL and '
    "DLC_JUPYTER_TOKEN. `jupyter server list` shows both."
)
#: Addresses at which a server listens on every network, and at which nobody can be called.
_EVERYWHERE = ("", "*", "0.0.0.0", "::")


class NoServer(ConnectionError):
    """No server was found; the message says what to do."""


class Found(NamedTuple):
    """A server, and what proves who asks."""

    url: str
    token: str


def find_server(environment: Mapping[str, str] | None = None) -> Found:
    """Return the server that this program belongs to.

    That is, in this order: the one that ``DLC_JUPYTER_URL`` names; in a kernel the Jupyter server that has started it
    (`JPY_PARENT_PID`), also a JupyterHub user's own (`JUPYTERHUB_SERVICE_URL`), and else the running one of the same
    user below whose root directory the notebook or the working directory lies.

    Parameters
    ----------
    environment : mapping, optional
        The process's own where it is left out.

    Raises
    ------
    NoServer
        There is none, or more than one.
    """
    environment = os.environ if environment is None else environment
    if url := environment.get(ADDRESS):
        return Found(url, environment.get(TOKEN) or _hub_token(environment, urlsplit(url).path))
    if not _in_kernel(environment):
        raise NoServer(f"Outside of a notebook there is no saying which server is meant. {_GIVE}")
    running = list(_running())
    parent = environment.get("JPY_PARENT_PID")
    for server in running:
        if str(server["pid"]) == parent:
            return _found(server, environment)
    if url := environment.get("JUPYTERHUB_SERVICE_URL"):
        return Found(_callable(url), environment.get("JUPYTERHUB_API_TOKEN", ""))
    above = [each for each in running if _below(each["root_dir"], _place(environment))]
    deepest = max((len(Path(each["root_dir"]).parts) for each in above), default=0)
    nearest = [each for each in above if len(Path(each["root_dir"]).parts) == deepest]
    if len(nearest) == 1:
        return _found(nearest[0], environment)
    if nearest:
        addresses = ", ".join(str(each["url"]) for each in nearest)
        raise NoServer(f"Several Jupyter servers have this notebook's folder: {addresses}. {_GIVE}")
    raise NoServer(
        "No Jupyter server was found that this notebook belongs to. Start one with `jupyter lab` or `jupyter dlc`. "
        + _GIVE
    )


def _in_kernel(environment: Mapping[str, str]) -> bool:
    return "JPY_PARENT_PID" in environment or "ipykernel" in sys.modules


def _place(environment: Mapping[str, str]) -> Path:
    """Return where the notebook lies, as far as the kernel knows."""
    session = Path(environment.get("JPY_SESSION_NAME", ""))
    return session if session.is_absolute() else Path.cwd()


def _below(root: str, place: Path) -> bool:
    return place.resolve().is_relative_to(Path(root).resolve())


def _running() -> Iterator[dict[str, Any]]:
    """Yield what the user's running Jupyter servers have written down of themselves.

    jupyter_server's own `list_running_servers` does the same, but importing it takes a second.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    for path in sorted(Path(jupyter_runtime_dir()).glob("jpserver-*.json")):
        try:
            server = json.loads(path.read_text())
            os.kill(int(server["pid"]), 0)
        except PermissionError:
            pass  # it runs, as somebody else
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written, or of a server that was killed
        if server.get("url") and server.get("root_dir") and not server.get("sock"):
            yield server


def _found(server: Mapping[str, Any], environment: Mapping[str, str]) -> Found:
    token = str(server.get("token") or "") or _hub_token(environment, str(server.get("base_url") or ""))
    return Found(str(server["url"]), token)


def _hub_token(environment: Mapping[str, str], path: str) -> str:
    """Return a JupyterHub's token for what lies below the hub; nobody else is told it."""
    base = environment.get("JUPYTERHUB_BASE_URL", "/")
    own = environment.get("JUPYTERHUB_SERVICE_PREFIX")
    known = [f"{base}services/", *([own] if own else [])]
    of_hub = "JUPYTERHUB_API_TOKEN" in environment and any(f"{path.rstrip('/')}/".startswith(each) for each in known)
    return environment["JUPYTERHUB_API_TOKEN"] if of_hub else ""


def _callable(url: str) -> str:
    """Return an address as it can be called from the same machine."""
    parts = urlsplit(url)
    if (parts.hostname or "") not in _EVERYWHERE:
        return url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"127.0.0.1{port}"))
