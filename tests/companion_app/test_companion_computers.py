"""The computers of a device: they are switched off and on, and forgotten, and when they were seen is kept."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion.companion import Companion
from edgeloop_companion.events import Forgotten, Linked, LinkLost, Paired, Switched
from edgeloop_companion.link.pairings import Pairings
from edgeloop_shared.errors import NotFoundError, PairingError

from .companion_fixtures import Observer, allow, companion_at
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
