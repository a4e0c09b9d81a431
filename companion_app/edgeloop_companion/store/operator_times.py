"""Which operators of a traced run take longest, summed up on the device while the batches pass through."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from edgeloop_companion.store.plain_text import plain
from edgeloop_shared.traces import OperatorTable, TraceBatch

MAX_TABLES = 16
MAX_OPERATORS = 20_000  # of all tables together
SHOWN = 20

_NAME = {"max_length": 200}


@dataclass(frozen=True)
class OperatorTime:
    """What one operator has taken in all runs of its model: `total_ns` nanoseconds, `share` of all operators' time."""

    name: str = field(metadata=_NAME)
    type: str = field(metadata=_NAME)
    model: str = field(metadata=_NAME)
    count: int
    total_ns: int
    share: float


@dataclass
class _Session:
    table: OperatorTable
    counts: list[int]
    totals: list[int]


class OperatorTimes:
    """Sums of one run."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}
        self._operators = 0
        self.total_ns = 0
        """Of all operators."""
        self.are_valid = True
        """Whether the times of single operators mean something on the backends that were used."""

    def begin(self, table: OperatorTable) -> None:
        """Take the operators of a session. Of too many sessions the later ones are left out."""
        size = len(table.operators)
        if table.session in self._sessions or len(self._sessions) >= MAX_TABLES:
            return
        if self._operators + size > MAX_OPERATORS:
            return
        self._operators += size
        self.are_valid = self.are_valid and table.has_valid_times
        self._sessions[table.session] = _Session(table, [0] * size, [0] * size)

    def add(self, batch: TraceBatch) -> None:
        """Take executed operators; what their table does not hold is left out."""
        session = self._sessions.get(batch.session)
        if session is None:
            return
        counts, totals, size = session.counts, session.totals, len(session.counts)
        for operator, duration in zip(batch.operator, batch.duration_ns, strict=True):
            if operator < size:
                counts[operator] += 1
                totals[operator] += duration
                self.total_ns += duration

    def longest(self) -> tuple[OperatorTime, ...]:
        """Return the operators that took longest, the first one most."""
        found = (
            (total, number, index)
            for number, session in self._sessions.items()
            for index, total in enumerate(session.totals)
            if total
        )
        shown = []
        for total, number, index in heapq.nlargest(SHOWN, found):
            session = self._sessions[number]
            operator = session.table.operators[index]
            shown.append(
                OperatorTime(
                    plain(operator.name),
                    plain(operator.type),
                    plain(session.table.model),
                    session.counts[index],
                    total,
                    total / self.total_ns,
                )
            )
        return tuple(shown)
