"""Databases of earlier versions: brought up to date with all that they hold, or left as they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgeloop_daemon.devices.records import RecordLog
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.devices.run_table import RunFile, RunTable
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.store.database import open_database
from edgeloop_daemon.store.migrations import migrations
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import StorageError

FIRST = (Path(__file__).parent / "golden" / "first-version.sql").read_text()
"""A database as the first version left it, with a row in every table at least."""

SHA = "ab" * 32


def write_database(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "edgeloop.db"
    write_database(path, FIRST)
    return path


async def test_everything_of_the_first_version_is_there_after_its_migration(old: Path, tmp_path: Path) -> None:
    async with open_database(old) as database:
        jobs = await Jobs(tmp_path / "jobs", database, 1, None).recent()
        points = await Jobs(tmp_path / "jobs", database, 1, None).metrics("j1")
        run = await RunTable(database).get("r1")
        lines = await RecordLog(database).payloads("r1.logs", max_bytes=1000)
        registry = Registry(database)
        await registry.load()
        rest = await database.read(
            lambda db: (
                list(db.query("select * from settings")),
                list(db.query("select id, path, is_trusted from workspaces")),
            )
        )

    assert [(job.id, job.kind, job.state, job.created_at) for job in jobs] == [
        ("j1", "train", "failed", 1700000020.0),
        ("j2", "tool", "succeeded", 1700000010.0),
    ]
    assert (jobs[1].parameters, jobs[1].result) == ({"source": "a.onnx"}, {"size": 7})
    assert jobs[0].error == {"code": "job-failed", "message": "The training exited with status 1."}
    assert [(point.tag, point.step, point.value) for point in points] == [("loss", 3, 0.25)]
    assert (run.script, run.arguments, run.trace, run.result) == ("bench.py", ("--fast",), True, {"p50_ms": 1.5})
    assert run.files == (RunFile("plot.png", SHA, 9, True),)
    assert [line.payload for line in lines] == [b'{"time_ns":1,"source":"stdout","text":"hello"}']
    assert [(device.id, device.key, device.info.name) for device in registry.list()] == [("d1", b"\x01" * 32, "phone")]
    assert rest == (
        [{"name": "device_port", "value_json": "40123"}],
        [{"id": "w1", "path": "/home/u/digits", "is_trusted": 1}],
    )


async def test_a_migrated_database_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    def shape(db: Tables) -> dict[str, list[tuple[str, str]]]:
        return {
            name: [(column, kind) for _, column, kind, *_ in db.execute(f"pragma table_info({name})")]
            for (name,) in db.execute("select name from sqlite_master where type in ('table', 'index')").fetchall()
        }

    async with open_database(old) as database, open_database(tmp_path / "new.db") as new:
        assert await database.read(shape) == await new.read(shape)


async def test_a_backup_of_the_old_database_is_kept(old: Path) -> None:
    before = dump(old)
    async with open_database(old):
        pass
    backups = list(old.parent.glob("edgeloop.db.before-*"))

    assert [dump(backup) for backup in backups] == [before]
    assert backups[0].stat().st_mode & 0o777 == 0o600
    async with open_database(old):
        pass
    assert list(old.parent.glob("edgeloop.db.before-*")) == backups  # nothing was to do


async def test_a_new_database_needs_no_backup(tmp_path: Path) -> None:
    async with open_database(tmp_path / "edgeloop.db"):
        pass
    assert not list(tmp_path.glob("*.before-*"))


async def test_a_migration_that_fails_leaves_the_old_database_as_it_was(old: Path) -> None:
    def m999_broken(database: Tables) -> None:
        database.execute("alter table jobs add column half text")
        raise RuntimeError("in the middle")

    before = dump(old)
    with pytest.raises(RuntimeError, match="in the middle"):
        async with open_database(old, migrations=[*migrations, m999_broken]):
            raise AssertionError("a half migrated database was opened")
    assert dump(old) == before


async def test_a_database_of_a_newer_edgeloop_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "edgeloop.db"
    async with open_database(path) as database:
        row = {"migration_set": "edgeloop", "name": "m999_future", "applied_at": "later"}
        await database.write(lambda db: db.insert("_sqlite_migrations", row))
    before = dump(path)
    with pytest.raises(StorageError, match="newer edgeloop: it has the step m999_future") as refused:
        async with open_database(path):
            raise AssertionError("it was opened")
    assert "Update edgeloop" in refused.value.hint
    assert dump(path) == before
