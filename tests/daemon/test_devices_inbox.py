"""Records that could not be stored: nothing behind them is stored or acknowledged before the device has sent them again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest

from edgeloop_daemon.devices import records
from edgeloop_daemon.devices.records import Inbox
from edgeloop_shared.errors import StorageFullError
from edgeloop_shared.records import Record


class FullOnce:
    """A store that has no room the first time."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self._is_full = True

    def wants(self, device_id: str, epoch: str, stream: str) -> bool:
        return True

    async def positions(self, device_id: str, epoch: str, streams: Iterable[str]) -> dict[str, int]:
        return {stream: max(self.stored, default=0) for stream in streams}

    async def store(self, device_id: str, epoch: str, records: tuple[Record, ...]) -> None:
        if self._is_full:
            self._is_full = False
            raise StorageFullError("There is no room left.")
        self.stored += [record.sequence for record in records]

    async def lost_records(self, device_id: str, stream: str) -> None:
        raise AssertionError("nothing that was stored is missing")


class Store(FullOnce):
    """A store that has room, and tells what came together."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.has_stored = asyncio.Event()

    async def store(self, device_id: str, epoch: str, records: tuple[Record, ...]) -> None:
        self.batches.append([f"{record.stream} {record.sequence}" for record in records])
        self.has_stored.set()


def record(sequence: int, stream: str = "r1.logs") -> Record:
    return Record(stream, sequence, b"x")


async def test_after_a_failure_the_link_stores_and_acknowledges_nothing_more() -> None:
    store, acknowledged = FullOnce(), list[Mapping[str, int]]()
    link = Inbox(store, "d1", "e1", {}, acknowledged.append)
    await link.add(record(1))
    with pytest.raises(StorageFullError):
        await link.flush()
    await link.add(record(2))
    await link.flush()
    assert (store.stored, acknowledged) == ([], [])

    next_link = Inbox(store, "d1", "e1", {}, acknowledged.append)
    for sequence in (1, 2):
        await next_link.add(record(sequence))
    await next_link.flush()
    assert (store.stored, acknowledged) == ([1, 2], [{"r1.logs": 2}])


async def test_output_after_a_silence_is_stored_at_once_and_more_of_it_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records, "ACKNOWLEDGE_SECONDS", 3600.0)  # nothing here may take so long
    store = Store()
    link = Inbox(store, "d1", "e1", {}, lambda _: None)
    flushing = asyncio.create_task(link.flush_regularly())

    await link.add(record(1))
    await store.has_stored.wait()
    store.has_stored.clear()
    await link.add(record(2))
    await link.add(record(3))
    await link.add(record(1, "r1.events"))  # for which somebody waits
    await store.has_stored.wait()

    flushing.cancel()
    assert store.batches == [["r1.logs 1"], ["r1.logs 2", "r1.logs 3", "r1.events 1"]]
