"""The memory of this process."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class MemoryUse:
    """Resident memory in bytes: now, and the highest since the last `reset_peak` (or since the start where that fails)."""

    current_bytes: int
    peak_bytes: int


def memory() -> MemoryUse:
    """Return this process's resident memory. Where the system does not tell the present use, it is the peak."""
    if _STATUS.exists():
        found = dict(
            line.split(":", 1) for line in _STATUS.read_text().splitlines() if line.startswith(("VmRSS", "VmHWM"))
        )
        current, peak = (int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return MemoryUse(current, max(current, peak))
    # getrusage counts KiB everywhere but on macOS, where it counts bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return MemoryUse(peak, peak)


def reset_peak() -> bool:
    """Let the peak begin anew from the present use; return False where the system cannot."""
    try:
        _CLEAR.write_text("5")  # proc(5): resets the high-water mark of the resident set
    except OSError:
        return False
    return True
