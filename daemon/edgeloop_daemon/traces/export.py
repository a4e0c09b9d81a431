"""Traces as files that others open."""

from __future__ import annotations

import asyncio

from edgeloop_daemon.traces.store import TraceStore
from edgeloop_shared.chrome_trace import chrome_trace
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import NotFoundError


async def export_chrome_trace(traces: TraceStore, run_id: str, *, process_name: str) -> bytes:
    """Return the trace of a run as JSON text in Chrome's format. Raises `NotFoundError` when nothing was traced."""
    trace = await traces.read(run_id)
    if not trace.tables:
        raise NotFoundError(
            f"Run {run_id} has no trace.", hint="Run it again with `edgeloop run --trace`, and run a model in it."
        )

    def export() -> bytes:
        return encode_json(chrome_trace(trace.tables, trace.batches, trace.gaps, process_name=process_name))

    return await asyncio.to_thread(export)
