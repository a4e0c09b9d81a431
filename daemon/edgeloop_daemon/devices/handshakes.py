"""TLS handshakes in progress: a stranger can begin one without a word and never end it, so their number is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from edgeloop_daemon.accepting import accepted
from edgeloop_daemon.devices.addresses import plain_address

HANDSHAKE_SECONDS = 10.0
MAX_HANDSHAKES = 64
MAX_HANDSHAKES_PER_ADDRESS = 32
_log = logging.getLogger(__name__)


class Handshakes:
    """Shakes hands with whoever connects, then hands the connection to a protocol that `make_protocol` returns.

    An honest handshake takes milliseconds. So when there are too many, of one address or in all, the oldest gives way: who
    stalls loses its place, and who is honest still comes in.
    """

    def __init__(self, context: ssl.SSLContext, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._context = context
        self._make_protocol = make_protocol
        self._running: dict[asyncio.Task[None], str] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._running)

    async def serve(self, listening: socket.socket) -> None:
        """Take connections until cancelled; the port is closed then, and handshakes in progress are cut off."""
        try:
            async with contextlib.aclosing(accepted(listening)) as connections:
                async for connection, address in connections:
                    self._make_room(plain_address(address))
                    task = asyncio.create_task(self._shake_hands(connection))
                    self._running[task] = plain_address(address)
                    task.add_done_callback(partial(self._ended, connection))
        finally:
            for task in tuple(self._running):
                self._cut_off(task)

    async def _shake_hands(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._make_protocol, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )

    def _make_room(self, address: str) -> None:
        of_address = [task for task, known in self._running.items() if known == address]
        if len(of_address) >= MAX_HANDSHAKES_PER_ADDRESS:
            self._cut_off(of_address[0])
        elif len(self._running) >= MAX_HANDSHAKES:
            self._cut_off(next(iter(self._running)))

    def _cut_off(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        task.cancel()

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if task.cancelled():
            connection.close()
        elif (error := task.exception()) is not None:
            connection.close()
            if not isinstance(error, OSError):  # of TLS, of the network, or it took too long
                _log.error("a handshake failed", exc_info=error)
