"""Open the notebooks in JupyterLab, on this machine alone, with the demo's models and data (``make notebook``)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dlc_jupyter.commands.demo import write_config
from dlc_jupyter.settings import Settings

ROOT = Path(__file__).parent.parent


def command(folder: Path, more: list[str]) -> list[str]:
    """Return the command that opens them.

    Parameters
    ----------
    folder : Path
        Where files and results go: that of ``make demo``, so that what it has made is there too.
    more : list of str
        Further arguments of ``jupyter lab``.
    """
    config = write_config(folder, Settings())
    shown = ROOT / "notebooks" / "quickstart.ipynb"
    options = [f"--config={config.absolute()}", f"--ServerApp.root_dir={ROOT}", "--ip=127.0.0.1"]
    return [sys.executable, "-m", "jupyterlab", *options, *more, str(shown)]


def main() -> None:
    """Become JupyterLab."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "demo-run")
    arguments, more = parser.parse_known_args()
    whole = command(arguments.folder, more)
    os.execv(whole[0], whole)


if __name__ == "__main__":
    main()
