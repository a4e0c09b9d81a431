"""Traces as files that others open, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from edgeloop_daemon.traces.store import Moment, TraceStore
from edgeloop_daemon.traces.stored_trace import StoredTrace
from edgeloop_shared.chrome_trace import TAIL, ChromeTrace
from edgeloop_shared.errors import MessageError
from edgeloop_shared.spans import CounterBatch, SpanBatch
from edgeloop_shared.trace_payloads import Batch


async def chrome_trace_pieces(
    traces: TraceStore, trace: StoredTrace, *, process_name: str, moments: Sequence[Moment] = ()
) -> AsyncIterator[bytes]:
    """Yield a trace as JSON text in Chrome's format. One block at a time is in memory."""
    begin, end = trace.extent
    chrome = ChromeTrace(trace.clock, min([trace.clock.host_ns(begin), *(time for time, _, _ in moments)]))
    error = trace.clock.error_ns(begin, end)
    facts = {
        "run": trace.rows.trace["run"],
        "clock": "aligned with the host's by round trips" if trace.clock.is_aligned else "the device's own",
        "clock_error_ns": "unknown" if error is None else str(error),
        "round_trips": str(trace.clock.round_trips),
        "lost_spans": str(trace.lost_spans),
        "unreadable_batches": str(trace.unreadable),
    }
    yield chrome.head(process_name, facts).encode()
    for _, table in sorted(trace.tables.items()):
        yield "".join(chrome.session(table)).encode()
    async for batch in traces.batches(trace):
        yield await asyncio.to_thread(_text, chrome, batch)
    yield "".join(map(chrome.gap, trace.rows.gaps)).encode()
    if moments:
        yield "".join(chrome.host("edgeloop on this computer", moments)).encode()
    yield TAIL.encode()


def _text(chrome: ChromeTrace, batch: Batch) -> bytes:
    match batch:
        case SpanBatch():
            return "".join(chrome.spans(batch)).encode()
        case CounterBatch():
            return "".join(chrome.counters(batch)).encode()
    try:
        return "".join(chrome.operators(batch)).encode()
    except MessageError:  # its table was told anew, and differs
        return b""
