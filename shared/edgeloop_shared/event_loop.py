"""The event loop that the daemon and the companion run in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    import uvloop
except ImportError:  # Windows, and Android: Python's own loop does the same, and takes longer for each message
    _run = asyncio.run
else:
    _run = uvloop.run

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a new event loop until it ends, as `asyncio.run` does; return what it returns."""
    return _run(main)
