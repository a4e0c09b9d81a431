"""The list of computers as the screen sees it, without a screen: against real device ports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgeloop_companion.companion import Companion
from edgeloop_companion.events import Event
from edgeloop_companion.store.computers import Computer, Computers, opened_computers
from edgeloop_companion.store.event_feed import EventFeed

from .companion_fixtures import allow, companion_at
from .link_peer import LinkPeer
from .shown_codes import until


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@pytest.fixture
def feed() -> EventFeed:
    return EventFeed()


@pytest.fixture
async def companion(tmp_path: Path, feed: EventFeed) -> AsyncIterator[Companion]:
    async with companion_at(tmp_path, feed) as companion:
        yield companion


@pytest.fixture
async def computers(companion: Companion, feed: EventFeed, tmp_path: Path) -> AsyncIterator[Computers]:
    async with opened_computers(companion, feed, tmp_path / "revoked.json") as computers:
        yield computers


async def paired(companion: Companion, computers: Computers, peer: LinkPeer) -> Computer:
    """Pair with `peer` and return it once it is linked."""
    pairing = await companion.pair_by_offer(peer.offer(), allow)
    return await only(computers, pairing.device_id, "linked")


async def only(computers: Computers, device_id: str, state: str) -> Computer:
    """Wait until the computer is in that state and nothing is changed any more; return it."""

    def holds(found: tuple[Computer, ...]) -> bool:
        return any(one.device_id == device_id and one.state == state and not one.is_changing for one in found)

    found = await until(computers.computers, holds)
    return next(one for one in found if one.device_id == device_id)


async def test_a_computer_is_shown_with_its_link_and_its_runs(
    companion: Companion, computers: Computers, peer: LinkPeer
) -> None:
    assert computers.computers.value == ()
    begun = time.time()
    linked = await paired(companion, computers, peer)
    assert (linked.name, linked.address) == ("laptop", f"127.0.0.1:{peer.port}")
    assert linked.last_seen is not None
    assert begun <= linked.last_seen
    await peer.start({"task.py": "while True: pass"})
    await until(computers.computers, lambda found: [one.run_count for one in found] == [1])


async def test_two_computers_of_one_name_are_told_apart(
    companion: Companion, computers: Computers, peer: LinkPeer
) -> None:
    async with LinkPeer(host_name="laptop").serving() as other:
        await paired(companion, computers, peer)
        second = await paired(companion, computers, other)
        await other.close_link(1001)
        await until(computers.computers, lambda found: [one.state for one in found] == ["linked", "away"])
        assert computers.computers.value[1].device_id == second.device_id
        computers.forget(second.device_id)
        await until(computers.computers, lambda found: len(found) == 1)
        assert other.unpaired in ([], [second.device_id])
    assert [one.state for one in computers.computers.value] == ["linked"]


async def test_one_that_is_away_tells_why_and_when_it_is_dialled_again(
    companion: Companion, computers: Computers
) -> None:
    async with LinkPeer(host_name="laptop").serving() as peer:
        linked = await paired(companion, computers, peer)
    await until(computers.computers, lambda found: found[0].wait_seconds() > 0)
    (away,) = computers.computers.value
    assert (away.state, away.device_id) == ("away", linked.device_id)
    assert "No daemon answers" in away.reason
    assert away.next_attempt is not None
    assert away.wait_seconds(away.next_attempt - 2.5) == 3
    assert away.wait_seconds(away.next_attempt + 1) == 0
    assert not away.is_nearby()


async def test_one_that_knocks_and_does_not_answer_is_nearby(companion: Companion, computers: Computers) -> None:
    async with LinkPeer(host_name="laptop").serving() as peer:
        await paired(companion, computers, peer)
    await until(computers.computers, lambda found: found[0].wait_seconds() > 0)
    companion.hosts[0].knock("127.0.0.1", peer.port)
    (nearby,) = await until(computers.computers, lambda found: found[0].knocked_at is not None)
    assert nearby.knocked_at is not None
    assert nearby.is_nearby()
    assert not nearby.is_nearby(nearby.knocked_at + 61)


async def test_one_is_switched_off_and_on(companion: Companion, computers: Computers, peer: LinkPeer) -> None:
    linked = await paired(companion, computers, peer)
    computers.switch(linked.device_id, is_on=False)
    assert computers.computers.value[0].is_changing
    computers.switch(linked.device_id, is_on=True)  # it is at work on the other
    off = await only(computers, linked.device_id, "off")
    assert off.address == linked.address
    assert companion.hosts == ()
    computers.switch(linked.device_id, is_on=True)
    await only(computers, linked.device_id, "linked")


async def test_one_is_forgotten(companion: Companion, computers: Computers, peer: LinkPeer) -> None:
    linked = await paired(companion, computers, peer)
    computers.forget(linked.device_id)
    await until(computers.computers, lambda found: not found)
    assert peer.unpaired == [linked.device_id]


async def test_one_that_has_unpaired_this_device_is_shown_until_it_is_dismissed(
    companion: Companion, computers: Computers, peer: LinkPeer
) -> None:
    linked = await paired(companion, computers, peer)
    await peer.close_link(4001)
    revoked = await only(computers, linked.device_id, "revoked")
    assert (revoked.name, revoked.address) == ("laptop", f"127.0.0.1:{peer.port}")
    assert companion.pairings == ()
    computers.forget(linked.device_id)
    assert computers.computers.value == ()


async def test_one_that_is_paired_again_is_not_shown_as_revoked_any_more(
    companion: Companion, computers: Computers, peer: LinkPeer
) -> None:
    linked = await paired(companion, computers, peer)
    await peer.close_link(4001)
    await only(computers, linked.device_id, "revoked")
    again = await paired(companion, computers, peer)
    assert [one.device_id for one in computers.computers.value] == [again.device_id]


async def test_what_cannot_be_done_is_told(companion: Companion, computers: Computers, peer: LinkPeer) -> None:
    computers.switch("nobody", is_on=True)
    problem = await until(computers.problem, lambda problem: problem is not None)
    assert problem is not None
    assert "not paired" in problem.message
    linked = await paired(companion, computers, peer)
    computers.switch(linked.device_id, is_on=True)
    await until(computers.problem, lambda problem: problem is None)


async def test_one_that_has_unpaired_this_device_is_shown_by_later_apps_until_it_is_dismissed(
    companion: Companion, feed: EventFeed, peer: LinkPeer, tmp_path: Path
) -> None:
    path = tmp_path / "revoked.json"
    async with opened_computers(companion, feed, path) as computers:
        linked = await paired(companion, computers, peer)
        key = companion.pairings[0].device_key
        await peer.close_link(4001)
        revoked = await only(computers, linked.device_id, "revoked")
    assert key not in path.read_text()
    async with opened_computers(companion, feed, path) as computers:
        assert computers.computers.value == (revoked,)
        computers.forget(linked.device_id)
    async with opened_computers(companion, feed, path) as computers:
        assert computers.computers.value == ()


async def test_one_that_was_paired_again_meanwhile_is_not_shown_as_revoked_by_a_later_app(
    companion: Companion, feed: EventFeed, peer: LinkPeer, tmp_path: Path
) -> None:
    path = tmp_path / "revoked.json"
    async with opened_computers(companion, feed, path) as computers:
        await paired(companion, computers, peer)
        await peer.close_link(4001)
        await until(computers.computers, lambda found: [one.state for one in found] == ["revoked"])
    again = await companion.pair_by_offer(peer.offer(), allow)
    async with opened_computers(companion, feed, path) as computers:
        assert [one.device_id for one in computers.computers.value] == [again.device_id]


async def test_a_damaged_file_of_revoked_computers_is_passed_over(
    companion: Companion, feed: EventFeed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "revoked.json"
    path.write_text('{"version":1,"computers":[{}]}')
    async with opened_computers(companion, feed, path) as computers:
        assert computers.computers.value == ()
    assert str(path) in caplog.text


async def test_who_closes_waits_for_what_was_begun(
    companion: Companion, feed: EventFeed, peer: LinkPeer, tmp_path: Path
) -> None:
    async with opened_computers(companion, feed, tmp_path / "revoked.json") as computers:
        linked = await paired(companion, computers, peer)
        computers.forget(linked.device_id)
    assert peer.unpaired == [linked.device_id]
    before = computers.computers.value
    await companion.pair_by_offer(peer.offer(), allow)
    await asyncio.sleep(0)
    assert computers.computers.value == before


async def test_who_fails_when_told_harms_neither_the_link_nor_others(
    companion: Companion, feed: EventFeed, computers: Computers, peer: LinkPeer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Event) -> None:
        raise IndexError("a row that is gone")

    feed.listen(fail)
    linked = await paired(companion, computers, peer)
    assert linked.state == "linked"
    assert len(peer.hellos) == 1
    assert "a row that is gone" in caplog.text
