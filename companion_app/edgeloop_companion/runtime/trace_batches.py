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
    for report in reports:
        if waiting and not _fits(waiting, report):
            yield _packed(waiting)
            waiting = []
        waiting.append(report)
    if waiting:
        yield _packed(waiting)


def _fits(waiting: list[TracesReported], report: TracesReported) -> bool:
    first, new = waiting[0].operators, report.operators
    if first is None or new is None or first.session != new.session:
        return False
    return sum(len(one.operators or ()) for one in waiting) + len(new) <= MAX_BATCH_EVENTS


def _packed(waiting: list[TracesReported]) -> bytes:
    if len(waiting) == 1:
        return waiting[0].data
    batches = [one.operators for one in waiting if one.operators is not None]
    return pack_batch(joined(batches))
