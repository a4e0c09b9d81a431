"""The computer's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edgeloop_daemon.doctor.finding import Finding, NotCheckedError, ok, problem
from edgeloop_daemon.doctor.stored import newest_time

EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # edgeloop is younger than that
TOLERANCE_SECONDS = 60.0


def check_clock(database: Path, now: Callable[[], float] = time.time) -> Finding:
    """Tell whether the clock stands before what has happened already. `now` is in seconds since the epoch."""
    current = now()
    shown = datetime.fromtimestamp(current).astimezone().isoformat(" ", "seconds")
    remedy = "Set it (Linux: timedatectl set-ntp true); times of jobs and the order of lists rest on it."
    if current < EARLIEST:
        return problem(f"The clock says {shown}, which cannot be.", remedy)
    try:
        newest = newest_time(database)
    except NotCheckedError:
        newest = None
    if newest is not None and newest - current > TOLERANCE_SECONDS:
        return problem(f"The clock says {shown}, but something stored is {_length(newest - current)} younger.", remedy)
    return ok(shown)


def _length(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
