"""Traces as Chrome's trace event format ("Trace Event Format", Google, 2016), which Perfetto and chrome://tracing open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import Gap
from edgeloop_shared.traces import OperatorTable, TraceBatch


def chrome_trace(
    tables: Iterable[OperatorTable], batches: Iterable[TraceBatch], gaps: Iterable[Gap] = (), *, process_name: str
) -> dict[str, Any]:
    """Return the trace as plain JSON values: one complete event ("X") per executed operator, named like the operator.

    Every session is a thread of its own; a gap is an instant event ("i"). Times are microseconds since the first event. Raises
    `MessageError` for a batch whose session or operator has no table.
    """
    by_session = {table.session: table for table in tables}
    listed = list(batches)
    begins = [begin + _table(by_session, batch).clock_offset_ns for batch in listed for begin in batch.begin_ns[:1]]
    origin = min(begins, default=0)
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": process_name}},
        *(
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": table.session, "args": {"name": _title(table)}}
            for table in by_session.values()
        ),
    ]
    for batch in listed:
        events += _events(_table(by_session, batch), batch, origin)
    events += [_gap(gap, origin) for gap in gaps]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _events(table: OperatorTable, batch: TraceBatch, origin: int) -> Iterable[dict[str, Any]]:
    offset = table.clock_offset_ns - origin
    # The arguments are the same for every run of an operator, but for the iteration.
    known = [
        {
            "inputs": [list(shape) for shape in operator.input_shapes],
            "outputs": [list(shape) for shape in operator.output_shapes],
            "mflops": operator.flops,
        }
        for operator in table.operators
    ]
    columns = zip(batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns, strict=True)
    for index, iteration, begin, duration in columns:
        if index >= len(known):
            raise MessageError(f"A trace batch names operator {index} of a model that has {len(known)}.")
        operator = table.operators[index]
        yield {
            "ph": "X",
            "name": operator.name,
            "cat": operator.type,
            "pid": 1,
            "tid": table.session,
            "ts": (begin + offset) / 1000,
            "dur": duration / 1000,
            "args": {**known[index], "iteration": iteration},
        }


def _gap(gap: Gap, origin: int) -> dict[str, Any]:
    return {
        "ph": "i",
        "s": "g",  # across all threads
        "name": f"gap: {gap.items} batches were dropped ({gap.reason})",
        "cat": "gap",
        "pid": 1,
        "tid": 0,
        "ts": max(0, gap.since_ns - origin) / 1000,
        "args": {"batches": gap.items, "bytes": gap.bytes, "until": (gap.until_ns - origin) / 1000},
    }


def _table(tables: dict[int, OperatorTable], batch: TraceBatch) -> OperatorTable:
    try:
        return tables[batch.session]
    except KeyError:
        raise MessageError(
            f"A trace batch belongs to session {batch.session}, whose operators are not known."
        ) from None


def _title(table: OperatorTable) -> str:
    return f"{table.model} ({table.backend})"
