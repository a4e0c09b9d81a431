"""Comparing clocks for one run that is traced: at its beginning, now and then, and at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from edgeloop_shared.clocks import ClockCompared

AGAIN_SECONDS = 20.0
_RETRY_SECONDS = 1.0  # while there is no link
_LAST_SECONDS = 1.0  # that the end of a run waits for it at most
_SAME_SECONDS = 5.0  # by which the two clocks of this device may have moved against each other since the trace began

CompareClocks = Callable[[], Awaitable[ClockCompared | None]]
"""Compares this device's monotonic clock with the daemon's; None without a link."""


class TraceClock:
    """`report` stores a comparison with the run, from the first `begin` on until `end`."""

    def __init__(self, compare: CompareClocks, report: Callable[[ClockCompared], Awaitable[None]]) -> None:
        self._compare = compare
        self._report = report
        self._work: asyncio.Task[None] | None = None
        self._last: ClockCompared | None = None
        self._has_compared = asyncio.Event()

    def begin(self, clock_offset_ns: int) -> None:
        """Compare from now on with the clock of a trace (`TraceStarted`); one from before a restart of this device is gone."""
        offset = time.time_ns() - time.perf_counter_ns()
        if self._work is None and abs(offset - clock_offset_ns) < _SAME_SECONDS * 1e9:
            self._work = asyncio.create_task(self._go_on())

    async def end(self) -> None:
        """Compare a last time, if the last time is long ago, within bounded time."""
        if self._work is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._has_compared.wait()
                if self._last is not None and time.perf_counter_ns() > self._last.device_ns + AGAIN_SECONDS / 4 * 1e9:
                    await self._once()
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _go_on(self) -> None:
        delay = 0.0
        while True:
            await asyncio.sleep(delay)
            delay = AGAIN_SECONDS if await self._once() else _RETRY_SECONDS

    async def _once(self) -> bool:
        found = await self._compare()
        if found is None:
            return False
        await self._report(found)
        self._last = found
        self._has_compared.set()
        return True
