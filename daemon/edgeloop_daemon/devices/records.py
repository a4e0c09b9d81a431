"""Records of devices: numbered, stored exactly once, acknowledged only then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import MessageError
from edgeloop_shared.messages import ACKNOWLEDGE_EVERY, ACKNOWLEDGE_SECONDS
from edgeloop_shared.records import Priority, Record, join, stream_priority
from edgeloop_shared.run_events import MAX_EVENT_BYTES

MAX_UNWANTED_STREAMS = 4096  # of one link: each is remembered, because it is acknowledged
_GATHER_SECONDS = 0.01  # so that a burst is one transaction


@dataclass(frozen=True)
class StoredPayload:
    """A whole payload; `sequence` is that of its last record. The payload of a gap is a `Gap`."""

    sequence: int
    payload: bytes
    is_gap: bool = False


class RecordLog:
    """The stored records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def positions(self, device_id: str, epoch: str, streams: Iterable[str]) -> dict[str, int]:
        """Return the last stored sequence number of each stream; zero where there is nothing."""
        names = tuple(streams)
        if not names:
            return {}
        sql = "select coalesce(max(sequence), 0) from records where device = ? and epoch = ? and stream = ?"

        def query(db: Tables) -> dict[str, int]:
            return {name: db.execute(sql, [device_id, epoch, name]).fetchone()[0] for name in names}

        return await self._database.read(query)

    async def payloads(self, stream: str, *, after: int = 0, max_bytes: int) -> list[StoredPayload]:
        """Return whole payloads of a stream behind the sequence number `after`, until `max_bytes` are exceeded.

        At least one is returned where there is one.
        """

        def query(db: Tables) -> list[StoredPayload]:
            found: list[StoredPayload] = []
            parts: list[bytes] = []
            size = 0
            sql = (
                "select sequence, is_continued, is_gap, payload from records"
                " where stream = ? and sequence > ? order by sequence"
            )
            for sequence, is_continued, is_gap, payload in db.execute(sql, [stream, after]):
                parts.append(payload)
                size += len(payload)
                if not is_continued:
                    found.append(StoredPayload(sequence, b"".join(parts), bool(is_gap)))
                    parts = []
                    if size >= max_bytes:
                        break
            return found

        return await self._database.read(query)


def insert_records(db: Tables, device_id: str, epoch: str, records: Iterable[Record]) -> None:
    """Store records. In the writer's transaction, together with what they mean."""
    db.executemany(
        "insert into records (device, epoch, stream, sequence, is_continued, is_gap, payload) values (?, ?, ?, ?, ?, ?, ?)",
        [
            (device_id, epoch, record.stream, record.sequence, record.continued, record.is_gap, record.payload)
            for record in records
        ],
    )


def unfinished_parts(db: Tables, stream: str) -> tuple[bytes, ...]:
    """Return the parts at the end of a stream whose last part has not come yet."""
    return tuple(payload for payload, _ in _tail(db, stream, skip_whole=False))


def last_payload(db: Tables, stream: str) -> bytes | None:
    """Return the last whole payload of a stream, or None when it ends in the middle of one or holds nothing."""
    tail = _tail(db, stream, skip_whole=True)
    return next(join(tail, max_bytes=MAX_EVENT_BYTES), None)


def _tail(db: Tables, stream: str, *, skip_whole: bool) -> list[tuple[bytes, bool]]:
    rows = db.execute("select payload, is_continued from records where stream = ? order by sequence desc", [stream])
    tail: list[tuple[bytes, bool]] = []
    for payload, is_continued in rows:
        if not is_continued and (tail or not skip_whole):
            break
        tail.append((payload, bool(is_continued)))
    return tail[::-1]


class RecordSink(Protocol):
    """Who stores a device's records and knows which ones it still wants."""

    def wants(self, device_id: str, epoch: str, stream: str) -> bool:
        """Return whether records of the stream are stored; others are acknowledged and forgotten."""

    async def positions(self, device_id: str, epoch: str, streams: Iterable[str]) -> dict[str, int]:
        """Return the last stored sequence number of each stream."""

    async def store(self, device_id: str, epoch: str, records: tuple[Record, ...]) -> None:
        """Store records, and do what they say, in one transaction."""

    async def lost_records(self, device_id: str, stream: str) -> None:
        """Records that were stored are not here any more, and the device has dropped them: the run cannot go on."""


class Inbox:
    """The records that come over one link: duplicates are dropped, gaps refused, the rest stored in batches.

    `acknowledge` is called with positions after they are stored; it must not block.
    """

    def __init__(
        self,
        sink: RecordSink,
        device_id: str,
        epoch: str,
        positions: Mapping[str, int],
        acknowledge: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._sink = sink
        self._device_id = device_id
        self._epoch = epoch
        self._positions = dict(positions)
        self._unheard = set(positions)
        self._acknowledge = acknowledge
        self._batch: list[Record] = []
        self._touched: set[str] = set()
        self._unwanted: set[str] = set()
        self._count = 0
        self._waiting = asyncio.Event()
        self._urgent = asyncio.Event()
        self._lock = asyncio.Lock()
        self._has_failed = False

    async def add(self, record: Record) -> None:
        """Take a record. Raises `MessageError` when records before it are missing."""
        stream = record.stream
        if not self._sink.wants(self._device_id, self._epoch, stream):
            self._unwanted.add(stream)
            if len(self._unwanted) > MAX_UNWANTED_STREAMS:
                raise MessageError("The device sends records of too many runs that are not its own or have ended.")
            self._positions[stream] = max(record.sequence, self._positions.get(stream, 0))
        else:
            if stream not in self._positions:
                self._positions |= await self._sink.positions(self._device_id, self._epoch, (stream,))
            expected = self._positions[stream] + 1
            if (
                record.sequence > expected and stream in self._unheard
            ):  # an earlier link has acknowledged what is missing
                await self._sink.lost_records(self._device_id, stream)
                self._positions[stream] = record.sequence
            elif record.sequence > expected:
                raise MessageError(
                    f"Records {expected} to {record.sequence - 1} of {stream} are missing.",
                    details={"stream": stream, "expected": expected, "received": record.sequence},
                )
            elif record.sequence == expected:
                self._positions[stream] = expected
                self._batch.append(record)
        self._unheard.discard(stream)
        self._touched.add(stream)
        self._count += 1
        self._waiting.set()
        if stream_priority(stream) is Priority.EVENTS:
            self._urgent.set()
        if self._count >= ACKNOWLEDGE_EVERY:
            await self.flush()

    async def flush(self) -> None:
        """Store what has come and acknowledge it."""
        async with self._lock:
            if self._has_failed:
                return  # records of a batch that was not stored are missing: the device sends all again on its next link
            batch, touched = tuple(self._batch), self._touched
            positions = {stream: self._positions[stream] for stream in touched}
            self._batch, self._touched, self._count = [], set(), 0
            self._waiting.clear()
            self._urgent.clear()
            if batch:
                try:
                    await self._sink.store(self._device_id, self._epoch, batch)
                except BaseException:
                    self._has_failed = True
                    raise
            if positions:
                self._acknowledge(positions)

    async def flush_regularly(self) -> None:
        """Flush what waits, for as long as the link lives: events and what comes after a silence almost at once.

        Somebody waits for an event, or looks at the output, and the device for its acknowledgement before it uploads a file. Of
        output that goes on and on, a quarter of a second is one transaction.
        """
        now = asyncio.get_running_loop().time
        flushed = -ACKNOWLEDGE_SECONDS
        while True:
            await self._waiting.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(max(flushed + ACKNOWLEDGE_SECONDS, now() + _GATHER_SECONDS)):
                    await self._urgent.wait()
                    await asyncio.sleep(_GATHER_SECONDS)
            await self.flush()
            flushed = now()
