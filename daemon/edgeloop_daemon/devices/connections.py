"""TLS connections to the device port, each within limits until its peer has proved who it is."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

from edgeloop_daemon.accepting import request_log
from edgeloop_daemon.devices.addresses import plain_address
from edgeloop_shared.heartbeat import Heartbeat
from edgeloop_shared.messages import HEARTBEAT_SECONDS, MAX_UNAUTHENTICATED_BYTES
from edgeloop_shared.proofs import NONCE_BYTES

UNAUTHENTICATED_SECONDS = 10.0
NONCE_SECONDS = 10.0
MAX_UNAUTHENTICATED_REQUESTS = 8
MAX_CONNECTIONS = 512
MAX_UNAUTHENTICATED = 64
MAX_UNAUTHENTICATED_PER_ADDRESS = 32
_IDLE_SECONDS = 660.0  # of an authenticated connection, and of a pairing: the longest window is 600 s
_UPLOAD = b"PUT /v1/blob/"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """One connection. A request's `protocol` is its connection.

    Before authentication a connection may take 4 KiB per request, a few requests and 10 s in all. A slow or a talkative
    stranger is cut off at the transport, before anything of it reaches a parser.
    """

    def __init__(self, server: ConnectionServer) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp spells "none"
            logger=request_log(),
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=1.0,
            max_line_size=MAX_UNAUTHENTICATED_BYTES,
            max_field_size=MAX_UNAUTHENTICATED_BYTES,
            max_headers=64,
        )
        self.address = ""
        self.own_address = ""
        self.is_authenticated = False
        self.on_lost: list[Callable[[], None]] = []
        """Called when the connection has gone."""
        self._server = server
        self._heartbeat = Heartbeat(server.heartbeat_seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._head = b""
        self._requests = 0
        self._nonce: tuple[bytes, float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or cut it off when there are too many."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = plain_address(str(peer[0])) if peer else ""
        own = transport.get_extra_info("sockname")
        self.own_address = plain_address(str(own[0])) if own else ""
        if self._server.admit(self):
            self.expect_authentication(UNAUTHENTICATED_SECONDS)
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what a peer may send now."""
        if not self.is_authenticated and not self._is_within_limit(data):
            self.abort()
            return
        self._heartbeat.hear()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release everything that hangs on the connection."""
        super().connection_lost(exc)
        self._stop_timer()
        self._server.release(self)
        for callback in self.on_lost:
            callback()
        self.on_lost.clear()

    def expect_authentication(self, seconds: float) -> None:
        """Cut the connection off unless its peer has proved who it is in that time."""
        self.is_authenticated = False
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def authenticate(self) -> None:
        """Lift the limits: the peer has proved who it is."""
        self.is_authenticated = True
        self._stop_timer()

    async def cut_off_when_lost(self, ping: Callable[[], Awaitable[None]]) -> None:
        """Wait until the peer neither says anything nor answers a `ping`, then cut the connection off."""
        await self._heartbeat.lost(ping)
        self.abort()

    def abort(self) -> None:
        """Cut the connection off."""
        if self.transport is not None:
            self.transport.abort()

    def answered(self) -> bool:
        """Count a request as answered; return whether an unauthenticated peer may send another."""
        self._received, self._head = 0, b""
        self._requests += not self.is_authenticated
        return self._requests < MAX_UNAUTHENTICATED_REQUESTS

    def new_nonce(self) -> bytes:
        """Return a fresh nonce for a proof on this connection; an earlier one is void."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._nonce = nonce, self._server.clock() + NONCE_SECONDS
        return nonce

    def take_nonce(self) -> bytes | None:
        """Return the nonce, once and only while it is fresh."""
        nonce, self._nonce = self._nonce, None
        return nonce[0] if nonce and self._server.clock() < nonce[1] else None

    def _is_within_limit(self, data: bytes) -> bool:
        self._received += len(data)
        self._head += data[: MAX_UNAUTHENTICATED_BYTES - len(self._head)]
        if self._received <= MAX_UNAUTHENTICATED_BYTES:
            return True
        # The body of an upload may come together with the head that holds its bearer. Until that is checked, aiohttp
        # stops reading after its small buffer is full.
        return self._head.startswith(_UPLOAD) and b"\r\n\r\n" in self._head

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ConnectionServer(web.Server):
    """Makes and counts connections; it is the protocol factory of the listener. `clock` returns monotonic seconds."""

    def __init__(
        self,
        handler: Handler,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(handler)
        self.heartbeat_seconds = heartbeat_seconds
        self.clock = clock
        self._admitted: set[Connection] = set()

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self)

    def admit(self, connection: Connection) -> bool:
        """Count `connection`; return False when there are too many, in all or from its address."""
        strangers = [other for other in self._admitted if not other.is_authenticated]
        same_address = sum(other.address == connection.address for other in strangers)
        if (
            len(self._admitted) >= MAX_CONNECTIONS
            or len(strangers) >= MAX_UNAUTHENTICATED
            or same_address >= MAX_UNAUTHENTICATED_PER_ADDRESS
        ):
            return False
        self._admitted.add(connection)
        return True

    def release(self, connection: Connection) -> None:
        """Forget a connection that has gone."""
        self._admitted.discard(connection)

    def cut_off_at(self, addresses: Collection[str]) -> None:
        """Cut off every connection that came to one of these own addresses, because this computer has them no longer."""
        for connection in tuple(self._admitted):
            if connection.own_address in addresses:
                connection.abort()

    def drop_strangers(self) -> None:
        """Cut off every connection whose peer has not proved who it is."""
        for connection in tuple(self._admitted):
            if not connection.is_authenticated:
                connection.expect_authentication(0)
