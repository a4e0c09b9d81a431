"""Pruning: the policy, the dry run, the removal itself, and the daemon's own daily round."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import StoragePruned
from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.retention.inventory import Inventory, is_older, take_inventory, tree_bytes
from edgeloop_daemon.retention.leftovers import TrainingLeftovers
from edgeloop_daemon.retention.policy import DAY, Kept, Removal, RetentionPolicy, choose, choose_traces
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.intake import remove_trace
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import EdgeloopError, MessageError
from edgeloop_shared.records import Priority, stream_name

FIRST_SECONDS = 60.0  # from the daemon's start: what begins now is not slowed down
BLOB_GRACE_SECONDS = 3600.0
"""A blob that was stored or asked for so lately stays: the run that it belongs to may be about to begin."""
_SETTING = "retention"
_MAX_SETTING = 4096
_COMPACT_BYTES = 64 * 1024**2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Use:
    """How much room one kind of thing takes."""

    name: str
    count: int
    bytes: int


@dataclass(frozen=True)
class StorageReport:
    """What uses the disk, what is free of it, and the policy. `prunable_bytes` is what pruning now would free."""

    items: tuple[Use, ...]
    total_bytes: int
    free_bytes: int
    prunable_bytes: int
    policy: RetentionPolicy


@dataclass(frozen=True)
class PruneReport:
    """What was removed, or with `dry_run` what would be."""

    dry_run: bool
    items: tuple[Removal, ...]
    blobs: int
    leftovers: int
    """Worktrees, folders and partial files that nobody will need any more."""
    freed_bytes: int


class Retention:
    """Keeps the state folder within the policy."""

    def __init__(self, folders: Folders, database: Database, blobs: BlobStore, trainings: TrainingLeftovers) -> None:
        self._folders = folders
        self._database = database
        self._blobs = blobs
        self._trainings = trainings
        self._one_at_a_time = asyncio.Lock()

    async def policy(self) -> RetentionPolicy:
        """Return the policy: what the user has set, else the defaults."""
        sql = "select value_json from settings where name = ?"
        row = await self._database.read(lambda db: db.execute(sql, [_SETTING]).fetchone())
        if row is None:
            return RetentionPolicy()
        try:
            return decode_json(RetentionPolicy, row[0].encode(), max_bytes=_MAX_SETTING)
        except MessageError as error:
            _log.warning("The retention settings cannot be read, so the defaults count: %s", error)
            return RetentionPolicy()

    async def set_policy(self, policy: RetentionPolicy) -> RetentionPolicy:
        """Keep a policy for this and later daemons."""
        sql = (
            "insert into settings (name, value_json) values (?, ?)"
            " on conflict (name) do update set value_json = excluded.value_json"
        )
        await self._database.write(lambda db: db.execute(sql, [_SETTING, json.dumps(asdict(policy))]))
        return policy

    async def report(self) -> StorageReport:
        """Tell what uses how much."""
        inventory = await take_inventory(self._folders, self._database, self._blobs)
        policy = await self.policy()
        plan = await asyncio.to_thread(self._plan, inventory, policy)
        items = await asyncio.to_thread(self._uses, inventory)
        free = await asyncio.to_thread(lambda: shutil.disk_usage(self._folders.root).free)
        return StorageReport(items, sum(item.bytes for item in items), free, plan.freed_bytes, policy)

    async def prune(self, *, dry_run: bool = False) -> PruneReport:
        """Remove what the policy does not keep, and what belongs to nothing; with `dry_run` only tell.

        What is active, what a run that is kept refers to, and the newest of each workspace stay.
        """
        async with self._one_at_a_time:
            inventory = await take_inventory(self._folders, self._database, self._blobs)
            plan = await asyncio.to_thread(self._plan, inventory, await self.policy())
            if not dry_run:
                await self._carry_out(plan)
        leftovers = len(plan.leftovers) + len(plan.worktrees)
        return PruneReport(dry_run, plan.items, len(plan.blobs), leftovers, plan.freed_bytes)

    async def prune_daily(self) -> None:
        """Prune soon after the start and then once a day, for as long as the daemon runs."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                report = await self.prune()
                if report.items or report.blobs or report.leftovers:
                    _log.info("Pruned %d jobs, runs and traces: %d bytes", len(report.items), report.freed_bytes)
            except Exception:
                _log.exception("Pruning failed; it is tried again tomorrow")
            await asyncio.sleep(DAY)

    def _plan(self, inventory: Inventory, policy: RetentionPolicy) -> _Plan:
        now = time.time()
        traces = {trace.id: trace for trace in choose_traces(inventory.traces, policy, now=now)}

        def without_trace(item: Kept) -> Kept:
            is_traced = item.kind == "run" and item.id in traces
            return replace(item, bytes=item.bytes - traces[item.id].bytes) if is_traced else item

        chosen = choose(
            map(without_trace, inventory.ended),
            policy,
            now=now,
            blob_sizes=inventory.sizes,
            held=inventory.held,
            other_bytes=inventory.active_bytes,
        )
        gone = frozenset(item.id for item in chosen)
        # A run that goes takes its trace with it.
        whole = [
            replace(item, bytes=item.bytes + traces[item.id].bytes) if item.id in traces else item for item in chosen
        ]
        items = (*(trace for trace in traces.values() if trace.id not in gone), *whole)
        unreferenced = inventory.unreferenced(without=gone)
        blobs = {sha256 for sha256 in unreferenced if is_older(self._blobs.path(sha256), BLOB_GRACE_SECONDS)}
        counted = inventory.unreferenced()  # those of the jobs and runs that go are in their own bytes
        leftovers = tuple(
            path
            for path in (*inventory.strays, *self._blobs.leftovers())
            if is_older(path, DAY if path.parent == self._folders.jobs else BLOB_GRACE_SECONDS)
        )
        freed = sum(item.bytes for item in items)
        freed += sum(inventory.sizes[sha256] for sha256 in blobs & counted)
        freed += sum(tree_bytes(path) if path.is_dir() else path.stat().st_size for path in leftovers)
        return _Plan(items, frozenset(blobs), leftovers, inventory.worktrees, freed)

    async def _carry_out(self, plan: _Plan) -> None:
        for workspace, job in plan.worktrees:
            with suppress(EdgeloopError):  # the workspace may be closed, or gone
                await self._trainings.remove_worktree(workspace, job)
        for item in plan.items:
            if item.kind == "train":
                with suppress(EdgeloopError):
                    await self._trainings.forget_snapshot(item.workspace, item.id)
            if item.kind not in ("run", "trace"):
                # The folder first: a row without one is removed by the next round, a folder without a row only later.
                await asyncio.to_thread(JobFolder(self._folders.jobs / item.id).remove)
            await self._database.write(lambda db, item=item: _delete(db, item))  # type: ignore[misc]
        await asyncio.to_thread(self._remove_files, plan)
        if plan.items:
            runs = sum(item.kind == "run" for item in plan.items)
            traces = sum(item.kind == "trace" for item in plan.items)
            event = StoragePruned(len(plan.items) - runs - traces, runs, traces, plan.freed_bytes)
            await self._database.write(lambda db: record_event(db, event))
            if await self._database.read(_free_bytes) > _COMPACT_BYTES:
                await self._database.compact()

    def _remove_files(self, plan: _Plan) -> None:
        for sha256 in plan.blobs:
            if is_older(self._blobs.path(sha256), BLOB_GRACE_SECONDS):  # asked for since: a run is about to begin
                self._blobs.path(sha256).unlink(missing_ok=True)
        for path in plan.leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _uses(self, inventory: Inventory) -> tuple[Use, ...]:
        runs = sum(item.kind == "run" for item in inventory.ended)
        root = self._folders.root
        databases = [path for path in root.iterdir() if path.name.startswith(self._folders.database.name)]
        devices = self._folders.virtual_devices
        return (
            Use("jobs", len(inventory.ended) - runs, tree_bytes(self._folders.jobs)),
            Use("blobs", len(inventory.sizes), tree_bytes(self._folders.blobs)),
            Use("database", runs, sum(path.stat().st_size for path in databases)),
            Use("logs", *_count_and_bytes(self._folders.logs)),
            Use("virtual devices", *_count_and_bytes(devices)),
        )


@dataclass(frozen=True)
class _Plan:
    items: tuple[Removal, ...]
    blobs: frozenset[str]
    leftovers: tuple[Path, ...]
    worktrees: tuple[tuple[str, str], ...]
    freed_bytes: int


@asynccontextmanager
async def open_retention(
    folders: Folders, database: Database, blobs: BlobStore, trainings: TrainingLeftovers
) -> AsyncIterator[Retention]:
    """Prune once a day for the block, unless the database can only be read."""
    retention = Retention(folders, database, blobs, trainings)
    if database.problem is not None:
        yield retention
        return
    pruning = asyncio.create_task(retention.prune_daily(), name="prune")
    try:
        yield retention
    finally:
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)


def _delete(db: Tables, item: Removal) -> None:
    if item.kind not in ("run", "trace"):
        db.execute("delete from metrics where run = ?", [item.id])
        db.execute("delete from jobs where id = ? and ended_at is not null", [item.id])
        return
    if db.execute("select 1 from runs where id = ? and ended_at is not null", [item.id]).fetchone() is None:
        return  # its device came back meanwhile
    if item.kind == "trace":
        remove_trace(db, item.id)
        return
    streams = [stream_name(item.id, priority) for priority in Priority]
    db.execute(f"delete from records where stream in ({','.join('?' * len(streams))})", streams)  # noqa: S608
    remove_trace(db, item.id)
    for table in ("metrics", "run_files", "run_gaps", "operator_hits", "operator_stops", "operator_matches"):
        db.execute(f"delete from {table} where run = ?", [item.id])  # noqa: S608 - names of this function
    db.execute("delete from runs where id = ?", [item.id])


def _free_bytes(db: Tables) -> int:
    (pages,) = db.execute("pragma freelist_count").fetchone()
    (size,) = db.execute("pragma page_size").fetchone()
    return int(pages * size)


def _count_and_bytes(folder: Path) -> tuple[int, int]:
    return (sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0), tree_bytes(folder)
