"""Work on the queue of a data folder, here and in the foreground.

For a machine where analyses run but no server does, or where the server was told not to start a worker
(start_worker = False). One worker serves a data folder, however many servers use it. End it with Ctrl-C: the analysis
it is working on goes back to the queue.
"""

from __future__ import annotations

import argparse
import logging

from dlc_jupyter.commands.database import opened
from dlc_jupyter.commands.options import add_options, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Work until interrupted."""
    from dlc_jupyter.jobs.worker import run_worker

    settings = settings_of(arguments)
    with opened(settings):
        pass  # it can be used
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    return run_worker(settings)
