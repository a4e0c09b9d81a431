"""Knocking: asking paired phones that are nearby and have no link to dial this computer now."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import socket
import time
from collections.abc import Callable

from edgeloop_daemon.devices.nearby import Nearby, Phone
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.store.settings import read_setting, write_setting
from edgeloop_daemon.store.tables import Tables
from edgeloop_shared.errors import StorageError
from edgeloop_shared.knocks import pack_knock

LAST_PAUSE_SECONDS = 30.0
_SETTING = "knock_counter"
_BLOCK = 1024
_log = logging.getLogger(__name__)


class KnockCounter:
    """A number that grows with every knock, also from daemon to daemon: what an earlier one has sent is worthless."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 0
        self._reserved = 0

    async def next(self) -> int:
        """Return it. Raises `StorageError` when a further block of numbers cannot be reserved."""
        if self._next >= self._reserved:
            self._next = await self._database.write(_reserve)
            self._reserved = self._next + _BLOCK
        number, self._next = self._next, self._next + 1
        return number


def _reserve(db: Tables) -> int:
    first = int(read_setting(db, _SETTING) or 1)
    write_setting(db, _SETTING, first + _BLOCK)
    return first


class Knocker:
    """Knocks at each paired phone of `nearby` that `is_linked` denies: at once, then after 1, 2, 4 ... at most 30 s.

    The addresses of a phone take turns, IPv4 first. `device_port` returns the port to dial, or None while it is closed; knocks
    go out from `host`, at which that port listens (None: from any address).
    """

    def __init__(
        self,
        nearby: Nearby,
        counter: KnockCounter,
        is_linked: Callable[[str], bool],
        device_port: Callable[[], int | None],
        host: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nearby = nearby
        self._counter = counter
        self._is_linked = is_linked
        self._device_port = device_port
        self._host = host
        self._clock = clock
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look again who is nearby and who is linked."""
        self._wake.set()

    async def run(self) -> None:
        """Knock until cancelled."""
        while True:
            self._wake.clear()
            due = math.inf
            for phone in self._nearby.paired():
                if self._is_linked(phone.device or ""):
                    phone.knocks, phone.next_knock = 0, 0.0
                    continue
                if phone.next_knock <= self._clock():
                    await self._knock(phone)
                due = min(due, phone.next_knock)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due == math.inf else max(0.0, due - self._clock())):
                    await self._wake.wait()

    async def _knock(self, phone: Phone) -> None:
        phone.next_knock = self._clock() + min(LAST_PAUSE_SECONDS, 2.0**phone.knocks)
        port, device = self._device_port(), self._nearby.registry.find(phone.device or "")
        addresses = sorted(phone.addresses, key=_is_second_choice)
        if port is None or device is None or not addresses:
            return
        try:
            counter = await self._counter.next()
        except StorageError as error:
            _log.warning("no knock at %s: %s", phone.device, error)
            return
        datagram = pack_knock(device.key, phone.announcement.salt, port, counter)
        address = addresses[phone.knocks % len(addresses)]
        phone.knocks += 1
        try:
            self._send(datagram, address, phone.port)
        except OSError as error:
            _log.info("no knock at %s (%s): %s", phone.device, address, error)

    def _send(self, datagram: bytes, address: str, port: int) -> None:
        text, _, scope = address.partition("%")
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            if self._host is not None and (":" in self._host) == (":" in text):
                sender.bind((self._host, 0))
            if family == socket.AF_INET:
                sender.sendto(datagram, (text, port))
            else:
                index = int(scope) if scope.isdigit() else socket.if_nametoindex(scope) if scope else 0
                sender.sendto(datagram, (text, port, 0, index))


def _is_second_choice(address: str) -> tuple[bool, bool]:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return parsed.version == 6, parsed.is_link_local
