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
from dataclasses import dataclass
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
#: The lock under which PostgreSQL numbers changes, so that they are seen in the order of their numbers.
CHANGES_LOCK = 0x646C64

#: How many numbers of changes back one can still be told what has changed since.
KEPT_CHANGES = 10_000

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

#: Uploads that come in several requests; how much of one has come says its part file.
uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),  # empty where the server does not know its users
    Column("filename", Text, nullable=False),
    Column("content_type", Text),  # as claimed
    Column("notes", Text, nullable=False),  # as the client wrote them (``Upload-Metadata``)
    Column("size", BigInteger, nullable=False),
    Column("sha1", String(40)),  # as announced
    Column("created", Float(53), nullable=False),
    Column("held", BigInteger),  # bytes behind this place count only when their checksum was seen
    Column("file_id", String(40)),  # of the stored file, from the moment before it is stored
    Column("finished", Float(53)),  # that moment
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

#: The last change of each analysis and each file, numbered in the order in which others could see them.
#:
#: Triggers write it, in the transaction that makes the change, so that no statement can forget to. What is deleted has
#: no row of its own any more, which is how that is told. Numbers begin with the time at which the table was made, in
#: milliseconds since 1970: who comes with a number of a database that lay here before has one that is too old.
changes = Table(
    "changes",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),  # "analysis" or "file"
    Column("id", String(40), nullable=False),
    Column("owner", String(255), nullable=False),  # of an analysis
    Index("changes_by_id", "kind", "id"),
    sqlite_autoincrement=True,  # a number that was used is not used again
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

    def lookout(self) -> Lookout:
        """Return what says, for next to nothing, whether anything was committed."""
        return Lookout(self.engine)

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


class Lookout:
    """Whether anything was committed, by whichever process, since it was asked before.

    It holds one connection, and is for one thread at a time.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._connection = engine.raw_connection() if engine.dialect.name == "sqlite" else None
        if self._connection is not None:
            self._connection.detach()  # its own: the pool neither counts nor gets it back
        self._version: int | None = None

    def changed(self) -> bool:
        """Say so; true too where the database cannot tell, or where it is out of reach."""
        if self._connection is None:
            return True
        before = self._version
        try:
            cursor = self._connection.cursor()
            cursor.execute("PRAGMA data_version")  # two microseconds
            row = cursor.fetchone()
            cursor.close()
        except sqlite3.Error:
            self._version = None
            return True
        self._version = row[0] if row else None
        return self._version is None or self._version != before

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()


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


# -- changes are noted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Noted:
    """A table whose changes are noted: as those of what, and without those of columns that nobody is shown."""

    table: Table
    kind: str
    unseen: frozenset[str] = frozenset()

    @property
    def events(self) -> dict[str, str]:
        """The events, as triggers name them, by their first words."""
        seen = ", ".join(column.name for column in self.table.c if column.name not in self.unseen)
        return {"insert": "INSERT", "update": f"UPDATE OF {seen}", "delete": "DELETE"}

    def values(self, row: str) -> str:
        """The values of `changes`, in SQL, where `row` is the row that has changed."""
        owner = f"{row}.owner" if "owner" in self.table.c else "''"
        return f"'{self.kind}', {row}.{self.kind}_id, {owner}"


_NOTED = (
    _Noted(
        analyses,
        "analysis",
        frozenset({"worker", "lease_until", "cancel_requested", "request_key", "idempotency_key"}),
    ),
    _Noted(files, "file", frozenset({"used", "linked_mtime_ns"})),
    _Noted(file_names, "file"),
    _Noted(media, "file"),
)

for _each in _NOTED:
    changes.add_is_dependent_on(_each.table)  # made before it


@sa.event.listens_for(changes, "after_create")
def _changes_created(_table: Table, connection: sa.Connection, **_options: Any) -> None:
    """Make the triggers with the table that they write to, also in a database that had neither."""
    now = int(time.time() * 1000)
    first = f"INSERT INTO changes (seq, kind, id, owner) VALUES ({now}, 'beginning', '', '')"
    triggers = _postgresql_triggers(now) if connection.dialect.name == "postgresql" else _sqlite_triggers()
    for statement in (first, *triggers):
        connection.execute(sa.DDL(statement))  # type: ignore[no-untyped-call]


def _sqlite_triggers() -> Iterator[str]:
    for noted in _NOTED:
        name = noted.table.name
        for event, how in noted.events.items():
            values = noted.values("OLD" if event == "delete" else "NEW")
            yield (
                f"CREATE TRIGGER note_{name}_{event} AFTER {how} ON {name} BEGIN "
                f"INSERT INTO changes (kind, id, owner) VALUES ({values}); END"
            )
    yield f"CREATE TRIGGER prune_changes AFTER INSERT ON changes BEGIN {_PRUNE} END"


def _postgresql_triggers(first: int) -> Iterator[str]:
    """Note changes at the end of the transaction, one transaction after the other.

    Else a number could be seen before a lower one of a transaction that ends later. Taken this late, the lock is never
    held by somebody who waits for another one.
    """
    yield f"SELECT setval(pg_get_serial_sequence('changes', 'seq'), {first})"
    for noted in _NOTED:
        name = noted.table.name
        yield (
            f"CREATE FUNCTION note_{name}() RETURNS trigger LANGUAGE plpgsql AS $note$ "
            f"DECLARE this {name}%%ROWTYPE; BEGIN "  # DDL takes two for one
            "IF TG_OP = 'DELETE' THEN this := OLD; ELSE this := NEW; END IF; "
            f"PERFORM pg_advisory_xact_lock({CHANGES_LOCK}); "
            f"INSERT INTO changes (kind, id, owner) VALUES ({noted.values('this')}); "
            "RETURN NULL; END $note$"
        )
        yield (
            f"CREATE CONSTRAINT TRIGGER note_{name} AFTER {' OR '.join(noted.events.values())} ON {name} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_{name}()"
        )
    yield (
        "CREATE FUNCTION prune_changes() RETURNS trigger LANGUAGE plpgsql AS $prune$ "
        f"BEGIN {_PRUNE} RETURN NULL; END $prune$"
    )
    yield "CREATE TRIGGER prune_changes AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION prune_changes()"


_PRUNE = (
    "DELETE FROM changes WHERE kind = NEW.kind AND id = NEW.id AND seq < NEW.seq; "
    f"DELETE FROM changes WHERE seq <= NEW.seq - {KEPT_CHANGES};"
)
