"""Quantities as they are read on a screen."""

from __future__ import annotations

_STEP = 1000


def byte_count(count: int) -> str:
    """Return `count` bytes in decimal units, as storage is sold: `0 B`, `812 kB`, `1.4 GB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= _STEP and len(units) > 1:
        value /= _STEP
        units.pop(0)
    digits = 0 if units[0] in ("B", "kB") or value >= 100 else 1
    return f"{value:.{digits}f} {units[0]}"
