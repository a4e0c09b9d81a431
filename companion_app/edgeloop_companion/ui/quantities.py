"""Quantities and times as they are read on a screen."""

from __future__ import annotations

from datetime import datetime

from edgeloop_companion.ui.texts import Words

_STEP = 1000


def byte_count(count: int) -> str:
    """Return `count` bytes in decimal units, as storage is sold: `0 B`, `812 kB`, `1.4 GB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= _STEP and len(units) > 1:
        value /= _STEP
        units.pop(0)
    digits = 0 if units[0] in ("B", "kB") or value >= 100 else 1
    return f"{value:.{digits}f} {units[0]}"


def moment(seconds: float, now: float) -> str:
    """Return the time of day, and of another day its date."""
    then, today = datetime.fromtimestamp(seconds).astimezone(), datetime.fromtimestamp(now).astimezone().date()
    return then.strftime("%H:%M" if then.date() == today else "%Y-%m-%d %H:%M")


def duration(words: Words, seconds: float) -> str:
    """Return a time span as a person says it."""
    whole = int(seconds)
    if whole < 60:
        return words("time.seconds", seconds=whole)
    if whole < 3600:
        return words("time.minutes", minutes=whole // 60, seconds=whole % 60)
    return words("time.hours", hours=whole // 3600, minutes=whole % 3600 // 60)


def span(nanoseconds: float) -> str:
    """Return a short time, such as an operator takes."""
    for unit, length in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= length:
            return f"{nanoseconds / length:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"
