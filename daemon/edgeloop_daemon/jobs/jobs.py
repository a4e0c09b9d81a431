"""The jobs: started under supervisors, followed through their folders, kept in the database."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeloop.handlers import reference_to
from edgeloop_daemon.events.event_log import PROGRESS_SECONDS, record_event
from edgeloop_daemon.events.kinds import JobProgressed, JobQueued, JobStarted, job_ended
from edgeloop_daemon.jobs.job import COLUMNS, Job, JobKind, JobState, Metric, Progress, job_of_row
from edgeloop_daemon.jobs.job_doors import JobDoors
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec
from edgeloop_daemon.jobs.job_queue import JobQueue
from edgeloop_daemon.jobs.log_page import LogPage, read_log_page
from edgeloop_daemon.jobs.sightings import JobEnd, Sighting, look_at
from edgeloop_daemon.jobs.supervision import ask_for_end, start_supervisor
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.ids import new_id
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import encode
from edgeloop_shared.errors import EdgeloopError, NotFoundError

POLL_SECONDS = 0.05
TROUBLED_SECONDS = 0.5  # until the next try when the database or the disk refused
STOP_SECONDS = 15.0

_log = logging.getLogger(__name__)


@dataclass
class _Active:
    """A job that has left the queue and has not been seen to end."""

    workspace: str
    folder: JobFolder
    is_noted: bool = False  # that it runs, in the database
    trouble: str = ""  # why its folder could not be read last time
    progress: Progress | None = None
    metrics_offset: int = 0
    log_size: int = 0
    told: Progress | None = None  # in an event
    told_at: float = 0.0


class Jobs:
    """All jobs of this computer. At most `limit` run at the same time."""

    def __init__(self, root: Path, database: Database, limit: int, doors: JobDoors | None) -> None:
        self._root = root
        self._doors = doors
        self._database = database
        self._limit = limit
        self._queue = JobQueue()
        self._active: dict[str, _Active] = {}
        self._is_busy = asyncio.Event()
        self._changed = asyncio.Condition()
        self._listed: tuple[int, Sequence[Any], list[Any]] | None = None
        """What was asked for last, and when: see `recent`."""

    async def start(
        self,
        *,
        workspace: str,
        workspace_path: Path,
        kind: JobKind,
        name: str,
        handler: str,
        parameters: Any,
        result: type = object,
        also: Callable[[Tables, str], None] | None = None,
    ) -> Job:
        """Queue a job and return it.

        `parameters` is a frozen dataclass that `handler` ("module:name") takes; a `result` is what it returns. `also` is
        called in the transaction that adds the job, with its id.
        """
        job = new_id("j")
        plain = encode(parameters)
        spec = JobSpec(
            job, name, handler, reference_to(type(parameters)), plain, reference_to(result), str(workspace_path)
        )
        folder = self._folder(job)
        await asyncio.to_thread(folder.create, spec)
        row = {
            "id": job,
            "workspace": workspace,
            "kind": kind,
            "name": name,
            "state": JobState.QUEUED.value,
            "parameters_json": json.dumps(plain),
            "created_at": time.time(),
        }

        def insert(database: Tables) -> None:
            ((number,),) = database.execute("select coalesce(max(number), 0) + 1 from jobs").fetchall()
            database.insert("jobs", {**row, "number": number})
            record_event(database, JobQueued(job, name, kind), workspace)
            if also is not None:
                also(database, job)

        try:
            await self._database.write(insert)
        except EdgeloopError:
            await asyncio.to_thread(folder.remove)
            raise
        self._queue.add(job, workspace)
        self._is_busy.set()
        return await self.get(job)

    async def get(self, job: str) -> Job:
        """Return a job. Raises `NotFoundError`."""
        rows = await self._rows("where id = ?", [job])
        if not rows:
            raise NotFoundError(f"There is no job {job!r}.", hint="`edgeloop jobs` lists them.")
        return job_of_row(rows[0], self._progress(job))

    async def recent(
        self,
        *,
        workspace: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        behind: tuple[float, str] | None = None,
        prefix: str | None = None,
    ) -> tuple[Job, ...]:
        """Return the newest jobs first: of one workspace, in one state, with ids that begin with `prefix` where that is asked for.

        `behind` is the time of creation and the id of a job: only what comes behind it in this order is returned.
        """
        created_at, job = behind or (None, None)
        arguments = [workspace, state.value if state else None, created_at, job, limit, prefix]
        if self._listed is None or self._listed[:2] != (self._database.changes, arguments):
            changes = self._database.changes
            rows = await self._rows(
                "where (?1 is null or workspace = ?1) and (?2 is null or state = ?2) and (?3 is null or number < coalesce("
                "(select number from jobs where id = ?4), (select max(number) + 1 from jobs where created_at <= ?3)))"
                " and (?6 is null or substr(id, 1, length(?6)) = ?6) order by number desc limit ?5",
                arguments,
            )
            self._listed = changes, arguments, rows
        else:  # a window that asks every second, while nothing happens, needs no thread and no disk
            rows = self._listed[2]
        return tuple(job_of_row(row, self._progress(row[0])) for row in rows)

    async def cancel(self, job: str) -> Job:
        """Cancel a job and return it, perhaps still running; one that has ended stays as it is. Raises `NotFoundError`."""
        workspace = (await self.get(job)).workspace
        if self._queue.discard(job):
            try:
                await self._end(job, JobEnd("cancelled", None, None, time.time()))
            except EdgeloopError:
                self._queue.add(job, workspace)
                raise
        elif (active := self._active.get(job)) is not None:
            await asyncio.to_thread(ask_for_end, active.folder)
        return await self.get(job)

    async def wait(self, job: str, timeout: float | None = None) -> Job:
        """Return a job once it has ended, or as it is after `timeout` seconds. Raises `NotFoundError`."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                while not (await self.get(job)).state.is_terminal:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return await self.get(job)

    async def log(self, job: str, *, offset: int = 0, limit: int = 65536, wait: float = 0) -> LogPage:
        """Return a piece of a job's log; wait up to `wait` seconds for there to be more, or for the job's end."""
        path = self._folder(job).log
        end = asyncio.get_running_loop().time() + wait
        while True:
            is_ended = (await self.get(job)).state.is_terminal
            try:
                page, size = await asyncio.to_thread(read_log_page, path, offset, limit, is_ended=is_ended)
            except FileNotFoundError:
                return LogPage("", offset, ended=is_ended)
            remaining = end - asyncio.get_running_loop().time()
            if page.text or page.ended or remaining <= 0:
                return page
            await self._wait_for_log(job, size, remaining)

    async def metrics(self, job: str) -> tuple[Metric, ...]:
        """Return all points that a job has recorded, by tag and step. Raises `NotFoundError`."""
        await self.get(job)
        query = "select tag, step, value, time from metrics where run = ? order by tag, step"
        rows = await self._database.read(lambda database: database.execute(query, [job]).fetchall())
        return tuple(Metric(*row) for row in rows)

    async def stop_all(self) -> None:
        """Cancel every job that waits or runs, and return when all have ended (after 15 s at the latest)."""
        for job in [*self._queue, *self._active]:
            await self.cancel(job)
        try:
            async with asyncio.timeout(STOP_SECONDS), self._changed:
                await self._changed.wait_for(lambda: not self._active)
        except TimeoutError:
            _log.error("These jobs did not end when they were cancelled: %s", ", ".join(self._active))

    def _folder(self, job: str) -> JobFolder:
        return JobFolder(self._root / job)

    async def _rows(self, clause: str, arguments: Sequence[Any]) -> list[Any]:
        query = f"select {COLUMNS} from jobs {clause}"  # noqa: S608 - clauses are written in this module
        return await self._database.read(lambda database: database.execute(query, arguments).fetchall())

    def _progress(self, job: str) -> Progress | None:
        return self._active[job].progress if job in self._active else None

    async def _wait_for_log(self, job: str, size: int, timeout: float) -> None:
        def has_changed() -> bool:
            # A job that waits is changed by its start; the log of one that has ended does not change.
            return job not in self._queue and (job not in self._active or self._active[job].log_size > size)

        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(has_changed)
        except TimeoutError:
            pass

    async def _recover(self) -> None:
        """Take over the jobs of an earlier daemon: those that run still, those that ended meanwhile, those that wait."""
        known = await self._database.read(lambda database: database.execute("select id from jobs").fetchall())
        await asyncio.to_thread(self._remove_unknown, {job for (job,) in known})
        query = "select id, workspace, state from jobs where state in ('queued', 'running') order by number"
        rows = await self._database.read(lambda database: database.execute(query).fetchall())
        for job, workspace, state in rows:
            folder = self._folder(job)
            if state == JobState.RUNNING or await asyncio.to_thread(folder.has_begun):
                self._active[job] = _Active(workspace, folder, is_noted=state == JobState.RUNNING)
                if self._doors is not None:
                    await asyncio.to_thread(self._doors.open, job, folder)
            else:
                self._queue.add(job, workspace)
        if rows:
            self._is_busy.set()

    def _remove_unknown(self, known: Set[str]) -> None:
        """Remove folders without a row: the daemon was killed between the two, so nobody was told of the job."""
        for root in self._root.iterdir() if self._root.is_dir() else ():
            if root.name not in known and not JobFolder(root).has_begun():
                JobFolder(root).remove()

    async def _watch(self) -> None:
        trouble = ""
        while True:
            await self._is_busy.wait()
            try:
                while self._queue and len(self._active) < self._limit:
                    await self._begin(*self._queue.take(active.workspace for active in self._active.values()))
                await self._look()
                trouble = ""
            except Exception as error:
                if trouble != (trouble := repr(error)):  # a full disk, say, is not reported twenty times a second
                    _log.exception("Following the jobs failed; it goes on")
                await asyncio.sleep(TROUBLED_SECONDS)
            if self._queue or self._active:
                await asyncio.sleep(POLL_SECONDS)
            else:
                self._is_busy.clear()

    async def _begin(self, job: str, workspace: str) -> None:
        active = self._active[job] = _Active(workspace, self._folder(job))
        try:
            if self._doors is not None:
                await asyncio.to_thread(self._doors.open, job, active.folder)
            await asyncio.to_thread(start_supervisor, active.folder)
        except EdgeloopError as error:
            await self._end(job, JobEnd("failed", None, error.as_dict(), time.time()))
            return
        await self._note_begin(job, active)

    async def _note_begin(self, job: str, active: _Active) -> None:
        def change(database: Tables) -> None:
            sql = "update jobs set state = ?, started_at = max(?, created_at) where id = ?"  # the clock may have been set back
            database.execute(sql, [JobState.RUNNING.value, time.time(), job])
            record_event(database, JobStarted(job), active.workspace)

        await self._database.write(change)
        active.is_noted = True
        await self._notify()

    async def _look(self) -> None:
        active = dict(self._active)
        sightings = await asyncio.to_thread(lambda: [_look_at(job, seen) for job, seen in active.items()])
        for sighting in sightings:
            if sighting is not None:
                await self._take(sighting, active[sighting.job])

    async def _take(self, sighting: Sighting, active: _Active) -> None:
        if not active.is_noted:  # an earlier daemon was killed before it could, or the disk was full
            await self._note_begin(sighting.job, active)
        if sighting.metrics:
            await self._database.write(lambda database: _add_metrics(database, sighting.job, sighting.metrics))
        is_changed = sighting.log_size != active.log_size or sighting.progress != active.progress
        active.metrics_offset, active.progress = sighting.metrics_offset, sighting.progress
        active.log_size = sighting.log_size
        if sighting.end is not None:
            await self._end(sighting.job, sighting.end)
        elif is_changed:
            await self._notify()
        await self._tell_progress(sighting.job, active)

    async def _tell_progress(self, job: str, active: _Active) -> None:
        progress, now = active.progress, time.monotonic()
        if job not in self._active or progress in (None, active.told) or now < active.told_at + PROGRESS_SECONDS:
            return
        active.told, active.told_at = progress, now
        event = JobProgressed(job, progress.fraction, progress.message)
        await self._database.write(lambda database: record_event(database, event, active.workspace))

    async def _end(self, job: str, end: JobEnd) -> None:
        change: dict[str, Any] = {
            "state": end.state,
            "ended_at": end.ended_at,
            "result_json": None if end.result is None else json.dumps(end.result),
            "error_json": None if end.error is None else json.dumps(end.error),
        }

        def write(database: Tables) -> None:
            database.update("jobs", job, change)
            last = "max(ended_at, coalesce(started_at, created_at))"  # the clock may have been set back
            database.execute(f"update jobs set ended_at = {last} where id = ?", [job])  # noqa: S608 - our own text
            (workspace,) = database.execute("select workspace from jobs where id = ?", [job]).fetchone()
            record_event(database, job_ended(job, end.state, end.error), workspace)

        await self._database.write(write)
        self._active.pop(job, None)
        if self._doors is not None:
            await self._doors.close(job)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def open_jobs(
    root: Path, database: Database, *, limit: int | None = None, doors: JobDoors | None = None
) -> AsyncIterator[Jobs]:
    """Open the jobs whose folders lie in `root`, for the block; those that still run at its end go on.

    Jobs reach devices through `doors` (None: not at all). `limit` is how many run at the same time: by default one per processor,
    and two at least.
    """
    jobs = Jobs(root, database, limit or max(2, os.cpu_count() or 1), doors)
    if database.problem is None:  # else nothing could be noted of them: they wait for a daemon that can
        await jobs._recover()
    watching = asyncio.create_task(jobs._watch(), name="jobs")
    try:
        yield jobs
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _look_at(job: str, active: _Active) -> Sighting | None:
    """Look at a job; None when its folder cannot be read now, or takes nothing: the other jobs must not wait for it."""
    try:
        sighting = look_at(job, active.folder, active.metrics_offset)
    except OSError as error:
        if active.trouble != str(error):
            _log.error("Job %s cannot be followed now: %s", job, error)
        active.trouble = str(error)
        return None
    active.trouble = ""
    return sighting


def _add_metrics(database: Tables, job: str, metrics: Sequence[Metric]) -> None:
    # A look that is repeated after a crash brings points that are stored already: the first one stays.
    statement = "insert or ignore into metrics (run, tag, step, value, time) values (?, ?, ?, ?, ?)"
    database.executemany(statement, [(job, m.tag, m.step, m.value, m.time) for m in metrics])
