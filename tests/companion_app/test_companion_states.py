"""What a companion tells of its device, and what it does when its system pauses it, wakes it or asks for memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import WSMsgType

from edgeloop_companion.events import LinkLost
from edgeloop_companion.phone.life_cycle import LifeCycle
from edgeloop_companion.phone.phone import Phone, this_phone
from edgeloop_companion.state_report import StateReport, is_news
from edgeloop_shared.device_states import DeviceState, Vitals

from .companion_fixtures import Observer, companion_at, linked_companion
from .link_peer import LinkPeer

VITALS = Vitals(battery_percent=80, is_charging=False, battery_celsius=30.0, free_bytes=10**10)


@dataclass
class Told:
    """A `VitalsReader` and a `NetworkWatch` that say what a test says."""

    vitals: Vitals = VITALS
    changed: list[Callable[[], None]] = field(default_factory=list)

    def read(self) -> Vitals:
        return self.vitals

    @contextlib.contextmanager
    def watching(self, changed: Callable[[], None]) -> Iterator[None]:
        self.changed.append(changed)
        yield
        self.changed.remove(changed)


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as serving:
        yield serving


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def phone(told: Told, tmp_path: Path) -> Phone:
    return replace(this_phone(tmp_path), vitals=told, network=told)


async def test_a_daemon_is_told_the_state_when_it_links_and_each_time_the_app_goes_and_comes(
    peer: LinkPeer, phone: Phone, tmp_path: Path
) -> None:
    cycle = LifeCycle("foreground")
    async with linked_companion(tmp_path, peer, phone=phone, life_cycle=cycle):
        states = [peer.hellos[0].state, *peer.states]
        await peer.until(lambda: DeviceState("foreground", VITALS) in [peer.hellos[0].state, *peer.states])
        cycle.paused()
        await peer.until(lambda: peer.states[-1:] == [DeviceState("background", VITALS)])
        cycle.resumed()
        await peer.until(lambda: peer.states[-1:] == [DeviceState("foreground", VITALS)])
    assert all(state is not None and state.activity == "foreground" for state in states)


async def test_a_companion_that_nobody_sees_is_never_in_the_background(
    peer: LinkPeer, phone: Phone, tmp_path: Path
) -> None:
    async with linked_companion(tmp_path, peer, phone=phone):
        state = peer.hellos[0].state
        assert state is not None
        assert state.activity is None


async def test_a_phone_that_comes_back_to_the_front_asks_at_once_whether_its_links_live(
    peer: LinkPeer, phone: Phone, tmp_path: Path
) -> None:
    cycle, observer = LifeCycle("background"), Observer()
    async with linked_companion(tmp_path, peer, observer, phone=phone, life_cycle=cycle):
        cycle.resumed()
        await peer.until(lambda: WSMsgType.PING in peer.heartbeats)
        assert observer.of(LinkLost) == []


async def test_a_change_of_the_network_has_links_asked_and_missing_ones_dialled(
    peer: LinkPeer, phone: Phone, told: Told, tmp_path: Path
) -> None:
    async with linked_companion(tmp_path, peer, phone=phone):
        told.changed[0]()
        await peer.until(lambda: WSMsgType.PING in peer.heartbeats)
    assert told.changed == []


async def test_in_the_background_a_phone_is_not_announced(phone: Phone, tmp_path: Path) -> None:
    cycle = LifeCycle("foreground")
    async with companion_at(tmp_path, phone=phone, life_cycle=cycle, is_advertised=True) as companion:
        cycle.paused()
        assert companion.advertising.state == "off"
        cycle.resumed()
        assert companion.advertising.state != "off"


async def test_news_is_told_and_flutter_is_not(told: Told) -> None:
    changes: asyncio.Queue[Vitals] = asyncio.Queue()
    report = StateReport(told, LifeCycle(), lambda: changes.put_nowait(report.state.vitals), read_seconds=0.001)
    reading = asyncio.create_task(report.run())
    try:
        assert await asyncio.wait_for(changes.get(), 20) == VITALS
        told.vitals = replace(VITALS, battery_celsius=30.4, free_bytes=10**10 - 10**6)
        await asyncio.sleep(0.02)
        assert changes.empty()
        told.vitals = replace(VITALS, battery_percent=79)
        assert await asyncio.wait_for(changes.get(), 20) == told.vitals
    finally:
        reading.cancel()


@pytest.mark.parametrize(
    "other",
    [
        replace(VITALS, is_charging=True),
        replace(VITALS, battery_celsius=31.5),
        replace(VITALS, battery_celsius=None),
        replace(VITALS, processor_celsius=50.0),
        replace(VITALS, throttling="severe"),
        replace(VITALS, free_bytes=9 * 10**9),
        replace(VITALS, free_bytes=None),
    ],
)
def test_what_is_news(other: Vitals) -> None:
    assert is_news(VITALS, other)
    assert not is_news(other, other)
