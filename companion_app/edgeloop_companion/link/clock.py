"""The daemon's clock, as this device sees it over a link."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from edgeloop_shared.clocks import ClockCompared, ClockProbe, ClockReading, compared, quickest

ROUND_TRIPS = 8
_PAUSE_SECONDS = 0.01  # between two of them, so that one delay does not spoil all
_ANSWER_SECONDS = 2.0


class LinkClock:
    """Compares clocks over one link. `send` puts a probe into the queue of what is sent first; `now` is monotonic, in ns."""

    def __init__(self, send: Callable[[ClockProbe], None], now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._send = send
        self._now = now
        self._waiting: dict[int, asyncio.Future[ClockCompared]] = {}

    def take(self, reading: ClockReading) -> None:
        """Take the daemon's answer, right after it came; one that nobody asked for is forgotten."""
        received = self._now()
        waiting = self._waiting.pop(reading.sent_ns, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(compared(reading.sent_ns, reading.host_ns, max(received, reading.sent_ns)))

    async def compare(self, count: int = ROUND_TRIPS) -> ClockCompared | None:
        """Return what the quickest of several round trips tells; None when the daemon does not answer."""
        found = []
        for _ in range(count):
            sent = self._now()
            waiting = self._waiting[sent] = asyncio.get_running_loop().create_future()
            self._send(ClockProbe(sent))
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    found.append(await waiting)
            except TimeoutError:
                break
            finally:
                self._waiting.pop(sent, None)
            await asyncio.sleep(_PAUSE_SECONDS)
        return quickest(found) if found else None
