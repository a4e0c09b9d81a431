"""Connections to the local API whose peer has not shown a token: few at a time, and none for long.

Any program of any user of this machine can connect to loopback, and so can a web page.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from edgeloop_daemon.accepting import accepted

STRANGER_SECONDS = 10.0
MAX_STRANGERS = 64


class Strangers:
    """Counts connections until a request on them was let in.

    Whoever has a token shows it at once. So when there are too many strangers, the oldest gives way.
    """

    def __init__(self) -> None:
        self._timers: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._timers)

    async def serve(self, listening: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Take connections until cancelled; the port is closed then."""
        loop = asyncio.get_running_loop()
        async with contextlib.aclosing(accepted(listening)) as connections:
            async for connection, _ in connections:
                self._make_room()
                transport, _ = await loop.connect_accepted_socket(make_protocol, connection)
                self._timers[transport] = loop.call_later(STRANGER_SECONDS, self._cut_off, transport)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Stand behind the guards: who gets here with a request to the API has shown a token."""
        transport = request.transport
        if transport in self._timers and request.path.startswith("/api/"):
            self._timers.pop(transport).cancel()
        return await handler(request)

    def _make_room(self) -> None:
        for transport in [known for known in self._timers if known.is_closing()]:
            self._timers.pop(transport).cancel()
        if len(self._timers) >= MAX_STRANGERS:
            self._cut_off(next(iter(self._timers)))

    def _cut_off(self, transport: asyncio.BaseTransport) -> None:
        self._timers.pop(transport).cancel()
        cast("asyncio.Transport", transport).abort()
