"""The database and the blob store."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.files import write_atomically
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import NotFoundError, TransferError


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "edgeloop.db") as opened:
        yield opened


def names(database: Tables) -> list[str]:
    return [name for (name,) in database.execute("select name from settings")]


async def test_what_was_written_is_read(database: Database) -> None:
    await database.write(lambda db: db.insert("settings", {"name": "colour", "value_json": "1"}))
    assert await database.read(names) == ["colour"]


async def test_a_change_that_raises_leaves_nothing(database: Database) -> None:
    def half(db: Tables) -> None:
        db.insert("settings", {"name": "half", "value_json": "1"})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await database.write(half)
    assert await database.read(names) == []


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match="readonly"):
        await database.read(lambda db: db.execute("insert into settings values ('a', '1')"))


async def test_the_database_outlives_its_daemon_and_belongs_to_its_user(tmp_path: Path) -> None:
    path = tmp_path / "edgeloop.db"
    async with open_database(path) as database:
        await database.write(lambda db: db.insert("settings", {"name": "kept", "value_json": "1"}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with open_database(path) as database:
        assert await database.read(names) == ["kept"]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    (tmp_path / "blobs").mkdir()
    return BlobStore(tmp_path / "blobs")


def test_a_file_is_found_by_the_hash_of_its_content(blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.mnn"
    source.write_bytes(b"weights" * 1000)
    sha256, size = blobs.add_file(source)
    assert (sha256, size) == (hashlib.sha256(b"weights" * 1000).hexdigest(), 7000)
    assert blobs.open_path(sha256).read_bytes() == source.read_bytes()
    assert blobs.add_bytes(b"weights" * 1000) == sha256


@pytest.mark.parametrize("left", [b"", b"weig"])
def test_a_blob_that_a_power_cut_has_shortened_is_stored_anew(blobs: BlobStore, tmp_path: Path, left: bytes) -> None:
    source = tmp_path / "model.mnn"
    source.write_bytes(b"weights")
    sha256 = blobs.add_bytes(b"weights")
    for add in (lambda: blobs.add_bytes(b"weights"), lambda: blobs.add_file(source)):
        blobs.path(sha256).chmod(0o600)
        blobs.path(sha256).write_bytes(left)
        add()
        assert blobs.open_path(sha256).read_bytes() == b"weights"


def test_bytes_with_another_hash_are_dropped(blobs: BlobStore) -> None:
    sha256 = hashlib.sha256(b"right").hexdigest()
    blobs.partial(sha256).write_bytes(b"wrong")
    with pytest.raises(TransferError):
        blobs.complete(sha256)
    assert not blobs.has(sha256)
    assert not blobs.partial(sha256).exists()
    blobs.partial(sha256).write_bytes(b"right")
    blobs.complete(sha256)
    assert blobs.open_path(sha256).read_bytes() == b"right"


def test_a_missing_blob_is_named(blobs: BlobStore) -> None:
    with pytest.raises(NotFoundError, match="aaaa"):
        blobs.open_path("a" * 64)


def test_an_atomic_write_replaces_the_whole_file_and_keeps_it_private(tmp_path: Path) -> None:
    path = tmp_path / "runtime.json"
    write_atomically(path, "long content")
    write_atomically(path, "short")
    assert path.read_text() == "short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
