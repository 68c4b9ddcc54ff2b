"""List the registered DeepLabCut models.

Models are registered by name in the configuration (c.DLCApp.models), found below a folder (c.DLCApp.models_dir), or
made of a calibration (POST /model).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from dlc_jupyter.commands.options import add_options, settings_of
from dlc_jupyter.jobs.requests import models_of
from dlc_jupyter.pose.models import Model
from dlc_jupyter.terminal import table, wrapped

HEADER = ("NAME", "KIND", "BODY PARTS", "INDIVIDUALS", "NETWORK", "SNAPSHOTS", "CAMERAS")
HOW_TO_REGISTER = """\
No model is registered. Name your DeepLabCut projects in jupyter_server_config.py, for example
    c.DLCApp.models = {"my-mouse": "/data/projects/my-mouse-2026-01-01/config.yaml"}
or name a folder below which they lie: c.DLCApp.models_dir = "/data/projects". A first try needs neither:
    dlc-jupyter demo"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--json", action="store_true", help="print them as JSON, as GET /model answers")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; the exit status is 1 when a model cannot be used."""
    settings = settings_of(arguments)
    models = models_of(settings).all()
    if arguments.json:
        print(json.dumps([model.as_json() for model in models], indent=2))
    elif models:
        print(table(HEADER, [_row(each) for each in models]))
        for broken in [each for each in models if each.problem]:
            print(f"\n{broken.name} cannot be used ({broken.config}):")
            print(wrapped(str(broken.problem), "    "))
    else:
        print(HOW_TO_REGISTER)
    return 1 if any(model.problem for model in models) else 0


def _row(model: Model) -> tuple[str, ...]:
    parts = f"{len(model.bodyparts)} ({_first(model.bodyparts)})" if model.bodyparts else "-"
    individuals = str(len(model.individuals)) if model.individuals else "-"
    snapshots = str(len(model.snapshots)) if model.snapshots else "-"
    return model.name, model.kind, parts, individuals, model.net_type or "-", snapshots, _cameras(model)


def _cameras(model: Model) -> str:
    """Return the cameras of a 3D model, and how well they were calibrated: the reprojection error, and the unit."""
    if not model.cameras:
        return "-"
    known = model.calibration or {}
    error = "" if known.get("error") is None else f"{known['error']:.2f} px"
    about = ", ".join(filter(None, [error, known.get("unit")]))
    return f"{len(model.cameras)} ({_first(model.cameras)})" + (f": {about}" if about else "")


def _first(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
