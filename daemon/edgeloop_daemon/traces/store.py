"""The traces of runs, read back from the records that their devices sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.codec import decode_json
from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_EVENT_BYTES, Gap, decode_event
from edgeloop_shared.records import MAX_PAYLOAD, Priority, join, stream_name
from edgeloop_shared.traces import OperatorTable, TraceBatch, unpack_batch

_TABLE_MARK = b'"operator_table"'


@dataclass(frozen=True)
class Trace:
    """All sessions of a run: a table of operators each, the batches of what was executed, and what the device had to drop."""

    tables: tuple[OperatorTable, ...]
    batches: tuple[TraceBatch, ...]
    gaps: tuple[Gap, ...] = ()


class TraceStore:
    """Reads traces. Batches that cannot be read, or that name an operator which no table holds, are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, run_id: str) -> Trace:
        """Return the trace of a run; it is empty for a run that was not traced."""
        traces = stream_name(run_id, Priority.TRACES)
        events, batches, gaps = await self._database.read(
            lambda db: (
                tuple(_payloads(db, stream_name(run_id, Priority.EVENTS))),
                tuple(_payloads(db, traces)),
                db.execute(
                    "select payload from records where stream = ? and is_gap order by sequence", [traces]
                ).fetchall(),
            )
        )
        tables = {table.session: table for table in _tables(events)}
        told = tuple(decode_json(Gap, payload, max_bytes=MAX_PAYLOAD) for (payload,) in gaps)
        return Trace(tuple(tables.values()), tuple(_batches(batches, tables)), told)


def _payloads(db: Tables, stream: str) -> Iterator[bytes]:
    sql = "select payload, is_continued from records where stream = ? and not is_gap order by sequence"
    rows = db.execute(sql, [stream])
    return join(((payload, bool(continued)) for payload, continued in rows), max_bytes=MAX_EVENT_BYTES)


def _tables(payloads: tuple[bytes, ...]) -> Iterator[OperatorTable]:
    for payload in payloads:
        if _TABLE_MARK not in payload[:64]:  # other events need not be decoded; `type` stands first
            continue
        try:
            event = decode_event(payload)
        except MessageError:
            continue
        if isinstance(event, OperatorTable):
            yield event


def _batches(payloads: tuple[bytes, ...], tables: dict[int, OperatorTable]) -> Iterator[TraceBatch]:
    for payload in payloads:
        try:
            batch = unpack_batch(payload)
        except MessageError:
            continue
        table = tables.get(batch.session)
        if table is not None and len(batch) and max(batch.operator) < len(table.operators):
            yield batch
