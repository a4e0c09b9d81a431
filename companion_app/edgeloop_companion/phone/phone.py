"""The platform that this companion runs on, put together from its adapters."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_companion.link.advertising import Advertiser
from edgeloop_companion.phone import desktop
from edgeloop_companion.phone.network_watch import NetworkWatch
from edgeloop_companion.phone.vitals import VitalsReader
from edgeloop_companion.runtime.workers import ProcessStarter, WorkerStarter


@dataclass(frozen=True)
class Phone:
    """What the companion uses of a platform. `load_advertiser` is called once, in a thread. It has room for
    `max_workers` at a time.
    """

    vitals: VitalsReader
    network: NetworkWatch
    load_advertiser: Callable[[], Advertiser]
    starter: WorkerStarter = field(default_factory=ProcessStarter)
    max_workers: int = 64


def this_phone(folder: Path) -> Phone:
    """Return the adapters for the platform that this is; `folder` is where blobs are kept."""
    # python-for-android sets it for every app.
    return _android(folder) if "ANDROID_ARGUMENT" in os.environ else _desktop(folder)


def zeroconf_advertiser() -> Advertiser:
    """Return the advertiser of desktops. Blocks: to import it takes a tenth of a second, and who is never found needs none."""
    from edgeloop_companion.link.zeroconf_advertiser import ZeroconfAdvertiser

    return ZeroconfAdvertiser()


def _desktop(folder: Path) -> Phone:
    return Phone(desktop.DesktopVitals(folder), desktop.network_watch(), zeroconf_advertiser)


def _android(folder: Path) -> Phone:
    from edgeloop_companion.phone import android, android_workers  # their imports exist on Android alone

    activity = android.activity()
    context = activity.getApplicationContext()
    lock = android.multicast_lock(context)
    return Phone(
        android.AndroidVitals(folder, context),
        android.AndroidNetworkWatch(),
        lambda: android.AndroidAdvertiser(lock, zeroconf_advertiser()),
        android_workers.ServiceStarter(folder / "slots", activity),
        android_workers.SLOTS,
    )
