"""Which migrations a database has been through, kept in a table of its own; the table is named and shaped as sqlite-utils' is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from edgeloop_daemon.store.tables import Tables

_SET = "edgeloop"


class Migration(Protocol):
    """A function that takes the tables one step further; its name is what the database keeps of it."""

    __name__: str

    def __call__(self, tables: Tables, /) -> None:
        """Change the tables, in the caller's transaction."""


def applied_migrations(tables: sqlite3.Connection) -> tuple[str, ...]:
    """Return the names of the migrations that were applied, the first one first. Nothing is written."""
    if not tables.execute("select 1 from sqlite_master where name = '_sqlite_migrations'").fetchone():
        return ()
    sql = "select name from _sqlite_migrations where migration_set = ? order by id"
    return tuple(name for (name,) in tables.execute(sql, [_SET]))


def apply_migrations(tables: Tables, pending: Iterable[Migration]) -> None:
    """Apply migrations and note that they were. In the caller's transaction."""
    tables.execute(
        "create table if not exists _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, applied_at TEXT)"
    )
    tables.execute(
        "create unique index if not exists idx__sqlite_migrations_migration_set_name"
        " on _sqlite_migrations (migration_set, name)"
    )
    for migration in pending:
        migration(tables)
        row = {"migration_set": _SET, "name": migration.__name__, "applied_at": str(datetime.now(UTC))}
        tables.insert("_sqlite_migrations", row)
