"""Whether this process is traced now."""

from __future__ import annotations

import threading


class Switch:
    """How many reasons there are to trace, for the whole process: a script has no other handle on a run."""

    lock = threading.RLock()
    """Held by who turns it on or off for as long as that takes: a trace that begins while another ends must not end with it."""
    reasons = 0

    @classmethod
    def add(cls, reasons: int) -> bool:
        """Add reasons (or take them away) under the lock; return whether that turned tracing on or off."""
        was_on = cls.reasons > 0
        cls.reasons += reasons
        return was_on != (cls.reasons > 0)
