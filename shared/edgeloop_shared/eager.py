"""The first step of a coroutine without a turn of the event loop: what goes from peer to peer by several hops feels each turn.

Python 3.12 has eager tasks for it. This is less, and works with 3.11: no task is made for what has nothing to wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any


def begin(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Do `work` up to where it has to wait; return what is to be awaited for the rest of it, None when nothing is left.

    Raises what `work` raises. Up to there `work` must not use its task, as `asyncio.timeout` does: it has none.
    """
    try:
        waits_for = work.send(None)
    except StopIteration:
        return None
    return _Rest(work, waits_for)


class EagerSender:
    """Sends pieces in their order by `send`: each at once when nothing waits before it, the others by `send_waiting`."""

    def __init__(self, send: Callable[[bytes], Coroutine[Any, Any, None]]) -> None:
        self._send = send
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._unsent = 0

    def put(self, data: bytes) -> None:
        """Take a piece. Raises what `send` raises before it has to wait."""
        if self._unsent:
            self._later(lambda: self._send(data))
        elif (rest := begin(self._send(data))) is not None:
            self._later(lambda: rest)

    async def send_waiting(self, *, seconds: float | None = None) -> None:
        """Send what had to wait until it is cancelled. Raises what `send` raises, `TimeoutError` after `seconds` of a piece."""
        while True:
            piece = await self._waiting.get()
            try:
                async with asyncio.timeout(seconds):
                    await piece()
            finally:
                self._unsent -= 1
                self._waiting.task_done()

    async def flushed(self) -> None:
        """Return when nothing waits."""
        await self._waiting.join()

    def _later(self, piece: Callable[[], Awaitable[None]]) -> None:
        self._unsent += 1
        self._waiting.put_nowait(piece)


class _Rest:
    """What is left of a coroutine. An error that comes while it waits ends it, also a cancellation."""

    def __init__(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException:
            self._work.close()
            raise
        yield from self._work.__await__()
