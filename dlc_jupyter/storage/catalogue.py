"""The rows of the stored files, and the names under which each of them came in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dlc_jupyter.errors import Ambiguous, NotFound
from dlc_jupyter.storage.database import (
    BROUGHT,
    Database,
    analyses,
    analysis_files,
    begins_with,
    file_names,
    files,
    media,
)
from dlc_jupyter.storage.names import content_type


@dataclass(frozen=True)
class StoredFile:
    """One row: `filename` is the name it came under last, `names` are all of them, newest first.

    Times are seconds since 1970 (UTC), sizes are bytes. `media` is what an analysis has found in a video's container.
    """

    file_id: str
    filename: str
    names: tuple[str, ...]
    content_type: str
    size: int
    created: float
    used: float
    origin: str
    linked_mtime_ns: int | None = None
    media: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the file as `GET /file` lists it."""
        return {
            "file_id": self.file_id,
            "filename": self.filename,
            "names": list(self.names),
            "content_type": self.content_type,
            "size": self.size,
            "created": datetime.fromtimestamp(self.created, UTC).isoformat(timespec="milliseconds"),
            "origin": self.origin,
            "media": self.media,
        }


@dataclass(frozen=True)
class NewFile:
    """What is known of a file that is about to get its place."""

    file_id: str
    size: int
    filename: str
    content_type: str | None
    origin: str


class Catalogue:
    """The rows of the stored files; `dlc_jupyter.storage.files.FileStore` adds the bytes.

    Parameters
    ----------
    database : Database
        Shared with the analyses, so that a file and what needs it are seen in one transaction.
    clock : callable, optional
        Returns the time: seconds since 1970 (UTC).
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def find(self, prefix: str) -> StoredFile:
        """Return the file whose id begins with `prefix`.

        Raises
        ------
        NotFound
            None does, or `prefix` is no hexadecimal text.
        Ambiguous
            More than one does; ``matches`` names up to ten.
        """
        within = begins_with(files.c.file_id, prefix)
        query = sa.select(files).order_by(files.c.file_id).limit(10)
        found = [] if within is None else self._select(query.where(within))
        if not found:
            raise NotFound(f"There is no file {prefix[:80]!r}.", reason="unknown-file")
        if len(found) > 1:
            raise Ambiguous(
                f"More than one file begins with {prefix}: give more characters.",
                matches=[each.file_id for each in found],
            )
        return found[0]

    def page(self, limit: int = 1000, after: str | None = None, *, size: int | None = None) -> list[StoredFile]:
        """Return up to `limit` files, newest first, beginning behind the file `after`; only those of a `size` in bytes.

        Raises
        ------
        NotFound
            There is no file `after`.
        """
        query = sa.select(files).order_by(files.c.seq.desc()).limit(limit)
        if size is not None:
            query = query.where(files.c.size == size)
        if after:
            last = sa.select(files.c.seq).where(files.c.file_id == self.find(after).file_id)
            query = query.where(files.c.seq < last.scalar_subquery())
        return self._select(query)

    def size_of(self, file_ids: Collection[str]) -> int:
        """Return how many bytes those of the files take together that there are."""
        query = sa.select(sa.func.coalesce(sa.func.sum(files.c.size), 0)).where(files.c.file_id.in_(file_ids))
        with self.database.read() as connection:
            return int(connection.scalar(query) or 0)

    def _row(self, file_id: str) -> StoredFile | None:
        return next(iter(self._select(sa.select(files).where(files.c.file_id == file_id))), None)

    def _select(self, query: sa.Select[Any]) -> list[StoredFile]:
        with self.database.read() as connection:
            return described(connection, connection.execute(query).all())

    def note_media(self, file_id: str, facts: Mapping[str, Any]) -> None:
        """Write down what the container of a stored video says. Does nothing where the file is gone."""
        with self.database.write() as connection:
            this = sa.select(files.c.seq).where(files.c.file_id == file_id).with_for_update(read=True)
            if connection.execute(this).first() is None:
                return
            if not connection.execute(
                self.database.insert_if_new(media, {"file_id": file_id, "facts": dict(facts)})
            ).rowcount:
                connection.execute(media.update().where(media.c.file_id == file_id).values(facts=dict(facts)))

    def _write_row(self, new: NewFile, name: str, linked: int | None) -> None:
        """Write the row of new bytes; where there is one already, note that they came again, and under which name."""
        now = self.clock()
        latest = {
            "filename": name,
            "content_type": content_type(name, new.content_type),
            "used": now,
            "linked_mtime_ns": linked,
        }
        first = {"file_id": new.file_id, "size": new.size, "created": now, "origin": new.origin}
        this = files.c.file_id == new.file_id
        named = {"file_id": new.file_id, "name": name, "created": now}
        with self.database.write() as connection:
            if not connection.execute(self.database.insert_if_new(files, first | latest)).rowcount:
                connection.execute(files.update().where(this).values(latest))
                if new.origin in BROUGHT:  # what somebody brought is kept when the analysis that made it too goes
                    connection.execute(
                        files.update().where(this, files.c.origin.not_in(BROUGHT)).values(origin=new.origin)
                    )
            if not connection.execute(self.database.insert_if_new(file_names, named)).rowcount:
                same = sa.and_(file_names.c.file_id == new.file_id, file_names.c.name == name)
                connection.execute(file_names.update().where(same).values(created=now))
            if new.origin not in BROUGHT and _runs(connection, new.origin):
                link_output(connection, new.origin, new.file_id)  # others that made the same file leave it from now on

    def _unlink_outputs(self, analysis_id: str, besides: Collection[str]) -> list[str]:
        """Take from an analysis the files that it has made, unless it runs or has succeeded. Return their ids."""
        kept = sa.exists().where(analyses.c.analysis_id == analysis_id, analyses.c.state.in_(("running", "succeeded")))
        linked = analysis_files.delete().where(
            analysis_files.c.analysis_id == analysis_id,
            analysis_files.c.role == "output",
            analysis_files.c.file_id.not_in(besides),
            ~kept,
        )
        with self.database.write() as connection:
            return list(connection.scalars(linked.returning(analysis_files.c.file_id)))

    def _remove_row(self, file_id: str, allowed: Callable[[sa.Connection, sa.Row[Any]], None]) -> bool:
        """Remove a row. False: there is none. `allowed` refuses by raising, in the same transaction."""
        this = files.c.file_id == file_id
        with self.database.write() as connection:
            row = connection.execute(sa.select(files).where(this).with_for_update()).first()
            if row is None:
                return False
            allowed(connection, row)
            connection.execute(file_names.delete().where(file_names.c.file_id == file_id))
            connection.execute(media.delete().where(media.c.file_id == file_id))
            connection.execute(files.delete().where(this))
        return True


def described(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[StoredFile]:
    """Make stored files of rows of the table, with all their names and what is known of their containers."""
    names: dict[str, list[str]] = {row.file_id: [] for row in rows}
    named = sa.select(file_names).where(file_names.c.file_id.in_(list(names)))
    for file_id, name, _created in connection.execute(named.order_by(file_names.c.created.desc(), file_names.c.name)):
        names[file_id].append(name)
    known = sa.select(media).where(media.c.file_id.in_(list(names)))
    facts = {row.file_id: row.facts for row in connection.execute(known)}
    columns = [{name: value for name, value in row._asdict().items() if name != "seq"} for row in rows]
    return [
        StoredFile(**each, names=tuple(names[each["file_id"]]), media=facts.get(each["file_id"])) for each in columns
    ]


def link_output(connection: sa.Connection, analysis_id: str, file_id: str) -> None:
    """Note that an analysis has made a file, behind those that it made before. Once is enough."""
    this = sa.and_(analysis_files.c.analysis_id == analysis_id, analysis_files.c.role == "output")
    if connection.execute(
        sa.select(analysis_files.c.position).where(this, analysis_files.c.file_id == file_id)
    ).first():
        return
    last = connection.scalar(sa.select(sa.func.max(analysis_files.c.position)).where(this))
    position = 0 if last is None else last + 1
    connection.execute(
        analysis_files.insert().values(analysis_id=analysis_id, role="output", position=position, file_id=file_id)
    )


def _runs(connection: sa.Connection, analysis_id: str) -> bool:
    """Whether an analysis is running, and stays so until the transaction ends."""
    running = sa.and_(analyses.c.analysis_id == analysis_id, analyses.c.state == "running")
    return connection.execute(sa.select(analyses.c.seq).where(running).with_for_update(read=True)).first() is not None


def active_users(connection: sa.Connection, file_id: str) -> list[str]:
    """Return the ids of queued and running analyses that take the file, ten at most."""
    query = (
        sa.select(analyses.c.analysis_id)
        .join(analysis_files, analysis_files.c.analysis_id == analyses.c.analysis_id)
        .where(analysis_files.c.file_id == file_id, analyses.c.state.in_(("queued", "running")))
    )
    return list(connection.scalars(query.limit(10)))


def is_output(connection: sa.Connection, file_id: str) -> bool:
    """Whether an analysis that is listed has made the file."""
    made = sa.and_(analysis_files.c.file_id == file_id, analysis_files.c.role == "output")
    return connection.execute(sa.select(analysis_files.c.file_id).where(made).limit(1)).first() is not None
