"""The analyses table, written: the truth about every analysis, and every way in which it changes.

``queued → running → succeeded | failed | cancelled``, and ``running → queued`` when a worker gives an analysis back or
was lost. Every transition is one method, and each is one guarded UPDATE: whoever comes second changes nothing and is
told so. Times are passed in as seconds since 1970 (UTC).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from dlc_jupyter.errors import Conflict, NotFound
from dlc_jupyter.jobs import rows
from dlc_jupyter.jobs.listing import Listing
from dlc_jupyter.jobs.record import ACTIVE, FINISHED, Made, Record, Request, State, at_rest, iso
from dlc_jupyter.storage.catalogue import link_output
from dlc_jupyter.storage.database import analyses, analysis_files, files

__all__ = ["ACTIVE", "FINISHED", "Record", "Records", "Request", "State", "iso"]


class Records(Listing):
    """The analyses of one database: every transition, besides what `Listing` reads.

    Parameters
    ----------
    database : Database
        See `Listing`.
    """

    # -- asked for ---------------------------------------------------------------------------------------------------

    def create(self, request: Request, now: float, *, reuse: bool = True) -> Record:
        """Write down a request, and return its record.

        With an idempotency key that was used before, that analysis is returned. Where an earlier analysis of the same
        `Request.request_key` has succeeded and `reuse` is true, the new one has succeeded too, with the same result.

        Raises
        ------
        NotFound
            An input file is gone.
        Conflict
            The idempotency key was used for a different request.
        """
        try:
            with self.database.write() as connection:
                earlier = self._same_key(connection, request)
                if earlier:
                    return earlier
                self._take_files(connection, request.file_ids, now)
                done = self._reusable(connection, request.request_key, keep=True) if reuse else None
                analysis_id = secrets.token_hex(20)
                values = {
                    "analysis_id": analysis_id,
                    "analysis": request.analysis,
                    "parameters": dict(request.parameters),
                    "owner": request.owner,
                    "request_key": request.request_key,
                    "idempotency_key": request.idempotency_key,
                    "created": now,
                    "state": State.QUEUED,
                }
                if done:
                    values |= {"state": State.SUCCEEDED, "started": now, "finished": now, "result": done.result}
                connection.execute(analyses.insert().values(**values))
                rows.link(connection, analysis_id, "input", request.file_ids)
                if done:
                    rows.link(connection, analysis_id, "output", rows.outputs(connection, done.analysis_id))
                    rows.note_poses(connection, analysis_id, rows.poses_of(connection, done.analysis_id))
                return rows.one(connection, analyses.c.analysis_id == analysis_id)
        except IntegrityError:  # two requests with one idempotency key at the same moment
            with self.database.read() as connection:
                earlier = self._same_key(connection, request)
                if earlier:
                    return earlier
            raise

    def _same_key(self, connection: sa.Connection, request: Request) -> Record | None:
        asked = (request.analysis, dict(request.parameters), tuple(request.file_ids))
        return self._with_key(
            connection,
            request.idempotency_key,
            lambda earlier: (earlier.analysis, earlier.parameters, earlier.file_ids) == asked,
        )

    def _take_files(self, connection: sa.Connection, file_ids: Sequence[str], now: float) -> None:
        """Make sure that the files are there, and stay while the analysis is active."""
        taken = files.update().where(files.c.file_id.in_(set(file_ids))).values(used=now)
        found = set(connection.scalars(taken.returning(files.c.file_id)))
        for missing in [each for each in file_ids if each not in found]:
            raise NotFound(f"There is no file {missing}. Upload it first.", reason="unknown-file")

    # -- worked on ---------------------------------------------------------------------------------------------------

    def claim(self, worker: str, now: float, lease_seconds: float) -> Record | None:
        """Take the oldest queued analysis for `worker`, or None. Safe against any number of other workers.

        Its progress is that of the attempt before, if there was one, until this attempt has some to tell.
        """
        oldest = (
            sa.select(analyses.c.seq)
            .where(analyses.c.state == State.QUEUED)
            .order_by(analyses.c.seq)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        taken = (
            analyses.update()
            .where(analyses.c.seq == oldest, analyses.c.state == State.QUEUED)
            .values(
                state=State.RUNNING,
                worker=worker,
                lease_until=now + lease_seconds,
                started=now,
                attempt=analyses.c.attempt + 1,
            )
            .returning(analyses.c.seq)
        )
        with self.database.write() as connection:
            seq = connection.scalar(taken)
            if seq is None:
                return None
            this = analyses.c.seq == seq
            if before := connection.scalar(sa.select(analyses.c.progress).where(this)):
                connection.execute(analyses.update().where(this).values(progress=at_rest(before)))
            return rows.one(connection, this)

    def heartbeat(
        self, analysis_id: str, worker: str, now: float, lease_seconds: float, progress: Mapping[str, Any] | None = None
    ) -> bool | None:
        """Renew the lease, and write the progress if any is given.

        Returns
        -------
        bool or None
            Whether somebody asked to cancel it; None when it is no longer this worker's, which must then stop.
        """
        values: dict[str, Any] = {"lease_until": now + lease_seconds}
        if progress is not None:
            values["progress"] = dict(progress)
        with self.database.write() as connection:
            held = analyses.update().where(*_held(analysis_id, worker)).values(**values)
            asked: bool | None = connection.scalar(held.returning(analyses.c.cancel_requested))
            return asked

    def asked_to_cancel(self, analysis_id: str, worker: str) -> bool | None:
        """Return what `heartbeat` would, without writing anything: cheap enough to ask often."""
        asked = sa.select(analyses.c.cancel_requested).where(*_held(analysis_id, worker))
        with self.database.read() as connection:
            return connection.scalar(asked)

    def succeed(
        self,
        analysis_id: str,
        worker: str,
        now: float,
        result: Mapping[str, Any],
        outputs: Sequence[str],
        *,
        reusable: bool = True,
        poses: Mapping[str, str] | None = None,
    ) -> bool:
        """Finish with a result.

        Parameters
        ----------
        outputs : sequence of str
            Ids of the files in the result.
        reusable : bool
            Whether the same request may be answered with this result.
        poses : mapping of str to str, optional
            Which poses are in the result: how their fields begin, by the keys that `Listing.poses` finds them with.

        Returns
        -------
        bool
            False: it was no longer this worker's, or somebody has asked to cancel it.
        """
        made, values = Made(result, outputs, poses or {}), {} if reusable else {"request_key": None}
        going_on = analyses.c.cancel_requested.is_(False)
        with self.database.write() as connection:
            return self._end(connection, analysis_id, worker, now, State.SUCCEEDED, going_on, made=made, **values)

    def fail(
        self, analysis_id: str, worker: str, now: float, error: Mapping[str, Any], made: Made | None = None
    ) -> bool:
        """Finish with an error (``type, message, hint``). False: it was no longer this worker's."""
        with self.database.write() as connection:
            return self._end(connection, analysis_id, worker, now, State.FAILED, made=made, error=dict(error))

    def cancelled(self, analysis_id: str, worker: str, now: float, made: Made | None = None) -> bool:
        """Finish because that was asked and its process is gone. False: it was no longer this worker's."""
        with self.database.write() as connection:
            return self._end(connection, analysis_id, worker, now, State.CANCELLED, made=made)

    def release(self, analysis_id: str, worker: str) -> bool:
        """Give it back to the queue: the worker stops, the analysis is not at fault, and no attempt was lost."""
        with self.database.write() as connection:
            given = connection.execute(
                analyses.update()
                .where(*_held(analysis_id, worker))
                .values(**_BACK_IN_QUEUE, attempt=analyses.c.attempt - 1)
            )
            return given.rowcount == 1

    def retry(
        self, analysis_id: str, worker: str, now: float, max_attempts: int, error: Mapping[str, Any]
    ) -> State | None:
        """Give it back to the queue after its process was killed; fail it with `error` when it was tried enough.

        Returns
        -------
        State or None
            The state it has now; None when it was no longer this worker's.
        """
        return self._retry(_held(analysis_id, worker), now, max_attempts, error).get(analysis_id)

    def recover(self, now: float, max_attempts: int, error: Mapping[str, Any], worker_prefix: str = "") -> list[Record]:
        """Give back what lost its worker.

        That is every running analysis whose lease has run out or, with `worker_prefix`, whose worker's name begins so
        (the caller knows that those are dead).

        Returns
        -------
        list of Record
            The analyses as they stood before, with the name of the worker that they lost.
        """
        lost = [analyses.c.state == State.RUNNING]
        if worker_prefix:
            lost.append(analyses.c.worker.startswith(worker_prefix, autoescape=True))
        else:
            lost.append(analyses.c.lease_until < now)
        with self.database.read() as connection:
            found = rows.complete(connection, connection.execute(sa.select(*rows.COLUMNS).where(*lost)).all())
        for record in found:
            self._retry((*lost, analyses.c.analysis_id == record.analysis_id), now, max_attempts, error)
        return found

    def _retry(self, where: Iterable[Any], now: float, max_attempts: int, error: Mapping[str, Any]) -> dict[str, State]:
        """Queue again, cancel (where that was asked), or fail, each in one guarded UPDATE."""
        changed: dict[str, State] = {}
        steps: list[tuple[State, list[Any], dict[str, Any]]] = [
            (State.CANCELLED, [analyses.c.cancel_requested.is_(True)], {**_ENDED, "finished": now}),
            (State.FAILED, [analyses.c.attempt >= max_attempts], {**_ENDED, "finished": now, "error": dict(error)}),
            (State.QUEUED, [], dict(_BACK_IN_QUEUE)),
        ]
        with self.database.write() as connection:
            for state, further, values in steps:
                update = analyses.update().where(*where, *further).values(**{**values, "state": state})
                for analysis_id in connection.scalars(update.returning(analyses.c.analysis_id)):
                    changed[analysis_id] = state
        return changed

    def _end(
        self,
        connection: sa.Connection,
        analysis_id: str,
        worker: str,
        now: float,
        state: State,
        *only_if: sa.ColumnElement[bool],
        made: Made | None = None,
        **values: Any,
    ) -> bool:
        if made is not None:
            values["result"] = dict(made.result)
        ended = (
            analyses.update()
            .where(*_held(analysis_id, worker), *only_if)
            .values(**{**_ENDED, **values}, state=state, finished=now)
        )
        if connection.execute(ended).rowcount == 0:
            return False
        if made is not None:
            for file_id in made.file_ids:  # linked already, when they were stored
                link_output(connection, analysis_id, file_id)
            rows.note_poses(connection, analysis_id, made.poses)
        inputs = sa.select(analysis_files.c.file_id).where(analysis_files.c.analysis_id == analysis_id)
        connection.execute(files.update().where(files.c.file_id.in_(inputs)).values(used=now))
        return True

    # -- given up ----------------------------------------------------------------------------------------------------

    def cancel(self, analysis_id: str, now: float) -> State:
        """Cancel a queued analysis at once; ask the worker of a running one to stop it.

        Returns
        -------
        State
            ``cancelled``, or ``running`` while the worker ends it.

        Raises
        ------
        Conflict
            It has already finished.
        """
        with self.database.write() as connection:
            this = analyses.c.analysis_id == analysis_id
            connection.execute(sa.select(analyses.c.seq).where(this).with_for_update())  # it stays as it is meanwhile
            at_once = analyses.update().where(this, analyses.c.state == State.QUEUED)
            if connection.execute(at_once.values(state=State.CANCELLED, finished=now, cancel_requested=True)).rowcount:
                return State.CANCELLED
            asked = analyses.update().where(this, analyses.c.state == State.RUNNING).values(cancel_requested=True)
            if connection.execute(asked).rowcount:
                return State.RUNNING
            record = rows.one(connection, this)
            raise Conflict(f"This analysis has already {_verb(record.state)}.", reason="already-finished")

    def delete(self, analysis_id: str) -> list[str]:
        """Forget a finished analysis.

        Returns
        -------
        list of str
            Ids of the files that it made and that nothing else uses: the caller removes them from the store.

        Raises
        ------
        Conflict
            It is queued or running.
        """
        with self.database.write() as connection:
            outputs = rows.sole_outputs(connection, analysis_id)
            gone = analyses.delete().where(analyses.c.analysis_id == analysis_id, analyses.c.state.in_(FINISHED))
            if not connection.execute(gone).rowcount:
                record = rows.one(connection, analyses.c.analysis_id == analysis_id)
                raise Conflict(f"This analysis is {record.state}: cancel it first.", reason="analysis-active")
            connection.execute(analysis_files.delete().where(analysis_files.c.analysis_id == analysis_id))
            return outputs


_ENDED: dict[str, Any] = {"worker": None, "lease_until": None}
_BACK_IN_QUEUE: dict[str, Any] = {**_ENDED, "state": State.QUEUED, "started": None}


def _held(analysis_id: str, worker: str) -> tuple[Any, ...]:
    """The guard of every transition of a running analysis: it is still this worker's."""
    return (analyses.c.analysis_id == analysis_id, analyses.c.worker == worker, analyses.c.state == State.RUNNING)


def _verb(state: State) -> str:
    return {State.CANCELLED: "been cancelled"}.get(state, str(state))
