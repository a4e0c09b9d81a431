"""The outbox: a device's records until the daemon has stored them, on disk and within bounds.

Records of a stream are numbered from 1 and sent in that order; streams of events go before logs, logs before traces, and
streams of one priority take turns. What a link has sent but the daemon has not acknowledged is sent again on the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeloop_companion.link.disk_reserve import DiskReserve
from edgeloop_companion.link.draft import Draft
from edgeloop_companion.link.spool import FULL_DISK, RunSpool, SpooledRecord, SpoolState
from edgeloop_companion.runtime.journal import Cursor
from edgeloop_companion.runtime.storage import write_private
from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import MAX_UNACKNOWLEDGED
from edgeloop_shared.records import CONTINUED, GAP, Priority, Record, stream_name
from edgeloop_shared.run_events import Gap

MAX_BYTES = {Priority.EVENTS: 32 * 1024**2, Priority.LOGS: 64 * 1024**2, Priority.TRACES: 160 * 1024**2}
CACHE_BYTES = 8 * 1024**2  # of payloads in memory
READ_AHEAD_BYTES = 512 * 1024
FULL_DISK_SECONDS = 0.5  # after which a full disk is tried again

Payloads = Sequence[tuple[Priority, bytes]]


@dataclass
class _Stream:
    name: str
    run: RunRecords
    priority: Priority
    records: deque[SpooledRecord] = field(default_factory=deque)  # not acknowledged, oldest first
    last: int = 0  # the sequence number of the newest record
    stored: int = 0  # acknowledged up to here
    sent: int = 0  # sent on this link up to here

    def next(self) -> SpooledRecord | None:
        if self.sent >= self.last or self.sent - self.stored >= MAX_UNACKNOWLEDGED:
            return None
        return self.records[self.sent - self.stored]


class Outbox:
    """All streams that one daemon has yet to store. `folder` holds what they have in common; each run has a spool of its own.

    `max_bytes` bounds the payloads that wait per priority. While there is a link, who adds more waits: this is the
    back-pressure that a script feels. Without one, logs and traces beyond the bound are dropped and a gap says so; events
    are never dropped.
    """

    def __init__(self, folder: Path, *, max_bytes: Mapping[Priority, int] = MAX_BYTES) -> None:
        self.epoch = ""
        self.ready = asyncio.Event()
        """Set whenever there may be something new to send."""
        self.is_linked = False
        self._folder = folder
        self._streams: dict[str, _Stream] = {}
        self._max_bytes = max_bytes
        self._bytes = dict.fromkeys(Priority, 0)
        self._cached = 0
        self._changed = asyncio.Event()
        self._reserve = DiskReserve(folder / "reserve")

    def load(self) -> None:
        """Read the epoch that an earlier companion began, or begin one. Blocks."""
        path = self._folder / "epoch"
        try:
            text = path.read_text()
        except (FileNotFoundError, UnicodeDecodeError):
            text = ""
        self.epoch = text if len(text) == 16 and text.isalnum() and text.islower() | text.isdigit() else ""
        if not self.epoch:
            self.epoch = secrets.token_hex(8)
            write_private(path, self.epoch.encode())
        self._reserve.set_aside()

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams of runs that are not closed and wholly stored."""
        return tuple(name for name, state in self._streams.items() if state.last)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that these streams belong to."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self._streams))

    async def open_run(self, run_id: str, folder: Path, on_stored: Callable[[], None]) -> RunRecords:
        """Return the records of a run whose spool lies in `folder`; those that an earlier companion left are sent.

        `on_stored` is called once the run is closed and all of it stored. Raises `SpoolDamagedError`.
        """
        spool = RunSpool(folder)
        state, records = await asyncio.to_thread(spool.load)
        run = RunRecords(self, run_id, spool, state, on_stored)
        for priority in Priority:
            stream = run.streams[priority]
            stream.records.extend(record for record in records if record.priority is priority)
            stream.last = state.last[priority]
            stream.stored = stream.sent = stream.records[0].sequence - 1 if stream.records else stream.last
            self._bytes[priority] += sum(record.length for record in stream.records)
            self._streams[stream.name] = stream
        self.ready.set()
        return run

    async def next(self) -> Record | None:
        """Return the record to send now and count it as sent; None when nothing waits or every window is full."""
        while (stream := self._first()) is not None:
            record = stream.next()
            assert record is not None
            if record.payload is None:
                await self._load(stream)
                continue  # what goes first may have changed meanwhile
            payload = record.payload
            stream.sent = record.sequence
            if self._cached > CACHE_BYTES:
                self._uncache(record)
            self._streams[stream.name] = self._streams.pop(stream.name)  # its peers come first next time
            return Record(
                stream.name, record.sequence, payload, bool(record.flags & CONTINUED), bool(record.flags & GAP)
            )
        return None

    def resume(self, positions: Mapping[str, int]) -> None:
        """Begin a new link: what the daemon has stored is dropped, all else counts as unsent."""
        self.is_linked = True
        for name, position in positions.items():
            stream = self._streams.get(name)
            if (
                stream is not None and position > stream.last
            ):  # more than this disk remembers: its last writes were lost
                stream.run.jump(stream.priority, position)
        for stream in self._streams.values():
            stream.sent = stream.last  # an earlier link may have sent anything
        self.acknowledge(positions)
        for stream in self._streams.values():
            stream.sent = stream.stored
        self.ready.set()

    def uncache(self) -> None:
        """Keep payloads on disk alone."""
        for stream in self._streams.values():
            for record in stream.records:
                self._uncache(record)

    def unlinked(self) -> None:
        """The link has ended: nobody waits for the daemon any more."""
        self.is_linked = False
        self._notify()

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Drop what is stored. Raises `MessageError` for a record that was never sent."""
        for name, position in positions.items():
            stream = self._streams.get(name)
            if stream is None:
                continue  # stored, closed and forgotten; a late acknowledgement says it again
            if position > stream.sent:
                raise MessageError(f"Record {position} of {name} was acknowledged but only {stream.sent} were sent.")
            while stream.records and stream.records[0].sequence <= position:
                record = stream.records.popleft()
                self._bytes[stream.priority] -= record.length
                self._uncache(record)
            stream.stored = max(stream.stored, position)
            stream.run.tidy()
        self.ready.set()
        self._notify()

    async def stored(self, stream: str, sequence: int) -> None:
        """Wait until the daemon has stored the record `sequence` of `stream`."""

        def is_stored() -> bool:
            state = self._streams.get(stream)
            return state is None or state.stored >= sequence

        await self._until(is_stored)

    async def drained(self) -> None:
        """Wait until everything is stored."""
        await self._until(lambda: not any(stream.records for stream in self._streams.values()))

    # For `RunRecords`

    async def room(self, priority: Priority, size: int) -> bool:
        """Return whether `size` more bytes may wait; while there is a link (for events: in any case) once they may."""
        limit = self._max_bytes[priority]

        def fits() -> bool:
            return not self._bytes[priority] or self._bytes[priority] + size <= limit

        await self._until(lambda: fits() or not (self.is_linked or priority is Priority.EVENTS))
        return fits()

    @property
    def will_free(self) -> bool:
        """Whether disk space can be hoped for: records wait, and there is a link over which they go."""
        return self.is_linked and any(stream.records for stream in self._streams.values())

    def add(self, stream: _Stream, records: Iterable[SpooledRecord]) -> None:
        """Let records go that are on disk."""
        for record in records:
            stream.records.append(record)
            stream.last = record.sequence
            self._bytes[stream.priority] += record.length
            if self._cached + record.length > CACHE_BYTES:
                record.payload = None
            else:
                self._cached += record.length
        self.ready.set()

    def forget(self, run: RunRecords) -> None:
        """The run is closed and wholly stored, or given up."""
        for stream in run.streams.values():
            self._streams.pop(stream.name, None)
            for record in stream.records:
                self._bytes[stream.priority] -= record.length
                self._uncache(record)
            stream.records.clear()
        self._notify()

    async def make_room(self, *, may_use_reserve: bool) -> None:
        """The disk is full: give up the reserve, or wait a moment for records to be stored."""
        if may_use_reserve and await self._reserve.give_up():
            return
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FULL_DISK_SECONDS):
                await changed.wait()

    async def restore_reserve(self) -> None:
        """Set disk space aside again after it was needed, if there is any."""
        await self._reserve.restore()

    def _first(self) -> _Stream | None:
        for stream in self._by_priority():
            if stream.next() is not None:
                return stream
        return None

    async def _load(self, stream: _Stream) -> None:
        """Read the payloads that the stream sends next."""
        size, wanted = 0, []
        for record in list(stream.records)[stream.sent - stream.stored :]:
            if record.payload is not None or size > READ_AHEAD_BYTES:
                break
            wanted.append(record)
            size += record.length
        payloads = await stream.run.read(wanted)
        for record, payload in zip(wanted, payloads, strict=True):
            if record.payload is None:
                record.payload = payload
                self._cached += record.length

    def _uncache(self, record: SpooledRecord) -> None:
        if record.payload is not None:
            record.payload = None
            self._cached -= record.length

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _by_priority(self) -> Iterator[_Stream]:
        return iter(sorted(self._streams.values(), key=lambda stream: stream.priority))


class RunRecords:
    """The records of one run: what is added here is on disk before it is sent."""

    def __init__(
        self, outbox: Outbox, run_id: str, spool: RunSpool, state: SpoolState, on_stored: Callable[[], None]
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._state = state
        self._on_stored = on_stored
        self._writing = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None
        self._is_forgotten = False
        self.streams = {priority: _Stream(stream_name(run_id, priority), self, priority) for priority in Priority}

    @property
    def state(self) -> SpoolState:
        """What is known of the run besides its records."""
        return self._state

    async def append(
        self,
        payloads: Payloads,
        *,
        cursor: Cursor | None = None,
        files: Mapping[str, int] | None = None,
        lost: Mapping[Priority, Gap] | None = None,
        failure: Mapping[str, Any] | None = None,
        traced: int | None = None,
    ) -> None:
        """Add payloads (in several records when they are long) in one step, together with how far the journal was passed on.

        `files` are announced with it, `lost` was dropped before it came here, `failure` is what went wrong in the script,
        `traced` the clock of a trace that has begun.
        """
        added = SpoolState(cursor=cursor or self._state.cursor, files=files or {}, failure=failure, traced=traced)
        async with self._writing:
            await self._append(payloads, added, lost or {}, closing=None)

    async def close(self, last_words: Callable[[Mapping[Priority, int]], bytes]) -> None:
        """Add the last event and nothing more: `last_words` makes it from the streams' last sequence numbers."""
        async with self._writing:
            await self._append((), SpoolState(cursor=self._state.cursor), {}, closing=last_words)
        self.tidy()

    def jump(self, priority: Priority, position: int) -> None:
        """Go on behind a sequence number that the daemon knows and this disk does not."""
        self._state = replace(self._state, last={**self._state.last, priority: position})
        self.streams[priority].last = position

    async def read(self, records: Sequence[SpooledRecord]) -> list[bytes]:
        """Return the payloads of records from disk."""
        return await asyncio.to_thread(self._spool.read, records)

    def tidy(self) -> None:
        """Forget what is stored."""
        if self._is_forgotten:
            return
        if self._state.is_closed and not any(stream.records for stream in self.streams.values()):
            self._is_forgotten = True
            self._outbox.forget(self)
            self._on_stored()
        elif self._tidying is None:
            self._tidying = asyncio.create_task(self._drop_stored())

    async def _drop_stored(self) -> None:
        try:
            async with self._writing:
                oldest = [stream.records[0].segment for stream in self.streams.values() if stream.records]
                await asyncio.to_thread(self._spool.drop_before, min(oldest, default=2**62))
        finally:
            self._tidying = None

    async def _append(
        self,
        payloads: Payloads,
        added: SpoolState,
        lost: Mapping[Priority, Gap],
        *,
        closing: Callable[[Mapping[Priority, int]], bytes] | None,
    ) -> None:
        sizes: dict[Priority, int] = {}
        for priority, payload in payloads:
            sizes[priority] = sizes.get(priority, 0) + len(payload)
        dropped = {
            priority: "spool-full" for priority, size in sizes.items() if not await self._outbox.room(priority, size)
        }
        while True:
            draft = Draft(self._state, lost)
            for priority, payload in payloads:
                if priority in dropped:
                    draft.drop(priority, payload, dropped[priority])
                else:
                    draft.add(priority, payload)
            if closing is not None:
                draft.close(closing)
            state = draft.state(self._state, added)
            try:
                await asyncio.to_thread(self._spool.write, state, added, draft.records)
                break
            except OSError as error:
                if error.errno not in FULL_DISK:
                    raise
            droppable = {record.priority for record in draft.records} - {Priority.EVENTS} - set(dropped)
            if droppable and not self._outbox.will_free:
                dropped |= dict.fromkeys(droppable, "disk-full")
            else:
                await self._renew()
                await self._outbox.make_room(may_use_reserve=not droppable)
        self._state = state
        for priority, stream in self.streams.items():
            self._outbox.add(stream, [record for record in draft.records if record.priority is priority])
        await self._outbox.restore_reserve()

    async def _renew(self) -> None:
        """Free the space of the present file when everything in it is stored."""
        if not any(stream.records for stream in self.streams.values()):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._spool.renew, self._state)
                await asyncio.to_thread(self._spool.drop_before, 2**62)
