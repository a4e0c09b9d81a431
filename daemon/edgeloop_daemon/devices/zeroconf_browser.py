"""Browsing by mDNS with zeroconf; the one module of the daemon that imports it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from edgeloop_daemon.devices.interfaces import interface_addresses
from edgeloop_daemon.devices.nearby import Sighting, Watcher
from edgeloop_shared.announcements import NAME_CHARACTERS, SERVICE
from edgeloop_shared.networks import OwnAddress, multicast_interfaces
from edgeloop_shared.uninterrupted import uninterrupted

RESOLVE_MILLISECONDS = 5000
MAX_RESOLVING = 64  # services of anybody that are asked for their address at a time
VERIFY_SECONDS = 3.0
LOST_SECONDS = 60.0
MAX_LOST = 64


class ZeroconfBrowser:
    """Finds the phones that announce themselves."""

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return the addresses of all interfaces but the loopback's. Blocks for a moment."""
        return interface_addresses()

    @contextlib.asynccontextmanager
    async def browsing(self, watcher: Watcher, addresses: Sequence[OwnAddress]) -> AsyncIterator[None]:
        """Tell `watcher` who comes and goes on the interfaces of `addresses`. Raises `OSError`."""
        zeroconf = AsyncZeroconf(interfaces=multicast_interfaces(addresses))
        resolving = _Resolving(zeroconf.zeroconf, watcher)
        verifying = asyncio.create_task(resolving.verify())
        try:
            browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[resolving.changed])
            try:
                yield
            finally:
                await browser.async_cancel()
        finally:
            verifying.cancel()
            resolving.cancel()
            await uninterrupted(zeroconf.async_close())


class _Resolving:
    """Asks each service that was seen for its port, text and addresses, and again whenever what it said has grown too old.

    zeroconf itself takes a service that was killed without a goodbye for present for 19 minutes (1,125 s), whatever it has said.
    """

    def __init__(self, zeroconf: Zeroconf, watcher: Watcher) -> None:
        self._zeroconf = zeroconf
        self._watcher = watcher
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lost: dict[str, float] = {}  # who did not answer, and when they are asked again

    def changed(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002 - it is named in zeroconf's call
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        label = name.removesuffix(f".{service_type}")
        if len(label) != NAME_CHARACTERS:
            return  # none of ours
        if earlier := self._tasks.pop(label, None):
            earlier.cancel()
        if state_change is ServiceStateChange.Removed:
            self._lost.pop(label, None)
            self._watcher.gone(label)
        else:
            self._ask(label)

    async def verify(self) -> None:
        """Ask who has said too little for too long whether it is still there, until cancelled."""
        while True:
            await asyncio.sleep(VERIFY_SECONDS)
            now = time.monotonic()
            for label in (*self._watcher.names(), *self._lost):
                if self._lost.get(label, now) <= now and not _info(label).load_from_cache(self._zeroconf):
                    self._ask(label)

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _ask(self, label: str) -> None:
        if label not in self._tasks and len(self._tasks) < MAX_RESOLVING:
            self._tasks[label] = asyncio.create_task(self._resolve(label))

    async def _resolve(self, label: str) -> None:
        info = _info(label)
        found = await info.async_request(self._zeroconf, RESOLVE_MILLISECONDS)
        self._tasks.pop(label, None)
        if found and info.port:
            self._lost.pop(label, None)
            addresses = tuple(dict.fromkeys(info.parsed_scoped_addresses()))
            self._watcher.seen(Sighting(label, addresses, info.port, info.text or b""))
        elif label in self._lost or label in self._watcher.names():
            self._lost[label] = time.monotonic() + LOST_SECONDS
            if len(self._lost) > MAX_LOST:
                del self._lost[next(iter(self._lost))]
            self._watcher.gone(label)


def _info(label: str) -> AsyncServiceInfo:
    return AsyncServiceInfo(SERVICE, f"{label}.{SERVICE}")
