"""Cancellation in a job process, where SIGTERM raises an exception that is no `Exception`."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Keep SIGTERM away from the block, so that tidying up is not cut short; one that came meanwhile arrives at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
