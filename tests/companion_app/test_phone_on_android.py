"""The adapters for Android against an Android of Python objects: which calls they make, and what they make of the answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Thread

import pytest

from edgeloop_shared.announcements import Announcement, new_announcement
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.networks import OwnAddress

from .android_world import AndroidWorld


def test_battery_heat_and_throttling_are_told_and_the_thread_leaves_java_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = AndroidWorld(thermal_status=2)
    vitals = world.phone(monkeypatch, tmp_path).vitals.read()
    assert (vitals.battery_percent, vitals.is_charging, vitals.battery_celsius) == (80, False, 31.2)
    assert (vitals.throttling, vitals.processor_celsius) == ("moderate", None)
    assert vitals.free_bytes is not None
    assert world.attached == 0


@pytest.mark.parametrize(("status", "charges"), [(1, None), (2, True), (3, False), (4, False), (5, True), (-1, None)])
def test_whether_it_charges_is_what_android_calls_the_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, charges: bool | None
) -> None:
    world = AndroidWorld(battery={"level": 1, "scale": 100, "status": status})
    assert world.phone(monkeypatch, tmp_path).vitals.read().is_charging is charges


def test_what_a_phone_does_not_tell_stays_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vitals = AndroidWorld(api=28, battery=None).phone(monkeypatch, tmp_path).vitals.read()
    assert vitals == Vitals(free_bytes=vitals.free_bytes)
    nonsense = {"level": 120, "scale": 100, "status": 77, "temperature": -32768}
    odd = AndroidWorld(battery=nonsense, thermal_status=99).phone(monkeypatch, tmp_path).vitals.read()
    assert odd == Vitals(free_bytes=odd.free_bytes)


async def test_a_change_of_the_network_is_told_on_the_event_loop_until_the_watch_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = AndroidWorld()
    changed = asyncio.Event()

    def broadcast() -> None:  # Android calls receivers in a thread of theirs
        sender = Thread(target=world.broadcast, args=["android.net.conn.CONNECTIVITY_CHANGE"])
        sender.start()
        sender.join()

    with world.phone(monkeypatch, tmp_path).network.watching(changed.set):
        broadcast()
        await asyncio.wait_for(changed.wait(), 20)
    assert world.receivers == []


class Inside:
    """An `Advertiser` that notes whether the lock was held."""

    def __init__(self, world: AndroidWorld) -> None:
        self.world = world
        self.held: list[int] = []

    def addresses(self) -> tuple[OwnAddress, ...]:
        return (OwnAddress(1, "192.0.2.1/24"),)

    @contextlib.asynccontextmanager
    async def advertising(
        self, name: str, port: int, announcement: Announcement, addresses: Sequence[OwnAddress]
    ) -> AsyncIterator[None]:
        self.held.append(self.world.lock.holders)
        yield


async def test_the_multicast_lock_is_held_as_long_as_the_phone_is_announced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = AndroidWorld()
    world.phone(monkeypatch, tmp_path)
    from edgeloop_companion.phone.android import AndroidAdvertiser, multicast_lock

    inside = Inside(world)
    advertiser = AndroidAdvertiser(multicast_lock(world), inside)
    async with advertiser.advertising("name", 9, new_announcement([]), advertiser.addresses()):
        assert (world.lock.holders, world.lock.counts) == (1, True)
    assert (world.lock.holders, inside.held) == (0, [1])


async def test_without_the_permission_for_multicast_it_fails_as_a_network_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = AndroidWorld()
    advertiser = world.phone(monkeypatch, tmp_path).load_advertiser()
    world.lock.is_granted = False
    with pytest.raises(OSError, match="multicast lock"):
        async with advertiser.advertising("name", 9, new_announcement([]), ()):
            pytest.fail("announced")
    assert world.lock.holders == 0
