"""What a knock does to a companion: it dials who knocked, at once, whatever it was about to do."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from companion_app.companion_fixtures import Observer, companion_at, linked_companion, pairing_with
from companion_app.link_peer import LinkPeer

from edgeloop_companion.companion import Companion
from edgeloop_companion.events import LinkLost
from edgeloop_companion.host import Host
from edgeloop_companion.link.advertising import Advertising
from edgeloop_companion.link.pairings import Pairings


def closed_port() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def host_of(companion: Companion) -> Host:
    (host,) = companion.hosts
    return host


async def test_a_knock_ends_an_attempt_at_an_address_that_does_not_answer_and_its_address_is_kept(
    tmp_path: Path,
) -> None:
    dialled = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.set()
        await reader.read()
        writer.close()

    async with LinkPeer().serving() as peer, companion_at(tmp_path) as companion:
        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as deaf_server:
            companion.serve(replace(pairing_with(peer), port=deaf_server.sockets[0].getsockname()[1]))
            await dialled.wait()
            host_of(companion).knock("127.0.0.1", peer.port)
            async with asyncio.timeout(8):  # an attempt that nobody answers takes ten
                await peer.linked()
        assert host_of(companion).pairing.port == peer.port
        assert host_of(companion).is_linked


async def test_a_knock_ends_the_pause_after_a_failure(tmp_path: Path) -> None:
    observer = Observer()
    async with LinkPeer().serving() as peer, companion_at(tmp_path, observer) as companion:
        companion.serve(replace(pairing_with(peer), port=closed_port()))
        await observer.until(
            lambda: any(isinstance(event, LinkLost) and event.retry_seconds > 0 for event in observer.events)
        )
        host_of(companion).knock("127.0.0.1", peer.port)
        await peer.linked()


async def test_a_knock_replaces_a_link_that_only_this_side_believes_in_but_not_one_that_has_just_begun(
    tmp_path: Path,
) -> None:
    observer = Observer()
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer, observer) as companion:
        host = host_of(companion)
        await observer.until(lambda: host.is_linked)
        host.knock("127.0.0.1", peer.port)
        assert host.is_linked
        host.linked_at -= 60
        host.knock("127.0.0.1", peer.port)
        await peer.linked(2)


async def test_the_address_that_knocked_is_still_known_to_the_next_companion(tmp_path: Path) -> None:
    async with LinkPeer().serving() as peer:
        pairing = pairing_with(peer)
        moved = replace(pairing, port=closed_port())
        pairings = tmp_path / "pairings.json"
        Pairings(pairings).add(moved)
        async with companion_at(tmp_path) as companion:
            host_of(companion).knock("127.0.0.1", peer.port)
            await peer.linked()
        assert [(one.addresses, one.port) for one in Pairings(pairings)] == [(("127.0.0.1",), peer.port)]


async def test_a_link_within_the_device_itself_is_no_matter_of_its_addresses(tmp_path: Path) -> None:
    observer = Observer()
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer, observer) as companion:
        await observer.until(lambda: host_of(companion).is_linked)
        host_of(companion).moved(frozenset({"198.18.0.9"}))
        await asyncio.sleep(0)
        assert not observer.of(LinkLost)


class Broken:
    """An advertiser of a platform that cannot do it."""

    def __init__(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("error", [ImportError("no zeroconf"), OSError("no socket"), ValueError("a fault")])
async def test_a_device_that_cannot_announce_itself_links_all_the_same_and_says_so(
    tmp_path: Path, error: Exception
) -> None:
    async with LinkPeer().serving() as peer, companion_at(tmp_path) as companion:
        advertising = Advertising(lambda: Broken(error), lambda: companion.hosts, is_on=True)  # type: ignore[arg-type,return-value]
        task = asyncio.create_task(advertising.run())
        companion.serve(pairing_with(peer))
        await peer.linked()
        async with asyncio.timeout(60):
            while advertising.state != "failed":  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert str(error) in advertising.problem
        task.cancel()
        await asyncio.wait({task})
