"""Waiting for what happens in other processes, which tell nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 60.0
_PAUSE_SECONDS = 0.02


def until(find: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """Return what `find` finds, once it finds something; `what` says what that is where it never does."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_PAUSE_SECONDS)
    return found
