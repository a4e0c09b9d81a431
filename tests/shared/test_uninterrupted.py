from __future__ import annotations

import asyncio

import pytest

from edgeloop_shared.uninterrupted import uninterrupted


async def test_what_the_work_returns_is_returned() -> None:
    assert await uninterrupted(asyncio.sleep(0, "done")) == "done"


async def test_cancelled_work_is_done_to_its_end_before_the_cancellation_is_raised() -> None:
    has_begun, may_end, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        has_begun.set()
        await may_end.wait()
        has_ended.set()

    waiting = asyncio.create_task(uninterrupted(work()))
    await has_begun.wait()
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert has_ended.is_set()
