"""The computers of a device: they are switched off and on, and forgotten, and when they were seen is kept."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from daemon.device_daemon import device_daemon

from edgeloop_companion.companion import Companion
from edgeloop_companion.events import Forgotten, Linked, LinkLost, Paired, Switched
from edgeloop_companion.link.farewells import tell
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import MAX_UNTOLD, UNTOLD_SECONDS, Pairings
from edgeloop_shared.errors import NotFoundError, PairingError
from edgeloop_shared.pairing import parse_offer

from .companion_fixtures import Observer, allow, companion_at, pairing_with
from .link_peer import LinkPeer
from .received_run import Run

ENDLESS = {"task.py": "print('begun', flush=True)\nwhile True: pass"}


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
async def companion(peer: LinkPeer, observer: Observer, tmp_path: Path) -> AsyncIterator[Companion]:
    """A companion that is paired with `peer` and linked to it; its state is in `tmp_path`."""
    async with companion_at(tmp_path, observer) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        await observer.until(lambda: bool(observer.of(Linked)))
        yield companion


async def endless_run(peer: LinkPeer) -> Run:
    run = await peer.start(ENDLESS)
    await peer.until(lambda: run.text("stdout") == ["begun"])
    return run


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no pairing can be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("edgeloop_companion.link.pairings.write_private", full)


def device_id(companion: Companion) -> str:
    (pairing,) = companion.pairings
    return pairing.device_id


async def test_a_computer_that_is_forgotten_is_told_and_nothing_of_it_is_kept(
    peer: LinkPeer, companion: Companion, observer: Observer, tmp_path: Path
) -> None:
    run, known = await endless_run(peer), device_id(companion)
    assert [host.run_count for host in companion.hosts] == [1]
    await companion.forget(known)
    assert observer.events[-1] == Forgotten("laptop", known, is_told=True)
    assert peer.unpaired == [known]
    assert run.finished is not None
    assert run.finished.state == "cancelled"  # it was stored before the goodbye
    assert (companion.pairings, companion.hosts) == ((), ())
    assert not (tmp_path / "pairings.json").exists()
    assert list((tmp_path / "hosts").iterdir()) == []


@pytest.mark.parametrize("is_linked", [True, False])
async def test_a_computer_that_does_not_hear_it_is_forgotten_all_the_same(
    peer: LinkPeer, companion: Companion, observer: Observer, is_linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeloop_companion.link.connection.UNPAIR_SECONDS", 0.1)
    peer.behaviour.hears_unpair = False
    known = device_id(companion)
    if not is_linked:
        await companion.switch(known, is_on=False)
    await companion.forget(known)
    assert observer.events[-1] == Forgotten("laptop", known, is_told=False)
    assert companion.pairings == ()


async def test_a_computer_that_is_forgotten_while_it_is_away_is_told_when_it_is_reached_next(
    peer: LinkPeer, companion: Companion, observer: Observer, tmp_path: Path
) -> None:
    known = device_id(companion)
    peer.behaviour.refuse_links = True
    await peer.cut()
    await observer.until(lambda: bool(observer.of(LinkLost)))
    await companion.forget(known)
    assert observer.events[-1] == Forgotten("laptop", known, is_told=False)
    peer.behaviour.refuse_links = False
    companion.doubt_links()  # as after a change of the network
    await peer.until(lambda: peer.unpaired == [known])
    assert len(peer.hellos) == 1  # nothing else was said to it
    async with asyncio.timeout(10):
        while (tmp_path / "pairings.json").exists():  # noqa: ASYNC110 - nothing outside hears of it
            await asyncio.sleep(0.01)


async def test_a_computer_that_was_forgotten_while_it_was_away_is_told_by_a_later_app(
    peer: LinkPeer, tmp_path: Path
) -> None:
    peer.behaviour.refuse_links = True
    async with companion_at(tmp_path) as companion:
        known = (await companion.pair_by_offer(peer.offer(), allow)).device_id
        await companion.forget(known)
        assert (companion.pairings, peer.unpaired) == ((), [])
    peer.behaviour.refuse_links = False
    async with companion_at(tmp_path) as companion:
        await peer.until(lambda: peer.unpaired == [known])
        assert (companion.pairings, peer.hellos) == ((), [])


async def test_a_computer_that_was_forgotten_and_knocks_from_another_place_is_told_there(
    peer: LinkPeer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # accepts, and never answers
        moved = replace(pairing_with(peer), port=nobody.getsockname()[1], is_on=False)
        await asyncio.to_thread(lambda: Pairings(tmp_path / "pairings.json").add(moved))
        async with companion_at(tmp_path) as companion:
            await companion.forget(moved.device_id)
            (farewell,) = companion.farewells.all
            nobody.close()
            farewell.knock("127.0.0.1", peer.port)
            assert companion.farewells.all == (farewell,)
            await peer.until(lambda: peer.unpaired == [moved.device_id])


async def test_a_daemon_lists_no_more_a_device_that_forgot_it_unlinked(tmp_path: Path) -> None:
    async with device_daemon(tmp_path / "daemon") as daemon, companion_at(tmp_path / "device") as companion:
        pairing = await companion.pair_by_offer(parse_offer((await daemon.pairing.open()).offer), allow)
        await companion.switch(pairing.device_id, is_on=False)
        assert [one.id for one in daemon.devices.list()] == [pairing.device_id]
        await companion.forget(pairing.device_id)
        async with asyncio.timeout(30):
            while daemon.devices.list():  # noqa: ASYNC110 - nothing outside hears of it
                await asyncio.sleep(0.01)


async def test_a_computer_is_not_told_for_ever_that_it_was_forgotten(
    peer: LinkPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairings = await asyncio.to_thread(Pairings, tmp_path / "pairings.json")

    def forget(*all_of: Pairing) -> None:
        for pairing in all_of:
            pairings.add(pairing)
            pairings.give_up(pairing)

    many = [pairing_with(peer) for _ in range(MAX_UNTOLD + 1)]
    await asyncio.to_thread(forget, *many)
    assert pairings.untold == tuple(many[1:])
    assert (await asyncio.to_thread(Pairings, tmp_path / "pairings.json")).untold == pairings.untold
    later = time.time()
    monkeypatch.setattr("edgeloop_companion.link.pairings.time.time", lambda: later)
    await tell(pairings, pairings.untold)
    assert (pairings.untold, peer.unpaired) == ((), [one.device_id for one in many[1:]])
    await asyncio.to_thread(forget, many[0])
    later += UNTOLD_SECONDS + 1
    peer.behaviour.refuse_links = True
    await tell(pairings, pairings.untold)
    assert not (tmp_path / "pairings.json").exists()  # and its key with it


async def test_a_computer_that_is_switched_off_has_no_link_until_it_is_switched_on_again(
    peer: LinkPeer, companion: Companion, observer: Observer, tmp_path: Path
) -> None:
    run, known = await endless_run(peer), device_id(companion)
    await companion.switch(known, is_on=False)
    assert observer.events[-1] == Switched("laptop", known, is_on=False)
    assert run.finished is not None
    assert run.finished.state == "cancelled"
    assert (companion.hosts, peer.close_codes) == ((), [1001])
    async with asyncio.timeout(10):
        assert [pairing.is_on for pairing in await asyncio.to_thread(Pairings, tmp_path / "pairings.json")] == [False]

    await companion.switch(known, is_on=False)  # which it is
    assert len(observer.of(Switched)) == 1
    await companion.switch(known, is_on=True)
    await peer.linked(times=2)


async def test_a_computer_that_is_switched_off_stays_so_over_a_restart(peer: LinkPeer, tmp_path: Path) -> None:
    async with companion_at(tmp_path) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        await companion.switch(device_id(companion), is_on=False)
    async with companion_at(tmp_path) as companion:
        assert companion.hosts == ()
        await companion.switch(device_id(companion), is_on=True)
        assert len(companion.hosts) == 1


async def test_when_a_computer_was_seen_is_known_to_the_next_app(
    peer: LinkPeer, companion: Companion, observer: Observer, tmp_path: Path
) -> None:
    begun = time.time()
    await peer.cut()
    await observer.until(lambda: bool(observer.of(LinkLost)))
    await companion.switch(device_id(companion), is_on=False)
    (pairing,) = await asyncio.to_thread(Pairings, tmp_path / "pairings.json")
    assert pairing.last_seen is not None
    assert begun <= pairing.last_seen <= time.time()


async def test_who_pairs_again_gives_up_the_identity_that_it_had(
    peer: LinkPeer, companion: Companion, observer: Observer
) -> None:
    earlier = device_id(companion)
    again = await companion.pair_by_offer(peer.offer(), allow)
    assert peer.unpaired == [earlier]
    assert set(peer.devices) == {again.device_id} == {device_id(companion)}
    assert len(observer.of(Paired)) == 2
    await peer.linked(times=2)


async def test_a_computer_that_is_not_paired_can_neither_be_switched_nor_forgotten(companion: Companion) -> None:
    with pytest.raises(NotFoundError):
        await companion.switch("nobody", is_on=False)
    with pytest.raises(NotFoundError):
        await companion.forget("nobody")


async def test_a_computer_that_cannot_be_forgotten_stays_as_it_was(
    companion: Companion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = device_id(companion)
    async with LinkPeer(host_name="desk").serving() as other:
        await companion.pair_by_offer(other.offer(), allow)
        fill_disk(monkeypatch)
        with pytest.raises(OSError, match="No space left"):
            await companion.forget(known)
        monkeypatch.undo()
        assert [one.host_name for one in companion.pairings] == ["laptop", "desk"]
        assert companion.hosts[0].is_linked
        stored = await asyncio.to_thread(lambda: tuple(Pairings(tmp_path / "pairings.json")))
        assert [one.host_name for one in stored] == ["laptop", "desk"]


async def test_a_computer_that_cannot_be_switched_off_is_linked_again(
    peer: LinkPeer, companion: Companion, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        await companion.switch(device_id(companion), is_on=False)
    monkeypatch.undo()
    await peer.linked(times=2)
    assert companion.pairings[0].is_on


async def test_a_pairing_that_cannot_be_kept_is_none(
    peer: LinkPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with companion_at(tmp_path) as companion:
        fill_disk(monkeypatch)
        with pytest.raises(PairingError, match="cannot be kept: No space left"):
            await companion.pair_by_offer(peer.offer(), allow)
        assert (companion.pairings, companion.hosts) == ((), ())


async def test_a_pairing_that_is_kept_once_more_is_not_given_up_but_one_that_takes_its_place_is(
    peer: LinkPeer, tmp_path: Path
) -> None:
    pairings = await asyncio.to_thread(Pairings, tmp_path / "pairings.json")
    first = pairing_with(peer)
    for pairing in (first, first, replace(first, port=9)):
        await asyncio.to_thread(pairings.add, pairing)
    assert list(pairings.untold) == []
    await asyncio.to_thread(pairings.add, replace(first, device_id="d2"))
    assert [one.device_id for one in pairings.untold] == [first.device_id]
