"""The memory limit of one task: enforced by the system, explained by us."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from types import TracebackType

from edgeloop_shared.errors import TaskFailedError

DEFAULT_SHARE = 0.5  # of the device's memory
MIB = 1024 * 1024
_HEADROOM_BYTES = 64 * MIB  # beyond the limit, for the report that it was reached
DEBUGGER_BYTES = 160 * MIB  # what debugpy takes, most of it the stacks of its threads
CONNECTION_BYTES = 16 * MIB  # what the first connection of the control socket takes: a stack
_GUEST_BYTES = DEBUGGER_BYTES + CONNECTION_BYTES


def default_limit(memory_bytes: int) -> int | None:
    """Return the limit of a task that names none, on a device with that much memory (0: unknown, then None)."""
    return int(memory_bytes * DEFAULT_SHARE) or None


def how_to_raise(limit: int) -> str:
    """Return what a user can do about a limit that was reached."""
    return (
        f"The limit of {limit // MIB} MiB is for this task: raise it with `edgeloop run --memory MIB` or "
        "`[run] memory_mb` in edgeloop.toml, or use less."
    )


class MemoryLimit:
    """Bounds what this process may allocate while the block runs, beyond what it has already.

    Linux, and with it Android, counts private writable memory (`RLIMIT_DATA`, getrlimit(2), since 4.7), so that mapped models
    are free: Python then raises `MemoryError`, and native code gets no memory. Elsewhere nothing is enforced.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit if sys.platform in ("linux", "android") else None
        self._bound = 0

    def __enter__(self) -> None:
        if self._limit is not None:
            self._bound = _allocated_bytes() + self._limit
            resource.setrlimit(resource.RLIMIT_DATA, (self._bound, self._bound + _GUEST_BYTES + _HEADROOM_BYTES))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._limit is not None:  # the frames still hold what the script had: its report needs room
            bound = self._bound + _HEADROOM_BYTES
            resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))

    def grow(self, size: int) -> None:
        """Make room for a guest that comes while the block runs, such as a debugger: what it takes is not the script's."""
        if self._bound:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            self._bound += size
            resource.setrlimit(resource.RLIMIT_DATA, (min(self._bound, hard), hard))

    def explain(self, error: BaseException, failure: TaskFailedError) -> TaskFailedError:
        """Return the error to report: when it was the limit, it says so."""
        if self._limit is None or not isinstance(error, MemoryError):
            return failure
        message = f"The task reached its memory limit of {self._limit // MIB} MiB: {failure.message}"
        details = {**failure.details, "memory_limit_bytes": self._limit}
        return TaskFailedError(message, hint=how_to_raise(self._limit), details=details)


def _allocated_bytes() -> int:
    """Return what counts against the limit now: the sixth number of /proc/self/statm (proc(5)), in pages."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
