"""The reporter of the tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeloop_shared.operator_hits import OperatorHitReported
from edgeloop_shared.progress import ProgressReported
from edgeloop_shared.run_events import OperatorEvent
from edgeloop_shared.spans import CounterBatch, SpanBatch, TraceStarted
from edgeloop_shared.trace_payloads import unpack_trace
from edgeloop_shared.traces import OperatorTable, TraceBatch
from edgeloop_task.reporting import StopAt


@dataclass
class Remembered:
    """A reporter that remembers what it was told."""

    is_attended: bool = False
    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)
    progresses: list[ProgressReported] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    files: list[tuple[Path, str]] = field(default_factory=list)
    tables: list[OperatorTable] = field(default_factory=list)
    batches: list[TraceBatch] = field(default_factory=list)
    started: list[TraceStarted] = field(default_factory=list)
    spans: list[SpanBatch] = field(default_factory=list)
    counters: list[CounterBatch] = field(default_factory=list)
    hits: list[OperatorHitReported] = field(default_factory=list)
    operator_events: list[OperatorEvent] = field(default_factory=list)

    def metric(self, name: str, value: float, step: int | None) -> None:
        self.metrics.append((name, value, step))

    def progress(self, progress: ProgressReported) -> None:
        self.progresses.append(progress)

    def result(self, values: dict[str, Any]) -> None:
        self.results |= values

    def file(self, path: Path, name: str) -> None:
        self.files.append((path, name))

    def trace_started(self, event: TraceStarted) -> None:
        self.started.append(event)

    def operator_table(self, table: OperatorTable) -> None:
        self.tables.append(table)

    def trace_batch(self, data: bytes) -> None:
        match unpack_trace(data):
            case SpanBatch() as batch:
                self.spans.append(batch)
            case CounterBatch() as batch:
                self.counters.append(batch)
            case batch:
                self.batches.append(batch)

    def debugger(self) -> StopAt | None:
        return None

    def operator_event(self, event: OperatorEvent) -> None:
        if isinstance(event, OperatorHitReported):
            self.hits.append(event)
        else:
            self.operator_events.append(event)

    def close(self) -> None:
        pass
