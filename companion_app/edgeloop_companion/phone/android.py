"""Android, through pyjnius. It has never run on a phone: `tests/companion_app/test_phone_on_android.py` holds which calls it makes.

Names of constants are spelled out as the numbers and words that Android's reference gives: each constant would be one more
call into Java. Permissions that this needs: `CHANGE_WIFI_MULTICAST_STATE`, `ACCESS_NETWORK_STATE`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jnius
from android.broadcast import BroadcastReceiver

from edgeloop_companion.link.advertising import Advertiser
from edgeloop_companion.phone.desktop import free_bytes
from edgeloop_shared.announcements import Announcement
from edgeloop_shared.device_states import Throttling, Vitals
from edgeloop_shared.networks import OwnAddress

CHANGES = ("android.net.conn.CONNECTIVITY_CHANGE", "android.net.wifi.STATE_CHANGE")
_BATTERY_CHANGED = "android.intent.action.BATTERY_CHANGED"
_CHARGING, _FULL = 2, 5  # BatteryManager.BATTERY_STATUS_*
_STATUSES = range(2, 6)  # without BATTERY_STATUS_UNKNOWN
_THROTTLING: tuple[Throttling, ...] = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_THERMAL_STATUS_API = 29


def activity() -> Any:
    """Return the app's `Activity`. Call it in Python's first thread: others do not find the app's own classes."""
    return jnius.autoclass("org.kivy.android.PythonActivity").mActivity


def multicast_lock(context: Any) -> Any:
    """Return a `WifiManager.MulticastLock` that counts how often it is held."""
    lock = context.getSystemService("wifi").createMulticastLock("edgeloop")
    lock.setReferenceCounted(True)
    return lock


class AndroidVitals:
    """A `VitalsReader`: the sticky broadcast of the battery, and the thermal state (Android 10 and newer)."""

    def __init__(self, folder: Path, context: Any) -> None:
        self._folder = folder
        self._context = context
        self._battery_changed = jnius.autoclass("android.content.IntentFilter")(_BATTERY_CHANGED)
        version = jnius.autoclass("android.os.Build$VERSION").SDK_INT
        self._power = context.getSystemService("power") if version >= _THERMAL_STATUS_API else None

    def read(self) -> Vitals:
        """Ask Android; what it refuses is not told. The thread leaves Java again: one that ends inside it crashes the app."""
        try:
            percent, is_charging, celsius = self._battery()
            throttling = self._throttling()
        except jnius.JavaException:
            percent = is_charging = celsius = throttling = None
        finally:
            jnius.detach()
        return Vitals(percent, is_charging, celsius, None, throttling, free_bytes(self._folder))

    def _battery(self) -> tuple[int | None, bool | None, float | None]:
        # Without a receiver Android answers with the last broadcast and registers nothing.
        battery = self._context.registerReceiver(None, self._battery_changed)
        if battery is None:
            return None, None, None
        level, scale = battery.getIntExtra("level", -1), battery.getIntExtra("scale", -1)
        status, tenths = battery.getIntExtra("status", -1), battery.getIntExtra("temperature", 0)
        percent = round(100 * level / scale) if 0 <= level <= scale and scale > 0 else None
        is_charging = status in (_CHARGING, _FULL) if status in _STATUSES else None
        return percent, is_charging, tenths / 10 if 0 < tenths < 1500 else None

    def _throttling(self) -> Throttling | None:
        if self._power is None:
            return None
        status = self._power.getCurrentThermalStatus()
        return _THROTTLING[status] if 0 <= status < len(_THROTTLING) else None


class AndroidNetworkWatch:
    """A `NetworkWatch`: broadcasts, which come in a thread of their own."""

    @contextlib.contextmanager
    def watching(self, changed: Callable[[], None]) -> Iterator[None]:
        """Register a receiver for the block."""
        loop = asyncio.get_running_loop()

        def receive(_context: Any, _intent: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed)

        receiver = BroadcastReceiver(receive, actions=list(CHANGES))
        receiver.start()
        try:
            yield
        finally:
            receiver.stop()


class AndroidAdvertiser:
    """An `Advertiser` that holds a `MulticastLock` while it announces: without one Android's Wi-Fi drops multicast."""

    def __init__(self, lock: Any, advertiser: Advertiser) -> None:
        self._lock = lock
        self._advertiser = advertiser

    def addresses(self) -> tuple[OwnAddress, ...]:
        """Return what the advertiser inside returns."""
        return self._advertiser.addresses()

    @contextlib.asynccontextmanager
    async def advertising(
        self, name: str, port: int, announcement: Announcement, addresses: Sequence[OwnAddress]
    ) -> AsyncIterator[None]:
        """Announce with the lock held. Raises `NameTakenError`, `OSError`."""
        try:
            self._lock.acquire()
        except jnius.JavaException as error:  # the permission is missing, or too many locks are held
            raise OSError(f"Android refuses a multicast lock: {error}") from error
        try:
            async with self._advertiser.advertising(name, port, announcement, addresses):
                yield
        finally:
            self._lock.release()
