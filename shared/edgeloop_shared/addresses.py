"""The address of a device port, as it is shown to a person, and as a person types it."""

from __future__ import annotations

from edgeloop_shared.codec import printable
from edgeloop_shared.errors import InvalidInputError

MAX_HOST = 253  # characters of a DNS name, RFC 1035


def parse_address(text: str) -> tuple[str, int]:
    """Return the host (an IP address or a name) and the port of `HOST:PORT`. Raises `InvalidInputError`."""
    host, _, port = text.strip().rpartition(":")
    host = host.strip("[]")
    if not 0 < len(host) <= MAX_HOST or not _is_port(port) or any(c.isspace() or c in "/@?#" for c in host):
        raise InvalidInputError(
            f"{printable(text)!r} is no address.", hint="Write it as HOST:PORT, such as 192.168.1.7:40123."
        )
    return host, int(port)


def show_address(host: str, port: int) -> str:
    """Return `HOST:PORT`, which `parse_address` takes; an IPv6 address stands in brackets (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
