"""Keeping an Android phone at work while its screen is dark, in the process of a service. It has never run on a phone.

Permission that this needs: `WAKE_LOCK`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jnius

_PARTIAL_WAKE_LOCK = 1  # PowerManager.PARTIAL_WAKE_LOCK: the processor goes on while the screen is dark


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Hold a wake lock for the block. A process that is forked in it must end there: only this one may speak to Java."""
    service = jnius.autoclass("org.kivy.android.PythonService").mService
    lock = service.getSystemService("power").newWakeLock(_PARTIAL_WAKE_LOCK, "edgeloop:worker")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
