"""The heartbeat of a link: silence is asked about, and only silence that goes on ends a link."""

from __future__ import annotations

import asyncio

from edgeloop_shared.heartbeat import Heartbeat


async def test_an_end_that_answers_is_asked_again_and_one_that_does_not_is_lost() -> None:
    heartbeat = Heartbeat(0.02)
    pings: list[int] = []

    async def ping() -> None:
        pings.append(len(pings))
        if len(pings) < 3:
            heartbeat.hear()

    await heartbeat.lost(ping)
    assert pings == [0, 1, 2]


async def test_an_end_that_is_doubted_is_asked_at_once() -> None:
    heartbeat, asked = Heartbeat(3600), asyncio.Event()

    async def ping() -> None:
        asked.set()
        heartbeat.hear()

    watch = asyncio.create_task(heartbeat.lost(ping))
    await asyncio.sleep(0)
    assert not asked.is_set()
    heartbeat.doubt()
    await asyncio.wait_for(asked.wait(), 20)
    watch.cancel()


async def test_a_ping_that_cannot_be_sent_is_not_waited_for() -> None:
    async def ping() -> None:
        await asyncio.Event().wait()

    await Heartbeat(0.02).lost(ping)


async def test_a_ping_that_fails_says_no_more_than_silence() -> None:
    async def ping() -> None:
        raise ConnectionResetError

    await Heartbeat(0.02).lost(ping)
