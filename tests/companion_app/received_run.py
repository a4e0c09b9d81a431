"""A run as its records arrive at the daemon's side of a link."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeloop_shared.codec import decode_json
from edgeloop_shared.models import RunState
from edgeloop_shared.records import Record, join
from edgeloop_shared.run_events import Event, LogLine, TaskFinished, decode_event

_event = functools.lru_cache(8192)(decode_event)  # who waits looks at everything again with each record


@functools.lru_cache(8192)
def _lines(payload: bytes) -> tuple[LogLine, ...]:
    return tuple(decode_json(LogLine, text, max_bytes=128 * 1024) for text in payload.split(b"\n"))


@dataclass
class Run:
    """What arrived of a run."""

    records: dict[str, list[Record]] = field(default_factory=dict)

    def events(self) -> list[Event]:
        return [_event(payload) for payload in self._payloads("events")]

    def traces(self) -> list[bytes]:
        return list(self._payloads("traces"))

    def lines(self) -> list[LogLine]:
        return [line for payload in self._payloads("logs") for line in _lines(payload)]

    def text(self, source: str) -> list[str]:
        return [line.text for line in self.lines() if line.source == source]

    @property
    def finished(self) -> TaskFinished | None:
        last = self.events()[-1:]
        return last[0] if last and isinstance(last[0], TaskFinished) else None

    @property
    def is_complete(self) -> bool:
        end = self.finished
        if end is None:
            return False
        return self.last("logs") >= end.logs and self.last("traces") >= end.traces

    def last(self, kind: str) -> int:
        return self.records[kind][-1].sequence if kind in self.records else 0

    def _payloads(self, kind: str) -> list[bytes]:
        parts = ((record.payload, record.continued) for record in self.records.get(kind, ()) if not record.is_gap)
        return list(join(parts, max_bytes=64 * 1024**2))


def failure(run: Run) -> Mapping[str, Any]:
    """Return the error of a run that failed."""
    assert run.finished is not None
    assert run.finished.state is RunState.FAILED
    assert run.finished.error is not None
    return run.finished.error
