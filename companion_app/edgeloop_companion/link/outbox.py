"""The outbox: a device's records until the daemon has stored them. Kept in memory, within bounds.

Records of a stream are numbered from 1 and sent in that order; streams of events go before logs, logs before traces, and
streams of one priority take turns. What a link has sent but the daemon has not acknowledged is sent again on the next one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_UNACKNOWLEDGED
from edgeloop_shared.records import Priority, Record, split, stream_priority

MAX_BYTES = {Priority.EVENTS: 32 * 1024**2, Priority.LOGS: 8 * 1024**2, Priority.TRACES: 32 * 1024**2}


@dataclass
class _Stream:
    priority: Priority
    records: deque[Record] = field(default_factory=deque)  # not acknowledged, oldest first
    last: int = 0  # the sequence number of the newest record
    stored: int = 0  # acknowledged up to here
    sent: int = 0  # sent on this link up to here
    closed: bool = False

    def next(self) -> Record | None:
        if self.sent >= self.last or self.sent - self.stored >= MAX_UNACKNOWLEDGED:
            return None
        return self.records[self.sent - self.stored]


class Outbox:
    """All streams that one daemon has yet to store.

    `max_bytes` bounds the payloads that wait per priority, so that a flood of traces holds up neither logs nor events.
    """

    def __init__(self, *, max_bytes: Mapping[Priority, int] = MAX_BYTES) -> None:
        self.epoch = secrets.token_hex(8)
        self.ready = asyncio.Event()
        """Set whenever there may be something new to send."""
        self._streams: dict[str, _Stream] = {}
        self._max_bytes = max_bytes
        self._bytes = dict.fromkeys(Priority, 0)
        self._acknowledged = asyncio.Event()

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams that are not closed and wholly stored."""
        return tuple(self._streams)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that these streams belong to."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self._streams))

    async def append(self, stream: str, payload: bytes) -> int:
        """Add a payload (in several records when it is long) and return the sequence number of its last record.

        Waits while the streams of this priority hold as much as they may: this is the back-pressure that a script feels.
        """
        priority = stream_priority(stream)
        limit = self._max_bytes[priority]
        await self._until(lambda: not self._bytes[priority] or self._bytes[priority] + len(payload) <= limit)
        state = self._streams.setdefault(stream, _Stream(priority))
        for part, continued in split(payload):
            state.last += 1
            state.records.append(Record(stream, state.last, part, continued))
            self._bytes[priority] += len(part)
        self.ready.set()
        return state.last

    def close_stream(self, stream: str) -> None:
        """Say that nothing more will be appended: the stream is forgotten once it is stored."""
        if stream in self._streams:
            self._streams[stream].closed = True
            self._forget(stream)

    def next(self) -> Record | None:
        """Return the record to send now and count it as sent; None when nothing waits or every window is full."""
        for name, state in self._by_priority():
            record = state.next()
            if record is not None:
                state.sent = record.sequence
                self._streams[name] = self._streams.pop(name)  # its peers come first next time
                return record
        return None

    def resume(self, positions: Mapping[str, int]) -> None:
        """Begin a new link: what the daemon has stored is dropped, all else counts as unsent."""
        for state in self._streams.values():
            state.sent = state.last  # an earlier link may have sent anything
        self.acknowledge(positions)
        for state in self._streams.values():
            state.sent = state.stored
        self.ready.set()

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Drop what is stored. Raises `MessageError` for a record that was never sent."""
        for name, position in positions.items():
            state = self._streams.get(name)
            if state is None:
                continue  # stored, closed and forgotten; a late acknowledgement says it again
            if position > state.sent:
                raise MessageError(f"Record {position} of {name} was acknowledged but only {state.sent} were sent.")
            while state.records and state.records[0].sequence <= position:
                self._bytes[state.priority] -= len(state.records.popleft().payload)
            state.stored = max(state.stored, position)
            self._forget(name)
        self.ready.set()
        self._acknowledged.set()
        self._acknowledged = asyncio.Event()

    async def stored(self, stream: str, sequence: int) -> None:
        """Wait until the daemon has stored the record `sequence` of `stream`."""

        def is_stored() -> bool:
            state = self._streams.get(stream)
            return state is None or state.stored >= sequence

        await self._until(is_stored)

    async def drained(self) -> None:
        """Wait until everything is stored."""
        await self._until(lambda: not any(state.records for state in self._streams.values()))

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._acknowledged.wait()

    def _by_priority(self) -> Iterator[tuple[str, _Stream]]:
        return iter(sorted(self._streams.items(), key=lambda item: item[1].priority))

    def _forget(self, name: str) -> None:
        state = self._streams[name]
        if state.closed and state.stored == state.last:
            del self._streams[name]
