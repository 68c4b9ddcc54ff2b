"""Say what is there and what is missing.

Every line begins with a mark: well, limited, or missing; what is not well is followed by what to do. The exit status
is 1 when something is missing that analyses need.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from dlc_jupyter.commands import findings
from dlc_jupyter.commands.findings import Finding
from dlc_jupyter.commands.options import add_options, settings_of
from dlc_jupyter.terminal import can_show, wrapped

MARKS = {"ok": "✓", "warning": "!", "missing": "✗"}
PLAIN_MARKS = {"ok": "+", "warning": "!", "missing": "x"}
COLOURS = {"ok": "32", "warning": "33", "missing": "31"}
LABEL = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything; the exit status is 1 when something is missing."""
    settings = settings_of(arguments)
    found: list[Finding] = []
    for wait, look in findings.subjects(settings):
        live = bool(wait) and sys.stdout.isatty() and not arguments.json
        if live:
            print(f"  {wait} …" if can_show("…") else f"  {wait} ...", end="", flush=True)
        group = list(look())
        if live:
            print("\r\x1b[K", end="")
        if not arguments.json:
            print("\n".join(line(finding) for finding in group), flush=True)
        found += group
    lacking = sum(finding.state == "missing" for finding in found)
    if arguments.json:
        print(json.dumps({"usable": not lacking, "findings": [finding.as_json() for finding in found]}, indent=2))
    else:
        print(summary(lacking, sum(finding.state == "warning" for finding in found)))
    return 1 if lacking else 0


def line(finding: Finding) -> str:
    """Return a finding as it is printed: its mark, its subject, and what to do on a line of its own."""
    marks = MARKS if can_show("".join(MARKS.values())) else PLAIN_MARKS
    mark = marks[finding.state]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        mark = f"\x1b[{COLOURS[finding.state]}m{mark}\x1b[0m"
    text = f"{mark} {finding.subject.ljust(LABEL)} {finding.text}"
    return f"{text}\n{wrapped(finding.advice, ' ' * (LABEL + 3))}" if finding.advice else text


def summary(lacking: int, limited: int) -> str:
    """Return the last line."""
    if lacking:
        return f"\n{_things(lacking)} missing: analyses cannot run before that is mended."
    if limited:
        return f"\nAnalyses can run. {_things(limited)} limited, see above."
    return "\nEverything is there."


def _things(count: int) -> str:
    return "One thing is" if count == 1 else f"{count} things are"
