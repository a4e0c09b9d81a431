"""The UDP port at which this device takes knocks (`edgeloop_shared.knocks`). It never answers; what is wrong it drops."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from edgeloop_companion.link.pairing import Pairing
from edgeloop_shared.errors import MessageError
from edgeloop_shared.knocks import KNOCK_BYTES, unpack_knock
from edgeloop_shared.networks import OwnAddress, is_on_link

DIAL_SECONDS = 10.0
MAX_DATAGRAMS = 8  # of one sender in a second: to verify one may take as many hashes as there are pairings
MAX_SENDERS = 64


class Knockable(Protocol):
    """A paired daemon. `linked_at` is the monotonic time of its last link, minus infinity while there was none."""

    pairing: Pairing
    linked_at: float

    def knock(self, address: str, port: int) -> None:
        """Dial it there now."""


class KnockPort:
    """Takes knocks from `hosts`, on-link senders only, each once. After one that led to no link the next 10 s bring no other.

    `addresses` are those of this device; `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        hosts: Callable[[], Sequence[Knockable]],
        addresses: Callable[[], Sequence[OwnAddress]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = hosts
        self._addresses = addresses
        self._clock = clock
        self._salt = b""
        self._counters: dict[str, int] = {}
        self._dialled: dict[str, float] = {}
        self._second = 0
        self._datagrams: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def listening(self, salt: bytes) -> AsyncIterator[int]:
        """Take knocks for the announcement with this salt; yield the port."""
        self._salt, self._counters = salt, {}
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Protocol(self), sock=_bound())
        try:
            yield int(transport.get_extra_info("sockname")[1])
        finally:
            transport.close()

    def take(self, datagram: bytes, sender: tuple[Any, ...]) -> None:
        """Have the host dialled that knocks, or do nothing."""
        if len(datagram) != KNOCK_BYTES or not self._is_within_limit(str(sender[0])):
            return
        address = _address(sender)
        if not is_on_link(address, self._addresses()):
            return
        try:
            knock = unpack_knock(datagram)
        except MessageError:
            return
        for host in self._hosts():
            if knock.is_of(host.pairing.key, self._salt):
                self._obey(host, address, knock.port, knock.counter)
                return

    def _obey(self, host: Knockable, address: str, port: int, counter: int) -> None:
        device_id, now = host.pairing.device_id, self._clock()
        if counter <= self._counters.get(device_id, -1):
            return
        self._counters[device_id] = counter
        dialled = self._dialled.get(device_id, -math.inf)
        if now - dialled >= DIAL_SECONDS or host.linked_at > dialled:
            self._dialled[device_id] = now
            host.knock(address, port)

    def _is_within_limit(self, sender: str) -> bool:
        if self._second != (second := int(self._clock())):
            self._second = second
            self._datagrams.clear()
        if sender not in self._datagrams and len(self._datagrams) >= MAX_SENDERS:
            return False
        self._datagrams[sender] += 1
        return self._datagrams[sender] <= MAX_DATAGRAMS


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, port: KnockPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._port.take(data, addr)


def _bound() -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 is switched off
            dual = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            try:
                dual.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                dual.bind(("::", 0))
            except OSError:
                dual.close()
                raise
            dual.setblocking(False)
            return dual
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind(("0.0.0.0", 0))  # noqa: S104 - only on-link senders are heard
    plain.setblocking(False)
    return plain


def _address(sender: tuple[Any, ...]) -> str:
    """Return a sender's address as it is dialled: IPv4 as such, IPv6 of one link with the index of the interface."""
    text = str(sender[0]).partition("%")[0]
    parsed = ipaddress.ip_address(text)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if parsed.is_link_local:
            return f"{parsed}%{sender[3]}"
    return text
