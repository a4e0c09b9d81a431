"""Runs as the database keeps them and as the API shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeloop_daemon.devices.operator_stops import paused_words
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import RunQueued, run_ended
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode, decode_json, encode_json
from edgeloop_shared.errors import EdgeloopError, NotFoundError
from edgeloop_shared.models import DebugMode, RunState
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import MAX_EVENT_BYTES, TaskWaiting, waiting_words

NO_STEP = -(2**63)  # in the metrics table, for a single figure


@dataclass(frozen=True)
class Transfer:
    """How many of the bundle's missing bytes have arrived on the device."""

    received: int
    total: int


@dataclass(frozen=True)
class RunFile:
    """A file that the script reported. `name` is the device's word: shown, never a path."""

    name: str
    sha256: str
    size: int
    is_received: bool


@dataclass(frozen=True)
class RunGap:
    """What a device had to drop of a stream of a run (`"logs"`, `"traces"`), at the record `sequence` of the stream.

    `items` counts lines of output or trace batches, `bytes` their size. `reason` is `"spool-full"` (the device was away for
    too long) or `"disk-full"`. Times are seconds since the UNIX epoch, by the device's clock.
    """

    stream: str
    sequence: int
    items: int
    bytes: int
    reason: str
    begun_at: float
    ended_at: float


@dataclass(frozen=True)
class Run:
    """A script that runs, or ran, on a device. Times are seconds since the UNIX epoch.

    `may_return` says of a run that has ended that only its device was lost: when it is back and still has the run, the run goes
    on. `message` says what a run waits for: a worker, or at an operator to be told how to go on; `queue` is its place among those
    that wait for a worker of the device. `memory_bytes` is its memory
    limit (null: the device's own), `operator_breakpoints` are those that it began with, `kept_breakpoints` says whether those of
    its workspace are for it. `debug` says whether it is begun under a debugger ("listen"), and waits for one to attach ("wait").
    `progress` is what the script said last of how far it is (`edgeloop_task.report_progress`), also of a run that has ended.
    """

    id: str
    workspace: str
    device: str
    script: str
    arguments: tuple[str, ...]
    trace: bool
    state: RunState
    transfer: Transfer | None
    message: str | None
    memory_bytes: int | None
    debug: DebugMode
    created_at: float
    started_at: float | None
    ended_at: float | None
    may_return: bool
    result: Mapping[str, Any]
    files: tuple[RunFile, ...]
    gaps: tuple[RunGap, ...]
    error: Mapping[str, Any] | None
    operator_breakpoints: tuple[OperatorBreakpointOrder, ...] = ()
    kept_breakpoints: bool = False
    queue: TaskWaiting | None = None
    progress: ProgressReported | None = None


@dataclass(frozen=True)
class Metric:
    """One point of a curve; `step` is None for a single figure."""

    tag: str
    step: int | None
    value: float
    time: float


@dataclass(frozen=True)
class NewRun:
    """What a run begins with; `manifest` is the SHA-256 of its bundle manifest."""

    id: str
    workspace: str
    device: str
    script: str
    arguments: tuple[str, ...]
    trace: bool
    manifest: str
    memory_bytes: int | None = None
    debug: DebugMode = "off"
    operator_breakpoints: tuple[OperatorBreakpointOrder, ...] = ()
    kept_breakpoints: bool = False


@dataclass(frozen=True)
class Unfinished:
    """A run that has not ended, with what only a daemon that takes it up needs to know."""

    run: Run
    manifest: str
    is_cancel_requested: bool


class RunTable:
    """Reading and writing rows; what they mean is `Runs`' business."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, run: NewRun, also: Callable[[Tables, str], None] | None = None) -> None:
        """Add a run, queued; `also` is called in the same transaction with its id."""

        def insert(db: Tables) -> None:
            db.execute(
                "insert into runs (id, workspace, device, script, arguments_json, trace, manifest, memory_bytes, debug, state,"
                " operator_breakpoints_json, kept_breakpoints, created_at, number)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?,"
                " (select coalesce(max(number), 0) + 1 from runs))",
                [
                    *(run.id, run.workspace, run.device, run.script, encode_json(run.arguments).decode()),
                    *(run.trace, run.manifest, run.memory_bytes, run.debug),
                    *(encode_json(run.operator_breakpoints).decode(), run.kept_breakpoints, time.time()),
                ],
            )
            record_event(db, RunQueued(run.id, run.device, run.script), run.workspace)
            if also is not None:
                also(db, run.id)

        await self._database.write(insert)

    async def get(self, run_id: str) -> Run:
        """Return a run. Raises `NotFoundError`."""
        found = await self._select("where id = ?", [run_id])
        if not found:
            raise NotFoundError(f"There is no run {run_id[:64]!r}.", hint="`edgeloop runs` lists them.")
        return found[0]

    async def newest(
        self,
        workspace: str | None,
        device: str | None,
        limit: int,
        behind: tuple[float, str] | None = None,
        prefix: str | None = None,
    ) -> tuple[Run, ...]:
        """Return runs, the newest first; with `prefix` those whose ids begin with it.

        With `behind`, the time of creation and the id of a run, only those behind it are returned.
        """
        created_at, run_id = behind or (None, None)
        return await self._select(
            "where (?1 is null or workspace = ?1) and (?2 is null or device = ?2) and (?3 is null or number < coalesce("
            "(select number from runs where id = ?4), (select max(number) + 1 from runs where created_at <= ?3)))"
            " and (?6 is null or substr(id, 1, length(?6)) = ?6) order by number desc limit ?5",
            [workspace, device, created_at, run_id, limit, prefix],
        )

    async def unfinished(self) -> tuple[Unfinished, ...]:
        """Return the runs that have not ended, the oldest first."""
        return await self._database.read(
            lambda db: select_unfinished(db, "state in ('queued', 'preparing', 'running') order by number")
        )

    async def request_cancel(self, run_id: str) -> None:
        """Note that the end of a run was asked for, so that the next daemon asks for it as well."""
        sql = "update runs set is_cancel_requested = 1 where id = ?"
        await self._database.write(lambda db: db.execute(sql, [run_id]))

    async def end(self, run_id: str, state: RunState, error: EdgeloopError | None, *, may_return: bool = False) -> None:
        """Note that a run has ended; one that had ended already, and for good, stays as it was."""
        record = None if error is None else error.as_dict()
        text = None if record is None else encode_json(record).decode()

        def update(db: Tables) -> None:
            ended = db.execute(
                "update runs set state = ?, ended_at = max(?, coalesce(started_at, created_at)), error_json = ?,"
                " may_return = ?"
                " where id = ? and (state in ('queued', 'preparing', 'running') or may_return) returning workspace",
                [state.value, time.time(), text, may_return, run_id],
            ).fetchone()
            if ended is not None:
                record_event(db, run_ended(run_id, state.value, record), ended[0])

        await self._database.write(update)

    async def file_received(self, run_ids: tuple[str, ...], sha256: str) -> None:
        """Note that the bytes of a reported file are here."""
        sql = "update run_files set is_received = 1 where run = ? and sha256 = ?"
        await self._database.write(lambda db: db.executemany(sql, [(run_id, sha256) for run_id in run_ids]))

    async def metrics(self, run_id: str) -> tuple[Metric, ...]:
        """Return a run's metrics by name and step. Raises `NotFoundError`."""
        await self.get(run_id)
        sql = "select tag, step, value, time from metrics where run = ? order by tag, step"
        rows = await self._database.read(lambda db: db.execute(sql, [run_id]).fetchall())
        return tuple(Metric(tag, None if step == NO_STEP else step, value, at) for tag, step, value, at in rows)

    async def _select(self, where: str, values: list[Any]) -> tuple[Run, ...]:
        return await self._database.read(
            lambda db: tuple(_run(db, row) for row in db.query(f"select * from runs {where}", values))  # noqa: S608 - our own clauses
        )


def select_unfinished(db: Tables, condition: str, values: Sequence[Any] = ()) -> tuple[Unfinished, ...]:
    """Return the runs for which an SQL `condition` of ours holds, with what it takes to go on with them."""
    rows = db.query(f"select * from runs where {condition}", values)  # noqa: S608 - our own clauses
    return tuple(Unfinished(_run(db, row), row["manifest"], bool(row["is_cancel_requested"])) for row in rows)


def _files(db: Tables, run_id: str) -> tuple[RunFile, ...]:
    sql = "select name, sha256, size, is_received from run_files where run = ? order by name"
    return tuple(
        RunFile(name, sha256, size, bool(received)) for name, sha256, size, received in db.execute(sql, [run_id])
    )


def _gaps(db: Tables, run_id: str) -> tuple[RunGap, ...]:
    sql = (
        "select stream, sequence, items, bytes, reason, begun_at, ended_at from run_gaps where run = ?"
        " order by begun_at, stream, sequence"
    )
    return tuple(RunGap(*row) for row in db.execute(sql, [run_id]))


def _message(db: Tables, row: Mapping[str, Any], queue: TaskWaiting | None) -> str | None:
    if row["state"] == "running":
        return paused_words(db, row["id"])
    return None if queue is None else waiting_words(queue)


def _queue(row: Mapping[str, Any]) -> TaskWaiting | None:
    if row["queue_json"] is None or row["started_at"] is not None or row["ended_at"] is not None:
        return None
    return decode_json(TaskWaiting, row["queue_json"], max_bytes=MAX_EVENT_BYTES)


def _run(db: Tables, row: Mapping[str, Any]) -> Run:
    transfer = json.loads(row["transfer_json"]) if row["transfer_json"] else None
    progress = row["progress_json"]
    queue = _queue(row)
    return Run(
        id=row["id"],
        workspace=row["workspace"],
        device=row["device"],
        script=row["script"],
        arguments=tuple(json.loads(row["arguments_json"])),
        trace=bool(row["trace"]),
        state=RunState(row["state"]),
        transfer=Transfer(**transfer) if transfer else None,
        progress=decode_json(ProgressReported, progress, max_bytes=MAX_EVENT_BYTES) if progress else None,
        message=_message(db, row, queue),
        queue=queue,
        memory_bytes=row["memory_bytes"],
        debug=row["debug"],
        operator_breakpoints=tuple(
            decode(OperatorBreakpointOrder, one) for one in json.loads(row["operator_breakpoints_json"])
        ),
        kept_breakpoints=bool(row["kept_breakpoints"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        may_return=bool(row["may_return"]),
        result=json.loads(row["result_json"]),
        files=_files(db, row["id"]),
        gaps=_gaps(db, row["id"]),
        error=json.loads(row["error_json"]) if row["error_json"] else None,
    )
