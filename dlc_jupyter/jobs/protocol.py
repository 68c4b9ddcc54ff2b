"""What worker and engine say to each other: lines of JSON over two pipes.

Worker to engine: ``{"run": {…}}`` (an `Order`), and ``{"stop": true}`` to end the run before its time.

Engine to worker, one line each:

=========== ==========================================================================================
event       further fields
=========== ==========================================================================================
ready       ``pid``, ``versions``, ``problem``: why models cannot run, or null
broken      ``problem``: why this Python cannot be the engine at all; it exits
progress    ``done, total, unit``
note        ``message``
media       ``file_id``, ``facts``: what the container of a video says
made        ``result``: the fields of a result that has no more than the poses that are there already
result      ``result``: fields ending in ``_file`` are paths relative to the scratch folder
failed      ``error``: ``{type, message, hint}``
exited      ``code`` or ``signal``: the process and everything it started are gone
=========== ==========================================================================================
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

#: Added by the worker's end of the pipes (`engine_process`): the host has died, and everything of it is gone.
GONE = {"event": "gone"}


@dataclass(frozen=True)
class Order:
    """All that the engine must know to run an analysis. Paths are absolute.

    Attributes
    ----------
    inputs : list of dict
        ``file_id, path, filename, camera`` of each video.
    model : str or None
        The config.yaml of the staged copy of the model's project.
    device : str
        ``cpu``, or ``cuda:<uuid>`` of the GPU whose lock is held.
    lock : str or None
        The ticket of that lock; the process that runs the analysis holds it too.
    poses : list of (dict or None)
        ``analysis_id, files, result`` of earlier poses, of each video.
    earlier : dict or None
        The same of the earlier analysis from which this one starts.
    superanimal_dir : str or None
        The folder with the weights of DeepLabCut's SuperAnimal models.
    memory : str or None
        The folder with what analyses remember for later ones.
    log : str
        File to which everything printed is appended.
    """

    analysis_id: str
    analysis: str
    parameters: dict[str, Any]
    scratch: str
    log: str
    inputs: list[dict[str, str]] = field(default_factory=list)
    model: str | None = None
    device: str = "cpu"
    lock: str | None = None
    threads: int = 1
    poses: list[dict[str, Any] | None] = field(default_factory=list)
    earlier: dict[str, Any] | None = None
    superanimal_dir: str | None = None
    memory: str | None = None


def run_line(order: Order) -> bytes:
    """Return the line that starts a run."""
    return line({"run": dataclasses.asdict(order)})


def line(message: dict[str, Any]) -> bytes:
    """Return a message as a line.

    Raises
    ------
    ValueError, TypeError
        It holds what JSON cannot say (NaN, infinity, a NumPy value …).
    """
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def parse(text: bytes) -> dict[str, Any] | None:
    """Return the message of a line, or None for a line that is none: a process was killed while it wrote it."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
