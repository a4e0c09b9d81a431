"""Sockets for the device port, and the addresses under which phones reach them."""

from __future__ import annotations

import errno
import ipaddress
import socket

from edgeloop_daemon.devices.interfaces import reachable_addresses
from edgeloop_daemon.http.server import port_in_use
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.pairing import MAX_ADDRESSES

PORT_OPTION = "--device-port"
_BACKLOG = 128
# Connecting a datagram socket sends nothing; it asks the routing table which own address would be used.
_PROBES = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET, "192.168.255.254"),
    (socket.AF_INET, "10.255.255.254"),
    (socket.AF_INET6, "2001:db8::1"),
)


def bind(host: str | None, port: int) -> socket.socket:
    """Return a listening socket on `host` (an IP address; None: all interfaces) and `port` (0: any free one).

    Raises `PortInUseError`, and `InvalidInputError` for a host that is no address of this computer.
    """
    try:
        if host is not None:
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
            return socket.create_server((host, port), family=family, backlog=_BACKLOG)
        try:
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6(), backlog=_BACKLOG
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - phones are on the network
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise port_in_use(port, PORT_OPTION) from None
        if error.errno in (errno.EACCES, errno.EADDRNOTAVAIL):
            raise InvalidInputError(
                f"The device port cannot listen on {host or 'all interfaces'}, port {port}: {error.strerror}.",
                hint="Choose an address of this computer and a port above 1023.",
            ) from None
        raise


def offered_addresses(host: str | None) -> tuple[str, ...]:
    """Return the addresses at which a phone may find a socket that is bound to `host`, at most `MAX_ADDRESSES`.

    Those by which this computer reaches other networks come first, then those of other interfaces that are up. The loopback's
    is returned where there is nothing else.
    """
    if host is not None and not ipaddress.ip_address(host).is_unspecified:
        return (host,)
    found = [address for family, target in _PROBES if (address := _own_address(family, target)) is not None]
    return tuple(dict.fromkeys((*found, *reachable_addresses())))[:MAX_ADDRESSES] or ("127.0.0.1",)


def plain_address(address: str) -> str:
    """Return a peer's address as people write it: IPv4 also where it came through a socket for both families."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _own_address(family: socket.AddressFamily, target: str) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            address = ipaddress.ip_address(str(probe.getsockname()[0]).partition("%")[0])
    except OSError:
        return None
    return None if address.is_loopback or address.is_unspecified or address.is_link_local else str(address)
