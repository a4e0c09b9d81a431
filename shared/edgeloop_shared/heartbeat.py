"""The heartbeat of a link: who hears nothing asks, and who gets no answer takes the other end for lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

DOUBT_SECONDS = 4.0  # a phone's radio may just have woken up


class Heartbeat:
    """Watches one connection: `seconds` of silence are followed by a ping, and that by half as many in which anything may come.

    aiohttp has one as well, but it sets a timer anew with every message, which a small round trip feels: 5 %.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._heard_at = time.monotonic()
        self._doubted = asyncio.Event()

    def hear(self) -> None:
        """Something came from the other end."""
        self._heard_at = time.monotonic()

    def doubt(self) -> None:
        """Ask at once, with little patience: something has happened that the connection may not have outlived."""
        self._doubted.set()

    async def lost(self, ping: Callable[[], Awaitable[None]]) -> None:
        """Return when the other end is taken for lost. Until then `ping` is called when it is silent."""
        while True:
            silence = time.monotonic() - self._heard_at
            patience = self._seconds / 2
            if self._doubted.is_set():
                self._doubted.clear()
                patience = min(patience, DOUBT_SECONDS)
            elif silence < self._seconds:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds - silence):
                        await self._doubted.wait()
                continue
            asked_at = time.monotonic()
            until = asked_at + patience
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(until - asked_at):  # it may wait for room that nobody makes any more
                    await ping()
            await asyncio.sleep(until - time.monotonic())
            if self._heard_at < asked_at:
                return
