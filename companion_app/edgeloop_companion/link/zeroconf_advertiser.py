"""Announcing by mDNS with zeroconf; the one module of the companion that imports it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import ifaddr
from zeroconf import NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from edgeloop_companion.link.advertising import NameTakenError
from edgeloop_shared.announcements import SERVICE, Announcement
from edgeloop_shared.networks import OwnAddress, own_addresses

TTL_SECONDS = 60  # after a kill, without a goodbye, this device is listed for that long
GOODBYE_SECONDS = 2.0

log = logging.getLogger(__name__)


class ZeroconfAdvertiser:
    """An `Advertiser` for desktops and servers."""

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return the addresses of all interfaces but the loopback's."""
        return own_addresses(ifaddr.get_adapters())

    @contextlib.asynccontextmanager
    async def advertising(
        self, name: str, port: int, announcement: Announcement, addresses: Sequence[OwnAddress]
    ) -> AsyncIterator[None]:
        """Announce on the interfaces of `addresses` for the block. Raises `NameTakenError`, `OSError`."""
        info = AsyncServiceInfo(
            SERVICE,
            f"{name}.{SERVICE}",
            port=port,
            properties=announcement.txt(),
            server=f"{name}.local.",
            parsed_addresses=[one.address for one in addresses],
            host_ttl=TTL_SECONDS,
            other_ttl=TTL_SECONDS,
        )
        zeroconf = AsyncZeroconf(interfaces=_interfaces(addresses))
        try:
            try:
                announced = asyncio.ensure_future(await zeroconf.async_register_service(info))
            except NonUniqueNameException:
                raise NameTakenError(name) from None
            try:
                yield
            finally:
                await asyncio.wait({announced}, timeout=GOODBYE_SECONDS)
                await _say_goodbye(zeroconf, info)
        finally:
            await _close(zeroconf)


async def _close(zeroconf: AsyncZeroconf) -> None:
    """Close the sockets, also when the task is cancelled in the midst of it."""
    closing = asyncio.ensure_future(zeroconf.async_close())
    try:
        await asyncio.shield(closing)
    finally:
        await asyncio.wait({closing})


async def _say_goodbye(zeroconf: AsyncZeroconf, info: AsyncServiceInfo) -> None:
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            # The first await begins to say it, the second waits until it is said.
            await (await zeroconf.async_unregister_service(info))
    except (TimeoutError, OSError) as error:
        log.debug("no goodbye: %r", error)


def _interfaces(addresses: Sequence[OwnAddress]) -> list[str | int]:
    """Return what zeroconf calls interfaces: IPv4 addresses, and indexes where there is IPv6."""
    found: dict[str | int, None] = {}
    for one in addresses:
        found[one.index if ":" in one.address else one.address] = None
    return list(found)
