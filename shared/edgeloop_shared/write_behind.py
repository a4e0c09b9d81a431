"""Bytes that arrive in the event loop and go to disk in a thread, while the next ones arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PIECE_BYTES = 2 * 1024 * 1024  # half of it takes up to a tenth longer: each piece wakes a thread


class WriteBehind:
    """Calls `write` in a thread with a piece after the other, never with two at once.

    Two buffers change places: one fills up while the other is written. They are made once, because memory that is new for each
    piece costs more than to hash it: the kernel has to clear it first. `write` must not keep what it is given.
    """

    def __init__(self, write: Callable[[memoryview], None]) -> None:
        self._write = write
        self._filling = memoryview(bytearray(PIECE_BYTES))
        self._spare: memoryview | None = None
        self._filled = 0
        self._writing: asyncio.Future[None] | None = None

    async def add(self, data: bytes) -> None:
        """Take `data`; waits while two pieces wait to be written. Raises what `write` raised for an earlier one, for good."""
        rest = memoryview(data)
        while len(rest):
            taken = min(len(rest), PIECE_BYTES - self._filled)
            self._filling[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
            if self._filled == PIECE_BYTES:
                await self._hand_over()

    async def close(self) -> None:
        """Write the rest, be it nothing, and wait until everything is written. Raises what `write` raised."""
        await self._hand_over()
        await self._written()

    async def _hand_over(self) -> None:
        await self._written()
        piece, self._filled = self._filling[: self._filled], 0
        self._filling, self._spare = self._spare or memoryview(bytearray(PIECE_BYTES)), self._filling
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, piece)

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing})  # who is cancelled must not leave a thread behind that still writes
            self._writing.result()  # again and again: nothing is written behind a piece that is missing
