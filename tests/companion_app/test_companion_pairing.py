"""Pairing, the phone's side: who is believed, who is not, and what is kept."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edgeloop_companion.device_info import device_info
from edgeloop_companion.link.pairing import Pairing, pair_by_code, pair_by_offer
from edgeloop_companion.link.pairings import Pairings
from edgeloop_shared.errors import (
    BadProofError,
    CertificateMismatchError,
    DaemonUnreachableError,
    InvalidInputError,
    MessageError,
    NoPairingWindowError,
    PairingError,
    SettingsError,
)
from edgeloop_shared.pairing import PROOF_HEADER, PairingOffer, new_code, show_code

from .companion_fixtures import Observer, allow, companion_at
from .link_peer import LinkPeer
from .tls_server import serving

INFO = device_info("phone")


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@contextlib.asynccontextmanager
async def in_between(peer: LinkPeer) -> AsyncIterator[tuple[int, list[str]]]:
    """Somebody with a certificate of their own who hands every request on to `peer`; yield the port and the paths seen."""
    seen: list[str] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=1)) as session:

        async def relay(request: web.Request) -> web.StreamResponse:
            seen.append(request.path)
            url = f"https://127.0.0.1:{peer.port}{request.path}"
            proof = {name: value for name, value in request.headers.items() if name == PROOF_HEADER}
            async with session.request(request.method, url, data=await request.read(), headers=proof) as answer:
                headers = {name: value for name, value in answer.headers.items() if name == PROOF_HEADER}
                body = await answer.read()
                return web.Response(status=answer.status, body=body, content_type=answer.content_type, headers=headers)

        async with serving([web.route("*", "/{path:.*}", relay)]) as (port, _):
            yield port, seen


async def test_a_scanned_offer_pairs(peer: LinkPeer) -> None:
    pairing = await pair_by_offer(peer.offer(), INFO, allow)
    assert peer.devices[pairing.device_id] == pairing.key
    assert pairing.pin == peer.fingerprint
    assert (pairing.addresses, pairing.port, pairing.host_name) == (("127.0.0.1",), peer.port, "laptop")
    assert peer.infos[pairing.device_id] == INFO


async def test_a_typed_code_pairs_and_pins_the_certificate_met(peer: LinkPeer) -> None:
    code = new_code()
    peer.window = code.encode()
    pairing = await pair_by_code("127.0.0.1", peer.port, show_code(code).lower(), INFO, allow)
    assert peer.devices[pairing.device_id] == pairing.key
    assert pairing.pin == peer.fingerprint


async def test_a_wrong_code_is_refused(peer: LinkPeer) -> None:
    peer.window = b"000000000000"
    with pytest.raises(BadProofError):
        await pair_by_code("127.0.0.1", peer.port, "111111111111", INFO, allow)
    assert not peer.devices


async def test_what_is_no_code_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidInputError):
        await pair_by_code("127.0.0.1", 1, "12345", INFO, allow)


async def test_a_used_offer_is_refused(peer: LinkPeer) -> None:
    offer = peer.offer()
    await pair_by_offer(offer, INFO, allow)
    with pytest.raises(NoPairingWindowError):
        await pair_by_offer(offer, INFO, allow)


async def test_a_man_in_the_middle_of_a_scanned_offer_receives_no_byte(peer: LinkPeer) -> None:
    offer = peer.offer()
    async with in_between(peer) as (port, seen):
        diverted = PairingOffer(port, offer.addresses, offer.certificate, offer.secret)
        with pytest.raises(CertificateMismatchError):
            await pair_by_offer(diverted, INFO, allow)
        assert seen == []
    assert not peer.devices


async def test_a_man_in_the_middle_of_a_typed_code_fails_like_a_wrong_code(peer: LinkPeer) -> None:
    code = new_code()
    peer.window = code.encode()
    async with in_between(peer) as (port, seen):
        with pytest.raises(BadProofError):
            await pair_by_code("127.0.0.1", port, code, INFO, allow)
        assert seen == ["/v1/pair/start", "/v1/pair/finish"]
    assert not peer.devices


async def test_a_daemon_that_does_not_know_the_code_is_not_believed(peer: LinkPeer, tmp_path: Path) -> None:
    peer.behaviour.wrong_pair_proof = True
    async with companion_at(tmp_path / "state") as companion:
        with pytest.raises(BadProofError):
            await companion.pair_by_offer(peer.offer(), allow)
        assert companion.hosts == ()
    assert not (tmp_path / "state" / "pairings.json").exists()


async def test_without_consent_nothing_is_paired(peer: LinkPeer) -> None:
    asked: list[str] = []

    async def refuse(host_name: str) -> bool:
        asked.append(host_name)
        return False

    with pytest.raises(PairingError, match="not allowed"):
        await pair_by_offer(peer.offer(), INFO, refuse)
    assert asked == ["laptop"]
    assert not peer.devices


async def test_the_second_address_of_an_offer_is_tried(peer: LinkPeer) -> None:
    offer = peer.offer()
    two = PairingOffer(offer.port, ("127.0.0.2", "127.0.0.1"), offer.certificate, offer.secret)
    pairing = await pair_by_offer(two, INFO, allow)  # the peer listens on 127.0.0.1 only
    assert pairing.addresses == ("127.0.0.1", "127.0.0.2")  # the one that answered is dialled first from now on


async def test_nobody_at_the_address_is_said_clearly() -> None:
    offer = PairingOffer(9, ("127.0.0.1",), bytes(32), bytes(16))
    with pytest.raises(DaemonUnreachableError, match=r"No daemon answers at https://127\.0\.0\.1:9/"):
        await pair_by_offer(offer, INFO, allow)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"x" * 100_000, b'{"sid": "a", "server_nonce": "short"}'])
async def test_an_answer_that_is_no_answer_is_refused(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with serving([web.post("/v1/pair/start", answer)]) as (port, fingerprint):
        with pytest.raises(MessageError):
            await pair_by_offer(PairingOffer(port, ("127.0.0.1",), fingerprint, bytes(16)), INFO, allow)


async def test_a_paired_companion_links_at_once_and_again_after_a_restart(peer: LinkPeer, tmp_path: Path) -> None:
    observer = Observer()
    async with companion_at(tmp_path / "state", observer) as companion:
        await companion.pair_by_offer(peer.offer(), allow)
        await peer.linked()
    assert [type(event).__name__ for event in observer.events[:2]] == ["Paired", "Linked"]
    async with companion_at(tmp_path / "state"):
        await peer.linked(times=2)
    assert peer.hellos[0].epoch == peer.hellos[1].epoch  # its records wait on disk, so their numbers go on


async def test_the_stored_pairings_are_private_and_their_key_is_never_shown(peer: LinkPeer, tmp_path: Path) -> None:
    async with companion_at(tmp_path / "state") as companion:
        pairing = await companion.pair_by_offer(peer.offer(), allow)
    file = tmp_path / "state" / "pairings.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["pairings"][0]["device_key"] == pairing.device_key
    assert pairing.device_key not in repr(pairing)


def test_a_pairings_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairings.json"
    file.write_text("{}")
    with pytest.raises(SettingsError, match=r"pairings\.json"):
        Pairings(file)


def test_one_pairing_is_kept_per_daemon(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path / "pairings.json")
    old, new = (Pairing(name, "00" * 32, "11" * 32, ("127.0.0.1",), 1, "laptop") for name in ("old", "new"))
    pairings.add(old)
    pairings.add(new)
    pairings.remove(old)  # its place was taken; nothing happens
    assert list(Pairings(tmp_path / "pairings.json")) == [new]
