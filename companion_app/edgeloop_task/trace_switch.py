"""Whether this process is traced now."""

from __future__ import annotations

import threading


class Switch:
    """How many reasons there are to trace, for the whole process: a script has no other handle on a run."""

    lock = threading.Lock()
    reasons = 0

    @classmethod
    def add(cls, reasons: int) -> bool:
        """Add reasons (or take them away); return whether that turned tracing on or off."""
        with cls.lock:
            was_on = cls.reasons > 0
            cls.reasons += reasons
            return was_on != (cls.reasons > 0)
