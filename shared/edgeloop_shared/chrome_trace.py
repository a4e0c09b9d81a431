"""Traces as Chrome's trace event format ("Trace Event Format", Google, 2016), which Perfetto and chrome://tracing open.

The file is made piece by piece, because a trace may be larger than the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from edgeloop_shared.clocks import AlignedClock
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import MessageError
from edgeloop_shared.run_events import Gap
from edgeloop_shared.spans import CounterBatch, SpanBatch
from edgeloop_shared.traces import OperatorTable, TraceBatch

DEVICE, HOST = 1, 2  # processes of the file
TAIL = "\n]}\n"
_TRACKS = 1_000_000  # above the numbers of sessions, which are threads of the file as well
_INVALID = "times of single operators mean nothing on this backend"


class ChromeTrace:
    """The events of one trace, each as JSON text with a comma before it; `head` comes first and `TAIL` last.

    Every session is a thread, in which its operators are complete events ("X"); every thread (or task) of the script is one with
    its spans. Counters are counter events ("C"), a gap is an instant ("i"), and an arrow ("s" to "f") leads from each run of a
    model to its first operator. Times are microseconds since `origin_ns`, which is a time of the host's clock.
    """

    def __init__(self, clock: AlignedClock, origin_ns: int) -> None:
        self._clock = clock
        self._origin = origin_ns
        self._tables: dict[int, OperatorTable] = {}
        self._tracks: dict[str, int] = {}

    def head(self, process_name: str, facts: Mapping[str, Any] | None = None) -> str:
        """Return the beginning of the file; `facts` are kept in it for who reads them."""
        other = {"origin_unix_ns": str(self._origin), **(facts or {})}
        return (
            f'{{"displayTimeUnit":"ms","otherData":{_json(other)},"traceEvents":[\n'
            f"{_json(_meta('process_name', DEVICE, 0, name=process_name))}"
        )

    def session(self, table: OperatorTable) -> Iterator[str]:
        """Yield what names a session; its operators come later."""
        self._tables[table.session] = table
        yield _event(_meta("thread_name", DEVICE, table.session, name=_title(table)))
        yield _event(_meta("thread_sort_index", DEVICE, table.session, sort_index=1000 + table.session))

    def operators(self, batch: TraceBatch) -> Iterator[str]:
        """Yield an event per executed operator. Raises `MessageError` for a session or an operator that no table explains."""
        table = self._tables.get(batch.session)
        if table is None:
            raise MessageError(f"A trace batch belongs to session {batch.session}, whose operators are not known.")
        known = len(table.operators)
        if len(batch) and max(batch.operator) >= known:
            raise MessageError(f"A trace batch names operator {max(batch.operator)} of a model that has {known}.")
        beginnings = [_beginning(table, index) for index in range(known)]
        last = None
        columns = zip(batch.operator, batch.iteration, batch.begin_ns, batch.duration_ns, strict=True)
        for index, iteration, begin, duration in columns:
            at = self._at(begin)
            yield f'{beginnings[index]}{iteration}}},"ts":{at},"dur":{duration / 1000}}}'
            if iteration != last and index == 0:
                yield _flow("f", table.session, iteration, table.session, at)
            last = iteration

    def spans(self, batch: SpanBatch) -> Iterator[str]:
        """Yield an event per span, and the names of tracks that are new."""
        tids = []
        for name in batch.texts.tracks:
            if name not in self._tracks:
                self._tracks[name] = _TRACKS + len(self._tracks)
                yield _event(_meta("thread_name", DEVICE, self._tracks[name], name=name))
                yield _event(_meta("thread_sort_index", DEVICE, self._tracks[name], sort_index=len(self._tracks)))
            tids.append(self._tracks[name])
        for number in range(len(batch)):
            label = batch.texts.labels[batch.label[number]]
            at, tid = self._at(batch.begin_ns[number]), tids[batch.track[number]]
            arguments: dict[str, Any] = dict(batch.texts.attributes.get(str(number), {}))
            session, iteration = batch.session[number], batch.iteration[number]
            if label.kind == "run":
                arguments |= {"session": session, "iteration": iteration}
            yield _event(
                {
                    "ph": "X",
                    "name": f"GC {label.name}" if label.kind == "gc" else label.name,
                    "cat": label.kind,
                    "pid": DEVICE,
                    "tid": tid,
                    "ts": at,
                    "dur": batch.duration_ns[number] / 1000,
                    "args": arguments,
                }
            )
            if label.kind == "run" and session in self._tables and self._tables[session].operators:
                yield _flow("s", session, iteration, tid, at)
        if batch.lost:
            first = self._at(min(batch.begin_ns, default=0)) if len(batch) else 0
            yield _event(
                _instant(
                    f"gap: {batch.lost} spans were dropped (too many at once)", "gap", first, {"spans": batch.lost}
                )
            )

    def counters(self, batch: CounterBatch) -> Iterator[str]:
        """Yield a counter event per moment and counter; one that could not be read is left out."""
        for name, values in zip(batch.texts.names, batch.values, strict=True):
            for time, value in zip(batch.time_ns, values, strict=True):
                if not math.isnan(value):
                    unit = name.rpartition(" ")[2]
                    yield _event(
                        {"ph": "C", "name": name, "pid": DEVICE, "tid": 0, "ts": self._at(time), "args": {unit: value}}
                    )

    def gap(self, gap: Gap) -> str:
        """Return the instant at which batches are missing."""
        begin, end = (self._of_host(self._clock.of_device_wall(time)) for time in (gap.since_ns, gap.until_ns))
        name = f"gap: {gap.items} batches were dropped ({gap.reason})"
        return _event(_instant(name, "gap", max(0.0, begin), {"batches": gap.items, "bytes": gap.bytes, "until": end}))

    def host(self, host_name: str, moments: Iterable[tuple[int, str, Mapping[str, Any]]]) -> Iterator[str]:
        """Yield what happened on the host, each a time in nanoseconds since the UNIX epoch, a name and facts."""
        yield _event(_meta("process_name", HOST, 0, name=host_name))
        yield _event(_meta("thread_name", HOST, 1, name="events"))
        for time_ns, name, facts in moments:
            event = _instant(name, "host", self._of_host(time_ns), facts)
            yield _event({**event, "s": "t", "pid": HOST, "tid": 1})

    def _at(self, device_ns: int) -> float:
        return self._of_host(self._clock.host_ns(device_ns))

    def _of_host(self, host_ns: int) -> float:
        return (host_ns - self._origin) / 1000


def chrome_trace(
    tables: Iterable[OperatorTable],
    batches: Iterable[TraceBatch],
    gaps: Iterable[Gap] = (),
    *,
    spans: Iterable[SpanBatch] = (),
    counters: Iterable[CounterBatch] = (),
    process_name: str,
    clock_offset_ns: int,
) -> Iterator[str]:
    """Yield the text of a whole trace that is in memory. Raises `MessageError` as above.

    Its clock is that of the device alone, as the head of the trace tells it (`TraceStarted.clock_offset_ns`).
    """
    batches, spans, counters = list(batches), list(spans), list(counters)
    begins = [min(batch.begin_ns) for batch in batches if len(batch)]
    begins += [min(batch.begin_ns) for batch in spans if len(batch)]
    begins += [min(batch.time_ns) for batch in counters if len(batch)]
    clock = AlignedClock((), clock_offset_ns)
    trace = ChromeTrace(clock, clock.host_ns(min(begins, default=0)))
    yield trace.head(process_name)
    for table in tables:
        yield from trace.session(table)
    for batch in batches:
        yield from trace.operators(batch)
    for span_batch in spans:
        yield from trace.spans(span_batch)
    for counter_batch in counters:
        yield from trace.counters(counter_batch)
    yield from map(trace.gap, gaps)
    yield TAIL


def _beginning(table: OperatorTable, index: int) -> str:
    """Return the text of an operator's event up to the iteration: all that is the same for every run."""
    operator = table.operators[index]
    arguments: dict[str, Any] = {
        "inputs": operator.input_shapes,
        "outputs": operator.output_shapes,
        "mflops": operator.flops,
    }
    if operator.source is not None:
        arguments["source"] = operator.source
    if not table.has_valid_times:
        arguments["note"] = _INVALID
    head = {
        "ph": "X",
        "name": operator.name,
        "cat": operator.type,
        "pid": DEVICE,
        "tid": table.session,
        "args": arguments,
    }
    return f',\n{_json(head)[:-2]},"iteration":'


def _title(table: OperatorTable) -> str:
    more = [table.backend]
    if table.threads is not None:
        more.append(f"{table.threads} thread{'s' * (table.threads > 1)}")
    if table.precision is not None:
        more.append(table.precision)
    return f"{table.model} ({', '.join(more)})"


def _flow(phase: str, session: int, iteration: int, tid: int, at: float) -> str:
    event = {
        "ph": phase,
        "name": "run",
        "cat": "run",
        "id": f"{session}.{iteration}",
        "pid": DEVICE,
        "tid": tid,
        "ts": at,
    }
    return _event({**event, "bp": "e"} if phase == "f" else event)


def _instant(name: str, category: str, at: float, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ph": "i",
        "s": "g",  # across all threads
        "name": name,
        "cat": category,
        "pid": DEVICE,
        "tid": 0,
        "ts": at,
        "args": dict(arguments),
    }


def _meta(name: str, pid: int, tid: int, /, **arguments: Any) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": arguments}


def _event(event: Mapping[str, Any]) -> str:
    return f",\n{_json(event)}"


def _json(value: Any) -> str:
    return encode_json(value).decode()
