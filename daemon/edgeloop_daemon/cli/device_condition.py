"""How a device says that it is, in words."""

from __future__ import annotations

from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.output import size
from edgeloop_shared.codec import decode
from edgeloop_shared.device_states import DeviceState


def condition(state: Record | None) -> str:
    """Return in words how a device says that it is: first what keeps it from working well."""
    if state is None:
        return ""
    told = decode(DeviceState, state)
    vitals = told.vitals
    words = ["in background"] if told.activity == "background" else []
    if vitals.free_bytes is not None and vitals.is_storage_low:
        words.append(f"storage low: {size(vitals.free_bytes)}")
    if vitals.throttling not in (None, "none"):
        words.append(f"throttles: {vitals.throttling}")
    if vitals.battery_percent is not None:
        words.append(f"battery {vitals.battery_percent}%{' and charging' if vitals.is_charging else ''}")
    if vitals.celsius is not None:
        words.append(f"{vitals.celsius:.0f} °C")
    return ", ".join(words)
