"""The adapters for Android against an Android of Python objects: which calls they make, and what they make of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest

import edgeloop_companion.phone
from edgeloop_companion.phone.phone import Phone, this_phone
from edgeloop_shared.announcements import Announcement, new_announcement
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.networks import OwnAddress

from .android_world import AndroidWorld

OnPhone = Callable[[AndroidWorld], Phone]


@pytest.fixture
def on_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnPhone]:
    def put(world: AndroidWorld) -> Phone:
        world.install(monkeypatch)
        monkeypatch.setenv("ANDROID_ARGUMENT", str(tmp_path))
        forget()
        return this_phone(tmp_path)

    def forget() -> None:  # the module holds what it has imported of one Android
        sys.modules.pop("edgeloop_companion.phone.android", None)
        vars(edgeloop_companion.phone).pop("android", None)

    yield put
    forget()


def test_battery_heat_and_throttling_are_told_and_the_thread_leaves_java_again(on_phone: OnPhone) -> None:
    world = AndroidWorld(thermal_status=2)
    vitals = on_phone(world).vitals.read()
    assert (vitals.battery_percent, vitals.is_charging, vitals.battery_celsius) == (80, False, 31.2)
    assert (vitals.throttling, vitals.processor_celsius) == ("moderate", None)
    assert vitals.free_bytes is not None
    assert world.attached == 0


@pytest.mark.parametrize(("status", "charges"), [(1, None), (2, True), (3, False), (4, False), (5, True), (-1, None)])
def test_whether_it_charges_is_what_android_calls_the_status(
    on_phone: OnPhone, status: int, charges: bool | None
) -> None:
    world = AndroidWorld(battery={"level": 1, "scale": 100, "status": status})
    assert on_phone(world).vitals.read().is_charging is charges


def test_what_a_phone_does_not_tell_stays_unknown(on_phone: OnPhone) -> None:
    vitals = on_phone(AndroidWorld(api=28, battery=None)).vitals.read()
    assert vitals == Vitals(free_bytes=vitals.free_bytes)
    nonsense = {"level": 120, "scale": 100, "status": 77, "temperature": -32768}
    odd = on_phone(AndroidWorld(battery=nonsense, thermal_status=99)).vitals.read()
    assert odd == Vitals(free_bytes=odd.free_bytes)


async def test_a_change_of_the_network_is_told_on_the_event_loop_until_the_watch_ends(on_phone: OnPhone) -> None:
    world = AndroidWorld()
    changed = asyncio.Event()

    def broadcast() -> None:  # Android calls receivers in a thread of theirs
        sender = Thread(target=world.broadcast, args=["android.net.conn.CONNECTIVITY_CHANGE"])
        sender.start()
        sender.join()

    with on_phone(world).network.watching(changed.set):
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


async def test_the_multicast_lock_is_held_as_long_as_the_phone_is_announced(on_phone: OnPhone) -> None:
    world = AndroidWorld()
    on_phone(world)
    from edgeloop_companion.phone.android import AndroidAdvertiser, multicast_lock

    inside = Inside(world)
    advertiser = AndroidAdvertiser(multicast_lock(world), inside)
    async with advertiser.advertising("name", 9, new_announcement([]), advertiser.addresses()):
        assert (world.lock.holders, world.lock.counts) == (1, True)
    assert (world.lock.holders, inside.held) == (0, [1])


async def test_without_the_permission_for_multicast_it_fails_as_a_network_does(on_phone: OnPhone) -> None:
    world = AndroidWorld()
    advertiser = on_phone(world).load_advertiser()
    world.lock.is_granted = False
    with pytest.raises(OSError, match="multicast lock"):
        async with advertiser.advertising("name", 9, new_announcement([]), ()):
            pytest.fail("announced")
    assert world.lock.holders == 0
