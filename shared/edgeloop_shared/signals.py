"""Signals by name."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Return `SIGSEGV` for 11, say, or `signal 99` for a number without a name on this system."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
