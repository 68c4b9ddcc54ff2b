"""An analysis as one row of the table: what was asked for, where it stands, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where an analysis stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether something is still to happen."""
        return self in (State.QUEUED, State.RUNNING)


ACTIVE = (State.QUEUED, State.RUNNING)
FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Request:
    """An analysis asked for, validated: what `Records.create` writes down.

    `parameters` are JSON values; `request_key` is a hash of all that decides the result, or None where the same request
    must always run anew.
    """

    analysis: str
    parameters: Mapping[str, Any]
    file_ids: Sequence[str] = ()
    owner: str = ""
    request_key: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Made:
    """What an analysis has made before it failed or was cancelled: poses from which others can start.

    Attributes
    ----------
    result : mapping
        Their fields of a result.
    file_ids : sequence of str
        Of the files in it.
    poses : mapping of str to str
        As for `dlc_jupyter.jobs.records.Records.succeed`.
    """

    result: Mapping[str, Any]
    file_ids: Sequence[str]
    poses: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """One row: an analysis as it stood when it was read."""

    seq: int
    analysis_id: str
    analysis: str
    parameters: dict[str, Any]
    state: State
    owner: str
    created: float
    started: float | None
    finished: float | None
    attempt: int
    worker: str | None
    cancel_requested: bool
    request_key: str | None
    idempotency_key: str | None
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    file_ids: tuple[str, ...] = field(default=())
    position: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record as `GET /analysis` shows it.

        ``position`` counts from 1 and is null unless queued. ``progress`` is null until there is some; while it waits
        again, it is what the attempt before came to.
        """
        return {
            "analysis_id": self.analysis_id,
            "analysis": self.analysis,
            "file_id": list(self.file_ids),
            "parameters": self.parameters,
            "state": self.state,
            "progress": at_rest(self.progress) if self.state is State.QUEUED else self.progress,
            "position": self.position,
            "created": iso(self.created),
            "started": iso(self.started),
            "finished": iso(self.finished),
            "owner": self.owner,
            "attempt": self.attempt,
        }


def at_rest(progress: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return how far an attempt came that has ended: nothing goes on, so that there is no rate and no end in sight."""
    return progress and {**progress, "rate": None, "eta": None}


def iso(moment: float | None) -> str | None:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return moment if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
