"""This computer's network interfaces, as the system lists them; the one module of the daemon that imports ifaddr."""

from __future__ import annotations

import ipaddress
import socket

import ifaddr

from edgeloop_shared.networks import OwnAddress, own_addresses

_VIRTUAL = ("docker", "br-", "veth", "virbr", "cni", "podman", "lxc", "lxd", "vmnet", "vboxnet")
"""How interfaces begin that lead to containers and virtual machines on this computer, where no phone is."""


def interface_addresses() -> tuple[OwnAddress, ...]:
    """Return the addresses of all interfaces but the loopback's. Blocks for a moment."""
    return own_addresses(ifaddr.get_adapters())


def reachable_addresses() -> tuple[str, ...]:
    """Return the addresses of the interfaces that are up, IPv4 first; those to containers only where there is no other.

    Addresses that mean something on their own link alone are left out.
    """
    physical: list[str] = []
    virtual: list[str] = []
    for adapter in ifaddr.get_adapters():
        found = virtual if str(adapter.nice_name).startswith(_VIRTUAL) else physical
        found += [one.address for one in own_addresses([adapter]) if not one.is_link_local and _is_up(one)]
    return tuple(sorted(physical or virtual, key=lambda address: ":" in address))


def _is_up(own: OwnAddress) -> bool:
    """Return whether the routing table leads to the neighbours of an own address: it does while the interface is up."""
    address = ipaddress.ip_interface(own.network)
    ends = (address.network.network_address, address.network.broadcast_address)
    neighbours = (type(address.ip)(int(address.ip) ^ bit) for bit in (1, 2, 4))
    neighbour = next((one for one in neighbours if one in address.network and one not in ends), address.ip)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(neighbour), 9))  # which sends nothing
            return ipaddress.ip_address(probe.getsockname()[0]) == address.ip
    except OSError:
        return False
