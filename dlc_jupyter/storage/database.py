"""Tables, connections and migrations: the one place that knows which database this is.

SQLite by default; whatever only SQLite needs is in this module, so that everything else is plain SQLAlchemy Core.
Times are seconds since 1970 in UTC, as floating point numbers; JSON is stored as text by SQLAlchemy's ``JSON``.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from dlc_jupyter.storage.disk import disk_full

SCHEMA_VERSION = 1

#: How long a connection waits for others to let it write, in seconds.
PATIENCE = 15.0

#: The lock under which PostgreSQL's tables are made: any number that nobody else takes.
MIGRATION_LOCK = 0x646C63

#: Origins of files that somebody brought here; any other origin is the id of the analysis that made the file.
BROUGHT = ("upload", "path")

metadata = sa.MetaData()

schema = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

#: Stored files, by the SHA-1 of their bytes.
files = Table(
    "files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("file_id", String(40), nullable=False, unique=True),
    Column("filename", Text, nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("used", Float(53), nullable=False),  # last uploaded, registered or wanted by an analysis
    Column("origin", String(64), nullable=False),
    Column("linked_mtime_ns", BigInteger),  # set when the bytes are a hard link to a user's own file
)

#: Every name under which the same bytes came in.
file_names = Table(
    "file_names",
    metadata,
    Column("file_id", String(40), ForeignKey("files.file_id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("created", Float(53), nullable=False),
)

#: What the container of a stored video says (codec, frames, duration …), as the last analysis has found it.
media = Table(
    "media",
    metadata,
    Column("file_id", String(40), ForeignKey("files.file_id", ondelete="CASCADE"), primary_key=True),
    Column("facts", JSON, nullable=False),
)

analyses = Table(
    "analyses",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("analysis_id", String(40), nullable=False, unique=True),
    Column("analysis", String(64), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("idempotency_key", String(255), unique=True),
    Column("request_key", String(64)),  # hash of all that decides the result; None: never reused
    Column("created", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("attempt", Integer, nullable=False, default=0),
    Column("worker", String(255)),
    Column("lease_until", Float(53)),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress", JSON(none_as_null=True)),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Index("analyses_by_state", "state", "seq"),
    Index("analyses_by_request", "request_key"),
)

#: The files that go into an analysis (``role`` = "input", in order) and that came out of it ("output").
analysis_files = Table(
    "analysis_files",
    metadata,
    Column("analysis_id", String(40), ForeignKey("analyses.analysis_id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(8), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("file_id", String(40), nullable=False),
    Index("analysis_files_by_file", "file_id"),
)

#: Which poses a result has, whoever made them; ``prefix`` is how its fields begin that have them.
poses = Table(
    "poses",
    metadata,
    Column("pose_key", String(64), primary_key=True),  # hash of all that decides them
    Column("analysis_id", String(40), ForeignKey("analyses.analysis_id", ondelete="CASCADE"), primary_key=True),
    Column("prefix", Text, nullable=False),
    Index("poses_by_analysis", "analysis_id"),
)

#: Workers that are, or lately were, alive; ``status`` is what `GET /status` shows of worker, engine and devices.
workers = Table(
    "workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("seen", Float(53), nullable=False),
    Column("status", JSON, nullable=False),
)


class Database:
    """Connections to one database, and its schema brought up to date.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.
    shared_memory : bool, optional
        Whether SQLite may use its write-ahead log, which needs a local disk.
    """

    def __init__(self, url: str, *, shared_memory: bool = True) -> None:
        self.engine = sa.create_engine(url, **_options(url))
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine, "WAL" if shared_memory else "DELETE")
        self._migrate()

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction: all of it happens, or nothing does.

        Raises
        ------
        NoSpace
            The disk is full.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise disk_full() from error
            raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view for reading, which never waits for a writer."""
        with self.engine.connect().execution_options(**_reading(self.engine.dialect.name)) as connection:
            yield connection

    def insert_if_new(self, table: Table, values: dict[str, Any]) -> Any:
        """Return an INSERT that does nothing where the row is there already: its ``rowcount`` is 0 then."""
        dialect = importlib.import_module(f"sqlalchemy.dialects.{self.engine.dialect.name}")
        insert = dialect.insert(table).values(**values).on_conflict_do_nothing()
        return insert.execution_options(preserve_rowcount=True)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _migrate(self) -> None:
        with self.write() as connection:
            if self.engine.dialect.name == "postgresql":  # SQLite has one writer at a time as it is
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            metadata.create_all(connection)
            version = connection.execute(sa.select(schema.c.version)).scalar()
            if version is None:
                connection.execute(schema.insert().values(version=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise RuntimeError(
                    f"The database was written by a newer dlc_jupyter (schema {version}, not {SCHEMA_VERSION}). "
                    "Upgrade dlc_jupyter, or point data_dir at another folder."
                )


def database_url(root: Path, configured: str) -> str:
    """Return the URL of the database: the configured one, or SQLite in the data folder `root`."""
    return configured or f"sqlite:///{root / 'dlc.db'}"


def begins_with(column: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool] | None:
    """Return the condition that an id begins with `prefix`, which an index answers. None: no id can."""
    prefix = prefix.lower()
    if not prefix or len(prefix) > 40 or not set(prefix) <= set("0123456789abcdef"):
        return None
    return sa.and_(column >= prefix, column < prefix + "g")


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": PATIENCE, "check_same_thread": False}}
    return {"pool_pre_ping": True}


def _reading(dialect: str) -> dict[str, Any]:
    """Return the options of a connection that sees one moment, however many statements it reads with."""
    if dialect == "postgresql":
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return {"read_only": True}


def _prepare_sqlite(engine: sa.Engine, journal_mode: str) -> None:
    """Make SQLite's transactions real ones: the driver starts none by itself, and a writer takes its lock at once."""

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        _set_journal_mode(connection, journal_mode)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def began(connection: sa.Connection) -> None:
        read_only = connection.get_execution_options().get("read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _set_journal_mode(connection: sqlite3.Connection, mode: str) -> None:
    """Set it, and wait for others that do so too: SQLite's own time-out does not cover the change of the mode."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode={mode}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
