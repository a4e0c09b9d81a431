"""The SQLite database: one writer thread, one reader thread, write-ahead log, migrations on open."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import sqlite_utils

from edgeloop_daemon.store.migrations import migrations

T = TypeVar("T")


class Database:
    """Access from the event loop: functions are sent to the thread that owns the connection.

    Everything that `write` is given happens in one transaction: all of it or, when it raises, nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="database-reader")
        self._writing: sqlite_utils.Database
        self._reading: sqlite_utils.Database
        self._after_commit: list[Callable[[sqlite_utils.Database], None]] = []

    @contextmanager
    def after_commit(self, look: Callable[[sqlite_utils.Database], None]) -> Iterator[None]:
        """For the block, call `look` in the writer thread after every transaction, before its `write` returns."""
        self._after_commit.append(look)
        try:
            yield
        finally:
            self._after_commit.remove(look)

    async def write(self, change: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `change` in the writer thread, in a transaction, and return its result once that is committed."""

        def transaction() -> T:
            with self._writing.atomic():
                result = change(self._writing)
            for look in self._after_commit:
                look(self._writing)
            return result

        return await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

    async def read(self, query: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `query` in the reader thread; it sees everything that was committed before the call."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, lambda: query(self._reading))

    def _open(self) -> None:
        self._writing = _connect(self._path)
        self._writing.execute("pragma journal_mode = wal")
        migrations.apply(self._writing)
        self._writing.execute("pragma foreign_keys = on")

    def _open_reader(self) -> None:
        self._reading = _connect(self._path)
        self._reading.execute("pragma query_only = on")


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Open (or create) the database at `path` for the block. A `path` of a newer edgeloop still opens: steps only add."""
    database = Database(path)
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(database._writer, database._open)
        path.chmod(0o600)
        await loop.run_in_executor(database._reader, database._open_reader)
        yield database
    finally:
        await loop.run_in_executor(database._reader, lambda: _close(getattr(database, "_reading", None)))
        await loop.run_in_executor(database._writer, lambda: _close(getattr(database, "_writing", None)))
        # Nothing is left for the threads to do: waiting for them would only block the event loop.
        database._reader.shutdown(wait=False)
        database._writer.shutdown(wait=False)


def _connect(path: Path) -> sqlite_utils.Database:
    connection = sqlite3.connect(path, timeout=10)
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma busy_timeout = 10000")
    return sqlite_utils.Database(connection)


def _close(database: sqlite_utils.Database | None) -> None:
    if database is not None:
        database.conn.close()
