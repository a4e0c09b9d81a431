"""Linux and macOS computers, and Linux on a phone: what the kernel's files and the standard library tell."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeloop_companion.phone.network_watch import NetworkWatch, NoNetworkWatch
from edgeloop_shared.device_states import Vitals
from edgeloop_shared.processor_state import ProcessorSensors

GATHER_SECONDS = 0.2  # one change of a network comes as several messages
# Groups of rtnetlink(7), from linux/rtnetlink.h: links, and addresses and routes of both families.
_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400
_GROUPS = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV6_ADDRESS | _IPV6_ROUTE


class DesktopVitals:
    """A `VitalsReader`. `folder` is where blobs are kept, `system` where Linux has its sysfs; elsewhere only storage is told."""

    def __init__(self, folder: Path, system: Path = Path("/sys")) -> None:
        self._folder = folder
        self._supplies = system / "class" / "power_supply"
        self._sensors = ProcessorSensors(system)

    def read(self) -> Vitals:
        """Read the files anew."""
        percent, is_charging = self._battery()
        return Vitals(
            battery_percent=percent,
            is_charging=is_charging,
            battery_celsius=self._sensors.battery_celsius(),
            processor_celsius=self._sensors.celsius(),
            free_bytes=free_bytes(self._folder),
        )

    def _battery(self) -> tuple[int | None, bool | None]:
        """Return the charge of the first battery that is the computer's own, and whether it is being charged.

        Documentation/ABI/testing/sysfs-class-power of Linux names the files; a battery of scope `Device` is a mouse's, say.
        """
        with contextlib.suppress(OSError):  # no Linux
            for supply in sorted(self._supplies.iterdir()):
                if _text(supply / "type") == "Battery" and _text(supply / "scope") != "Device":
                    capacity, status = _text(supply / "capacity"), _text(supply / "status")
                    percent = min(int(capacity), 100) if capacity.isdecimal() else None
                    return percent, None if status in ("", "Unknown") else status in ("Charging", "Full")
        return None, None


class NetlinkWatch:
    """A `NetworkWatch` for Linux: the kernel tells of links, addresses and routes as they change (rtnetlink(7))."""

    @contextlib.contextmanager
    def watching(self, changed: Callable[[], None]) -> Iterator[None]:
        """Tell of a change once it is quiet again."""
        loop = asyncio.get_running_loop()
        told: asyncio.TimerHandle | None = None

        def take() -> None:
            nonlocal told
            with contextlib.suppress(BlockingIOError, OSError):  # ENOBUFS: more has happened than is told one by one
                while source.recv(65536):
                    pass
            if told is not None:
                told.cancel()
            told = loop.call_later(GATHER_SECONDS, changed)

        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as source:
            source.setblocking(False)
            source.bind((0, _GROUPS))
            loop.add_reader(source, take)
            try:
                yield
            finally:
                loop.remove_reader(source)
                if told is not None:
                    told.cancel()


def network_watch() -> NetworkWatch:
    """Return how this system tells of changes of its network, if it does."""
    return NetlinkWatch() if sys.platform == "linux" else NoNetworkWatch()


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes a user may still write below `folder`; None when the system does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
