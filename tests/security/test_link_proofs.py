"""Proofs of links and of pairing that come back, come late, or cover something else than what was said."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from companion_app.companion_fixtures import INFO, Observer, allow, companion_at, pairing_with
from companion_app.link_peer import LinkPeer
from daemon.device_daemon import DeviceDaemon, ManualClock, device_daemon
from daemon.device_peer import (
    Identity,
    PairingTry,
    RefusedError,
    call,
    challenge,
    link,
    link_headers,
    pair,
)
from security.raw_http import SECONDS, connect, statuses

from edgeloop_companion.events import Linked, LinkLost
from edgeloop_companion.link.pairing import pair_by_offer
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import BadProofError, RateLimitedError, VersionMismatchError
from edgeloop_shared.messages import PairStart, Welcome
from edgeloop_shared.pairing import parse_offer
from edgeloop_shared.proofs import daemon_link_proof

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def daemon(tmp_path: Path, clock: ManualClock) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def phone(daemon: DeviceDaemon) -> Identity:
    return await daemon.pair()


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer().serving() as running:
        yield running


@pytest.mark.parametrize(("seconds", "is_fresh"), [(9.9, True), (10.0, False), (3600.0, False)])
async def test_a_nonce_is_worthless_after_ten_seconds(
    phone: Identity, clock: ManualClock, seconds: float, is_fresh: bool
) -> None:
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), secrets.token_bytes(32))
        clock.now += seconds
        async with caller.session.get(
            f"{caller.base}/v1/link", headers={**UPGRADE, **headers}, ssl=caller.context
        ) as response:
            assert response.status == (101 if is_fresh else 401)


async def test_the_daemons_own_proof_opens_no_link(phone: Identity) -> None:
    async with call(phone.port) as caller:
        server_nonce, nonce = await challenge(caller), secrets.token_bytes(32)
        ours = daemon_link_proof(phone.key, phone.certificate, server_nonce, nonce, phone.id, "1", 1)
        headers = {"Authorization": f"Edgeloop {phone.id}.{nonce.hex()}.{ours.hex()}", "Edgeloop-Versions": "1"}
        with pytest.raises(RefusedError) as refused:
            await caller.ask("GET", "/v1/link", headers={**UPGRADE, **headers})
    assert (refused.value.status, type(refused.value.error)) == (401, BadProofError)


async def lost_after(peer: LinkPeer, folder: Path) -> str:
    """Return why a companion that is paired with `peer` does not believe it."""
    observer = Observer()
    async with companion_at(folder, observer) as companion:
        companion.serve(pairing_with(peer))
        await observer.until(lambda: bool(observer.of(LinkLost)))
    assert observer.of(Linked) == []
    assert peer.hellos == []
    return str(observer.of(LinkLost)[0])


async def test_a_device_does_not_believe_its_own_proof_when_it_comes_back(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.changed_welcome = lambda welcome, devices_proof: Welcome(
        welcome.version, devices_proof, welcome.bearer, welcome.host_name
    )
    assert "does not know this device's key" in await lost_after(peer, tmp_path)


async def test_a_version_that_was_changed_in_the_welcome_is_noticed(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.changed_welcome = lambda welcome, _: Welcome(
        welcome.version + 1, welcome.proof, welcome.bearer, welcome.host_name
    )
    assert "does not know this device's key" in await lost_after(peer, tmp_path)


async def test_a_device_does_not_believe_its_own_proof_of_pairing(peer: LinkPeer) -> None:
    peer.behaviour.reflect_pair_proof = True
    with pytest.raises(BadProofError):
        await pair_by_offer(peer.offer(), INFO, allow)


async def test_a_start_that_was_changed_on_its_way_is_a_wrong_proof(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    offer = parse_offer(window.offer)
    async with call(offer.port) as caller:
        attempt = PairingTry(caller)
        said, heard = encode_json(PairStart((1, 2))), encode_json(PairStart((1,)))
        attempt.transcript.add(said)  # what the phone said; somebody took its newer version out
        changed = PairingTry(caller)
        attempt.started = await changed.start((1,))
        assert heard != said
        attempt.transcript.add(encode_json(attempt.started))
        with pytest.raises(RefusedError) as refused:
            await attempt.finish("qr", offer.secret)
    assert isinstance(refused.value.error, BadProofError)
    assert daemon.devices.list() == ()


async def test_versions_without_one_in_common_end_with_426_and_words_on_link_and_pairing(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    await daemon.pairing.open()
    async with call(phone.port) as caller:
        headers = link_headers(phone, await challenge(caller), bytes(32), "7,9")
        for ask in (
            caller.ask("GET", "/v1/link", headers={**UPGRADE, **headers}),
            caller.ask("POST", "/v1/pair/start", data=encode_json(PairStart((7, 9)))),
        ):
            with pytest.raises(RefusedError) as refused:
                await ask
            assert (refused.value.status, type(refused.value.error)) == (426, VersionMismatchError)
            assert "Update the older of the two" in refused.value.error.hint
            assert refused.value.error.details == {"ours": [1], "theirs": [7, 9]}


async def test_codes_of_a_qr_cannot_be_guessed_faster_than_two_a_second(
    daemon: DeviceDaemon, clock: ManualClock
) -> None:
    window = await daemon.pairing.open()
    wrong = secrets.token_bytes(16)
    kinds = []
    for _ in range(3):
        async with call(window.port) as caller:
            attempt = PairingTry(caller)
            await attempt.start()
            with pytest.raises(RefusedError) as refused:
                await attempt.finish("qr", wrong)
            kinds.append(type(refused.value.error))
    assert kinds == [BadProofError, BadProofError, RateLimitedError]
    clock.now += 1.0
    assert await pair(window.offer)  # the window is still open for the right one


async def test_sixteen_attempts_may_be_pending_in_all(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with asyncio.timeout(SECONDS), contextlib.AsyncExitStack() as stack:
        sources = [f"127.0.0.{last}" for last in range(2, 19)]
        callers = [await stack.enter_async_context(call(window.port, source=source)) for source in sources]
        for caller in callers[:16]:
            await PairingTry(caller).start()
        with pytest.raises(RefusedError) as refused:
            await PairingTry(callers[16]).start()
        assert isinstance(refused.value.error, RateLimitedError)


async def test_compression_that_is_offered_is_not_taken_and_a_compressed_frame_ends_the_link(
    daemon: DeviceDaemon, phone: Identity
) -> None:
    reader, writer = await connect(phone.port, secure=True)
    writer.write(b"GET /v1/link HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        nonce = bytes.fromhex(head.partition(b"nonce=")[2][:64].decode())
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        headers = {**UPGRADE, **link_headers(phone, nonce, bytes(32))}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        writer.write("\r\n".join(("GET /v1/link HTTP/1.1", "Host: x", offered, *lines, "", "")).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert statuses(head) == [101]
        assert b"permessage-deflate" not in head.lower()
        await reader.read(2)
        writer.write(bytes([0b11000001, 0x84, 0, 0, 0, 0]) + b"\x4a\x4c\x4a\x06")  # compressed, text, masked
        rest = await reader.read()
    assert b"\x03\xea" in rest  # close code 1002, a protocol error
    writer.close()
    async with link(phone):  # and the next one works
        assert daemon.devices.get(phone.id).is_linked
