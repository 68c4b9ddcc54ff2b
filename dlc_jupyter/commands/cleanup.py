"""Remove what has lived long enough, and what crashes have left behind.

Files, unfinished uploads and analyses go when they are older than the configuration says (expire_files_days,
expire_uploads_hours, expire_analyses_days).
Uploads that were not used lately (evict_unused_hours) go earlier where the disk (min_free_bytes) or the quota
(store_quota_bytes) is full. Nothing goes that a queued or running analysis needs, and no result that is younger than
its age. The worker does the same by itself, every cleanup_hours.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from dlc_jupyter.amounts import readable
from dlc_jupyter.commands.database import opened
from dlc_jupyter.commands.options import CommandError, add_options, settings_of
from dlc_jupyter.jobs.cleanup import CleanUp
from dlc_jupyter.jobs.records import Records
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.retention import Removal
from dlc_jupyter.terminal import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--dry-run", "-n", action="store_true", help="remove nothing; print what would go, and why")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Clean up, and print what has gone; the exit status is 1 when there is still too little room."""
    settings = settings_of(arguments)
    if not settings.root.is_dir():
        raise CommandError(f"There is no data folder {settings.root}. Name it with --data-dir.")
    with opened(settings) as database:
        files = FileStore(settings, database)
        clean_up = CleanUp(settings, files, Records(database))
        now = time.time()
        removals = clean_up.plan(now) if arguments.dry_run else list(clean_up.run(now))
        freed = sum(removal.size for removal in removals)
        lacking = max(0, files.lacking_bytes() - (freed if arguments.dry_run else 0))
    if arguments.json:
        print(json.dumps({"dry_run": arguments.dry_run, "removed": [_as_json(each) for each in removals]}, indent=2))
    else:
        print(report(removals, dry_run=arguments.dry_run))
    if lacking:
        print(
            f"Still {readable(lacking)} too little room: delete files or analyses, or raise the limits "
            "(min_free_bytes, store_quota_bytes).",
            file=sys.stderr,
        )
    return 1 if lacking else 0


def report(removals: Sequence[Removal], *, dry_run: bool) -> str:
    """Return a table of what goes and why, and what that amounts to."""
    if not removals:
        return "Nothing has to go."
    rows = [(each.kind, each.id[:8], each.name, readable(each.size), each.reason) for each in removals]
    freed = readable(sum(removal.size for removal in removals))
    things = "1 thing" if len(removals) == 1 else f"{len(removals)} things"
    end = (
        f"{things} would go, {freed} in all. Without --dry-run they do."
        if dry_run
        else f"{things} gone, {freed} freed."
    )
    return f"{table(('KIND', 'ID', 'NAME', 'SIZE', 'WHY'), rows)}\n\n{end}"


def _as_json(removal: Removal) -> dict[str, Any]:
    return {name: getattr(removal, name) for name in ("kind", "id", "name", "size", "reason")}
