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
from edgeloop_shared.networks import OwnAddress, multicast_interfaces, own_addresses
from edgeloop_shared.uninterrupted import uninterrupted

TTL_SECONDS = 20  # who was killed, without a goodbye, is asked for again after that long, and is listed no longer
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
        zeroconf = AsyncZeroconf(interfaces=multicast_interfaces(addresses))
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
            await uninterrupted(zeroconf.async_close())


async def _say_goodbye(zeroconf: AsyncZeroconf, info: AsyncServiceInfo) -> None:
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            # The first await begins to say it, the second waits until it is said.
            await (await zeroconf.async_unregister_service(info))
    except (TimeoutError, OSError) as error:
        log.debug("no goodbye: %r", error)
