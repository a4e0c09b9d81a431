"""Batches of a script's traces on their way out: short ones travel together, because a record costs more than an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeloop_shared.traces import MAX_BATCH_EVENTS, TraceBatch, joined, pack_batch


@dataclass(frozen=True)
class TracesReported:
    """A packed batch of executed operators, of spans or of counters, checked; of operators also what is in it."""

    data: bytes
    operators: TraceBatch | None = None


def merged(reports: Iterable[TracesReported]) -> Iterator[bytes]:
    """Yield the payloads of batches in their order; operators of one session that follow each other are put into one."""
    waiting: list[TracesReported] = []
    events = 0  # of those that wait
    for report in reports:
        count = len(report.operators or ())
        if waiting and not (_belong_together(waiting[0], report) and events + count <= MAX_BATCH_EVENTS):
            yield _packed(waiting)
            waiting, events = [], 0
        waiting.append(report)
        events += count
    if waiting:
        yield _packed(waiting)


def _belong_together(one: TracesReported, other: TracesReported) -> bool:
    first, second = one.operators, other.operators
    return first is not None and second is not None and first.session == second.session


def _packed(waiting: list[TracesReported]) -> bytes:
    if len(waiting) == 1:
        return waiting[0].data
    batches = [one.operators for one in waiting if one.operators is not None]
    return pack_batch(joined(batches))
