"""Pairing over the real device port: by QR code and by typed code, and everybody who must not get in."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from daemon.device_daemon import DeviceDaemon, ManualClock, device_daemon
from daemon.device_peer import (
    Identity,
    PairingTry,
    RefusedError,
    call,
    link,
    pair,
    pair_by_code,
)

from edgeloop_daemon.devices.certificate import load_or_create_certificate
from edgeloop_daemon.devices.pairing_window import WindowState
from edgeloop_shared.errors import (
    BadProofError,
    MessageError,
    NoPairingWindowError,
    RateLimitedError,
    VersionMismatchError,
)
from edgeloop_shared.pairing import parse_offer

WRONG = "000000000000"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def daemon(tmp_path: Path, clock: ManualClock) -> AsyncIterator[DeviceDaemon]:
    async with device_daemon(tmp_path, clock=clock) as running:
        yield running


async def test_a_scanned_code_pairs_a_device_that_can_link(daemon: DeviceDaemon) -> None:
    identity = await daemon.pair("pocket")
    (device,) = daemon.devices.list()
    assert (device.id, device.info.name, device.is_linked) == (identity.id, "pocket", False)
    async with link(identity):
        (device,) = daemon.devices.list()
        assert (device.is_linked, device.address) == (True, "127.0.0.1")


async def test_a_typed_code_pairs_a_device_that_can_link(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    identity = await pair_by_code(window.port, window.code)
    assert daemon.pairing.current().device_id == identity.id
    async with link(identity):
        assert daemon.devices.get(identity.id).is_linked


async def test_the_offer_names_the_port_the_address_and_the_certificate(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    offer = parse_offer(window.offer)
    async with call(offer.port) as caller:
        await PairingTry(caller).start()
        assert (offer.certificate, offer.addresses) == (caller.certificate, ("127.0.0.1",))


async def test_the_phone_is_told_the_name_of_this_computer(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        started = await PairingTry(caller).start()
        assert (started.host_name, started.version) == ("host", 1)


async def test_a_code_that_was_used_is_refused(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    await pair(window.offer)
    for second in (pair(window.offer), pair_by_code(window.port, window.code)):
        with pytest.raises(RefusedError) as refused:
            await second
        assert (refused.value.status, type(refused.value.error)) == (403, NoPairingWindowError)
    assert len(daemon.devices.list()) == 1


async def test_an_expired_code_is_refused(daemon: DeviceDaemon, clock: ManualClock) -> None:
    await daemon.pair()  # keeps the port open
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        attempt = PairingTry(caller)
        await attempt.start()
        clock.now += 120.0
        with pytest.raises(RefusedError) as refused:
            await attempt.finish("code", window.code.encode())
        assert isinstance(refused.value.error, NoPairingWindowError)
    with pytest.raises(RefusedError) as refused:
        await pair(window.offer)
    assert isinstance(refused.value.error, NoPairingWindowError)
    assert daemon.pairing.current().state is WindowState.EXPIRED


async def test_a_window_whose_time_is_over_wakes_its_owner_and_closes_the_port(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        await daemon.pairing.open(0.05)
        assert (await daemon.pairing.wait(5.0)).state is WindowState.EXPIRED
        assert daemon.listener.port is None


async def test_five_wrong_codes_close_the_window_and_each_is_shown(daemon: DeviceDaemon) -> None:
    await daemon.pair()
    window = await daemon.pairing.open()
    for tries in range(1, 6):
        waiting = asyncio.create_task(daemon.pairing.wait(5.0))
        with pytest.raises(RefusedError) as refused:
            await pair_by_code(window.port, WRONG)
        assert (refused.value.status, type(refused.value.error)) == (403, BadProofError)
        assert (await waiting).wrong_tries == tries
    assert daemon.pairing.current().state is WindowState.GUESSED
    with pytest.raises(RefusedError) as refused:
        await pair_by_code(window.port, window.code)
    assert isinstance(refused.value.error, NoPairingWindowError)


async def test_a_wrong_proof_that_is_not_even_hex_costs_a_try(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        started = await PairingTry(caller).start()
        body = (
            f'{{"sid":"{started.sid}","client_nonce":"{"0" * 64}","method":"code","info":'
            '{"name":"x","platform":"","system":"","processor":"","cores":1,"memory_bytes":0,'
            '"app_version":"","python_version":""}}'
        )
        with pytest.raises(RefusedError) as refused:
            await caller.ask("POST", "/v1/pair/finish", data=body.encode(), headers={"Edgeloop-Proof": "zz"})
        assert isinstance(refused.value.error, BadProofError)
    assert daemon.pairing.current().wrong_tries == 1


async def test_of_phones_that_race_for_one_code_exactly_one_wins(daemon: DeviceDaemon) -> None:
    await daemon.pair()
    window = await daemon.pairing.open()
    # Only Linux has all of 127.0.0.0/8; elsewhere two phones come from the one address.
    sources = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"] if sys.platform == "linux" else ["127.0.0.1"] * 2

    async def race(source: str) -> Identity:
        async with call(window.port, source=source) as caller:
            attempt = PairingTry(caller)
            await attempt.start()
            return await attempt.finish("code", window.code.encode())

    results = await asyncio.gather(*(race(source) for source in sources), return_exceptions=True)
    winners = [result for result in results if isinstance(result, Identity)]
    losers = [result for result in results if isinstance(result, RefusedError)]
    assert (len(winners), len(losers)) == (1, len(sources) - 1)
    assert all(isinstance(loser.error, NoPairingWindowError) for loser in losers)
    assert len(daemon.devices.list()) == 2


async def test_a_third_attempt_of_one_address_has_to_wait_until_one_has_gone(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as first, call(window.port) as second, call(window.port) as third:
        await PairingTry(first).start()
        await PairingTry(second).start()
        with pytest.raises(RefusedError) as refused:
            await PairingTry(third).start()
        assert (refused.value.status, type(refused.value.error)) == (429, RateLimitedError)
        await PairingTry(second).start()  # takes the place of the connection's earlier attempt


async def test_a_sid_is_worthless_on_another_connection(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as honest, call(window.port) as thief:
        attempt, stolen = PairingTry(honest), PairingTry(thief)
        await stolen.start()
        await attempt.start()
        stolen.started, stolen.transcript = attempt.started, attempt.transcript
        with pytest.raises(RefusedError) as refused:
            await stolen.finish("code", window.code.encode())
        assert isinstance(refused.value.error, BadProofError)
    assert len(daemon.devices.list()) == 0


async def test_a_replayed_finish_is_refused(daemon: DeviceDaemon) -> None:
    await daemon.pair()
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        attempt = PairingTry(caller)
        await attempt.start()
        with pytest.raises(RefusedError):
            await attempt.finish("code", WRONG.encode())
        with pytest.raises(RefusedError) as refused:
            await attempt.finish("code", window.code.encode())
        assert isinstance(refused.value.error, NoPairingWindowError)
    assert len(daemon.devices.list()) == 1


class Relay:
    """Somebody in between with a certificate of their own: decrypts, looks, and passes everything on."""

    def __init__(self, folder: Path, target: int) -> None:
        self._files = folder / "relay.crt", folder / "relay.key"
        self._target = target
        self.heard = b""

    async def __aenter__(self) -> int:
        context = (await asyncio.to_thread(load_or_create_certificate, *self._files)).context
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        there, back = await asyncio.open_connection("127.0.0.1", self._target, ssl=context)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_somebody_in_between_fails_with_a_typed_code(daemon: DeviceDaemon, tmp_path: Path) -> None:
    window = await daemon.pairing.open()
    relay = Relay(tmp_path, window.port)
    async with relay as port:
        with pytest.raises(RefusedError) as refused:
            await pair_by_code(port, window.code)
    assert isinstance(refused.value.error, BadProofError)
    assert b"/v1/pair/finish" in relay.heard
    assert len(daemon.devices.list()) == 0
    assert daemon.pairing.current().wrong_tries == 1


async def test_the_certificate_in_the_offer_is_not_the_one_of_somebody_in_between(
    daemon: DeviceDaemon, tmp_path: Path
) -> None:
    window = await daemon.pairing.open()
    offer = parse_offer(window.offer)
    async with Relay(tmp_path, window.port) as port, call(port) as caller:
        await PairingTry(caller).start()
        assert caller.certificate != offer.certificate


async def test_versions_without_one_in_common_are_explained(daemon: DeviceDaemon) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        with pytest.raises(RefusedError) as refused:
            await PairingTry(caller).start((7, 9))
    assert (refused.value.status, type(refused.value.error)) == (426, VersionMismatchError)
    assert refused.value.error.details == {"ours": [1], "theirs": [7, 9]}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"versions":[1],"more":1}', b'{"versions":["1"]}', b"\xff"])
async def test_a_message_that_does_not_fit_is_refused(daemon: DeviceDaemon, body: bytes) -> None:
    window = await daemon.pairing.open()
    async with call(window.port) as caller:
        with pytest.raises(RefusedError) as refused:
            await caller.ask("POST", "/v1/pair/start", data=body)
    assert (refused.value.status, type(refused.value.error)) == (400, MessageError)


async def test_the_port_is_open_only_while_somebody_may_come(daemon: DeviceDaemon) -> None:
    def port() -> int | None:
        return daemon.listener.port

    assert port() is None
    window = await daemon.pairing.open()
    assert port() == window.port
    await daemon.pairing.close()
    assert port() is None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", window.port)
    identity = await daemon.pair()
    assert port() == identity.port == window.port
    await daemon.devices.revoke(identity.id)
    assert port() is None


async def test_port_and_devices_survive_a_restart_of_the_daemon(tmp_path: Path) -> None:
    async with device_daemon(tmp_path) as daemon:
        identity = await daemon.pair()
    async with device_daemon(tmp_path) as daemon:
        assert daemon.listener.port == identity.port
        async with link(identity):
            assert daemon.devices.get(identity.id).is_linked


async def test_a_new_window_takes_the_place_of_the_earlier_one(daemon: DeviceDaemon) -> None:
    earlier = await daemon.pairing.open()
    later = await daemon.pairing.open()
    with pytest.raises(RefusedError) as refused:
        await pair_by_code(later.port, earlier.code)
    assert isinstance(refused.value.error, BadProofError)
    assert await pair_by_code(later.port, later.code)


def test_the_certificate_is_private_and_made_once(tmp_path: Path) -> None:
    paths = tmp_path / "c.crt", tmp_path / "c.key"
    first, second = load_or_create_certificate(*paths), load_or_create_certificate(*paths)
    assert first.fingerprint == second.fingerprint
    assert paths[1].stat().st_mode & 0o777 == 0o600
