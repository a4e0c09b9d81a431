"""How a device says that it is, in words."""

from __future__ import annotations

from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.output import size
from edgeloop_shared.device_states import LOW_STORAGE_BYTES


def condition(state: Record | None) -> str:
    """Return in words how a device says that it is: first what keeps it from working well."""
    if state is None:
        return ""
    vitals = state["vitals"]
    words = ["in background"] if state["activity"] == "background" else []
    free, battery, heat = vitals["free_bytes"], vitals["battery_percent"], vitals["throttling"]
    if free is not None and free < LOW_STORAGE_BYTES:
        words.append(f"storage low: {size(free)}")
    if heat not in (None, "none"):
        words.append(f"throttles: {heat}")
    if battery is not None:
        words.append(f"battery {battery}%{' and charging' if vitals['is_charging'] else ''}")
    celsius = next(
        (vitals[name] for name in ("processor_celsius", "battery_celsius") if vitals[name] is not None), None
    )
    if celsius is not None:
        words.append(f"{celsius:.0f} °C")
    return ", ".join(words)
