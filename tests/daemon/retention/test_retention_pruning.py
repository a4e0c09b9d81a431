"""Pruning a state folder: what goes from disk and database, and what stays."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.retention.inventory import RETURN_SECONDS
from edgeloop_daemon.retention.leftovers import TrainingLeftovers
from edgeloop_daemon.retention.policy import DAY, RetentionPolicy
from edgeloop_daemon.retention.retention import BLOB_GRACE_SECONDS, Retention
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.intake import add_clock, add_session, seal
from edgeloop_shared import process_lock
from edgeloop_shared.bundles import BundleFile, BundleManifest
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.codec import encode_json
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

OLD = time.time() - 100 * DAY


class Trainings(TrainingLeftovers):
    """Remembers what it was asked to remove."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def remove_worktree(self, workspace: str, job: str) -> None:
        self.asked.append(("worktree", workspace, job))

    async def forget_snapshot(self, workspace: str, job: str) -> None:
        self.asked.append(("snapshot", workspace, job))


@dataclass
class State:
    """A state folder and what keeps it small."""

    folders: Folders
    database: Database
    blobs: BlobStore
    retention: Retention
    trainings: Trainings
    _count: int = field(default=0)

    async def job(self, *, ended_at: float | None = OLD, kind: str = "tool", size: int = 100_000) -> JobFolder:
        self._count += 1
        folder = JobFolder(self.folders.jobs / f"j{self._count}")
        folder.files.mkdir(parents=True)
        folder.log.write_bytes(os.urandom(size))
        row: dict[str, object] = {
            "id": folder.root.name,
            "workspace": "w1",
            "kind": kind,
            "name": "convert",
            "parameters_json": "{}",
        }
        row |= {"state": "succeeded" if ended_at else "running", "created_at": OLD, "ended_at": ended_at}
        point = {"run": folder.root.name, "tag": "loss", "step": 1, "value": 1.0, "time": OLD}
        await self.database.write(lambda db: db.insert("jobs", row | {"number": self._count}))
        await self.database.write(lambda db: db.insert("metrics", point))
        return folder

    async def run(self, model: bytes, *, ended_at: float | None = OLD, may_return: bool = False) -> str:
        """Add a run of a bundle that holds a model; return its id."""
        self._count += 1
        run = f"r{self._count}"
        sha256 = self.blob(model)
        manifest = self.blob(encode_json(BundleManifest((BundleFile("model.mnn", sha256, len(model), 0o644),))))
        row = {"id": run, "workspace": "w1", "device": "d1", "script": "task.py", "arguments_json": "[]", "trace": 0}
        row |= {"manifest": manifest, "state": "succeeded" if ended_at else "running", "created_at": OLD}
        record = {
            "device": "d1",
            "epoch": "e",
            "stream": f"{run}.logs",
            "sequence": 1,
            "is_continued": 0,
            "payload": b"x",
        }
        file = {"run": run, "name": "out", "sha256": self.blob(f"out of {run}".encode()), "size": 1, "is_received": 1}
        await self.database.write(
            lambda db: db.insert("runs", row | {"ended_at": ended_at, "may_return": may_return, "number": self._count})
        )
        await self.database.write(lambda db: db.insert("records", record))
        await self.database.write(lambda db: db.insert("run_files", file))
        return run

    def blob(self, content: bytes) -> str:
        sha256 = self.blobs.add_bytes(content)
        os.utime(self.blobs.path(sha256), (OLD, OLD))
        return sha256

    async def rows(self, table: str) -> int:
        return await self.database.read(lambda db: db.execute(f"select count(*) from {table}").fetchone()[0])


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    folders = Folders(tmp_path / "state")
    folders.create()
    blobs = BlobStore(folders.blobs)
    async with open_database(folders.database) as database:
        workspace = {"id": "w1", "path": "/w", "name": "w", "opened_at": 0.0}
        device = {"id": "d1", "device_key": b"", "info_json": "{}", "paired_at": 0.0}
        await database.write(lambda db: db.insert("workspaces", workspace))
        await database.write(lambda db: db.insert("devices", device))
        trainings = Trainings()
        retention = Retention(folders, database, blobs, trainings)
        await retention.set_policy(RetentionPolicy(keep_newest=0))
        yield State(folders, database, blobs, retention, trainings)


async def prune_unblocked(state: State) -> None:
    with blockbuster_ctx("edgeloop_daemon"):
        await state.retention.prune()


async def test_an_old_job_goes_with_its_folder_and_its_metrics(state: State) -> None:
    old, new = await state.job(), await state.job(ended_at=time.time())
    await prune_unblocked(state)
    assert not old.root.exists()
    assert new.log.exists()
    assert (await state.rows("jobs"), await state.rows("metrics")) == (1, 1)


async def test_an_old_run_goes_with_its_records_and_the_blobs_that_only_it_needed(state: State) -> None:
    await state.run(b"model one")
    await state.run(b"model two", ended_at=time.time())
    await prune_unblocked(state)
    assert [await state.rows(table) for table in ("runs", "records", "run_files")] == [1, 1, 1]
    held = {path.read_bytes() for path in state.folders.blobs.glob("??/*")}
    assert {b"model two", b"out of r2"} <= held
    assert not {b"model one", b"out of r1"} & held


Add = Callable[[State], Awaitable[object]]


@pytest.mark.parametrize("add", [lambda state: state.job(ended_at=None), lambda state: state.run(b"m", ended_at=None)])
async def test_what_is_active_stays_with_all_that_it_needs(state: State, add: Add) -> None:
    await add(state)
    before = sorted(path for path in state.folders.root.rglob("*") if path.is_file())
    await prune_unblocked(state)
    assert sorted(path for path in state.folders.root.rglob("*") if path.is_file()) == before
    assert await state.rows("jobs") + await state.rows("runs") == 1


async def test_an_old_run_that_had_gaps_goes_with_them(state: State) -> None:
    run = await state.run(b"model")
    gap = {"run": run, "stream": "logs", "sequence": 1, "items": 1, "bytes": 1, "reason": "disk-full"}
    await state.database.write(lambda db: db.insert("run_gaps", gap | {"begun_at": OLD, "ended_at": OLD}))
    await prune_unblocked(state)
    assert [await state.rows(table) for table in ("runs", "run_gaps")] == [0, 0]


@pytest.mark.parametrize(("days", "left"), [(RETURN_SECONDS / DAY - 0.1, 1), (RETURN_SECONDS / DAY + 0.1, 0)])
async def test_a_run_that_may_return_with_its_device_is_waited_for(state: State, days: float, left: int) -> None:
    await state.run(b"model", ended_at=time.time() - days * DAY, may_return=True)
    await state.retention.set_policy(RetentionPolicy(max_age_days=1, keep_newest=0))
    await state.retention.prune()
    assert [await state.rows(table) for table in ("runs", "records", "run_files")] == [left] * 3
    assert len(list(state.folders.blobs.glob("??/*"))) == 3 * left


async def traced(state: State, run: str) -> None:
    """Let a run have a trace, in a block and in what lies in none yet."""
    batch = pack_batch(TraceBatch(1, [0], [0], [5], [2]))
    record = {"device": "d1", "epoch": "e", "stream": f"{run}.traces", "is_continued": 0, "payload": batch}

    def write(db: Tables) -> None:
        add_session(db, run, OperatorTable(1, "a.mnn", "cpu", 0, (Operator("conv", "Convolution"),)))
        add_clock(db, run, ClockCompared(1, 2, 3))
        db.insert("records", record | {"sequence": 1}, record | {"sequence": 2})
        seal(db, run)
        db.insert("records", record | {"sequence": 3})

    await state.database.write(write)


TRACES = ("traces", "trace_sessions", "trace_clocks", "trace_blocks")


async def test_an_old_run_goes_with_its_trace(state: State) -> None:
    await traced(state, await state.run(b"model"))
    assert [await state.rows(table) for table in TRACES] == [1] * 4
    assert [item.kind for item in (await state.retention.prune(dry_run=True)).items] == ["run"]
    await prune_unblocked(state)
    assert [await state.rows(table) for table in ("runs", "records", *TRACES)] == [0] * 6


async def test_a_trace_goes_before_its_run_and_a_dry_run_says_so(state: State) -> None:
    await traced(state, await state.run(b"model", ended_at=time.time() - 20 * DAY))
    await state.retention.set_policy(RetentionPolicy(keep_newest=0))
    planned = await state.retention.prune(dry_run=True)
    assert [(item.kind, item.id, item.reason) for item in planned.items] == [("trace", "r1", "age")]
    assert planned.items[0].bytes > 0
    assert await state.rows("traces") == 1
    assert (await state.retention.prune()).items == planned.items
    assert [await state.rows(table) for table in ("runs", *TRACES)] == [1, 0, 0, 0, 0]
    last = await state.database.read(
        lambda db: db.execute("select sequence, length(payload) from records where stream = 'r1.traces'").fetchall()
    )
    assert last == [(3, 0)]  # so that nothing the device sends again counts twice
    assert not (await state.retention.prune(dry_run=True)).items


async def test_a_dry_run_says_the_same_and_removes_nothing(state: State) -> None:
    folder, _ = await state.job(), await state.run(b"model")
    planned = await state.retention.prune(dry_run=True)
    assert folder.log.exists()
    assert [item.id for item in planned.items] == ["j1", "r2"]
    assert planned.freed_bytes > 100_000
    done = await state.retention.prune()
    assert (done.items, done.blobs, done.freed_bytes) == (planned.items, planned.blobs, planned.freed_bytes)
    assert not (await state.retention.prune(dry_run=True)).items


async def test_a_blob_that_was_just_asked_for_stays(state: State) -> None:
    sha256 = state.blob(b"model")
    assert state.blobs.hold(sha256, len(b"model"))
    await state.retention.prune()
    assert state.blobs.has(sha256)
    age = time.time() - BLOB_GRACE_SECONDS - 1
    os.utime(state.blobs.path(sha256), (age, age))
    await state.retention.prune()
    assert not state.blobs.has(sha256)


async def test_half_files_and_unknown_folders_go_when_they_are_old(state: State) -> None:
    partial, fresh = state.blobs.partial("a" * 64), state.blobs.partial("b" * 64)
    stray, running = JobFolder(state.folders.jobs / "jstray"), JobFolder(state.folders.jobs / "jrunning")
    for file in (partial, fresh):
        file.write_bytes(b"half")
    for folder in (stray, running):
        folder.root.mkdir()
    for path in (partial, stray.root, running.root):
        os.utime(path, (OLD, OLD))
    with process_lock.held(running.lock):
        os.utime(running.root, (OLD, OLD))
        report = await state.retention.prune()
    assert report.leftovers == 2
    assert [path.exists() for path in (partial, fresh, stray.root, running.root)] == [False, True, False, True]


async def test_trainings_are_asked_to_let_go_of_snapshots_and_worktrees(state: State) -> None:
    await state.job(kind="train")
    killed = await state.job(kind="train", ended_at=time.time())
    (killed.files / "tree").mkdir()
    await state.job(kind="tool")
    await state.retention.prune()
    assert state.trainings.asked == [("worktree", "w1", "j2"), ("snapshot", "w1", "j1")]


async def test_the_policy_outlives_the_daemon_and_one_that_is_spoiled_counts_as_none(state: State) -> None:
    policy = RetentionPolicy(max_age_days=7, max_gigabytes=1.5, keep_newest=3)
    await state.retention.set_policy(policy)
    assert await Retention(state.folders, state.database, state.blobs, state.trainings).policy() == policy
    await state.database.write(lambda db: db.execute("update settings set value_json = '{\"keep_newest\": -1}'"))
    assert await state.retention.policy() == RetentionPolicy()


async def test_the_report_tells_what_uses_the_disk(state: State) -> None:
    await state.job(size=200_000)
    await state.run(b"m" * 50_000, ended_at=time.time())
    report = await state.retention.report()
    used = {item.name: item for item in report.items}
    assert (used["jobs"].count, used["blobs"].count) == (1, 3)
    assert used["jobs"].bytes >= 200_000
    assert report.total_bytes == sum(item.bytes for item in report.items)
    assert report.prunable_bytes >= 200_000
