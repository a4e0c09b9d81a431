"""The listener of the device port: open only while somebody may come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Collection

from edgeloop_daemon.devices.addresses import bind, offered_addresses
from edgeloop_daemon.devices.connections import ConnectionServer, Handler
from edgeloop_daemon.devices.handshakes import Handshakes
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.settings import read_setting, write_setting
from edgeloop_shared.errors import DeviceUnavailableError, PortInUseError

_log = logging.getLogger(__name__)
_SETTING = "device_port"
_SHUTDOWN_SECONDS = 2.0


class Listener:
    """Listens with TLS 1.3 while at least one holder wants it to.

    `host` None means all interfaces. `port` None takes the remembered port, at first any free one: paired phones dial the
    port that they know. An explicit port that another program has raises `PortInUseError`.
    """

    def __init__(
        self,
        database: Database,
        context: ssl.SSLContext,
        *,
        host: str | None,
        port: int | None,
        heartbeat_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._context = context
        self._host = host
        self._explicit = port
        self._heartbeat_seconds = heartbeat_seconds
        self._clock = clock
        self._holders: set[str] = set()
        self._lock = asyncio.Lock()
        self._connections: ConnectionServer | None = None
        self._server: asyncio.Task[None] | None = None
        self.port: int | None = None
        """The port while it is open."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Own addresses for phones to dial."""
        return offered_addresses(self._host)

    @contextlib.asynccontextmanager
    async def serving(self, handler: Handler) -> AsyncIterator[None]:
        """Answer requests by `handler` for the block, whenever the port is open. Raises `PortInUseError` at once."""
        if self._explicit:
            bind(self._host, self._explicit).close()
        connections = self._connections = ConnectionServer(handler, self._heartbeat_seconds, self._clock)
        try:
            yield
        finally:
            await self.stop()
            await connections.shutdown(_SHUTDOWN_SECONDS)
            self._connections = None

    async def hold(self, holder: str) -> None:
        """Keep the port open until `release` with the same name."""
        async with self._lock:
            self._holders.add(holder)
            if self._server is None:
                try:
                    await self._open()
                except BaseException:
                    self._holders.discard(holder)
                    raise

    async def release(self, holder: str) -> None:
        """Close the port unless somebody else holds it. Connections of paired devices are left alone."""
        async with self._lock:
            self._holders.discard(holder)
            if not self._holders:
                await self._close()

    async def stop(self) -> None:
        """Close the port whoever holds it, because the daemon stops."""
        async with self._lock:
            self._holders.clear()
            await self._close()

    def moved(self, lost: Collection[str]) -> None:
        """End what came to own addresses that this computer has lost: nothing arrives there any more, and nobody would say so."""
        if self._connections is not None:
            self._connections.cut_off_at(lost)

    async def _open(self) -> None:
        if self._connections is None:
            raise DeviceUnavailableError("The device port is not being served.")
        remembered = self._explicit or await self._remembered_port()
        try:
            sock = bind(self._host, remembered)
        except PortInUseError:
            if self._explicit:
                raise
            _log.warning(
                "device port %d is used by another program; paired phones must be told the new one", remembered
            )
            sock = bind(self._host, 0)
        self.port = int(sock.getsockname()[1])
        self._server = asyncio.create_task(Handshakes(self._context, self._connections).serve(sock))
        await self._remember(self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.cancel()
            await asyncio.wait({self._server})
        if self._connections is not None:
            self._connections.drop_strangers()
        self._server = None
        self.port = None

    async def _remembered_port(self) -> int:
        value = await self._database.read(lambda db: read_setting(db, _SETTING))
        return value if isinstance(value, int) and 0 < value < 65536 else 0

    async def _remember(self, port: int) -> None:
        await self._database.write(lambda db: write_setting(db, _SETTING, port))
