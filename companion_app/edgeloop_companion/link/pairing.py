"""Pairing, the phone's side: by a scanned offer or by an address and a typed code.

Nothing is kept, and the daemon is believed in nothing, before its proof over the whole exchange verifies.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgeloop_companion.link.device_port import DevicePort, OneConnection, device_port, device_url, read_body
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import (
    CertificateMismatchError,
    DaemonUnreachableError,
    EdgeloopError,
    ImpostorError,
    PairingError,
    VersionMismatchError,
)
from edgeloop_shared.messages import (
    HEX_NONCE,
    ID_PATTERN,
    MAX_UNAUTHENTICATED_BYTES,
    PairFinish,
    PairFinished,
    PairStart,
    PairStarted,
)
from edgeloop_shared.models import NAME_PATTERN, DeviceInfo
from edgeloop_shared.pairing import (
    MAX_ADDRESSES,
    PAIRING_VERSIONS,
    PROOF_HEADER,
    PairingOffer,
    PairingTranscript,
    parse_code,
    session_key,
    stretch,
)
from edgeloop_shared.proofs import NONCE_BYTES, matches

NEARBY_SECONDS = 3.0  # for a connection; behind that an address is tried after all others

AskAllow = Callable[[str], Awaitable[bool]]
"""Asks the device's user whether the named host may run code here; once, while pairing."""


@dataclass(frozen=True)
class Pairing:
    """One daemon that may run code here, and how to know it again. Keys and hashes are hex, as they are stored.

    One that is not on is kept and not dialled. `last_seen` is when there was a link, in seconds since the UNIX epoch.
    """

    device_id: str = field(metadata={"pattern": ID_PATTERN})
    device_key: str = field(repr=False, metadata=HEX_NONCE)
    fingerprint: str = field(metadata=HEX_NONCE)
    addresses: tuple[str, ...] = field(metadata={"min_length": 1, "max_length": MAX_ADDRESSES})
    port: int = field(metadata={"ge": 1, "le": 65535})
    host_name: str = field(metadata={"min_length": 1, "max_length": 64, "pattern": NAME_PATTERN})
    is_on: bool = True
    last_seen: float | None = None

    @property
    def key(self) -> bytes:
        """The 32-byte device key."""
        return bytes.fromhex(self.device_key)

    @property
    def pin(self) -> bytes:
        """The 32-byte fingerprint of the daemon's certificate."""
        return bytes.fromhex(self.fingerprint)


async def pair_by_offer(
    offer: PairingOffer, info: DeviceInfo, ask_allow: AskAllow, *, on_dial: Callable[[str], None] = lambda _: None
) -> Pairing:
    """Pair with the daemon of a scanned QR code, at that of its addresses which answers first; `on_dial` is told each one tried.

    Raises `CertificateMismatchError` before any byte is sent to somebody else, `PairingError` (a subclass says why),
    `VersionMismatchError`, `RateLimitedError`, `DaemonUnreachableError`, `MessageError`.
    """
    failure: EdgeloopError | None = None
    async with contextlib.aclosing(_the_nearest_first(offer.addresses, offer.port)) as addresses:
        async for address in addresses:
            attempt = _Attempt(address, offer.port, info, ask_allow)
            known = (address, *(other for other in offer.addresses if other != address))  # links dial it first as well
            on_dial(address)
            try:
                return await attempt.run("qr", offer.secret, offer.certificate, known)
            except DaemonUnreachableError as error:
                if attempt.started:
                    raise
                failure = failure or error
            except CertificateMismatchError as error:  # a foreign machine may own one of the addresses in this network
                if attempt.started:
                    raise
                failure = error
    raise failure or PairingError("The pairing code names no address.")


async def pair_by_code(host: str, port: int, code: str, info: DeviceInfo, ask_allow: AskAllow) -> Pairing:
    """Pair with the daemon at `host:port` by the code that its screen shows, as a person typed it.

    The certificate met is bound into the proofs: somebody in between fails as a wrong code does, with `BadProofError`, or
    with `ImpostorError`, which is one.
    Raises what `pair_by_offer` raises, and `InvalidInputError` for what is no code.
    """
    secret = parse_code(code).encode()
    return await _Attempt(host, port, info, ask_allow).run("code", secret, None, (host,))


async def _the_nearest_first(addresses: Sequence[str], port: int) -> AsyncGenerator[str]:
    """Yield the addresses at which something takes a connection, as they do, and behind them the others.

    Nothing is sent over these connections. An address that nothing answers at, of a virtual network say, holds nobody up.
    """
    if len(addresses) == 1:
        yield addresses[0]
        return
    knocking = {address: asyncio.create_task(_takes_a_connection(address, port)) for address in addresses}
    try:
        for done in asyncio.as_completed(knocking.values()):
            if (address := await done) is not None:
                yield address
        for address, task in knocking.items():
            if task.result() is None:
                yield address
    finally:
        for task in knocking.values():
            task.cancel()


async def _takes_a_connection(address: str, port: int) -> str | None:
    try:
        async with asyncio.timeout(NEARBY_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:  # TimeoutError is one
        return None
    writer.transport.abort()
    return address


class _Attempt:
    """One attempt on one TLS connection."""

    def __init__(self, address: str, port: int, info: DeviceInfo, ask_allow: AskAllow) -> None:
        self._address, self._port = address, port
        self._info = info
        self._ask_allow = ask_allow
        self.started = False

    async def run(
        self, method: Literal["qr", "code"], secret: bytes, pin: bytes | None, addresses: tuple[str, ...]
    ) -> Pairing:
        trust = OneConnection(pin)
        transcript = PairingTranscript()
        async with device_port(trust) as port:
            body = encode_json(PairStart(PAIRING_VERSIONS))
            answer, _ = await self._post(port, "start", body)
            self.started = True
            transcript.add(body)
            transcript.add(answer)
            started = decode_json(PairStarted, answer, max_bytes=MAX_UNAUTHENTICATED_BYTES)
            await self._check(started)

            certificate = trust.met or b""
            client_nonce = secrets.token_bytes(NONCE_BYTES)
            stretched = await asyncio.to_thread(stretch, secret, certificate)
            key = session_key(stretched, bytes.fromhex(started.server_nonce), client_nonce)
            body = encode_json(PairFinish(started.sid, client_nonce.hex(), method, self._info))
            transcript.add(body)
            answer, proof = await self._post(port, "finish", body, {PROOF_HEADER: transcript.device_proof(key).hex()})
            transcript.add(answer)
        if not matches(proof.encode(), transcript.daemon_proof(key).hex().encode()):
            raise ImpostorError(
                "Who answered does not know the pairing code: somebody stands between this device and the computer.",
                hint="Nothing was stored. Pair again in a network that you trust.",
            )
        finished = decode_json(PairFinished, answer, max_bytes=MAX_UNAUTHENTICATED_BYTES)
        return Pairing(
            finished.device_id, finished.device_key, certificate.hex(), addresses, self._port, started.host_name
        )

    async def _post(
        self, port: DevicePort, step: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return the answer's body and its proof."""
        url = device_url(self._address, self._port, f"/v1/pair/{step}")
        headers = {"Content-Type": "application/json", **(headers or {})}
        async with port.request("POST", url, headers=headers, body=body) as response:
            return await read_body(response, MAX_UNAUTHENTICATED_BYTES), response.headers.get(PROOF_HEADER, "")

    async def _check(self, started: PairStarted) -> None:
        if started.version not in PAIRING_VERSIONS:
            raise VersionMismatchError(
                f"The daemon chose version {started.version} of pairing, which this app did not offer.",
                hint="Update the older of the two.",
                details={"ours": list(PAIRING_VERSIONS), "theirs": [started.version]},
            )
        if not await self._ask_allow(started.host_name):
            raise PairingError(
                f"{started.host_name} was not allowed to run code here.",
                hint="Pair again and allow it, if this is your computer; without a screen start with --allow.",
            )
