"""One live link: its WebSocket, and what waits to be sent on it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from edgeloop_daemon.devices.commands import Command
from edgeloop_daemon.devices.connections import Connection
from edgeloop_daemon.devices.registry import PairedDevice
from edgeloop_shared.channels import ChannelFrame, pack_channel_frame
from edgeloop_shared.clocks import ClockReading
from edgeloop_shared.eager import begin
from edgeloop_shared.errors import EdgeloopError, MessageError, StorageError
from edgeloop_shared.messages import (
    Acknowledge,
    Message,
    OpenChannel,
    ResumeChannels,
    Unpair,
    encode_message,
)

CLOSE_REVOKED = 4001
MAX_WAITING_MESSAGES = 1024
_CLOSE_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proved:
    """What the handshake of a link has settled: the version and the daemon's proof for `Welcome`."""

    device: PairedDevice
    address: str
    version: int
    proof: bytes


class Link:
    """One socket and what waits to be sent on it."""

    def __init__(
        self, socket: web.WebSocketResponse, proved: Proved, next_frame: Callable[[], ChannelFrame | None]
    ) -> None:
        self.socket = socket
        self.proved = proved
        self.bearer = secrets.token_urlsafe(32)
        self.bearer_hash = bearer_hash(self.bearer)
        self.transfers: set[Connection] = set()
        """Connections that showed its bearer."""
        self.settled = asyncio.Event()
        """Set when the device's runs are taken back, or the link has ended before."""
        self.ended = asyncio.Event()
        """Set when its last record is stored."""
        self.gone = asyncio.Event()
        """Set when its WebSocket is closed."""
        self.asked_to_unpair = False
        self._next_frame = next_frame
        self._messages: deque[Message] = deque()
        self._positions: dict[str, int] = {}
        self._waiting = asyncio.Event()
        self._is_idle = False  # `send_waiting` waits, and nothing else is to be sent
        self._unsent: Awaitable[None] | None = None
        self._goodbye: tuple[int, str] | None = None
        self._receiver: asyncio.Task[Any] | None = None

    def send(self, message: Command | Acknowledge | OpenChannel | ResumeChannels | ClockReading) -> None:
        """Put a message into the queue; a device that does not read loses its link when the queue is full."""
        if len(self._messages) >= MAX_WAITING_MESSAGES:
            self.end(WSCloseCode.POLICY_VIOLATION, "too many unread messages")
            return
        self._messages.append(message)
        self._waiting.set()

    def acknowledge(self, positions: Mapping[str, int]) -> None:
        """Send positions; those that still wait are merged, so that acknowledgements never pile up."""
        self._positions.update(positions)
        self._waiting.set()

    def wake(self) -> None:
        """Send what channels have: at once when nothing waits before it, since a debugger's user waits for each answer."""
        if self._is_idle and not self._waiting.is_set():
            with contextlib.suppress(ConnectionError):  # the receiving side notices
                while frame := self._next_frame():
                    self._unsent = begin(self.socket.send_bytes(pack_channel_frame(frame)))
                    if self._unsent is not None:
                        break
                else:
                    return
        self._waiting.set()

    async def send_waiting(self) -> None:
        """Send what is put into the queue, then what channels have, until the link ends."""
        while True:
            self._is_idle = True
            await self._waiting.wait()
            self._is_idle = False
            self._waiting.clear()
            while True:
                if self._unsent is not None:
                    unsent, self._unsent = self._unsent, None
                    await unsent
                elif self._messages:
                    await self.socket.send_str(encode_message(self._messages.popleft()))
                elif frame := self._next_frame():
                    await self.socket.send_bytes(pack_channel_frame(frame))
                elif self._positions:
                    positions, self._positions = self._positions, {}
                    await self.socket.send_str(encode_message(Acknowledge(positions)))
                else:
                    break

    async def receive(self, seconds: float | None = None) -> WSMessage | None:
        """Return the next frame with data, or None when the link ends. Raises `TimeoutError`."""
        if self._is_ending():
            return None
        self._receiver = asyncio.current_task()
        try:
            frame = await self.socket.receive(seconds)
        except asyncio.CancelledError:
            if not self._is_ending() or self._receiver is None or self._receiver.uncancel() > 0:
                raise
            return None
        finally:
            self._receiver = None
        return frame if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None

    def helper_ended(self, helper: asyncio.Task[None]) -> None:
        """End the link when one of its tasks has failed."""
        if not helper.cancelled() and (error := helper.exception()) is not None:
            if not isinstance(error, ConnectionError | EdgeloopError):
                _log.error("the link of %s failed", self.proved.device.id, exc_info=error)
            if isinstance(error, StorageError):
                self.end(WSCloseCode.TRY_AGAIN_LATER, error.message)
            self.end(WSCloseCode.INTERNAL_ERROR, "the daemon failed to store a record")

    def end(self, code: int, reason: str) -> None:
        """Begin to end the link, without waiting for it; the first reason counts."""
        if self._goodbye is None:
            self._goodbye = code, reason
            if self._receiver is not None:
                self._receiver.cancel()

    def give_up_pairing(self, message: Unpair) -> None:
        """End with the pairing, as the device wants it. Raises `MessageError` for the pairing of another one."""
        if message.device_id != self.proved.device.id:
            raise MessageError("A device wants to unpair another one.")
        self.asked_to_unpair = True
        self.end(CLOSE_REVOKED, "revoked")

    def _is_ending(self) -> bool:
        return self._goodbye is not None

    async def say_goodbye(self) -> None:
        """Close the WebSocket within bounded time.

        Nobody receives any more by now: aiohttp then waits for the device's own close frame before it drops the connection.
        A device whose answer meets a dropped connection would not learn the code.
        """
        code, reason = self._goodbye or (WSCloseCode.OK, "")
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.socket.close(code=code, message=reason.encode()[:120])


def bearer_hash(bearer: str) -> bytes:
    """Return what is kept of a bearer, and compared."""
    return hashlib.sha256(bearer.encode("utf-8", "surrogateescape")).digest()
