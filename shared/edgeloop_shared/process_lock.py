"""A lock file that tells whether a process lives. Liveness is the lock, never a pid: pids are reused, locks are not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Try to hold the lock at `path` for the block; yield whether it is ours. The file then names our process id."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor):
            yield False
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield True
        finally:
            os.ftruncate(descriptor, 0)  # nobody shall read our id once the next holder has the lock
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock at `path`."""
    return _probe(path) is not None


def signal_holder(path: Path, number: signal.Signals = signal.SIGTERM, *, group: bool = False) -> bool:
    """Send a signal to the process that holds the lock; return False when nobody holds it.

    With `group` the signal goes to the whole process group that the holder leads.
    """
    holder = _probe(path)
    if not holder:
        return False
    try:
        if group:
            os.killpg(holder, number)
        else:
            os.kill(holder, number)
    except ProcessLookupError:
        return False
    return True


def _lock(descriptor: int) -> bool:
    # A probe holds the lock for microseconds: what is still taken after some tries is really taken.
    for _ in range(20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        else:
            return True
    return False


def _probe(path: Path) -> int | None:
    """Return the process id of the lock's holder (0 when it has not written one yet), or None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        try:
            # Shared, so that two probes at the same time do not take each other for the holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0)
            return int(text) if text.isdigit() else 0
        return None
    finally:
        os.close(descriptor)
