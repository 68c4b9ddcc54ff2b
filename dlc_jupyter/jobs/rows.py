"""The rows of an analysis made into a record: its own, those of its files, and its place in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.errors import NotFound
from dlc_jupyter.jobs.record import Record, State
from dlc_jupyter.storage.database import BROUGHT, analyses, analysis_files, files, poses

COLUMNS = [column for column in analyses.c if column.name != "lease_until"]


def one(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Record:
    """Return the one analysis that a condition singles out.

    Raises
    ------
    NotFound
        There is none.
    """
    rows = connection.execute(sa.select(*COLUMNS).where(where)).all()
    if not rows:
        raise NotFound("There is no such analysis.", reason="unknown-analysis-id")
    return complete(connection, rows)[0]


def complete(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[Record]:
    """Make records of rows with `COLUMNS`, with their input files and their places in the queue."""
    inputs: dict[str, list[str]] = {row.analysis_id: [] for row in rows}
    linked = sa.select(analysis_files.c.analysis_id, analysis_files.c.file_id).where(
        analysis_files.c.role == "input", analysis_files.c.analysis_id.in_(list(inputs))
    )
    for analysis_id, file_id in connection.execute(linked.order_by(analysis_files.c.position)):
        inputs[analysis_id].append(file_id)
    queued = places(connection, [row.seq for row in rows if row.state == State.QUEUED])
    return [
        Record(
            **{**row._asdict(), "state": State(row.state)},
            file_ids=tuple(inputs[row.analysis_id]),
            position=queued.get(row.seq),
        )
        for row in rows
    ]


def link(connection: sa.Connection, analysis_id: str, role: str, file_ids: Sequence[str]) -> None:
    """Note which files go into an analysis (`role` is ``input``) or came out of it (``output``), in their order."""
    links = [
        {"analysis_id": analysis_id, "role": role, "position": position, "file_id": file_id}
        for position, file_id in enumerate(file_ids)
    ]
    if links:
        connection.execute(analysis_files.insert(), links)


def outputs(connection: sa.Connection, analysis_id: str) -> list[str]:
    """Return the ids of the files that an analysis made, in their order."""
    query = sa.select(analysis_files.c.file_id).where(
        analysis_files.c.analysis_id == analysis_id, analysis_files.c.role == "output"
    )
    return list(connection.scalars(query.order_by(analysis_files.c.position)))


def note_poses(connection: sa.Connection, analysis_id: str, found: Mapping[str, str]) -> None:
    """Note which poses the result of an analysis has: the prefixes of their fields, by the keys of `poses_with`."""
    values = [{"analysis_id": analysis_id, "pose_key": key, "prefix": prefix} for key, prefix in found.items()]
    if values:
        connection.execute(poses.insert(), values)


def poses_of(connection: sa.Connection, analysis_id: str) -> dict[str, str]:
    """Return what `note_poses` has noted of an analysis."""
    query = sa.select(poses.c.pose_key, poses.c.prefix).where(poses.c.analysis_id == analysis_id)
    return {row.pose_key: row.prefix for row in connection.execute(query)}


def poses_with(connection: sa.Connection, pose_key: str, limit: int) -> list[tuple[Record, str]]:
    """Return the analyses that have made poses of that key, the newest first, and the prefixes of their fields.

    Those that have failed or were cancelled are among them.
    """
    query = (
        sa.select(*COLUMNS)
        .join(poses, poses.c.analysis_id == analyses.c.analysis_id)
        .where(poses.c.pose_key == pose_key)
    )
    found = complete(connection, connection.execute(query.order_by(analyses.c.seq.desc()).limit(limit)).all())
    return [(record, poses_of(connection, record.analysis_id)[pose_key]) for record in found]


def sole_outputs(connection: sa.Connection, analysis_id: str) -> list[str]:
    """Return those of its `outputs` that nobody brought here and no other analysis uses."""
    other = analysis_files.alias()
    used = sa.exists().where(other.c.file_id == files.c.file_id, other.c.analysis_id != analysis_id)
    made = set(outputs(connection, analysis_id))
    query = sa.select(files.c.file_id).where(files.c.file_id.in_(made), files.c.origin.not_in(BROUGHT), ~used)
    return list(connection.scalars(query))


def places(connection: sa.Connection, seqs: Sequence[int]) -> dict[int, int]:
    """Return the place in the queue, from 1, of each queued row. The rows are a page: few counts, not one each."""
    if not seqs:
        return {}
    first = min(seqs)
    queued = analyses.c.state == State.QUEUED
    before = connection.scalar(sa.select(sa.func.count()).where(queued, analyses.c.seq < first)) or 0
    within = connection.scalars(
        sa.select(analyses.c.seq)
        .where(queued, analyses.c.seq >= first, analyses.c.seq <= max(seqs))
        .order_by(analyses.c.seq)
    )
    return {seq: before + place for place, seq in enumerate(within, start=1)}
