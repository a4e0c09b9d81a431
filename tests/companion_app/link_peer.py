"""A daemon's device port for the companion's tests: a real TLS server that speaks pairing, link and blobs.

It is written from the protocol alone and shares no code with the daemon. Its knobs make it misbehave on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from aiohttp import WSMsgType, web

from edgeloop_shared.bundles import BundleFile, BundleManifest
from edgeloop_shared.channels import ChannelEnd, pack_channel_frame, read_ending, unpack_channel_frame
from edgeloop_shared.clocks import ClockProbe, ClockReading
from edgeloop_shared.codec import encode_json
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import (
    BadProofError,
    EdgeloopError,
    NotPairedError,
    VersionMismatchError,
)
from edgeloop_shared.messages import (
    VERSIONS_HEADER,
    Acknowledge,
    CancelTask,
    CommandResult,
    Hello,
    Message,
    OpenChannel,
    ResumeChannels,
    RunTask,
    Unpair,
    Welcome,
    decode_message,
    encode_message,
)
from edgeloop_shared.models import DeviceInfo
from edgeloop_shared.pairing import PairingOffer
from edgeloop_shared.proofs import daemon_link_proof, device_link_proof, matches
from edgeloop_shared.records import Record, unpack_record
from edgeloop_shared.run_events import FileAnnounced

from .peer_behaviour import Behaviour
from .peer_blobs import PeerBlobs
from .peer_pairing import PeerPairing
from .received_run import Run
from .tls_server import Handler, guarded, serving


class LinkPeer:
    """The daemon's side. `changed` is notified whenever anything arrives."""

    def __init__(self, *, host_name: str = "test-host") -> None:
        self.host_name = host_name
        self.port = 0
        self.fingerprint = b""
        self.behaviour = Behaviour()
        self.devices: dict[str, bytes] = {}
        self.pairing = PeerPairing(host_name, self.behaviour, self.register)
        self.hellos: list[Hello] = []
        self.results: list[CommandResult] = []
        self.states: list[DeviceState] = []
        self.runs: dict[str, Run] = {}
        self.blobs = PeerBlobs(self.behaviour, announced=self._announced, on_arrival=self._notify, cut_link=self.cut)
        self.channels: dict[str, ChannelEnd] = {}
        self.came: dict[str, bytearray] = {}
        self.payloads: list[bytes] = []
        self.duplicates = 0
        self.faults: list[str] = []
        self.unpaired: list[str] = []
        self.heartbeats: list[WSMsgType] = []  # pings and pongs that came
        self.close_codes: list[int | None] = []
        self._nonces: dict[int, bytes] = {}
        self._bearer = ""
        self._arrived = 0
        self._socket: web.WebSocketResponse | None = None
        self._request: web.Request | None = None
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[LinkPeer]:
        routes = [
            web.post("/v1/pair/start", guarded(self.pairing.start)),
            web.post("/v1/pair/finish", guarded(self.pairing.finish)),
            web.get("/v1/link", guarded(self._link)),
            web.get("/v1/blob/{sha256}", guarded(self._with_bearer(self.blobs.get)), allow_head=False),
            web.head("/v1/blob/{sha256}", guarded(self._with_bearer(self.blobs.head))),
            web.put("/v1/blob/{sha256}", guarded(self._with_bearer(self.blobs.put))),
        ]
        async with serving(routes, port) as (self.port, self.fingerprint):
            self.pairing.fingerprint = self.fingerprint
            yield self
            await self.cut()

    # What tests do with it

    @property
    def window(self) -> bytes | None:
        """The secret of the open pairing window."""
        return self.pairing.window

    @window.setter
    def window(self, secret: bytes | None) -> None:
        self.pairing.window = secret

    @property
    def infos(self) -> Mapping[str, DeviceInfo]:
        """What paired devices said of themselves, by id."""
        return self.pairing.infos

    def offer(self) -> PairingOffer:
        """Open a pairing window for a QR code."""
        self.window = secrets.token_bytes(16)
        return PairingOffer(self.port, ("127.0.0.1",), self.fingerprint, self.window)

    def register(self) -> tuple[str, bytes]:
        """Know a device without pairing; return its id and key."""
        device_id, key = secrets.token_hex(8), secrets.token_bytes(32)
        self.devices[device_id] = key
        return device_id, key

    async def until(self, holds: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something that arrives makes `holds` true."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(holds)

    async def linked(self, times: int = 1) -> None:
        """Wait for the n-th introduction."""
        await self.until(lambda: len(self.hellos) >= times and self._socket is not None)

    async def send(self, message: Message) -> None:
        assert self._socket is not None
        await self._socket.send_str(encode_message(message))

    async def send_raw(self, frame: str | bytes) -> None:
        assert self._socket is not None
        await (self._socket.send_str(frame) if isinstance(frame, str) else self._socket.send_bytes(frame))

    async def acknowledge(self) -> None:
        """Acknowledge everything stored."""
        await self.send(Acknowledge(self._positions()))

    async def cut(self) -> None:
        """Lose the connection without a goodbye."""
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()

    async def ping(self) -> None:
        """Ask the companion for a sign of life, and wait for it."""
        assert self._socket is not None
        before = self.heartbeats.count(WSMsgType.PONG)
        await self._socket.ping()
        await self.until(lambda: self.heartbeats.count(WSMsgType.PONG) > before)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Read nothing on the connection of this link, as if the network had swallowed it."""
        assert self._request is not None
        transport = self._request.transport
        assert transport is not None
        transport.pause_reading()
        try:
            yield
        finally:
            transport.abort()

    async def close_link(self, code: int) -> None:
        assert self._socket is not None
        await self._socket.close(code=code)

    def command(
        self, files: Mapping[str, bytes | str], *arguments: str, script: str = "task.py", trace: bool = False
    ) -> RunTask:
        """Return the command that runs `files`, whose blobs and manifest can be fetched from now on."""
        entries = []
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entries.append(BundleFile(path, self.blobs.add(data), len(data)))
        return self.command_for(encode_json(BundleManifest(tuple(entries))), *arguments, script=script, trace=trace)

    def command_for(self, manifest: bytes, *arguments: str, script: str = "task.py", trace: bool = False) -> RunTask:
        run_id = secrets.token_hex(8)
        self.runs[run_id] = Run()
        return RunTask(
            secrets.token_hex(8), run_id, "workspace", self.blobs.add(manifest), len(manifest), script, arguments, trace
        )

    async def start(self, files: Mapping[str, bytes | str], *arguments: str, trace: bool = False) -> Run:
        """Send a run and return it; its records arrive later."""
        command = self.command(files, *arguments, trace=trace)
        await self.send(command)
        return self.runs[command.run_id]

    async def run(self, files: Mapping[str, bytes | str], *arguments: str, trace: bool = False) -> Run:
        """Send a run and wait until all of it has arrived."""
        run = await self.start(files, *arguments, trace=trace)
        await self.until(lambda: run.is_complete)
        return run

    def run_id(self, run: Run) -> str:
        return next(run_id for run_id, known in self.runs.items() if known is run)

    async def cancel(self, run: Run) -> None:
        await self.send(CancelTask(secrets.token_hex(8), self.run_id(run)))

    # Channels

    async def open_channel(self, run: Run, purpose: str = "debugger", lost_seconds: float | None = None) -> str:
        """Open a channel and return its name; its end here is in `channels`, what came of it in `came`."""
        name = secrets.token_hex(8)
        self.channels[name], self.came[name] = ChannelEnd(name), bytearray()
        self.channels[name].resume(0)
        await self.send(OpenChannel(name, self.run_id(run), purpose, lost_seconds))
        return name

    async def say(self, name: str, data: bytes = b"") -> None:
        """Send bytes on a channel, and what else there is to send of it; without a link they wait."""
        channel = self.channels[name]
        if data:
            channel.send(data)
        while self._socket is not None and (frame := channel.next_frame()) is not None:
            await self._socket.send_bytes(pack_channel_frame(frame))

    async def end_channel(self, name: str) -> None:
        """End a channel from here and wait until the device knows."""
        self.channels[name].end()
        await self.say(name)
        await self.until(lambda: self.channels[name].is_over)

    async def heard(self, name: str, until: bytes) -> bytes:
        """Wait for the bytes `until` on a channel; return and remove all up to them."""
        await self.until(lambda: until in self.came[name] or self.channels[name].ending_there is not None)
        heard, found, rest = bytes(self.came[name]).partition(until)
        assert found, (heard, self.channels[name].ending_there)
        self.came[name] = bytearray(rest)
        self.channels[name].taken(len(heard) + len(found))
        await self.say(name)
        return heard + found

    async def ended(self, name: str) -> EdgeloopError | None:
        """Wait for the end of a channel and return why it came."""
        await self.until(lambda: self.channels[name].ending_there is not None)
        return read_ending(self.channels[name].ending_there or b"")

    def _take_channel_frame(self, data: bytes) -> None:
        frame = unpack_channel_frame(data)
        self.payloads.append(frame.payload)
        self.came[frame.channel] += self.channels[frame.channel].take(frame)

    async def _resume_channels(self, there: Mapping[str, int]) -> None:
        known = {name: self.channels[name].received for name in there if name in self.channels}
        await self.send(ResumeChannels(known))
        for name in known:
            self.channels[name].resume(there[name])
            await self.say(name)

    # Link

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if self.behaviour.refuse_links:
            return web.Response(status=503)
        credentials = request.headers.get("Authorization")
        connection = id(request.transport)
        if credentials is None:
            nonce = self._nonces[connection] = secrets.token_bytes(32)
            return web.Response(status=401, headers={"WWW-Authenticate": f"Edgeloop nonce={nonce.hex()}"})
        device_id, client_nonce, proof = credentials.removeprefix("Edgeloop ").split(".")
        key = self.devices.get(device_id)
        if key is None:
            raise NotPairedError("This device is not paired.")
        nonce = self._nonces.pop(connection)
        versions = request.headers[VERSIONS_HEADER]
        arguments = (key, self.fingerprint, nonce, bytes.fromhex(client_nonce), device_id, versions)
        if not matches(bytes.fromhex(proof), device_link_proof(*arguments)):
            raise BadProofError("The link's proof is wrong.")
        if not set(self.behaviour.link_versions) & {int(version) for version in versions.split(",")}:
            details = {"ours": list(self.behaviour.link_versions), "theirs": versions}
            raise VersionMismatchError("No version in common.", details=details)
        socket = web.WebSocketResponse(compress=False, max_msg_size=256 * 1024, autoping=False)
        await socket.prepare(request)
        welcome_proof = daemon_link_proof(*arguments, 1)
        if self.behaviour.wrong_welcome_proof:
            welcome_proof = bytes(32)
        self._bearer = secrets.token_hex(16)
        welcome = Welcome(1, welcome_proof.hex(), self._bearer, self.host_name)
        if self.behaviour.changed_welcome is not None:
            welcome = self.behaviour.changed_welcome(welcome, proof)
        await socket.send_str(encode_message(welcome))
        await self._serve_link(socket, request)
        self.close_codes.append(socket.close_code)
        await self._notify()
        return socket

    async def _serve_link(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        try:
            async for frame in socket:
                if frame.type in (WSMsgType.PING, WSMsgType.PONG):
                    self.heartbeats.append(frame.type)
                    await self._notify()
                    if frame.type is WSMsgType.PING:
                        await socket.pong(frame.data)
                    continue
                if frame.type is WSMsgType.BINARY and frame.data[:1] == b"\2":
                    self._take_channel_frame(frame.data)
                elif frame.type is WSMsgType.BINARY:
                    await self._store(unpack_record(frame.data), socket, request)
                if frame.type is WSMsgType.BINARY:
                    await self._notify()
                    continue
                message = decode_message(frame.data)
                if isinstance(message, Hello):
                    positions = {name: self._position(name) for name in message.streams}
                    await socket.send_str(encode_message(Acknowledge(positions)))
                    self._socket, self._request = socket, request
                    if message.channels:
                        await self._resume_channels(message.channels)
                    self.hellos.append(message)
                elif isinstance(message, CommandResult):
                    self.results.append(message)
                elif isinstance(message, Unpair):
                    self.unpaired.append(message.device_id)
                    if self.behaviour.hears_unpair:
                        del self.devices[message.device_id]
                        await socket.close(code=4001)
                elif isinstance(message, DeviceState):
                    self.states.append(message)
                elif isinstance(message, ClockProbe) and self.behaviour.clock_ahead_ns is not None:
                    host_ns = time.time_ns() + self.behaviour.clock_ahead_ns
                    await socket.send_str(encode_message(ClockReading(message.sent_ns, host_ns)))
                await self._notify()
        except ConnectionResetError:
            pass
        finally:
            for channel in self.channels.values():
                channel.unlinked()
            if self._socket is socket:
                self._socket = self._request = None
                self._bearer = ""

    async def _store(self, record: Record, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._arrived += 1
        if self._arrived == self.behaviour.cut_at_record:
            assert request.transport is not None
            request.transport.abort()  # this record is lost, and those before it were never acknowledged
            raise ConnectionResetError
        kind = record.stream.partition(".")[2]
        records = self.runs.setdefault(record.run_id, Run()).records.setdefault(kind, [])
        if record.sequence <= len(records):
            self.duplicates += 1
        elif record.sequence > len(records) + 1:
            self.faults.append(f"gap before {record.sequence} of {record.stream}")
            await socket.close(code=1002)
        else:
            records.append(record)
            if self.behaviour.acknowledge:
                with contextlib.suppress(ConnectionResetError):
                    await socket.send_str(encode_message(Acknowledge({record.stream: record.sequence})))
        await self._notify()

    def _position(self, stream: str) -> int:
        run_id, _, kind = stream.partition(".")
        run = self.runs.get(run_id)
        return run.last(kind) if run else 0

    def _positions(self) -> dict[str, int]:
        return {f"{run_id}.{kind}": run.last(kind) for run_id, run in self.runs.items() for kind in run.records}

    def _announced(self) -> list[str]:
        return [
            event.sha256 for run in self.runs.values() for event in run.events() if isinstance(event, FileAnnounced)
        ]

    def _with_bearer(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if not self._bearer or request.headers.get("Authorization") != f"Bearer {self._bearer}":
                raise web.HTTPUnauthorized
            return await handler(request)

        return checked

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
