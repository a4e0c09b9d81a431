"""Live links: one WebSocket per linked device, from its welcome to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from edgeloop_daemon.devices.commands import Commands
from edgeloop_daemon.devices.connections import Connection
from edgeloop_daemon.devices.device_channels import DeviceChannels
from edgeloop_daemon.devices.device_states import DeviceStates
from edgeloop_daemon.devices.link import CLOSE_REVOKED, Link, Proved, bearer_hash
from edgeloop_daemon.devices.records import Inbox, RecordSink
from edgeloop_daemon.devices.registry import Registry
from edgeloop_shared.channels import CHANNEL_FRAME, unpack_channel_frame
from edgeloop_shared.clocks import ClockProbe, ClockReading
from edgeloop_shared.device_states import DeviceState
from edgeloop_shared.errors import MessageError, RateLimitedError, StorageError
from edgeloop_shared.messages import (
    Acknowledge,
    CommandResult,
    Hello,
    Unpair,
    Welcome,
    decode_message,
    encode_message,
)
from edgeloop_shared.network_reports import NetworkReport
from edgeloop_shared.records import unpack_record

CLOSE_REPLACED = 4000
MAX_TRANSFER_CONNECTIONS = 16
_HELLO_SECONDS = 10.0
_CHANNEL_FRAME = bytes([CHANNEL_FRAME])
_log = logging.getLogger(__name__)


class LinkUser(RecordSink, Protocol):
    """Who works with linked devices."""

    async def linked(self, device_id: str, hello: Hello) -> None:
        """The device has linked and said what it still works on; commands can be sent to it."""

    def unlinked(self, device_id: str) -> None:
        """The device's link has ended and no newer one took its place."""


@dataclass(frozen=True)
class ToldNetwork:
    """What a device told of its network at its last link. `clock_offset` is how many seconds its clock is ahead of ours."""

    report: NetworkReport
    address: str
    clock_offset: float


class Links:
    """The linked devices. What is in `on_change` is called when a device has linked, and when its link has ended.

    `unpair` is awaited with a device that asked to be forgotten, once its last record is stored.
    """

    def __init__(
        self,
        registry: Registry,
        commands: Commands,
        channels: DeviceChannels,
        states: DeviceStates,
        user: LinkUser,
        host_name: str,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._registry = registry
        self._commands = commands
        self._channels = channels
        self._states = states
        self._user = user
        self._host_name = host_name
        self._wall_ns = wall_ns
        self._links: dict[str, Link] = {}
        self._serving: set[Link] = set()  # also those that say goodbye
        self._networks: dict[str, ToldNetwork] = {}
        self.on_change: list[Callable[[], None]] = []
        self.unpair: Callable[[str], Awaitable[None]]

    def address(self, device_id: str) -> str | None:
        """Return the address from which the device is linked, or None when it is not."""
        link = self._links.get(device_id)
        return link.proved.address if link is not None else None

    def network(self, device_id: str) -> ToldNetwork | None:
        """Return what the device told of its network when it linked last, since the daemon started."""
        return self._networks.get(device_id)

    def device_of_bearer(self, bearer: str) -> str | None:
        """Return the paired device whose live link handed out `bearer`. Only hashes are compared."""
        given = bearer_hash(bearer)
        found = next((device_id for device_id, link in self._links.items() if link.bearer_hash == given), None)
        return found if found is not None and self._registry.find(found) else None

    async def settled(self, device_id: str) -> None:
        """Return once it is known which runs the device has: it may transfer their files as soon as it has its bearer."""
        link = self._links.get(device_id)
        if link is not None:
            await link.settled.wait()

    def attach(self, device_id: str, connection: Connection) -> None:
        """Let a connection that shows the bearer of the device's live link end with that link.

        Raises `RateLimitedError` when the device has too many of them.
        """
        transfers = self._links[device_id].transfers
        if connection in transfers:
            return
        if len(transfers) >= MAX_TRANSFER_CONNECTIONS:
            raise RateLimitedError("This device transfers too much at once.", hint="Use fewer connections.")
        transfers.add(connection)
        connection.on_lost.append(lambda: transfers.discard(connection))

    async def serve(self, socket: web.WebSocketResponse, proved: Proved) -> None:
        """Carry a link whose WebSocket is open and whose device has proved who it is, until it ends."""
        device_id = proved.device.id
        link = Link(socket, proved, lambda: self._channels.next_frame(device_id))
        if self._registry.find(device_id) is None:  # revoked while the WebSocket was opened
            link.end(CLOSE_REVOKED, "revoked")
        earlier, self._links[device_id] = self._links.get(device_id), link
        self._serving.add(link)
        self._changed()
        try:
            if earlier is not None:
                earlier.end(CLOSE_REPLACED, "replaced")
                await earlier.ended.wait()  # its last records must be stored before ours are counted
            await self._carry(link, device_id)
        except MessageError as error:
            _log.warning("device %s broke the protocol: %s", device_id, error)
            link.end(WSCloseCode.PROTOCOL_ERROR, error.message)
        except StorageError as error:
            _log.error("what device %s says cannot be stored: %s", device_id, error)
            link.end(WSCloseCode.TRY_AGAIN_LATER, error.message)
        except (TimeoutError, ConnectionError):
            link.end(WSCloseCode.GOING_AWAY, "the device fell silent")
        finally:
            for connection in tuple(link.transfers):
                connection.abort()
            self._commands.unlink(device_id, link.send)
            self._channels.unlink(device_id, link)
            if self._links.get(device_id) is link:
                del self._links[device_id]
                self._states.forget(device_id)
                self._changed()
                self._user.unlinked(device_id)
                await self._registry.unlinked(device_id)
            link.settled.set()
            link.ended.set()
            try:
                if link.asked_to_unpair:
                    await self._unpair(device_id)
                await link.say_goodbye()
            finally:
                self._serving.discard(link)
                link.gone.set()

    async def revoke(self, device_id: str) -> None:
        """End the device's link because it is no longer paired."""
        self._networks.pop(device_id, None)
        link = self._links.get(device_id)
        if link is not None:
            link.end(CLOSE_REVOKED, "revoked")
            await link.ended.wait()

    async def close(self) -> None:
        """End all links because the daemon stops; the devices will dial again."""
        serving = tuple(self._serving)
        for link in serving:
            link.end(WSCloseCode.GOING_AWAY, "the daemon stops")
        await asyncio.gather(*(link.gone.wait() for link in serving))

    async def _unpair(self, device_id: str) -> None:
        try:
            await self.unpair(device_id)
        except StorageError as error:  # the device has forgotten its key all the same
            _log.error("that device %s has unpaired itself cannot be stored: %s", device_id, error)

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()

    async def _carry(self, link: Link, device_id: str) -> None:
        proved = link.proved
        welcome = Welcome(proved.version, proved.proof.hex(), link.bearer, self._host_name)
        await link.socket.send_str(encode_message(welcome))
        frame = await link.receive(_HELLO_SECONDS)
        if frame is None:
            return
        hello = decode_message(frame.data) if frame.type is WSMsgType.TEXT else None
        if isinstance(hello, Unpair):  # it has come for this alone
            link.give_up_pairing(hello)
            return
        if not isinstance(hello, Hello):
            raise MessageError("A device did not introduce itself after the welcome.")
        if (report := hello.network) is not None:
            offset = (report.time_ns - self._wall_ns()) / 1e9
            self._networks[device_id] = ToldNetwork(report, proved.address, offset)
        if self._links.get(device_id) is link and hello.state is not None:
            self._states.tell(device_id, hello.state)
        positions = await self._user.positions(device_id, hello.epoch, hello.streams)
        inbox = Inbox(self._user, device_id, hello.epoch, positions, link.acknowledge)
        if self._links.get(device_id) is not link:
            return
        await link.socket.send_str(encode_message(Acknowledge(positions)))  # the device need not wait for what follows
        self._commands.link(device_id, link.send)
        self._channels.link(device_id, hello.channels, link)
        helpers = [asyncio.create_task(link.send_waiting()), asyncio.create_task(inbox.flush_regularly())]
        for helper in helpers:
            helper.add_done_callback(link.helper_ended)
        try:
            await self._user.linked(device_id, hello)
            await self._registry.linked(device_id, proved.address, hello.info)
            link.settled.set()
            await self._receive(link, device_id, inbox)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await inbox.flush()

    async def _receive(self, link: Link, device_id: str, inbox: Inbox) -> None:
        while (frame := await link.receive()) is not None:
            if frame.type is WSMsgType.BINARY and frame.data[:1] == _CHANNEL_FRAME:
                self._channels.take(device_id, unpack_channel_frame(frame.data))
            elif frame.type is WSMsgType.BINARY:
                await inbox.add(unpack_record(frame.data))
            elif frame.type is WSMsgType.TEXT:
                message = decode_message(frame.data)
                if isinstance(message, ClockProbe):
                    link.send(ClockReading(message.sent_ns, self._wall_ns()))
                elif isinstance(message, CommandResult):
                    self._commands.answered(device_id, message)
                elif isinstance(message, Unpair):
                    link.give_up_pairing(message)
                elif isinstance(message, DeviceState):
                    self._states.tell(device_id, message)
                else:
                    raise MessageError(f"A device sent a {type(message).__name__}, which only a daemon sends.")
