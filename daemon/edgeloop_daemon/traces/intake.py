"""What devices say of traces, put into tables: in the transactions that store their records, so each one counts exactly once.

Batches lie in `records` as they came, until enough of them make a block (`seal`). Readers look at both.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edgeloop_daemon.store.tables import Tables
from edgeloop_daemon.traces.blocks import pack_columns, pack_statistics, statistics
from edgeloop_daemon.traces.span_tree import SpanTree
from edgeloop_shared.clocks import ClockCompared
from edgeloop_shared.codec import encode, encode_json
from edgeloop_shared.errors import MessageError
from edgeloop_shared.records import MAX_PAYLOAD, Priority, stream_name
from edgeloop_shared.spans import CounterBatch, SpanBatch, TraceStarted
from edgeloop_shared.trace_payloads import unpack_trace
from edgeloop_shared.traces import OperatorTable, TraceBatch, joined

SEAL_BYTES = 512 * 1024  # of batches as they came: some 20,000 operators
_MAX_PARTS = 16  # of one batch; it needs one


@dataclass(frozen=True)
class Tail:
    """The batches behind the last block: `sequence` is that of the last record, `bytes` what they take as they came."""

    operators: Mapping[int, Sequence[TraceBatch]] = field(default_factory=dict)
    spans: Sequence[tuple[bytes, SpanBatch]] = ()
    counters: Sequence[tuple[bytes, CounterBatch]] = ()
    unreadable: int = 0
    sequence: int = 0
    bytes: int = 0


def begin_trace(db: Tables, run_id: str, started: TraceStarted | None = None) -> None:
    """Note that a run has a trace; of several heads the first one counts."""
    db.execute("insert or ignore into traces (run, created_at) values (?, ?)", [run_id, time.time()])
    if started is not None:
        sql = "update traces set started_json = coalesce(started_json, ?) where run = ?"
        db.execute(sql, [encode_json(started).decode(), run_id])


def add_session(db: Tables, run_id: str, table: OperatorTable) -> None:
    """Keep a session with its operators; a session that is told anew takes the place of the earlier one."""
    begin_trace(db, run_id)
    rows = [[one.name, one.type, one.input_shapes, one.output_shapes, one.flops, one.source] for one in table.operators]
    operators = zlib.compress(json.dumps(encode(rows), separators=(",", ":")).encode("utf-8", "surrogatepass"), 1)
    db.execute(
        "insert or replace into trace_sessions (run, session, model, backend, threads, precision, clock_offset_ns, operators)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(run_id, table.session, table.model, table.backend, table.threads, table.precision),
            *(table.clock_offset_ns, operators),
        ],
    )


def add_clock(db: Tables, run_id: str, point: ClockCompared) -> None:
    """Keep a comparison of the two clocks."""
    begin_trace(db, run_id)
    sql = "insert or replace into trace_clocks (run, device_ns, host_ns, error_ns, round_trips) values (?, ?, ?, ?, ?)"
    db.execute(sql, [run_id, point.device_ns, point.host_ns, point.error_ns, point.round_trips])


def sessions_of(db: Tables, run_id: str) -> int:
    """Return how many sessions a run's trace has."""
    (count,) = db.execute("select count(*) from trace_sessions where run = ?", [run_id]).fetchone()
    return int(count)


def seal(db: Tables, run_id: str) -> None:
    """Put the batches that came since the last time into blocks; where nothing came nothing happens."""
    tail = _read_tail(db, run_id)
    if not tail.sequence:
        return
    begin_trace(db, run_id)
    stream = stream_name(run_id, Priority.TRACES)
    (number,) = db.execute("select coalesce(max(number), 0) from trace_blocks where run = ?", [run_id]).fetchone()
    blocks = list(_blocks(tail))
    rows = [[run_id, number + place, *block] for place, block in enumerate(blocks, 1)]
    db.executemany(
        "insert into trace_blocks (run, number, kind, session, events, begin_ns, end_ns, summary, content)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    events = {
        kind: sum(count for found, _, count, *_ in blocks if found == kind)
        for kind in ("operators", "spans", "counters")
    }
    begin = min((block[3] for block in blocks), default=None)
    end = max((block[4] for block in blocks), default=None)
    db.execute(
        "update traces set events = events + ?, spans = spans + ?, samples = samples + ?, lost_spans = lost_spans + ?,"
        " unreadable = unreadable + ?, sealed = ?, raw_bytes = raw_bytes + ?, bytes = bytes + ?,"
        " begin_ns = min(coalesce(begin_ns, ?), coalesce(?, begin_ns)),"
        " end_ns = max(coalesce(end_ns, ?), coalesce(?, end_ns)) where run = ?",
        [
            *(events["operators"], events["spans"], events["counters"], sum(batch.lost for _, batch in tail.spans)),
            *(tail.unreadable, tail.sequence, tail.bytes, sum(len(row[-1]) + len(row[-2]) for row in rows)),
            *(begin, begin, end, end, run_id),
        ],
    )
    # The last one stays, without its bytes: the stream goes on behind it.
    db.execute("delete from records where stream = ? and sequence < ?", [stream, tail.sequence])
    db.execute("update records set payload = x'' where stream = ? and sequence = ?", [stream, tail.sequence])


def trace_bytes(db: Tables, run_id: str) -> int | None:
    """Return how much room a run's trace takes in blocks; None for a run without one."""
    row = db.execute("select bytes from traces where run = ?", [run_id]).fetchone()
    return None if row is None else int(row[0])


def remove_trace(db: Tables, run_id: str) -> None:
    """Remove a run's trace; the run stays, and so does the number of its stream's last record."""
    stream = stream_name(run_id, Priority.TRACES)
    (last,) = db.execute("select max(sequence) from records where stream = ?", [stream]).fetchone()
    db.execute("delete from records where stream = ? and sequence < ?", [stream, last])
    db.execute("update records set payload = x'' where stream = ? and sequence = ?", [stream, last])
    for table in ("trace_blocks", "trace_clocks", "trace_sessions", "traces"):
        db.execute(f"delete from {table} where run = ?", [run_id])  # noqa: S608 - names of this function


def _read_tail(db: Tables, run_id: str) -> Tail:
    """Return the batches that lie in no block yet. Those that no table explains, or that nobody can read, are counted."""
    (sealed,) = db.execute("select coalesce(max(sealed), 0) from traces where run = ?", [run_id]).fetchone()
    return tail_of(tail_rows(db, run_id, sealed), _known_operators(db, run_id))


def tail_rows(db: Tables, run_id: str, sealed: int) -> list[tuple[int, int, int, bytes]]:
    """Return the records of a run's stream of traces behind the one that was `sealed` last: what `tail_of` takes."""
    sql = "select sequence, is_continued, is_gap, payload from records where stream = ? and sequence > ? order by sequence"
    return db.execute(sql, [stream_name(run_id, Priority.TRACES), sealed]).fetchall()


def _known_operators(db: Tables, run_id: str) -> dict[int, int]:
    """Return how many operators each session has."""
    sql = "select session, operators from trace_sessions where run = ?"
    return {session: len(json.loads(zlib.decompress(data))) for session, data in db.execute(sql, [run_id])}


def tail_of(rows: Iterable[tuple[int, int, int, bytes]], known: Mapping[int, int]) -> Tail:
    """Return the batches in rows of records."""
    operators: dict[int, list[TraceBatch]] = {}
    spans: list[tuple[bytes, SpanBatch]] = []
    counters: list[tuple[bytes, CounterBatch]] = []
    tail = Tail(operators, spans, counters)
    for sequence, payload in _wholes(rows):
        tail = replace(tail, sequence=sequence, bytes=tail.bytes + len(payload or b""))
        if payload is None:  # a gap: `run_gaps` tells
            continue
        try:
            match unpack_trace(payload):
                case TraceBatch() as batch if len(batch) and max(batch.operator) < known.get(batch.session, 0):
                    operators.setdefault(batch.session, []).append(batch)
                case SpanBatch() as batch:
                    spans.append((payload, batch))
                case CounterBatch() as batch:
                    counters.append((payload, batch))
                case TraceBatch() as batch if not len(batch):
                    pass
                case _:
                    tail = replace(tail, unreadable=tail.unreadable + 1)
        except MessageError:
            tail = replace(tail, unreadable=tail.unreadable + 1)
    return tail


def pack_payloads(payloads: Iterable[bytes]) -> bytes:
    """Return payloads as the content of one block."""
    return zlib.compress(b"".join(len(one).to_bytes(4, "little") + one for one in payloads), 1)


def unpack_payloads(content: bytes) -> Iterator[bytes]:
    """Yield the payloads of a block. Raises `MessageError` for a damaged one."""
    try:
        data = zlib.decompress(content)
    except zlib.error as error:
        raise MessageError(f"A block of a trace is damaged: {error}.") from None
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        if length > len(data) - offset - 4:
            raise MessageError("A block of a trace ends in the middle of a batch.")
        yield data[offset + 4 : offset + 4 + length]
        offset += 4 + length


def counter_ranges(batches: Iterable[CounterBatch]) -> dict[str, list[float]]:
    """Return of each counter the first, the last, the smallest and the largest value."""
    found: dict[str, list[float]] = {}
    for batch in batches:
        for name, values in zip(batch.texts.names, batch.values, strict=True):
            read = [value for value in values if not math.isnan(value)]
            if read:
                first, _, low, high = found.get(name, (read[0], 0.0, read[0], read[0]))
                found[name] = [first, read[-1], min(low, *read), max(high, *read)]
    return found


def _blocks(tail: Tail) -> Iterator[tuple[Any, ...]]:
    """Yield kind, session, number of events, begin, end, summary and content of each block."""
    for session, batches in tail.operators.items():
        batch = joined(batches)
        begin, end = min(batch.begin_ns), batch.begin_ns[-1] + batch.duration_ns[-1]
        yield "operators", session, len(batch), begin, end, pack_statistics(statistics(batch)), pack_columns(batch)
    spans = [batch for _, batch in tail.spans if len(batch) or batch.lost]
    if spans:
        tree = SpanTree()
        for one in spans:
            tree.add(one)
        begins = [time for one in spans for time in one.begin_ns]
        ends = [begin + taken for one in spans for begin, taken in zip(one.begin_ns, one.duration_ns, strict=True)]
        content = pack_payloads(payload for payload, _ in tail.spans)
        yield "spans", 0, len(begins), min(begins, default=0), max(ends, default=0), tree.summary(), content
    counters = [batch for _, batch in tail.counters if len(batch)]
    if counters:
        times = [time for one in counters for time in one.time_ns]
        summary = json.dumps(counter_ranges(counters)).encode()
        content = pack_payloads(payload for payload, _ in tail.counters)
        yield "counters", 0, len(times), min(times), max(times), summary, content


def _wholes(rows: Iterable[tuple[int, int, int, bytes]]) -> Iterator[tuple[int, bytes | None]]:
    """Yield whole payloads with the number of their last record; None for a gap."""
    parts: list[bytes] = []
    for sequence, is_continued, is_gap, payload in rows:
        if is_gap:
            yield sequence, None
            continue
        if len(parts) < _MAX_PARTS:  # a longer one is no batch
            parts.append(payload)
        if not is_continued:
            yield sequence, b"".join(parts) if sum(map(len, parts)) <= MAX_PAYLOAD else b"too long"
            parts = []
