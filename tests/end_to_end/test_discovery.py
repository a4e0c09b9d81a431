"""Finding phones with real multicast between network namespaces: found, recognised, knocked, linked, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import COMMAND, CommandLine
from end_to_end.discovered import DaemonThere, PhoneThere, daemon_on, paired, phone_on, send
from namespace_parts import NEEDED, Computer, can_be_made, ip, network

from edgeloop_companion.doctor import network as device_side
from edgeloop_companion.doctor.dial import dial_all
from edgeloop_companion.doctor.subject import Subject
from edgeloop_companion.link import zeroconf_advertiser
from edgeloop_companion.link.advertising import Advertising
from edgeloop_companion.link.knock_port import KnockPort
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.zeroconf_advertiser import ZeroconfAdvertiser
from edgeloop_daemon.devices import zeroconf_browser
from edgeloop_daemon.devices.devices import DeviceServices
from edgeloop_daemon.doctor.network import check_isolation, check_mdns, check_reachability
from edgeloop_shared.announcements import new_announcement
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.knocks import pack_knock
from edgeloop_shared.marks import Mark

pytestmark = pytest.mark.skipif(not can_be_made(), reason=NEEDED)


@pytest.fixture(scope="module")
def computers() -> Iterator[list[Computer]]:
    with network(4) as found:
        yield found


@pytest.fixture
def daemon(computers: list[Computer], tmp_path: Path) -> Iterator[DaemonThere]:
    with daemon_on(computers[0], tmp_path / "daemon") as one:
        yield one


@pytest.fixture
def phone(computers: list[Computer], tmp_path: Path) -> Iterator[PhoneThere]:
    with phone_on(computers[1], tmp_path / "phone") as one:
        yield one


def test_a_paired_phone_is_found_recognised_knocked_and_links_at_an_address_that_it_did_not_know(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    (pairing,) = paired(daemon, "phone")
    daemon.start()
    phone.start(pairing)

    daemon.until_linked("phone")

    assert daemon.device("phone").is_nearby
    assert daemon.services is not None
    (nearby,) = daemon.services.discovery.nearby().items
    assert (nearby.device, nearby.device_name) == (pairing.device_id, "phone")
    assert phone.computer.address in nearby.addresses
    assert phone.computer.address6 in nearby.addresses
    network = daemon.device("phone").network
    assert network is not None
    assert (network.mdns, network.was_knocked, network.is_on_link) == ("on", True, True)
    assert daemon.happened("phone.seen") == [{"name": nearby.name, "device": pairing.device_id}]


def test_a_phone_that_says_goodbye_is_gone_and_one_that_is_paired_with_nobody_is_unknown(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    daemon.start()
    phone.start()

    (nearby,) = daemon.until(lambda services: services.discovery.nearby().items)
    assert (nearby.device, nearby.device_name, nearby.is_linked) == (None, None, False)

    phone.stop()

    daemon.until(lambda services: not services.discovery.nearby().items)
    assert daemon.happened("phone.gone") == [{"name": nearby.name, "device": None}]


def test_a_phone_that_has_gone_without_a_goodbye_is_gone_when_it_is_asked_in_vain_and_seen_when_it_answers_again(
    daemon: DaemonThere, phone: PhoneThere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zeroconf_advertiser, "TTL_SECONDS", 1)
    monkeypatch.setattr(zeroconf_browser, "VERIFY_SECONDS", 0.1)
    monkeypatch.setattr(zeroconf_browser, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(zeroconf_browser, "RESOLVE_MILLISECONDS", 1000)
    daemon.start()
    phone.start()
    (nearby,) = daemon.until(lambda services: services.discovery.nearby().items)
    port = phone.computer.port
    ip("-n", phone.computer.switch, "link", "set", port, "down")
    try:
        daemon.until(lambda services: not services.discovery.nearby().items)
    finally:
        ip("-n", phone.computer.switch, "link", "set", port, "up")
    (again,) = daemon.until(lambda services: services.discovery.nearby().items)
    assert again.name == nearby.name


def test_switching_it_off_on_either_side_ends_it_and_the_daemon_remembers(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    daemon.start()
    phone.start(advertised=False)
    phone.switch(True)
    daemon.until(lambda services: services.discovery.nearby().items)
    phone.switch(False)
    daemon.until(lambda services: not services.discovery.nearby().items)
    phone.until(lambda: phone.advertising.state == "off")

    assert daemon.services is not None
    assert daemon.computer.do(daemon.services.discovery.switch(False)).state == "off"
    daemon.stop()
    daemon.start()

    daemon.until(lambda services: services.discovery.nearby().state == "off")
    daemon.computer.do(daemon.services.discovery.switch(True))
    daemon.until(lambda services: services.discovery.nearby().state == "on")


def test_a_phone_that_has_moved_to_another_address_announces_itself_afresh_and_is_linked_there(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    (pairing,) = paired(daemon, "phone")
    daemon.start()
    phone.start(pairing)
    daemon.until_linked("phone")
    (before,) = daemon.until(lambda services: services.discovery.nearby().items)

    try:
        phone.computer.ip("addr", "del", f"{phone.computer.address}/24", "dev", "net0")
        phone.computer.ip("addr", "add", "198.18.7.77/24", "dev", "net0")

        def moved(services: DeviceServices) -> bool:
            new = [one for one in services.discovery.nearby().items if one.name != before.name]
            return bool(new) and "198.18.7.77" in new[0].addresses and phone.computer.address not in new[0].addresses

        daemon.until(moved)
        daemon.until(lambda _: daemon.device("phone").address == "198.18.7.77")
    finally:
        phone.stop()  # while its links can say goodbye
        phone.computer.ip("addr", "del", "198.18.7.77/24", "dev", "net0")
        phone.computer.ip("addr", "add", f"{phone.computer.address}/24", "dev", "net0")


def test_over_ipv6_alone_a_phone_is_found_and_links(daemon: DaemonThere, phone: PhoneThere) -> None:
    (pairing,) = paired(daemon, "phone")
    for computer in (daemon.computer, phone.computer):
        computer.ip("addr", "flush", "dev", "net0", "scope", "global")
    try:
        daemon.start()
        phone.start(pairing)
        daemon.until_linked("phone")
        assert daemon.device("phone").address == f"fe80::{phone.computer.number}"
    finally:
        for computer in (daemon.computer, phone.computer):
            computer.ip("addr", "add", f"{computer.address}/24", "dev", "net0")
            computer.ip("addr", "add", f"{computer.address6}/64", "dev", "net0", "nodad")


def test_a_name_that_another_phone_has_gives_way_to_a_fresh_one(
    daemon: DaemonThere, phone: PhoneThere, computers: list[Computer]
) -> None:
    daemon.start()
    phone.start()
    (first,) = daemon.until(lambda services: services.discovery.nearby().items)

    names = iter([first.name, "00ff00ff00ff00ff"])

    async def announce() -> None:
        advertising = Advertising(ZeroconfAdvertiser, lambda: (), is_on=True, names=lambda: next(names))
        task = asyncio.create_task(advertising.run())
        try:
            await asyncio.to_thread(daemon.until, lambda services: len(services.discovery.nearby().items) == 2)
        finally:
            task.cancel()
            await asyncio.wait({task})

    computers[2].do(announce())
    assert [one["name"] for one in daemon.happened("phone.seen")] == [first.name, "00ff00ff00ff00ff"]


def paired_at_home(daemon: DaemonThere) -> list[Pairing]:
    """Pair a phone that knows where the daemon is."""
    paired(daemon, "spare")  # so that the port is open
    daemon.start()
    assert daemon.services is not None
    port = daemon.services.listener.port
    assert port is not None
    daemon.stop()
    return paired(daemon, "phone", address=daemon.computer.address, port=port)


def test_a_computer_that_has_moved_to_another_address_is_linked_there_before_a_heartbeat_could_tell(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    daemon.heartbeat_seconds = phone.heartbeat_seconds = 600.0
    (pairing,) = paired_at_home(daemon)
    daemon.start()
    phone.start(pairing)
    daemon.until_linked("phone")
    assert phone.companion is not None
    host = phone.companion.host(pairing)
    assert host is not None
    host.linked_at -= 60  # a knock does not end a link that has just begun
    try:
        for address in (daemon.computer.address, daemon.computer.address6):
            daemon.computer.ip("addr", "del", f"{address}/{64 if ':' in address else 24}", "dev", "net0")
        daemon.computer.ip("addr", "add", "198.18.7.77/24", "dev", "net0")
        phone.until(lambda: host.address == "198.18.7.77")
        daemon.until_linked("phone")
        assert len(daemon.happened("device.unlinked")) == 1
    finally:
        phone.stop()  # while its links can say goodbye
        daemon.computer.ip("addr", "del", "198.18.7.77/24", "dev", "net0")
        daemon.computer.ip("addr", "add", f"{daemon.computer.address}/24", "dev", "net0")
        daemon.computer.ip("addr", "add", f"{daemon.computer.address6}/64", "dev", "net0", "nodad")


def test_where_multicast_is_blocked_the_phone_dials_the_address_that_it_knows_and_the_doctor_says_so(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    (pairing,) = paired_at_home(daemon)
    assert daemon.services is not None
    phone.computer.port_option("mcast_flood", "off")
    daemon.computer.port_option("mcast_flood", "off")
    try:
        daemon.start()
        phone.start(pairing)
        phone.until(lambda: phone.advertising.state == "on")
        daemon.until_linked("phone")
        daemon.until(lambda services: services.discovery.nearby().state == "on")
        assert daemon.services.discovery.nearby().items == ()
        finding = check_mdns(daemon.subject())
        assert finding.mark is Mark.WARNING
        assert "phone" in finding.found
        assert "multicast" in finding.remedy
    finally:
        for computer in (phone.computer, daemon.computer):
            computer.port_option("mcast_flood", "on")


def test_a_phone_that_is_seen_and_cannot_come_is_suspected_of_being_isolated_and_tells_later_what_it_met(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    (pairing,) = paired_at_home(daemon)
    phone.computer.ip("route", "add", "unreachable", f"{daemon.computer.address}/32")
    try:
        daemon.start()
        phone.start(pairing)
        daemon.until(lambda services: any(one.unanswered_knocks >= 3 for one in services.discovery.nearby().items))
        finding = check_isolation(daemon.subject())
        assert finding.mark is Mark.WARNING
        assert "isolation" in finding.remedy
    finally:
        phone.computer.ip("route", "del", "unreachable", f"{daemon.computer.address}/32")
    phone.computer.ip(
        "addr", "add", "198.18.7.99/32", "dev", "net0"
    )  # a change of the network, after which it dials at once

    daemon.until_linked("phone")
    network = daemon.device("phone").network
    assert network is not None
    assert {(one.address, one.outcome) for one in network.failed} >= {(daemon.computer.address, "unreachable")}
    assert check_reachability(daemon.subject()).mark is Mark.WARNING
    phone.computer.ip("addr", "del", "198.18.7.99/32", "dev", "net0")


def test_forged_replayed_and_off_link_knocks_do_nothing(
    daemon: DaemonThere, phone: PhoneThere, computers: list[Computer]
) -> None:
    dialled: list[tuple[str, int]] = []

    @dataclass
    class Listening:
        pairing: Pairing
        linked_at: float = -math.inf

        def knock(self, address: str, port: int) -> None:
            dialled.append((address, port))

    key, salt, stranger = secrets.token_bytes(32), secrets.token_bytes(16), computers[2]
    pairing = Pairing("d1", key.hex(), "0" * 64, ("127.0.0.1",), 1, "desk")
    now = 1000.0

    async def scenario() -> None:
        nonlocal now
        addresses = ZeroconfAdvertiser().addresses()
        host = Listening(pairing)
        knocks = KnockPort(lambda: (host,), lambda: addresses, lambda: now)
        async with knocks.listening(salt) as port:
            target = (phone.computer.address, port)
            heard = asyncio.Event()
            take = knocks.take

            def counting(datagram: bytes, sender: tuple[Any, ...]) -> None:
                take(datagram, sender)
                heard.set()

            knocks.take = counting  # type: ignore[method-assign]

            async def arrives(datagram: bytes, source: str | None = None) -> None:
                nonlocal now
                heard.clear()
                await asyncio.to_thread(send, stranger, datagram, target, source)
                async with asyncio.timeout(20):
                    await heard.wait()
                now += 20  # more than the least pause between two dials

            good = pack_knock(key, salt, 4711, 7)
            await arrives(b"hello")
            await arrives(pack_knock(secrets.token_bytes(32), salt, 4711, 7))
            await arrives(pack_knock(key, secrets.token_bytes(16), 4711, 7))
            await arrives(bytes([*good[:4], good[4] ^ 1, *good[5:]]))
            await arrives(good, "203.0.113.9")  # routed here, but from no network of the phone's
            assert dialled == []
            await arrives(good)
            assert dialled == [(stranger.address, 4711)]
            await arrives(good)
            await arrives(pack_knock(key, salt, 4711, 6))
            assert len(dialled) == 1
            await arrives(pack_knock(key, salt, 4712, 8))
            now -= 15
            await arrives(pack_knock(key, salt, 4713, 9))
            assert dialled == [(stranger.address, 4711), (stranger.address, 4712)]
            now -= 15
            host.linked_at = now - 1  # the knock before led to a link, so it was meant
            await arrives(pack_knock(key, salt, 4714, 10))
            assert dialled[2:] == [(stranger.address, 4714)]

    stranger.ip("addr", "add", "203.0.113.9/32", "dev", "lo")
    try:
        phone.computer.do(scenario())
    finally:
        stranger.ip("addr", "del", "203.0.113.9/32", "dev", "lo")


def test_a_stranger_who_repeats_a_phones_announcement_does_not_keep_the_phone_from_its_link(
    daemon: DaemonThere, phone: PhoneThere, computers: list[Computer]
) -> None:
    (pairing,) = paired(daemon, "phone")
    announcement = new_announcement([pairing.key])

    async def pretend() -> None:
        advertiser = ZeroconfAdvertiser()
        async with advertiser.advertising("0123456789abcdef", 9, announcement, advertiser.addresses()):
            await asyncio.to_thread(daemon.until, lambda services: services.discovery.nearby().items)
            await asyncio.to_thread(phone.start, pairing)
            await asyncio.to_thread(daemon.until_linked, "phone")

    daemon.start()
    computers[3].do(pretend())


def test_twenty_phones_at_once_are_found_knocked_and_linked(tmp_path: Path) -> None:
    names = [f"phone {number}" for number in range(20)]
    with contextlib.ExitStack() as stack:
        computers = stack.enter_context(network(21))
        daemon = stack.enter_context(daemon_on(computers[0], tmp_path / "daemon"))
        pairings = paired(daemon, *names)
        daemon.start()
        phones = [
            stack.enter_context(phone_on(computer, tmp_path / pairing.device_id))
            for computer, pairing in zip(computers[1:], pairings, strict=True)
        ]
        goodbyes = stack.enter_context(ThreadPoolExecutor(len(phones)))
        stack.callback(lambda: list(goodbyes.map(PhoneThere.stop, phones)))  # each takes a while
        for phone, pairing in zip(phones, pairings, strict=True):
            phone.start(pairing)
        daemon.until(lambda services: sum(device.is_linked for device in services.devices.list()) == len(names))
        nearby = daemon.until(
            lambda services: len(services.discovery.nearby().items) == len(names) and services.discovery.nearby().items
        )
        assert {one.device for one in nearby} == {pairing.device_id for pairing in pairings}


def test_the_command_line_shows_phones_nearby_and_switches_looking_for_them(
    computers: list[Computer], phone: PhoneThere, tmp_path: Path
) -> None:
    there = tmp_path / "edgeloop-there"
    there.write_text(f'#!/bin/sh\nexec ip netns exec {computers[0].namespace} {COMMAND} "$@"\n')
    there.chmod(0o755)
    user = CommandLine(tmp_path / "state", tmp_path, {"EDGELOOP_MDNS": "on"}, there)
    phone.start()
    user.run("up")
    try:
        deadline = time.monotonic() + 40
        while not (found := user.json("devices", "--nearby"))["items"]:
            assert time.monotonic() < deadline, found
        assert (found["state"], found["items"][0]["device"]) == ("on", None)
        assert f"Unknown phones nearby: {phone.computer.address}." in user.run("devices")
        assert f"from {computers[0].address}/24" in user.run("device", "search")
        assert user.run("device", "search", "off") == "Phones are not looked for.\n"
        assert user.json("devices", "--nearby")["state"] == "off"
    finally:
        user.run("down")


async def examined(pairing: Pairing, seconds: float = 5.0) -> dict[str, str]:
    """Return the keys of what the device's doctor finds about the network, by check; after `seconds` silence is certain."""
    addresses = await asyncio.to_thread(ZeroconfAdvertiser().addresses)
    subject = Subject(addresses, [pairing], await dial_all([pairing], addresses, seconds), Vitals())
    looks = (
        device_side.check_subnet,
        device_side.check_reachability,
        device_side.check_isolation,
        device_side.check_firewall,
    )
    return {finding.check: finding.key for look in looks for finding in look(subject)}


def test_the_phones_doctor_tells_isolation_from_a_firewall_and_both_from_a_daemon_that_does_not_run(
    daemon: DaemonThere, phone: PhoneThere
) -> None:
    (pairing,) = paired_at_home(daemon)
    computer = phone.computer
    daemon.start()
    assert computer.do(examined(pairing)) == {
        "subnet": "subnet.same",
        "reachability": "reachability.answers",
        "isolation": "isolation.none",
        "firewall": "firewall.none",
    }
    ends = (computer, daemon.computer)
    for end in ends:
        end.port_option("isolated", "on")  # as an access point does for guests
    computer.ip("neigh", "flush", "all")
    # It asks three times where the other one is; in milliseconds, of which there are a thousand else
    computer.ip("ntable", "change", "name", "arp_cache", "dev", "net0", "retrans", "100")
    try:
        found = computer.do(examined(pairing))
    finally:
        for end in ends:
            end.port_option("isolated", "off")
    assert (found["isolation"], found["firewall"]) == ("isolation.suspected", "firewall.none")
    assert computer.do(examined(pairing))["reachability"] == "reachability.answers"  # and who is where is known again
    daemon.computer.ip("route", "add", "blackhole", f"{computer.address}/32")  # it is there, and answers nothing
    try:
        found = computer.do(examined(pairing, seconds=1.0))
    finally:
        daemon.computer.ip("route", "del", "blackhole", f"{computer.address}/32")
    assert (found["isolation"], found["firewall"]) == ("isolation.none", "firewall.suspected")
    daemon.stop()
    assert computer.do(examined(pairing))["reachability"] == "reachability.refused"
