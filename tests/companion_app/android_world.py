"""What the companion sees of Android, as Python objects with the names of Android's own reference: `jnius` and `android`.

Nothing here answers to a name that Android does not have, and what a call expects is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class JavaException(Exception):  # noqa: N818 - pyjnius calls it so
    """What pyjnius raises."""


@dataclass
class Intent:
    extras: dict[str, int]

    def getIntExtra(self, name: str, default: int) -> int:
        return self.extras.get(name, default)


@dataclass
class IntentFilter:
    action: str


@dataclass
class MulticastLock:
    is_granted: bool = True
    holders: int = 0
    counts: bool = False

    def setReferenceCounted(self, counts: bool) -> None:
        self.counts = counts

    def acquire(self) -> None:
        if not self.is_granted:
            raise JavaException("java.lang.SecurityException: CHANGE_WIFI_MULTICAST_STATE")
        self.holders += 1

    def release(self) -> None:
        assert self.holders, "MulticastLock under-locked"
        self.holders -= 1


@dataclass
class AndroidWorld:
    """A phone. `battery` are the extras of its sticky broadcast, None where it has no battery."""

    api: int = 34
    battery: dict[str, int] | None = field(
        default_factory=lambda: {"level": 40, "scale": 50, "status": 3, "temperature": 312}
    )
    thermal_status: int = 0
    lock: MulticastLock = field(default_factory=MulticastLock)
    attached: int = 0
    receivers: list[BroadcastReceiver] = field(default_factory=list)
    classes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        activity = SimpleNamespace(getApplicationContext=lambda: self)
        self.classes |= {
            "android.content.IntentFilter": IntentFilter,
            "android.os.Build$VERSION": SimpleNamespace(SDK_INT=self.api),
            "org.kivy.android.PythonActivity": SimpleNamespace(mActivity=activity),
        }

    # android.content.Context

    def registerReceiver(self, receiver: object, filter: IntentFilter) -> Intent | None:  # noqa: A002 - its name there
        self.attached += 1
        assert receiver is None
        assert filter.action == "android.intent.action.BATTERY_CHANGED"
        return None if self.battery is None else Intent(self.battery)

    def getSystemService(self, name: str) -> Any:
        services = {
            "wifi": SimpleNamespace(createMulticastLock=self._create_lock),
            "power": SimpleNamespace(getCurrentThermalStatus=self._thermal_status),
        }
        return services[name]

    def broadcast(self, action: str) -> None:
        """Send an intent to all who have registered for it."""
        for receiver in self.receivers:
            if action in receiver.actions:
                receiver.callback(self, SimpleNamespace(getAction=lambda: action))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Be what `import jnius` and `import android` find."""

        def autoclass(name: str) -> Any:
            if name not in self.classes:
                raise JavaException(f"Class not found {name}")
            return self.classes[name]

        def detach() -> None:
            self.attached = 0

        def broadcast_receiver(callback: Callable[..., None], actions: list[str]) -> BroadcastReceiver:
            return BroadcastReceiver(self, callback, tuple(actions))

        add_module(patch, "jnius", autoclass=autoclass, detach=detach, JavaException=JavaException)
        add_module(patch, "android")
        add_module(patch, "android.broadcast", BroadcastReceiver=broadcast_receiver)

    def _create_lock(self, tag: str) -> MulticastLock:
        assert tag
        return self.lock

    def _thermal_status(self) -> int:
        assert self.api >= 29, "NoSuchMethodError"
        return self.thermal_status


@dataclass
class BroadcastReceiver:
    """`android.broadcast.BroadcastReceiver` of python-for-android."""

    world: AndroidWorld
    callback: Callable[..., None]
    actions: tuple[str, ...]

    def start(self) -> None:
        self.world.receivers.append(self)

    def stop(self) -> None:
        self.world.receivers.remove(self)


def add_module(patch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Be what `import name` finds."""
    module = ModuleType(name)
    for member, value in members.items():
        setattr(module, member, value)
    patch.setitem(sys.modules, name, module)
