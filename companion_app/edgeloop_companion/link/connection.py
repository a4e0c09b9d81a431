"""One authenticated link to a daemon: the handshake, then records and commands until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from edgeloop_companion.link.channels import Channels
from edgeloop_companion.link.clock import LinkClock
from edgeloop_companion.link.device_port import (
    REQUEST_SECONDS,
    OneConnection,
    device_port,
    device_url,
    read_body,
    unreachable,
)
from edgeloop_companion.link.outbox import Outbox
from edgeloop_companion.link.pairing import Pairing
from edgeloop_shared.channels import pack_channel_frame, unpack_channel_frame
from edgeloop_shared.clocks import ClockReading
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.eager import begin
from edgeloop_shared.errors import BadProofError, DaemonUnreachableError, MessageError, VersionMismatchError
from edgeloop_shared.heartbeat import Heartbeat
from edgeloop_shared.messages import (
    HEARTBEAT_SECONDS,
    LINK_VERSIONS,
    MAX_MESSAGE_BYTES,
    MAX_UNAUTHENTICATED_BYTES,
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
from edgeloop_shared.proofs import NONCE_BYTES, daemon_link_proof, device_link_proof, format_versions, matches
from edgeloop_shared.records import pack_record

Command = RunTask | CancelTask
Answer = Callable[[Command], Awaitable[CommandResult]]
"""Begins what a command asks for and says soon whether it was accepted."""

UNPAIR_SECONDS = 5.0
CLOSE_LOST = 1006
CLOSE_REPLACED = 4000
CLOSE_REVOKED = 4001
_NONCE = re.compile(r"Edgeloop nonce=([0-9a-f]{64})\Z")


@dataclass(frozen=True)
class LinkEnd:
    """Why a link ended: the WebSocket's close code (1006 when the connection was lost), and words for it.

    `kind` is an error's code, or one of those that begin with `link-`: a screen has other words for each.
    """

    code: int
    reason: str
    kind: str = "link-lost"


@contextlib.asynccontextmanager
async def open_link(
    pairing: Pairing, address: str, *, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> AsyncIterator[Link]:
    """Dial the daemon of `pairing` at one of its addresses; both sides have proved who they are when this yields.

    Raises `CertificateMismatchError`, `BadProofError`, `NotPairedError`, `VersionMismatchError`, `MessageError`,
    `DaemonUnreachableError`.
    """
    url = device_url(address, pairing.port, "/v1/link")
    versions = format_versions(LINK_VERSIONS)
    connection = OneConnection(pairing.pin)
    async with device_port(connection) as port:
        async with port.request("GET", url, accept=(401,)) as response:
            challenge = _NONCE.match(response.headers.get("WWW-Authenticate", ""))
            await read_body(response, MAX_UNAUTHENTICATED_BYTES)
        if challenge is None:
            raise MessageError(f"The daemon at {url} did not begin the link as this protocol does.")
        server_nonce, client_nonce = bytes.fromhex(challenge[1]), secrets.token_bytes(NONCE_BYTES)
        proof = device_link_proof(pairing.key, pairing.pin, server_nonce, client_nonce, pairing.device_id, versions)
        credentials = f"Edgeloop {pairing.device_id}.{client_nonce.hex()}.{proof.hex()}"
        with unreachable(url):
            socket = await asyncio.wait_for(
                port.session.ws_connect(
                    url,
                    headers={"Authorization": credentials, VERSIONS_HEADER: versions},
                    ssl=port.context,
                    autoping=False,  # so that `Link` sees what is heard
                    compress=0,
                    max_msg_size=MAX_MESSAGE_BYTES,
                ),
                REQUEST_SECONDS,
            )
        async with socket:
            welcome = await _receive(socket)
            if not isinstance(welcome, Welcome):
                raise MessageError("The daemon did not begin with its welcome.")
            expected = daemon_link_proof(
                pairing.key,
                pairing.pin,
                server_nonce,
                client_nonce,
                pairing.device_id,
                versions,
                welcome.version,
            )
            if not matches(bytes.fromhex(welcome.proof), expected):
                raise BadProofError(
                    f"Who answers at {address}:{pairing.port} does not know this device's key.",
                    hint="Nothing it says is obeyed. If the daemon was set up anew, pair again with `edgeloop pair`.",
                )
            if welcome.version not in LINK_VERSIONS:
                raise VersionMismatchError(
                    f"The daemon chose link version {welcome.version}, which this app did not offer.",
                    hint="Update the older of the two.",
                    details={"ours": list(LINK_VERSIONS), "theirs": [welcome.version]},
                )
            yield Link(socket, connection, welcome, address, heartbeat_seconds)


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> Message:
    """Return the next message of the handshake."""
    try:
        message = await socket.receive(REQUEST_SECONDS)
    except TimeoutError:
        raise DaemonUnreachableError("The daemon accepted the link and then fell silent.") from None
    if message.type is not aiohttp.WSMsgType.TEXT:
        reason = _end(socket, message).reason
        raise DaemonUnreachableError(f"The daemon ended the link while it was being set up: {reason}.")
    return decode_message(message.data)


class Link:
    """A link whose two ends have proved who they are."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        connection: OneConnection,
        welcome: Welcome,
        address: str,
        heartbeat_seconds: float,
    ) -> None:
        self._socket = socket
        self._connection = connection
        self._heartbeat = Heartbeat(heartbeat_seconds)
        self._control: deque[Message] = deque()
        self._outbox: Outbox | None = None
        self._is_idle = False  # `_send` waits, and nothing else is to be sent
        self._unsent: Awaitable[None] | None = None
        self._ended = asyncio.Event()
        self.clock = LinkClock(self._tell)
        self.host_name = welcome.host_name
        self.bearer = welcome.bearer
        self.address = address
        self.own_address = connection.own_address

    async def run(
        self, hello: Hello, outbox: Outbox, channels: Channels, answer: Answer, *, on_ready: Callable[[], None]
    ) -> LinkEnd:
        """Introduce this device, then send what waits and answer commands until the link ends; return why it did.

        `on_ready` is called once the daemon has said what it holds already.
        """
        self._outbox = outbox
        await self._socket.send_str(encode_message(hello))
        positions = await _receive(self._socket)
        if not isinstance(positions, Acknowledge):
            raise MessageError("The daemon did not answer the introduction with its positions.")
        outbox.resume(positions.positions)
        channels.linked(lambda: self._send_frames(outbox, channels))
        on_ready()
        sender = asyncio.create_task(self._send(outbox, channels))
        receiver = asyncio.create_task(self._obey(outbox, channels, answer))
        watch = asyncio.create_task(self._cut_off_when_lost())
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                with contextlib.suppress(ConnectionError):
                    sender.result()
                await asyncio.wait({receiver}, timeout=REQUEST_SECONDS)  # why it broke, the other direction may say
            return receiver.result() if receiver.done() else LinkEnd(CLOSE_LOST, "the connection was lost")
        except MessageError as error:
            await self._socket.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR, message=error.message.encode()[:120])
            return LinkEnd(aiohttp.WSCloseCode.PROTOCOL_ERROR, error.message, error.code)
        finally:
            outbox.unlinked()
            channels.unlinked()
            for task in (sender, receiver, watch):
                task.cancel()
            await asyncio.gather(sender, receiver, watch, return_exceptions=True)
            self._ended.set()

    def tell_state(self, state: DeviceState) -> None:
        """Send this device's state, in the place of one that still waits; before `run` it is part of the introduction."""
        if self._outbox is not None:
            waiting = [message for message in self._control if not isinstance(message, DeviceState)]
            self._control = deque(waiting)
            self._tell(state)

    def doubt(self) -> None:
        """Ask now whether the daemon is still there."""
        self._heartbeat.doubt()

    def abort(self) -> None:
        """Cut the connection off: the receiving side notices."""
        self._connection.abort()

    async def close(self) -> None:
        """Say goodbye."""
        await self._socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async def unpair(self, device_id: str) -> bool:
        """Ask the daemon to forget this device; return whether it has ended the link for that."""
        self._tell(Unpair(device_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNPAIR_SECONDS):
                await self._ended.wait()
        return self._socket.close_code == CLOSE_REVOKED

    async def only_unpair(self, device_id: str) -> bool:
        """Ask the daemon to forget this device, in the place of `run`; return whether it has ended the link for that."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(UNPAIR_SECONDS):
                await self._socket.send_str(encode_message(Unpair(device_id)))
                async for _ in self._socket:
                    pass  # a daemon that has something to say learns that nobody obeys it any more
        return self._socket.close_code == CLOSE_REVOKED

    def _tell(self, message: Message) -> None:
        """Send a control message next."""
        self._control.append(message)
        if self._outbox is not None:
            self._outbox.ready.set()

    def _send_frames(self, outbox: Outbox, channels: Channels) -> None:
        """Send what channels have: at once when nothing waits before it, since a debugger's user waits for each answer."""
        if self._is_idle and not outbox.ready.is_set():
            with contextlib.suppress(ConnectionError):  # the receiving side notices
                while frame := channels.next_frame():
                    self._unsent = begin(self._socket.send_bytes(pack_channel_frame(frame)))
                    if self._unsent is not None:
                        break
                else:
                    return
        outbox.ready.set()

    async def _send(self, outbox: Outbox, channels: Channels) -> None:
        """Send what waits, control messages first, then channels. A connection that broke is noticed by the receiving side."""
        while True:
            outbox.ready.clear()  # before the looking, so that nothing which comes meanwhile is missed
            if self._unsent is not None:
                unsent, self._unsent = self._unsent, None
                await unsent
            elif self._control:
                await self._socket.send_str(encode_message(self._control.popleft()))
            elif frame := channels.next_frame():
                await self._socket.send_bytes(pack_channel_frame(frame))
            elif record := await outbox.next():
                await self._socket.send_bytes(pack_record(record))
            else:
                self._is_idle = True
                await outbox.ready.wait()
                self._is_idle = False

    async def _cut_off_when_lost(self) -> None:
        """Cut the connection off when the daemon neither says anything nor answers a ping: the receiving side notices."""
        await self._heartbeat.lost(self._socket.ping)
        self.abort()

    async def _obey(self, outbox: Outbox, channels: Channels, answer: Answer) -> LinkEnd:
        while True:
            frame = await self._socket.receive()
            self._heartbeat.hear()
            if frame.type is aiohttp.WSMsgType.TEXT:
                message = decode_message(frame.data)
                if isinstance(message, Acknowledge):
                    outbox.acknowledge(message.positions)
                elif isinstance(message, RunTask | CancelTask):
                    self._tell(await answer(message))
                elif isinstance(message, OpenChannel):
                    channels.open(message)
                elif isinstance(message, ResumeChannels):
                    channels.resume(message)
                elif isinstance(message, ClockReading):
                    self.clock.take(message)
                else:
                    raise MessageError(f"The daemon sent a {type(message).__name__}, which only a device sends.")
            elif frame.type is aiohttp.WSMsgType.BINARY:
                channels.take(unpack_channel_frame(frame.data))
            elif frame.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(frame.data)
            elif frame.type is not aiohttp.WSMsgType.PONG:
                return _end(self._socket, frame)


def _end(socket: aiohttp.ClientWebSocketResponse, frame: aiohttp.WSMessage) -> LinkEnd:
    known = {
        1000: ("link-closed", "the daemon closed it"),
        1001: ("link-shutting-down", "the daemon is shutting down"),
        1002: ("link-fault", "the daemon found a fault in what this device sent"),
        CLOSE_REPLACED: ("link-replaced", "another link with this device's identity took its place"),
        CLOSE_REVOKED: ("not-paired", "this device was unpaired"),
    }
    code = socket.close_code or CLOSE_LOST
    said = frame.extra if isinstance(frame.extra, str) else ""
    kind, words = known.get(code, ("link-lost", said or "the connection was lost"))
    return LinkEnd(code, words, kind)
