"""A connection to the database, as the functions get it that read and change its tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Tables(sqlite3.Connection):
    """An SQLite connection that speaks of rows as dicts as well.

    No transaction begins by itself: `Database` begins and ends one around each change. Names of tables and columns are our
    own, never input: they stand in the SQL as they are.
    """

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Return what a `select` finds, each row by the names of its columns."""
        cursor = self.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    def insert(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Add rows that have the same columns."""
        names = list(rows[0])
        sql = f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"  # noqa: S608 - our names
        self.executemany(sql, [[row[name] for name in names] for row in rows])

    def update(self, table: str, key: str, change: Mapping[str, Any]) -> None:
        """Change columns of the row that has the id `key`."""
        columns = ", ".join(f"{name} = ?" for name in change)
        self.execute(f"update {table} set {columns} where id = ?", [*change.values(), key])  # noqa: S608 - our names


def connect(path: Path, busy_seconds: float, *, read_only: bool = False) -> Tables:
    """Open the database at `path`, and create it unless it is to be `read_only`; wait `busy_seconds` for other programs."""
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=busy_seconds, isolation_level=None, factory=Tables
    )
    connection.execute("pragma synchronous = normal")
    return connection
