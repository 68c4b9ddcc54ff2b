"""What this machine and its configuration have, and what is missing: one function a subject.

Each returns findings; one that is not well says in its `Finding.advice` what to do.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from dlc_jupyter._version import __version__
from dlc_jupyter.amounts import duration, readable
from dlc_jupyter.commands import engine_probe
from dlc_jupyter.commands.database import opened
from dlc_jupyter.commands.options import CommandError
from dlc_jupyter.jobs import devices
from dlc_jupyter.jobs.engine import BESIDES
from dlc_jupyter.jobs.requests import models_of
from dlc_jupyter.jobs.roster import Roster
from dlc_jupyter.pose.models import Model
from dlc_jupyter.pose.project_files import is_top_down
from dlc_jupyter.settings import Settings

State = Literal["ok", "warning", "missing"]

INSTALL = "pip install 'dlc-jupyter[deeplabcut]'"
PROBE_SECONDS = 180
OLDEST_DEEPLABCUT = (3, 0, 2)


@dataclass(frozen=True)
class Finding:
    """One line of the answer. ``missing``: analyses cannot run before it is mended."""

    subject: str
    state: State
    text: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it for ``--json``."""
        return asdict(self)


def ok(subject: str, text: str) -> Finding:
    """Return a finding that is well."""
    return Finding(subject, "ok", text)


def warning(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that limits something."""
    return Finding(subject, "warning", text, advice)


def missing(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that keeps analyses from running."""
    return Finding(subject, "missing", text, advice)


# -- the server ------------------------------------------------------------------------------------------------------


def server() -> list[Finding]:
    """Look at the server's own Python, and at whether Jupyter loads the extension."""
    text = f"dlc-jupyter {__version__}, Python {platform.python_version()}, jupyter-server {version('jupyter-server')}"
    return [ok("Server", text), extension()]


def extension() -> Finding:
    """Look at whether Jupyter's configuration enables the extension."""
    from jupyter_core.paths import jupyter_config_path
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=jupyter_config_path())
    enabled = manager.get_jpserver_extensions().get("dlc_jupyter")  # type: ignore[no-untyped-call]
    if enabled:
        return ok("Extension", "Jupyter's servers load it")
    state = "switched off" if enabled is False else "not enabled"
    return warning(
        "Extension",
        f"it is {state} for Jupyter's servers; `jupyter dlc` works without",
        "Run: jupyter server extension enable dlc_jupyter",
    )


# -- DeepLabCut ------------------------------------------------------------------------------------------------------


def probe_engine(python: str) -> dict[str, Any]:
    """Ask the engine's Python what it has, in a process of its own.

    Raises
    ------
    OSError
        It cannot be run, or did not answer.
    """
    environment = os.environ | {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [python, engine_probe.__file__],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"it did not answer within {PROBE_SECONDS} s") from None
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines()
        raise OSError(lines[-1] if lines else f"it ended with status {done.returncode}") from None


def engine(settings: Settings) -> list[Finding]:
    """Look at the Python in which DeepLabCut runs. Takes about ten seconds."""
    try:
        found = probe_engine(settings.engine_python)
    except OSError as error:
        return [
            missing(
                "DeepLabCut",
                f"the engine's Python, {settings.engine_python}, does not work: {error}",
                "Set engine_python to the Python of the environment in which DeepLabCut is installed.",
            )
        ]
    if tuple(int(part) for part in found["python"].split(".")[:2]) < (3, 11):
        return [
            missing(
                "DeepLabCut",
                f"the engine's Python is {found['python']}",
                "The engine needs Python 3.11 or newer: make a new environment and set engine_python to its Python.",
            )
        ]
    return [*_deeplabcut(found, settings), *_torch(found, settings), *_opencv(found), *_gpu(found, settings)]


def _deeplabcut(found: Mapping[str, Any], settings: Settings) -> Iterable[Finding]:
    installed, error = found["versions"]["deeplabcut"], found["errors"].get("deeplabcut")
    if installed is None:
        yield missing("DeepLabCut", f"not installed in {settings.engine_python}", f"Run there: {INSTALL}")
    elif error:
        yield missing(
            "DeepLabCut",
            f"{installed} is installed, but cannot be imported: {error}",
            "Mend what is named below, or make a new environment with: " + INSTALL,
        )
    elif _release(installed) < OLDEST_DEEPLABCUT:
        oldest = ".".join(map(str, OLDEST_DEEPLABCUT))
        yield missing("DeepLabCut", f"{installed} is too old", f"{oldest} or newer is needed: {INSTALL}")
    else:
        yield ok("DeepLabCut", f"{installed}, Python {found['python']} ({settings.engine_python})")
    for name in ("av", "pydantic"):
        if name in found["errors"]:
            yield missing(
                name,
                f"cannot be imported in {settings.engine_python}: {found['errors'][name]}",
                f"Run there: pip install '{BESIDES[name]}'" if name in BESIDES else f"Run there: {INSTALL}",
            )


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0]))


def _torch(found: Mapping[str, Any], settings: Settings) -> Iterable[Finding]:
    torch, vision, errors = found["versions"]["torch"], found["versions"]["torchvision"], found["errors"]
    if torch is None or "torch" in errors:
        yield missing("torch", errors.get("torch", "not installed"), f"Run: {INSTALL}")
        return
    needed = [need.split("==")[1].strip("() ;") for need in found["torchvision_needs"] if "==" in need]
    pair = "Install the two from one place, in one command: pip install --force-reinstall torch torchvision"
    if vision is None:
        yield missing("torch", f"torch {torch} is there, torchvision is not", f"Run: {INSTALL}")
    elif needed and needed[0] != torch.split("+")[0]:
        yield missing("torch", f"torchvision {vision} was built for torch {needed[0]}, but torch is {torch}", pair)
    elif "torchvision" in errors:
        yield missing("torch", f"torchvision {vision} does not fit torch {torch}: {errors['torchvision']}", pair)
    elif found["torch"].get("torchvision_operators") is not False:
        yield ok("torch", f"torch {torch}, torchvision {vision}")
    else:
        needing, which = _need_operators(settings), "superanimal and models that detect animals first (top-down)"
        text = f"torch {torch}; torchvision {vision} works but for its compiled operators"
        if found["torch"].get("torchvision_paired") and not needing:  # nothing is wrong: so we have installed them
            yield ok("torch", f"{text}: only {which} need these")
        else:
            yield warning("torch", text, f"These fail without them: {', '.join(needing) or which}. {pair}")


def _need_operators(settings: Settings) -> list[str]:
    """Name what is set up here that looks for animals first, and so needs torchvision's compiled operators."""
    models = [each.name for each in models_of(settings).all() if each.problem is None and is_top_down(each.config)]
    told = [f"the top-down model{'' if len(models) == 1 else 's'} {', '.join(models)}"] if models else []
    return ["superanimal", *told] if settings.superanimal_dir else told


def _opencv(found: Mapping[str, Any]) -> Iterable[Finding]:
    if not found["opencv"] or "cv2" in found["errors"]:
        yield missing("OpenCV", found["errors"].get("cv2", "not installed"), f"Run: {INSTALL}")
        return
    text = ", ".join(f"{name} {number}" for name, number in found["opencv"].items())
    keep = "Run: pip install 'opencv-python-headless<5'"
    if len(found["opencv"]) > 1:
        remove = " ".join(name for name in found["opencv"])
        yield warning("OpenCV", f"{text}: they overwrite each other", f"Run: pip uninstall {remove}; then {keep[5:]}")
    elif any(_release(number) >= (5,) for number in found["opencv"].values()):
        yield warning("OpenCV", f"{text}: DeepLabCut's camera calibration fails with OpenCV 5", keep)
    else:
        yield ok("OpenCV", text)


def _gpu(found: Mapping[str, Any], settings: Settings) -> Iterable[Finding]:
    if found["torch"].get("gpus"):
        yield ok("GPU", ", ".join(found["torch"]["gpus"]))
        return
    there = [gpu.name for gpu in devices.visible_gpus({})]  # whatever torch says
    wanted = settings.device.startswith("cuda")
    finding = missing if wanted else warning
    if there and found["torch"].get("cuda_build"):
        advice = "Its driver is probably too old for this torch: update it, or install a torch for an older CUDA."
        yield finding("GPU", f"{', '.join(there)}, but torch cannot use it", advice)
    elif there:
        advice = "Install a torch for CUDA, see https://pytorch.org/get-started/locally"
        yield finding("GPU", f"{', '.join(there)}, but this torch computes on the processor only", advice)
    elif wanted:
        yield missing("GPU", f"none is found, but device is {settings.device}", "Set device to auto or cpu.")
    else:
        advice = "Nothing is wrong, but long videos take long: a machine with an NVIDIA GPU is much faster."
        yield warning("GPU", "none is found: analyses run on the processor", advice)


# -- ffmpeg ----------------------------------------------------------------------------------------------------------


#: Run by the engine's Python: the ffmpeg that came with DeepLabCut, which `pose.render.find_ffmpeg` falls back to.
_BUNDLED = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"


def find_ffmpeg(settings: Settings) -> str:
    """Return the ffmpeg that labelled videos are written with; empty where there is none."""
    return shutil.which("ffmpeg") or _said([settings.engine_python, "-c", _BUNDLED]).strip()


def ffmpeg(settings: Settings) -> Finding:
    """Look for the ffmpeg that writes labelled videos, and its H.264 encoder. Nothing else needs it, or ffprobe."""
    advice = "Install it: sudo apt-get install ffmpeg, or: conda install -c conda-forge ffmpeg"
    command, system = find_ffmpeg(settings), shutil.which("ffmpeg")
    if not command:
        return warning("ffmpeg", "not found: poses can be had, but labelled videos cannot be made", advice)
    whose = "" if system else ", the one that came with DeepLabCut"
    if "libx264" not in _said([command, "-hide_banner", "-encoders"]):
        text = f"cannot write H.264 (no libx264{whose}): poses can be had, but labelled videos cannot be made"
        return warning("ffmpeg", text, advice)
    return ok("ffmpeg", f"{' '.join(_said([command, '-version']).split()[2:3])} with libx264{whose}")


def _said(command: list[str]) -> str:
    """Return what a program prints; nothing where it cannot be run."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


# -- the data folder -------------------------------------------------------------------------------------------------


def data_folder(settings: Settings) -> Iterable[Finding]:
    """Look at the data folder's disk: writable, room, and local."""
    from dlc_jupyter.storage.disk import filesystem_type, free_bytes, is_network

    root = settings.root
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    there = "" if nearest == root else " (it will be made)"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        advice = "Set data_dir to a folder of your own, or have this one's owner changed."
        yield missing("Data folder", f"{root} cannot be written", advice)
        return
    if is_network(nearest):
        kind = filesystem_type(nearest)
        advice = "Set data_dir to a folder on a local disk. One server and one worker on one machine do work here."
        yield warning("Data folder", f"{root}{there} lies on a network file system ({kind})", advice)
    else:
        yield ok("Data folder", f"{root}{there}, on a local disk")
    free = free_bytes(nearest)
    if free < settings.min_free_bytes:
        text = f"{readable(free)} free, and uploads stop at {readable(settings.min_free_bytes)} (min_free_bytes)"
        yield missing("Disk", text, "Make room (dlc-jupyter cleanup --dry-run shows what may go), or move data_dir.")
    else:
        yield ok("Disk", f"{readable(free)} free")


# -- the worker ------------------------------------------------------------------------------------------------------


def worker(settings: Settings, now: float | None = None) -> Finding:
    """Look at whether a worker of this data folder has been heard of lately."""
    try:
        seen = _last_heard(settings)
    except CommandError as error:
        return missing("Database", str(error).rstrip("."), "Mend it, or set data_dir (or database_url) to another one.")
    age = None if seen is None else (time.time() if now is None else now) - seen
    if age is not None and age < settings.lease_seconds:
        return ok("Worker", f"running, heard of {duration(max(age, 0))} ago")
    if settings.start_worker:
        return ok("Worker", "not running now; the server starts one")
    return warning(
        "Worker",
        "not running, and the server starts none (start_worker is off)",
        "Run: dlc-jupyter worker, with the same configuration",
    )


def _last_heard(settings: Settings) -> float | None:
    if not settings.database_url and not (settings.root / "dlc.db").exists():
        return None
    with opened(settings) as database:
        latest = Roster(database).latest()
    return latest[1] if latest else None


# -- models ----------------------------------------------------------------------------------------------------------


def models(settings: Settings) -> list[Finding]:
    """Look at every registered model."""
    found = models_of(settings).all()
    if not found:
        advice = "Register your DeepLabCut projects: dlc-jupyter models says how. dlc-jupyter demo brings its own."
        return [warning("Models", "none is registered", advice)]
    return [_model(model) for model in found]


def _model(model: Model) -> Finding:
    if model.problem is not None:
        return warning("Model", f"{model.name} cannot be used ({model.config})", model.problem)
    snapshots = f"{len(model.snapshots)} snapshot{'' if len(model.snapshots) == 1 else 's'}"
    return ok("Model", f"{model.name}: {model.kind.upper()}, {len(model.bodyparts)} body parts, {snapshots}")


def subjects(settings: Settings) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
    """Return what to look at: words for a wait, where there is one, and the function that looks."""
    return [
        ("", server),
        ("importing DeepLabCut, about ten seconds", lambda: engine(settings)),
        ("", lambda: [ffmpeg(settings)]),
        ("", lambda: data_folder(settings)),
        ("", lambda: [worker(settings)]),
        ("", lambda: models(settings)),
    ]
