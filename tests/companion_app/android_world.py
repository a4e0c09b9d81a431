"""What the companion sees of Android, as Python objects with the names of Android's own reference: `jnius` and `android`.

Nothing here answers to a name that Android does not have, and what a call expects is checked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import edgeloop_companion.phone
from edgeloop_companion.phone.phone import Phone, this_phone

PACKAGE = "org.edgeloop.companion"
ENTRY_SCRIPT = "from edgeloop_companion.phone.android_worker_service import serve; serve()"


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
    granted: set[str] = field(default_factory=set)
    asked_for: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        activity = SimpleNamespace(getApplicationContext=lambda: self, getPackageName=lambda: PACKAGE)
        self.services = [WorkerService(self, activity, number) for number in range(4)]
        self.classes |= {f"{PACKAGE}.ServiceWorker{one.number}": one for one in self.services}
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
        add_module(
            patch,
            "android.permissions",
            Permission=SimpleNamespace(POST_NOTIFICATIONS="android.permission.POST_NOTIFICATIONS"),
            check_permission=lambda permission: permission in self.granted,
            request_permissions=self.asked_for.extend,
        )

    def phone(self, patch: pytest.MonkeyPatch, folder: Path) -> Phone:
        """Return what a companion makes of this phone."""
        self.install(patch)
        patch.setenv("ANDROID_ARGUMENT", str(folder))
        for name in ("android", "android_workers"):  # they hold what they have imported of an earlier world
            sys.modules.pop(f"edgeloop_companion.phone.{name}", None)
            vars(edgeloop_companion.phone).pop(name, None)
        return this_phone(folder)

    def _create_lock(self, tag: str) -> MulticastLock:
        assert tag
        return self.lock

    def _thermal_status(self) -> int:
        assert self.api >= 29, "NoSuchMethodError"
        return self.thermal_status


@dataclass
class WorkerService:
    """A service as python-for-android generates it; its process is a real one, with the entry script of all worker services."""

    world: AndroidWorld
    activity: Any
    number: int
    is_refused: bool = False
    is_deaf: bool = False
    starting: threading.Thread | None = None
    process: subprocess.Popen[bytes] | None = None
    notifications: list[tuple[str, str]] = field(default_factory=list)

    def start(self, context: Any, small_icon: str, title: str, text: str, argument: str) -> None:
        assert context is self.activity
        assert (small_icon, bool(title)) == ("", True)
        if self.is_refused:
            raise JavaException("android.app.BackgroundServiceStartNotAllowedException")
        self.notifications.append((title, text))
        self.starting = threading.Thread(
            target=self._begin, args=[argument]
        )  # who starts a service does not wait for it
        self.starting.start()

    def _begin(self, argument: str) -> None:
        if self.is_deaf or (self.process is not None and self.process.poll() is None):
            return  # a service whose Python runs ignores what it is started with
        environment = {**os.environ, "PYTHON_SERVICE_ARGUMENT": argument}
        self.process = subprocess.Popen([sys.executable, "-P", "-c", ENTRY_SCRIPT], env=environment)

    def end(self) -> None:
        """End its process, as a phone that is switched off does."""
        if self.starting is not None:
            self.starting.join()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


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
