"""Telling computers that this device has forgotten them, when they were away as it did."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from edgeloop_companion.link.connection import open_link
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_shared.errors import EdgeloopError, NotPairedError

FIRST_SECONDS, LAST_SECONDS = 30.0, 3600.0

log = logging.getLogger(__name__)


class Farewells:
    """Dials computers that do not know yet that they are forgotten, ever more seldom; none of them is obeyed."""

    def __init__(self, pairings: Pairings) -> None:
        self._pairings = pairings
        self._wanted = asyncio.Event()

    def hurry(self) -> None:
        """Dial them now: there is another one, or the network is another."""
        self._wanted.set()

    async def run(self) -> None:
        """Tell whoever is to be told, until cancelled."""
        delay = FIRST_SECONDS
        while True:
            await tell(self._pairings)
            try:
                async with asyncio.timeout(delay if self._pairings.untold else None):
                    await self._wanted.wait()
                delay = FIRST_SECONDS
            except TimeoutError:
                delay = min(LAST_SECONDS, 2 * delay)
            self._wanted.clear()


async def tell(pairings: Pairings) -> None:
    """Tell whoever is still to be told, all at once; keep nothing of those that have heard it."""
    untold = pairings.untold
    heard = await asyncio.gather(*map(_hears, untold))
    try:
        await asyncio.to_thread(
            pairings.told, *(one for one, has_heard in zip(untold, heard, strict=True) if has_heard)
        )
    except OSError as error:  # then they are told again, and answer that they know
        log.warning("who knows that this device has forgotten it is not kept: %s", error)


async def _hears(pairing: Pairing) -> bool:
    for address in pairing.addresses:
        try:
            async with open_link(pairing, address) as link:
                return await link.only_unpair(pairing.device_id)
        except NotPairedError:
            return True
        except (EdgeloopError, aiohttp.ClientError, ConnectionError) as error:
            log.debug("%s at %s is not told that it is forgotten: %s", pairing.host_name, address, error)
    return False
