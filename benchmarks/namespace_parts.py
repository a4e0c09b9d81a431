"""A small network inside this machine: computers in network namespaces of their own, plugged into one switch.

Each computer has a thread with an event loop inside its namespace. A thread takes its namespace along to the threads that it
starts, so whatever runs there opens its sockets there, with real multicast that nobody else hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_PREFIX, _PREFIX6 = "198.18.7", "fd00:ed9e"  # RFC 2544 and RFC 4193: no network of anybody's
_SECONDS = 60
NEEDED = "needs root and the Debian package iproute2 to make network namespaces"
_NETWORKS = itertools.count()


def ip(*arguments: str, program: str = "ip") -> None:
    """Change a network."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"


@dataclass
class Computer:
    """One of them. `port` is where its cable ends at the switch."""

    namespace: str
    port: str
    switch: str
    number: int
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return f"{_PREFIX}.{self.number}"

    @property
    def address6(self) -> str:
        """Its IPv6 address."""
        return f"{_PREFIX6}::{self.number}"

    def do(self, work: Coroutine[Any, Any, T], seconds: float = _SECONDS) -> T:
        """Do something on this computer, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def ip(self, *arguments: str) -> None:
        """Change its network."""
        ip("-n", self.namespace, *arguments)

    def port_option(self, *option: str) -> None:
        """Change what the switch does at its port."""
        ip("-n", self.switch, "link", "set", "dev", self.port, *option, program="bridge")

    def run(self, started: threading.Event) -> None:
        """Be its thread."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{self.namespace}").open() as handle:
            assert libc.setns(handle.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(started.set)
        self.loop.run_forever()
        self.loop.run_until_complete(asyncio.sleep(0.05))  # sockets that were closed last are closed
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def can_be_made() -> bool:
    """Return whether this user can make network namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


@contextlib.contextmanager
def network(count: int) -> Iterator[list[Computer]]:
    """Run `count` computers for the block: IPv4, IPv6, and IPv6 of the link. Raises `PermissionError` unless `can_be_made`."""
    if not can_be_made():
        raise PermissionError(NEEDED)
    name = f"el{os.getpid()}-{next(_NETWORKS)}"
    switch = f"{name}-switch"
    computers = [Computer(f"{name}-{number}", f"p{number}", switch, number + 1) for number in range(count)]
    threads = []
    try:
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        for one in computers:
            ip("netns", "add", one.namespace)
            plug(one)
        for one in computers:
            started = threading.Event()
            threads.append(threading.Thread(target=one.run, args=[started], name=one.namespace))
            threads[-1].start()
            assert started.wait(_SECONDS)
        yield computers
    finally:
        for one, thread in zip(computers, threads, strict=False):
            one.loop.call_soon_threadsafe(one.loop.stop)
            thread.join(_SECONDS)
        for name in (switch, *(one.namespace for one in computers)):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def plug(one: Computer) -> None:
    """Plug a computer into the switch."""
    batch = (
        f"link add net0 type veth peer name {one.port} netns {one.switch}",
        "link set lo up",
        "link set net0 addrgenmode none",
        f"addr add {one.address}/24 dev net0",
        f"addr add {one.address6}/64 dev net0 nodad",
        f"addr add fe80::{one.number}/64 dev net0 nodad",
        "link set net0 up",
    )
    _batch(one.namespace, batch)
    _batch(one.switch, (f"link set {one.port} addrgenmode none", f"link set {one.port} master br0 up"))


def _batch(namespace: str, lines: tuple[str, ...]) -> None:
    command = ["ip", "-n", namespace, "-batch", "-"]
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, f"{lines}: {done.stderr}"
