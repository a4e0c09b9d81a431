"""The SQLite database: one writer thread, one reader thread, write-ahead log, migrations on open."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from edgeloop_daemon.store.applied_migrations import Migration, applied_migrations, apply_migrations
from edgeloop_daemon.store.backups import back_up, keep_damaged
from edgeloop_daemon.store.failures import damaged, database_failure, is_damage
from edgeloop_daemon.store.migrations import migrations as all_migrations
from edgeloop_daemon.store.tables import Tables, connect
from edgeloop_daemon.store.worker_thread import WorkerThread
from edgeloop_shared.errors import StorageDamagedError, StorageError

BUSY_SECONDS = 10.0
CHECKED_BYTES = 64 * 1024**2
"""A database up to this size is checked as a whole when it is opened; damage to a larger one shows when it is met."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Database:
    """Access from the event loop: functions are sent to the thread that owns the connection.

    Everything that `write` is given happens in one transaction: all of it or, when it raises, nothing. Both raise
    `StorageFullError`, `StorageBusyError`, `StorageDamagedError` or `StorageError` when the disk or the file refuses.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration], busy_seconds: float) -> None:
        self._path = path
        self._migrations = migrations
        self._busy_seconds = busy_seconds
        self._writer = WorkerThread("database-writer")
        self._reader = WorkerThread("database-reader")
        self._writing: Tables
        self._reading: Tables
        self._after_commit: list[Callable[[Tables], None]] = []
        self.problem: StorageDamagedError | None = None
        """Why the database is only read: it is damaged."""
        self.changes = 0
        """How many transactions there were: what was read since the last one is as good as read now."""

    @contextmanager
    def after_commit(self, look: Callable[[Tables], None]) -> Iterator[None]:
        """For the block, call `look` in the writer thread after every transaction, before its `write` returns."""
        self._after_commit.append(look)
        try:
            yield
        finally:
            self._after_commit.remove(look)

    async def write(self, change: Callable[[Tables], T]) -> T:
        """Run `change` in the writer thread, in a transaction, and return its result once that is committed."""

        def transaction() -> T:
            if self.problem is not None:
                raise self.problem
            with _transaction(self._writing):
                result = _closed(change(self._writing))
            self.changes += 1
            for look in self._after_commit:
                look(self._writing)
            return result

        return await self._writer.run(self._guarded(transaction))

    async def read(self, query: Callable[[Tables], T]) -> T:
        """Run `query` in the reader thread; it sees everything that was committed before the call."""
        return await self._reader.run(self._guarded(lambda: _closed(query(self._reading))))

    async def compact(self) -> None:
        """Give the room of what was deleted back to the disk."""

        def vacuum() -> None:
            self._writing.execute("vacuum")
            self._writing.execute("pragma wal_checkpoint(truncate)")

        await self._writer.run(self._guarded(vacuum))

    def _guarded(self, work: Callable[[], T]) -> Callable[[], T]:
        def call() -> T:
            try:
                return work()
            except sqlite3.Error as error:
                if is_damage(error) and self.problem is None:
                    self._found_damaged(str(error))
                failure = self.problem if is_damage(error) else database_failure(error, self._path)
                if failure is None:
                    raise
                raise failure from error

        return call

    def _found_damaged(self, reason: str) -> None:
        self.problem = damaged(self._path, reason, keep_damaged(self._path), is_readable=_is_readable(self._path))
        _log.error("%s", self.problem)

    def _open(self) -> None:
        if reason := _damage(self._path):
            self._found_damaged(reason)
            return
        self._writing = connect(self._path, self._busy_seconds)
        self._writing.execute("pragma journal_mode = wal")
        self._migrate()
        self._writing.execute("pragma foreign_keys = on")

    def _migrate(self) -> None:
        """Apply what is missing, in one transaction and with a backup of what was there."""
        applied = applied_migrations(self._writing)
        pending = [step for step in self._migrations if step.__name__ not in applied]
        known = {step.__name__ for step in self._migrations}
        newer = [name for name in applied if name not in known]
        if newer:
            raise StorageError(
                f"The database {self._path} was written by a newer edgeloop: it has the step {newer[-1]}.",
                hint="Update edgeloop, or use another state folder by setting EDGELOOP_HOME.",
                details={"unknown_steps": newer},
            )
        if pending and applied:
            copy = back_up(self._writing, self._path, f"before-{pending[0].__name__}")
            _log.info("The database is migrated by %d steps; a backup is kept as %s", len(pending), copy)
        if pending:
            with _transaction(self._writing):
                apply_migrations(self._writing, pending)

    def _open_reader(self) -> None:
        if self.problem is None:
            self._reading = connect(self._path, self._busy_seconds)
        else:
            self._reading = connect(self._path, self._busy_seconds, read_only=True)
            _look(self._reading)  # nothing can be read: say so now
        self._reading.execute("pragma query_only = on")


@asynccontextmanager
async def open_database(
    path: Path, *, migrations: Sequence[Migration] = all_migrations, busy_seconds: float = BUSY_SECONDS
) -> AsyncIterator[Database]:
    """Open (or create) the database at `path` for the block.

    A damaged one is opened for reading only, and a copy of it is kept: `Database.problem` tells. Raises `StorageDamagedError`
    when nothing of it can be read, `StorageBusyError` when another program keeps it locked for `busy_seconds`,
    `StorageFullError`, and `StorageError` for one that a newer edgeloop has written. Whatever is raised, the file stays as it was.
    """
    database = Database(path, migrations, busy_seconds)
    try:
        await database._writer.run(database._guarded(database._open))
        await database._reader.run(database._guarded(database._open_reader))
        path.chmod(0o600)
        yield database
    finally:
        await database._reader.run(lambda: _close(getattr(database, "_reading", None)))
        await database._writer.run(lambda: _close(getattr(database, "_writing", None)))
        database._reader.end()
        database._writer.end()


def _damage(path: Path) -> str:
    """Return what is wrong with the file at `path`; nothing when it is sound, or not there yet."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path)) as connection:
            _look(connection)
            if path.stat().st_size <= CHECKED_BYTES:
                (answer,) = connection.execute("pragma quick_check(1)").fetchone()
                return "" if answer == "ok" else str(answer).splitlines()[-1]
    except sqlite3.Error as error:
        if is_damage(error):
            return str(error)
        raise
    return ""


def _is_readable(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _look(connection)
    except sqlite3.Error:
        return False
    return True


def _look(connection: sqlite3.Connection | Tables) -> None:
    """Read the names of the tables. Raises `sqlite3.Error` where nothing can be read."""
    connection.execute("select count(*) from sqlite_master").fetchone()


def _closed(result: T) -> T:
    """Return a result that may leave its thread: a cursor is closed before.

    Whoever lets go of an open one resets its statement, from any thread and in the middle of what the owner of the connection
    does with it.
    """
    if isinstance(result, sqlite3.Cursor):
        result.close()
    return result


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # Immediate: SQLite waits for another writer only when a transaction begins, not when it turns from reading to writing.
    connection.execute("begin immediate")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _close(database: Tables | None) -> None:
    if database is not None:
        with suppress(sqlite3.Error):  # the last checkpoint may find no room: the next daemon makes it
            database.close()
