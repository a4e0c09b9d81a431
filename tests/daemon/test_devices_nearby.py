"""Who is nearby, judged by announcements that anybody can make; and the counter of knocks."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from daemon.device_daemon import device_daemon

from edgeloop_daemon.devices.discovery import reason_against
from edgeloop_daemon.devices.knocking import KnockCounter
from edgeloop_daemon.devices.nearby import MAX_ADDRESSES, MAX_OF_ONE_DEVICE, MAX_STRANGERS, Nearby, Phone, Sighting
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.store.database import open_database
from edgeloop_shared.announcements import new_announcement, new_name
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.networks import OwnAddress

OWN = (OwnAddress(2, "192.168.1.5/24"), OwnAddress(2, "fe80::5/64"))
INFO = DeviceInfo("phone", "test", "Linux", "x86-64", 2, 1024**3, "1", "3.11")


class Seen:
    """Nearby phones of a daemon with one paired device."""

    def __init__(self, registry: Registry) -> None:
        self.told: list[tuple[str | None, bool]] = []
        self.nearby = Nearby(registry, self._changed, OWN)

    def _changed(self, phone: Phone, is_here: bool) -> None:
        self.told.append((phone.device, is_here))

    def announce(self, *keys: bytes, name: str = "", addresses: tuple[str, ...] = ("192.168.1.9",)) -> str:
        name = name or new_name()
        self.nearby.seen(Sighting(name, addresses, 4242, new_announcement(keys).txt()))
        return name


async def seen_by_a_daemon(tmp_path: Path) -> tuple[Seen, str, bytes]:
    async with open_database(tmp_path / "edgeloop.db") as database:
        registry = Registry(database)
        device = await registry.add(INFO)
    return Seen(registry), device.id, device.key


async def test_a_paired_phone_is_recognised_among_strangers_however_many_there_are(tmp_path: Path) -> None:
    seen, device_id, key = await seen_by_a_daemon(tmp_path)
    for _ in range(MAX_STRANGERS + 20):
        seen.announce(secrets.token_bytes(32))
    seen.announce(key)
    assert len(seen.nearby.phones) == MAX_STRANGERS + 1
    assert [phone.device for phone in seen.nearby.paired()] == [device_id]


async def test_who_repeats_an_announcement_takes_no_more_than_a_few_places(tmp_path: Path) -> None:
    seen, device_id, key = await seen_by_a_daemon(tmp_path)
    for _ in range(20):
        seen.announce(key)
    assert len(seen.nearby.of_device(device_id)) == MAX_OF_ONE_DEVICE


async def test_only_addresses_of_own_networks_are_kept_and_not_many(tmp_path: Path) -> None:
    seen, _, key = await seen_by_a_daemon(tmp_path)
    foreign = ("8.8.8.8", "127.0.0.1", "::1", "2001:db8::1", "224.0.0.1", "192.168.2.9", "nonsense")
    name = seen.announce(key, addresses=(*foreign, "fe80::9", "192.168.1.9"))
    assert seen.nearby.phones[name].addresses == ("fe80::9%2", "192.168.1.9")
    many = seen.announce(addresses=tuple(f"192.168.1.{number}" for number in range(10, 60)))
    assert len(seen.nearby.phones[many].addresses) == MAX_ADDRESSES
    assert seen.announce(key, addresses=foreign) not in seen.nearby.phones


@pytest.mark.parametrize("name", ["<b>x</b>", "\x1b[2J", "../../etc", "A" * 16, "", "é" * 8])
async def test_a_name_that_no_phone_makes_is_not_shown(tmp_path: Path, name: str) -> None:
    seen, _, _ = await seen_by_a_daemon(tmp_path)
    seen.nearby.seen(Sighting(name, ("192.168.1.9",), 4242, new_announcement(()).txt()))
    seen.nearby.seen(Sighting(new_name(), ("192.168.1.9",), 4242, b"\x05v=1"))
    assert not seen.nearby.phones


async def test_what_changes_of_a_phone_is_told_once(tmp_path: Path) -> None:
    seen, device_id, key = await seen_by_a_daemon(tmp_path)
    announcement = new_announcement([key])
    for address in ("192.168.1.9", "192.168.1.10"):
        seen.nearby.seen(Sighting("ab12", (address,), 4242, announcement.txt()))
    assert seen.nearby.phones["ab12"].addresses == ("192.168.1.10",)
    seen.announce(name="ab12")  # the same name, and a stranger now
    seen.nearby.gone("ab12")
    seen.nearby.gone("ab12")
    assert seen.told == [(device_id, True), (device_id, False), (None, True), (None, False)]


async def test_a_phone_whose_addresses_have_all_left_the_network_is_gone(tmp_path: Path) -> None:
    seen, device_id, key = await seen_by_a_daemon(tmp_path)
    announcement = new_announcement([key])
    for address in ("192.168.1.9", "10.9.9.9"):
        seen.nearby.seen(Sighting("ab12", (address,), 4242, announcement.txt()))
    assert not seen.nearby.phones
    assert seen.told == [(device_id, True), (device_id, False)]


async def test_a_later_daemon_counts_on_where_an_earlier_one_can_have_been(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        async with open_database(tmp_path / "edgeloop.db") as database:
            counter = KnockCounter(database)
            numbers += [await counter.next() for _ in range(3)]
    assert numbers == sorted(set(numbers))


async def test_a_daemon_whose_device_port_is_on_loopback_looks_for_nobody(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        daemon.discovery.begin()
        assert daemon.discovery.nearby().state == "off"
        assert (await daemon.discovery.switch(True)).state == "off"
    assert reason_against("127.0.0.1", is_allowed=True) == "the device port listens on loopback alone"
    assert reason_against(None, is_allowed=False) == "EDGELOOP_MDNS is off"
    assert reason_against(None, is_allowed=True) == ""
