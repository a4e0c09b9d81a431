"""What lies in the state folder: jobs, runs, blobs, and what nothing refers to any more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.jobs.training import tree_of
from edgeloop_daemon.retention.policy import Kept
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.folders import Folders
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.intake import trace_bytes
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleManifest
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import MessageError
from edgeloop_shared.records import Priority, stream_name

RETURN_SECONDS = 7 * 24 * 3600.0
"""For so long after its device was lost, a run that the device may bring back counts as active."""


@dataclass(frozen=True)
class Inventory:
    """`ended` jobs and runs, the newest last; `traces` of such runs, whose bytes count in those of their runs as well.

    `sizes` are those of all blobs; `held` are the blobs that active runs refer to, `active_bytes` is what active jobs and runs
    take. `strays` are folders of jobs that no row of the database knows. `worktrees` are the trainings (workspace and job) that
    were killed before they had removed theirs.
    """

    ended: tuple[Kept, ...]
    traces: tuple[Kept, ...]
    sizes: Mapping[str, int]
    held: tuple[str, ...]
    active_bytes: int
    strays: tuple[Path, ...]
    worktrees: tuple[tuple[str, str], ...]

    def unreferenced(self, *, without: Iterable[str] = ()) -> set[str]:
        """Return the blobs that nothing refers to once the jobs and runs `without` are gone."""
        gone = set(without)
        wanted = {sha256 for item in self.ended if item.id not in gone for sha256 in item.blobs}
        return set(self.sizes) - wanted - set(self.held)


async def take_inventory(folders: Folders, database: Database, blobs: BlobStore) -> Inventory:
    """Look at everything. Files are read in the database's reading thread: nothing waits for it but reads."""
    return await database.read(lambda db: _inventory(db, folders, blobs))


def _inventory(db: Tables, folders: Folders, blobs: BlobStore) -> Inventory:
    sizes = dict(blobs.sizes())
    jobs = db.execute("select id, workspace, kind, name, ended_at from jobs order by number").fetchall()
    folder_bytes = {path.name: tree_bytes(path) for path in _folders(folders.jobs)}
    ended = [
        Kept(kind, job, workspace, name, ended_at, folder_bytes.get(job, 0))
        for job, workspace, kind, name, ended_at in jobs
        if ended_at is not None
    ]
    active_bytes = sum(folder_bytes.get(job, 0) for job, *_, ended_at in jobs if ended_at is None)
    manifests = _Manifests(blobs)
    held: list[str] = []
    traces: list[Kept] = []
    for run, workspace, script, manifest, ended_at in db.execute(
        "select id, workspace, script, manifest, case when may_return and ended_at > ? then null else ended_at end"
        " from runs order by number",
        [time.time() - RETURN_SECONDS],
    ).fetchall():
        files = db.execute("select sha256 from run_files where run = ?", [run]).fetchall()
        wanted = manifests.blobs(manifest) | {sha256 for (sha256,) in files}
        size, trace = _record_bytes(db, run), trace_bytes(db, run)
        if ended_at is None:
            held += wanted
            active_bytes += size + (trace or 0)
        else:
            ended.append(Kept("run", run, workspace, script, ended_at, size + (trace or 0), wanted))
            if trace is not None:
                traces.append(Kept("trace", run, workspace, script, ended_at, trace))
    known = {job for job, *_ in jobs}
    strays = tuple(
        path for path in _folders(folders.jobs) if path.name not in known and not JobFolder(path).is_active()
    )
    worktrees = tuple(
        (workspace, job)
        for job, workspace, *_, ended_at in jobs
        if ended_at is not None and tree_of(JobFolder(folders.jobs / job).files).exists()
    )
    return Inventory(tuple(ended), tuple(traces), sizes, tuple(held), active_bytes, strays, worktrees)


class _Manifests:
    """What bundles hold, each read once."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._known: dict[str, frozenset[str]] = {}

    def blobs(self, manifest: str) -> frozenset[str]:
        if manifest not in self._known:
            self._known[manifest] = frozenset({manifest, *self._files(manifest)})
        return self._known[manifest]

    def _files(self, manifest: str) -> Iterator[str]:
        try:
            content = self._store.path(manifest).read_bytes()
            for file in decode_json(BundleManifest, content, max_bytes=MAX_MANIFEST_BYTES).files:
                yield file.sha256
        except (OSError, MessageError):  # a run whose bundle is gone refers to nothing that could be read
            return


def _record_bytes(db: Tables, run: str) -> int:
    streams = [stream_name(run, priority) for priority in Priority]
    marks = ",".join("?" * len(streams))
    sql = f"select coalesce(sum(length(payload)), 0) from records where stream in ({marks})"  # noqa: S608 - question marks
    (size,) = db.execute(sql, streams).fetchone()
    return int(size)


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if path.is_dir())


def tree_bytes(root: Path) -> int:
    """Return how much room a folder takes on the disk; a file that vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, files in os.walk(root):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118 - a path object per file is slow
            except OSError:
                continue
    return total


def is_older(path: Path, seconds: float) -> bool:
    """Return whether a file was last written longer ago than `seconds`; one that is gone was not."""
    try:
        return path.stat().st_mtime < time.time() - seconds
    except OSError:
        return False
