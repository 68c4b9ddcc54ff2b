"""The analyses table, read: which analyses there are, where they stand, and which came before."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from dlc_jupyter.errors import Ambiguous, Conflict, NotFound
from dlc_jupyter.jobs import rows
from dlc_jupyter.jobs.record import ACTIVE, FINISHED, Record, State
from dlc_jupyter.storage.database import Database, analyses, analysis_files, begins_with, files

#: Most ids in one statement: databases limit how many values it may have.
AT_ONCE = 500


class Listing:
    """The analyses of one database; `dlc_jupyter.jobs.records.Records` adds what changes them.

    Parameters
    ----------
    database : Database
        Shared with the file store, so that an analysis and the files it needs are seen in one transaction.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    # -- looked at ---------------------------------------------------------------------------------------------------

    def find(self, prefix: str) -> Record:
        """Return the analysis whose id begins with `prefix`.

        Raises
        ------
        NotFound
            None does, or `prefix` is no hexadecimal text.
        Ambiguous
            More than one does; ``matches`` names up to ten.
        """
        unknown = NotFound(f"There is no analysis {prefix[:80]!r}.", reason="unknown-analysis-id")
        within = begins_with(analyses.c.analysis_id, prefix)
        if within is None:
            raise unknown
        with self.database.read() as connection:
            matches = connection.scalars(sa.select(analyses.c.analysis_id).where(within).limit(10)).all()
            if not matches:
                raise unknown
            if len(matches) > 1:
                raise Ambiguous(
                    f"{len(matches)} analyses begin with {prefix}: give more characters.", matches=list(matches)
                )
            return rows.one(connection, analyses.c.analysis_id == matches[0])

    def page(self, limit: int = 100, after: str | None = None) -> list[Record]:
        """Return up to `limit` analyses, newest first, beginning behind the analysis `after`.

        Raises
        ------
        NotFound
            There is no analysis `after`.
        """
        query = sa.select(*rows.COLUMNS).order_by(analyses.c.seq.desc()).limit(limit)
        before = self.find(after).seq if after else None
        with self.database.read() as connection:
            found = connection.execute(query if before is None else query.where(analyses.c.seq < before)).all()
            return rows.complete(connection, found)

    def looking_at(self, file_id: str, prefix: str = "", limit: int = 1000) -> list[Record]:
        """Return the analyses that take a file, and run or have made something, newest first.

        So do those that wait for another attempt. Their ids begin with `prefix`.
        """
        taken = sa.exists().where(
            analysis_files.c.analysis_id == analyses.c.analysis_id,
            analysis_files.c.role == "input",
            analysis_files.c.file_id == file_id,
        )
        states = sa.or_(analyses.c.state.in_(ACTIVE), analyses.c.result.is_not(sa.null()))
        within = begins_with(analyses.c.analysis_id, prefix) if prefix else sa.true()
        if within is None:
            return []
        query = sa.select(*rows.COLUMNS).where(taken, states, within).order_by(analyses.c.seq.desc()).limit(limit)
        with self.database.read() as connection:
            return rows.complete(connection, connection.execute(query).all())

    def count(self) -> dict[str, int]:
        """Return how many analyses are in each state that any is in."""
        with self.database.read() as connection:
            found = connection.execute(
                sa.select(analyses.c.state, sa.func.count().label("number")).group_by(analyses.c.state)
            )
            return {row.state: row.number for row in found}

    def active_with_model(self, name: str) -> list[str]:
        """Return the ids of queued and running analyses that were asked for with the model of a name."""
        query = sa.select(analyses.c.analysis_id, analyses.c.parameters).where(analyses.c.state.in_(ACTIVE))
        with self.database.read() as connection:
            return [row.analysis_id for row in connection.execute(query) if row.parameters.get("model") == name]

    def next_queued(self) -> Record | None:
        """Return the analysis that would be claimed next, without claiming it."""
        query = sa.select(*rows.COLUMNS).where(analyses.c.state == State.QUEUED).order_by(analyses.c.seq).limit(1)
        with self.database.read() as connection:
            return next(iter(rows.complete(connection, connection.execute(query).all())), None)

    def outputs(self, analysis_id: str) -> list[str]:
        """Return the ids of the files that an analysis made."""
        with self.database.read() as connection:
            return rows.outputs(connection, analysis_id)

    def sole_outputs(self, analysis_id: str) -> list[str]:
        """Return the ids of the files that an analysis made and that go with it: nothing else uses them."""
        with self.database.read() as connection:
            return rows.sole_outputs(connection, analysis_id)

    def states(self, analysis_ids: Iterable[str]) -> dict[str, State]:
        """Return the states of those analyses that there are."""
        wanted = sorted(analysis_ids)
        states: dict[str, State] = {}
        query = sa.select(analyses.c.analysis_id, analyses.c.state)
        with self.database.read() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                these = analyses.c.analysis_id.in_(wanted[start : start + AT_ONCE])
                states |= {analysis_id: State(state) for analysis_id, state in connection.execute(query.where(these))}
        return states

    def finished_before(self, moment: float) -> list[tuple[str, str, float]]:
        """Return the id, the name and the end of each analysis that ended before a time (in seconds since 1970)."""
        old = sa.and_(analyses.c.state.in_(FINISHED), analyses.c.finished < moment)
        query = sa.select(analyses.c.analysis_id, analyses.c.analysis, analyses.c.finished).where(old)
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(query.order_by(analyses.c.finished))]

    # -- asked for before --------------------------------------------------------------------------------------------

    def replayed(self, idempotency_key: str, same: Callable[[Record], bool]) -> Record | None:
        """Return the analysis that was asked for with this key, or None.

        `create` does so too. Before it, files and models are looked up, which may have gone since.

        Parameters
        ----------
        same : callable
            Whether a record is what is asked for now.

        Raises
        ------
        Conflict
            The key was used for a different request.
        """
        with self.database.read() as connection:
            return self._with_key(connection, idempotency_key, same)

    def _with_key(self, connection: sa.Connection, key: str | None, same: Callable[[Record], bool]) -> Record | None:
        if not key:
            return None
        try:
            earlier = rows.one(connection, analyses.c.idempotency_key == key)
        except NotFound:
            return None
        if not same(earlier):
            raise Conflict(
                "This Idempotency-Key was used for a different request. Use a new key for a new request.",
                reason="idempotency-key-reused",
            )
        return earlier

    def _reusable(self, connection: sa.Connection, request_key: str | None, *, keep: bool = False) -> Record | None:
        """Return a succeeded analysis of the same request whose outputs are all still stored.

        With `keep` they stay so until the end of the transaction.
        """
        if request_key is None:
            return None
        same = sa.and_(analyses.c.request_key == request_key, analyses.c.state == State.SUCCEEDED)
        for analysis_id in connection.scalars(
            sa.select(analyses.c.analysis_id).where(same).order_by(analyses.c.seq.desc()).limit(5)
        ).all():
            outputs = set(rows.outputs(connection, analysis_id))
            stored = sa.select(files.c.file_id).where(files.c.file_id.in_(outputs))
            if set(connection.scalars(stored.with_for_update(read=True) if keep else stored)) == outputs:
                return rows.one(connection, analyses.c.analysis_id == analysis_id)
        return None

    def poses(self, pose_key: str, limit: int = 5) -> list[tuple[Record, str]]:
        """Return analyses that have made the poses of a key (`Requests.keys`), the newest first.

        Each comes with how the fields of its result begin that have them. Their files may be gone.
        """
        with self.database.read() as connection:
            return rows.poses_with(connection, pose_key, limit)

    def succeeded(self, request_key: str) -> Record | None:
        """Return an earlier analysis with this key that has succeeded and whose outputs are still stored."""
        with self.database.read() as connection:
            return self._reusable(connection, request_key)
