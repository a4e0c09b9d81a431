"""Telling computers that this device has forgotten them, when they were away as it did."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import aiohttp

from edgeloop_companion.link.connection import open_link
from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.link.pairings import Pairings
from edgeloop_shared.errors import EdgeloopError, NotPairedError
from edgeloop_shared.pairing import MAX_ADDRESSES

FIRST_SECONDS, LAST_SECONDS = 30.0, 3600.0
GOODBYE_SECONDS = 5.0

log = logging.getLogger(__name__)


class Farewell:
    """What one computer is still to be told. It is `Knockable`: a knock tells where the computer is now."""

    def __init__(self, pairing: Pairing, hurry: Callable[[], None]) -> None:
        self.pairing = pairing
        self.linked_at = -math.inf
        self._hurry = hurry

    def knock(self, address: str, port: int) -> None:
        """Tell it there now."""
        others = (one for one in self.pairing.addresses if one != address)
        self.pairing = replace(self.pairing, addresses=(address, *others)[:MAX_ADDRESSES], port=port)
        self._hurry()


class Farewells:
    """Dials computers that do not know yet that they are forgotten, ever more seldom; none of them is obeyed.

    `on_told` is called when some have heard it.
    """

    def __init__(self, pairings: Pairings, on_told: Callable[[], None]) -> None:
        self._pairings = pairings
        self._on_told = on_told
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()
        self._farewells: dict[str, Farewell] = {}

    @property
    def all(self) -> tuple[Farewell, ...]:
        """One for each computer that is still to be told."""
        known = self._farewells
        self._farewells = {
            pairing.device_id: known.get(pairing.device_id) or Farewell(pairing, self.hurry)
            for pairing in self._pairings.untold
        }
        return tuple(self._farewells.values())

    def hurry(self) -> None:
        """Dial them now: there is another one, or the network is another."""
        self._wanted.set()

    async def tried(self) -> None:
        """Return once all were dialled, or `GOODBYE_SECONDS` later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._tried.wait()

    async def run(self) -> None:
        """Tell whoever is to be told, until cancelled."""
        delay = FIRST_SECONDS
        while True:
            if (untold := self.all) and await tell(self._pairings, [one.pairing for one in untold]):
                self._on_told()
            self._tried.set()
            try:
                async with asyncio.timeout(delay if self._pairings.untold else None):
                    await self._wanted.wait()
                delay = FIRST_SECONDS
            except TimeoutError:
                delay = min(LAST_SECONDS, 2 * delay)
            self._wanted.clear()


async def tell(pairings: Pairings, untold: Sequence[Pairing]) -> bool:
    """Tell computers that they are forgotten, all at once; keep nothing of those that have heard it. Return whether any has."""
    answers = zip(untold, await asyncio.gather(*map(_hears, untold)), strict=True)
    heard = [pairing for pairing, has_heard in answers if has_heard]
    try:
        await asyncio.to_thread(pairings.told, *heard)
    except OSError as error:  # then they are told again, and answer that they know
        log.warning("who knows that this device has forgotten it is not kept: %s", error)
    return bool(heard)


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
