"""Bytes that are written behind those that still arrive: all of them, in order, and none behind a piece that is missing."""

from __future__ import annotations

import asyncio
import random
from threading import Event

import pytest

from edgeloop_shared.write_behind import PIECE_BYTES, WriteBehind


@pytest.mark.parametrize(
    "sizes", [[0], [1], [PIECE_BYTES], [PIECE_BYTES - 1, 2], [3 * PIECE_BYTES + 5], [300_000] * 20]
)
async def test_what_is_written_is_what_arrived(sizes: list[int]) -> None:
    written = bytearray()
    behind = WriteBehind(written.extend)
    arrived = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    for data in arrived:
        await behind.add(data)
    await behind.close()
    assert written == b"".join(arrived)


async def test_bytes_are_taken_while_a_piece_is_written_and_no_more_than_one_piece_of_them() -> None:
    begun, go_on = Event(), Event()
    sizes: list[int] = []

    def write(data: memoryview) -> None:
        begun.set()
        go_on.wait()
        sizes.append(len(data))

    behind = WriteBehind(write)
    await behind.add(bytes(2 * PIECE_BYTES - 1))
    await asyncio.to_thread(begun.wait)
    assert sizes == []
    waiting = asyncio.create_task(behind.add(b"one too many"))
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    await waiting
    await behind.close()
    assert sizes == [PIECE_BYTES, PIECE_BYTES, len(b"one too many") - 1]


async def test_after_a_failure_nothing_more_is_written() -> None:
    sizes: list[int] = []

    def write(data: memoryview) -> None:
        sizes.append(len(data))
        raise OSError("no room")

    behind = WriteBehind(write)
    await behind.add(bytes(PIECE_BYTES + 1))
    with pytest.raises(OSError, match="no room"):
        await behind.add(bytes(PIECE_BYTES))
    with pytest.raises(OSError, match="no room"):
        await behind.close()
    assert sizes == [PIECE_BYTES]


async def test_who_is_cancelled_loses_nothing_that_was_taken() -> None:
    go_on = Event()
    written = bytearray()

    def write(data: memoryview) -> None:
        go_on.wait()
        written.extend(data)

    behind = WriteBehind(write)
    await behind.add(b"a" * PIECE_BYTES)
    waiting = asyncio.create_task(behind.add(b"b" * PIECE_BYTES))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    go_on.set()
    await behind.close()
    assert written == b"a" * PIECE_BYTES + b"b" * PIECE_BYTES
