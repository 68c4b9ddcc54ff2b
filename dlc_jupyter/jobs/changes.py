"""What has changed since: the analyses and files that were made, changed or deleted, as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.jobs import rows
from dlc_jupyter.storage.catalogue import described
from dlc_jupyter.storage.database import KEPT_CHANGES, Database, analyses, changes, files

ANALYSIS, FILE = "analysis", "file"


@dataclass(frozen=True)
class Change:
    """An analysis or a file that has changed.

    Attributes
    ----------
    seq : int
        The number of its last change.
    kind : str
        `ANALYSIS` or `FILE`.
    body : mapping
        What `GET /analysis` or `GET /file` shows of it; ``{"<kind>_id": …, "deleted": true}`` where it is gone.
    owner : str
        Who asked for the analysis.
    """

    seq: int
    kind: str
    id: str
    owner: str
    body: Mapping[str, Any]


class Changes:
    """The changes of one database, whoever makes them.

    Parameters
    ----------
    database : Database
        Its triggers note every change. See `dlc_jupyter.storage.database.changes`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self) -> int:
        """Return the number of the last change."""
        with self.database.read() as connection:
            return _latest(connection)

    def since(self, seq: int, limit: int) -> list[Change] | None:
        """Return up to `limit` changes behind number `seq`, in their order: each analysis and each file once.

        All are seen at one moment. Whoever goes on from the number of any of them misses nothing, and is told nothing
        twice that has not changed again.

        Returns
        -------
        list of Change or None
            None: that is too long ago, or there is no such number. All lists have to be looked at anew.
        """
        with self.database.read() as connection:
            latest = _latest(connection)
            if not latest - KEPT_CHANGES <= seq <= latest:
                return None
            query = sa.select(changes).where(changes.c.seq > seq, changes.c.kind.in_((ANALYSIS, FILE)))
            found = connection.execute(query.order_by(changes.c.seq).limit(limit)).all()
            bodies = {
                ANALYSIS: _analyses(connection, [row.id for row in found if row.kind == ANALYSIS]),
                FILE: _files(connection, [row.id for row in found if row.kind == FILE]),
            }
        return [
            Change(
                row.seq,
                row.kind,
                row.id,
                row.owner,
                bodies[row.kind].get(row.id, {f"{row.kind}_id": row.id, "deleted": True}),
            )
            for row in found
        ]


def _latest(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.coalesce(sa.func.max(changes.c.seq), 0))) or 0)


def _analyses(connection: sa.Connection, ids: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    query = sa.select(*rows.COLUMNS).where(analyses.c.analysis_id.in_(ids))
    found = rows.complete(connection, connection.execute(query).all())
    return {record.analysis_id: record.as_json() for record in found}


def _files(connection: sa.Connection, ids: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    query = sa.select(files).where(files.c.file_id.in_(ids))
    return {file.file_id: file.as_json() for file in described(connection, connection.execute(query).all())}
