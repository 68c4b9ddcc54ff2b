"""The workers that are alive, and what they are doing: what `GET /status` shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.storage.database import Database, workers

#: A worker that has not shown itself for so long is forgotten, in seconds.
FORGET = 86_400.0


class Roster:
    """The workers of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self, name: str, now: float, status: Mapping[str, Any]) -> None:
        """Write down that a worker is alive, and what it does."""
        with self._database.write() as connection:
            connection.execute(self._database.insert_if_new(workers, {"name": name, "seen": now, "status": {}}))
            connection.execute(workers.update().where(workers.c.name == name).values(seen=now, status=dict(status)))

    def latest(self) -> tuple[str, float, dict[str, Any]] | None:
        """Return the name of the worker that was seen last, when that was, and what it does; None: there is none."""
        query = sa.select(workers).order_by(workers.c.seen.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return (row.name, row.seen, dict(row.status)) if row else None

    def leave(self, prefix: str, now: float) -> None:
        """Forget the workers whose names begin so, and those not heard of for a day."""
        gone = sa.or_(workers.c.name.startswith(prefix, autoescape=True), workers.c.seen < now - FORGET)
        with self._database.write() as connection:
            connection.execute(workers.delete().where(gone))
