"""A trace in short: what was recorded, how well, and what of it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeloop_daemon.devices.run_table import Run, RunGap
from edgeloop_daemon.traces.stored_trace import CounterRange, StoredTrace, TraceClock, TraceSession


@dataclass(frozen=True)
class TraceSummary:
    """What a trace holds now. `size` grows with everything that comes; times are milliseconds.

    `began_at` is in seconds since the UNIX epoch, by this computer's clock where `clock` is aligned. Counters are read every
    `interval_seconds`; `missing` are those that the device does not tell, with the reason. `gaps`, `lost_spans` and
    `unreadable_batches` say what is missing.
    """

    run: str
    state: str
    script: str
    device: str
    size: int
    events: int
    spans: int
    began_at: float
    duration_ms: float
    sessions: tuple[TraceSession, ...]
    counters: tuple[CounterRange, ...]
    interval_seconds: float | None
    missing: Mapping[str, str]
    clock: TraceClock
    gaps: tuple[RunGap, ...]
    lost_spans: int
    unreadable_batches: int


def summary_of(trace: StoredTrace, run: Run) -> TraceSummary:
    """Return the summary. It computes: not for the event loop."""
    begin, end = trace.extent
    gaps = tuple(gap for gap in run.gaps if gap.stream == "traces")
    return TraceSummary(
        run.id,
        run.state.value,
        run.script,
        run.device,
        trace.events + trace.spans + trace.samples + len(gaps),
        trace.events,
        trace.spans,
        trace.clock.host_ns(begin) / 1e9,
        (end - begin) / 1e6,
        trace.sessions(),
        trace.counters(),
        trace.started.interval_seconds if trace.started else None,
        trace.started.missing if trace.started else {},
        trace.clock_facts,
        gaps,
        trace.lost_spans,
        trace.unreadable,
    )
