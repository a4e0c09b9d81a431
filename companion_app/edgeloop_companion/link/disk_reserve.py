"""Disk space that is set aside, so that events still find room when the disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

RESERVE_BYTES = 256 * 1024


class DiskReserve:
    """A file at `path` that holds nothing, and gives way when room is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_there = False

    def set_aside(self) -> None:
        """Write it, if there is room. Blocks."""
        try:
            self._path.write_bytes(bytes(RESERVE_BYTES))
            self._is_there = True
        except OSError:
            self._path.unlink(missing_ok=True)

    async def give_up(self) -> bool:
        """Return whether it was there and its space is free now."""
        if not self._is_there:
            return False
        self._is_there = False
        await asyncio.to_thread(self._path.unlink, missing_ok=True)
        return True

    async def restore(self) -> None:
        """Set it aside again after it was needed, if there is room."""
        if not self._is_there:
            await asyncio.to_thread(self.set_aside)
