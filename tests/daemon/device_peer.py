"""A device for tests: it speaks to the real device port over real TLS, and does exactly what a test asks of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import aiohttp
import pytest

from edgeloop_shared.codec import decode_json, encode_json, parse_json
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import BadProofError, EdgeloopError, error_from_dict
from edgeloop_shared.messages import (
    Acknowledge,
    CommandResult,
    Hello,
    Message,
    PairFinish,
    PairFinished,
    PairStart,
    PairStarted,
    RunTask,
    Welcome,
    decode_message,
    encode_message,
)
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import (
    PROOF_HEADER,
    PairingTranscript,
    parse_offer,
    session_key,
    stretch,
)
from edgeloop_shared.proofs import daemon_link_proof, device_link_proof, fingerprint, matches
from edgeloop_shared.records import Record, pack_record, split
from edgeloop_shared.run_events import Event, encode_event

M = TypeVar("M", bound=Message)
SECONDS = 30.0


def device_info(name: str = "phone") -> DeviceInfo:
    return DeviceInfo(name, "test", "Linux", "x86-64", 2, 1024**3, "1", "3.11")


class RefusedError(Exception):
    """The daemon refused a request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status} {body[:300]!r}")
        self.status = status
        self.headers = headers
        try:
            self.error: EdgeloopError = error_from_dict(parse_json(body, max_bytes=65536))
        except EdgeloopError:
            self.error = EdgeloopError(repr(body[:100]))


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Met(aiohttp.Fingerprint):
    """Lets every certificate through and remembers its fingerprint."""

    def __init__(self) -> None:
        super().__init__(bytes(32))
        self.met = b""

    def check(self, transport: asyncio.Transport) -> None:
        self.met = fingerprint(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))


@dataclass
class Caller:
    """One TLS connection to a device port."""

    session: aiohttp.ClientSession
    base: str
    trust: Met
    context: ssl.SSLContext = field(default_factory=tls)  # one: another context would be another connection

    @property
    def certificate(self) -> bytes:
        return self.trust.met

    async def ask(self, method: str, path: str, **options: Any) -> tuple[bytes, dict[str, str], int]:
        async with self.session.request(method, self.base + path, ssl=self.context, **options) as response:
            body = await response.read()
            if response.status >= 400:
                raise RefusedError(response.status, dict(response.headers), body)
            return body, dict(response.headers), response.status


@contextlib.asynccontextmanager
async def call(port: int, *, source: str | None = None) -> AsyncIterator[Caller]:
    trust = Met()
    connector = aiohttp.TCPConnector(limit=1, ssl=trust, local_addr=(source, 0) if source else None)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        yield Caller(session, f"https://127.0.0.1:{port}", trust)


@dataclass(frozen=True)
class Identity:
    """What a device keeps of a pairing."""

    id: str
    key: bytes
    certificate: bytes
    port: int
    name: str = "phone"


@dataclass
class PairingTry:
    """A pairing attempt, step by step."""

    caller: Caller
    transcript: PairingTranscript = field(default_factory=PairingTranscript)
    started: PairStarted | None = None

    async def start(self, versions: tuple[int, ...] = (1,)) -> PairStarted:
        body = encode_json(PairStart(versions))
        answer, _, _ = await self.caller.ask("POST", "/v1/pair/start", data=body)
        self.transcript.add(body)
        self.transcript.add(answer)
        self.started = decode_json(PairStarted, answer, max_bytes=4096)
        return self.started

    async def finish(self, method: Literal["qr", "code"], secret: bytes, *, name: str = "phone") -> Identity:
        assert self.started is not None
        nonce = secrets.token_bytes(32)
        stretched = await asyncio.to_thread(stretch, secret, self.caller.certificate)
        key = session_key(stretched, bytes.fromhex(self.started.server_nonce), nonce)
        body = encode_json(PairFinish(self.started.sid, nonce.hex(), method, device_info(name)))
        self.transcript.add(body)
        headers = {PROOF_HEADER: self.transcript.device_proof(key).hex()}
        answer, answered, _ = await self.caller.ask("POST", "/v1/pair/finish", data=body, headers=headers)
        self.transcript.add(answer)
        if not matches(bytes.fromhex(answered[PROOF_HEADER]), self.transcript.daemon_proof(key)):
            raise BadProofError("the daemon's proof is wrong")
        finished = decode_json(PairFinished, answer, max_bytes=4096)
        port = int(self.caller.base.rpartition(":")[2])
        return Identity(finished.device_id, bytes.fromhex(finished.device_key), self.caller.certificate, port, name)


async def pair(offer: str, *, name: str = "phone", source: str | None = None) -> Identity:
    """Pair by a QR code's text."""
    parsed = parse_offer(offer)
    async with call(parsed.port, source=source) as caller:
        attempt = PairingTry(caller)
        await attempt.start()
        assert caller.certificate == parsed.certificate
        return await attempt.finish("qr", parsed.secret, name=name)


async def pair_by_code(port: int, code: str, *, name: str = "phone") -> Identity:
    async with call(port) as caller:
        attempt = PairingTry(caller)
        await attempt.start()
        return await attempt.finish("code", code.encode(), name=name)


async def challenge(caller: Caller) -> bytes:
    """Return the nonce of a link's first request, which must be refused."""
    with pytest.raises(RefusedError) as refused:
        await caller.ask("GET", "/v1/link")
    scheme, _, value = refused.value.headers["WWW-Authenticate"].partition(" nonce=")
    assert (refused.value.status, scheme) == (401, "Edgeloop")
    return bytes.fromhex(value)


def link_headers(identity: Identity, server_nonce: bytes, nonce: bytes, versions: str = "1") -> dict[str, str]:
    proof = device_link_proof(identity.key, identity.certificate, server_nonce, nonce, identity.id, versions)
    return {
        "Authorization": f"Edgeloop {identity.id}.{nonce.hex()}.{proof.hex()}",
        "Edgeloop-Versions": versions,
    }


@dataclass
class Link:
    """A live link."""

    socket: aiohttp.ClientWebSocketResponse
    identity: Identity
    bearer: str
    epoch: str
    last: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)

    async def receive(self, kind: type[M]) -> M:
        """Return the next message of a kind; acknowledgements on the way are noted."""
        while True:
            frame = await self.socket.receive(SECONDS)
            assert frame.type is aiohttp.WSMsgType.TEXT, f"the link ended with {self.socket.close_code}: {frame}"
            message = decode_message(frame.data)
            if isinstance(message, Acknowledge):
                self.positions.update(message.positions)
            if isinstance(message, kind):
                return message
            assert isinstance(message, Acknowledge), message

    async def acknowledged(self, stream: str, sequence: int) -> None:
        while self.positions.get(stream, 0) < sequence:
            await self.receive(Acknowledge)

    async def accept(self) -> RunTask:
        """Take the next run and say so."""
        task = await self.receive(RunTask)
        await self.socket.send_str(encode_message(CommandResult(task.command_id)))
        return task

    async def send(self, stream: str, payload: bytes, *, sequence: int | None = None) -> int:
        """Send a payload as the next records of a stream, or as the one record `sequence`."""
        if sequence is not None:
            await self.socket.send_bytes(pack_record(Record(stream, sequence, payload)))
            return sequence
        for part, continued in split(payload):
            self.last[stream] = self.last.get(stream, 0) + 1
            await self.socket.send_bytes(pack_record(Record(stream, self.last[stream], part, continued)))
        return self.last[stream]

    async def report(self, run_id: str, event: Event) -> int:
        return await self.send(f"{run_id}.events", encode_event(event))

    async def closed(self) -> int | None:
        """Wait for the end of the link and return its close code."""
        while True:
            frame = await self.socket.receive(SECONDS)
            if frame.type is aiohttp.WSMsgType.CLOSE:
                return int(frame.data)
            if frame.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return self.socket.close_code

    def cut(self) -> None:
        """Lose the connection, without a goodbye."""
        transport = self.socket._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()

    async def ask(self, method: str, sha256: str, **options: Any) -> tuple[bytes, dict[str, str], int]:
        """Ask for a blob, on a connection of its own."""
        headers = {"Authorization": f"Bearer {self.bearer}", **options.pop("headers", {})}
        async with call(self.identity.port) as caller:
            return await caller.ask(method, f"/v1/blob/{sha256}", headers=headers, **options)

    async def upload(self, content: bytes, *, start: int = 0, end: int | None = None, sha256: str | None = None) -> int:
        """Upload a part of `content` and return the status."""
        end = len(content) if end is None else end
        span = f"bytes {start}-{end - 1}/{len(content)}" if content else "bytes */0"
        headers = {"Content-Range": span}
        name = sha256 or hashlib.sha256(content).hexdigest()
        _, _, status = await self.ask("PUT", name, data=io.BytesIO(content[start:end]), headers=headers)
        return status


@contextlib.asynccontextmanager
async def link(
    identity: Identity,
    *,
    epoch: str = "epoch1",
    streams: tuple[str, ...] = (),
    runs: tuple[str, ...] = (),
    channels: Mapping[str, int] | None = None,
    last: dict[str, int] | None = None,
    state: DeviceState | None = None,
    autoping: bool = True,
) -> AsyncIterator[Link]:
    """Link a paired device; the daemon has proved who it is and knows the device's streams when this yields."""
    async with call(identity.port) as caller:
        server_nonce, nonce = await challenge(caller), secrets.token_bytes(32)
        socket = await caller.session.ws_connect(
            f"{caller.base}/v1/link",
            headers=link_headers(identity, server_nonce, nonce),
            ssl=caller.context,
            compress=0,
            autoping=autoping,
        )
        async with socket:
            welcome = decode_message(await socket.receive_str(timeout=SECONDS))
            assert isinstance(welcome, Welcome)
            expected = daemon_link_proof(
                *(identity.key, identity.certificate, server_nonce, nonce, identity.id, "1", welcome.version)
            )
            if not matches(bytes.fromhex(welcome.proof), expected):
                raise BadProofError("the daemon's proof is wrong")
            peer = Link(socket, identity, welcome.bearer, epoch, dict(last or {}))
            hello = Hello(epoch, device_info(identity.name), streams, runs, channels, state=state)
            await socket.send_str(encode_message(hello))
            await peer.receive(Acknowledge)
            yield peer
