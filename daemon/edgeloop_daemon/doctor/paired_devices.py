"""The paired devices."""

from __future__ import annotations

import time

from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, Subject, amount, named, ok, warning
from edgeloop_daemon.doctor.stored import StoredDevice, devices
from edgeloop_shared import __version__


def check_devices(subject: Subject) -> Finding:
    """Tell which devices are paired and here, and which of them have another edgeloop."""
    try:
        paired = devices(subject.folders.database)
    except NotCheckedError as reason:
        if subject.folders.database.exists():
            raise
        return ok(str(reason), "`edgeloop pair` pairs a phone.")
    if not paired:
        return ok("none is paired", "`edgeloop pair` pairs a phone; `edgeloop device virtual --allow` starts one here.")
    differing = [f"{device.name} ({device.app_version})" for device in paired if device.app_version != __version__]
    if differing:
        return warning(
            f"Another edgeloop than {__version__} is on {named(differing)}.",
            "Update the older side; until then they speak what both know.",
        )
    linked = subject.daemon.linked if subject.daemon else frozenset()
    shown = [f"{device.name} {_presence(device, linked)}" for device in paired]
    return ok(f"{amount(len(paired), 'device')} paired: {named(shown)}")


def _presence(device: StoredDevice, linked: frozenset[str]) -> str:
    if device.id in linked:
        return "is linked"
    if device.last_seen is None:
        return "was never linked"
    minutes = max(0.0, time.time() - device.last_seen) / 60
    if minutes < 120:
        return f"was here {minutes:.0f} min ago"
    return f"was here {minutes / 60:.0f} h ago" if minutes < 48 * 60 else f"was here {minutes / 1440:.0f} days ago"
