"""The memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FIELDS = ("VmRSS", "VmHWM")


@dataclass(frozen=True)
class MemoryUse:
    """Resident memory of a process in bytes: now, and the highest so far (see `memory`)."""

    current_bytes: int
    peak_bytes: int


def memory(*, reset_peak: bool = False) -> MemoryUse:
    """Return this process's resident memory; with `reset_peak` the next peak begins anew from here.

    Linux and Android alone can begin it anew; elsewhere it counts from the start of the process, and the system does not tell
    the present use either: there `current_bytes` is the peak, too.
    """
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        # getrusage counts KiB everywhere but on macOS, where it counts bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return MemoryUse(peak, peak)
    kib = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines) if name in _FIELDS}
    if reset_peak:
        with contextlib.suppress(OSError):  # some sandboxes do not let a process write there
            _CLEAR.write_text("5")  # proc(5): resets the high-water mark of the resident set
    current = kib.get("VmRSS", 0) * 1024
    return MemoryUse(current, max(current, kib.get("VmHWM", 0) * 1024))


def give_back() -> None:
    """Return freed memory to the system where the C library can, so that the next use of it is seen as one."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
