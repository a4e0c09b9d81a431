"""Browsing by mDNS with zeroconf; the one module of the daemon that imports it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from edgeloop_daemon.devices.interfaces import interface_addresses
from edgeloop_daemon.devices.nearby import Sighting, Watcher
from edgeloop_shared.announcements import NAME_CHARACTERS, SERVICE
from edgeloop_shared.networks import OwnAddress, multicast_interfaces
from edgeloop_shared.uninterrupted import uninterrupted

RESOLVE_MILLISECONDS = 3000
MAX_RESOLVING = 64  # services of anybody that are asked for their address at a time


class ZeroconfBrowser:
    """Finds the phones that announce themselves."""

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return the addresses of all interfaces but the loopback's. Blocks for a moment."""
        return interface_addresses()

    @contextlib.asynccontextmanager
    async def browsing(self, watcher: Watcher, addresses: Sequence[OwnAddress]) -> AsyncIterator[None]:
        """Tell `watcher` who comes and goes on the interfaces of `addresses`. Raises `OSError`."""
        zeroconf = AsyncZeroconf(interfaces=multicast_interfaces(addresses))
        resolving = _Resolving(watcher)
        try:
            browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[resolving.changed])
            try:
                yield
            finally:
                await browser.async_cancel()
        finally:
            resolving.cancel()
            await uninterrupted(zeroconf.async_close())


class _Resolving:
    """Asks each service that was seen for its port, text and addresses."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        label = name.removesuffix(f".{service_type}")
        if len(label) != NAME_CHARACTERS:
            return  # none of ours
        if earlier := self._tasks.pop(name, None):
            earlier.cancel()
        if state_change is ServiceStateChange.Removed:
            self._watcher.gone(label)
        elif len(self._tasks) < MAX_RESOLVING:
            self._tasks[name] = asyncio.create_task(self._resolve(zeroconf, name, label))

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _resolve(self, zeroconf: Zeroconf, name: str, label: str) -> None:
        info = AsyncServiceInfo(SERVICE, name)
        found = await info.async_request(zeroconf, RESOLVE_MILLISECONDS)
        self._tasks.pop(name, None)
        if found and info.port:
            addresses = tuple(dict.fromkeys(info.parsed_scoped_addresses()))
            self._watcher.seen(Sighting(label, addresses, info.port, info.text or b""))
