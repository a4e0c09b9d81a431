"""A draft: the next step of a run's records, made anew until what of it the disk takes is certain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from edgeloop_companion.link.spool import SpooledRecord, SpoolState
from edgeloop_shared.codec import encode_json
from edgeloop_shared.records import CONTINUED, GAP, Priority, split
from edgeloop_shared.run_events import Gap


class Draft:
    """The next step of a run, while it is not yet certain what of it finds room."""

    def __init__(self, state: SpoolState, lost: Mapping[Priority, Gap]) -> None:
        self._last = dict(state.last)
        self._gaps = dict(state.gaps)
        self._is_closed = state.is_closed
        self.records: list[SpooledRecord] = []
        for priority, gap in lost.items():
            self._miss(priority, gap)

    def add(self, priority: Priority, payload: bytes) -> None:
        """Add a payload; what was dropped before it is told first."""
        self._tell_gap(priority)
        for part, continued in split(payload):
            self._record(priority, part, CONTINUED if continued else 0)

    def drop(self, priority: Priority, payload: bytes, reason: str) -> None:
        """Count a payload as dropped."""
        items = payload.count(b"\n") + 1 if priority is Priority.LOGS else 1
        now = time.time_ns()
        self._miss(priority, Gap(items, len(payload), reason, now, now))  # type: ignore[arg-type]

    def close(self, last_words: Callable[[Mapping[Priority, int]], bytes]) -> None:
        """Tell every gap and add the last event."""
        for priority in tuple(self._gaps):
            self._tell_gap(priority)
        self.add(Priority.EVENTS, last_words(self._last))
        self._is_closed = True

    def state(self, before: SpoolState, added: SpoolState) -> SpoolState:
        """Return what holds after this step."""
        return SpoolState(
            self._last,
            self._gaps,
            added.cursor,
            files={**before.files, **added.files},
            failure=added.failure or before.failure,
            traced=before.traced if added.traced is None else added.traced,
            is_closed=self._is_closed,
        )

    def _miss(self, priority: Priority, gap: Gap) -> None:
        known = self._gaps.get(priority)
        self._gaps[priority] = (
            gap
            if known is None
            else replace(known, items=known.items + gap.items, bytes=known.bytes + gap.bytes, until_ns=gap.until_ns)
        )

    def _tell_gap(self, priority: Priority) -> None:
        gap = self._gaps.pop(priority, None)
        if gap is not None:
            self._record(priority, encode_json(gap), GAP)

    def _record(self, priority: Priority, payload: bytes, flags: int) -> None:
        self._last[priority] += 1
        self.records.append(SpooledRecord(priority, self._last[priority], flags, len(payload), payload=payload))
