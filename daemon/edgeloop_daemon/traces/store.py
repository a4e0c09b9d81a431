"""The traces of runs in the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.blocks import unpack_columns
from edgeloop_daemon.traces.intake import tail_rows, unpack_payloads
from edgeloop_daemon.traces.stored_trace import Rows, StoredTrace
from edgeloop_shared.errors import MessageError, NotFoundError
from edgeloop_shared.run_events import Gap
from edgeloop_shared.trace_payloads import Batch, unpack_trace

Moment = tuple[int, str, Mapping[str, Any]]
"""What happened on this computer: nanoseconds since the UNIX epoch, a name, facts."""
_MAX_MOMENTS = 10_000


@dataclass(frozen=True)
class TraceItem:
    """A trace in a list: how many operators were executed in it, how many spans it holds, and how much room it takes."""

    run: str
    workspace: str
    device: str
    script: str
    state: str
    created_at: float
    events: int
    spans: int
    sessions: int
    gaps: int
    bytes: int


class TraceStore:
    """Reads traces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, workspace: str | None, limit: int, behind: tuple[float, str] | None = None
    ) -> tuple[TraceItem, ...]:
        """Return traces, the newest first; with `behind`, the time of creation and the run of one, those behind it."""
        created_at, run_id = behind or (None, None)
        sql = (
            "select runs.id, runs.workspace, runs.device, runs.script, runs.state, traces.created_at, traces.events,"
            " traces.spans, (select count(*) from trace_sessions where run = runs.id),"
            " (select count(*) from run_gaps where run = runs.id and stream = 'traces'), traces.bytes"
            " from traces join runs on runs.id = traces.run where (?1 is null or runs.workspace = ?1)"
            " and (?2 is null or (traces.created_at, runs.id) < (?2, ?3)) order by traces.created_at desc, runs.id desc limit ?4"
        )
        values = [workspace, created_at, run_id, limit]
        rows = await self._database.read(lambda db: db.execute(sql, values).fetchall())
        return tuple(TraceItem(*row) for row in rows)

    async def read(self, run_id: str) -> StoredTrace:
        """Return the trace of a run as it is now. Raises `NotFoundError` for a run without one."""
        rows = await self._database.read(lambda db: _rows(db, run_id))
        if rows is None:
            raise NotFoundError(
                f"Run {run_id[:64]} has no trace.",
                hint="Run it again with `edgeloop trace SCRIPT`. Traces are kept as `edgeloop storage` says.",
            )
        return await asyncio.to_thread(StoredTrace, rows)

    async def moments(self, workspace: str, begin: float, end: float) -> tuple[Moment, ...]:
        """Return what happened on this computer between two times, in seconds since the UNIX epoch."""
        sql = (
            "select time, kind, data_json from events where time between ? and ? and (workspace is null or workspace = ?)"
            " order by cursor limit ?"
        )
        rows = await self._database.read(lambda db: db.execute(sql, [begin, end, workspace, _MAX_MOMENTS]).fetchall())
        return tuple((round(time * 1e9), kind, json.loads(data)) for time, kind, data in rows)

    async def batches(self, trace: StoredTrace) -> AsyncIterator[Batch]:
        """Yield all batches of a trace, a block at a time; one that is damaged is left out."""
        run_id = trace.rows.trace["run"]
        sql = "select kind, content from trace_blocks where run = ? and number = ?"
        for number, *_ in trace.rows.summaries:
            row = await self._database.read(lambda db, at=number: db.execute(sql, [run_id, at]).fetchone())  # type: ignore[misc]
            if row is None:
                return  # removed meanwhile
            for batch in await asyncio.to_thread(_unpacked, *row):
                yield batch
        tail = trace.tail
        for batches in tail.operators.values():
            for one in batches:
                yield one
        for _, spans in tail.spans:
            yield spans
        for _, counters in tail.counters:
            yield counters


def _rows(db: Tables, run_id: str) -> Rows | None:
    trace = next(db.query("select * from traces where run = ?", [run_id]), None)
    if trace is None:
        return None
    return Rows(
        trace,
        db.execute(
            "select session, model, backend, threads, precision, clock_offset_ns, operators from trace_sessions where run = ?",
            [run_id],
        ).fetchall(),
        db.execute(
            "select device_ns, host_ns, error_ns, round_trips from trace_clocks where run = ?", [run_id]
        ).fetchall(),
        db.execute(
            "select number, kind, session, events, begin_ns, end_ns, summary from trace_blocks where run = ? order by number",
            [run_id],
        ).fetchall(),
        tail_rows(db, run_id, trace["sealed"]),
        tuple(
            Gap(items, size, reason, round(begun * 1e9), round(ended * 1e9))
            for items, size, reason, begun, ended in db.execute(
                "select items, bytes, reason, begun_at, ended_at from run_gaps where run = ? and stream = 'traces'"
                " order by sequence",
                [run_id],
            )
        ),
    )


def _unpacked(kind: str, content: bytes) -> list[Batch]:
    try:
        if kind == "operators":
            return [unpack_columns(content)]
        return [unpack_trace(payload) for payload in unpack_payloads(content)]
    except MessageError:
        return []
