"""Own addresses, and who is on-link: reached without a router."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class OwnAddress:
    """An address of this machine: `index` is its interface's, `network` has its prefix length, as `192.168.1.5/24`."""

    index: int
    network: str

    @property
    def address(self) -> str:
        """The address alone."""
        return self.network.partition("/")[0]

    @property
    def is_link_local(self) -> bool:
        """Whether it means something on its own link alone."""
        return ipaddress.ip_address(self.address).is_link_local


def own_addresses(adapters: Iterable[Any]) -> tuple[OwnAddress, ...]:
    """Return the addresses of `ifaddr.get_adapters()`, without the loopback's, in a stable order."""
    found = []
    for adapter in adapters:
        for one in adapter.ips:
            text = one.ip[0] if isinstance(one.ip, tuple) else one.ip
            if not ipaddress.ip_address(text).is_loopback:
                found.append(OwnAddress(adapter.index or 0, f"{text}/{one.network_prefix}"))
    return tuple(sorted(found))


def multicast_interfaces(addresses: Sequence[OwnAddress]) -> list[str | int]:
    """Return what zeroconf calls interfaces: IPv4 addresses, and indexes where there is IPv6."""
    found: dict[str | int, None] = {}
    for one in addresses:
        found[one.index if ":" in one.address else one.address] = None
    return list(found)


def is_on_link(address: str, own: Sequence[OwnAddress]) -> bool:
    """Return whether `address` (IPv6 with or without a scope) is reached without a router, by one of `own`."""
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if peer.is_loopback:
        return True
    if peer.is_multicast or peer.is_unspecified:
        return False
    return any(peer in ipaddress.ip_interface(one.network).network for one in own)
