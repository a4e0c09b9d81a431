"""One trace as it is stored now, and what can be asked of it. All of it computes: not for the event loop."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from edgeloop_daemon.traces.blocks import Statistics, statistics, unpack_statistics
from edgeloop_daemon.traces.intake import Tail, counter_ranges, tail_of
from edgeloop_daemon.traces.span_tree import SpanRow, SpanTree
from edgeloop_shared.clocks import AlignedClock, ClockCompared
from edgeloop_shared.run_events import Gap
from edgeloop_shared.spans import TraceStarted
from edgeloop_shared.traces import Operator, OperatorTable, joined

Group = Literal["operator", "type", "session"]


@dataclass(frozen=True)
class TraceSession:
    """A loaded model as it ran. `runs` counts those whose operators were traced; without valid times only whole runs count."""

    session: int
    model: str
    backend: str
    threads: int | None
    precision: str | None
    operators: int
    runs: int
    total_ms: float
    has_valid_times: bool


@dataclass(frozen=True)
class TopItem:
    """Operators that took long together. Times are milliseconds; `p50_ms` is the median of the medians of the trace's parts.

    `share` is the part of all operators' time. `mflops` are millions of operations per call, as MNN counts them (0: unknown).
    `source` is the node of the source model, with its type, of an operator where that is known.
    """

    name: str
    type: str
    model: str
    session: int
    calls: int
    total_ms: float
    mean_ms: float
    p50_ms: float
    min_ms: float
    max_ms: float
    share: float
    mflops: float
    has_valid_times: bool
    source: str | None


@dataclass(frozen=True)
class CounterRange:
    """A counter over the whole trace; the last word of its name is its unit."""

    name: str
    first: float
    last: float
    min: float
    max: float


@dataclass(frozen=True)
class TraceClock:
    """How the device's clock was aligned with this computer's: with an error of `error_ns` at most (null: not at all)."""

    is_aligned: bool
    error_ns: int | None
    round_trips: int


@dataclass(frozen=True)
class Rows:
    """What the database holds of a trace, as it is."""

    trace: Mapping[str, Any]
    sessions: Sequence[tuple[int, str, str, int | None, str | None, int, bytes]]
    clocks: Sequence[tuple[int, int, int, int]]
    summaries: Sequence[tuple[int, str, int, int, int, int, bytes]]
    tail: Sequence[tuple[int, int, int, bytes]]
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class StoredTrace:
    """A trace at a moment; a running one grows."""

    rows: Rows
    tables: Mapping[int, OperatorTable] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", {row[0]: _table(row) for row in self.rows.sessions})

    @cached_property
    def started(self) -> TraceStarted | None:
        """The trace's head."""
        text = self.rows.trace["started_json"]
        return None if text is None else TraceStarted(**json.loads(text))

    @cached_property
    def tail(self) -> Tail:
        """What lies in no block yet."""
        return tail_of(self.rows.tail, {session: len(table.operators) for session, table in self.tables.items()})

    @cached_property
    def clock(self) -> AlignedClock:
        """The clock of all its times."""
        offset = self.started.clock_offset_ns if self.started else 0
        if self.started is None and self.tables:
            offset = next(iter(self.tables.values())).clock_offset_ns
        return AlignedClock((ClockCompared(*point) for point in self.rows.clocks), offset)

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The first begin and the last end, in nanoseconds of the device's clock."""
        begins, ends = [], []
        for batches in self.tail.operators.values():
            begins += [min(batch.begin_ns) for batch in batches]
            ends += [batch.begin_ns[-1] + batch.duration_ns[-1] for batch in batches]
        for _, spans in self.tail.spans:
            begins += spans.begin_ns
            ends += [begin + taken for begin, taken in zip(spans.begin_ns, spans.duration_ns, strict=True)]
        for _, counters in self.tail.counters:
            begins += counters.time_ns
            ends += counters.time_ns
        known = [self.rows.trace["begin_ns"], self.rows.trace["end_ns"]]
        begins += [known[0]] if known[0] is not None else []
        ends += [known[1]] if known[1] is not None else []
        return min(begins, default=0), max(ends, default=0)

    @property
    def events(self) -> int:
        """How many executed operators there are."""
        return int(self.rows.trace["events"]) + sum(len(one) for many in self.tail.operators.values() for one in many)

    @property
    def spans(self) -> int:
        """How many spans there are."""
        return int(self.rows.trace["spans"]) + sum(len(batch) for _, batch in self.tail.spans)

    @property
    def samples(self) -> int:
        """How many times the counters were read."""
        return int(self.rows.trace["samples"]) + sum(len(batch) for _, batch in self.tail.counters)

    @property
    def lost_spans(self) -> int:
        """How many spans the script's process had to drop."""
        return int(self.rows.trace["lost_spans"]) + sum(batch.lost for _, batch in self.tail.spans)

    @property
    def unreadable(self) -> int:
        """How many batches could not be read, or belong to nothing that is known."""
        return int(self.rows.trace["unreadable"]) + self.tail.unreadable

    @property
    def clock_facts(self) -> TraceClock:
        """How well its times are aligned."""
        return TraceClock(self.clock.is_aligned, self.clock.error_ns(*self.extent), self.clock.round_trips)

    def tree(self) -> tuple[SpanRow, ...]:
        """Return the tree of spans."""
        tree = SpanTree()
        for _, _, _, _, _, _, summary in self._summaries("spans"):
            tree.add_summary(summary)
        for _, batch in self.tail.spans:
            tree.add(batch)
        return tree.rows()

    def counters(self) -> tuple[CounterRange, ...]:
        """Return the ranges of all counters."""
        found: dict[str, list[float]] = {}
        parts = [json.loads(row[6]) for row in self._summaries("counters")]
        for part in (*parts, counter_ranges(batch for _, batch in self.tail.counters)):
            for name, (first, last, low, high) in part.items():
                known = found.get(name, [first, last, low, high])
                found[name] = [known[0], last, min(known[2], low), max(known[3], high)]
        return tuple(CounterRange(name, *values) for name, values in found.items())

    @cached_property
    def parts(self) -> Mapping[int, Sequence[Mapping[int, Statistics]]]:
        """For each session the statistics of its operators in each block, the tail last."""
        found: dict[int, list[Mapping[int, Statistics]]] = defaultdict(list)
        for row in self._summaries("operators"):
            found[row[2]].append(unpack_statistics(row[6]))
        for session, batches in self.tail.operators.items():
            found[session].append(statistics(joined(batches)))
        return found

    def sessions(self) -> tuple[TraceSession, ...]:
        """Return the sessions, in the order in which they began."""
        return tuple(self._session(table) for _, table in sorted(self.tables.items()))

    def top(self, by: Group = "operator", session: int | None = None) -> tuple[TopItem, ...]:
        """Return what took longest, by operator, by type of operator, or by session."""
        found: dict[tuple[Any, ...], list[Statistics]] = defaultdict(list)
        about: dict[tuple[Any, ...], tuple[OperatorTable, Operator]] = {}
        for number, parts in self.parts.items():
            table = self.tables.get(number)
            if table is None or (session is not None and number != session):
                continue
            whose = (table.model, table.backend, table.threads, table.precision)
            for part in parts:
                for index, one in part.items():
                    if index >= len(table.operators):
                        continue
                    operator = table.operators[index]
                    key: tuple[Any, ...] = (number,)
                    if by == "operator":
                        key = (*whose, operator.name, operator.type)
                    elif by == "type":
                        key = (operator.type,)
                    about.setdefault(key, (table, operator))
                    found[key].append(one)
        everything = sum(one.total for many in found.values() for one in many)
        items = (_item(by, *about[key], many, everything) for key, many in found.items())
        return tuple(sorted(items, key=lambda item: -item.total_ms))

    def _session(self, table: OperatorTable) -> TraceSession:
        calls: dict[int, int] = defaultdict(int)
        total = 0
        for part in self.parts.get(table.session, ()):
            for index, one in part.items():
                calls[index] += one.count
                total += one.total
        return TraceSession(
            table.session,
            table.model,
            table.backend,
            table.threads,
            table.precision,
            len(table.operators),
            max(calls.values(), default=0),
            total / 1e6,
            table.has_valid_times,
        )

    def _summaries(self, kind: str) -> Iterator[tuple[int, str, int, int, int, int, bytes]]:
        return (row for row in self.rows.summaries if row[1] == kind)


def _item(by: Group, table: OperatorTable, operator: Operator, found: Iterable[Statistics], everything: int) -> TopItem:
    parts = list(found)
    calls, total = sum(one.count for one in parts), sum(one.total for one in parts)
    names = {
        "operator": (operator.name, operator.type),
        "type": (operator.type, operator.type),
        "session": (table.model, ""),
    }
    name, kind = names[by]
    return TopItem(
        name,
        kind,
        "" if by == "type" else table.model,
        table.session,
        calls,
        total / 1e6,
        total / 1e6 / calls,
        _median(parts) / 1e6,
        min(one.shortest for one in parts) / 1e6,
        max(one.longest for one in parts) / 1e6,
        total / everything if everything else 0.0,
        operator.flops if by == "operator" else 0.0,
        table.has_valid_times,
        operator.source if by == "operator" else None,
    )


def _median(parts: Sequence[Statistics]) -> int:
    """Return the median of the parts' medians, each counted as often as it has calls."""
    half = sum(one.count for one in parts) / 2
    passed = 0
    for one in sorted(parts, key=lambda part: part.median):
        passed += one.count
        if passed >= half:
            return one.median
    return 0


def _table(row: tuple[int, str, str, int | None, str | None, int, bytes]) -> OperatorTable:
    session, model, backend, threads, precision, offset, operators = row
    named = tuple(Operator(*one) for one in json.loads(zlib.decompress(operators)))
    return OperatorTable(session, model, backend, offset, named, threads, precision)
