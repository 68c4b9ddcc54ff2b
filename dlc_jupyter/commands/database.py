"""The data folder's database, opened for a command: what keeps it from being opened becomes a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dlc_jupyter.commands.options import CommandError
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.disk import is_network


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database, and make it and the data folder where they are missing.

    Raises
    ------
    CommandError
        It cannot be opened.
    """
    try:
        settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        local = not is_network(settings.root)
        database = Database(database_url(settings.root, settings.database_url), shared_memory=local)
    except OSError as error:
        raise CommandError(f"The data folder {settings.root} cannot be used: {error.strerror}.") from error
    except RuntimeError as error:  # it is a newer version's
        raise CommandError(str(error)) from error
    except ImportError as error:
        raise CommandError(f"The database {_shown(settings)} needs the package {error.name}: install it.") from error
    except SQLAlchemyError as error:
        raise CommandError(f"The database {_shown(settings)} cannot be opened: {_why(error)}.") from error
    try:
        yield database
    finally:
        database.close()


def _shown(settings: Settings) -> str:
    """Return where the database is, without a password."""
    if not settings.database_url:
        return str(settings.root / "dlc.db")
    try:
        return sa.make_url(settings.database_url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "that database_url names"


def _why(error: SQLAlchemyError) -> str:
    reason = error.orig if isinstance(error, DBAPIError) else error
    return str(reason).strip().partition("\n")[0].rstrip(".")
