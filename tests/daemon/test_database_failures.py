"""A database that is damaged, locked, or without room: what is said, what still works, and that nothing is harmed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import StorageBusyError, StorageDamagedError, StorageFullError

ROWS = 400


def names(db: Tables) -> list[str]:
    return [name for (name,) in db.execute("select name from settings order by name")]


async def add(database: Database, name: str, value: str = "1") -> None:
    await database.write(lambda db: db.insert("settings", {"name": name, "value_json": value}))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with some pages of rows, closed."""
    path = tmp_path / "edgeloop.db"
    async with open_database(path) as database:
        await database.write(
            lambda db: db.insert(
                "settings", *({"name": f"name-{number:04}", "value_json": f'"{"v" * 200}"'} for number in range(ROWS))
            )
        )
    return path


def flip_bytes(path: Path, table: str) -> None:
    """Spoil the page on which a table begins."""
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("select rootpage from sqlite_master where name = ?", [table]).fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 200)


@asynccontextmanager
async def damaged(path: Path) -> AsyncIterator[Database]:
    async with open_database(path) as database:
        assert database.problem is not None
        yield database


async def test_a_damaged_database_is_read_and_not_written(path: Path) -> None:
    flip_bytes(path, "devices")
    content = path.read_bytes()
    async with damaged(path) as database:
        assert len(await database.read(names)) == ROWS
        with pytest.raises(StorageDamagedError, match="is damaged") as refused:
            await add(database, "new")
        with pytest.raises(StorageDamagedError):
            await database.read(lambda db: list(db.query("select * from devices")))
    (copy,) = path.parent.glob("edgeloop.db.damaged-*Z")

    assert refused.value.details == {"path": str(path), "copy": str(copy)}
    assert "backup" in refused.value.hint
    assert copy.read_bytes() == content == path.read_bytes()


async def test_the_copy_of_one_damage_is_kept_once(path: Path) -> None:
    flip_bytes(path, "devices")
    for _ in range(2):
        async with damaged(path):
            pass
    assert len(list(path.parent.glob("edgeloop.db.damaged-*Z"))) == 1


async def test_a_truncated_database_is_refused_and_kept(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StorageDamagedError, match="malformed"):
        async with open_database(path):
            raise AssertionError("SQLite reads nothing of it")
    (copy,) = path.parent.glob("edgeloop.db.damaged-*Z")
    assert copy.read_bytes() == content[: len(content) // 2]


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "edgeloop.db"
    path.write_bytes(b"this is a letter, not a database " * 100)
    with pytest.raises(StorageDamagedError, match="not a database"):
        async with open_database(path):
            raise AssertionError("it was opened")
    (copy,) = tmp_path.glob("edgeloop.db.damaged-*Z")
    assert copy.read_bytes() == path.read_bytes()


async def test_damage_that_shows_later_ends_the_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeloop_daemon.store.database.CHECKED_BYTES", 0)
    flip_bytes(path, "devices")
    async with open_database(path) as database:
        assert database.problem is None
        with pytest.raises(StorageDamagedError):
            await database.read(lambda db: list(db.query("select * from devices")))
        with pytest.raises(StorageDamagedError):
            await add(database, "new")
        assert len(await database.read(names)) == ROWS
    assert len(list(path.parent.glob("edgeloop.db.damaged-*Z"))) == 1


@pytest.fixture
def other_program(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


async def test_a_locked_database_is_said_to_be_locked_and_works_again(
    path: Path, other_program: sqlite3.Connection
) -> None:
    async with open_database(path, busy_seconds=0.05) as database:
        other_program.execute("begin immediate")
        with pytest.raises(StorageBusyError, match="Another program keeps the database"):
            await add(database, "new")
        assert len(await database.read(names)) == ROWS
        other_program.execute("rollback")
        await add(database, "new")
        assert "new" in await database.read(names)


async def test_a_short_lock_is_waited_for(path: Path, other_program: sqlite3.Connection) -> None:
    async with open_database(path) as database:
        other_program.execute("begin immediate")
        adding = asyncio.create_task(add(database, "new"))
        await database.read(names)
        other_program.execute("rollback")
        await adding
        assert "new" in await database.read(names)


async def test_a_database_that_is_locked_from_the_start_is_not_opened(
    path: Path, other_program: sqlite3.Connection
) -> None:
    other_program.execute("pragma locking_mode = exclusive")
    other_program.execute("begin exclusive")
    with pytest.raises(StorageBusyError):
        async with open_database(path, busy_seconds=0.05):
            raise AssertionError("it was opened")


async def test_a_database_without_room_keeps_what_it_has_and_goes_on_with_room(path: Path) -> None:
    async with open_database(path) as database:
        limit = await database.write(lambda db: db.execute("pragma page_count").fetchone()[0])
        await database.write(lambda db: db.execute(f"pragma max_page_count = {limit + 2}").fetchone())
        with pytest.raises(StorageFullError, match="no room left") as refused:
            await add(database, "large", f'"{"x" * 100_000}"')
        assert "edgeloop prune" in refused.value.hint
        assert len(await database.read(names)) == ROWS
        await database.write(lambda db: db.execute(f"pragma max_page_count = {limit + 1000}").fetchone())
        await add(database, "large", f'"{"x" * 100_000}"')
        assert "large" in await database.read(names)


@pytest.mark.parametrize("access", [Database.write, Database.read])
async def test_a_cursor_does_not_leave_the_thread_of_its_connection_open(path: Path, access: Any) -> None:
    """Let go of in another thread it reset its statement there, while its owner was in the middle of it."""
    async with open_database(path) as database:
        cursor = await access(database, lambda db: db.execute("select name from settings"))
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            cursor.fetchone()
