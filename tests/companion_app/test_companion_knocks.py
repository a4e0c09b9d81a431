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
        await observer.until(lambda: any(event.retry_seconds > 0 for event in observer.of(LinkLost)))  # type: ignore[attr-defined]
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


@pytest.mark.parametrize("own", ["198.18.0.9", "127.0.0.1"])
async def test_a_device_that_has_lost_the_address_of_its_link_dials_again(tmp_path: Path, own: str) -> None:
    observer = Observer()
    async with LinkPeer().serving() as peer, linked_companion(tmp_path, peer, observer) as companion:
        await observer.until(lambda: host_of(companion).is_linked)
        host_of(companion).moved(frozenset({own}))
        if own == "127.0.0.1":
            assert not observer.of(LinkLost)
        else:
            await peer.linked(2)
