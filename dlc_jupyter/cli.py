"""``dlc-jupyter demo | worker | models | cleanup | check``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from dlc_jupyter._version import __version__
from dlc_jupyter.commands.options import CommandError, split_overrides
from dlc_jupyter.errors import Refusal

#: Every subcommand: its module in `dlc_jupyter.commands`, in the order in which they are shown.
COMMANDS = ("demo", "worker", "models", "cleanup", "check")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="dlc-jupyter",
        description="DeepLabCut behind Jupyter. The server itself is `jupyter dlc`, or JupyterLab with this extension.",
    )
    top.add_argument("--version", action="version", version=f"dlc-jupyter {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"dlc_jupyter.commands.{name}")
        summary, _, more = str(module.__doc__).partition("\n")
        sub = commands.add_parser(
            name,
            help=summary.rstrip("."),
            description=f"{summary}\n{more}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status: 0 well, 1 not, 2 a wrong call, 130 interrupted."""
    overrides, others = split_overrides(sys.argv[1:] if argv is None else argv)
    if not others:
        parser().print_help(sys.stderr)
        return 2
    arguments = parser().parse_args(others)
    arguments.overrides = overrides
    try:
        status: int = arguments.run(arguments)
    except CommandError as error:
        print(f"dlc-jupyter {arguments.command}: {error}", file=sys.stderr)
        return 2
    except Refusal as refusal:
        print(f"dlc-jupyter {arguments.command}: {refusal.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
