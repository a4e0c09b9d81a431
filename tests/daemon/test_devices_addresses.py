"""Which addresses phones are told, in network namespaces that have what a test gives them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

ASK = "from edgeloop_daemon.devices.addresses import offered_addresses; print(*offered_addresses(None))"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and the Debian package iproute2 to make a network namespace",
)


@pytest.fixture
def ip() -> Iterator[Callable[..., str]]:
    """Calls `ip` in a namespace of its own, which has nothing but a loopback that is up."""
    name = f"edgeloop-addresses-{os.getpid()}"

    def call(*arguments: str) -> str:
        return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60).stdout

    call("ip", "netns", "add", name)
    try:
        call("ip", "-n", name, "link", "set", "lo", "up")
        yield (
            lambda *arguments: (
                call("ip", "netns", "exec", name, *arguments)
                if arguments[0] == sys.executable
                else call("ip", "-n", name, *arguments)
            )
        )
    finally:
        call("ip", "netns", "del", name)


def interface(ip: Callable[..., str], name: str, *addresses: str, is_up: bool = True) -> None:
    """Add an interface with a cable whose other end is nobody's."""
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
    for address in addresses:
        ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    if is_up:
        for end in (name, f"{name}-end"):
            ip("link", "set", end, "up")


def offered(ip: Callable[..., str]) -> list[str]:
    return ip(sys.executable, "-c", ASK).split()


def test_without_a_network_there_is_the_loopback_alone(ip: Callable[..., str]) -> None:
    assert offered(ip) == ["127.0.0.1"]


def test_every_interface_that_is_up_is_named_also_without_a_default_route(ip: Callable[..., str]) -> None:
    interface(ip, "wired", "198.18.3.1/24", "2001:db8:3::1/64")
    interface(ip, "hotspot", "198.18.4.1/24")
    interface(ip, "unplugged", "198.18.5.1/24", is_up=False)
    assert sorted(offered(ip)) == ["198.18.3.1", "198.18.4.1", "2001:db8:3::1"]


def test_the_address_of_the_default_route_comes_first(ip: Callable[..., str]) -> None:
    interface(ip, "hotspot", "198.18.4.1/24")
    interface(ip, "wired", "198.18.3.1/24")
    ip("route", "add", "default", "via", "198.18.3.254")
    assert offered(ip) == ["198.18.3.1", "198.18.4.1"]


def test_a_bridge_to_containers_counts_only_where_there_is_nothing_else(ip: Callable[..., str]) -> None:
    interface(ip, "docker0", "198.18.6.1/24")
    assert offered(ip) == ["198.18.6.1"]
    interface(ip, "wired", "198.18.3.1/24")
    assert offered(ip) == ["198.18.3.1"]
