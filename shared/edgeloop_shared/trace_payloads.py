"""A payload of a trace: a packed batch of operators, of spans or of counters, told apart by its first bytes."""

from __future__ import annotations

from edgeloop_shared.spans import COUNTERS_MAGIC, SPANS_MAGIC, CounterBatch, SpanBatch, unpack_counters, unpack_spans
from edgeloop_shared.traces import TraceBatch, unpack_batch

Batch = TraceBatch | SpanBatch | CounterBatch


def unpack_trace(payload: bytes) -> Batch:
    """Return the batch in a payload. Raises `MessageError` for anything that no batch was packed to."""
    if payload.startswith(SPANS_MAGIC):
        return unpack_spans(payload)
    if payload.startswith(COUNTERS_MAGIC):
        return unpack_counters(payload)
    return unpack_batch(payload)
