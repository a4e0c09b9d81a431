"""What needs no waiting is done at once, and what has to wait keeps its place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from edgeloop_shared.eager import EagerSender, begin


class Door:
    """Takes pieces while it is open."""

    def __init__(self) -> None:
        self.took: list[bytes] = []
        self.is_open = asyncio.Event()
        self.is_broken = False

    async def take(self, piece: bytes) -> None:
        await self.is_open.wait()
        if self.is_broken:
            raise ConnectionResetError
        self.took.append(piece)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def sender(door: Door) -> AsyncIterator[EagerSender]:
    sender = EagerSender(door.take)
    async with sending(sender):
        yield sender


@contextlib.asynccontextmanager
async def sending(sender: EagerSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.send_waiting())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestBegin:
    async def test_what_waits_for_nothing_is_done_when_it_returns(self, door: Door) -> None:
        door.is_open.set()
        assert begin(door.take(b"a")) is None
        assert door.took == [b"a"]

    async def test_the_rest_of_what_waits_is_awaited(self, door: Door) -> None:
        rest = begin(door.take(b"a"))
        assert rest is not None
        assert door.took == []
        asyncio.get_running_loop().call_soon(door.is_open.set)
        await rest
        assert door.took == [b"a"]

    async def test_an_error_is_raised_where_it_comes_up(self, door: Door) -> None:
        door.is_broken = True
        rest = begin(door.take(b"a"))
        assert rest is not None
        door.is_open.set()
        with pytest.raises(ConnectionResetError):
            begin(door.take(b"b"))
        with pytest.raises(ConnectionResetError):
            await rest

    async def test_a_cancelled_rest_lets_go_of_what_it_waited_for(self, door: Door) -> None:
        rest = begin(door.take(b"a"))
        assert rest is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await rest
        door.is_open.set()
        await asyncio.sleep(0)
        assert door.took == []


class TestSender:
    async def test_a_piece_goes_at_once_when_nothing_waits(self, door: Door, sender: EagerSender) -> None:
        door.is_open.set()
        sender.put(b"a")
        assert door.took == [b"a"]

    async def test_pieces_keep_their_order_behind_one_that_waits(self, door: Door, sender: EagerSender) -> None:
        pieces = [bytes([number]) for number in range(100)]
        for number, piece in enumerate(pieces):
            sender.put(piece)
            if number == 50:
                door.is_open.set()  # what comes from now on could go at once, and must not overtake
            if number % 7 == 0:
                await asyncio.sleep(0)
        await sender.flushed()
        assert door.took == pieces
        sender.put(b"last")
        assert door.took[-1] == b"last"

    async def test_a_piece_that_takes_too_long_is_given_up(self, door: Door) -> None:
        sender = EagerSender(door.take)
        sender.put(b"a")
        with pytest.raises(TimeoutError):
            await sender.send_waiting(seconds=0)
        door.is_open.set()
        sender.put(b"b")
        assert door.took == [b"b"]
