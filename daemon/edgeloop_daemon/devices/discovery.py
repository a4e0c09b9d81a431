"""Finding phones: browsing by mDNS while it is switched on, telling who comes and goes, and knocking at paired ones."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from edgeloop_daemon.devices.knocking import KnockCounter, Knocker
from edgeloop_daemon.devices.links import Links
from edgeloop_daemon.devices.listener import Listener
from edgeloop_daemon.devices.nearby import Nearby, Phone, Watcher
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import Occurrence, PhoneGone, PhoneSeen
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.settings import read_setting, write_setting
from edgeloop_shared.errors import StorageError
from edgeloop_shared.networks import OwnAddress, is_on_link

POLL_SECONDS = 2.0
RETRY_SECONDS = 30.0
MAX_TOLD_STRANGERS = 32  # whose coming is an event, in a minute
_SETTING = "discovery"
_log = logging.getLogger(__name__)

DiscoveryState = Literal["off", "starting", "on", "failed"]


class Browser(Protocol):
    """How a platform browses by mDNS."""

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return this computer's addresses now. Blocks for a moment."""

    def browsing(self, watcher: Watcher, addresses: Sequence[OwnAddress]) -> AbstractAsyncContextManager[None]:
        """Tell `watcher` who comes and goes on the interfaces of `addresses`. Raises `OSError`."""


@dataclass(frozen=True)
class NearbyPhone:
    """A phone that announces itself. `name` is random; `device` is the id of the paired device that it is.

    `unanswered_knocks` grows while a paired phone is seen and does not come. `since` is in seconds since the epoch.
    """

    name: str
    device: str | None
    device_name: str | None
    is_linked: bool
    addresses: tuple[str, ...]
    unanswered_knocks: int
    since: float


@dataclass(frozen=True)
class NearbyPhones:
    """Who is nearby, the first to come first. `reason` says why phones are not looked for, unless that was asked for.

    `addresses` are those of this computer on whose interfaces phones are looked for, with the length of the prefix.
    """

    state: DiscoveryState
    reason: str
    addresses: tuple[str, ...]
    items: tuple[NearbyPhone, ...]


class Discovery:
    """The phones nearby. `forbidden` is the reason for which it stays off, whatever is asked for (empty: there is none)."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        links: Links,
        listener: Listener,
        load_browser: Callable[[], Browser],
        *,
        host: str | None,
        forbidden: str,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._database = database
        self._registry = registry
        self._links = links
        self._listener = listener
        self._load_browser = load_browser
        self._host = host
        self._forbidden = forbidden
        self._poll_seconds = poll_seconds
        self._nearby = Nearby(registry, self._changed)
        self._knocker = Knocker(
            self._nearby,
            KnockCounter(database),
            lambda device_id: links.address(device_id) is not None,
            lambda: listener.port,
            host,
        )
        links.on_change.append(self._knocker.wake)
        self._is_on = True
        self._before: tuple[OwnAddress, ...] = ()  # the addresses of this computer when it was looked last
        self._switched = asyncio.Event()
        self._begun = asyncio.Event()
        self._state: DiscoveryState = "off" if forbidden else "starting"
        self._reason = forbidden
        self._tellings: asyncio.Queue[Occurrence] = asyncio.Queue(1024)
        self._told_strangers = 0.0, 0  # since that minute

    def begin(self) -> None:
        """Begin to look for phones; not before the daemon can answer, because to import zeroconf takes a while."""
        self._begun.set()

    async def switch(self, is_on: bool) -> NearbyPhones:
        """Look for phones from now on, or do not; later daemons will do the same. Return what is so now."""
        await self._database.write(lambda db: write_setting(db, _SETTING, is_on))
        self._is_on = is_on
        if not self._forbidden:
            self._state, self._reason = ("starting" if is_on else "off"), ""
        self._begun.set()
        self._switched.set()
        return self.nearby()

    def nearby(self) -> NearbyPhones:
        """Return who is nearby now."""
        addresses = tuple(one.network for one in self._nearby.own) if self._state == "on" else ()
        return NearbyPhones(self._state, self._reason, addresses, tuple(map(self._shown, self._nearby.phones.values())))

    def is_nearby(self, device_id: str) -> bool:
        """Return whether the paired device announces itself."""
        return bool(self._nearby.of_device(device_id))

    def is_on_link(self, address: str) -> bool | None:
        """Return whether an address is reached without a router; None while phones are not looked for."""
        return is_on_link(address, self._nearby.own) if self._state == "on" else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for phones for the block, once `begin` was called."""
        tasks = [asyncio.create_task(work) for work in (self._look(), self._knocker.run(), self._tell())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        await self._begun.wait()
        if self._forbidden:
            return
        self._is_on = self._is_on and await self._stored()
        browser: Browser | None = None
        while True:
            self._switched.clear()
            if not self._is_on:
                self._state = "off"
                await self._switched.wait()
                continue
            try:
                if browser is None:
                    browser = await asyncio.to_thread(self._load_browser)
                await self._browse(browser)
            except (OSError, ImportError) as error:
                self._fail(str(error) or type(error).__name__)
                await self._wait(RETRY_SECONDS)
            except Exception as error:
                _log.exception("phones cannot be looked for")
                self._fail(f"a fault in edgeloop: {type(error).__name__}: {error}")
                await self._wait(RETRY_SECONDS)

    async def _browse(self, browser: Browser) -> None:
        """Look for phones until something changes."""
        addresses = self._usable(await asyncio.to_thread(browser.addresses))
        self._listener.moved({one.address for one in self._before} - {one.address for one in addresses})
        self._before = addresses
        if not addresses:
            self._fail("this computer is in no network")
            await self._wait(self._poll_seconds)
            return
        self._nearby.own = addresses
        try:
            async with browser.browsing(self._nearby, addresses):
                self._state, self._reason = "on", ""
                while not await self._wait(self._poll_seconds):
                    if self._usable(await asyncio.to_thread(browser.addresses)) != addresses:
                        return
        finally:
            self._nearby.clear()

    def _usable(self, addresses: Sequence[OwnAddress]) -> tuple[OwnAddress, ...]:
        """Return those at which the device port listens."""
        return tuple(one for one in addresses if self._host in (None, one.address))

    def _fail(self, reason: str) -> None:
        self._state, self._reason = "failed", reason

    async def _wait(self, seconds: float) -> bool:
        """Wait until it is switched, or for some seconds; return whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._switched.wait()
        except TimeoutError:
            return False
        return True

    async def _stored(self) -> bool:
        try:
            return await self._database.read(lambda db: read_setting(db, _SETTING)) is not False
        except StorageError:
            return True

    def _changed(self, phone: Phone, is_here: bool) -> None:
        self._knocker.wake()
        if phone.device is None and not self._may_tell_of_stranger():
            return
        kind = PhoneSeen if is_here else PhoneGone
        with contextlib.suppress(asyncio.QueueFull):
            self._tellings.put_nowait(kind(phone.name, phone.device))

    def _may_tell_of_stranger(self) -> bool:
        minute = time.monotonic() // 60
        count = self._told_strangers[1] + 1 if self._told_strangers[0] == minute else 1
        self._told_strangers = minute, count
        return count <= MAX_TOLD_STRANGERS

    async def _tell(self) -> None:
        while True:
            occurrence = await self._tellings.get()
            try:
                await self._database.write(lambda db, told=occurrence: record_event(db, told))  # type: ignore[misc]
            except StorageError as error:
                _log.warning("that a phone came or went is not noted: %s", error)

    def _shown(self, phone: Phone) -> NearbyPhone:
        device = self._registry.find(phone.device) if phone.device is not None else None
        return NearbyPhone(
            phone.name,
            device.id if device else None,
            device.info.name if device else None,
            device is not None and self._links.address(device.id) is not None,
            phone.addresses,
            phone.knocks,
            phone.since,
        )


def load_zeroconf_browser() -> Browser:
    """Return the browser of desktops. Blocks: to import it takes a tenth of a second."""
    from edgeloop_daemon.devices.zeroconf_browser import ZeroconfBrowser

    return ZeroconfBrowser()


def reason_against(host: str | None, is_allowed: bool) -> str:
    """Return why phones cannot be looked for when the device port listens at `host` (None: everywhere); or nothing."""
    if not is_allowed:
        return "EDGELOOP_MDNS is off"
    if host is not None and ipaddress.ip_address(host).is_loopback:
        return "the device port listens on loopback alone"
    return ""
