"""Being found: while it is switched on, this device announces itself to its network and takes knocks.

An announcement has a name, a salt and a port of its own. Whenever the addresses or the pairings change a fresh one takes its
place, so that a device which moves from network to network cannot be followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from edgeloop_companion.link.knock_port import Knockable, KnockPort
from edgeloop_shared.announcements import Announcement, new_announcement, new_name
from edgeloop_shared.network_reports import AdvertisingState
from edgeloop_shared.networks import OwnAddress

POLL_SECONDS = 2.0
RETRY_SECONDS = 30.0

log = logging.getLogger(__name__)


class NameTakenError(Exception):
    """Another one in the network has the instance name."""


class Advertiser(Protocol):
    """How a platform announces a service by mDNS. (Android's also holds a `MulticastLock`.)"""

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return this device's addresses now. May block for some milliseconds."""

    def advertising(
        self, name: str, port: int, announcement: Announcement, addresses: Sequence[OwnAddress]
    ) -> AbstractAsyncContextManager[None]:
        """Announce for the block, and say goodbye at its end. Raises `NameTakenError`, `OSError`."""


class Advertising:
    """Announces this device to the daemons of `hosts` as long as `run` runs and it is switched on.

    Among them may be some that are only to be told that they are forgotten.
    `moved` is told this device's addresses when they have changed.
    """

    def __init__(
        self,
        load_advertiser: Callable[[], Advertiser],
        hosts: Callable[[], Sequence[Knockable]],
        *,
        is_on: bool,
        moved: Callable[[frozenset[str]], None] = lambda _: None,
        poll_seconds: float = POLL_SECONDS,
        names: Callable[[], str] = new_name,
    ) -> None:
        self._load_advertiser = load_advertiser
        self._hosts = hosts
        self._is_on = is_on
        self._is_paused = False
        self._moved = moved
        self._poll_seconds = poll_seconds
        self._names = names
        self._addresses: tuple[OwnAddress, ...] = ()
        self._knocks = KnockPort(hosts, lambda: self._addresses)
        self._changed = asyncio.Event()
        self.problem = ""
        """Why it fails, if it does."""

    @property
    def state(self) -> AdvertisingState:
        """Whether this device is announced, or will be in a moment."""
        if not self._is_on or self._is_paused:
            return "off"
        return "failed" if self.problem else "on"

    def switch(self, is_on: bool) -> None:
        """Switch it on or off."""
        self._is_on = is_on
        self._changed.set()

    def pause(self, is_paused: bool) -> None:
        """Announce nothing for a while although it is switched on, because nobody sees the app."""
        self._is_paused = is_paused
        self._changed.set()

    def refresh(self) -> None:
        """Announce anew, because the pairings have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Announce until cancelled; a goodbye is said then."""
        advertiser: Advertiser | None = None
        while True:
            self._changed.clear()
            if self.state == "off":
                self.problem = ""
                await self._changed.wait()
                continue
            try:
                if advertiser is None:
                    advertiser = await asyncio.to_thread(self._load_advertiser)
                await self._announce(advertiser)
            except NameTakenError as error:
                log.info("the name %s is taken; another one is tried", error)
            except (OSError, ImportError) as error:
                self.problem = str(error) or type(error).__name__
                await self._wait(RETRY_SECONDS)
            except Exception as error:  # that it is not found must not keep a device from dialling
                log.exception("this device cannot be announced")
                self.problem = f"a fault in edgeloop: {type(error).__name__}: {error}"
                await self._wait(RETRY_SECONDS)

    async def _announce(self, advertiser: Advertiser) -> None:
        """Announce until something changes."""
        before, addresses = self._addresses, await asyncio.to_thread(advertiser.addresses)
        self._addresses = addresses
        if before and addresses != before:
            self._moved(frozenset(one.address for one in addresses))
        if not addresses:
            self.problem = "this device is in no network"
            await self._wait(self._poll_seconds)
            return
        announcement = new_announcement([host.pairing.key for host in self._hosts()])
        async with (
            self._knocks.listening(announcement.salt) as port,
            advertiser.advertising(self._names(), port, announcement, addresses),
        ):
            self.problem = ""
            while not await self._wait(self._poll_seconds):
                if await asyncio.to_thread(advertiser.addresses) != addresses:
                    return

    async def _wait(self, seconds: float) -> bool:
        """Wait until it is switched or refreshed, or for some seconds; return whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
